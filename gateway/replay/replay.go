package replay

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/session"
)

const (
	// Outlet is the number of the outlet that is replayed.
	Outlet = 1
	// MainsVolts is the supply where a recording does not say: 220 V, China.
	MainsVolts = 220

	step     = 100 * time.Millisecond // as the guard polls
	longStep = time.Second            // the slowest that the guard may poll
	settle   = 10 * time.Second       // calm for so long before steps are long

	dense  = 10 * time.Millisecond // samples closer together go through a window
	window = 20 * time.Millisecond // one cycle of 50 Hz

	aheadSamples = 256 // looked at to learn the sampling
	gapTimes     = 10  // times the usual interval
	shortestGap  = 30 * time.Second
	longestGap   = time.Hour
	longestHold  = 7 * 24 * time.Hour // of a value in a recording of changes

	prerollMax = 10 * time.Minute
)

// Options say how a recording is replayed.
type Options struct {
	Limits  *protect.Limits
	Session *session.Settings
	// Charge judges the charging curve; nil: it is not judged.
	Charge *charge.Settings
	// MainsVolts stand in for volts that were not recorded; 0: [MainsVolts].
	MainsVolts float64
	// Gap is the silence that is one; 0: told from the recording.
	Gap time.Duration
	// OnChange is true of a recording that holds changes only.
	OnChange bool
	// MeterStale takes a gap for a silent meter.
	MeterStale bool
	// ResetAfter resets a trip, and starts an outlet that a session's limit
	// has switched off, so long after it; 0: nobody does.
	ResetAfter time.Duration
	// Heat is the heat image at the beginning; 1 trips.
	Heat float64
	// Emit is given each event; nil: nobody wants them. The event is the
	// player's and valid until it returns.
	Emit func(*Event)
}

// reading is what is known at one moment.
type reading struct {
	at                 time.Duration
	volts, amps, watts float64
	lost               bool // nothing is known from here on
}

// over is a set of limits that a reading exceeds.
type over uint8

const (
	overPickUp over = 1 << iota
	overShort
	overPower
	overSession
	overVolts // above or under
)

// Player replays one recording. Not safe for concurrent use.
type Player struct {
	opts     Options
	limits   protect.Limits
	settings session.Settings
	base     time.Time

	ahead  []recording.Sample // until the sampling is known
	usual  time.Duration      // 0: not known yet
	gap    time.Duration
	sample reading // the raw one that waits for its successor
	begun  bool

	acc struct { // the window over dense samples
		lasted                    time.Duration
		volts2, amps2, watts, sec float64
	}

	cur      reading // waits for its successor
	held     bool    // whether there is one
	prevOver over
	loaded   [2]bool       // the side of cur's predecessor
	busy     time.Duration // when something was last near a limit or happened

	protect protect.State
	session session.State
	charge  *charge.Settings
	curve   charge.State
	grades  [charge.MaxFindings]charge.Grade // of the curve's findings, when they were told
	load    charge.Load                      // that was told

	conditions []protect.Condition // what the curve showed until the step before
	in         protect.Input
	lastW      float64
	standing   protect.Causes
	openedAt   time.Duration
	open       bool // by a trip or a session's limit
	done       bool // the rest is not judged
	quiet      bool // before the recording begins
	ids        int

	event Event
	sum   Summary
}

// New returns a player.
func New(opts Options) (*Player, error) {
	if opts.MainsVolts == 0 {
		opts.MainsVolts = MainsVolts
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(opts.MainsVolts >= 10 && opts.MainsVolts <= 1000, "mains volts: %g: want 10 to 1000", opts.MainsVolts)
	check(opts.Gap >= 0, "gap: %s: want 0 or more", opts.Gap)
	check(opts.ResetAfter >= 0, "reset after: %s: want 0 or more", opts.ResetAfter)
	check(opts.Heat >= 0 && opts.Heat < 1, "heat: %g: want 0 to below 1", opts.Heat)
	check(opts.Limits != nil && opts.Session != nil, "limits and session: required")
	if len(errs) > 0 {
		return nil, fmt.Errorf("replay: %w", errors.Join(errs...))
	}
	p := &Player{opts: opts, limits: *opts.Limits, settings: *opts.Session, base: time.Unix(0, 0).UTC()}
	p.settings.StartBy = session.StartPlug // nobody gives commands here
	err := errors.Join(p.limits.Validate(), p.settings.Validate())
	if opts.Charge != nil {
		c := *opts.Charge
		// Where only changes are recorded, a reading that stays is no silent meter.
		c.Frozen.Enabled = c.Frozen.Enabled && !opts.OnChange
		p.charge = &c
		err = errors.Join(err, c.Validate())
	}
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	p.curve = charge.NewState(charge.Record{})
	p.protect = protect.NewState(opts.Heat, 0)
	p.session = session.NewState(Outlet, session.Record{}, p.newID)
	p.sum = Summary{
		Kind: KindSummary, Alarms: map[shedguard.Cause]int{}, Sessions: []Session{}, Derived: []string{},
		NotJudged: notJudged(&opts), Notes: []string{},
	}
	return p, nil
}

// newID makes ids that are ULIDs in shape only: they never leave the player.
func (p *Player) newID() string {
	p.ids++
	return fmt.Sprintf("%026d", p.ids)
}

// Feed takes the next samples. How many come at once changes nothing.
func (p *Player) Feed(samples []recording.Sample) {
	if p.usual == 0 {
		p.ahead = append(p.ahead, samples...)
		if len(p.ahead) < aheadSamples {
			return
		}
		samples = p.learn()
	}
	for i := range samples {
		p.take(&samples[i])
	}
}

// learn tells the usual interval from the first samples, and returns them.
func (p *Player) learn() []recording.Sample {
	first := p.ahead[:min(len(p.ahead), aheadSamples)]
	var intervals []time.Duration
	for i := 1; i < len(first); i++ {
		if d := first[i].At - first[i-1].At; d > 0 {
			intervals = append(intervals, d)
		}
	}
	p.usual = time.Second
	if len(intervals) > 0 {
		slices.Sort(intervals)
		p.usual = intervals[len(intervals)/2]
	}
	p.gap = p.opts.Gap
	if p.gap == 0 {
		p.gap = min(max(gapTimes*p.usual, shortestGap), longestGap)
	}
	p.usual = min(p.usual, p.gap)
	all := p.ahead
	p.ahead = nil
	return all
}

// take measures one sample and hands its predecessor on.
func (p *Player) take(s *recording.Sample) {
	r := p.derive(s)
	p.measure(s, &r)
	if p.begun {
		d := r.at - p.sample.at
		if !p.sample.lost {
			p.sum.EnergyWh += p.sample.watts * p.holdFor(d).Hours()
		}
		p.hand(d)
	}
	p.sample, p.begun = r, true
}

// derive fills in what was not recorded.
func (p *Player) derive(s *recording.Sample) reading {
	r := reading{at: s.At, volts: s.Volts, amps: s.Amps, watts: s.Watts, lost: s.Lost}
	noAmps, noWatts := math.IsNaN(r.amps), math.IsNaN(r.watts)
	if noAmps && noWatts { // the row says nothing: as before
		before := p.sample
		before.at = s.At
		before.lost = before.lost || s.Lost || !p.begun
		return before
	}
	if math.IsNaN(r.volts) {
		r.volts = p.opts.MainsVolts
		p.derived("volts")
	}
	if noAmps {
		volts := math.Abs(r.volts)
		if volts < 1 {
			volts = p.opts.MainsVolts
		}
		r.amps = math.Abs(r.watts) / volts
		p.derived("amps")
	}
	if noWatts {
		r.watts = r.volts * r.amps
		p.derived("watts")
	}
	return r
}

func (p *Player) derived(name string) {
	if !slices.Contains(p.sum.Derived, name) {
		p.sum.Derived = append(p.sum.Derived, name)
	}
}

// measure counts a sample, whatever the rules say of it.
func (p *Player) measure(s *recording.Sample, r *reading) {
	at := r.at.Seconds()
	if p.sum.Samples == 0 {
		p.sum.TimeS = at
	}
	p.sum.Samples++
	p.sum.DurationS += at - p.sum.TimeS
	p.sum.TimeS = at
	if r.lost {
		return
	}
	peak := func(of *float64, when *float64, v float64) {
		if v = math.Abs(v); v > *of {
			*of, *when = v, at
		}
	}
	peak(&p.sum.PeakWatts, &p.sum.PeakWattsAtS, r.watts)
	peak(&p.sum.PeakAmps, &p.sum.PeakAmpsAtS, r.amps)
	peak(&p.sum.PeakWatts, &p.sum.PeakWattsAtS, s.PeakWatts)
	peak(&p.sum.PeakAmps, &p.sum.PeakAmpsAtS, s.PeakAmps)
}

// holdFor is how long a value speaks when its successor comes after d.
func (p *Player) holdFor(d time.Duration) time.Duration {
	switch {
	case p.opts.OnChange:
		return min(d, longestHold)
	case d > p.gap:
		return p.usual
	default:
		return d
	}
}

// hand passes the waiting sample on, now that its successor is known to come
// after d: through the window when they are dense.
func (p *Player) hand(d time.Duration) {
	r, a := &p.sample, &p.acc
	if r.lost || d >= dense {
		p.flush(r.at)
		p.read(*r)
		return
	}
	if d == 0 {
		return // a later sample of the same instant
	}
	sec := d.Seconds()
	a.volts2 += r.volts * r.volts * sec
	a.amps2 += r.amps * r.amps * sec
	a.watts += r.watts * sec
	a.sec += sec
	a.lasted += d
	if a.lasted+d/2 >= window {
		p.flush(r.at + d)
	}
}

// flush ends the window.
func (p *Player) flush(at time.Duration) {
	a := &p.acc
	if a.sec > 0 {
		p.read(reading{at: at, volts: math.Sqrt(a.volts2 / a.sec), amps: math.Sqrt(a.amps2 / a.sec), watts: a.watts / a.sec})
	}
	a.lasted, a.volts2, a.amps2, a.watts, a.sec = 0, 0, 0, 0, 0
}

// read takes the next reading: the one before it is played until then.
func (p *Player) read(r reading) {
	if !p.held && !r.lost {
		p.busy = r.at
		p.supply(r.volts)
		p.preroll(r.at)
	}
	if p.held {
		p.play(&p.cur, r.at, p.exceeds(&r))
	}
	p.cur, p.held = r, p.held || !r.lost
}

// exceeds is the set of limits that a reading is over.
func (p *Player) exceeds(r *reading) over {
	if r.lost {
		return 0
	}
	var o over
	amps, watts := math.Abs(r.amps), math.Abs(r.watts)
	l := &p.limits
	if l.Overcurrent.Enabled && amps > l.Overcurrent.PickUp*l.RatingAmps {
		o |= overPickUp
	}
	if l.ShortCircuit.Enabled && amps >= l.ShortCircuit.TimesRating*l.RatingAmps {
		o |= overShort
	}
	if l.Overpower.Enabled && watts > l.Overpower.LimitWatts {
		o |= overPower
	}
	if watts > p.settings.MaxWatts {
		o |= overSession
	}
	if p.outside(r.volts) {
		o |= overVolts
	}
	return o
}

// outside reports whether a voltage is outside the limits of the supply.
func (p *Player) outside(volts float64) bool {
	l, volts := &p.limits, math.Abs(volts)
	return l.Overvoltage.Enabled && volts > l.Overvoltage.LimitVolts || l.Undervoltage.Enabled && volts < l.Undervoltage.LimitVolts
}

// supply looks at the first voltage: a recording of another supply than the
// limits are for, such as one of the charger's output, is not judged for it.
func (p *Player) supply(volts float64) {
	if !p.outside(volts) {
		return
	}
	for _, r := range [...]struct {
		rule  *protect.Rule
		cause shedguard.Cause
	}{{&p.limits.Overvoltage.Rule, shedguard.CauseOvervoltage}, {&p.limits.Undervoltage.Rule, shedguard.CauseUndervoltage}} {
		if r.rule.Enabled {
			r.rule.Enabled = false
			p.sum.NotJudged = append(p.sum.NotJudged, string(r.cause))
		}
	}
	p.sum.Notes = append(p.sum.Notes, fmt.Sprintf(
		"The recording begins at %.4g V, outside the limits of the voltage: it is of another supply, which is not judged.", volts))
}

// play steps the outlet from a reading to the next, which is over the limits of
// nextOver.
func (p *Player) play(r *reading, until time.Duration, nextOver over) {
	o := p.exceeds(r)
	inrush := o&^(p.prevOver|nextOver) != 0
	side := p.side(r)
	if !p.open && o|p.prevOver|nextOver != 0 || side != p.loaded {
		p.busy = r.at
	}
	p.prevOver, p.loaded = o, side
	if p.done {
		p.tellGap(r, until)
		return
	}
	if r.lost {
		p.silence(r, r.at, until)
		return
	}
	held := p.holdFor(until - r.at)
	p.sum.JudgedS += held.Seconds()
	p.step(r, r.at, true)
	if !inrush {
		end := r.at + held
		for at := r.at + p.pace(o, r.at, end); at < end && !p.done; at += p.pace(o, at, end) {
			p.step(r, at, true)
		}
	}
	if p.done {
		p.sum.JudgedS -= max(0, (r.at + held - p.openedAt).Seconds())
	}
	if until-r.at > held {
		p.silence(r, r.at+held, until)
	}
}

// side says on which side of the session's thresholds a reading is.
func (p *Player) side(r *reading) [2]bool {
	watts := math.Abs(r.watts)
	return [2]bool{watts >= p.settings.LoadWatts, watts >= p.settings.NoLoadWatts}
}

// pace is how long the step after at is, of a value that is over the limits o
// and held until end. The last step before end is a short one, so that what
// comes then begins where it does.
func (p *Player) pace(o over, at, end time.Duration) time.Duration {
	if o != 0 && !p.open || at-p.busy < settle {
		return step
	}
	d := longStep
	if l := &p.limits.MeterStale; l.Enabled {
		d = min(d, l.Limit)
	}
	if at+d >= end {
		d = max(step, end-step-at)
	}
	return d
}

// silence lets time pass in which nothing is known.
func (p *Player) silence(r *reading, from, until time.Duration) {
	p.tellGap(r, until)
	if !p.opts.MeterStale || p.done {
		return
	}
	// Long enough for the rule to decide; nothing more happens after that.
	end := min(until, from+p.limits.MeterStale.Limit+time.Second)
	for at := from; at < end && !p.done; at += step {
		p.step(r, at, false)
	}
}

func (p *Player) tellGap(r *reading, until time.Duration) {
	from := r.at
	if !r.lost {
		from += p.holdFor(until - r.at)
	}
	if from >= until {
		return
	}
	lasted := (until - from)
	p.sum.Gaps++
	p.sum.LongestGapS = max(p.sum.LongestGapS, lasted.Seconds())
	e := p.fresh(from, KindPhase)
	end := until.Seconds()
	e.Phase, e.UntilS = PhaseGap, &end
	e.Text = fmt.Sprintf("The recording has a gap of %s; nothing is known of it.", Round(lasted))
	p.emit()
}

// preroll brings the outlet to where it is fed, before the recording begins.
func (p *Player) preroll(until time.Duration) {
	p.quiet = true
	p.in.Polling = p.base.Add(until - prerollMax)
	for at := until - p.settings.SelfCheck - 2*step; at < until; at += step {
		p.step(&reading{at: at, volts: p.opts.MainsVolts}, at, true)
	}
	p.quiet = false
}

// step is what the guard does with one sample.
func (p *Player) step(r *reading, at time.Duration, fresh bool) {
	now := p.base.Add(at)
	in := &p.in
	if fresh {
		watts, amps := r.watts, r.amps
		if !in.Closed {
			watts, amps = 0, 0
		}
		in.Reading = shedguard.Reading{Outlet: Outlet, At: now, Volts: r.volts, Amps: amps, Watts: watts}
		if math.Abs(watts-p.lastW) > poll.GlitchWatts {
			in.Reading.Quality = shedguard.QualitySuspect
		}
		p.lastW = watts
	} else if in.Reading.Age(now) > poll.StaleAfter {
		in.Reading.Quality = shedguard.QualityStale
	}
	in.Fresh, in.Conditions = fresh, p.conditions
	v := p.limits.Next(&p.protect, in, now)
	p.sum.PeakHeat = max(p.sum.PeakHeat, p.protect.Heat())
	p.judge(&v, at)

	held := v.MustOpen()
	good := in.Reading.Quality == shedguard.QualityGood
	curve := p.follows(at, now)
	out := p.settings.Next(&p.session, &session.Input{
		Permit:    (in.Closed || good) && v.Judged() && !held,
		Tripped:   held && !v.Suspends(),
		Suspended: v.Suspends(),
		Reading:   in.Reading,
		Fresh:     fresh,
		MayClose:  fresh && good && v.Judged() && !held,
		Curve:     curve,
	}, now)
	p.follow(&out, at)
	if out.Close != in.Closed {
		p.operate(out.Close, at)
	}
	p.sum.State = out.Outlet
	p.wait(at, now)
}

// judge tells of causes that are new or over.
func (p *Player) judge(v *protect.Verdict, at time.Duration) {
	var now protect.Causes
	for i := range v.Decisions() {
		d := &v.Decisions()[i]
		now = now.With(d.Cause)
		if p.standing.Has(d.Cause) {
			continue
		}
		p.raise(*d, at)
	}
	for _, c := range (p.standing &^ now).List() {
		e := p.fresh(at, KindDecision)
		e.Cause, e.Text = c, "Over: "+c.Text().EN+"."
		p.emit()
	}
	p.standing = now
	if d, open := v.Why(); open && p.in.Closed {
		p.cut(d, at)
	}
}

// raise tells of a cause that is new.
func (p *Player) raise(d protect.Decision, at time.Duration) {
	p.sum.Alarms[d.Cause]++
	e := p.fresh(at, KindAlarm)
	e.Cause, e.Action, e.Severity = d.Cause, d.Action, d.Severity
	e.Value, e.Limit, e.Unit = &d.Value, &d.Limit, d.Unit
	e.Text = shedguard.AlarmText(shedguard.OutletSubject(Outlet), &shedguard.Alarm{
		Cause: d.Cause, Detail: d.Detail, Severity: d.Severity, Value: d.Value, Limit: d.Limit, Unit: d.Unit, Action: d.Action,
	}).EN
	p.emit()
}

// cut opens the outlet for a cause.
func (p *Player) cut(d protect.Decision, at time.Duration) {
	if d.Latched {
		p.sum.Trips++
		if p.sum.FirstTripS == nil {
			s := at.Seconds()
			p.sum.FirstTripS, p.sum.FirstTrip = &s, d.Cause
		}
	}
	e := p.fresh(at, KindDecision)
	e.Cause, e.Action = d.Cause, d.Action
	e.Text = "The outlet is opened for " + d.Cause.Text().EN + "."
	p.emit()
	p.relay(false, at)
}

// operate follows what the session wants of the relay.
func (p *Player) operate(closed bool, at time.Duration) {
	e := p.fresh(at, KindDecision)
	e.Text = "The outlet is opened by its session."
	if closed {
		e.Text = "The outlet is closed."
	}
	p.emit()
	p.relay(closed, at)
}

func (p *Player) relay(closed bool, at time.Duration) {
	p.in.Closed, p.in.SwitchedAt = closed, p.base.Add(at)
	p.openedAt = at
}

// follow tells of the session.
func (p *Player) follow(out *session.Outcome, at time.Duration) {
	s := &out.Session
	switch {
	case out.Began:
		p.sum.Sessions = append(p.sum.Sessions, Session{BegunS: p.seconds(s.BegunAt), Phase: s.Phase})
		e := p.fresh(at, KindSession)
		e.Phase = s.Phase
		e.Text = fmt.Sprintf("A charging session begins (%.4g W).", s.PeakWatts)
		p.emit()
	case out.Phase && !out.Ended:
		e := p.fresh(at, KindPhase)
		e.Phase, e.Text = s.Phase, phaseText(s.Phase, p.in.Reading.Watts)
		p.emit()
	}
	if n := len(p.sum.Sessions); n > 0 && s.ID != "" {
		last := &p.sum.Sessions[n-1]
		if last.EndedS == nil {
			last.Phase, last.EnergyWh, last.PeakWatts = s.Phase, s.EnergyWh, s.PeakWatts
		}
		if out.Ended {
			end := at.Seconds()
			last.EndedS, last.Reason = &end, s.Reason
			e := p.fresh(at, KindSession)
			if p.standing != 0 {
				e.Cause = p.standing.List()[0]
			}
			energy := places(s.EnergyWh)
			e.Phase, e.Reason, e.EnergyWh = s.Phase, s.Reason, &energy
			e.Text = fmt.Sprintf("The charging session ends: %s, %.4g Wh.", s.Phase, s.EnergyWh)
			p.emit()
		}
	}
}

// wait is for the person who resets, if there is one.
func (p *Player) wait(at time.Duration, now time.Time) {
	tripped := p.protect.Latched() != 0
	p.open = !p.in.Closed && !p.quiet
	if !p.open || !tripped && !p.session.Record().Off {
		return
	}
	if p.opts.ResetAfter == 0 {
		p.done = true
		return
	}
	if at-p.openedAt < p.opts.ResetAfter {
		return
	}
	if tripped {
		if err := p.limits.Reset(&p.protect, &p.in, now); err != nil {
			return // the cause stands: tried again with the next step
		}
		e := p.fresh(at, KindDecision)
		e.Text = "A person resets the outlet."
		p.emit()
		p.standing = 0
		return
	}
	if err := p.settings.Start(&p.session, shedguard.StartArgs{Outlet: Outlet}, "replay", p.newID(), now); err != nil {
		return // likewise
	}
	e := p.fresh(at, KindDecision)
	e.Text = "A person starts the outlet again."
	p.emit()
}

// fresh is the event to fill in for what happens at at.
func (p *Player) fresh(at time.Duration, kind Kind) *Event {
	p.busy = max(p.busy, at)
	p.event = Event{TimeS: places(at.Seconds()), Kind: kind, Action: shedguard.ActionNone}
	return &p.event
}

func (p *Player) emit() {
	if p.opts.Emit != nil && !p.quiet {
		p.opts.Emit(&p.event)
	}
}

func (p *Player) seconds(t time.Time) float64 { return t.Sub(p.base).Seconds() }

// Finish plays what is left and sums up. The player is done then.
func (p *Player) Finish() (Summary, error) {
	if p.usual == 0 {
		all := p.learn()
		for i := range all {
			p.take(&all[i])
		}
	}
	if !p.begun {
		return Summary{}, errors.New("recording: no samples")
	}
	p.hand(dense) // nothing comes after it: as long as it takes to be seen
	if p.held && !p.cur.lost {
		p.play(&p.cur, p.cur.at+1, 0)
	}
	p.sum.SamplingS = p.usual.Seconds()
	p.sum.JudgedUntilS = p.sum.TimeS
	if p.done {
		p.sum.JudgedUntilS = p.openedAt.Seconds()
	}
	if !p.held {
		p.sum.Notes = append(p.sum.Notes, "neither amps nor watts are recorded: nothing was judged")
	}
	slices.Sort(p.sum.Derived)
	p.sum.round()
	p.sum.Text = p.sum.sentence()
	return p.sum, nil
}
