package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/poll"
)

const (
	// lampTestFor is how long the lamp is lit by a self-test: somebody may be
	// looking.
	lampTestFor = 3 * time.Second
	// readBackWithin is how long the expanders may take to be read back.
	readBackWithin = 2 * time.Second
)

// selfTest looks at everything that can be looked at without switching an
// outlet: the lamp is lit, the expanders are read back, and what is known of
// each chip, of the disk, the clock and the link is told. It never closes a
// relay.
func (a *App) selfTest(ctx context.Context) *shedguard.SelfTest {
	r := &shedguard.SelfTest{OK: true}
	add := func(name string, err error, detail string) {
		c := shedguard.SelfTestCheck{Name: name, OK: err == nil, Detail: detail}
		if err != nil {
			c.Detail = err.Error()
			r.OK = false
		}
		r.Checks = append(r.Checks, c)
	}

	if last := a.guard.Stats().LastTick; last > time.Second {
		add("guard", fmt.Errorf("its last round was completed %s ago", last.Round(time.Millisecond)), "")
	} else {
		add("guard", nil, "")
	}
	add("relays", a.readBack(), "")
	switch {
	case a.cfg.Lamp == nil:
		add("lamp", nil, "none is wired")
	case a.guard.TestLamp(ctx, lampTestFor):
		add("lamp", nil, fmt.Sprintf("lit for %s: look whether it is", lampTestFor))
	default:
		add("lamp", errors.New("its output was not written"), "")
	}
	views := a.guard.Snapshot()
	for i := range views {
		v := &views[i]
		subject := shedguard.OutletSubject(v.Outlet)
		meter := v.MeterErr
		if errors.Is(meter, poll.ErrNotTried) {
			meter = errors.New("not read yet")
		}
		add(subject+"/meter", meter, "")
		if !v.CelsiusAt.IsZero() || v.ThermometerErr != nil {
			add(subject+"/thermometer", v.ThermometerErr, "")
		}
		add(subject+"/relay", v.RelayErr, "")
	}
	add("disk", a.diskWorks(ctx), "")
	switch a.clock.Quality() {
	case shedguard.ClockUnsynced:
		add("clock", errors.New("not set: start, reset and veto by command are refused"), "")
	case shedguard.ClockHoldover:
		add("clock", nil, "runs free since its time source was lost")
	case shedguard.ClockSynced:
		add("clock", nil, "")
	}
	if a.cfg.Suppression != nil {
		add("suppression", a.checkSuppression(), a.suppressionDetail())
	}
	return r
}

// readBack has every expander read back, in a bounded time.
func (a *App) readBack() error {
	done := make(chan error, 1)
	a.checks.Go(func() { done <- a.relays.Verify() })
	select {
	case err := <-done:
		return err
	case <-time.After(readBackWithin):
		return fmt.Errorf("the bus of the relays did not return within %s", readBackWithin)
	}
}

// diskWorks has the alarm book written.
func (a *App) diskWorks(ctx context.Context) error {
	if s := a.outbox.Stats(); s.DiskError != "" {
		return errors.New(strings.TrimSpace(s.DiskError))
	}
	return a.alarms.Write(ctx, time.Now())
}

func (a *App) checkSuppression() error {
	if a.suppressor == nil {
		return nil
	}
	return actuate.CheckSuppression(a.suppressionSettings())
}

func (a *App) suppressionDetail() string {
	if a.suppressor == nil {
		return "not enabled"
	}
	s := a.suppressor.State()
	if left := s.Left(time.Now()); left > 0 {
		return fmt.Sprintf("%s, %s left", s.Phase, left.Round(time.Second))
	}
	return string(s.Phase)
}
