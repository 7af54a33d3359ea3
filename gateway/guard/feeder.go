package guard

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/feeder"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
)

const (
	// feederEvery is how often the shed is added up: once for each round of a
	// meter at 10 Hz.
	feederEvery = 100 * time.Millisecond
	// refusedFor is how long a refused start is told.
	refusedFor = time.Minute
	// shedSubject is what the alarm of the whole shed is about.
	shedSubject = "shed"
	// FeederSubject is what the alarm of the feeder's own meter is about.
	FeederSubject = "feeder"
)

// Feeder is the supply that all outlets of a shed share.
type Feeder struct {
	Limits   *feeder.Limits
	Severity shedguard.Severity // of an outlet that is switched off; refusing is a warning
}

// FeederView is the feeder as it was when the shed was last added up.
type FeederView struct {
	feeder.Verdict
	SoftWatts, HardWatts float64
	At                   time.Time // zero: not yet
}

// supply adds up the shed across its lines. Each line writes what it knows of
// its outlets into their slots and reads there what was decided; whichever line
// comes by when it is time adds up. A line that finds another one at it goes on.
type supply struct {
	limits   *feeder.Limits
	severity shedguard.Severity
	base     time.Time
	slots    []slot
	metered  bool          // the feeder has a meter of its own
	meterAt  atomic.Int64  // its last reading, since base
	meter    atomic.Uint64 // W
	next     atomic.Int64  // when to add up, since base
	refused  atomic.Int64  // the last start that was refused, since base; 0: none
	refusing atomic.Bool
	peak     atomic.Uint64 // W, the most since it was last asked for

	turn    sync.Mutex // only ever tried by a line; guards all below
	state   feeder.State
	loads   []feeder.Load
	verdict feeder.Verdict
	at      time.Time
	part    part
	silent  part // the feeder's meter
	heard   bool // it was read once
}

// slot is one outlet in the sum. Its line writes the first part, whoever adds
// up the second.
type slot struct {
	outlet int
	rated  float64

	flags                  atomic.Uint32
	at, since, begun       atomic.Int64  // since base; never: not yet
	watts, expected, claim atomic.Uint64 // W

	mode         atomic.Uint32 // feeder.Mode
	granted      atomic.Bool
	value, limit atomic.Uint64 // W
	held         atomic.Int64  // since base
}

const (
	fedFlag = 1 << iota
	wantedFlag
	latchedFlag
	sessionFlag
	asksFlag
)

const never = math.MinInt64

func newSupply(f *Feeder, outlets []Outlet, base time.Time) *supply {
	s := &supply{
		limits: f.Limits, severity: f.Severity, base: base, slots: make([]slot, len(outlets)),
		state: feeder.NewState(len(outlets)), loads: make([]feeder.Load, len(outlets)),
		part:   part{subject: shedSubject, cause: shedguard.CauseShedOverload, marked: true},
		silent: part{subject: FeederSubject, cause: shedguard.CauseMeterStale},
	}
	s.meterAt.Store(never)
	for i := range outlets {
		p := &s.slots[i]
		p.outlet, p.rated = outlets[i].Number, outlets[i].RatedWatts
		p.at.Store(never)
		p.since.Store(never)
		p.begun.Store(never)
	}
	return s
}

func (s *supply) instant(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return int64(t.Sub(s.base))
}

func (s *supply) time(at int64) time.Time {
	if at == never {
		return time.Time{}
	}
	return s.base.Add(time.Duration(at))
}

func get(v *atomic.Uint64) float64        { return math.Float64frombits(v.Load()) }
func set(v *atomic.Uint64, watts float64) { v.Store(math.Float64bits(watts)) }

// load is a slot as the feeder knows it.
func (s *supply) load(i int) feeder.Load {
	p := &s.slots[i]
	flags := p.flags.Load()
	return feeder.Load{
		Outlet: p.outlet, Rated: p.rated, Expected: get(&p.expected), Watts: get(&p.watts), Claim: get(&p.claim),
		At: s.time(p.at.Load()), Since: s.time(p.since.Load()), Begun: s.time(p.begun.Load()),
		Fed: flags&fedFlag != 0, Wanted: flags&wantedFlag != 0, Latched: flags&latchedFlag != 0,
		Session: flags&sessionFlag != 0, Asks: flags&asksFlag != 0,
		Held: feeder.Mode(p.mode.Load()) != feeder.Free,
	}
}

// others is what all outlets but one come to.
func (s *supply) others(scratch []feeder.Load, but int, now time.Time) feeder.Sum {
	for i := range s.slots {
		scratch[i] = s.load(i)
	}
	whole, own := s.whole(), &scratch[but]
	if own.Fed { // the feeder's meter sees that one, too
		whole.Watts = max(0, whole.Watts-own.Watts)
	}
	*own = feeder.Load{Outlet: own.Outlet, Rated: own.Rated}
	return feeder.Count(scratch[:len(s.slots)], whole, now)
}

// whole is the last reading of the feeder's own meter.
func (s *supply) whole() feeder.Meter {
	return feeder.Meter{Watts: get(&s.meter), At: s.time(s.meterAt.Load())}
}

// read takes a reading of the feeder's own meter. A step that would be a glitch
// at an outlet is none here.
func (s *supply) read(sample *poll.Sample) {
	r := &sample.Reading
	if !sample.Fresh || !r.Finite() || r.Quality >= shedguard.QualityStale {
		return
	}
	set(&s.meter, math.Abs(r.Watts))
	s.meterAt.Store(s.instant(r.At))
}

// condition is what the feeder holds an outlet open for, if it does.
func (s *supply) condition(i int) (c protect.Condition, ok bool) {
	p := &s.slots[i]
	c = protect.Condition{
		Cause: shedguard.CauseShedOverload, Severity: s.severity, Action: shedguard.ActionSuspended, Unit: "W",
	}
	switch feeder.Mode(p.mode.Load()) {
	case feeder.Free:
		return c, false
	case feeder.Waiting:
		c.Severity = shedguard.SeverityWarning // the shed is full, nothing is wrong
	case feeder.Shed:
	}
	c.Value, c.Limit, c.Since = get(&p.value), get(&p.limit), s.time(p.held.Load())
	return c, true
}

// mayFeed reports whether there is room for an outlet that is about to close.
func (s *supply) mayFeed(l *line, o *outlet, now time.Time) bool {
	if s == nil {
		return true
	}
	p := &s.slots[o.slot]
	if get(&p.claim) > 0 || p.granted.Load() {
		return true
	}
	if _, running := o.session.Session(); !running {
		return !s.refusing.Load()
	}
	sum := s.others(l.scratch, o.slot, now)
	ok := s.limits.Resumes(&sum, o.expects(p.rated))
	o.asks = !ok
	return ok
}

// mayStart is why a session may not be started now, or nil, and then its place
// is kept.
func (s *supply) mayStart(l *line, o *outlet, order *Order, now time.Time) error {
	if s == nil {
		return nil
	}
	refuse := func(watts float64) error {
		s.refused.Store(int64(now.Sub(s.base)))
		return shedguard.Refuse(shedguard.CodeBusy,
			"outlet %d: shed_overload: the shed draws or has promised %.0f W, no new session from %.0f W on, nor one that could lift it above %.0f W; try again later",
			o.number, watts, s.limits.SoftWatts, s.limits.HardWatts)
	}
	p := &s.slots[o.slot]
	if feeder.Mode(p.mode.Load()) != feeder.Free {
		return refuse(get(&p.value))
	}
	watts, err := o.settings.MayStart(&o.session, order.Args, order.By, order.SessionID)
	if err != nil {
		return err
	}
	watts = min(watts, p.rated)
	set(&p.claim, watts) // before others are counted: two that claim at once both see it
	if sum := s.others(l.scratch, o.slot, now); !s.limits.Admits(&sum, watts) {
		set(&p.claim, 0)
		return refuse(sum.Committed())
	}
	o.claimed = now
	return nil
}

// tell writes what is known of an outlet into its slot.
func (s *supply) tell(o *outlet, now time.Time) {
	if s == nil {
		return
	}
	p := &s.slots[o.slot]
	running, ok := o.session.Session()
	o.learn(ok)
	fed := o.in.Closed || o.failure != nil
	if get(&p.claim) > 0 && (!ok || now.Sub(o.claimed) >= feeder.Ramp && fed && now.Sub(o.in.SwitchedAt) >= feeder.Ramp) {
		set(&p.claim, 0)
	}
	var flags uint32
	for _, f := range [...]struct {
		on   bool
		flag uint32
	}{
		{fed, fedFlag},
		{o.settings.Wanted(&o.session), wantedFlag},
		{o.verdict.MustOpen() && !o.verdict.Suspends(), latchedFlag},
		{ok, sessionFlag},
		{o.asks, asksFlag},
	} {
		if f.on {
			flags |= f.flag
		}
	}
	begun := time.Time{}
	if ok {
		begun = running.BegunAt
	}
	if r := &o.sample.Reading; !r.At.IsZero() && r.Finite() && r.Quality < shedguard.QualityStale {
		set(&p.watts, math.Abs(r.Watts))
		p.at.Store(s.instant(r.At))
	}
	set(&p.expected, o.expects(p.rated))
	p.since.Store(s.instant(o.in.SwitchedAt))
	p.begun.Store(s.instant(begun))
	p.flags.Store(flags)
}

// learn remembers what the outlet drew last.
func (o *outlet) learn(session bool) {
	switch r := &o.sample.Reading; {
	case !o.in.Closed:
		if !session {
			o.drew = 0
		}
	case !o.sample.Fresh || r.Quality != shedguard.QualityGood:
	case math.Abs(r.Watts) >= feeder.IdleWatts:
		o.drew = math.Abs(r.Watts)
	case !session:
		o.drew = 0
	}
}

// expects is what the outlet will draw once it is fed again.
func (o *outlet) expects(rated float64) float64 {
	if o.drew > 0 {
		return o.drew
	}
	if running, ok := o.session.Session(); ok && running.PeakWatts >= feeder.IdleWatts {
		return running.PeakWatts
	}
	if most := o.session.MaxWatts(); most > 0 {
		return min(most, rated)
	}
	return rated
}

// addUp judges the shed, when it is time and no other line is at it.
func (g *Guard) addUp(now time.Time) {
	s := g.supply
	if s == nil || int64(now.Sub(s.base)) < s.next.Load() || !s.turn.TryLock() {
		return
	}
	defer s.turn.Unlock()
	s.next.Store(int64(now.Sub(s.base) + feederEvery))
	for i := range s.slots {
		s.loads[i] = s.load(i)
	}
	s.verdict, s.at = s.limits.Next(&s.state, s.loads, s.whole(), now), now
	s.refusing.Store(s.verdict.Refusing)
	for {
		old := s.peak.Load()
		if s.verdict.Drawn <= math.Float64frombits(old) || s.peak.CompareAndSwap(old, math.Float64bits(s.verdict.Drawn)) {
			break
		}
	}
	for i := range s.slots {
		p, h := &s.slots[i], s.state.Hold(i)
		p.granted.Store(s.state.Granted(i))
		if feeder.Mode(p.mode.Load()) == h.Mode {
			continue
		}
		set(&p.value, h.Value)
		set(&p.limit, h.Limit)
		p.held.Store(s.instant(h.Since))
		p.mode.Store(uint32(h.Mode))
	}
	d, stands := s.overload(now)
	g.tell(&s.part, d, stands, nil, now)
	g.tellMeter(s, now)
}

// tellMeter says when the feeder's own meter is silent: the outlets' meters are
// added up then, and what no outlet meters is not seen.
func (g *Guard) tellMeter(s *supply, now time.Time) {
	if !s.metered {
		return
	}
	at := s.time(s.meterAt.Load())
	if at.IsZero() {
		at = s.base
	} else if s.silent.sent == (partSignature{}) && !s.heard {
		s.heard, s.silent.marked = true, true // the last start may have left an alarm
	}
	age := now.Sub(at)
	g.tell(&s.silent, protect.Decision{
		Cause: shedguard.CauseMeterStale, Severity: shedguard.SeverityMinor, Action: shedguard.ActionNone,
		Value: age.Seconds(), Limit: feeder.StaleAfter.Seconds(), Unit: "s", Since: at, At: now, Standing: true,
	}, age > feeder.StaleAfter, nil, now)
}

// overload is what the shed as a whole has to say.
func (s *supply) overload(now time.Time) (d protect.Decision, stands bool) {
	v := &s.verdict
	refused := s.refused.Load()
	d = protect.Decision{Cause: shedguard.CauseShedOverload, Unit: "W", Standing: true, Since: v.Since, At: now}
	switch {
	case v.Shed > 0 || !v.Over.IsZero() && now.Sub(v.Over) >= s.limits.Delay+s.limits.Settle:
		d.Severity, d.Action, d.Value, d.Limit = s.severity, shedguard.ActionSuspended, v.Drawn, s.limits.HardWatts
		if v.Shed == 0 { // nothing that could be switched off: what draws is none of ours
			d.Action = shedguard.ActionNone
		}
	case v.Waiting > 0 || refused != 0 && now.Sub(s.base)-time.Duration(refused) < refusedFor:
		d.Severity, d.Action, d.Value, d.Limit = shedguard.SeverityWarning, shedguard.ActionRefusedStart, v.Committed(), s.limits.SoftWatts
	default:
		return d, false
	}
	if d.Since.IsZero() {
		d.Since = now
	}
	return d, true
}

// Feeder is the shed as it was when it was last added up; false where nothing
// watches its feeder.
func (g *Guard) Feeder() (v FeederView, ok bool) {
	s := g.supply
	if s == nil {
		return v, false
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	return FeederView{Verdict: s.verdict, SoftWatts: s.limits.SoftWatts, HardWatts: s.limits.HardWatts, At: s.at}, true
}

// FeederPeak is the most that the shed drew, in W, since it was last asked for.
func (g *Guard) FeederPeak() float64 {
	if g.supply == nil {
		return 0
	}
	return math.Float64frombits(g.supply.peak.Swap(0))
}

// starts carries out a start, if its relay may close so soon and the feeder
// allows it.
func (g *Guard) starts(l *line, o *outlet, order *Order, now time.Time) error {
	if wait := o.wear.Wait(now); wait > 0 && !o.in.Closed {
		return shedguard.Refuse(shedguard.CodeBusy, "outlet %d: its relay closed %d times within an hour, the most it may: again in %s", o.number, g.opts.ClosingsPerHour, wait.Round(time.Second))
	}
	if err := g.supply.mayStart(l, o, order, now); err != nil {
		return err
	}
	return o.settings.Start(&o.session, order.Args, order.By, order.SessionID, now)
}
