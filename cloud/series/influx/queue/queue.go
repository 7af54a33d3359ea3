package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/s2"
)

// The defaults and bounds of Options.
const (
	DefaultMaxBytes     = 4 << 30
	DefaultSegmentBytes = 8 << 20
	MinBytes            = 64 << 10
	MaxData             = 16 << 20 // of one Chunk
)

// keepDamaged is how many damaged segments are kept for a person to look at.
const keepDamaged = 4

// The errors of Put.
var (
	// ErrFull comes when the records would take the queue beyond MaxBytes.
	ErrFull = errors.New("queue is full")
	// ErrClosed comes after Close.
	ErrClosed = errors.New("queue is closed")
)

// Options says where the queue is and how much it may hold.
type Options struct {
	Dir          string
	MaxBytes     int64 // of all segments; 0 is DefaultMaxBytes
	SegmentBytes int64 // 0 is DefaultSegmentBytes, at most an eighth of MaxBytes
}

// Chunk is what one record holds.
type Chunk struct {
	Data   []byte
	Points int // how many points the data holds, for the counters
}

// Position is a place between two records. The zero Position is before all of
// them.
type Position struct {
	segment uint64
	offset  int64
}

// Stats is what the queue holds and has met since it was opened.
type Stats struct {
	Bytes        int64  // on disk, confirmed records of the last segment included
	Full         uint64 // Puts that found no room
	TornBytes    int64  // cut at the start
	DamagedBytes int64  // skipped
}

// Queue is a durable queue. It is safe for concurrent use; confirming is for
// one goroutine at a time.
type Queue struct {
	opts   Options
	lock   *os.File
	mark   *os.File // where the confirmed position is written
	work   chan struct{}
	wake   chan struct{}
	worker sync.WaitGroup
	room   sync.Pool // *[]byte

	mu        sync.Mutex // guards what follows, never held over I/O
	closed    bool
	pending   []byte // records that wait for the next commit
	arriving  int    // the points of pending
	points    int    // found at the start and committed since
	group     *commit
	spare     []byte
	segments  []segment // oldest first
	bytes     int64     // of segments
	writing   int64     // of the commit that is under way
	growing   bool      // the newest segment is being written
	confirmed Position
	stats     Stats

	// The committer's own.
	active *os.File
	last   uint64 // number of the newest segment ever
}

type segment struct {
	number  uint64
	size    int64 // committed
	damaged bool
}

// commit is what all who share one fsync wait for.
type commit struct {
	done chan struct{}
	err  error
}

func newCommit() *commit { return &commit{done: make(chan struct{})} }

// Open opens the queue in opts.Dir and makes the folder when it is not there.
// One process holds a queue at a time.
func Open(opts Options) (*Queue, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = DefaultSegmentBytes
	}
	if opts.Dir == "" || opts.MaxBytes < MinBytes || opts.SegmentBytes < 1 {
		return nil, fmt.Errorf("open queue %q of %d bytes: want a folder and at least %d bytes", opts.Dir, opts.MaxBytes, MinBytes)
	}
	opts.SegmentBytes = min(opts.SegmentBytes, opts.MaxBytes/8)
	q := &Queue{opts: opts, work: make(chan struct{}, 1), wake: make(chan struct{}, 1), group: newCommit()}
	q.room.New = func() any { return new([]byte) }
	if err := q.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open queue %s: %w", opts.Dir, err), q.closeFiles())
	}
	q.worker.Go(q.commits)
	return q, nil
}

func (q *Queue) open() error {
	if err := os.MkdirAll(q.opts.Dir, 0o700); err != nil {
		return err
	}
	var err error
	if q.lock, err = os.OpenFile(filepath.Join(q.opts.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(q.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process holds the folder: %w", err)
	}
	if q.mark, err = os.OpenFile(filepath.Join(q.opts.Dir, "confirmed"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	at := readMark(q.mark)
	q.last = at.segment
	names, err := os.ReadDir(q.opts.Dir)
	if err != nil {
		return err
	}
	var covered []uint64
	for _, e := range names {
		n, ok := number(e.Name())
		if !ok {
			continue
		}
		q.last = max(q.last, n)
		if n < at.segment {
			covered = append(covered, n)
			continue
		}
		q.segments = append(q.segments, segment{number: n})
	}
	for _, n := range covered {
		if err := os.Remove(q.path(n)); err != nil {
			return err
		}
	}
	slices.SortFunc(q.segments, func(a, b segment) int { return int(min(1, max(-1, int64(a.number)-int64(b.number)))) })
	if len(q.segments) > 0 && q.segments[0].number == at.segment {
		q.confirmed = at
	}
	return q.measure()
}

// measure reads every segment once: where it ends, how many points wait in it.
func (q *Queue) measure() error {
	for i := range q.segments {
		s := &q.segments[i]
		b, err := os.ReadFile(q.path(s.number))
		if err != nil {
			return err
		}
		for off := int64(0); ; {
			r, skipped, ok := next(b, off)
			if !ok {
				break
			}
			if skipped > 0 {
				s.damaged = true
			}
			off += skipped
			if s.number > q.confirmed.segment || off >= q.confirmed.offset {
				q.points += r.points
			}
			off += r.size
			s.size = off
		}
		q.stats.TornBytes += int64(len(b)) - s.size
		q.bytes += s.size
	}
	return nil
}

// Points is how many points a reader can ever have met: those that waited when
// the queue was opened and those put since.
func (q *Queue) Points() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.points
}

// Stats is a copy of the counters.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Bytes = q.bytes
	return s
}

// Wake is signalled when there may be something new to read.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Put appends one record per chunk, all of them or none, and returns nil when
// they are on the disk. When ctx ends first they may be there or not. The data
// may be reused after Put.
func (q *Queue) Put(ctx context.Context, chunks ...Chunk) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put into queue: %w", err)
	}
	now := time.Now()
	room, _ := q.room.Get().(*[]byte)
	defer q.room.Put(room)
	records, points := (*room)[:0], 0
	for _, c := range chunks {
		if len(c.Data) > MaxData {
			return fmt.Errorf("put into queue: %d bytes: want at most %d", len(c.Data), MaxData)
		}
		records = appendRecord(records, c, now)
		*room = records
		points += c.Points
	}
	if len(records) == 0 {
		return nil
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("put into queue: %w", ErrClosed)
	}
	if held := q.bytes + q.writing + int64(len(q.pending)); held+int64(len(records)) > q.opts.MaxBytes {
		q.stats.Full++
		q.mu.Unlock()
		return fmt.Errorf("put into queue of %d bytes that holds %d: %w", q.opts.MaxBytes, held, ErrFull)
	}
	q.pending = append(q.pending, records...)
	q.arriving += points
	group := q.group
	q.mu.Unlock()
	signal(q.work)
	select {
	case <-group.done:
		if group.err != nil {
			return fmt.Errorf("put into queue: %w", group.err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("put into queue: %w", ctx.Err())
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commits writes what waits, again and again, until the queue is closed and
// nothing waits any more.
func (q *Queue) commits() {
	for range q.work {
		q.mu.Lock()
		records, points, group := q.pending, q.arriving, q.group
		q.arriving = 0
		q.pending, q.spare, q.group, q.writing = q.spare[:0], nil, newCommit(), int64(len(records))
		closed := q.closed
		q.mu.Unlock()
		if len(records) > 0 {
			group.err = q.write(records, points)
			close(group.done)
			signal(q.wake)
		}
		q.mu.Lock()
		q.writing = 0
		if cap(records) <= 4*MaxData {
			q.spare = records
		}
		q.mu.Unlock()
		if closed {
			return
		}
	}
}

func (q *Queue) write(records []byte, points int) error {
	if q.active == nil {
		if err := q.begin(); err != nil {
			return err
		}
	}
	if _, err := q.active.Write(records); err != nil {
		return q.abandon(fmt.Errorf("write segment: %w", err))
	}
	if err := q.active.Sync(); err != nil {
		return q.abandon(fmt.Errorf("sync segment: %w", err))
	}
	q.mu.Lock()
	s := &q.segments[len(q.segments)-1]
	s.size += int64(len(records))
	q.bytes += int64(len(records))
	q.points += points
	full := s.size >= q.opts.SegmentBytes
	q.growing = !full
	q.mu.Unlock()
	if full {
		_ = q.active.Close() // the records are synced: what is left is only a descriptor
		q.active = nil
	}
	return nil
}

// begin makes the next segment and forces its name to the disk.
func (q *Queue) begin() error {
	f, err := os.OpenFile(q.path(q.last+1), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	q.last++
	if err := syncDir(q.opts.Dir); err != nil {
		return errors.Join(fmt.Errorf("make segment: %w", err), f.Close())
	}
	q.active = f
	q.mu.Lock()
	q.segments = append(q.segments, segment{number: q.last})
	q.growing = true
	q.mu.Unlock()
	return nil
}

// abandon gives up the active segment behind its last commit.
func (q *Queue) abandon(cause error) error {
	q.mu.Lock()
	size := q.segments[len(q.segments)-1].size
	q.growing = false
	q.mu.Unlock()
	_ = q.active.Truncate(size) // best effort: what is behind was never acknowledged
	_ = q.active.Close()        // the cause is what matters
	q.active = nil
	return cause
}

// Confirm says that every record before at has arrived for good.
func (q *Queue) Confirm(at Position) error {
	var gone []segment
	q.mu.Lock()
	if at.segment < q.confirmed.segment || at.segment == q.confirmed.segment && at.offset <= q.confirmed.offset {
		q.mu.Unlock()
		return nil
	}
	q.confirmed = at
	for len(q.segments) > 0 {
		s := q.segments[0]
		growing := q.growing && len(q.segments) == 1
		if s.number > at.segment || s.number == at.segment && (growing || at.offset < s.size) {
			break
		}
		gone = append(gone, s)
		q.bytes -= s.size
		q.segments = q.segments[1:]
	}
	q.mu.Unlock()
	errs := []error{writeMark(q.mark, at)}
	for _, s := range gone {
		if s.damaged {
			errs = append(errs, there(os.Rename(q.path(s.number), q.path(s.number)+".damaged")), q.trimDamaged())
		} else {
			errs = append(errs, there(os.Remove(q.path(s.number))))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("confirm in queue: %w", err)
	}
	return nil
}

// there forgives that a file has gone already.
func there(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (q *Queue) trimDamaged() error {
	names, err := filepath.Glob(filepath.Join(q.opts.Dir, "*.damaged"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names[:max(0, len(names)-keepDamaged)] {
		if err := os.Remove(n); err != nil {
			return err
		}
	}
	return nil
}

// Close commits what waits and gives the folder free.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.work <- struct{}{} // the committer takes it, and sees that it is the last
	q.worker.Wait()
	if err := q.closeFiles(); err != nil {
		return fmt.Errorf("close queue: %w", err)
	}
	return nil
}

func (q *Queue) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{q.active, q.mark, q.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func (q *Queue) path(n uint64) string {
	return filepath.Join(q.opts.Dir, fmt.Sprintf("%016x.segment", n))
}

func number(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, ".segment")
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 63)
	return n, err == nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A mark is segment, offset and a checksum of both.
const markBytes = 8 + 8 + 4

func writeMark(f *os.File, at Position) error {
	var b [markBytes]byte
	binary.LittleEndian.PutUint64(b[0:], at.segment)
	binary.LittleEndian.PutUint64(b[8:], uint64(at.offset))
	binary.LittleEndian.PutUint32(b[16:], sum(b[:16]))
	_, err := f.WriteAt(b[:], 0)
	return err
}

// readMark is the zero Position when the mark is not there or torn: then
// everything is read again.
func readMark(f *os.File) Position {
	var b [markBytes]byte
	if _, err := f.ReadAt(b[:], 0); err != nil || binary.LittleEndian.Uint32(b[16:]) != sum(b[:16]) {
		return Position{}
	}
	return Position{segment: binary.LittleEndian.Uint64(b[0:]), offset: int64(binary.LittleEndian.Uint64(b[8:]))}
}

// maxCompressed is the longest body that a Chunk can become.
func maxCompressed() int { return s2.MaxEncodedLen(MaxData) }
