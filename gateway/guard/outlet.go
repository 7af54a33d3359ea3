package guard

import (
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// Why a relay was operated, when it was not for a cause.
const (
	whySession = "session"
	whyCommand = "command"
	whyStart   = "start" // the first closing since the gateway started
)

// outlet is what the goroutine of its line owns of it.
type outlet struct {
	number   int
	place    int // in line.views
	slot     int // in supply.slots
	limits   *protect.Limits
	settings *session.Settings
	protect  protect.State
	session  session.State
	charge   *charge.Settings
	curve    charge.State
	charged  charge.Outcome

	in         protect.Input
	conditions []protect.Condition // what others found to stand at this sample
	sources    []imposed           // guarded by Guard.imposing
	imposed    atomic.Pointer[[]protect.Condition]
	told       []protect.Condition // those, what the feeder says, and what the curve showed until the sample before
	verdict    protect.Verdict
	outcome    session.Outcome
	sample     poll.Sample

	asks    bool      // it was to be fed and the feeder has no room
	claimed time.Time // when a start got its place at the feeder
	drew    float64   // W, the last that it drew in this session

	began    bool           // it was closed since the gateway started
	signal   actuate.Signal // that it asks for
	wear     actuate.Wear
	failure  error     // why its relay does not obey
	failedAt time.Time // since when; zero while it obeys
	pending
}

func newOutlet(o *Outlet, newID func() string) *outlet {
	return &outlet{
		number: o.Number, limits: o.Limits, settings: o.Session, charge: o.Charge, curve: charge.NewState(o.Curves),
		protect: protect.NewState(o.Heat, o.Latched), session: session.NewState(o.Number, o.Kept, newID),
		told:    make([]protect.Condition, 0, 8+charge.MaxFindings),
		pending: pending{subject: shedguard.OutletSubject(o.Number), marked: true},
		sample:  poll.Sample{Reading: shedguard.Reading{Outlet: o.Number, Quality: shedguard.QualityStale}, Err: poll.ErrNotTried},
	}
}

// visit is the straight line of one sample.
func (g *Guard) visit(l *line, s *poll.Sample) {
	now := time.Now()
	if s.Reading.Outlet == poll.Feeder {
		g.supply.read(s)
		g.answer(l)
		return
	}
	o := l.byNo[s.Reading.Outlet]
	o.sample = *s
	g.step(l, o, now, whySession)
	g.publish(l, o)
	g.emit(o, now)
	g.stream(o, now)
	g.answer(l)
}

// step judges an outlet once and operates its relay.
func (g *Guard) step(l *line, o *outlet, now time.Time, why string) {
	s := &o.sample
	closed := g.relays.Closed(o.number)
	in := &o.in
	dropped := in.Closed && !closed
	if dropped { // the expander was lost or reset: its outlets are open
		in.SwitchedAt = now
		o.operated(Operation{Why: string(shedguard.CauseRelayFailed), At: now})
	}
	in.Reading, in.Fresh = s.Reading, s.Fresh
	in.Celsius, in.CelsiusAt = s.Celsius, s.CelsiusAt
	if s.Thermometer && in.ThermometerPolling.IsZero() {
		in.ThermometerPolling = now
	}
	in.Closed = closed
	in.Conditions = g.conditions(o)

	o.verdict = o.limits.Next(&o.protect, in, now)
	if d, open := o.verdict.Why(); open && closed {
		// Before anything else.
		g.open(o, string(d.Cause), now)
	}
	o.judgeRelay(g.relays.Fault(o.number), now)

	o.asks = false
	held := o.verdict.MustOpen()
	allowed := s.Fresh && s.Reading.Quality == shedguard.QualityGood && o.verdict.Judged() && !held && o.failure == nil
	// One bad reading does not open an outlet, but it begins anew the wait of
	// one that is open.
	usable := in.Closed || s.Reading.Quality == shedguard.QualityGood
	running, _ := o.session.Session()
	o.charged = o.charge.Next(&o.curve, &charge.Input{Session: running.ID, Fed: in.Closed, Reading: s.Reading, Fresh: s.Fresh}, now)
	o.outcome = o.settings.Next(&o.session, &session.Input{
		Permit:    usable && o.verdict.Judged() && !held && o.failure == nil,
		Tripped:   held && !o.verdict.Suspends(),
		Suspended: o.verdict.Suspends() || dropped,
		Fault:     o.failure != nil,
		Reading:   s.Reading,
		Fresh:     s.Fresh,
		MayClose:  allowed && !in.Closed && g.mayClose(now) && o.wear.Wait(now) == 0 && g.supply.mayFeed(l, o, now),
		Curve:     session.Curve{Phase: string(o.charged.Phase), Attached: o.charged.Attached, Over: o.charged.Over},
	}, now)
	o.stepped(&o.outcome)
	switch {
	case in.Closed && !o.outcome.Close:
		g.open(o, why, time.Time{})
		o.judgeRelay(g.relays.Fault(o.number), now)
	case !in.Closed && o.outcome.Close && allowed && g.claimClose(now):
		if !o.began && why == whySession {
			why = whyStart
		}
		g.close(o, why, now)
		o.judgeRelay(g.relays.Fault(o.number), now)
	}
	g.supply.tell(o, now)
	o.mark(now)
}

// conditions is what others found to stand at an outlet. It allocates nothing.
func (g *Guard) conditions(o *outlet) []protect.Condition {
	o.told = append(o.told[:0], o.conditions...)
	if list := o.imposed.Load(); list != nil {
		o.told = append(o.told, *list...)
	}
	if g.supply != nil {
		if c, ok := g.supply.condition(o.slot); ok {
			o.told = append(o.told, c)
		}
	}
	o.told = charge.Conditions(o.told, o.charged.Findings)
	return o.told
}

// open opens an outlet's relay. The sample that decided, if one did, is now:
// the time since it was on the bus is measured.
func (g *Guard) open(o *outlet, why string, decided time.Time) {
	err := g.relays.Open(o.number)
	done := time.Now()
	op := Operation{Why: why, At: done, Verified: err == nil}
	if !decided.IsZero() && o.in.Fresh {
		op.SampleToRelay = done.Sub(o.in.Reading.At)
		maximum(&g.relayMax, int64(op.SampleToRelay))
	}
	o.in.Closed, o.in.SwitchedAt = false, done
	o.operated(op)
}

func (g *Guard) close(o *outlet, why string, now time.Time) {
	o.wear.Closed(now) // even one that could not be confirmed may have moved the contact
	err := g.relays.Close(o.number)
	if err != nil {
		// It was written open again, or its expander is lost, which shows.
		o.operated(Operation{Why: string(shedguard.CauseRelayFailed), At: now, Verified: g.relays.Fault(o.number) == nil})
		return
	}
	o.began = true
	o.in.Closed, o.in.SwitchedAt = true, time.Now()
	o.operated(Operation{Closed: true, Why: why, At: o.in.SwitchedAt, Verified: true})
}

// judgeRelay notes whether the relay obeys, and whether the siren must sound.
func (o *outlet) judgeRelay(err error, now time.Time) {
	if err != nil && o.failedAt.IsZero() {
		o.failedAt = now
	}
	if err == nil && !o.failedAt.IsZero() {
		o.failedAt = time.Time{}
		// What could not be confirmed before is confirmed now.
		o.operated(Operation{Why: string(shedguard.CauseRelayFailed), At: now, Verified: true})
	}
	o.failure = err
	o.signal = actuate.SignalNone
	if err != nil && o.verdict.MustOpen() || o.verdict.Sounds() {
		o.signal = actuate.SignalElectrical
	}
	// A smoke contact that is set to report only raises its alarm and no more.
	if o.verdict.Held().Has(shedguard.CauseFire) || o.verdict.Opening().Has(shedguard.CauseSmokeContact) {
		o.signal = actuate.SignalFire
	}
}

// relayFailed is the decision about a relay that does not obey.
func (o *outlet) relayFailed(now time.Time) protect.Decision {
	d := protect.Decision{
		Cause: shedguard.CauseRelayFailed, Severity: shedguard.SeverityCritical, Action: shedguard.ActionNone,
		Value: now.Sub(o.failedAt).Seconds(), Unit: "s", Since: o.failedAt, At: o.failedAt, Standing: true,
	}
	if o.signal != actuate.SignalNone {
		d.Action = shedguard.ActionSiren
	}
	return d
}

// mayClose reports whether the shed's stagger allows a closing.
func (g *Guard) mayClose(now time.Time) bool {
	return int64(now.Sub(g.base)) >= g.nextClose.Load()
}

// claimClose takes the shed's next closing, or reports that another line has
// just taken it.
func (g *Guard) claimClose(now time.Time) bool {
	at, next := int64(now.Sub(g.base)), g.nextClose.Load()
	return at >= next && g.nextClose.CompareAndSwap(next, at+int64(g.opts.Stagger))
}
