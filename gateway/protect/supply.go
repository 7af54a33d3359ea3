package protect

import (
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

// deadVolts is the voltage under which an outlet that is open says nothing of
// the supply: its meter may sit behind the relay.
const deadVolts = 50.0

// voltage runs the rules about the supply.
func (l *Limits) voltage(s *State, in *Input, broken bool, at time.Time) {
	volts := math.Abs(in.Reading.Volts)
	seen := in.Closed || volts >= deadVolts
	if o := &l.Overvoltage; o.Enabled {
		l.held(s, overvoltage, &s.highSince, volts > o.LimitVolts, broken, o.Delay, volts, at)
		s.stand(overvoltage, volts > o.ResetVolts, volts)
	}
	switch o := &l.Undervoltage; {
	case !o.Enabled:
	case seen:
		l.held(s, undervoltage, &s.lowSince, volts < o.LimitVolts, broken, o.Delay, volts, at)
		s.stand(undervoltage, volts < o.ResetVolts, volts)
	default:
		s.lowSince = time.Time{}
	}
}

// milli is the unit in which a residual current is told: 0.03 A would be read as
// a number without meaning.
const milli = 1000

// residual runs the rule about current that does not come back.
func (l *Limits) residual(s *State, r *shedguard.Reading, broken bool, at time.Time) {
	o := &l.ResidualCurrent
	if !o.Enabled || !r.HasResidual {
		return
	}
	amps := math.Abs(r.ResidualAmps)
	s.leak = amps
	over := amps > o.LimitAmps
	if mark(&s.leakSince, over, broken, at) && at.Sub(s.leakSince) >= o.Delay {
		l.decide(s, residualCurrent, amps*milli, s.leakSince, at)
	}
	s.stand(residualCurrent, over, amps*milli)
}

// mostFactor bounds the value that is told of a power far beyond volts × amps.
const mostFactor = 100.0

// mismatch runs the part of meter_implausible that compares the three
// quantities of a reading: active power is at most volts times amps, and a
// charger's is not next to nothing. An open relay stops the current and with it
// the comparison: a suspended outlet is tried again, as often as its session
// may resume.
func (l *Limits) mismatch(s *State, broken bool, at time.Time) {
	o := &l.MeterImplausible
	if !o.Enabled {
		return
	}
	s.faulty = false                       // a usable reading has come
	factor := s.watts / (s.volts * s.amps) // without volts +Inf, or no number
	odd := s.amps >= o.FloorAmps && !(factor <= 1+o.Tolerance && factor >= o.LeastFactor)
	again := mark(&s.oddSince, odd, broken, at)
	s.odd = odd && (s.odd || again && at.Sub(s.oddSince) >= o.Delay)
	if s.odd && !s.stands.has(meterImplausible) {
		l.decide(s, meterImplausible, finite(min(factor, mostFactor)), s.oddSince, at)
		if d := &s.held[meterImplausible]; d.At.Equal(at) {
			d.Detail = shedguard.DetailPowerExcess
			if factor < o.LeastFactor {
				d.Limit, d.Detail = o.LeastFactor, shedguard.DetailPowerMissing
			}
		}
	}
	s.stand(meterImplausible, s.odd, 0)
}

// nonsense runs the part of meter_implausible that decides on the lack of a
// usable reading: the meter answers, and what it answers is no measurement. It
// reports whether that holds the outlet open, so that meter_stale needs not say
// it once more.
func (l *Limits) nonsense(s *State, in *Input, now time.Time) bool {
	o := &l.MeterImplausible
	if !o.Enabled {
		return false
	}
	since := s.at
	if since.IsZero() {
		since = s.begun
	}
	age := now.Sub(since)
	switch stands := in.Reading.Quality == shedguard.QualityFault && age > o.Delay; {
	case stands && !s.stands.has(meterImplausible):
		l.decide(s, meterImplausible, age.Seconds(), since, now)
		if d := &s.held[meterImplausible]; d.At.Equal(now) {
			d.Limit, d.Unit, d.Detail = o.Delay.Seconds(), "s", shedguard.DetailNoMeasurement
		}
		s.faulty = true
	case stands:
		s.faulty = true
	case s.faulty:
		s.faulty = false
		s.stand(meterImplausible, s.odd, 0)
	}
	return s.faulty && s.acting.has(meterImplausible)
}

// held decides for a condition that was seen from one sample to another at
// least a delay later, with none between them that denied it.
func (l *Limits) held(s *State, i index, since *time.Time, over, broken bool, delay time.Duration, value float64, at time.Time) {
	if again := mark(since, over, broken, at); over && (again || delay == 0) && at.Sub(*since) >= delay {
		l.decide(s, i, value, *since, at)
	}
}
