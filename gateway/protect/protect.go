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
}

// Decision is one cause that holds an outlet open.
type Decision struct {
	Cause    shedguard.Cause
	Severity shedguard.Severity
	Action   shedguard.Action
	Value    float64   // the worst since the decision; of meter_stale the age at the decision
	Limit    float64   // what Value was held against
	Unit     string    // of both: A, W, °C, s; empty for state_lost
	Since    time.Time // when the condition began
	At       time.Time // the sample that decided; zero for a latch restored from an earlier boot
	Standing bool      // the condition holds now
	Latched  bool      // stays until a reset
}

// Verdict is what one step decided.
type Verdict struct {
	list   [count]Decision
	n      int
	judged bool
}

// Decisions lists what holds the outlet open, most urgent first. The slice
// belongs to the verdict.
func (v *Verdict) Decisions() []Decision { return v.list[:v.n] }

// Judged reports whether the outlet has been looked at at all: a usable
// reading has come, or its lack was found to be a fault. Until then the lack
// of a decision says nothing.
func (v *Verdict) Judged() bool { return v.judged }

// MustOpen reports whether the relay must be open now.
func (v *Verdict) MustOpen() bool { return v.n > 0 }

// Suspends reports whether the relay must be open for causes that pass by
// themselves only, so that a session may go on afterwards.
func (v *Verdict) Suspends() bool {
	for i := range v.n {
		if v.list[i].Latched {
			return false
		}
	}
	return v.n > 0
}

// State is what is remembered of one outlet between two samples. The zero
// State is a new outlet with an unknown heat and no latch.
type State struct {
	heat  float64 // 1 = trip
	known bool    // heat is known
	held  [count]Decision
	set   Causes // of held: what holds the outlet open

	begun  time.Time // first call
	at     time.Time // of the last usable reading
	amps   float64   // of it, magnitude
	watts  float64   // of it, magnitude
	tempAt time.Time
	temp   float64

	shortFirst time.Time // first of the conversions above the limit
	overSince  time.Time // first of those above the pick-up
	powerSince time.Time
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
	for i := range count {
		if i != meterStale && latched&(1<<i) != 0 {
			s.set |= 1 << i
			s.held[i] = Decision{Cause: i.cause(), Severity: shedguard.SeverityMajor, Action: i.action(), Latched: true}
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
func (s *State) Latched() Causes { return s.set &^ (1 << meterStale) }

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
	return s.verdict()
}

// Reset clears the latches. It refuses with a [*StandsError] while a cause
// still stands, or while there is no usable sample to say that it does not.
func (l *Limits) Reset(s *State, in *Input, now time.Time) error {
	v := l.Next(s, in, now)
	for i := range v.n {
		if d := &v.list[i]; d.Standing {
			return l.stands(s, in, d.Cause, now)
		}
	}
	unread := s.at.IsZero() ||
		s.set.Has(shedguard.CauseOverTemperature) && s.tempAt.IsZero() && !in.ThermometerPolling.IsZero()
	if unread {
		return l.stands(s, in, shedguard.CauseMeterStale, now)
	}
	s.set = 0
	s.shortFirst, s.powerSince, s.tempSince, s.weldSince = time.Time{}, time.Time{}, time.Time{}, time.Time{}
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
		if s.set&(1<<i) == 0 {
			continue
		}
		d := &s.held[i]
		if severity := l.severity(i); severity != shedguard.SeverityCleared {
			d.Severity = severity
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
	s.at, s.amps, s.watts = at, math.Abs(r.Amps), math.Abs(r.Watts)
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
		if again := mark(&s.powerSince, over, broken, at); over && (again || o.Delay == 0) && at.Sub(s.powerSince) >= o.Delay {
			l.decide(s, overpower, s.watts, s.powerSince, at)
		}
		s.stand(overpower, over, s.watts)
	}
	if o := &l.RelayWelded; o.Enabled {
		over := !in.Closed && at.After(in.SwitchedAt) && s.amps > o.LimitAmps
		if mark(&s.weldSince, over, broken, at) && at.Sub(s.weldSince) >= o.Delay {
			l.decide(s, relayWelded, s.amps, s.weldSince, at)
		}
		s.stand(relayWelded, over, s.amps)
	}
}

// thermometer runs the rule that decides on a sample of the thermometer.
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
	over := s.temp > o.LimitCelsius
	if again := mark(&s.tempSince, over, broken, at); over && (again || o.Delay == 0) && at.Sub(s.tempSince) >= o.Delay {
		l.decide(s, overTemperature, s.temp, s.tempSince, at)
	}
	s.stand(overTemperature, s.temp > o.ResetCelsius, s.temp)
}

// stale runs the rule that decides on the lack of a sample.
func (l *Limits) stale(s *State, in *Input, now time.Time) {
	since, limit, silent := l.silent(s, in, now)
	switch {
	case !silent:
		s.set &^= 1 << meterStale
	case s.set&(1<<meterStale) == 0:
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

// decide holds the outlet open for cause i from now on.
func (l *Limits) decide(s *State, i index, value float64, since, at time.Time) {
	if s.set&(1<<i) != 0 && !s.held[i].At.IsZero() {
		return
	}
	d := Decision{
		Cause: i.cause(), Severity: l.severity(i), Action: i.action(), Value: value,
		Since: since, At: at, Standing: true, Latched: i != meterStale,
	}
	d.Limit, d.Unit = l.limit(i)
	s.held[i] = d
	s.set |= 1 << i
}

// stand notes whether a decided condition holds at this sample and how bad it
// is.
func (s *State) stand(i index, stands bool, value float64) {
	if s.set&(1<<i) == 0 {
		return
	}
	d := &s.held[i]
	d.Standing = stands
	if stands && !d.At.IsZero() {
		d.Value = max(d.Value, value)
	}
}

func (s *State) verdict() Verdict {
	v := Verdict{judged: !s.at.IsZero() || s.set&(1<<meterStale) != 0}
	for i := range count {
		if s.set&(1<<i) != 0 {
			v.list[v.n] = s.held[i]
			v.n++
		}
	}
	return v
}

// severity is the configured severity of a cause's rule; cleared when the
// cause has none.
func (l *Limits) severity(i index) shedguard.Severity {
	switch i {
	case shortCircuit:
		return l.ShortCircuit.Severity
	case relayWelded:
		return l.RelayWelded.Severity
	case overTemperature:
		return l.OverTemperature.Severity
	case overcurrent:
		return l.Overcurrent.Severity
	case overpower:
		return l.Overpower.Severity
	case meterStale:
		if !l.MeterStale.Enabled {
			return l.OverTemperature.Severity // the thermometer's silence
		}
		return l.MeterStale.Severity
	default:
		return shedguard.SeverityCleared
	}
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
	case meterStale:
		return l.MeterStale.Limit.Seconds(), "s"
	default:
		return 0, ""
	}
}

// stands is the refusal of a reset, with the value of this moment.
func (l *Limits) stands(s *State, in *Input, cause shedguard.Cause, now time.Time) error {
	e := &StandsError{Cause: cause}
	switch cause {
	case shedguard.CauseOvercurrent:
		e.Value, e.Limit, e.Unit = s.heat, l.Overcurrent.ResetHeat, "of the trip heat"
	case shedguard.CauseOverTemperature:
		e.Value, e.Limit, e.Unit = s.temp, l.OverTemperature.ResetCelsius, "°C"
	case shedguard.CauseMeterStale:
		since, limit, silent := l.silent(s, in, now)
		if !silent { // not late yet, but nothing to judge by
			since, limit = s.begun, l.MeterStale.Limit
		}
		e.Value, e.Limit, e.Unit = now.Sub(since).Seconds(), limit.Seconds(), "s"
	case shedguard.CauseOverpower:
		e.Value, e.Limit, e.Unit = s.watts, l.Overpower.LimitWatts, "W"
	case shedguard.CauseRelayWelded:
		e.Value, e.Limit, e.Unit = s.amps, l.RelayWelded.LimitAmps, "A"
	default:
		e.Value, e.Limit, e.Unit = s.amps, l.ShortCircuit.TimesRating*l.RatingAmps, "A"
	}
	return e
}
