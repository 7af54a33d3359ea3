package app

import (
	"context"
	"errors"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/guard"
)

// orderWithin is how long the guard may take to carry out an order.
const orderWithin = 3 * time.Second

// command carries out a valid command and says that it did.
func (a *App) command(ctx context.Context, c shedguard.Command) (any, error) {
	result, err := a.carryOut(ctx, &c)
	done := &shedguard.CommandDone{CommandID: c.ID, Kind: c.Kind, By: c.By, OK: err == nil}
	if refused, ok := errors.AsType[*shedguard.ReplyError](err); ok {
		done.Code = refused.Code
	}
	a.log.Info("command carried out", "kind", c.Kind, "by", c.By, "ok", done.OK, "code", done.Code, "err", err)
	if c.Kind == shedguard.CommandGetState {
		return result, err // asking changes nothing
	}
	if eerr := a.alarms.Emit(ctx, shedguard.EventCommandDone, shedSubject, time.Now(), done); eerr != nil {
		a.log.Error("command not recorded", "part", "alarms", "kind", c.Kind, "err", eerr)
	}
	return result, err
}

func (a *App) carryOut(ctx context.Context, c *shedguard.Command) (any, error) {
	bad := func(err error) error { return shedguard.Refuse(shedguard.CodeBadArgs, "%v", err) }
	switch c.Kind {
	case shedguard.CommandGetState:
		if err := shedguard.DecodeArgs(c.Args, &struct{}{}); err != nil {
			return nil, bad(err)
		}
		return a.State(), nil
	case shedguard.CommandStart:
		var args shedguard.StartArgs
		if err := shedguard.DecodeArgs(c.Args, &args); err != nil {
			return nil, bad(err)
		}
		id := newID()
		return map[string]string{"session_id": id}, a.Order(ctx, guard.Order{
			Kind: c.Kind, Outlet: args.Outlet, Args: args, By: c.By, SessionID: id,
		})
	case shedguard.CommandStop, shedguard.CommandResetTrip:
		var args shedguard.OutletArgs
		if err := shedguard.DecodeArgs(c.Args, &args); err != nil {
			return nil, bad(err)
		}
		if c.Kind == shedguard.CommandResetTrip {
			a.noteReset(args.Outlet, c.By)
		}
		err := a.Order(ctx, guard.Order{Kind: c.Kind, Outlet: args.Outlet, By: c.By})
		if err != nil && c.Kind == shedguard.CommandResetTrip {
			a.takeResetBy(args.Outlet)
		}
		return nil, err
	case shedguard.CommandAcknowledge:
		var args struct {
			AlarmID string `json:"alarm_id"`
		}
		if err := shedguard.DecodeArgs(c.Args, &args); err != nil {
			return nil, bad(err)
		}
		err := a.alarms.Acknowledge(ctx, args.AlarmID, c.By, time.Now())
		if errors.Is(err, alarm.ErrNotOpen) {
			return nil, bad(err)
		}
		return nil, err
	case shedguard.CommandSilenceSiren:
		if err := shedguard.DecodeArgs(c.Args, &struct{}{}); err != nil {
			return nil, bad(err)
		}
		a.guard.Silence()
		return nil, nil
	case shedguard.CommandVetoSuppression:
		return a.vetoSuppression(ctx, c)
	case shedguard.CommandSelfTest:
		if err := shedguard.DecodeArgs(c.Args, &struct{}{}); err != nil {
			return nil, bad(err)
		}
		return a.selfTest(ctx), nil
	case shedguard.CommandSnapshot:
		return a.eyes.snapshot(c)
	default:
		return nil, shedguard.Refuse(shedguard.CodeUnknownKind, "%q", c.Kind)
	}
}

// Order has the guard carry out an order, or withdraws it.
func (a *App) Order(ctx context.Context, o guard.Order) error {
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	err := a.guard.Order(ctx, o)
	if errors.Is(err, context.DeadlineExceeded) {
		return shedguard.Refuse(shedguard.CodeBusy, "outlet %d: the guard did not come to it within %s; nothing was done", o.Outlet, orderWithin)
	}
	return err
}
