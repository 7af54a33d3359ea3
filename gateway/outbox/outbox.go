package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/shedguard/shedguard"
)

// The bounds that hold when [Options] says nothing.
const (
	DefaultMaxTelemetryBytes = 256 << 20 // seven days of twelve outlets at 10 s windows, with room
	DefaultMaxOtherBytes     = 64 << 20
	DefaultFlushEvery        = 5 * time.Second
)

const (
	// maxBatchBytes bounds one telemetry record; smaller ones that wait
	// together are joined up to it.
	maxBatchBytes = 32 << 10
	// maxPendingBytes bounds the telemetry in memory that the disk refuses.
	maxPendingBytes = 4 << 20
	// flushBytes is how much waiting telemetry brings the next flush forward.
	flushBytes = 1 << 20
	// maxMemoryOnly bounds the alarm lane's records that the disk refuses.
	maxMemoryOnly = 4096
	// maxGroup bounds how many alarms share one fsync.
	maxGroup = 256
)

// ErrMemoryOnly comes from [Outbox.PutAlarm] when the disk refuses the event:
// it is delivered from memory as long as the process lives. Putting the same
// event again tries the disk again.
var ErrMemoryOnly = errors.New("kept in memory only")

// ErrRefused comes from the puts for what can never be delivered; putting it
// again is no use. The record is set aside and counted.
var ErrRefused = errors.New("refused for ever")

// ErrClosed comes from every method after [Outbox.Close].
var ErrClosed = errors.New("outbox is closed")

// Options are the bounds of an outbox.
type Options struct {
	BootID            string        // ULID of this start of the gateway
	MaxTelemetryBytes int64         // live bytes of telemetry; 0 means DefaultMaxTelemetryBytes
	MaxOtherBytes     int64         // live bytes of events that are not alarms; 0 means DefaultMaxOtherBytes
	FlushEvery        time.Duration // how often telemetry is committed; 0 means DefaultFlushEvery
	Log               *slog.Logger
}

// Telemetry is a batch of line protocol.
type Telemetry struct {
	BootID string // the boot that took the samples
	Synced bool   // timestamps are wall time; else they count from the start of the boot
	Lines  []byte // whole lines, each ending with a newline; copied
}

// Record is one message to be published.
type Record struct {
	Key      uint64             // place in its lane, growing
	Class    shedguard.Class    // alarm, event or telemetry: the topic
	ID       string             // CloudEvents id; empty for telemetry
	Severity shedguard.Severity // of an alarm that was raised or updated, else cleared
	Payload  []byte
}

// Stats says how full the outbox is and what it lost. The counts from
// DroppedTelemetry on are totals over all restarts.
type Stats struct {
	Alarms         int    // records in the alarm lane, events included
	Telemetry      int    // records in the telemetry lane
	TelemetryBytes int64  // their size
	Waiting        int    // telemetry records that wait for their boot's clock
	MemoryOnly     int    // records of the alarm lane that are not on disk
	DiskError      string // why the last write to disk was refused, else empty
	Counters
}

// Counters are kept on disk with the records they are about.
type Counters struct {
	DroppedTelemetry uint64 `json:"dropped_telemetry"` // records over the bound, or without a clock
	DroppedBytes     uint64 `json:"dropped_bytes"`     // their size
	DroppedEvents    uint64 `json:"dropped_events"`    // events of the alarm lane over their bound; never alarms
	BadRecords       uint64 `json:"bad_records"`       // checksum or shape wrong
	BadFiles         uint64 `json:"bad_files"`         // files set aside
	Salvaged         uint64 `json:"salvaged"`          // records of the alarm lane found whole in a bad file
	SetAside         uint64 `json:"set_aside"`         // refused for ever
}

// item is one telemetry record.
type item struct {
	key       uint64
	size      int
	boot      string // when its timestamps count from the start of a boot
	body      []byte // the encoded record's payload while it is in memory
	onDisk    bool
	writing   bool // a flush is writing it
	delivered bool
	taken     bool // a reader has seen it: no more joining
}

// entry is one record of the alarm lane.
type entry struct {
	rec     record
	size    int
	onDisk  bool // else rec.payload holds it
	sent    bool
	waiting time.Time // since when, in this process
}

// Outbox is the queue. Its methods may be called from any goroutine.
type Outbox struct {
	opts Options
	path string
	open opener

	puts  chan *put
	tasks chan func()
	wake  chan struct{}
	flush chan struct{}
	stop  chan struct{}
	ended chan struct{}
	once  sync.Once
	owner sync.WaitGroup

	// The disk belongs to the owner's goroutine, the memory to mu, which is
	// never held over disk access.
	file     file
	lastFail string

	mu           sync.Mutex
	alarms       []*entry // by key
	ids          map[string]*entry
	gone         []uint64 // alarm-lane keys to delete from disk
	memoryOnly   int
	otherBytes   int64
	items        []*item // by key
	removed      int     // of items, not yet trimmed
	clockless    int     // of items, put without a clock and not removed
	liveBytes    int64
	pendingBytes int64
	doomed       []uint64         // telemetry keys to delete from disk
	boots        map[string]int64 // unix ms of a boot's start
	bootsDirty   bool
	nextAlarm    uint64
	nextItem     uint64
	counters     Counters
	saved        Counters
	diskError    string
}

// put is an event on its way to the owner.
type put struct {
	e    *entry
	done chan error
}

// Open opens the outbox at path, or starts a new one. What a file holds never
// makes it fail; a folder that cannot be written does not either: the outbox
// then works from memory and says so in [Stats]. An error means wrong options.
func Open(path string, opts Options) (*Outbox, error) {
	return openWith(path, opts, openBolt)
}

func openWith(path string, opts Options, open opener) (*Outbox, error) {
	if path == "" {
		return nil, errors.New("open outbox: path: required")
	}
	if !shedguard.ValidID(opts.BootID) {
		return nil, fmt.Errorf("open outbox: boot id %q: want a ULID", opts.BootID)
	}
	if opts.Log == nil {
		return nil, errors.New("open outbox: log: required")
	}
	if opts.MaxTelemetryBytes < 0 || opts.MaxOtherBytes < 0 || opts.FlushEvery < 0 {
		return nil, fmt.Errorf("open outbox: bounds %d, %d, %v: want 0 or more", opts.MaxTelemetryBytes, opts.MaxOtherBytes, opts.FlushEvery)
	}
	opts.MaxTelemetryBytes = cmp.Or(opts.MaxTelemetryBytes, DefaultMaxTelemetryBytes)
	opts.MaxOtherBytes = cmp.Or(opts.MaxOtherBytes, DefaultMaxOtherBytes)
	opts.FlushEvery = cmp.Or(opts.FlushEvery, DefaultFlushEvery)
	o := &Outbox{
		opts: opts, path: path, open: open,
		puts: make(chan *put, maxGroup), tasks: make(chan func()),
		wake: make(chan struct{}, 1), flush: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{}),
		ids: make(map[string]*entry), boots: make(map[string]int64),
	}
	// Keys that start from the time do not meet those of a file that cannot be
	// read yet.
	o.nextAlarm = uint64(max(time.Now().UnixMilli(), 1)) << 20
	o.nextItem = o.nextAlarm
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		o.diskFailed(fmt.Errorf("make folder: %w", err))
	}
	o.attach()
	o.owner.Go(o.run)
	return o, nil
}

// Close commits what waits and closes the file.
func (o *Outbox) Close() error {
	o.once.Do(func() { close(o.stop) })
	o.owner.Wait()
	if s := o.Stats(); s.DiskError != "" {
		return fmt.Errorf("close outbox: %s", s.DiskError)
	}
	return nil
}

// Wake is sent to when there may be something new to read. It is for one
// reader.
func (o *Outbox) Wake() <-chan struct{} { return o.wake }

// Stats is how full the outbox is and what it lost.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{
		Alarms: len(o.alarms), TelemetryBytes: o.liveBytes,
		Telemetry: len(o.items) - o.removed, MemoryOnly: o.memoryOnly, DiskError: o.diskError, Counters: o.counters,
	}
	if o.clockless == 0 {
		return s
	}
	for _, it := range o.items {
		if !it.delivered && it.boot != "" && o.boots[it.boot] == 0 {
			s.Waiting++
		}
	}
	return s
}

// Sync commits everything that waits and returns when it is on disk.
func (o *Outbox) Sync(ctx context.Context) error {
	var err error
	if doErr := o.do(ctx, func() { err = o.commit() }); doErr != nil {
		return fmt.Errorf("sync outbox: %w", doErr)
	}
	if err != nil {
		return fmt.Errorf("sync outbox: %w", err)
	}
	return nil
}

// do runs f on the owner's goroutine.
func (o *Outbox) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case o.tasks <- func() { f(); close(done) }:
	case <-o.ended:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-done // disk access is bounded by the disk, not by ctx: f touches the caller's variables
	return nil
}

// run owns the file.
func (o *Outbox) run() {
	defer close(o.ended)
	tick := time.NewTicker(o.opts.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case p := <-o.puts:
			o.writeAlarms(o.group(p))
		case f := <-o.tasks:
			f()
		case <-tick.C:
			_ = o.commit() // kept in Stats and said in the log by diskFailed
		case <-o.flush:
			_ = o.commit() // as above
		case <-o.stop:
			for {
				select {
				case p := <-o.puts:
					o.writeAlarms(o.group(p))
					continue
				default:
				}
				break
			}
			_ = o.commit() // as above
			if o.file != nil {
				if err := o.file.Close(); err != nil {
					o.diskFailed(err)
				}
			}
			return
		}
	}
}

// group takes the puts that wait behind p, so that they share an fsync.
func (o *Outbox) group(p *put) []*put {
	ps := []*put{p}
	for len(ps) < maxGroup {
		select {
		case p := <-o.puts:
			ps = append(ps, p)
		default:
			return ps
		}
	}
	return ps
}

func (o *Outbox) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// diskFailed keeps why a write was refused and says it once.
func (o *Outbox) diskFailed(err error) {
	text := err.Error()
	o.mu.Lock()
	o.diskError = text
	o.mu.Unlock()
	if text != o.lastFail {
		o.lastFail = text
		o.opts.Log.Error("outbox cannot write to disk, keeping records in memory", "path", o.path, "err", text)
	}
}

func (o *Outbox) diskWorked() {
	o.mu.Lock()
	o.diskError = ""
	o.mu.Unlock()
	if o.lastFail != "" {
		o.lastFail = ""
		o.opts.Log.Info("outbox writes to disk again", "path", o.path)
	}
}

// SetClock says at which wall time a boot's timestamps began. Batches of that
// boot can then go out. The present boot's clock is told last: batches of
// other boots that are still unknown then are dropped and counted.
func (o *Outbox) SetClock(bootID string, start time.Time) error {
	if !shedguard.ValidID(bootID) || start.UnixMilli() <= 0 {
		return fmt.Errorf("outbox: clock of boot %q began %v: want a ULID and an instant after 1970", bootID, start)
	}
	o.mu.Lock()
	if o.boots[bootID] == 0 {
		o.boots[bootID] = start.UnixMilli()
		o.bootsDirty = true
	}
	if bootID == o.opts.BootID {
		for _, it := range o.items {
			if it.boot != "" && o.boots[it.boot] == 0 && !it.delivered {
				o.drop(it)
			}
		}
		o.trim()
	}
	o.mu.Unlock()
	o.signal(o.wake)
	return nil
}

func byKey(it *item, key uint64) int      { return cmp.Compare(it.key, key) }
func entryByKey(e *entry, key uint64) int { return cmp.Compare(e.rec.key, key) }

// drop takes a telemetry record out as lost. The caller holds mu and calls
// trim afterwards.
func (o *Outbox) drop(it *item) {
	o.counters.DroppedTelemetry++
	o.counters.DroppedBytes += uint64(max(it.size, 0))
	o.remove(it)
}

// remove takes a telemetry record out. The caller holds mu.
func (o *Outbox) remove(it *item) {
	if it.delivered {
		return
	}
	it.delivered = true
	o.removed++
	if it.boot != "" {
		o.clockless--
	}
	o.liveBytes -= int64(it.size)
	if it.onDisk {
		o.doomed = append(o.doomed, it.key)
	} else {
		o.pendingBytes -= int64(it.size)
	}
	if !it.writing {
		it.body = nil
	}
}

// trim forgets removed records once they are many. The caller holds mu.
func (o *Outbox) trim() {
	if o.removed > 64 && o.removed > len(o.items)/2 || o.removed == len(o.items) {
		o.items = slices.DeleteFunc(o.items, func(it *item) bool { return it.delivered })
		o.removed = 0
	}
}
