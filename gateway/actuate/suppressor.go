package actuate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	suppressionTick = 100 * time.Millisecond
	suppressionSave = time.Second // how often a window that runs is kept
)

// SuppressorOptions are what a Suppressor needs. All but Kept are required.
type SuppressorOptions struct {
	Settings SuppressionSettings
	Kept     SuppressionRecord
	// Output switches the output; it is written again until it succeeds.
	Output func(on bool) error
	// Save makes a record durable before it returns.
	Save func(ctx context.Context, r SuppressionRecord) error
	// Report is told of errors that Run cannot return, and of each change of
	// the phase.
	Report func(r SuppressionRecord, err error)
}

// Suppressor runs a [Suppression] against its output and its record on disk. Its
// methods may be called from any goroutine.
type Suppressor struct {
	opts  SuppressorOptions
	state atomic.Pointer[SuppressionState] // apart from mu, which is held while the disk writes

	mu      sync.Mutex // guards the rest
	machine *Suppression
	on      bool      // what the output was told
	unsure  bool      // and whether that failed
	saved   time.Time // when the record was last kept
}

// NewSuppressor plays every cause alone against the settings, and returns a
// suppressor when none of them releases anything.
func NewSuppressor(opts SuppressorOptions) (*Suppressor, error) {
	if opts.Output == nil || opts.Save == nil || opts.Report == nil {
		return nil, errors.New("suppressor: output, save and report: required")
	}
	if err := CheckSuppression(opts.Settings); err != nil {
		return nil, err
	}
	machine, err := NewSuppression(opts.Settings, opts.Kept)
	if err != nil {
		return nil, err
	}
	s := &Suppressor{opts: opts, machine: machine, unsure: true}
	s.show()
	return s, nil
}

// SuppressionState is how far a suppression is.
type SuppressionState struct {
	SuppressionRecord // Elapsed is that of the last change
	// Ends is when the veto window or the release ends, with its monotonic part;
	// zero in every other phase, and before Run has begun.
	Ends time.Time
}

// Left is how long the veto window or the release still takes.
func (s *SuppressionState) Left(now time.Time) time.Duration {
	if s.Ends.IsZero() {
		return 0
	}
	return max(0, s.Ends.Sub(now))
}

// State is how far the suppression is. It waits for nothing: a disk that hangs
// must not hold up whoever tells the state to others.
func (s *Suppressor) State() SuppressionState { return *s.state.Load() }

// show lets State see how far the machine is; it needs the lock.
func (s *Suppressor) show() {
	next := SuppressionState{SuppressionRecord: s.machine.Record(), Ends: s.machine.Ends()}
	// While a window runs, its phase and its end stay: one state serves it all.
	if was := s.state.Load(); was == nil || was.Phase != next.Phase || !was.Ends.Equal(next.Ends) || !was.At.Equal(next.At) {
		s.state.Store(&next)
	}
}

// Arm begins the veto window. It is on disk when Arm returns nil; when it could
// not be written, the window runs all the same and the error says so.
func (s *Suppressor) Arm(ctx context.Context, f *Fire) error {
	return s.change(ctx, func(now time.Time) error { return s.machine.Arm(f, now) })
}

// Veto keeps an armed suppression from releasing. By is the person. A veto holds
// even when it could not be written, which the error says.
func (s *Suppressor) Veto(ctx context.Context, by string) error {
	return s.change(ctx, func(now time.Time) error { return s.machine.Veto(by, now) })
}

// Reset makes a suppression that released or was vetoed ready again.
func (s *Suppressor) Reset(ctx context.Context, by string) error {
	return s.change(ctx, func(now time.Time) error { return s.machine.Reset(by, now) })
}

func (s *Suppressor) change(ctx context.Context, f func(now time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.step(ctx, now) // a release that is due is not vetoed any more
	was := s.machine.Record().Phase
	if err := f(now); err != nil {
		return err
	}
	if s.machine.Record().Phase == was {
		return nil
	}
	s.show()
	err := s.keep(ctx, now)
	s.opts.Report(s.machine.Record(), nil)
	if err != nil {
		return fmt.Errorf("suppression is %s, but a restart would not know: %w", s.machine.Record().Phase, err)
	}
	return nil
}

// Run lets the windows pass and drives the output until ctx ends. The output is
// off when it returns, if it can be switched; a release that was cut short goes
// on with the next Run.
func (s *Suppressor) Run(ctx context.Context) error {
	tick := time.NewTicker(suppressionTick)
	defer tick.Stop()
	for {
		s.mu.Lock()
		s.step(ctx, time.Now())
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			last := context.WithoutCancel(ctx)
			return errors.Join(s.keep(last, time.Now()), s.opts.Output(false))
		case <-tick.C:
		}
	}
}

// step needs the lock.
func (s *Suppressor) step(ctx context.Context, now time.Time) {
	on, changed := s.machine.Next(now)
	r := s.machine.Record()
	var err error
	if changed || r.Phase.Runs() && now.Sub(s.saved) >= suppressionSave {
		// Before the output: a release that nobody knows of might come twice. One
		// that cannot be written down comes all the same: there is a fire.
		err = s.keep(context.WithoutCancel(ctx), now)
	}
	if on != s.on || s.unsure {
		oerr := s.opts.Output(on)
		s.on, s.unsure = on, oerr != nil
		err = errors.Join(err, oerr)
	}
	s.show() // not before: released means that the output is off
	if changed || err != nil {
		s.opts.Report(r, err)
	}
}

func (s *Suppressor) keep(ctx context.Context, now time.Time) error {
	if err := s.opts.Save(ctx, s.machine.Record()); err != nil {
		return fmt.Errorf("keep suppression: %w", err)
	}
	s.saved = now
	return nil
}
