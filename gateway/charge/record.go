package charge

import (
	"math"
	"slices"
)

// leastFirst is less than any charge begins with, in W: a rise is held against it, and
// against next to nothing every rise is without end.
const leastFirst = 0.1

// Record is what outlives a restart.
type Record struct {
	Charges []Charge `json:"charges,omitempty"` // healthy ones, oldest first
	Running *Running `json:"running,omitempty"`
}

// Running is the charge of a session that goes on after a restart, as after any
// other pause.
type Running struct {
	Session  string  `json:"session_id"`
	Phase    Phase   `json:"phase"`
	Watts    float64 `json:"watts"` // its level
	Plateau  float64 `json:"plateau_watts"`
	Volts    float64 `json:"volts"` // at the plateau
	First    float64 `json:"first_watts"`
	Lowest   float64 `json:"lowest_watts"`
	Minutes  float64 `json:"minutes"` // of charging
	Attached bool    `json:"attached,omitempty"`
}

// NewState is the state of an outlet after a start of the gateway, from what
// was kept of it. What cannot be is left out.
func NewState(kept Record) State {
	var s State
	for _, k := range kept.Charges[max(0, len(kept.Charges)-MaxCharges):] {
		if !slices.ContainsFunc(k[:], func(v float32) bool { return !(v >= 0 && v < 1e6) }) {
			s.usual.add(k)
		}
	}
	r := kept.Running
	if r == nil || r.Session == "" || !slices.Contains(Phases(), r.Phase) || r.Phase == PhaseFull || r.Phase == PhaseIdle {
		return s
	}
	if r.Plateau == 0 && r.Phase != PhaseInrush { // nothing about it could be judged
		return s
	}
	for _, v := range []float64{r.Watts, r.Plateau, r.Volts, r.First, r.Lowest, r.Minutes} {
		if !(v >= 0 && v < 1e6) {
			return s
		}
	}
	if r.First > 0 && r.First < leastFirst {
		return s
	}
	s.id = r.Session
	s.curve = curve{ // the relay that closes makes it a pause
		phase: r.Phase, attached: r.Attached, known: true,
		level: r.Watts, plateau: r.Plateau, atVolts: r.Volts, volts: r.Volts, ref: r.First, atRef: r.Volts,
		lowest: r.Lowest, lowVolts: r.Volts, stalled: r.Watts,
		total: int(math.Round(r.Minutes / slotLen.Minutes())),
	}
	return s
}

// Record is what must outlive a restart. It allocates.
func (s *State) Record() Record {
	var r Record
	e := &s.usual
	for i := range e.n {
		r.Charges = append(r.Charges, e.charges[(e.next-e.n+i+MaxCharges)%MaxCharges])
	}
	if u := &s.curve; s.id != "" && !u.over {
		r.Running = &Running{
			Session: s.id, Phase: u.phase, Watts: u.level, Plateau: u.plateau, Volts: u.atVolts, First: u.ref,
			Lowest: u.lowest, Minutes: float64(u.total) * slotLen.Minutes(), Attached: u.attached,
		}
	}
	return r
}
