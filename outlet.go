package shedguard

import (
	"fmt"
	"math"
	"time"
)

// MaxOutlets is the highest outlet number of one shed.
const MaxOutlets = 256

// OutletState says what an outlet is doing. The numbers are part of the wire
// contract (field "state" of outlet telemetry).
type OutletState uint8

// The states of an outlet.
const (
	StateUnknown   OutletState = 0 // no good reading yet; the relay is open
	StateOff       OutletState = 1 // open by a planned stop
	StateReady     OutletState = 2 // fed, nothing drawing
	StateCharging  OutletState = 3 // fed, a charger is drawing
	StateFull      OutletState = 4 // the battery is full
	StateSuspended OutletState = 5 // open for a passing fault; resumes by itself
	StateTripped   OutletState = 6 // open and latched until a person resets it
	StateFault     OutletState = 7 // open because the outlet cannot be judged
)

// OutletStates lists every state in the order of its number.
func OutletStates() []OutletState {
	return []OutletState{
		StateUnknown, StateOff, StateReady, StateCharging,
		StateFull, StateSuspended, StateTripped, StateFault,
	}
}

func (s OutletState) String() string {
	switch s {
	case StateUnknown:
		return "unknown"
	case StateOff:
		return "off"
	case StateReady:
		return "ready"
	case StateCharging:
		return "charging"
	case StateFull:
		return "full"
	case StateSuspended:
		return "suspended"
	case StateTripped:
		return "tripped"
	case StateFault:
		return "fault"
	default:
		return fmt.Sprintf("state(%d)", uint8(s))
	}
}

// MarshalText writes the state's word.
func (s OutletState) MarshalText() ([]byte, error) {
	if s > StateFault {
		return nil, fmt.Errorf("outlet state %d: want 0 to %d", uint8(s), uint8(StateFault))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the state's word.
func (s *OutletState) UnmarshalText(b []byte) error {
	for _, known := range OutletStates() {
		if known.String() == string(b) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("outlet state %q: want one of %v", b, OutletStates())
}

// Quality says how far a reading can be trusted. The numbers are part of the
// wire contract (field "quality" of outlet telemetry).
type Quality uint8

// The qualities of a reading, best first.
const (
	QualityGood    Quality = 0 // fresh and plausible
	QualitySuspect Quality = 1 // fresh, but a glitch or a single failed read stands beside it
	QualityStale   Quality = 2 // too old to act on: a fault, never a value
	QualityFault   Quality = 3 // the sensor answers nonsense
)

// Qualities lists every quality in the order of its number.
func Qualities() []Quality {
	return []Quality{QualityGood, QualitySuspect, QualityStale, QualityFault}
}

func (q Quality) String() string {
	switch q {
	case QualityGood:
		return "good"
	case QualitySuspect:
		return "suspect"
	case QualityStale:
		return "stale"
	case QualityFault:
		return "fault"
	default:
		return fmt.Sprintf("quality(%d)", uint8(q))
	}
}

// MarshalText writes the quality's word.
func (q Quality) MarshalText() ([]byte, error) {
	if q > QualityFault {
		return nil, fmt.Errorf("quality %d: want 0 to %d", uint8(q), uint8(QualityFault))
	}
	return []byte(q.String()), nil
}

// UnmarshalText reads the quality's word.
func (q *Quality) UnmarshalText(b []byte) error {
	for _, known := range Qualities() {
		if known.String() == string(b) {
			*q = known
			return nil
		}
	}
	return fmt.Errorf("quality %q: want one of %v", b, Qualities())
}

// Reading is one sample of an outlet's meter. RMS values of the mains; the
// power is active power and signed as the meter gives it.
type Reading struct {
	Outlet      int       // 1 to MaxOutlets
	At          time.Time // when the sample was on the bus, with its monotonic part
	Volts       float64   // V, RMS
	Amps        float64   // A, RMS
	Watts       float64   // W, active
	PowerFactor float64   // -1 to 1
	Hertz       float64   // Hz, 0 when the meter does not measure it
	Raw         [3]uint32 // register words of the conversion, to see frozen values
	Quality     Quality

	// HasResidual is true where the meter measures the residual current too, the
	// part of the current that does not come back.
	HasResidual  bool
	ResidualAmps float64 // A, RMS
}

// Age is how long ago the sample was taken. A reading that was never taken is
// older than any limit.
func (r *Reading) Age(now time.Time) time.Duration {
	if r.At.IsZero() {
		return math.MaxInt64
	}
	return now.Sub(r.At)
}

// Finite reports whether every quantity of the reading is a number.
func (r *Reading) Finite() bool {
	for _, v := range [...]float64{r.Volts, r.Amps, r.Watts, r.PowerFactor, r.Hertz, r.ResidualAmps} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
