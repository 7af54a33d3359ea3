package clock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	// PollEvery is how often Run asks the source.
	PollEvery = 5 * time.Second
	// SaveEvery is how often Run saves the floor: flash wears.
	SaveEvery = 10 * time.Minute
	// maxFloorBytes bounds the floor file.
	maxFloorBytes = 64
	// farthest is how far above the build time a saved floor is believed.
	farthest = 30 * 365 * 24 * time.Hour
)

// Source reports whether a time source disciplines the wall clock.
type Source func() (synced bool, err error)

// Trust is the source that vouches for the clock without asking.
func Trust() (synced bool, err error) { return true, nil }

// Options describe a clock.
type Options struct {
	// Source is Kernel or Trust.
	Source Source
	// Built is when the program was built; zero when that is not known.
	Built time.Time
	// FloorPath is the file that keeps the floor. Empty keeps none.
	FloorPath string
	// Log gets changes of the quality and files that cannot be used.
	Log *slog.Logger
}

// Clock is the gateway's view of its wall clock. Its methods may be called from
// any goroutine.
type Clock struct {
	opts  Options
	start time.Time // with its monotonic part

	mu      sync.Mutex // guards all below
	floor   time.Time
	quality shedguard.ClockQuality
	changed chan struct{} // closed when quality changes
	err     error         // the last one of the source
}

// New returns a clock after asking its source once. A floor file that cannot be
// used is reported to the log and otherwise as if it were not there.
func New(opts Options) (*Clock, error) {
	if opts.Source == nil || opts.Log == nil {
		return nil, errors.New("clock: source and log: required")
	}
	c := &Clock{
		opts:    opts,
		start:   time.Now(),
		floor:   opts.Built,
		quality: shedguard.ClockUnsynced,
		changed: make(chan struct{}),
	}
	switch saved, err := readFloor(opts.FloorPath); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		opts.Log.Warn("clock floor not usable", "err", err)
	case saved.Sub(opts.Built) > farthest && !opts.Built.IsZero():
		// A clock that was once far ahead must not make every right time wrong.
		opts.Log.Warn("clock floor is too far ahead", "floor", saved)
	case saved.After(c.floor):
		c.floor = saved
	}
	c.ask(time.Now())
	return c, nil
}

// Run keeps the quality up to date and saves the floor, until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(PollEvery)
	defer tick.Stop()
	saved := time.Now()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return c.save()
		case <-tick.C:
		}
		now := time.Now()
		c.ask(now)
		if now.Sub(saved) < SaveEvery {
			continue
		}
		saved = now
		err := c.save()
		if err != nil && err.Error() != failed {
			c.opts.Log.Warn("clock floor not saved", "err", err)
		}
		failed = ""
		if err != nil {
			failed = err.Error()
		}
	}
}

// ask asks the source and works out the quality.
func (c *Clock) ask(now time.Time) {
	synced, err := c.opts.Source()
	c.mu.Lock()
	next := shedguard.ClockUnsynced
	switch {
	case now.Round(0).Before(c.floor):
	case synced && err == nil:
		next = shedguard.ClockSynced
	case c.quality != shedguard.ClockUnsynced:
		next = shedguard.ClockHoldover
	}
	before, told := c.quality, c.err
	c.quality, c.err = next, err
	if next != before {
		close(c.changed)
		c.changed = make(chan struct{})
	}
	floor := c.floor
	c.mu.Unlock()
	if next != before {
		c.opts.Log.Info("clock quality changed", "quality", next, "before", before, "floor", floor)
	}
	if err != nil && (told == nil || told.Error() != err.Error()) {
		c.opts.Log.Warn("clock source does not answer", "err", err)
	}
}

// Quality says how far the wall clock can be trusted.
func (c *Clock) Quality() shedguard.ClockQuality {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quality
}

// Changed is closed when the quality changes next.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Floor is the latest moment that is known to have passed.
func (c *Clock) Floor() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.floor
}

// Wall returns the wall time of an instant of this run of the program, by the
// clock as it is now: the instant's own wall part may be from before the clock
// was set. An instant without a monotonic part is returned as it is.
func (c *Clock) Wall(at time.Time) time.Time {
	now := time.Now()
	return wall(now, at)
}

func wall(now, at time.Time) time.Time {
	if at == at.Round(0) { //nolint:staticcheck // == tells whether there is a monotonic part; Equal cannot
		return at.UTC()
	}
	return now.Round(0).Add(at.Sub(now)).UTC()
}

// Mono returns how long after New an instant of this run was.
func (c *Clock) Mono(at time.Time) time.Duration { return at.Sub(c.start) }

// Started returns the instant of New.
func (c *Clock) Started() time.Time { return c.start }

// save raises the floor to now, if the clock is to be believed, and writes it.
func (c *Clock) save() error {
	now := time.Now().UTC().Truncate(time.Second)
	c.mu.Lock()
	raise := c.quality == shedguard.ClockSynced && now.After(c.floor)
	if raise {
		c.floor = now
	}
	c.mu.Unlock()
	if !raise || c.opts.FloorPath == "" {
		return nil
	}
	if err := writeFloor(c.opts.FloorPath, now); err != nil {
		return fmt.Errorf("save clock floor: %w", err)
	}
	return nil
}

// readFloor reads the floor file; an empty path is a file that is not there.
func readFloor(path string) (time.Time, error) {
	if path == "" {
		return time.Time{}, fs.ErrNotExist
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	if info.Size() > maxFloorBytes {
		return time.Time{}, fmt.Errorf("%s: %d bytes: want at most %d", path, info.Size(), maxFloorBytes)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	return at, nil
}

// writeFloor replaces the file as a whole: after a power cut it is the old one
// or the new one.
func writeFloor(path string, at time.Time) (err error) {
	dir := filepath.Dir(path)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(at.Format(time.RFC3339) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	return errors.Join(d.Sync(), d.Close())
}
