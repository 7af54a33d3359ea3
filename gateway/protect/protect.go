package protect

import (
	"fmt"
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

// UnknownHeat is the heat of an image of which nothing is known. Such an image
// starts where the rated current would have left it for ever, so that a crash
// loop is no way never to trip.
const UnknownHeat = -1

// maxTarget bounds the heat that a current asks for, in multiples of the trip
// heat: a hundred times the pick-up, beyond what a meter can show.
const maxTarget = 1e4

// Input is what is known of an outlet at one moment.
type Input struct {
	Reading shedguard.Reading // the last good one; At tells its age
	Fresh   bool              // a new conversion since the last call
	Polling time.Time         // since when the meter is polled; zero: since the first call

	Celsius            float64
	CelsiusAt          time.Time // of the last good sample; zero: none yet
	ThermometerPolling time.Time // since when it is polled; zero: judged from its first sample on

	Closed     bool      // what the relay was told
	SwitchedAt time.Time // when it was told; zero: before the first call

	// Conditions is what others found to stand now. The slice stays the
	// caller's; a condition that is not in it any more has passed.
	Conditions []Condition
}

// Decision is one cause that stands at an outlet or is latched.
type Decision struct {
	Cause    shedguard.Cause
	Detail   shedguard.Detail // of a condition that others told
	Grade    shedguard.Grade  // of one about fire
	Severity shedguard.Severity
	Action   shedguard.Action
	Value    float64   // the worst since the decision; of meter_stale the age at the decision
	Limit    float64   // what Value was held against
	Unit     string    // of both: A, mA, W, V, °C, °C/min, s; empty for a ratio and where there is no value
	Since    time.Time // when the condition began
	At       time.Time // the sample that decided; zero for a latch restored from an earlier boot
	Standing bool      // the condition holds now
	Latched  bool      // stays until a reset
}

// Opens reports whether the decision holds the outlet open; one that does not
// only reports.
func (d *Decision) Opens() bool { return d.Latched || opens(d.Action) }

// Verdict is what one step decided.
type Verdict struct {
	list     []Decision
	held     Causes
	standing Causes
	latched  Causes
	acting   Causes
	judged   bool
}

// Decisions lists what stands or is latched, most urgent first. The slice
// belongs to the state, until its next step.
func (v *Verdict) Decisions() []Decision { return v.list }

// Held is the causes of the decisions.
func (v *Verdict) Held() Causes { return v.held }

// Standing is those whose condition holds now.
func (v *Verdict) Standing() Causes { return v.standing }

// Latched is those that stay until a reset.
func (v *Verdict) Latched() Causes { return v.latched }

// Opening is those that hold the outlet open.
func (v *Verdict) Opening() Causes { return v.acting }

// Sounds reports whether a decision asks for the siren.
func (v *Verdict) Sounds() bool {
	if v.acting == 0 {
		return false
	}
	for i := range v.list {
		if v.list[i].Action == shedguard.ActionSiren {
			return true
		}
	}
	return false
}

// Why is the most urgent decision that holds the outlet open; false when none
// does.
func (v *Verdict) Why() (d Decision, ok bool) {
	for i := range v.list {
		if v.list[i].Opens() {
			return v.list[i], true
		}
	}
	return Decision{}, false
}

// Judged reports whether the outlet has been looked at at all: a usable
// reading has come, or its lack was found to be a fault. Until then the lack
// of a decision says nothing.
func (v *Verdict) Judged() bool { return v.judged }

// MustOpen reports whether the relay must be open now.
func (v *Verdict) MustOpen() bool { return v.acting != 0 }

// Suspends reports whether the relay must be open for causes that pass by
// themselves only, so that a session may go on afterwards.
func (v *Verdict) Suspends() bool { return v.acting != 0 && v.latched == 0 }

// State is what is remembered of one outlet between two samples. The zero
// State is a new outlet with an unknown heat and no latch.
type State struct {
	heat  float64 // 1 = trip
	known bool    // heat is known

	held    [count]Decision
	list    [count]Decision // what is held, without gaps: for the verdict
	set     Causes          // of held
	stands  Causes          // by a rule of this package
	told    Causes          // by the conditions of the last step
	latched Causes
	acting  Causes // holds the outlet open

	begun  time.Time // first call
	at     time.Time // of the last usable reading
	amps   float64   // of it, magnitude
	watts  float64   // of it, magnitude
	volts  float64   // of it, magnitude
	leak   float64   // residual amps of it
	odd    bool      // volts, amps and watts do not fit for longer than the delay
	faulty bool      // no usable reading for longer than the delay of meter_implausible
	tempAt time.Time
	temp   float64
	rise   rise

	shortFirst time.Time // first of the conversions above the limit
	overSince  time.Time // first of those above the pick-up
	powerSince time.Time
	highSince  time.Time // of the voltage
	lowSince   time.Time
	leakSince  time.Time
	oddSince   time.Time // of volts, amps and watts that do not fit
	tempSince  time.Time
	weldSince  time.Time
}

// NewState is the state of an outlet after a restart: its heat image as it was
// saved, or [UnknownHeat], and the causes that were latched. A heat that is
// negative or not finite is unknown.
func NewState(heat float64, latched Causes) State {
	s := State{}
	if heat >= 0 && !math.IsInf(heat, 0) {
		s.heat, s.known = heat, true
	}
	s.set, s.latched, s.acting = latched&All(), latched&All(), latched&All()
	for i := range count {
		if s.set.has(i) {
			s.held[i] = Decision{Cause: i.cause(), Severity: shedguard.SeverityMajor, Action: i.tripped(), Latched: true}
		}
	}
	return s
}

// Heat is the heat image at the last sample: 1 trips. It is [UnknownHeat]
// before the first call of Next.
func (s *State) Heat() float64 {
	if !s.known {
		return UnknownHeat
	}
	return s.heat
}

// Latched is the causes that only a reset clears.
func (s *State) Latched() Causes { return s.latched }

// StandsError is why a reset was refused.
type StandsError struct {
	Cause shedguard.Cause
	Value float64
	Limit float64
	Unit  string
}

func (e *StandsError) Error() string {
	if e.Unit == "" {
		return fmt.Sprintf("%s stands", e.Cause)
	}
	return fmt.Sprintf("%s stands: %.4g %s, limit %.4g %s", e.Cause, e.Value, e.Unit, e.Limit, e.Unit)
}

// Next takes the state one step further and says what holds the outlet open.
// It allocates nothing.
func (l *Limits) Next(s *State, in *Input, now time.Time) Verdict {
	if s.begun.IsZero() {
		l.begin(s, in, now)
	}
	l.meter(s, in, now)
	l.thermometer(s, in, now)
	l.stale(s, in, now)
	s.conditions(in.Conditions, now)
	return s.verdict()
}

// Reset clears the latches. It refuses with a [*StandsError] while a cause
// still stands, or while there is no usable sample to say that it does not.
func (l *Limits) Reset(s *State, in *Input, now time.Time) error {
	v := l.Next(s, in, now)
	for i := range count {
		if (v.acting & v.standing).has(i) {
			return l.refuse(s, in, i, now)
		}
	}
	unread := s.at.IsZero() ||
		(s.set.has(overTemperature) || s.set.has(temperatureRise)) && s.tempAt.IsZero() && !in.ThermometerPolling.IsZero()
	if unread {
		return l.refuse(s, in, meterStale, now)
	}
	s.drop(s.latched)
	for _, since := range [...]*time.Time{
		&s.shortFirst, &s.powerSince, &s.highSince, &s.lowSince, &s.leakSince, &s.oddSince, &s.tempSince, &s.weldSince,
	} {
		*since = time.Time{}
	}
	return nil
}

// begin completes a new state: what NewState cannot know without limits.
func (l *Limits) begin(s *State, in *Input, now time.Time) {
	s.begun = now
	if !in.Polling.IsZero() && in.Polling.Before(now) {
		s.begun = in.Polling
	}
	if !s.known && l.Overcurrent.Enabled {
		s.heat, s.known = l.target(l.RatingAmps), true
	}
	for i := range count {
		if !s.set.has(i) {
			continue
		}
		d := &s.held[i]
		if r, ok := l.rule(i); ok {
			d.Severity = severity(r.Severity)
		}
		d.Limit, d.Unit = l.limit(i)
	}
}

// meter runs the rules that decide on a reading of the meter.
func (l *Limits) meter(s *State, in *Input, now time.Time) {
	r := &in.Reading
	if !in.Fresh || r.At.IsZero() || r.Quality >= shedguard.QualityStale || !r.Finite() {
		return
	}
	at := r.At
	if at.After(now) {
		at = now // an instant to come must not make a reading young for ever
	}
	if !at.After(s.at) {
		return // the same conversion again
	}

	before, gap := s.amps, at.Sub(s.at)
	first, broken := s.at.IsZero(), gap > l.hold()
	s.at, s.volts, s.amps, s.watts = at, math.Abs(r.Volts), math.Abs(r.Amps), math.Abs(r.Watts)
	if first {
		gap = 0
	}

	if o := &l.Overcurrent; o.Enabled {
		s.heat = l.warm(s.heat, before, min(gap, l.hold()))
		mark(&s.overSince, s.amps > o.PickUp*l.RatingAmps, false, at)
		if s.heat >= 1 {
			since := s.overSince
			if since.IsZero() {
				since = at
			}
			l.decide(s, overcurrent, max(before, s.amps), since, at)
		}
		s.stand(overcurrent, s.heat > o.ResetHeat, s.amps)
	}
	if o := &l.ShortCircuit; o.Enabled {
		over := s.amps >= o.TimesRating*l.RatingAmps
		if mark(&s.shortFirst, over, broken, at) && at.Sub(s.shortFirst) >= o.Span {
			l.decide(s, shortCircuit, s.amps, s.shortFirst, at)
		}
		s.stand(shortCircuit, over, s.amps)
	}
	if o := &l.Overpower; o.Enabled {
		over := s.watts > o.LimitWatts
		l.held(s, overpower, &s.powerSince, over, broken, o.Delay, s.watts, at)
		s.stand(overpower, over, s.watts)
	}
	if o := &l.RelayWelded; o.Enabled {
		over := !in.Closed && at.After(in.SwitchedAt) && s.amps > o.LimitAmps
		if mark(&s.weldSince, over, broken, at) && at.Sub(s.weldSince) >= o.Delay {
			l.decide(s, relayWelded, s.amps, s.weldSince, at)
		}
		s.stand(relayWelded, over, s.amps)
	}
	l.voltage(s, in, broken, at)
	l.residual(s, r, broken, at)
	l.mismatch(s, broken, at)
}

// thermometer runs the rules that decide on a sample of the thermometer.
func (l *Limits) thermometer(s *State, in *Input, now time.Time) {
	o := &l.OverTemperature
	if !o.Enabled || in.CelsiusAt.IsZero() || math.IsNaN(in.Celsius) || math.IsInf(in.Celsius, 0) {
		return
	}
	at := in.CelsiusAt
	if at.After(now) {
		at = now
	}
	if !at.After(s.tempAt) {
		return
	}
	broken := at.Sub(s.tempAt) > o.Stale
	s.tempAt, s.temp = at, in.Celsius
	l.held(s, overTemperature, &s.tempSince, s.temp > o.LimitCelsius, broken, o.Delay, s.temp, at)
	s.stand(overTemperature, s.temp > o.ResetCelsius, s.temp)
	l.rising(s, broken, at)
}

// stale runs the rule that decides on the lack of a sample.
func (l *Limits) stale(s *State, in *Input, now time.Time) {
	nonsense := l.nonsense(s, in, now)
	since, limit, silent := l.silent(s, in, now)
	switch {
	case !silent, nonsense:
		s.stand(meterStale, false, 0)
	case !s.stands.has(meterStale):
		l.decide(s, meterStale, now.Sub(since).Seconds(), since, now)
		s.held[meterStale].Limit = limit.Seconds()
	}
}

// silent reports whether the meter or the thermometer has said nothing for
// longer than its limit, and since when.
func (l *Limits) silent(s *State, in *Input, now time.Time) (since time.Time, limit time.Duration, silent bool) {
	since = s.at
	if since.IsZero() {
		since = s.begun
	}
	if l.MeterStale.Enabled && now.Sub(since) > l.MeterStale.Limit {
		return since, l.MeterStale.Limit, true
	}
	since = s.tempAt
	if since.IsZero() {
		since = in.ThermometerPolling
	}
	if l.OverTemperature.Enabled && !since.IsZero() && now.Sub(since) > l.OverTemperature.Stale {
		return since, l.OverTemperature.Stale, true
	}
	return time.Time{}, 0, false
}

// hold is how long a reading speaks for the time after it.
func (l *Limits) hold() time.Duration {
	if l.MeterStale.Enabled {
		return l.MeterStale.Limit
	}
	return math.MaxInt64
}

// target is the heat that a current reaches in the end.
func (l *Limits) target(amps float64) float64 {
	x := amps / (l.Overcurrent.PickUp * l.RatingAmps)
	if x *= x; x < maxTarget {
		return x
	}
	return maxTarget
}

// warm is the heat after a current has flowed for d. A constant current never
// crosses its own target, so one exponential is exact however long d is.
func (l *Limits) warm(heat, amps float64, d time.Duration) float64 {
	target, tau := l.target(amps), l.Overcurrent.Cooling
	if target > heat {
		tau = l.Overcurrent.Heating
	}
	return heat - (target-heat)*math.Expm1(-d.Seconds()/tau.Seconds())
}

// mark keeps since at the first of the samples in a row for which over holds.
// It reports whether the sample at at is a later one of them.
func mark(since *time.Time, over, broken bool, at time.Time) bool {
	switch {
	case !over:
		*since = time.Time{}
		return false
	case since.IsZero() || broken:
		*since = at
		return false
	default:
		return true
	}
}

// decide holds the outlet, or reports it, for cause i from now on.
func (l *Limits) decide(s *State, i index, value float64, since, at time.Time) {
	s.stands.add(i)
	d := &s.held[i]
	r, _ := l.rule(i)
	stronger := r.Act == ActTrip && !s.latched.has(i) || r.Act == ActSuspend && !s.acting.has(i)
	if s.set.has(i) && !d.At.IsZero() && !stronger {
		return
	}
	before := *d
	*d = Decision{
		Cause: i.cause(), Severity: severity(r.Severity), Action: shedguard.ActionNone,
		Value: value, Since: since, At: at,
	}
	d.Limit, d.Unit = l.limit(i)
	switch {
	case r.Act == ActTrip:
		d.Action, d.Latched = i.tripped(), true
	case s.latched.has(i): // by an earlier boot: nothing but a reset ends it
		d.Action, d.Latched = before.Action, true
	case r.Act == ActSuspend:
		d.Action = shedguard.ActionSuspended
	}
	s.set.add(i)
	s.latched.put(i, d.Latched)
	s.acting.put(i, d.Opens())
}

// stand notes whether a decided condition holds at this sample and how bad it
// is. One that does not hold any more has passed, unless it is latched.
func (s *State) stand(i index, stands bool, value float64) {
	// What only others say is theirs to end.
	if !s.set.has(i) || !s.stands.has(i) && (!stands || !s.latched.has(i)) {
		return
	}
	d := &s.held[i]
	s.stands.put(i, stands)
	switch {
	case stands && !d.At.IsZero() && i == undervoltage:
		d.Value = min(d.Value, value)
	case stands && !d.At.IsZero():
		d.Value = max(d.Value, value)
	case !stands && !d.Latched && !s.told.has(i):
		s.drop(i.bit())
	}
}

// drop forgets causes.
func (s *State) drop(gone Causes) {
	s.set &^= gone
	s.stands &^= gone
	s.latched &^= gone
	s.acting &^= gone
}

func (s *State) verdict() Verdict {
	v := Verdict{
		held: s.set, standing: s.set & (s.stands | s.told), latched: s.latched, acting: s.acting,
		judged: !s.at.IsZero() || s.stands.has(meterStale) || s.stands.has(meterImplausible),
	}
	if s.set == 0 {
		return v
	}
	n := 0
	for i := range count {
		if s.set.has(i) {
			s.list[n] = s.held[i]
			s.list[n].Standing = v.standing.has(i)
			n++
		}
	}
	v.list = s.list[:n]
	return v
}

// limit is what a cause's value is held against.
func (l *Limits) limit(i index) (float64, string) {
	switch i {
	case shortCircuit:
		return l.ShortCircuit.TimesRating * l.RatingAmps, "A"
	case relayWelded:
		return l.RelayWelded.LimitAmps, "A"
	case overTemperature:
		return l.OverTemperature.LimitCelsius, "°C"
	case overcurrent:
		return l.Overcurrent.PickUp * l.RatingAmps, "A"
	case overpower:
		return l.Overpower.LimitWatts, "W"
	case overvoltage:
		return l.Overvoltage.LimitVolts, "V"
	case undervoltage:
		return l.Undervoltage.LimitVolts, "V"
	case residualCurrent:
		return l.ResidualCurrent.LimitAmps * milli, "mA"
	case temperatureRise:
		return l.TemperatureRise.LimitPerMinute, "°C/min"
	case meterImplausible:
		return 1 + l.MeterImplausible.Tolerance, ""
	case meterStale:
		return l.MeterStale.Limit.Seconds(), "s"
	default:
		return 0, ""
	}
}

// refuse is the refusal of a reset, with the value of this moment.
func (l *Limits) refuse(s *State, in *Input, i index, now time.Time) error {
	e := &StandsError{Cause: i.cause()}
	e.Limit, e.Unit = l.limit(i)
	switch {
	case i != meterStale && !s.stands.has(i): // by the word of others
		d := &s.held[i]
		e.Value, e.Limit, e.Unit = d.Value, d.Limit, d.Unit
	case i == overcurrent:
		e.Value, e.Limit, e.Unit = s.heat, l.Overcurrent.ResetHeat, "of the trip heat"
	case i == overTemperature:
		e.Value, e.Limit = s.temp, l.OverTemperature.ResetCelsius
	case i == meterStale:
		since, limit, silent := l.silent(s, in, now)
		if !silent { // not late yet, but nothing to judge by
			since, limit = s.begun, l.MeterStale.Limit
		}
		e.Value, e.Limit, e.Unit = now.Sub(since).Seconds(), limit.Seconds(), "s"
	case i == overpower:
		e.Value = s.watts
	case i == overvoltage:
		e.Value, e.Limit = s.volts, l.Overvoltage.ResetVolts
	case i == undervoltage:
		e.Value, e.Limit = s.volts, l.Undervoltage.ResetVolts
	case i == residualCurrent:
		e.Value = s.leak * milli
	case i == temperatureRise:
		e.Value = s.rise.now / l.TemperatureRise.Window.Minutes()
	case i == meterImplausible:
		d := &s.held[i]
		e.Value, e.Limit, e.Unit = d.Value, d.Limit, d.Unit
	default:
		e.Value = s.amps
	}
	return e
}
