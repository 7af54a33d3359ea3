package clock_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a time source that a test steers.
type source struct {
	synced atomic.Bool
	err    atomic.Pointer[error]
}

func (s *source) ask() (bool, error) {
	if err := s.err.Load(); err != nil {
		return true, *err
	}
	return s.synced.Load(), nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run runs a clock in the bubble until the test ends.
func run(t *testing.T, opts clock.Options) *clock.Clock {
	t.Helper()
	c, err := clock.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func TestQuality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := run(t, clock.Options{Source: src.ask, Log: quiet()})
		step := func(name string, want shedguard.ClockQuality, changes bool) {
			t.Helper()
			changed := c.Changed()
			time.Sleep(clock.PollEvery)
			synctest.Wait()
			if got := c.Quality(); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			select {
			case <-changed:
				if !changes {
					t.Errorf("%s: a change was told", name)
				}
			default:
				if changes {
					t.Errorf("%s: no change was told", name)
				}
			}
		}
		time.Sleep(time.Millisecond) // between two ticks
		step("never set", shedguard.ClockUnsynced, false)
		broken := errors.New("broken")
		src.err.Store(&broken)
		step("source broken from the start", shedguard.ClockUnsynced, false)
		src.err.Store(nil)
		src.synced.Store(true)
		step("set", shedguard.ClockSynced, true)
		step("still set", shedguard.ClockSynced, false)
		src.synced.Store(false)
		step("source lost", shedguard.ClockHoldover, true)
		src.synced.Store(true)
		step("source back", shedguard.ClockSynced, true)
		src.err.Store(&broken)
		step("source broken later", shedguard.ClockHoldover, true)
	})
}

// TestBelowTheFloor: whoever vouches for a clock that shows a time before the
// program was built, it is wrong.
func TestBelowTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := run(t, clock.Options{Source: clock.Trust, Built: time.Now().Add(time.Hour), Log: quiet()})
		if q := c.Quality(); q != shedguard.ClockUnsynced {
			t.Errorf("quality %s below the floor", q)
		}
		time.Sleep(time.Hour + clock.PollEvery)
		synctest.Wait()
		if q := c.Quality(); q != shedguard.ClockSynced {
			t.Errorf("quality %s above the floor", q)
		}
	})
}

func TestFloorIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock-floor")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		src := &source{}
		ctx, stop := context.WithCancel(t.Context())
		c, err := clock.New(clock.Options{Source: src.ask, FloorPath: path, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(clock.SaveEvery + time.Minute)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an unsynced clock was saved: %v", err)
		}
		src.synced.Store(true)
		time.Sleep(2 * clock.SaveEvery)
		synctest.Wait()
		first, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(clock.SaveEvery / 2)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		last, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(first, []byte("T")) || bytes.Equal(first, last) {
			t.Errorf("floor %q, then %q at the end: want a later one", first, last)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
			t.Errorf("%d files are left, %v: want the floor alone", len(files), err)
		}
		again, err := clock.New(clock.Options{Source: src.ask, Built: start.Add(-time.Hour), FloorPath: path, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if f := again.Floor(); f.Before(start) || f.After(time.Now()) {
			t.Errorf("floor %s after a restart", f)
		}
	})
}

// TestSavesAreRare: at most one write in ten minutes.
func TestSavesAreRare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock-floor")
	synctest.Test(t, func(t *testing.T) {
		run(t, clock.Options{Source: clock.Trust, FloorPath: path, Log: quiet()})
		seen := map[string]bool{}
		for range 36 {
			time.Sleep(100 * time.Second)
			synctest.Wait()
			if b, err := os.ReadFile(path); err == nil {
				seen[string(b)] = true
			}
		}
		if len(seen) < 5 || len(seen) > 6 {
			t.Errorf("%d saves in an hour, want 5 or 6", len(seen))
		}
	})
}

func TestBadFloor(t *testing.T) {
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct{ text, log string }{
		"garbage":      {"\x00\xff", "clock floor not usable"},
		"empty":        {"", "clock floor not usable"},
		"huge":         {strings.Repeat("9", 100), "want at most 64"},
		"far ahead":    {"2999-01-01T00:00:00Z\n", "clock floor is too far ahead"},
		"before build": {"1999-01-01T00:00:00Z\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "floor")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			c, err := clock.New(clock.Options{Source: clock.Trust, Built: built, FloorPath: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if !c.Floor().Equal(built) {
				t.Errorf("floor %s, want the build time", c.Floor())
			}
			if !strings.Contains(log.String(), tt.log) {
				t.Errorf("log %q, want %q in it", log.String(), tt.log)
			}
		})
	}
}

func TestFloorThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := clock.New(clock.Options{Source: clock.Trust, FloorPath: "/nonexistent/floor", Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 55*time.Minute)
		defer stop()
		if err := c.Run(ctx); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Run: %v, want the failed save", err)
		}
		if n := strings.Count(log.String(), "not saved"); n != 1 {
			t.Errorf("%d log lines about one fault, want 1:\n%s", n, log.String())
		}
		if q := c.Quality(); q != shedguard.ClockSynced {
			t.Errorf("quality %s: a full disk is no fault of the clock", q)
		}
	})
}

// TestWallFollowsTheMonotonicClock: wherever an instant's wall part came from,
// its wall time is now less its age.
func TestWallFollowsTheMonotonicClock(t *testing.T) {
	c, err := clock.New(clock.Options{Source: clock.Trust, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-int64(240*time.Hour), int64(240*time.Hour)).Draw(t, "ago"))
		base := time.Now()
		at := base.Add(d)
		got := c.Wall(at)
		if off := got.Sub(at.Round(0)); off < -time.Second || off > time.Second {
			t.Fatalf("wall time of %s is %s", at, got)
		}
		if got != got.Round(0) || got.Location() != time.UTC {
			t.Fatalf("%v carries a monotonic part or a zone", got)
		}
		if m := c.Mono(at); m != at.Sub(c.Started()) {
			t.Fatalf("Mono %s", m)
		}
	})
	stored := time.Date(2020, 2, 3, 4, 5, 6, 0, time.FixedZone("x", 3600))
	if got := c.Wall(stored); !got.Equal(stored) {
		t.Errorf("an instant without a monotonic part became %s", got)
	}
}

func TestKernelAnswers(t *testing.T) {
	if _, err := clock.Kernel(); err != nil {
		t.Skipf("this kernel does not answer adjtimex here: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := clock.New(clock.Options{Log: quiet()}); err == nil {
		t.Error("no source: no error")
	}
	if _, err := clock.New(clock.Options{Source: clock.Trust}); err == nil {
		t.Error("no log: no error")
	}
}
