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
	RatingAmps      float64 // A, the current the outlet may carry for ever
	ShortCircuit    ShortCircuit
	Overcurrent     Overcurrent
	Overpower       Overpower
	OverTemperature OverTemperature
	MeterStale      MeterStale
	RelayWelded     RelayWelded
}

// ShortCircuit trips on a current far above the rating. What is faster than
// two conversions is the breaker's to clear.
type ShortCircuit struct {
	Enabled     bool
	Severity    shedguard.Severity
	TimesRating float64       // multiple of the rating
	Span        time.Duration // from the first to the last of at least two conversions
}

// Overcurrent trips on the heat that a current leaves in the wiring.
type Overcurrent struct {
	Enabled   bool
	Severity  shedguard.Severity
	PickUp    float64       // multiple of the rating that just reaches the trip heat in the end
	Heating   time.Duration // time constant while the heat rises
	Cooling   time.Duration // time constant while it falls
	ResetHeat float64       // heat above which a reset is refused; 1 is the trip heat
}

// Overpower trips on active power.
type Overpower struct {
	Enabled    bool
	Severity   shedguard.Severity
	LimitWatts float64       // W
	Delay      time.Duration // from the first sample above the limit to the one that trips
}

// OverTemperature trips on the outlet's thermometer. An outlet without one is
// not judged.
type OverTemperature struct {
	Enabled      bool
	Severity     shedguard.Severity
	LimitCelsius float64       // °C
	ResetCelsius float64       // °C above which a reset is refused
	Delay        time.Duration // from the first sample above the limit to the one that trips
	Stale        time.Duration // age of a thermometer's sample that is a fault
}

// MeterStale opens an outlet whose meter has fallen silent. It does not latch.
type MeterStale struct {
	Enabled  bool
	Severity shedguard.Severity
	Limit    time.Duration // age of the last usable reading
}

// RelayWelded reports current through a relay that was told to open.
type RelayWelded struct {
	Enabled   bool
	Severity  shedguard.Severity
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
	severity := func(path string, v shedguard.Severity) {
		if v < shedguard.SeverityCritical || v > shedguard.SeverityWarning {
			errs = append(errs, fmt.Errorf("%s.severity: %s: want critical, major, minor or warning", path, v))
		}
	}

	number("rating_amps", l.RatingAmps, 0.5, 63)
	if r := &l.ShortCircuit; r.Enabled {
		severity("short_circuit", r.Severity)
		number("short_circuit.times_rating", r.TimesRating, 2, 10)
		span("short_circuit.span", r.Span, 100*time.Millisecond, 3*time.Second)
	}
	if r := &l.Overcurrent; r.Enabled {
		severity("overcurrent", r.Severity)
		number("overcurrent.pick_up", r.PickUp, 1, 1.45)
		span("overcurrent.heating", r.Heating, 5*time.Second, time.Hour)
		span("overcurrent.cooling", r.Cooling, max(r.Heating, 5*time.Second), 4*time.Hour)
		number("overcurrent.reset_heat", r.ResetHeat, 0.5, 0.999)
	}
	if r := &l.Overpower; r.Enabled {
		severity("overpower", r.Severity)
		number("overpower.limit_watts", r.LimitWatts, 10, 20000)
		span("overpower.delay", r.Delay, 0, time.Minute)
	}
	if r := &l.OverTemperature; r.Enabled {
		severity("over_temperature", r.Severity)
		number("over_temperature.limit_celsius", r.LimitCelsius, 40, 120)
		number("over_temperature.reset_celsius", r.ResetCelsius, 20, r.LimitCelsius)
		span("over_temperature.delay", r.Delay, 0, time.Minute)
		span("over_temperature.stale", r.Stale, time.Second, time.Minute)
	}
	if r := &l.MeterStale; r.Enabled {
		severity("meter_stale", r.Severity)
		span("meter_stale.limit", r.Limit, 500*time.Millisecond, 10*time.Second)
	}
	if r := &l.RelayWelded; r.Enabled {
		severity("relay_welded", r.Severity)
		number("relay_welded.limit_amps", r.LimitAmps, 0.02, 5)
		span("relay_welded.delay", r.Delay, 100*time.Millisecond, 10*time.Second)
	}
	return errors.Join(errs...)
}
