package charge_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard/gateway/charge"
)

// kept are the numbers of a charge that was kept, by their names.
func kept(r *charge.Running) map[string]*float64 {
	return map[string]*float64{
		"watts": &r.Watts, "plateau_watts": &r.Plateau, "volts": &r.Volts, "first_watts": &r.First, "lowest_watts": &r.Lowest, "minutes": &r.Minutes,
	}
}

// TestKeptCharge: a record is what it was, or is left out.
func TestKeptCharge(t *testing.T) {
	good := charge.Running{
		Session: session, Phase: charge.PhaseConstantVoltage, Watts: 100, Plateau: 200, Volts: 231, First: 190, Lowest: 90, Minutes: 12.5, Attached: true,
	}
	check := func(name string, r charge.Running, want bool) {
		t.Helper()
		s := charge.NewState(charge.Record{Running: &r})
		got := s.Record().Running
		if !want && got != nil {
			t.Errorf("%s: kept %+v", name, got)
		} else if want {
			if diff := cmp.Diff(&r, got); diff != "" {
				t.Errorf("%s (-was +kept):\n%s", name, diff)
			}
		}
	}
	check("good", good, true)
	for name := range kept(&good) {
		for value, ok := range map[float64]bool{0: name != "plateau_watts", 1: true, -1: false, 1e6: false, math.Inf(1): false, math.NaN(): false} {
			r := good
			*kept(&r)[name] = value
			check(name, r, ok)
		}
	}
	for phase, ok := range map[charge.Phase]bool{
		charge.PhaseInrush: true, charge.PhaseUnclear: true, charge.PhaseConstantCurrent: true, charge.PhaseConstantVoltage: true,
		charge.PhaseTrickle: true, charge.PhaseFull: false, charge.PhaseIdle: false, charge.PhaseNone: false, "melting": false,
	} {
		r := good
		r.Phase = phase
		check("phase "+string(phase), r, ok)
	}
	for first, ok := range map[float64]bool{5e-324: false, 0.0999: false, 0.1: true} {
		r := good
		r.First = first // a rise against next to nothing has no end
		check("first watts", r, ok)
	}
	r := good
	r.Session = ""
	check("no session", r, false)
	o := begin(exact(), charge.Record{Running: &r})
	o.in.Session = ""
	o.slots(5, 100)
	if o.out.Phase != charge.PhaseNone || o.out.Attached {
		t.Errorf("no session: %+v", o.out)
	}
	r = charge.Running{Session: session, Phase: charge.PhaseInrush}
	check("before the first level", r, true)
	r = good
	r.Minutes = 12.6 // in slots of ten seconds
	s := charge.NewState(charge.Record{Running: &r})
	if got := s.Record().Running.Minutes; math.Abs(got-12-4./6) > 1e-9 {
		t.Errorf("12.6 minutes: %g", got)
	}
	if s := charge.NewState(charge.Record{}); s.Record().Running != nil || s.Record().Charges != nil {
		t.Errorf("nothing: %+v", s.Record())
	}
}

// TestKeptCharges: the last nine, in their order, without what cannot be.
func TestKeptCharges(t *testing.T) {
	charges := func(from, to int) []charge.Charge {
		var list []charge.Charge
		for i := from; i <= to; i++ {
			list = append(list, charge.Charge{float32(i), 0.5, 0, 7})
		}
		return list
	}
	for n, from := range map[int]int{1: 1, 2: 1, 8: 1, 9: 1, 10: 2, 14: 6} {
		s := charge.NewState(charge.Record{Charges: charges(1, n)})
		if diff := cmp.Diff(charges(from, n), s.Record().Charges); diff != "" {
			t.Errorf("%d charges (-want +kept):\n%s", n, diff)
		}
	}
	for _, bad := range []float32{-1, 1e6, float32(math.Inf(1)), float32(math.NaN())} {
		list := charges(1, 3)
		list[1][9] = bad
		s := charge.NewState(charge.Record{Charges: list})
		if diff := cmp.Diff([]charge.Charge{list[0], list[2]}, s.Record().Charges); diff != "" {
			t.Errorf("%g (-want +kept):\n%s", bad, diff)
		}
	}
}
