package protect

import (
	"errors"
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
)

// Limits are what one outlet may do. Every rule that is on needs its limits:
// zero never stands for "none".
type Limits struct {
	RatingAmps       float64 // A, the current the outlet may carry for ever
	ShortCircuit     ShortCircuit
	Overcurrent      Overcurrent
	Overpower        Overpower
	Overvoltage      Overvoltage
	Undervoltage     Undervoltage
	ResidualCurrent  ResidualCurrent
	OverTemperature  OverTemperature
	TemperatureRise  TemperatureRise
	MeterImplausible MeterImplausible
	MeterStale       MeterStale
	RelayWelded      RelayWelded
}

// Act says what a rule does about what it finds.
type Act string

// The acts. Every rule can only report: that is how a limit is tried before it
// is trusted (shadow mode).
const (
	ActReport  Act = "report"  // an alarm, and the outlet stays as it is
	ActSuspend Act = "suspend" // open while the condition stands; the session goes on afterwards
	ActTrip    Act = "trip"    // open until a person resets it
)

// Rule is what all rules have.
type Rule struct {
	Enabled  bool
	Severity shedguard.Severity
	Act      Act
}

// ShortCircuit trips on a current far above the rating. What is faster than
// two conversions is the breaker's to clear.
type ShortCircuit struct {
	Rule
	TimesRating float64       // multiple of the rating
	Span        time.Duration // from the first to the last of at least two conversions
}

// Overcurrent trips on the heat that a current leaves in the wiring.
type Overcurrent struct {
	Rule
	PickUp    float64       // multiple of the rating that just reaches the trip heat in the end
	Heating   time.Duration // time constant while the heat rises
	Cooling   time.Duration // time constant while it falls
	ResetHeat float64       // heat above which a reset is refused; 1 is the trip heat
}

// Overpower trips on active power.
type Overpower struct {
	Rule
	LimitWatts float64       // W
	Delay      time.Duration // from the first sample above the limit to the one that trips
}

// Overvoltage acts on the voltage of the supply, as when the neutral of a
// three-phase feeder is lost.
type Overvoltage struct {
	Rule
	LimitVolts float64       // V, above
	ResetVolts float64       // V, at or under which it is over
	Delay      time.Duration // from the first sample above the limit to the one that decides
}

// Undervoltage acts on a voltage of the supply that chargers answer with more
// current. A sag that is shorter than the delay is ridden through.
type Undervoltage struct {
	Rule
	LimitVolts float64       // V, under
	ResetVolts float64       // V, at or above which it is over
	Delay      time.Duration // from the first sample under the limit to the one that decides
}

// ResidualCurrent acts on current that does not come back. It is judged only
// where the meter measures it, see [shedguard.Reading], and replaces no
// residual-current breaker.
type ResidualCurrent struct {
	Rule
	LimitAmps float64       // A
	Delay     time.Duration // from the first to the last of at least two samples above the limit
}

// OverTemperature trips on the outlet's thermometer. An outlet without one is
// not judged.
type OverTemperature struct {
	Rule
	LimitCelsius float64       // °C
	ResetCelsius float64       // °C above which a reset is refused
	Delay        time.Duration // from the first sample above the limit to the one that trips
	Stale        time.Duration // age of a thermometer's sample that is a fault
}

// TemperatureRise acts on the speed at which the outlet warms: the median of
// the last three samples against the lowest such median within a window. It
// watches the thermometer of over_temperature and is not judged where that is off:
// that is how it is said that there is none.
type TemperatureRise struct {
	Rule
	LimitPerMinute float64       // °C a minute, over the whole window; the sooner the faster it rises
	Window         time.Duration // of it
}

// MeterImplausible acts on a meter that answers what cannot be: values that are
// no numbers or frozen ([shedguard.QualityFault]), and power that does not fit
// volts and amps while current flows.
type MeterImplausible struct {
	Rule
	Tolerance   float64       // share by which watts may be above volts × amps
	LeastFactor float64       // watts / (volts × amps) under which a charger's power is no power
	FloorAmps   float64       // A under which the three are not compared
	Delay       time.Duration // how long it must be so
}

// MeterStale opens an outlet whose meter has fallen silent. It may not only
// report: what cannot be judged is not fed.
type MeterStale struct {
	Rule
	Limit time.Duration // age of the last usable reading
}

// RelayWelded reports current through a relay that was told to open.
type RelayWelded struct {
	Rule
	LimitAmps float64       // A
	Delay     time.Duration // from the first sample above the limit after opening to the one that decides
}

// Validate reports what is wrong with the limits, every fault at once, each
// with its path. A rule that is off is not looked into.
func (l *Limits) Validate() error {
	var errs []error
	number := func(path string, v, low, high float64) {
		if !(v >= low && v <= high) { // NaN is refused too
			errs = append(errs, fmt.Errorf("%s: %g: want %g to %g", path, v, low, high))
		}
	}
	span := func(path string, v, low, high time.Duration) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %v: want %v to %v", path, v, low, high))
		}
	}
	// A rule whose condition goes away because the outlet is open must not
	// suspend: it would switch on and off.
	const free, noSuspend, neverReport = "report, suspend or trip", "report or trip", "suspend or trip"
	rule := func(path string, r *Rule, acts string) {
		if r.Severity < shedguard.SeverityCritical || r.Severity > shedguard.SeverityWarning {
			errs = append(errs, fmt.Errorf("%s.severity: %s: want critical, major, minor or warning", path, r.Severity))
		}
		switch {
		case r.Act == ActTrip, r.Act == ActReport && acts != neverReport, r.Act == ActSuspend && acts != noSuspend:
		default:
			errs = append(errs, fmt.Errorf("%s.action: %q: want %s", path, r.Act, acts))
		}
	}

	number("rating_amps", l.RatingAmps, 0.5, 63)
	if r := &l.ShortCircuit; r.Enabled {
		rule("short_circuit", &r.Rule, noSuspend)
		number("short_circuit.times_rating", r.TimesRating, 2, 10)
		span("short_circuit.span", r.Span, 100*time.Millisecond, 3*time.Second)
	}
	if r := &l.Overcurrent; r.Enabled {
		rule("overcurrent", &r.Rule, noSuspend)
		number("overcurrent.pick_up", r.PickUp, 1, 1.45)
		span("overcurrent.heating", r.Heating, 5*time.Second, time.Hour)
		span("overcurrent.cooling", r.Cooling, max(r.Heating, 5*time.Second), 4*time.Hour)
		number("overcurrent.reset_heat", r.ResetHeat, 0.5, 0.999)
	}
	if r := &l.Overpower; r.Enabled {
		rule("overpower", &r.Rule, noSuspend)
		number("overpower.limit_watts", r.LimitWatts, 10, 20000)
		span("overpower.delay", r.Delay, 0, time.Minute)
	}
	if r := &l.Overvoltage; r.Enabled {
		rule("overvoltage", &r.Rule, free)
		number("overvoltage.limit_volts", r.LimitVolts, 12, 300)
		number("overvoltage.reset_volts", r.ResetVolts, 10, r.LimitVolts)
		span("overvoltage.delay", r.Delay, 0, time.Minute)
	}
	if r := &l.Undervoltage; r.Enabled {
		rule("undervoltage", &r.Rule, free)
		highest := 250.0 // of normal operation
		if l.Overvoltage.Enabled {
			highest = min(highest, l.Overvoltage.ResetVolts)
		}
		number("undervoltage.limit_volts", r.LimitVolts, 8, highest)
		number("undervoltage.reset_volts", r.ResetVolts, r.LimitVolts, highest)
		span("undervoltage.delay", r.Delay, 100*time.Millisecond, time.Minute)
	}
	if r := &l.ResidualCurrent; r.Enabled {
		rule("residual_current", &r.Rule, noSuspend)
		number("residual_current.limit_amps", r.LimitAmps, 0.006, 1)
		span("residual_current.delay", r.Delay, 0, 10*time.Second)
	}
	if r := &l.TemperatureRise; r.Enabled {
		rule("temperature_rise", &r.Rule, free)
		number("temperature_rise.limit_per_minute", r.LimitPerMinute, 1, 100)
		span("temperature_rise.window", r.Window, 10*time.Second, 10*time.Minute)
	}
	if r := &l.MeterImplausible; r.Enabled {
		rule("meter_implausible", &r.Rule, free)
		number("meter_implausible.tolerance", r.Tolerance, 0.02, 0.5)
		number("meter_implausible.least_factor", r.LeastFactor, 0, 0.5)
		number("meter_implausible.floor_amps", r.FloorAmps, 0.05, 10)
		span("meter_implausible.delay", r.Delay, 500*time.Millisecond, 10*time.Second)
	}
	if r := &l.OverTemperature; r.Enabled {
		rule("over_temperature", &r.Rule, free)
		number("over_temperature.limit_celsius", r.LimitCelsius, 40, 120)
		number("over_temperature.reset_celsius", r.ResetCelsius, 20, r.LimitCelsius)
		span("over_temperature.delay", r.Delay, 0, time.Minute)
		span("over_temperature.stale", r.Stale, time.Second, time.Minute)
	}
	if r := &l.MeterStale; r.Enabled {
		rule("meter_stale", &r.Rule, neverReport)
		span("meter_stale.limit", r.Limit, 500*time.Millisecond, 10*time.Second)
	}
	if r := &l.RelayWelded; r.Enabled {
		rule("relay_welded", &r.Rule, noSuspend)
		number("relay_welded.limit_amps", r.LimitAmps, 0.02, 5)
		span("relay_welded.delay", r.Delay, 100*time.Millisecond, 10*time.Second)
	}
	return errors.Join(errs...)
}

// rule is the rule behind a cause; false when only others tell of it.
func (l *Limits) rule(i index) (r Rule, ok bool) {
	switch i {
	case shortCircuit:
		return l.ShortCircuit.Rule, true
	case relayWelded:
		return l.RelayWelded.Rule, true
	case overTemperature:
		return l.OverTemperature.Rule, true
	case overcurrent:
		return l.Overcurrent.Rule, true
	case overpower:
		return l.Overpower.Rule, true
	case overvoltage:
		return l.Overvoltage.Rule, true
	case undervoltage:
		return l.Undervoltage.Rule, true
	case residualCurrent:
		return l.ResidualCurrent.Rule, true
	case temperatureRise:
		return l.TemperatureRise.Rule, true
	case meterImplausible:
		return l.MeterImplausible.Rule, true
	case meterStale:
		if !l.MeterStale.Enabled { // the thermometer's silence
			return Rule{Severity: l.OverTemperature.Severity, Act: ActSuspend}, true
		}
		return l.MeterStale.Rule, true
	default:
		return Rule{}, false
	}
}
