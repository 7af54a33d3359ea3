package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
)

func (a *App) suppressionSettings() actuate.SuppressionSettings {
	return actuate.SuppressionSettings{Veto: a.cfg.Suppression.Veto, Release: a.cfg.Suppression.Release}
}

// newSuppressor builds the suppression, if it is enabled. One that fails its
// self-check stays off; the outlets are protected all the same.
func (a *App) newSuppressor() {
	if a.cfg.Suppression == nil || !a.cfg.Suppression.Enabled {
		return
	}
	s, err := actuate.NewSuppressor(actuate.SuppressorOptions{
		Settings: a.suppressionSettings(), Kept: a.alarms.Suppression(), Output: a.relays.Suppression,
		Save: func(ctx context.Context, r actuate.SuppressionRecord) error {
			return a.alarms.KeepSuppression(ctx, r, time.Now())
		},
		Report: func(r actuate.SuppressionRecord, err error) {
			if err != nil {
				a.log.Error("suppression output at fault", "part", "suppression", "phase", string(r.Phase), "err", err)
			}
			a.suppressionReported(&r)
		},
	})
	if err != nil {
		a.log.Error("suppression stays off", "part", "suppression", "err", err)
		return
	}
	a.suppressor, a.phase = s, s.State().Phase
}

// phaseQueue is how many changes of the suppression's phase may wait to be
// recorded. A person stands behind almost each of them.
const phaseQueue = 16

// phaseChange is a change of the suppression's phase, and when it happened.
type phaseChange struct {
	actuate.SuppressionRecord
	at time.Time
}

// suppressionReported takes what the suppressor reports: it is in the middle of
// its work and waits for nobody.
func (a *App) suppressionReported(r *actuate.SuppressionRecord) {
	if r.Phase == a.phase { // only an error came
		return
	}
	a.phase = r.Phase
	a.log.Warn("suppression changed", "part", "suppression", "phase", string(r.Phase), "zone", r.Zone, "senses", r.Senses, "by", r.By, "alarm_id", r.AlarmID)
	a.uplink.PublishStatus()
	select {
	case a.phases <- phaseChange{SuppressionRecord: *r, at: time.Now()}:
	default:
		a.log.Error("suppression change not recorded: too many wait", "part", "suppression", "phase", string(r.Phase), "waiting", phaseQueue)
	}
}

// recordPhase tells the collector of a change of the suppression's phase.
func (a *App) recordPhase(ctx context.Context, c *phaseChange) {
	if err := a.alarms.Emit(ctx, shedguard.EventSuppressionChanged, shedSubject, c.at, &shedguard.SuppressionChanged{
		Phase: c.Phase, Zone: c.Zone, AlarmID: c.AlarmID, By: c.By, Senses: append([]shedguard.Cause{}, c.Senses...),
	}); err != nil {
		a.log.Error("change not recorded", "part", "alarms", "subject", shedSubject, "what", "suppression", "err", err)
	}
}

// vetoSuppression keeps the agent from being released, or makes a suppression
// that was released or vetoed ready again.
func (a *App) vetoSuppression(ctx context.Context, c *shedguard.Command) (any, error) {
	var args shedguard.VetoArgs
	if err := shedguard.DecodeArgs(c.Args, &args); err != nil {
		return nil, shedguard.Refuse(shedguard.CodeBadArgs, "%v", err)
	}
	if a.suppressor == nil {
		return nil, shedguard.Refuse(shedguard.CodeNotPermitted, "no suppression output is enabled on this gateway")
	}
	do := a.suppressor.Veto
	if args.Reset {
		do = a.suppressor.Reset
	}
	before := a.suppressor.State()
	err := do(ctx, c.By)
	after := a.suppressionStatus()
	switch {
	case err == nil:
	case errors.Is(err, actuate.ErrNotArmed), before.Phase == after.Phase:
		return nil, shedguard.Refuse(shedguard.CodeNotPermitted, "%v", err)
	default: // it holds, and would not outlive a restart
		a.log.Error("suppression not kept", "part", "suppression", "err", err)
	}
	return after, nil
}

// suppressionStatus is how far the suppression is; nil where none is enabled.
func (a *App) suppressionStatus() *shedguard.SuppressionStatus {
	if a.suppressor == nil {
		return nil
	}
	s := a.suppressor.State()
	return &shedguard.SuppressionStatus{Phase: s.Phase, Zone: s.Zone, AlarmID: s.AlarmID, By: s.By, LeftMS: s.Left(time.Now()).Milliseconds()}
}

// suppressionTold is the suppression in the retained status; nil where none is
// enabled. It stays the same to the last bit while a window runs, since every
// difference is published.
func (a *App) suppressionTold() *shedguard.Suppression {
	if a.suppressor == nil {
		return nil
	}
	s := a.suppressor.State()
	told := &shedguard.Suppression{Phase: s.Phase, Zone: s.Zone, AlarmID: s.AlarmID, By: s.By}
	if !s.Ends.IsZero() && a.clock.Quality() != shedguard.ClockUnsynced {
		told.Until = a.until.steady(s.Ends, a.clock.Wall(s.Ends))
	}
	return told
}

// sameEnd is how far two reckonings of one end may be apart: the wall clock is
// slewed all the time, and stepped sometimes.
const sameEnd = time.Second

// steadyEnd is the end of a window as it was last told.
type steadyEnd struct {
	mu   sync.Mutex
	ends time.Time // guarded by mu; on the monotonic clock
	at   time.Time // guarded by mu; on the wall clock
}

// steady is at in whole milliseconds, or what was told of the same end before
// when that is about the same.
func (e *steadyEnd) steady(ends, at time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !ends.Equal(e.ends) || at.Sub(e.at).Abs() >= sameEnd {
		e.ends, e.at = ends, at.UTC().Truncate(time.Millisecond)
	}
	return e.at
}
