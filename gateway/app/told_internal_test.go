package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/clock"
	"github.com/shedguard/shedguard/gateway/uplink"
)

func TestSteadyEnd(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, second := time.Now(), time.Now().Add(10*time.Second)
	var e steadyEnd
	for _, step := range []struct {
		what     string
		ends     time.Time
		at, want time.Duration // after noon
	}{
		{"the first, in whole milliseconds", first, 1500*time.Millisecond + 700, 1500 * time.Millisecond},
		{"slewed", first, 1501 * time.Millisecond, 1500 * time.Millisecond},
		{"slewed the other way", first, 1200 * time.Millisecond, 1500 * time.Millisecond},
		{"slewed for long", first, 2499 * time.Millisecond, 1500 * time.Millisecond},
		{"stepped", first, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"stepped back", first, -time.Hour, -time.Hour},
		{"another window", second, -time.Hour + 100*time.Millisecond, -time.Hour + 100*time.Millisecond},
	} {
		if got := e.steady(step.ends, noon.Add(step.at)); !got.Equal(noon.Add(step.want)) || got.Location() != time.UTC {
			t.Errorf("%s: %v, want %v", step.what, got, noon.Add(step.want))
		}
	}
}

// suppressed is an app of a suppression and a clock, and nothing else.
func suppressed(t *testing.T, synced func() (bool, error)) *App {
	t.Helper()
	a := &App{log: slog.New(slog.DiscardHandler)}
	var err error
	if a.clock, err = clock.New(clock.Options{Source: synced, Log: a.log}); err != nil {
		t.Fatal(err)
	}
	a.suppressor, err = actuate.NewSuppressor(actuate.SuppressorOptions{
		Settings: actuate.SuppressionSettings{Veto: 15 * time.Second, Release: 5 * time.Second},
		Output:   func(bool) error { return nil },
		Save:     func(context.Context, actuate.SuppressionRecord) error { return nil },
		Report:   func(actuate.SuppressionRecord, error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A gateway that does not know the time says no time, and says it as soon as it
// knows it.
func TestUntilNeedsAClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Bool
		a := suppressed(t, func() (bool, error) { return set.Load(), nil })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- a.clock.Run(ctx) }()
		go func() { done <- a.suppressor.Run(ctx) }()
		ends := time.Now().Add(15 * time.Second).Truncate(time.Millisecond)
		if err := a.suppressor.Arm(ctx, &actuate.Fire{
			Grade: shedguard.GradeFire, Zone: "bay-1", Senses: []shedguard.Cause{shedguard.CauseFlameSeen, shedguard.CauseSmokeContact},
		}); err != nil {
			t.Fatal(err)
		}
		tells := func(phase shedguard.SuppressionPhase, until time.Time) {
			t.Helper()
			if got := a.suppressionTold(); got.Phase != phase || !got.Until.Equal(until) || got.Zone != "bay-1" {
				t.Errorf("after %v: %+v, want %s until %v", time.Since(ends.Add(-15*time.Second)), got, phase, until)
			}
		}
		tells(shedguard.SuppressionArmed, time.Time{})
		set.Store(true)
		time.Sleep(2 * clock.PollEvery)
		tells(shedguard.SuppressionArmed, ends)
		time.Sleep(15*time.Second - 2*clock.PollEvery)
		synctest.Wait()
		tells(shedguard.SuppressionReleasing, ends.Add(5*time.Second))
		time.Sleep(6 * time.Second)
		tells(shedguard.SuppressionReleased, time.Time{})
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// A suppression that reports more than can be recorded is not held up: what is
// lost is a line in a log, and is said.
func TestSuppressionReportsWaitForNobody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &App{log: slog.New(slog.NewTextHandler(&log, nil)), uplink: new(uplink.Uplink), phases: make(chan phaseChange, 2), phase: shedguard.SuppressionIdle}
	for _, phase := range []shedguard.SuppressionPhase{
		shedguard.SuppressionIdle, // nothing but an error came
		shedguard.SuppressionArmed, shedguard.SuppressionArmed, shedguard.SuppressionVetoed, shedguard.SuppressionIdle,
	} {
		a.suppressionReported(&actuate.SuppressionRecord{Phase: phase})
	}
	if first, second := <-a.phases, <-a.phases; first.Phase != shedguard.SuppressionArmed || second.Phase != shedguard.SuppressionVetoed || len(a.phases) != 0 {
		t.Errorf("recorded %s and %s", first.Phase, second.Phase)
	}
	if n := strings.Count(log.String(), "suppression change not recorded"); n != 1 {
		t.Errorf("said %d times that one was lost:\n%s", n, log.String())
	}
}
