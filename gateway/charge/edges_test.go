package charge_test

import (
	"math"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
)

// TestNoCharge: a load that goes up and down is none, and nothing about its
// curve is judged, whatever it does afterwards.
func TestNoCharge(t *testing.T) {
	o := newOutlet(settings(), charge.Record{})
	o.run(30*time.Minute, func(t time.Duration) float64 {
		if t/(20*time.Second)%2 == 0 {
			return 400
		}
		return 150
	})
	if o.out.Phase != charge.PhaseUnclear {
		t.Fatalf("phase %q, want %q", o.out.Phase, charge.PhaseUnclear)
	}
	o.run(25*time.Minute, noisy(level(420)))
	if o.out.Phase != charge.PhaseConstantCurrent {
		t.Errorf("phase %q once it is smooth", o.out.Phase)
	}
	o.run(5*time.Minute, noisy(level(800)))
	if len(o.out.Findings) != 0 {
		t.Errorf("found %+v in what was no charge for most of its time", o.out.Findings)
	}
}

// TestStepReadSeldom: one value in twenty minutes may be a taper.
func TestStepReadSeldom(t *testing.T) {
	o := newOutlet(settings(), charge.Record{})
	o.run(time.Hour, level(200))
	o.run(20*time.Minute, level(120))
	if f := o.finding(shedguard.DetailStepDown); f != nil {
		t.Errorf("found %+v", f)
	}
}

// TestFullWaitsForStillness: power that still falls by more than change_watts
// begins the hour anew.
func TestFullWaitsForStillness(t *testing.T) {
	o := newOutlet(settings(), charge.Record{})
	o.run(time.Hour, noisy(level(240)))
	o.run(time.Hour, noisy(line(240, 29, time.Hour)))
	c := *o.c
	c.Full.Share = 0.01 // only the watts are looked at
	o.c = &c
	o.run(50*time.Minute, level(29))
	o.run(50*time.Minute, level(22))
	if o.out.Over {
		t.Fatal("full although power fell by 7 W meanwhile")
	}
	o.run(15*time.Minute, level(22))
	if !o.out.Over || o.out.Phase != charge.PhaseFull {
		t.Errorf("%+v, want full after an hour at 22 W", o.out)
	}
}

// TestRecordSaysWhatWas holds what is kept of a charge to what it was.
func TestRecordSaysWhatWas(t *testing.T) {
	o := newOutlet(settings(), charge.Record{})
	o.volts = 230
	o.run(time.Hour, line(200, 210, time.Hour))
	o.volts = 225
	o.run(35*time.Minute, falling(210, 4, 50*time.Minute))
	r := o.s.Record().Running
	if r == nil || r.Session != session || r.Phase != charge.PhaseConstantVoltage || r.Attached {
		t.Fatalf("%+v", r)
	}
	near := func(name string, got, want, by float64) {
		if math.Abs(got-want) > by {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
	}
	near("watts", r.Watts, 105, 3)
	near("plateau", r.Plateau, 210, 0.5)
	near("volts", r.Volts, 230, 5)
	near("first", r.First, 202, 1)
	near("lowest", r.Lowest, r.Watts, 0.1)
	near("minutes", r.Minutes, 95, 1)
	next := charge.NewState(charge.Record{Running: r})
	again := next.Record().Running
	if *again != *r {
		t.Errorf("kept again %+v, was %+v", again, r)
	}
}

func TestPhasesAreListed(t *testing.T) {
	seen := map[charge.Phase]bool{}
	for _, p := range charge.Phases() {
		if p == charge.PhaseNone || seen[p] {
			t.Errorf("%q is none, or twice", p)
		}
		seen[p] = true
	}
	if len(seen) != 7 {
		t.Errorf("%d phases", len(seen))
	}
}
