package actuate_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
)

// bottle is a suppression agent, and a disk that outlives the program.
type bottle struct {
	mu sync.Mutex // guards the rest
	world
}

// world is what there is to see of it.
type world struct {
	disk   actuate.SuppressionRecord
	full   bool // of the disk
	stuck  bool // the output
	on     bool
	bursts int
	lit    time.Duration
	since  time.Time
	phases []shedguard.SuppressionPhase
	errs   int
}

func (b *bottle) options() actuate.SuppressorOptions {
	return actuate.SuppressorOptions{
		Settings: actuate.SuppressionSettings{Veto: 15 * time.Second, Release: 10 * time.Second}, Kept: b.disk,
		Output: func(on bool) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.stuck {
				return errors.New("not acknowledged")
			}
			switch {
			case on && !b.on:
				b.bursts++
				b.since = time.Now()
			case !on && b.on:
				b.lit += time.Since(b.since)
			}
			b.on = on
			return nil
		},
		Save: func(_ context.Context, r actuate.SuppressionRecord) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.full {
				return errors.New("no space left on device")
			}
			b.disk = r
			return nil
		},
		Report: func(r actuate.SuppressionRecord, err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if err != nil {
				b.errs++
				return
			}
			b.phases = append(b.phases, r.Phase)
		},
	}
}

// look is a copy of what there is to see.
func (b *bottle) look() world {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.world
	w.phases = slices.Clone(w.phases)
	return w
}

func (b *bottle) run(t *testing.T) (s *actuate.Suppressor, end func()) {
	t.Helper()
	s, err := actuate.NewSuppressor(b.options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		w := b.look()
		if err := <-done; err != nil && !w.full && !w.stuck {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestSuppressorRestartedInItsWindow(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"ended": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &bottle{}
				restart := func(end func()) (*actuate.Suppressor, func()) {
					disk := b.look().disk
					end()
					if killed {
						b.mu.Lock()
						b.disk = disk // what the end wrote never reached it
						b.mu.Unlock()
					}
					time.Sleep(time.Hour)
					return b.run(t)
				}
				s, end := b.run(t)
				if err := s.Arm(t.Context(), fire(two...)); err != nil || b.look().disk.Phase != shedguard.SuppressionArmed {
					t.Fatalf("%v, on disk %+v", err, b.look().disk)
				}
				time.Sleep(10*time.Second + 50*time.Millisecond)
				_, end = restart(end)
				time.Sleep(4 * time.Second)
				if b.look().bursts != 0 {
					t.Fatal("released before the window had passed")
				}
				time.Sleep(2 * time.Second)
				if b.look().bursts != 1 || !b.look().on {
					t.Fatalf("released %d times, on %t: forgotten over the restart", b.look().bursts, b.look().on)
				}
				time.Sleep(5 * time.Second)
				s, end = restart(end) // within the release
				time.Sleep(time.Minute)
				if r := s.State(); b.look().on || b.look().lit < 9*time.Second || b.look().lit > 11*time.Second || r.Phase != shedguard.SuppressionReleased {
					t.Errorf("on for %v, %+v: want 10 s in all", b.look().lit, r)
				}
				bursts := b.look().bursts
				s, end = restart(end)
				time.Sleep(time.Minute)
				if err := s.Arm(t.Context(), fire(two...)); !errors.Is(err, actuate.ErrSpent) {
					t.Errorf("armed again: %v", err)
				}
				time.Sleep(time.Minute)
				if b.look().bursts != bursts || b.look().on {
					t.Errorf("released again")
				}
				end()
			})
		})
	}
}

func TestSuppressorVetoOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bottle{}
		s, end := b.run(t)
		if err := s.Veto(t.Context(), "wang"); !errors.Is(err, actuate.ErrNotArmed) {
			t.Errorf("%v", err)
		}
		if err := s.Arm(t.Context(), fire(two...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		if err := s.Veto(t.Context(), "wang"); err != nil {
			t.Fatal(err)
		}
		end()
		_, end = b.run(t)
		time.Sleep(time.Hour)
		if b.look().bursts != 0 || b.look().disk.Phase != shedguard.SuppressionVetoed || b.look().disk.By != "wang" {
			t.Errorf("released %d times, on disk %+v", b.look().bursts, b.look().disk)
		}
		if want := []shedguard.SuppressionPhase{shedguard.SuppressionArmed, shedguard.SuppressionVetoed}; !slices.Equal(b.look().phases, want) {
			t.Errorf("reported %v, want %v", b.look().phases, want)
		}
		end()
	})
}

// TestSuppressorTriesAgain: an output that cannot be written is written again;
// a full disk keeps nobody from putting out a fire, and nobody's veto from
// holding.
func TestSuppressorTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bottle{world: world{full: true, stuck: true}}
		s, end := b.run(t)
		if err := s.Arm(t.Context(), fire(two...)); err == nil {
			t.Error("armed on a full disk, and nothing was said of it")
		}
		time.Sleep(16 * time.Second)
		b.mu.Lock()
		b.stuck = false
		b.mu.Unlock()
		time.Sleep(time.Second)
		if !b.look().on || b.look().errs == 0 {
			t.Errorf("on %t, %d errors", b.look().on, b.look().errs)
		}
		time.Sleep(time.Minute)
		if err := s.Reset(t.Context(), "wang"); err == nil {
			t.Error("reset on a full disk, and nothing was said of it")
		}
		if err := s.Arm(t.Context(), fire(two...)); err == nil {
			t.Error("armed on a full disk, and nothing was said of it")
		}
		if err := s.Veto(t.Context(), "wang"); err == nil {
			t.Error("vetoed on a full disk, and nothing was said of it")
		}
		bursts := b.look().bursts
		time.Sleep(time.Minute)
		if b.look().bursts != bursts {
			t.Error("released after a veto")
		}
		end()
	})
}

// TestSuppressorStateEnds: the end of a window is one instant for as long as the
// window runs, and a window goes on where it was after a restart.
func TestSuppressorStateEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bottle{}
		s, end := b.run(t)
		is := func(phase shedguard.SuppressionPhase, ends time.Time) {
			t.Helper()
			got := s.State()
			left := time.Duration(0)
			if !ends.IsZero() {
				left = time.Until(ends)
			}
			if got.Phase != phase || !got.Ends.Equal(ends) || got.Left(time.Now()) != left {
				t.Errorf("%s until %v, %v left: want %s until %v", got.Phase, got.Ends, got.Left(time.Now()), phase, ends)
			}
		}
		synctest.Wait()
		is(shedguard.SuppressionIdle, time.Time{})
		time.Sleep(33 * time.Millisecond) // beside its ticks
		if err := s.Arm(t.Context(), fire(two...)); err != nil {
			t.Fatal(err)
		}
		ends := time.Now().Add(15 * time.Second)
		for range 99 {
			is(shedguard.SuppressionArmed, ends)
			time.Sleep(101 * time.Millisecond) // 9.999 s in all
		}
		end()
		left := 15*time.Second - b.look().disk.Elapsed
		time.Sleep(time.Hour)
		s, end = b.run(t)
		synctest.Wait()
		ends = time.Now().Add(left)
		is(shedguard.SuppressionArmed, ends)
		time.Sleep(left - time.Millisecond)
		is(shedguard.SuppressionArmed, ends)
		time.Sleep(100 * time.Millisecond) // its next tick
		synctest.Wait()
		ends = s.State().At.Add(10 * time.Second)
		is(shedguard.SuppressionReleasing, ends)
		time.Sleep(9 * time.Second)
		is(shedguard.SuppressionReleasing, ends)
		time.Sleep(2 * time.Second)
		is(shedguard.SuppressionReleased, time.Time{})
		if err := s.Reset(t.Context(), "wang"); err != nil {
			t.Fatal(err)
		}
		is(shedguard.SuppressionIdle, time.Time{})
		if by := s.State().By; by != "wang" {
			t.Errorf("reset by %q", by)
		}
		end()
	})
}

// TestSuppressorStateWaitsForNoDisk: whoever tells others how far it is must not
// stand still with the disk; what a person said is told before it is written.
func TestSuppressorStateWaitsForNoDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, hung := (&bottle{}).options(), make(chan struct{})
		o.Save = func(context.Context, actuate.SuppressionRecord) error {
			<-hung
			return nil
		}
		s, err := actuate.NewSuppressor(o)
		if err != nil {
			t.Fatal(err)
		}
		armed := make(chan error, 1)
		go func() { armed <- s.Arm(context.Background(), fire(two...)) }()
		synctest.Wait() // it hangs
		if got := s.State(); got.Phase != shedguard.SuppressionArmed || got.Left(time.Now()) != 15*time.Second {
			t.Errorf("%+v", got)
		}
		close(hung)
		if err := <-armed; err != nil {
			t.Error(err)
		}
	})
}

// TestSuppressorStateIsOfTheOutput: what is told of the release is never ahead of
// the output, though the record on disk is.
func TestSuppressorStateIsOfTheOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bottle{}
		o := b.options()
		var s *actuate.Suppressor
		kept := make(map[shedguard.SuppressionPhase]shedguard.SuppressionPhase)
		save := o.Save
		o.Save = func(ctx context.Context, r actuate.SuppressionRecord) error {
			if _, again := kept[r.Phase]; !again {
				kept[r.Phase] = s.State().Phase
			}
			return save(ctx, r)
		}
		s, err := actuate.NewSuppressor(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if err := s.Arm(ctx, fire(two...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for phase, told := range map[shedguard.SuppressionPhase]shedguard.SuppressionPhase{
			shedguard.SuppressionArmed:     shedguard.SuppressionArmed, // the output does nothing about it
			shedguard.SuppressionReleasing: shedguard.SuppressionArmed,
			shedguard.SuppressionReleased:  shedguard.SuppressionReleasing,
		} {
			if kept[phase] != told {
				t.Errorf("%s was told while %s was written down, want %s", kept[phase], phase, told)
			}
		}
	})
}

func TestSuppressorIsChecked(t *testing.T) {
	t.Parallel()
	o := (&bottle{}).options()
	o.Save = nil
	if _, err := actuate.NewSuppressor(o); err == nil {
		t.Error("no save")
	}
	o = (&bottle{}).options()
	o.Settings.Veto = 0
	if _, err := actuate.NewSuppressor(o); err == nil {
		t.Error("no window")
	}
}
