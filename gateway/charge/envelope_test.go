package charge_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
)

// learning are settings with the envelope alone, of charges that are known and
// twice what is usual.
func learning() *charge.Settings {
	c := exact()
	c.KneeShare = 1. / 32 // 193.75 W of 200 W
	c.Envelope.Enabled, c.Envelope.Charges, c.Envelope.Factor = true, 5, 2
	return c
}

// usual is an outlet that knows some charges.
func usual(c *charge.Settings, r charge.Running, charges ...charge.Charge) *outlet {
	r.Session, r.Volts = session, 220
	return begin(c, charge.Record{Charges: charges, Running: &r})
}

// times is n times the same.
func times(n int, k charge.Charge) []charge.Charge {
	list := make([]charge.Charge, n)
	for i := range list {
		list[i] = k
	}
	return list
}

// whole is a charge from its beginning to its end: 160 W that rise to 200 W, and
// a taper of levels in the middle of each stretch, a minute longer each.
func whole(c *charge.Settings, from float64) *outlet {
	o := begin(c, charge.Record{})
	o.slots(20, 160)
	o.slots(6, 200)
	o.slots(18, from) // twelve until it is a knee
	for i, watts := range []float64{160, 140, 120, 100, 80, 60, 40} {
		o.slots(6*(i+2), watts)
	}
	o.slots(60, 24)
	return o
}

// TestLearns what a charge was.
func TestLearns(t *testing.T) {
	// 262 slots until the eighth of 24 W, with whose sixth level it is a trickle.
	want := charge.Charge{262. / 6, 0.25, 1, 2, 3, 4, 5, 6, 7, 8}
	high := want
	high[2] = 0
	off := learning()
	off.Envelope.Enabled = false
	near, over := learning(), learning()
	near.Unstable.Enabled, near.Unstable.RiseShare = true, 0.3125
	over.Unstable.Enabled, over.Unstable.RiseShare = true, 0.25
	for _, c := range []*charge.Settings{near, over} {
		c.Unstable.LateRiseShare, c.Unstable.StepShare, c.Unstable.SwingShare = 1, 1, 1
	}
	for name, tt := range map[string]struct {
		c    *charge.Settings
		from float64
		want []charge.Charge
	}{
		"from 95 % of the plateau": {learning(), 190, []charge.Charge{want}},
		"from more than that":      {learning(), 191, []charge.Charge{high}},
		"the rule is off":          {off, 190, nil},
		"a notice":                 {near, 190, []charge.Charge{want}},
		"a warning":                {over, 190, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := whole(tt.c, tt.from)
			if o.out.Phase != charge.PhaseFull {
				t.Fatalf("%+v", o.out)
			}
			if diff := cmp.Diff(tt.want, o.s.Record().Charges, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%+v", diff, o.out.Findings)
			}
		})
	}

	// A trickle is of no stretch, and a small load is no charge.
	for plateau, want := range map[float64][]charge.Charge{
		100: {{8. / 6, 0, 0, 0, 0, 0, 0, 0, 1, 0}},
		44:  nil,
	} {
		o := goesOn(learning(), charge.Running{
			Phase: charge.PhaseConstantVoltage, Watts: 0.28 * plateau, Plateau: plateau, First: plateau, Lowest: 0.28 * plateau, Attached: true,
		})
		o.slots(90, 0.28*plateau)
		if plateau < 45 {
			o.slots(90, 4)
		}
		if o.out.Phase != charge.PhaseFull {
			t.Fatalf("%+v", o.out)
		}
		if diff := cmp.Diff(want, o.s.Record().Charges, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
			t.Errorf("%g W (-want +got):\n%s", plateau, diff)
		}
	}
}

// TestUsualTime of charging: from four fifths of twice what is usual, and of two
// hours at least.
func TestUsualTime(t *testing.T) {
	mixed := []charge.Charge{{60}, {110}, {100}, {120}, {80}} // 100, and 20 around it
	for name, tt := range map[string]struct {
		charges []charge.Charge
		phase   charge.Phase
		minutes float64 // after three slots
		limit   float64 // 0: nothing is told
	}{
		"nearly":                    {times(5, charge.Charge{100}), charge.PhaseConstantVoltage, 160, 200},
		"not nearly":                {times(5, charge.Charge{100}), charge.PhaseConstantVoltage, 159, 0},
		"in a trickle":              {times(5, charge.Charge{100}), charge.PhaseTrickle, 500, 0},
		"in constant current":       {times(5, charge.Charge{100}), charge.PhaseConstantCurrent, 160, 200},
		"too few charges are known": {times(4, charge.Charge{100}), charge.PhaseConstantVoltage, 1000, 0},
		"short ones":                {times(5, charge.Charge{10}), charge.PhaseConstantVoltage, 96, 120},
		"of which nothing is known": {times(5, charge.Charge{0}), charge.PhaseConstantVoltage, 1000, 0},
		"of which two are":          {append(times(3, charge.Charge{0}), times(2, charge.Charge{100})...), charge.PhaseConstantVoltage, 1000, 0},
		"of which three are":        {append(times(3, charge.Charge{0}), times(3, charge.Charge{100})...), charge.PhaseConstantVoltage, 160, 200},
		"they differ":               {mixed, charge.PhaseConstantVoltage, 400, 2 * (100 + 5*1.4826*20)},
	} {
		t.Run(name, func(t *testing.T) {
			o := usual(learning(), charge.Running{
				Phase: tt.phase, Watts: 20, Plateau: 200, First: 200, Lowest: 20, Attached: true, Minutes: tt.minutes - 0.5,
			}, tt.charges...)
			if tt.phase != charge.PhaseTrickle {
				o = usual(learning(), charge.Running{
					Phase: tt.phase, Watts: 100, Plateau: 200, First: 200, Lowest: 100, Minutes: tt.minutes - 0.5,
				}, tt.charges...)
				o.slots(3, 100)
			} else {
				o.slots(3, 20)
			}
			var want *charge.Finding
			if tt.limit > 0 {
				want = &charge.Finding{
					Cause: shedguard.CauseChargeTooLong, Grade: charge.Notice, Severity: shedguard.SeverityWarning,
					Value: tt.minutes, Limit: tt.limit, Unit: "min",
				}
				if tt.minutes >= tt.limit {
					want.Grade = charge.Warning
				}
			}
			o.next().told(t, name, shedguard.DetailSlow, want)
		})
	}
}

// TestUsualRise in constant current: twice what is usual, and a tenth at least,
// also where none is usual.
func TestUsualRise(t *testing.T) {
	rises := func(n int, share float32) []charge.Charge { return times(n, charge.Charge{0, share}) }
	for name, tt := range map[string]struct {
		charges []charge.Charge
		watts   float64 // of 128 W
		want    *charge.Finding
	}{
		"twice as much":             {rises(5, 0.25), 192, rose(charge.Warning, 50, 50)},
		"nearly":                    {rises(5, 0.3125), 192, rose(charge.Notice, 50, 62.5)},
		"small ones":                {rises(5, 0.01), 144, rose(charge.Warning, 12.5, 10)},
		"none":                      {rises(5, 0), 144, rose(charge.Warning, 12.5, 10)},
		"mostly none":               {append(rises(3, 0), rises(3, 0.5)...), 144, rose(charge.Warning, 12.5, 10)},
		"too few charges are known": {rises(4, 0), 144, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := usual(learning(), charge.Running{Phase: charge.PhaseConstantCurrent, Watts: tt.watts, Plateau: tt.watts, First: 128}, tt.charges...)
			o.slots(3, tt.watts)
			if tt.want != nil {
				tt.want.Severity = shedguard.SeverityWarning
			}
			o.next().told(t, name, shedguard.DetailSteeper, tt.want)
		})
	}
}

// TestUsualTaper: each stretch takes twice as long as is usual, and 40 minutes at
// least.
func TestUsualTaper(t *testing.T) {
	dwell := func(i int, minutes float32) charge.Charge {
		var k charge.Charge
		k[2+i] = minutes
		return k
	}
	for name, tt := range map[string]struct {
		charges []charge.Charge
		watts   float64
		want    int // slots until it is told: four fifths of the limit, and two until there is a level
		limit   float64
	}{
		"the first":                 {times(5, dwell(0, 25)), 180, 242, 50},
		"the last":                  {times(5, dwell(7, 25)), 40, 242, 50},
		"short ones":                {times(5, dwell(4, 5)), 100, 194, 40},
		"no other one":              {times(5, dwell(3, 5)), 100, 0, 0},
		"mostly passed at once":     {append(times(3, charge.Charge{}), times(3, dwell(4, 25))...), 100, 242, 50},
		"nearly always":             {append(times(4, charge.Charge{}), times(2, dwell(4, 25))...), 100, 0, 0},
		"above all of them":         {times(5, charge.Charge{0, 0, 5, 5, 5, 5, 5, 5, 5, 5}), 192, 0, 0},
		"below all of them":         {times(5, charge.Charge{0, 0, 5, 5, 5, 5, 5, 5, 5, 5}), 29, 0, 0},
		"too few charges are known": {times(4, dwell(4, 25)), 100, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := learning()
			c.Full.ShareAfter, c.Full.After = 6*time.Hour, 6*time.Hour
			o := usual(c, charge.Running{Phase: charge.PhaseConstantVoltage, Watts: tt.watts, Plateau: 200, First: 200, Lowest: tt.watts}, tt.charges...)
			if n := o.until(500, tt.watts, found(shedguard.DetailSlow)); n != tt.want {
				t.Errorf("told after %d slots, want %d", n, tt.want)
			}
			var want *charge.Finding
			if tt.want > 0 {
				want = &charge.Finding{
					Cause: shedguard.CauseFloatTooHigh, Grade: charge.Notice, Severity: shedguard.SeverityWarning,
					Value: 0.8 * tt.limit, Limit: tt.limit, Unit: "min",
				}
			}
			o.next().told(t, name, shedguard.DetailSlow, want)
		})
	}
	// A charge and a stretch of it that are slow are two findings.
	o := usual(learning(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 100, Plateau: 200, First: 200, Lowest: 100, Minutes: 130},
		times(5, charge.Charge{10, 0, 0, 0, 0, 0, 5})...)
	o.slots(250, 100)
	if f := o.out.Findings; len(f) != 2 || f[0].Cause != shedguard.CauseChargeTooLong || f[1].Cause != shedguard.CauseFloatTooHigh || f[0].Value < 170 || f[1].Value > 42 {
		t.Errorf("%+v", f)
	}
}
