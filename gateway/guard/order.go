package guard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// Order is a command for one outlet.
type Order struct {
	Kind      string // shedguard.CommandStart, CommandStop or CommandResetTrip
	Outlet    int
	Args      shedguard.StartArgs // of a start
	By        string              // who gave it
	SessionID string              // of a start
	Reason    string              // of a stop: one of session's reasons
}

// order is an Order on its way. It is carried out or withdrawn, never both.
type order struct {
	Order
	taken atomic.Bool
	reply chan error
}

// Order has the outlet's line carry out an order between two samples, and
// returns what came of it: nil, or why it was refused, a
// *[shedguard.ReplyError]. When ctx ends first, the order was withdrawn and is
// never carried out.
//
// A start or a reset that was accepted closes the relay when the readings and
// the stagger allow it; a stop has opened it.
func (g *Guard) Order(ctx context.Context, o Order) error {
	switch o.Kind {
	case shedguard.CommandStart, shedguard.CommandStop, shedguard.CommandResetTrip:
	default:
		return shedguard.Refuse(shedguard.CodeUnknownKind, "%q is not an order to an outlet", o.Kind)
	}
	l := g.owner[o.Outlet]
	if l == nil {
		return shedguard.Refuse(shedguard.CodeBadArgs, "outlet %d: there is none", o.Outlet)
	}
	sent := &order{Order: o, reply: make(chan error, 1)}
	select {
	case l.orders <- sent:
	default:
		return shedguard.Refuse(shedguard.CodeBusy, "outlet %d: %d orders are waiting", o.Outlet, cap(l.orders))
	}
	select {
	case err := <-sent.reply:
		return err
	case <-ctx.Done():
	}
	if sent.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("outlet %d: %s withdrawn: %w", o.Outlet, o.Kind, context.Cause(ctx))
	}
	return <-sent.reply // being carried out now
}

// answer carries out the orders that wait, at most one queue full.
func (g *Guard) answer(l *line) {
	for range cap(l.orders) {
		select {
		case o := <-l.orders:
			g.carryOut(l, o)
		default:
			return
		}
	}
}

func (g *Guard) carryOut(l *line, order *order) {
	if !order.taken.CompareAndSwap(false, true) {
		return
	}
	now := time.Now()
	o := l.byNo[order.Outlet]
	err := g.obey(l, o, &order.Order, now)
	if err == nil {
		// The sample was judged before; only what the order changed acts now.
		o.sample.Fresh = false
		g.step(l, o, now, whyCommand)
		g.publish(l, o)
		g.emit(o, now)
		if order.Kind == shedguard.CommandStop && o.failure != nil {
			err = shedguard.Refuse(shedguard.CodeCauseStands, "outlet %d: relay_failed: %v", o.number, o.failure)
		}
	}
	order.reply <- err
}

func (g *Guard) obey(l *line, o *outlet, order *Order, now time.Time) error {
	switch order.Kind {
	case shedguard.CommandStart:
		return g.starts(l, o, order, now)
	case shedguard.CommandStop:
		reason := order.Reason
		if reason == "" {
			reason = session.ReasonRemote
		}
		return o.settings.Stop(&o.session, reason, now)
	default:
		o.in.Fresh = false
		err := o.limits.Reset(&o.protect, &o.in, now)
		if stands, ok := errors.AsType[*protect.StandsError](err); ok {
			return shedguard.Refuse(shedguard.CodeCauseStands, "outlet %d: %v", o.number, stands)
		}
		return err
	}
}
