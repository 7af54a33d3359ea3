// Package spool keeps pictures of incidents until the broker has them: one file
// each, in a folder.
//
// Pictures are evidence, not alarms: they are bounded in bytes, the oldest go first
// and are counted, and a power cut may lose the newest one. They leave in the order in
// which they came, after the alarms. What an earlier run left goes out as well; a file
// that is none of the spool's is left alone.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/shedguard/shedguard"
)

// MaxPicture bounds a picture in bytes, as the contract does.
const MaxPicture = 256 << 10

// Picture is one picture on its way.
type Picture struct {
	AlarmID string // or the id of the command that asked for it
	Number  int
	JPEG    []byte
	key     uint64
}

// Spool is a folder of pictures. Its methods may be called from any goroutine.
type Spool struct {
	dir  string
	most int64

	mu      sync.Mutex // guards the rest
	entries []entry    // by key
	bytes   int64
	next    uint64
	dropped uint64
	wake    chan struct{}
}

type entry struct {
	key  uint64
	name string
	size int64
}

var name = regexp.MustCompile(`^([0-9]{12})-([0-9A-HJKMNP-TV-Z]{26})-([0-9]{1,3})\.jpg$`)

// Open returns the spool in a folder, which is made when it is missing.
func Open(dir string, most int64) (*Spool, error) {
	if most < MaxPicture {
		return nil, fmt.Errorf("spool: %d bytes: want at least %d", most, MaxPicture)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &Spool{dir: dir, most: most, next: 1, wake: make(chan struct{}, 1)}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".jpg.part") {
			_ = os.Remove(filepath.Join(dir, f.Name())) // of a run that was cut off; it is overwritten else
			continue
		}
		m := name.FindStringSubmatch(f.Name())
		info, err := f.Info()
		if m == nil || err != nil || !info.Mode().IsRegular() {
			continue
		}
		key, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			continue
		}
		s.entries = append(s.entries, entry{key, f.Name(), info.Size()})
		s.bytes += info.Size()
		s.next = max(s.next, key+1)
	}
	slices.SortFunc(s.entries, func(a, b entry) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	return s, nil
}

// Put keeps a picture until it is delivered.
func (s *Spool) Put(alarmID string, number int, jpeg []byte) error {
	switch {
	case !shedguard.ValidID(alarmID) || number < 0 || number > 99:
		return fmt.Errorf("spool: picture %d of %q: want a ULID, and 0 to 99", number, alarmID)
	case len(jpeg) == 0 || len(jpeg) > MaxPicture:
		return fmt.Errorf("spool: picture %d of %s: %d bytes: want 1 to %d", number, alarmID, len(jpeg), MaxPicture)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes+int64(len(jpeg)) > s.most && len(s.entries) > 0 {
		s.remove(0)
		s.dropped++
	}
	e := entry{key: s.next, size: int64(len(jpeg)), name: fmt.Sprintf("%012d-%s-%d.jpg", s.next, alarmID, number)}
	path := filepath.Join(s.dir, e.name)
	err := os.WriteFile(path+".part", jpeg, 0o600)
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		s.dropped++
		return fmt.Errorf("spool: picture %d of %s: %w", number, alarmID, err)
	}
	s.next++
	s.entries = append(s.entries, e)
	s.bytes += e.size
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Wake is ready when a picture was put.
func (s *Spool) Wake() <-chan struct{} { return s.wake }

// Next is the oldest picture, if there is one. What cannot be read is dropped and
// counted.
func (s *Spool) Next() (Picture, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.entries) > 0 {
		e := s.entries[0]
		m := name.FindStringSubmatch(e.name)
		b, err := os.ReadFile(filepath.Join(s.dir, e.name))
		if err != nil || m == nil || len(b) == 0 || len(b) > MaxPicture {
			s.remove(0)
			s.dropped++
			continue
		}
		n, err := strconv.Atoi(m[3])
		if err != nil {
			s.remove(0)
			s.dropped++
			continue
		}
		return Picture{AlarmID: m[2], Number: n, JPEG: b, key: e.key}, true
	}
	return Picture{}, false
}

// Done forgets a picture: the broker has it.
func (s *Spool) Done(p Picture) { s.forget(p, false) }

// Refuse gives a picture up: it can never be delivered.
func (s *Spool) Refuse(p Picture) { s.forget(p, true) }

func (s *Spool) forget(p Picture, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.entries, func(e entry) bool { return e.key == p.key })
	if i < 0 {
		return
	}
	s.remove(i)
	if lost {
		s.dropped++
	}
}

// remove takes an entry and its file away. It needs the lock. A file that stays is
// sent again by the next run, which the collector does not mind.
func (s *Spool) remove(i int) {
	e := s.entries[i]
	s.entries = slices.Delete(s.entries, i, i+1)
	s.bytes -= e.size
	if err := os.Remove(filepath.Join(s.dir, e.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.dropped++ // it cannot be bounded any more
	}
}

// Stats are what waits, and what was lost since Open.
func (s *Spool) Stats() (waiting int, bytes int64, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries), s.bytes, s.dropped
}
