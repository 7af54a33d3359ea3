package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits bound what a store keeps.
type Limits struct {
	Bytes     int64         // of all files
	ClipBytes int64         // of one clip
	Age       time.Duration // of a file
}

// Validate reports what is wrong with the limits.
func (l *Limits) Validate() error {
	var errs []error
	if l.ClipBytes < 1<<20 || l.ClipBytes > 64<<20 {
		errs = append(errs, fmt.Errorf("clip bytes: %d: want 1 MiB to 64 MiB", l.ClipBytes))
	}
	if l.Bytes < 2*l.ClipBytes {
		errs = append(errs, fmt.Errorf("bytes: %d: want at least two clips, %d", l.Bytes, 2*l.ClipBytes))
	}
	if l.Age < time.Hour {
		errs = append(errs, fmt.Errorf("age: %v: want 1h and more", l.Age))
	}
	return errors.Join(errs...)
}

// Store is a folder of evidence. Its methods are for one goroutine.
type Store struct {
	dir    string
	limits Limits
}

const part = ".part" // ends the name of a file that is not whole

// Open returns the store in a folder, which is made when it is missing. What an
// earlier run left half written is deleted.
func Open(dir string, l Limits) (*Store, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), part) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return &Store{dir: dir, limits: l}, nil
}

var nameable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// path is where a file of an incident lies: its name sorts by time.
func (s *Store) path(camera, id, ending string, at time.Time) (string, error) {
	if !nameable.MatchString(camera) || !nameable.MatchString(id) {
		return "", fmt.Errorf("evidence: camera %q, id %q: want letters, digits, - and _", camera, id)
	}
	return filepath.Join(s.dir, at.UTC().Format("20060102T150405.000")+"-"+camera+"-"+id+ending), nil
}

// Snapshot writes a picture and returns its path.
func (s *Store) Snapshot(camera, id string, f Frame) (string, error) {
	path, err := s.path(camera, id, ".jpg", f.At)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+part, f.JPEG, 0o640); err != nil { //nolint:gosec // the collector's group may read evidence
		return "", fmt.Errorf("evidence: snapshot: %w", errors.Join(err, remove(path+part)))
	}
	if err := os.Rename(path+part, path); err != nil {
		return "", fmt.Errorf("evidence: snapshot: %w", err)
	}
	return path, nil
}

// remove deletes a file that may be missing.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Clip is a clip that is being written.
type Clip struct {
	file *os.File
	avi  *aviWriter
	path string
	most int64
	full bool
}

// Clip begins a clip with the frames of a ring.
func (s *Store) Clip(camera, id string, at time.Time, before []Frame) (*Clip, error) {
	path, err := s.path(camera, id, ".avi", at)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path+part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // the name is checked
	if err != nil {
		return nil, fmt.Errorf("evidence: clip: %w", err)
	}
	c := &Clip{file: file, avi: newAVI(file), path: path, most: s.limits.ClipBytes}
	// The newest are worth most: of a ring that would fill the clip, the older
	// half makes room.
	size := int64(headerBytes)
	from := len(before)
	for from > 0 && size+room(len(before[from-1].JPEG)) <= c.most/2 {
		from--
		size += room(len(before[from].JPEG))
	}
	for _, f := range before[from:] {
		if err := c.Add(f); err != nil {
			return nil, errors.Join(err, c.Drop())
		}
	}
	return c, nil
}

// Add adds a frame, or leaves it away when the clip is full.
func (c *Clip) Add(f Frame) error {
	if c.full || c.avi.total()+room(len(f.JPEG)) > c.most {
		c.full = true
		return nil
	}
	if err := c.avi.add(f); err != nil {
		return fmt.Errorf("evidence: clip: %w", err)
	}
	return nil
}

// Full reports whether frames were left away.
func (c *Clip) Full() bool { return c.full }

// Close finishes the clip and returns its path and size.
func (c *Clip) Close() (path string, size int64, err error) {
	err = c.avi.close()
	if cerr := c.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(c.path+part, c.path)
	}
	if err != nil {
		return "", 0, fmt.Errorf("evidence: clip: %w", errors.Join(err, remove(c.path+part)))
	}
	return c.path, c.avi.total(), nil
}

// Drop gives the clip up.
func (c *Clip) Drop() error { return errors.Join(c.file.Close(), remove(c.path+part)) }

// Prune deletes what is too old, and the oldest of what is too much. It returns how
// many files went.
func (s *Store) Prune(now time.Time) (int, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("evidence: prune: %w", err)
	}
	type file struct {
		name string
		size int64
		at   time.Time
	}
	var files []file
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(e.Name(), part) {
			continue // gone meanwhile, or not ours
		}
		files = append(files, file{e.Name(), info.Size(), info.ModTime()})
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b file) int { return a.at.Compare(b.at) })
	gone := 0
	var errs []error
	for _, f := range files {
		if total <= s.limits.Bytes && now.Sub(f.at) <= s.limits.Age {
			break
		}
		if err := remove(filepath.Join(s.dir, f.name)); err != nil {
			errs = append(errs, err)
			continue
		}
		total -= f.size
		gone++
	}
	if err := errors.Join(errs...); err != nil {
		return gone, fmt.Errorf("evidence: prune: %w", err)
	}
	return gone, nil
}
