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
			s.held[i] = Decision{Cause: i.cause(), Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped, Latched: true}
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
	return Verdict{}
}

// Reset clears the latches. It refuses with a [*StandsError] while a cause
// still stands, or while there is no usable sample to say that it does not.
func (l *Limits) Reset(s *State, in *Input, now time.Time) error {
	return nil
}
