package app

import (
	"context"
	"errors"
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
				return
			}
			a.log.Warn("suppression changed", "part", "suppression", "phase", string(r.Phase), "zone", r.Zone, "senses", r.Senses, "by", r.By, "alarm_id", r.AlarmID)
		},
	})
	if err != nil {
		a.log.Error("suppression stays off", "part", "suppression", "err", err)
		return
	}
	a.suppressor = s
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
	before, _ := a.suppressor.State()
	err := do(ctx, c.By)
	after := a.suppressionStatus()
	switch {
	case err == nil:
	case errors.Is(err, actuate.ErrNotArmed), string(before.Phase) == after.Phase:
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
	r, left := a.suppressor.State()
	return &shedguard.SuppressionStatus{Phase: string(r.Phase), Zone: r.Zone, AlarmID: r.AlarmID, By: r.By, LeftMS: left.Milliseconds()}
}
