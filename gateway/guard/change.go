package guard

import (
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// maxPending is how many relay operations, and how many session steps, an
// outlet keeps while the queue of changes is full.
const maxPending = 64

// Change is everything that holds of one subject now, and what happened to it
// since its last Change.
type Change struct {
	Subject string    // "outlet/3"; "bus/main" for a bus; "enable_line" for the enable line and the watchdog
	Outlet  int       // 0 when the subject is not an outlet
	At      time.Time // of the sample or the tick
	// Decisions is all that stands or is latched; what is not in it has passed.
	Decisions []protect.Decision
	// Judged is false as long as the lack of a decision says nothing: see
	// protect.Verdict.
	Judged bool
	// Err tells more of a bus or relay fault.
	Err error

	// The rest is of outlets only.
	State      shedguard.OutletState
	Closed     bool
	Operations []Operation   // of the relay, oldest first
	Steps      []SessionStep // of sessions, oldest first
	Latched    protect.Causes
	Heat       float64
	Record     session.Record // what of the sessions must outlive a restart
	Closings   []float64      // how long ago the relay closed, in seconds, within the last hour
	Curves     charge.Record  // what of the charges must
}

// Operation is one operation of a relay.
type Operation struct {
	Closed        bool
	Why           string // a cause, "session", "command" or "start"
	At            time.Time
	SampleToRelay time.Duration // from the deciding sample to the confirmed relay, 0 when no sample decided
	Verified      bool          // the latch was read back and agrees
}

// SessionStep is one step of a session.
type SessionStep struct {
	Type    string // one of the session events
	Session shedguard.Session
}

// Sample is one reading on its way to telemetry.
type Sample struct {
	Reading   shedguard.Reading
	Fresh     bool      // taken now; else Reading is the last good one
	At        time.Time // when the outlet was looked at
	Celsius   float64
	CelsiusAt time.Time // zero: no thermometer, or no value yet
	State     shedguard.OutletState
	Closed    bool
	EnergyWh  float64 // of the session that runs
}

// OutletView is an outlet as it was when its last sample was judged.
type OutletView struct {
	Outlet         int
	State          shedguard.OutletState
	Reading        shedguard.Reading
	Celsius        float64
	CelsiusAt      time.Time
	Closed         bool // what the relay was told
	SwitchedAt     time.Time
	Heat           float64
	Latched        protect.Causes
	Session        shedguard.Session // that runs, if Running
	Running        bool
	MeterErr       error // why the last read failed
	ThermometerErr error
	RelayErr       error // why the relay does not obey
}

// pending is what has not been sent of an outlet yet.
type pending struct {
	subject    string
	marked     bool
	operations []Operation
	steps      []SessionStep
	missed     int64

	sent    signature
	refresh time.Time
	keep    time.Time
}

// signature is what makes a change when it differs.
type signature struct {
	state  shedguard.OutletState
	closed bool
	failed bool
	signal actuate.Signal

	held, standing, latched, opening protect.Causes
}

func (p *pending) operated(op Operation) {
	p.marked = true
	if len(p.operations) == maxPending {
		p.missed++
		return
	}
	p.operations = append(p.operations, op)
}

func (p *pending) stepped(out *session.Outcome) {
	add := func(happened bool, typ string) {
		if !happened {
			return
		}
		p.marked = true
		if len(p.steps) == maxPending {
			p.missed++
			return
		}
		p.steps = append(p.steps, SessionStep{Type: typ, Session: out.Session})
	}
	add(out.Began, shedguard.EventSessionBegun)
	add(out.Phase, shedguard.EventSessionPhase)
	add(out.Ended, shedguard.EventSessionEnded)
}

// mark marks the outlet when something about it changed, and from time to time
// while something stands or a session runs.
func (o *outlet) mark(now time.Time) {
	v := &o.verdict
	sig := signature{
		state: o.outcome.Outlet, closed: o.in.Closed, failed: o.failure != nil, signal: o.signal,
		held: v.Held(), standing: v.Standing(), latched: v.Latched(), opening: v.Opening(),
	}
	_, running := o.session.Session()
	switch {
	case sig != o.sent,
		(sig.held != 0 || sig.failed) && !now.Before(o.refresh),
		running && !now.Before(o.keep):
		o.marked = true
		o.sent = sig
	}
}

// emit sends the change of a marked outlet, or leaves it marked.
func (g *Guard) emit(o *outlet, now time.Time) {
	if !o.marked {
		return
	}
	if len(g.changes) == cap(g.changes) { // another line may still be faster: see below
		g.deferred.Add(1)
		return
	}
	c := Change{
		Subject: o.subject, Outlet: o.number, At: now,
		Decisions: slices.Clone(o.verdict.Decisions()), Judged: o.verdict.Judged(), Err: o.failure,
		State: o.outcome.Outlet, Closed: o.in.Closed, Operations: o.operations, Steps: o.steps,
		Latched: o.protect.Latched(), Heat: o.protect.Heat(), Record: o.session.Record(), Closings: o.wear.Ago(now), Curves: o.curve.Record(),
	}
	if o.failure != nil {
		c.Decisions = append(c.Decisions, o.relayFailed(now))
	}
	select {
	case g.changes <- c:
		g.missed.Add(o.missed)
		o.marked, o.operations, o.steps, o.missed = false, nil, nil, 0
		o.refresh, o.keep = now.Add(refreshEvery), now.Add(keepEvery)
	default:
		g.deferred.Add(1)
	}
}

// stream sends a sample to telemetry, or drops and counts it.
func (g *Guard) stream(o *outlet, now time.Time) {
	s := Sample{
		Reading: o.sample.Reading, Fresh: o.sample.Fresh, At: now, Celsius: o.sample.Celsius, CelsiusAt: o.sample.CelsiusAt,
		State: o.outcome.Outlet, Closed: o.in.Closed,
	}
	if running, ok := o.session.Session(); ok {
		s.EnergyWh = running.EnergyWh
	}
	select {
	case g.samples <- s:
	default:
		g.dropped.Add(1)
	}
}

// publish puts the outlet's view where Snapshot finds it, unless Snapshot is
// copying at this moment.
func (g *Guard) publish(l *line, o *outlet) {
	if !l.viewing.TryLock() {
		g.late.Add(1)
		return
	}
	o.show(&l.views[o.place])
	l.viewing.Unlock()
}

// show fills v in place: a view is large.
func (o *outlet) show(v *OutletView) {
	v.Outlet, v.State = o.number, o.outcome.Outlet
	v.Reading, v.Celsius, v.CelsiusAt = o.sample.Reading, o.sample.Celsius, o.sample.CelsiusAt
	v.Closed, v.SwitchedAt = o.in.Closed, o.in.SwitchedAt
	v.Heat, v.Latched = o.protect.Heat(), o.protect.Latched()
	v.MeterErr, v.ThermometerErr, v.RelayErr = o.sample.Err, o.sample.ThermometerErr, o.failure
	v.Session, v.Running = o.session.Session()
}

// Changes is the queue of changes. One goroutine reads it.
func (g *Guard) Changes() <-chan Change { return g.changes }

// Samples is the queue of samples for telemetry.
func (g *Guard) Samples() <-chan Sample { return g.samples }

// Snapshot is a copy of every outlet, in the order of their numbers.
func (g *Guard) Snapshot() []OutletView {
	var all []OutletView
	for _, l := range g.lines {
		l.viewing.Lock()
		all = append(all, l.views...)
		l.viewing.Unlock()
	}
	slices.SortFunc(all, func(a, b OutletView) int { return a.Outlet - b.Outlet })
	return all
}

// part is a fault of something that is not an outlet.
type part struct {
	subject string
	cause   shedguard.Cause
	since   time.Time
	err     error
	marked  bool
	sent    partSignature
	refresh time.Time
}

// partSignature is what makes a change of a part when it differs.
type partSignature struct {
	stands   bool
	severity shedguard.Severity
	action   shedguard.Action
}

// report sends the fault of a part when it comes, goes, and each second while
// it stands.
func (g *Guard) report(p *part, since, now time.Time, err error) {
	if (err == nil) != (p.err == nil) {
		p.since = since
	}
	p.err = err
	g.tell(p, protect.Decision{
		Cause: p.cause, Severity: shedguard.SeverityCritical, Action: shedguard.ActionNone,
		Value: now.Sub(p.since).Seconds(), Unit: "s", Since: p.since, At: p.since, Standing: true,
	}, err != nil, err, now)
}

// tell sends what stands of a part when that changes, and each second while it
// stands.
func (g *Guard) tell(p *part, d protect.Decision, stands bool, err error, now time.Time) {
	sig := partSignature{stands, d.Severity, d.Action}
	if !stands {
		sig = partSignature{}
	}
	p.marked = p.marked || sig != p.sent
	p.sent = sig
	if !p.marked && (!stands || now.Before(p.refresh)) {
		return
	}
	if len(g.changes) == cap(g.changes) { // before anything is allocated for it
		p.marked = true
		g.deferred.Add(1)
		return
	}
	c := Change{Subject: p.subject, At: now, Judged: true, Err: err}
	if stands {
		c.Decisions = []protect.Decision{d}
	}
	select {
	case g.changes <- c:
		p.marked, p.refresh = false, now.Add(refreshEvery)
	default:
		p.marked = true
		g.deferred.Add(1)
	}
}
