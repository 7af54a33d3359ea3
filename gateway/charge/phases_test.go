package charge_test

import (
	"math"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
)

// A level follows power with the third slot. What takes n levels therefore takes
// n + 2 slots.

func attached(o *outlet) bool { return o.out.Attached }

func over(o *outlet) bool { return o.out.Over }

// judged says whether the curve is known well enough to be judged.
func judged(o *outlet) bool {
	r := o.s.Record().Running
	return r != nil && r.First > 0
}

// begunAgain says whether the charge runs that began with so much.
func begunAgain(watts float64) func(*outlet) bool {
	return func(o *outlet) bool {
		r := o.s.Record().Running
		return r != nil && (r.Plateau == 0 || r.Plateau == watts) && r.First == 0
	}
}

// TestNextToNothing: what is a pulled plug beside a plateau, and what is not.
func TestNextToNothing(t *testing.T) {
	for _, tt := range []struct {
		plateau, watts float64
		gone           bool
		load           charge.Load
	}{
		{200, 25, true, charge.LoadCharge}, {200, 25.1, false, charge.LoadCharge}, // an eighth
		{400, 44.9, true, charge.LoadCharge}, {400, 45, false, charge.LoadCharge}, // what is judged
		{1200, 59, true, charge.LoadCharge}, {1200, 60, false, charge.LoadCharge}, // a twentieth
		{45, 5, true, charge.LoadFullBattery}, {44.9, 5, false, charge.LoadCharge}, // the least plateau
		{40, 2, false, charge.LoadCharge}, {40, 1.9, true, charge.LoadIdleCharger}, // without a battery
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantCurrent, Watts: tt.plateau, Plateau: tt.plateau, First: tt.plateau})
		o.slots(6, tt.plateau)
		o.slots(3, tt.watts)
		want := 1.5 // minutes
		if tt.gone {
			want = 1
		}
		if r := o.running(t); r.Minutes != want || o.next().out.Load != tt.load || r.Attached {
			t.Errorf("%g W after %g W: %+v, load %q, want %g minutes, load %q", tt.watts, tt.plateau, r, o.next().out.Load, want, tt.load)
		}
	}
}

// TestTaperOfSeconds: one slot between the plateau and next to nothing is a
// taper, when it was low and no pulled plug has part of it.
func TestTaperOfSeconds(t *testing.T) {
	for _, tt := range []struct {
		plateau, watts float64
		fell           bool
	}{
		{200, 70, true}, {200, 70.1, false}, {200, 25.1, true}, {1200, 420, true}, {1200, 150.1, true}, {1200, 150, false}, {1200, 100, false},
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantCurrent, Watts: tt.plateau, Plateau: tt.plateau, First: tt.plateau})
		o.slots(6, tt.plateau)
		o.each(tt.watts, tt.plateau/2)
		if after := o.next(); after.out.Phase != charge.PhaseConstantCurrent || after.out.Attached {
			t.Errorf("%g W of %g W: %+v before it is next to nothing", tt.watts, tt.plateau, after.out)
		}
		o.each(10)
		if after := o.next(); after.out.Attached != tt.fell || (after.out.Phase == charge.PhaseConstantVoltage) != tt.fell {
			t.Errorf("%g W of %g W: %+v, want that it fell: %t", tt.watts, tt.plateau, after.out, tt.fell)
		}
	}

	// It is looked at within one run of slots: what was before the relay opened is not of it.
	o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantCurrent, Watts: 200, Plateau: 200, First: 200})
	o.slots(18, 200)
	o.each(60)
	o.sample(60)
	o.in.Fed = false
	o.step()
	o.in.Fed = true
	o.slots(1, 0)
	if after := o.next(); after.out.Attached || after.out.Phase != charge.PhaseConstantCurrent || after.out.Load != charge.LoadNothing {
		t.Errorf("next to nothing after the relay was open: %+v", after.out)
	}

	// In constant voltage it is the same taper.
	o = goesOn(exact(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 100, Plateau: 200, First: 200, Lowest: 50})
	o.slots(3, 100)
	o.each(60, 60, 15)
	if r := o.running(t); !r.Attached || r.Watts != 60 || r.Lowest != 50 {
		t.Errorf("%+v, want the lowest as before", r)
	}
}

// TestPauseDoesNotAge a charge.
func TestPauseDoesNotAge(t *testing.T) {
	o := begin(exact(), charge.Record{})
	o.slots(4, 200)
	o.slots(30, 0)
	// Of 40 slots four had no level; 36 are nine tenths.
	if n := o.until(60, 200, judged); n != 36 {
		t.Errorf("judged after %d slots, want 36", n)
	}
	if r := o.running(t); math.Abs(r.Minutes-40./6) > 1e-9 {
		t.Errorf("%g minutes, want those of 40 slots", r.Minutes)
	}
}

// TestIdleChargerEndsASession after five minutes without a battery.
func TestIdleChargerEndsASession(t *testing.T) {
	for watts, want := range map[float64]int{0.5: 30, 1.9: 30, 0.49: 0} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantCurrent, Watts: 200, Plateau: 200, First: 200})
		o.slots(6, 200)
		if n := o.until(60, watts, over); n != want {
			t.Errorf("%g W: over after %d slots, want %d", watts, n, want)
		}
		if o.next().out.Phase == charge.PhaseIdle != (want > 0) {
			t.Errorf("%g W: %+v", watts, o.next().out)
		}
	}
}

// TestGoesOnAfterAPause: with about the same power it is the same charge.
func TestGoesOnAfterAPause(t *testing.T) {
	taper := charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 100, Plateau: 200, First: 200, Lowest: 100}
	trickle := charge.Running{Phase: charge.PhaseTrickle, Watts: 4, Plateau: 200, First: 200, Lowest: 4, Attached: true}
	for _, tt := range []struct {
		was   charge.Running
		watts float64
		same  bool
	}{
		{taper, 115, true},
		{taper, 115.1, false},
		{taper, 85, true},
		{taper, 84.9, false},
		{taper, 50, false},
		{trickle, 8, true},
		{trickle, 8.1, false},
		{trickle, 1, true},
		{trickle, 4, true},
	} {
		o := goesOn(exact(), tt.was)
		o.slots(3, tt.watts)
		r := o.running(t)
		want, phase := 200., tt.was.Phase
		if !tt.same {
			want, phase = tt.watts, charge.PhaseConstantCurrent
		}
		if r.Plateau != want || r.Phase != phase {
			t.Errorf("%s at %g W, then %g W: %+v, want the same charge: %t", tt.was.Phase, tt.was.Watts, tt.watts, r, tt.same)
		}
	}
	// An open relay is a pause, too.
	o := begin(exact(), charge.Record{})
	o.slots(10, 200)
	o.in.Fed = false
	o.step()
	o.in.Fed = true
	o.slots(4, 100)
	if r := o.running(t); r.Plateau != 100 {
		t.Errorf("%+v, want a charge of its own", r)
	}
}

// TestBeginsAgain: a charger that is switched on again, or a deeply empty battery
// that was woken.
func TestBeginsAgain(t *testing.T) {
	trickle := func(plateau, watts float64) charge.Running {
		return charge.Running{Phase: charge.PhaseTrickle, Watts: watts, Plateau: plateau, First: plateau, Lowest: watts, Attached: true}
	}
	loose := charge.Running{Phase: charge.PhaseConstantCurrent, Watts: 5, Plateau: 40, First: 40}
	low := charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 40, Plateau: 60, First: 60, Lowest: 40}
	for _, tt := range []struct {
		was          charge.Running
		before, then float64
		again        bool
	}{
		{trickle(200, 25), 25, 41, true},
		{trickle(200, 25), 25, 40.9, false}, // an eighth, and eight hundredths more
		{trickle(200, 25), 25.1, 60, false},
		{trickle(200, 25), 25.1, 180, false},
		{trickle(400, 40), 40, 72, true},
		{trickle(400, 40), 40, 71.9, false},
		{loose, 5, 10, false}, // nothing was full
		{low, 40, 100, false}, // it is known well enough not to be woken
	} {
		o := goesOn(exact(), tt.was)
		o.slots(16, tt.before)
		if n := o.until(2, tt.then, begunAgain(tt.then)); n != 0 {
			t.Errorf("%g W, then %g W: again after %d slots", tt.before, tt.then, n)
		}
		if n := o.until(20, tt.then, begunAgain(tt.then)); n > 1 || (n == 1) != tt.again {
			t.Errorf("%+v: %g W, then %g W: again after %d more slots, want it the next: %t", tt.was, tt.before, tt.then, n, tt.again)
		}
	}

	for _, tt := range []struct {
		slots        int // the third one of the second level is three later
		before, then float64
		again        bool
	}{
		{20, 40, 100, true}, {20, 40, 99.9, false}, // two fifths
		{20, 45, 113, true}, {20, 45.1, 120, false}, // what is judged
		{356, 40, 100, true}, {357, 40, 100, false}, // an hour
	} {
		c := exact()
		c.Settle = time.Hour
		o := begin(c, charge.Record{})
		o.slots(tt.slots, tt.before)
		if o.until(2, tt.then, begunAgain(tt.then)) != 0 {
			t.Errorf("%g W, then %g W: again too early", tt.before, tt.then)
		}
		if n := o.until(3, tt.then, func(o *outlet) bool { return o.s.Record().Running.Phase == charge.PhaseInrush }); n > 1 || (n == 1) != tt.again {
			t.Errorf("%d slots of %g W, then %g W: again after %d more slots, want it the next: %t", tt.slots, tt.before, tt.then, n, tt.again)
		}
	}
}

// TestBeginsAgainTooOften: the third time in a session is told.
func TestBeginsAgainTooOften(t *testing.T) {
	c := exact()
	c.Unstable.Enabled = true
	o := begin(c, charge.Record{})
	o.slots(20, 200)
	for n := range 4 {
		o.slots(20, 100)
		o.slots(6, 50)
		o.slots(20, 20)
		if o.next().out.Phase != charge.PhaseTrickle || (o.finding(shedguard.DetailStepUp) != nil) != (n > 2) {
			t.Fatalf("time %d: %+v", n, o.out)
		}
		o.slots(20, 200)
	}
	f := o.finding(shedguard.DetailStepUp)
	if len(o.out.Findings) != 1 || f == nil || f.Cause != shedguard.CausePowerUnstable || f.Value != 90 || f.Limit != 25 || f.Unit != "%" {
		t.Errorf("%+v, want 90 %% up", o.out.Findings)
	}
}

// TestWokenOften: what is not known well enough is not told of, however often.
func TestWokenOften(t *testing.T) {
	c := exact()
	c.Unstable.Enabled, c.Settle = true, time.Hour
	o := begin(c, charge.Record{})
	for n := range 5 {
		o.slots(20, 40)
		if n := o.until(4, 120, in(charge.PhaseInrush)); n != 3 {
			t.Errorf("begins again after %d slots, want 3", n)
		}
		if len(o.next().out.Findings) > 0 {
			t.Fatalf("time %d: %+v", n, o.next().out.Findings)
		}
	}
}

// TestRough: a curve that goes up and down is not one of a charge. Judged is what
// was smooth for nine tenths of its slots; the first two have no level, so that
// it is so after 20 slots, and after ten more for every slot that was rough.
func TestRough(t *testing.T) {
	bump := func(at int, by float64) []float64 {
		w := make([]float64, 70)
		for i := range w {
			w[i] = 100
		}
		w[at-1] += by
		return w
	}
	for name, tt := range map[string]struct {
		watts []float64
		want  int
	}{
		"level":                      {bump(1, 0), 20},
		"a bump of eight hundredths": {bump(10, 4), 20}, // up and down
		"a little more":              {bump(10, 4.1), 60},
		"a large one":                {bump(10, 10), 60},
		"just now":                   {bump(17, 10), 60},
		"in the first minute":        {bump(2, 10), 30},
		"before there is a minute":   {bump(1, 10), 20},
	} {
		o := begin(exact(), charge.Record{})
		got := 0
		for i, w := range tt.watts {
			o.each(w)
			if judged(o.next()) {
				got = i + 1
				break
			}
		}
		if got != tt.want {
			t.Errorf("%s: judged after %d slots, want %d", name, got, tt.want)
		}
		if r := o.running(t); r.First != 100 {
			t.Errorf("%s: %+v", name, r)
		}
	}

	// What was before the relay opened is not looked at afterwards: of 40 slots
	// four have no level, and none is rough.
	o := begin(exact(), charge.Record{})
	o.slots(18, 100)
	o.each(110)
	o.sample(100)
	o.in.Fed = false
	o.step()
	o.in.Fed = true
	if n := o.until(60, 100, judged); n != 21 {
		t.Errorf("judged after %d more slots, want 21", n)
	}
}

func TestSettle(t *testing.T) {
	c := exact()
	c.Settle = 5 * time.Minute
	o := begin(c, charge.Record{})
	o.volts = 0
	if n := o.until(60, 100, judged); n != 32 {
		t.Errorf("judged after %d slots, want two and thirty", n)
	}
	o.slots(10, 105)
	if r := o.running(t); r.First != 100 || r.Watts != 105 {
		t.Errorf("%+v, want the first level kept", r)
	}
}

// TestUnclear: what is rough for long enough, before it has been smooth.
func TestUnclear(t *testing.T) {
	up := 0
	alternate := func(o *outlet, most int, low, high float64, is func(*outlet) bool) int {
		for n := range most {
			if up++; up%2 == 0 {
				o.each(high)
			} else {
				o.each(low)
			}
			if is(o.next()) {
				return n + 1
			}
		}
		return 0
	}
	o := begin(exact(), charge.Record{})
	// The share of rough slots is above 0.3 with the eleventh in a row, and the
	// first that can be rough is the sixth.
	if n := alternate(o, 40, 200, 300, in(charge.PhaseUnclear)); n != 16 {
		t.Errorf("unclear after %d slots, want 16", n)
	}
	if n := alternate(o, 40, 100, 150, func(o *outlet) bool { return o.out.Phase != charge.PhaseUnclear }); n != 0 {
		t.Errorf("%s after %d slots", o.next().out.Phase, n)
	}

	o = begin(exact(), charge.Record{})
	alternate(o, 16, 200, 300, in(charge.PhaseUnclear))
	// Three more are rough until all turns but one have left the minute, so that
	// the share is 1 - (29/30)^14 = 0.378, and with 28 smooth ones below 0.15.
	if n := o.until(60, 300, in(charge.PhaseConstantCurrent)); n != 31 {
		t.Errorf("clear after %d slots, want 31", n)
	}

	// A charge that was smooth stays one, and so does a taper.
	o = begin(exact(), charge.Record{})
	o.slots(10, 200)
	if n := alternate(o, 40, 200, 300, in(charge.PhaseUnclear)); n != 0 {
		t.Errorf("unclear after %d slots", n)
	}
	o = goesOn(exact(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 100, Plateau: 200, Lowest: 100})
	if n := alternate(o, 40, 90, 110, func(o *outlet) bool { return o.out.Phase != charge.PhaseConstantVoltage }); n != 0 {
		t.Errorf("%s after %d slots", o.next().out.Phase, n)
	}
}

// TestKnee: constant voltage begins with twelve levels below it.
func TestKnee(t *testing.T) {
	for _, tt := range []struct {
		plateau, watts, volts float64
		want                  int
	}{
		{200, 187.4, 220, 14}, {200, 187.5, 220, 0}, {200, 60, 220, 14}, // a sixteenth
		{200, 160, 200, 0}, {200, 150, 200, 14}, // 193.6 W and 181.5 W, were it 220 V
		{40, 5.1, 220, 14}, {40, 5, 220, 0}, // a pulled plug
	} {
		o := begin(exact(), charge.Record{})
		o.slots(10, tt.plateau)
		o.sample(tt.plateau) // the voltage falls with a slot
		o.sample(tt.plateau)
		o.volts = tt.volts
		if n := o.until(40, tt.watts, in(charge.PhaseConstantVoltage)); n != tt.want {
			t.Errorf("%g W at %g V after %g W: constant voltage after %d slots, want %d", tt.watts, tt.volts, tt.plateau, n, tt.want)
		}
	}
	o := begin(exact(), charge.Record{})
	o.slots(10, 200)
	o.volts = 210
	o.slots(6, 200)
	if r := o.running(t); r.Plateau != 200 || r.Volts != 210 {
		t.Errorf("%+v, want the plateau where it was last", r)
	}
}

// TestAttached: a taper that is low for three levels has a battery at its end,
// until there is nothing.
func TestAttached(t *testing.T) {
	for _, tt := range []struct {
		plateau, watts float64
		want           int
	}{
		{200, 70, 5}, {200, 70.1, 0}, {200, 25.1, 5}, {1200, 150.1, 5}, {1200, 150, 0},
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: tt.watts, Plateau: tt.plateau, Lowest: tt.watts, First: tt.plateau})
		if n := o.until(10, tt.watts, attached); n != tt.want {
			t.Errorf("%g W of %g W: attached after %d slots, want %d", tt.watts, tt.plateau, n, tt.want)
		}
	}
	for watts, want := range map[float64]bool{0.5: true, 0.49: false} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseTrickle, Watts: 1, Plateau: 200, Lowest: 1, First: 200, Attached: true})
		o.slots(3, watts)
		if got := o.next().out.Attached; got != want {
			t.Errorf("%g W: attached %t", watts, got)
		}
	}
}

// TestNoKnee: power that is back after it had not fallen far.
func TestNoKnee(t *testing.T) {
	for _, tt := range []struct {
		lowest, watts float64
		want          int
	}{
		{170, 194, 14}, {170, 193.9, 0}, {169.9, 194, 0}, {169.9, 200, 0},
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: tt.watts, Plateau: 200, Lowest: tt.lowest, First: 200, Attached: true})
		if n := o.until(40, tt.watts, in(charge.PhaseConstantCurrent)); n != tt.want {
			t.Errorf("%g W after %g W: constant current after %d slots, want %d", tt.watts, tt.lowest, n, tt.want)
		}
		if got := o.next().out.Attached; got != (tt.want == 0) {
			t.Errorf("%g W after %g W: attached %t", tt.watts, tt.lowest, got)
		}
	}
}

func TestTrickle(t *testing.T) {
	for _, tt := range []struct {
		plateau, watts float64
		attached       bool
		want           int
	}{
		{200, 29.9, true, 8},
		{200, 30, true, 0},
		{400, 44.9, true, 8},
		{400, 45, true, 0},
		{400, 50, true, 0},
		{40, 4, false, 0}, // it never was low in the taper
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseConstantVoltage, Watts: tt.watts, Plateau: tt.plateau, Lowest: tt.watts, First: tt.plateau, Attached: tt.attached})
		if n := o.until(20, tt.watts, in(charge.PhaseTrickle)); n != tt.want {
			t.Errorf("%g W of %g W: a trickle after %d slots, want %d", tt.watts, tt.plateau, n, tt.want)
		}
	}
	// It is none from half as much again.
	for _, tt := range []struct {
		plateau, watts float64
		want           charge.Phase
	}{
		{200, 45, charge.PhaseTrickle},
		{200, 45.1, charge.PhaseConstantVoltage},
		{400, 75, charge.PhaseTrickle},
		{400, 75.1, charge.PhaseConstantVoltage},
	} {
		o := goesOn(exact(), charge.Running{Phase: charge.PhaseTrickle, Watts: 50, Plateau: tt.plateau, Lowest: 4, First: tt.plateau, Attached: true, Minutes: 60})
		o.slots(5, tt.watts)
		r := o.running(t)
		minutes := 60. // a trickle does not count
		if tt.want != charge.PhaseTrickle {
			minutes = 60 + 2./6
		}
		// The first three slots are of the trickle as well.
		if r.Phase != tt.want || int(r.Minutes*6+0.5) != int(minutes*6+0.5) {
			t.Errorf("%g W of %g W: %+v, want %s, %g minutes", tt.watts, tt.plateau, r, tt.want, minutes)
		}
	}
}

// TestFull: after so long without a change, or so long below a share.
func TestFull(t *testing.T) {
	full := func(plateau, watts float64) *outlet {
		c := exact()
		c.Full.Share = 1. / 64 // 3.125 W of 200 W
		return goesOn(c, charge.Running{Phase: charge.PhaseConstantVoltage, Watts: watts, Plateau: plateau, Lowest: watts, First: plateau, Attached: true})
	}
	for _, tt := range []struct {
		plateau, watts float64
		want           int
	}{
		{200, 29.9, 63},
		{200, 30, 0},
		{200, 5, 63},
		{200, 3.125, 33},
		{200, 3.126, 63},
		{1280, 51.1, 63},
		{1280, 51.2, 0},
		{1280, 20, 33}, // a twenty-fifth, a sixty-fourth
		{60, 20.9, 63},
		{60, 21, 0}, // a third of the plateau
	} {
		o := full(tt.plateau, tt.watts)
		if n := o.until(80, tt.watts, over); n != tt.want {
			t.Errorf("%g W of %g W: over after %d slots, want %d", tt.watts, tt.plateau, n, tt.want)
		}
		if got := o.next().out.Phase == charge.PhaseFull; got != (tt.want > 0) {
			t.Errorf("%g W of %g W: %+v", tt.watts, tt.plateau, o.next().out)
		}
	}
	for watts, want := range map[float64]int{23: 30, 22.9: 63, 29: 30} { // by six watts it has not changed
		o := full(200, 29)
		o.slots(33, 29)
		if n := o.until(80, watts, over); n != want {
			t.Errorf("%g W after 29 W: over after %d slots, want %d", watts, n, want)
		}
	}
	o := full(200, 29)
	o.slots(33, 29)
	o.slots(5, 31) // its level for three slots: too much
	if n := o.until(80, 29, over); n != 63 {
		t.Errorf("over after %d slots, want 63", n)
	}
}

// TestIdleLoad: a load that never was a charge.
func TestIdleLoad(t *testing.T) {
	c := exact()
	c.Full.IdleAfter = 8 * time.Minute
	for watts, want := range map[float64][2]int{19.9: {33, 51}, 20: {0, 0}} {
		o := begin(c, charge.Record{})
		if n := o.until(55, watts, in(charge.PhaseIdle)); n != want[0] {
			t.Errorf("%g W: idle after %d slots, want %d", watts, n, want[0])
		}
		if load := o.next().out.Load; want[0] > 0 && load != charge.LoadIdle {
			t.Errorf("%g W: load %q", watts, load)
		}
		if n := o.until(55, watts, over); n+want[0] != want[1] {
			t.Errorf("%g W: over after %d slots, want %d", watts, n+want[0], want[1])
		}
	}
	// One that becomes more is one.
	o := begin(c, charge.Record{})
	o.slots(40, 15)
	if n := o.until(40, 30, in(charge.PhaseConstantCurrent)); n != 3 {
		t.Errorf("constant current after %d slots, want 3", n)
	}
}
