package actuate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// ErrDeadline comes from Run when the guard did not complete its work in time.
var ErrDeadline = errors.New("guard missed its deadline")

// DeadlineLimit is how long the guard may take between two completed ticks.
const DeadlineLimit = 2 * time.Second

// deadlineGrace is how long Expired waits for the relays: they are either
// opened in a few milliseconds or their bus is stuck.
const deadlineGrace = 500 * time.Millisecond

// line is an output of the gateway's own, such as a gpio.PinOut.
type line interface {
	Out(l gpio.Level) error
}

// Enable is the line that keeps the supply of the relay coils alive. The supply
// is retriggerable: it falls off when the line stops toggling. A nil Enable is
// a shed without one.
type Enable struct {
	pin     line
	level   atomic.Bool
	dropped atomic.Bool
}

// NewEnable returns an enable line on a pin, for example a gpio.PinOut, after it
// was driven low.
func NewEnable(pin line) (*Enable, error) {
	if err := pin.Out(gpio.Low); err != nil {
		return nil, fmt.Errorf("enable line: %w", err)
	}
	return &Enable{pin: pin}, nil
}

// Toggle inverts the line, unless it was dropped.
func (e *Enable) Toggle() error {
	if e == nil || e.dropped.Load() {
		return nil
	}
	level := !e.level.Load()
	e.level.Store(level)
	err := e.pin.Out(gpio.Level(level))
	if e.dropped.Load() { // while the line was written
		err = errors.Join(err, e.pin.Out(gpio.Low))
	}
	if err != nil {
		return fmt.Errorf("enable line: %w", err)
	}
	return nil
}

// Drop drives the line low for good.
func (e *Enable) Drop() error {
	if e == nil {
		return nil
	}
	e.dropped.Store(true)
	if err := e.pin.Out(gpio.Low); err != nil {
		return fmt.Errorf("enable line: drop: %w", err)
	}
	return nil
}

// DeadlineOptions say what happens when the guard stands still.
type DeadlineOptions struct {
	// Limit is how long the guard may take between two kicks, DeadlineLimit in
	// a shed.
	Limit time.Duration
	// Enable is nil where there is no enable line.
	Enable *Enable
	Relays *Relays
	// Expired ends the process, so that what stands behind it (ExecStopPost,
	// the hardware watchdog) takes over. It gets the whole story.
	Expired func(error)
}

// Deadline opens the relays when the guard misses its deadline.
type Deadline struct {
	opts    DeadlineOptions
	base    time.Time
	last    atomic.Int64 // the last kick, since base
	stopped chan struct{}
	once    sync.Once
}

// NewDeadline returns a deadline that is armed by Run.
func NewDeadline(opts DeadlineOptions) (*Deadline, error) {
	if opts.Limit <= 0 || opts.Limit > time.Minute {
		return nil, fmt.Errorf("deadline: limit %s: want above 0, up to 1m", opts.Limit)
	}
	if opts.Relays == nil || opts.Expired == nil {
		return nil, errors.New("deadline: relays and expired: required")
	}
	return &Deadline{opts: opts, base: time.Now(), stopped: make(chan struct{})}, nil
}

// Kick says that work was completed. It never blocks.
func (d *Deadline) Kick() { d.last.Store(int64(time.Since(d.base))) }

// Stop says that the guard has ended and opened the relays itself.
func (d *Deadline) Stop() { d.once.Do(func() { close(d.stopped) }) }

// Run watches until Stop. When the deadline is missed it drops the enable line,
// opens all relays as far as their buses let it, calls Expired, and returns
// ErrDeadline.
//
// The end of ctx is not the end of the watch: the guard still has to open its
// relays then, and may hang while it does.
func (d *Deadline) Run(ctx context.Context) error {
	d.Kick()
	timer := time.NewTimer(d.opts.Limit)
	defer timer.Stop()
	for {
		select {
		case <-d.stopped:
			return nil
		case <-timer.C:
		}
		left := d.opts.Limit - (time.Since(d.base) - time.Duration(d.last.Load()))
		if left < 0 {
			return d.expire(ctx)
		}
		timer.Reset(left + 1)
	}
}

func (d *Deadline) expire(ctx context.Context) error {
	err := fmt.Errorf("%w of %s", ErrDeadline, d.opts.Limit)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w while it ended", err)
	}
	err = errors.Join(err, d.opts.Enable.Drop())
	opened := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { opened <- d.opts.Relays.OpenAll() })
	select {
	case oerr := <-opened:
		err = errors.Join(err, oerr)
	case <-time.After(deadlineGrace):
		err = errors.Join(err, fmt.Errorf("open all relays: a bus did not return within %s", deadlineGrace))
	}
	d.opts.Expired(err)
	wg.Wait()
	return err
}
