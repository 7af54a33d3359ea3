package charge_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
)

// unstable are settings with that rule alone.
func unstable() *charge.Settings {
	c := exact()
	c.Unstable.Enabled = true
	return c
}

// current is a charge in constant current, at so much from its beginning.
func current(watts float64) charge.Running {
	return charge.Running{Phase: charge.PhaseConstantCurrent, Watts: watts, Plateau: watts, First: watts}
}

// voltage is one in constant voltage that never was lower.
func voltage(plateau, watts float64) charge.Running {
	return charge.Running{Phase: charge.PhaseConstantVoltage, Watts: watts, Plateau: plateau, First: plateau, Lowest: watts}
}

// told wants a finding, or none, of a detail.
func (o *outlet) told(t *testing.T, name string, d shedguard.Detail, want *charge.Finding) {
	t.Helper()
	got := o.finding(d)
	if (got == nil) != (want == nil) {
		t.Errorf("%s: %+v, want %+v", name, got, want)
		return
	}
	if got == nil {
		return
	}
	want.Detail = d
	if want.Grade != charge.Major {
		want.Action = shedguard.ActionNone
	}
	if diff := cmp.Diff(*want, *got, cmpopts.EquateApprox(0, 1e-9), cmpopts.IgnoreFields(charge.Finding{}, "Since")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// rose is a finding of power_unstable in per cent.
func rose(grade charge.Grade, value, limit float64) *charge.Finding {
	f := &charge.Finding{
		Cause: shedguard.CausePowerUnstable, Grade: grade, Severity: shedguard.SeverityMinor, Value: value, Limit: limit, Unit: "%",
	}
	if grade == charge.Major {
		f.Severity, f.Action = shedguard.SeverityMajor, shedguard.ActionTripped
	}
	return f
}

// TestRise of 62.5 %, from four fifths to twice of it.
func TestRise(t *testing.T) {
	c := unstable()
	c.Unstable.RiseShare, c.Unstable.StepShare = 0.625, 1
	for _, tt := range []struct {
		watts float64
		want  *charge.Finding
	}{
		{191.9, nil},
		{192, rose(charge.Notice, 50, 62.5)},
		{207.9, rose(charge.Notice, 62.421875, 62.5)},
		{208, rose(charge.Warning, 62.5, 62.5)},
		{287.9, rose(charge.Warning, 124.921875, 62.5)},
		{288, rose(charge.Major, 125, 62.5)},
	} {
		r := current(tt.watts)
		r.First = 128
		o := goesOn(c, r)
		o.slots(3, tt.watts)
		o = o.next()
		o.told(t, "", shedguard.DetailRise, tt.want)
	}
}

// TestRiseByVoltage: what the mains explain is no rise, where they are measured.
func TestRiseByVoltage(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		first, volts, watts, then float64
		want                      *charge.Finding
	}{
		{"by its square", 100, 200, 156.25, 250, nil},
		{"more than that", 100, 200, 250, 250, rose(charge.Warning, 60, 50)},
		{"lower mains explain none", 100, 220, 150, 200, rose(charge.Warning, 50, 50)},
		{"the least voltage", 50, 50, 160, 100, nil},
		{"none is measured", 100, 49.9, 160, 100, rose(charge.Warning, 60, 50)},
		{"never was measured", 100, 0, 160, 0, rose(charge.Warning, 60, 50)},
		{"from nearly nothing", 5e-324, 220, 160, 220, nil}, // infinite
	} {
		r := current(tt.watts)
		r.Session, r.First, r.Volts = session, tt.first, tt.volts
		o := begin(unstable(), charge.Record{Running: &r})
		o.volts = tt.then
		o.slots(3, tt.watts)
		o = o.next()
		o.told(t, tt.name, shedguard.DetailRise, tt.want)
	}
	// The voltage of the first level is that when it was taken.
	for volts, want := range map[float64]*charge.Finding{250: nil, 200: rose(charge.Warning, 56.25, 50)} {
		o := begin(unstable(), charge.Record{})
		o.volts = 200
		o.slots(25, 100)
		o.volts = volts
		o.slots(15, 156.25)
		o = o.next()
		o.told(t, "a charge from its beginning", shedguard.DetailRise, want)
	}
	// One that is judged without any voltage.
	o := begin(unstable(), charge.Record{})
	o.volts = 0
	o.slots(25, 100)
	o.slots(15, 160)
	o = o.next()
	o.told(t, "without voltage", shedguard.DetailRise, rose(charge.Warning, 60, 50))
}

// TestSmallPlateau: nothing is judged below what is judged full.
func TestSmallPlateau(t *testing.T) {
	for watts, want := range map[float64]*charge.Finding{45: rose(charge.Warning, 50, 50), 44.9: nil} {
		r := current(watts)
		r.First = 30
		o := goesOn(unstable(), r)
		o.slots(3, watts)
		o = o.next()
		o.told(t, "", shedguard.DetailRise, want)
	}
}

// TestGrades: a finding keeps its worst, and is as old as what is told of it.
func TestGrades(t *testing.T) {
	c := unstable()
	c.Unstable.StepShare = 1
	r := current(128)
	o := goesOn(c, r)
	step := func(watts float64, want *charge.Finding) time.Time {
		t.Helper()
		o.slots(20, watts)
		after := o.next()
		after.told(t, "", shedguard.DetailRise, want)
		if f := after.finding(shedguard.DetailRise); f != nil {
			return f.Since
		}
		return time.Time{}
	}
	step(128, nil)
	near := step(184, rose(charge.Notice, 43.75, 50))
	if want := o.begun.Add(230 * time.Second); !near.Equal(want) { // its third slot
		t.Errorf("near since %v, want %v", near, want)
	}
	if again := step(186, rose(charge.Notice, 45.3125, 50)); !again.Equal(near) {
		t.Errorf("near since %v, was %v", again, near)
	}
	over := step(208, rose(charge.Warning, 62.5, 50))
	if want := o.begun.Add(630 * time.Second); !over.Equal(want) {
		t.Errorf("over since %v, want %v", over, want)
	}
	for _, watts := range []float64{208, 200, 216} {
		if again := step(watts, rose(charge.Warning, max(62.5, watts/1.28-100), 50)); !again.Equal(over) {
			t.Errorf("%g W: over since %v, was %v", watts, again, over)
		}
	}
	if major := step(256, rose(charge.Major, 100, 50)); !major.Equal(over) {
		t.Errorf("major since %v, was over since %v", major, over)
	}
	if major := step(256, rose(charge.Major, 100, 50)); !major.Equal(over) {
		t.Errorf("major since %v, was over since %v", major, over)
	}
	// Other settings count for what stands already.
	c.Unstable.RiseShare, c.Unstable.Severity, c.Unstable.Act = 0.4, shedguard.SeverityCritical, protect.ActReport
	f := rose(charge.Major, 100, 40)
	f.Severity, f.Action = shedguard.SeverityCritical, shedguard.ActionNone
	step(256, f)
}

func TestSeverityOfAGrade(t *testing.T) {
	for severity, worse := range map[shedguard.Severity]shedguard.Severity{
		shedguard.SeverityCritical: shedguard.SeverityCritical, shedguard.SeverityMajor: shedguard.SeverityCritical,
		shedguard.SeverityMinor: shedguard.SeverityMajor, shedguard.SeverityWarning: shedguard.SeverityMinor,
	} {
		for _, act := range []protect.Act{protect.ActReport, protect.ActTrip} {
			for watts, want := range map[float64]shedguard.Severity{145: severity, 150: severity, 200: worse} {
				c := unstable()
				c.Unstable.Severity, c.Unstable.Act = severity, act
				r := current(watts)
				r.First = 100
				o := goesOn(c, r)
				o.slots(3, watts)
				f := o.next().finding(shedguard.DetailRise)
				if f == nil || f.Severity != want || (f.Action == shedguard.ActionTripped) != (watts == 200 && act == protect.ActTrip) {
					t.Errorf("%s, %s, %g W: %+v, want %s", severity, act, watts, f, want)
				}
			}
		}
	}
}

// TestFindingsOfOneCause stand beside each other.
func TestFindingsOfOneCause(t *testing.T) {
	o := goesOn(unstable(), current(200))
	o.slots(20, 200)
	o.slots(5, 300)
	o = o.next()
	o.told(t, "", shedguard.DetailRise, rose(charge.Warning, 50, 50))
	o.told(t, "", shedguard.DetailStepUp, rose(charge.Major, 50, 25))
	if len(o.out.Findings) != 2 {
		t.Errorf("%+v", o.out.Findings)
	}
}

// TestLateRise: after 18 levels, by a share of the plateau and by what changes a
// full battery's power.
func TestLateRise(t *testing.T) {
	for _, tt := range []struct {
		plateau, lowest, watts, volts float64
		want                          int
	}{
		{200, 100, 120, 220, 20}, {200, 100, 119.9, 220, 0}, // a tenth is four fifths of the limit
		{48, 20, 26, 220, 20}, {48, 20, 25.9, 220, 0}, // six watts
		{200, 100, 121, 242, 0}, // the mains explain it
	} {
		r := voltage(tt.plateau, tt.watts)
		r.Lowest = tt.lowest
		o := goesOn(unstable(), r)
		o.volts = tt.volts
		if n := o.until(30, tt.watts, found(shedguard.DetailLateRise)); n != tt.want {
			t.Errorf("%g W after %g W of %g W at %g V: after %d slots, want %d", tt.watts, tt.lowest, tt.plateau, tt.volts, n, tt.want)
		}
	}
	// The levels are in a row, and all of them as high.
	r := voltage(200, 110)
	r.Lowest = 100
	o := goesOn(unstable(), r)
	o.slots(30, 110)
	o.slots(10, 120)
	o.slots(5, 110)
	if n := o.until(30, 120, found(shedguard.DetailLateRise)); n != 20 {
		t.Errorf("after %d slots, want 20", n)
	}
	o = o.next()
	o.told(t, "", shedguard.DetailLateRise, rose(charge.Notice, 10, 12.5))
	// A trickle that rises is a late rise, too.
	o = goesOn(unstable(), charge.Running{Phase: charge.PhaseTrickle, Watts: 26, Plateau: 200, First: 200, Lowest: 4, Attached: true})
	if n := o.until(30, 26, found(shedguard.DetailLateRise)); n != 20 || o.next().out.Phase != charge.PhaseTrickle {
		t.Errorf("in a trickle after %d slots, want 20; %s", n, o.next().out.Phase)
	}
}

// TestLateRiseByVoltage: the voltage of the lowest level is that of when it was.
func TestLateRiseByVoltage(t *testing.T) {
	// At the knee, below the voltage of the plateau.
	o := begin(unstable(), charge.Record{})
	o.slots(25, 240)
	o.volts = 200
	o.slots(20, 100)
	if o.out.Phase != charge.PhaseConstantVoltage {
		t.Fatal(o.out.Phase)
	}
	o.volts = 230
	if n := o.until(40, 132, found(shedguard.DetailLateRise)); n != 0 { // 132.25 W
		t.Errorf("found %d slots after the knee: %+v", n, o.next().out.Findings)
	}
	// Of two that are as low, at the first.
	o = goesOn(unstable(), voltage(200, 100))
	o.slots(6, 100)
	o.volts = 200
	o.slots(6, 100)
	o.volts = 220
	if n := o.until(40, 125, found(shedguard.DetailLateRise)); n != 20 {
		t.Errorf("after %d slots, want 20", n)
	}
	// At a lower one, at that.
	o = goesOn(unstable(), voltage(200, 100))
	o.slots(6, 100)
	o.volts = 200
	o.slots(6, 99)
	o.volts = 220
	if n := o.until(40, 120, found(shedguard.DetailLateRise)); n != 0 { // 119.79 W
		t.Errorf("found after %d slots", n)
	}
	// A taper of seconds right after a restart begins with what was kept.
	r := current(70)
	r.Plateau, r.First, r.Volts = 200, 300, 110
	o = goesOn(unstable(), r)
	o.volts = 110
	o.each(70, 100, 10)
	if after := o.next(); !after.out.Attached {
		t.Fatalf("%+v", after.out)
	}
	o.volts = 220
	if n := o.until(40, 120, found(shedguard.DetailLateRise)); n != 0 { // 70 W are 280 W
		t.Errorf("found %d slots after a taper of seconds", n)
	}
}

// TestStuck: above the larger of two limits for so long, and major for twice so
// long.
func TestStuck(t *testing.T) {
	c := exact()
	c.FloatTooHigh.Enabled = true
	for _, tt := range []struct {
		plateau, watts float64
		warns, major   int
	}{
		{200, 50, 30, 60}, {200, 49.9, 0, 0}, {100, 32, 30, 60}, {100, 31.9, 0, 0}, {200, 100, 30, 30},
	} {
		o := goesOn(c, voltage(tt.plateau, tt.watts))
		warns := o.until(70, tt.watts, found(shedguard.DetailStuck))
		major := 0
		if warns > 0 {
			f := &charge.Finding{
				Cause: shedguard.CauseFloatTooHigh, Grade: charge.Warning, Severity: shedguard.SeverityMajor,
				Value: tt.watts, Limit: max(32, tt.plateau/4), Unit: "W",
			}
			if tt.major == tt.warns {
				f.Grade, f.Severity, f.Action = charge.Major, shedguard.SeverityCritical, shedguard.ActionTripped
			}
			o.next().told(t, "", shedguard.DetailStuck, f)
			is := func(o *outlet) bool { return o.finding(shedguard.DetailStuck).Grade == charge.Major }
			if major = warns; !is(o.next()) {
				major += o.until(40, tt.watts, is)
			}
			f.Grade, f.Severity, f.Action = charge.Major, shedguard.SeverityCritical, shedguard.ActionTripped
			o.next().told(t, "", shedguard.DetailStuck, f)
		}
		if warns != tt.warns || major != tt.major {
			t.Errorf("%g W of %g W: told after %d slots, major after %d, want %d and %d", tt.watts, tt.plateau, warns, major, tt.warns, tt.major)
		}
	}
	// It is the time since it fell by a thirty-second of the plateau.
	for watts, want := range map[float64]int{93.8: 10, 93.7: 33} {
		o := goesOn(c, voltage(200, 100))
		o.slots(20, 100)
		if n := o.until(40, watts, found(shedguard.DetailStuck)); n != want {
			t.Errorf("%g W after 100 W: told after %d slots, want %d", watts, n, want)
		}
	}
}

// TestTooLong: of charging, of any charge that is judged.
func TestTooLong(t *testing.T) {
	c := exact()
	c.TooLong.Enabled = true
	for _, tt := range []struct {
		watts, minutes float64
		grade          charge.Grade
		value          float64
	}{
		{45, 479.5, charge.Notice, 8}, {44.9, 479.5, 0, 0}, {45, 479, 0, 0}, {200, 599.5, charge.Warning, 10}, {200, 1199.5, charge.Major, 20},
	} {
		r := current(tt.watts)
		r.First, r.Minutes = 0, tt.minutes
		o := goesOn(c, r)
		o.slots(3, tt.watts)
		var want *charge.Finding
		if tt.grade > 0 {
			want = &charge.Finding{Cause: shedguard.CauseChargeTooLong, Grade: tt.grade, Severity: shedguard.SeverityWarning, Value: tt.value, Limit: 10, Unit: "h"}
			if tt.grade == charge.Major {
				want.Severity, want.Action = shedguard.SeverityMinor, shedguard.ActionNone // it only reports
			}
		}
		o.next().told(t, "", shedguard.DetailLong, want)
	}
	c.TooLong.Enabled = false
	r := current(200)
	r.Minutes = 1199.5
	o := goesOn(c, r)
	o.slots(3, 200)
	o.next().told(t, "off", shedguard.DetailLong, nil)
}

// TestStepUp: between levels two minutes apart, in constant current.
func TestStepUp(t *testing.T) {
	for _, tt := range []struct {
		name        string
		was         charge.Running
		volts       float64 // before
		then, watts float64
		want        *charge.Finding
	}{
		{"a quarter of the plateau", current(200), 220, 220, 250, rose(charge.Warning, 25, 25)},
		{"less", current(200), 220, 220, 249.9, nil},
		{"the mains explain it", current(200), 200, 240, 288, nil},
		{"a part of it", current(200), 200, 240, 388, rose(charge.Major, 50, 25)},
		{"in constant voltage", voltage(400, 200), 220, 220, 300, nil},
	} {
		tt.was.Volts = tt.volts
		o := goesOn(unstable(), tt.was)
		o.volts = tt.volts
		o.slots(15, tt.was.Watts)
		o.volts = tt.then
		if n := o.until(14, tt.watts, found(shedguard.DetailStepUp)); n != 0 && n != 3 {
			t.Errorf("%s: after %d slots, want 3", tt.name, n)
		}
		o.next().told(t, tt.name, shedguard.DetailStepUp, tt.want)
	}
	// Five watts a slot are 60 W in two minutes; with the fourth slot that is two
	// minutes old they are most beside the plateau, which is 260 W by then.
	c := unstable()
	c.Unstable.StepShare, c.Unstable.RiseShare = 0.125, 3
	o := goesOn(c, current(200))
	for i := range 30 {
		o.each(200 + 5*float64(i))
	}
	o.next().told(t, "a ramp", shedguard.DetailStepUp, rose(charge.Warning, 60./260*100, 12.5))
}

// flicker draws so much for n slots with every reading unlike the one before it.
func (o *outlet) flicker(n int, watts float64) {
	for range n {
		o.sample(watts - 1)
		o.sample(watts + 1)
	}
}

// untilStep flickers until a step down is found.
func (o *outlet) untilStep(most int, watts float64) int {
	for n := range most {
		o.flicker(1, watts)
		if found(shedguard.DetailStepDown)(o.next()) {
			return n + 1
		}
	}
	return 0
}

// TestStepDown: a quarter of the plateau within two minutes, to more than what a
// charger ends with, that stays for a quarter of an hour.
func TestStepDown(t *testing.T) {
	// A level is of the third slot; a quarter of an hour are 90 more.
	for _, tt := range []struct {
		watts float64
		want  int
		value float64
	}{
		{150, 93, 25}, {150.1, 0, 0}, {70, 0, 0}, {70.1, 93, 64.95},
	} {
		o := goesOn(unstable(), current(200))
		o.flicker(20, 200)
		if n := o.untilStep(120, tt.watts); n != tt.want {
			t.Errorf("%g W after 200 W: told after %d slots, want %d", tt.watts, n, tt.want)
		}
		var want *charge.Finding
		if tt.want > 0 {
			want = rose(charge.Warning, tt.value, 25)
			if tt.value >= 50 {
				want = rose(charge.Major, tt.value, 25)
			}
		}
		o.next().told(t, "", shedguard.DetailStepDown, want)
	}
	// What the mains explain is none.
	o := goesOn(unstable(), current(200))
	o.flicker(20, 200)
	o.volts = 190
	if n := o.untilStep(120, 150); n != 0 {
		t.Errorf("at 190 V told after %d slots", n)
	}

	type part struct {
		slots int
		watts float64
	}
	for name, tt := range map[string]struct {
		parts []part // after 20 slots of the first
		watts float64
		want  int // from then on
		value float64
	}{
		"from where it was at the time": {[]part{{20, 200}, {20, 190}}, 140, 93, 25},
		"and a little more later":       {[]part{{20, 200}, {20, 150}}, 145, 73, 25},
		"and as much as is the same":    {[]part{{20, 200}, {20, 150}}, 137.5, 73, 25},
		"and more than that":            {[]part{{20, 200}, {20, 150}}, 137.4, 0, 0},
		"and more, but no step":         {[]part{{20, 200}, {20, 150}}, 110, 0, 0},
		"and another step":              {[]part{{20, 200}, {20, 150}}, 100, 93, 50},
		"and a larger one":              {[]part{{20, 200}, {20, 150}}, 95, 93, 52.5},
		"down to a third":               {[]part{{20, 200}, {20, 150}}, 70, 0, 0},
		"down to more than a third":     {[]part{{20, 200}, {20, 150}}, 70.1, 93, 64.95},
		"down to less":                  {[]part{{20, 200}, {20, 150}}, 60, 0, 0},
		"and half of it back":           {[]part{{20, 400}, {6, 200}}, 280, 94, 30},
		"and another one, once told":    {[]part{{20, 200}, {100, 150}}, 100, 1, 25},
	} {
		o := goesOn(unstable(), current(tt.parts[0].watts))
		for _, p := range tt.parts {
			o.flicker(p.slots, p.watts)
		}
		if n := o.untilStep(250, tt.watts); n != tt.want {
			t.Errorf("%s: told after %d slots, want %d", name, n, tt.want)
		}
		o.flicker(100, tt.watts)
		if f := o.finding(shedguard.DetailStepDown); tt.want > 0 && math.Abs(f.Value-tt.value) > 1e-9 {
			t.Errorf("%s: %+v, want %g", name, f, tt.value)
		}
	}
}

// TestStepDownIsRead: with fewer than ten readings that differ it may be a taper.
func TestStepDownIsRead(t *testing.T) {
	for changes, want := range map[int]bool{10: true, 9: false} {
		o := goesOn(unstable(), current(200))
		o.flicker(20, 200)
		o.slots(80, 150)
		at := 150.
		for range changes { // one a reading
			at = 301 - at
			o.sample(at)
		}
		if changes%2 > 0 {
			o.sample(at)
		}
		n := o.until(15, at, found(shedguard.DetailStepDown))
		if (n == 8) != want || n != 0 && n != 8 {
			t.Errorf("%d changes: told after %d slots, want it after 8: %t", changes, n, want)
		}
		// It is over then, whatever comes.
		o.flicker(30, 150)
		if f := o.next().finding(shedguard.DetailStepDown); (f != nil) != want {
			t.Errorf("%d changes: %+v", changes, f)
		}
	}
}

// TestSwings: two turns are one, and eight within two minutes are told.
func TestSwings(t *testing.T) {
	c := unstable()
	c.Unstable.LateRiseShare = 0.1
	for _, tt := range []struct {
		name   string
		watts  []float64 // a slot each, over and over
		window time.Duration
		want   int
	}{
		// The first fall is where it begins: turns are with the second reading of
		// the third slot and of each after it.
		{"from above", []float64{200, 175}, 2 * time.Minute, 10},
		{"from below", []float64{175, 200}, 2 * time.Minute, 9},
		{"too small", []float64{200, 175.1}, 2 * time.Minute, 0},
		{"eight in a window", []float64{200, 175}, 70 * time.Second, 10},
		{"seven in a window", []float64{200, 175}, 70*time.Second - 1, 0},
		// One turn in two slots, with the second or the fourth first.
		{"by stairs", []float64{150, 175, 200, 175}, 150 * time.Second, 16},
		{"by stairs, from above", []float64{200, 175, 150, 175}, 150 * time.Second, 18},
	} {
		c := *c
		c.Unstable.Window = tt.window
		o := goesOn(&c, current(200))
		got := 0
		for n := range 60 {
			o.each(tt.watts[n%len(tt.watts)])
			if found(shedguard.DetailSwings)(o) {
				got = n + 1
				break
			}
		}
		if got != tt.want {
			t.Errorf("%s: told after %d slots, want %d", tt.name, got, tt.want)
		}
		var want *charge.Finding
		if tt.want > 0 {
			want = rose(charge.Warning, 4, 4)
			want.Unit = ""
		}
		o.told(t, tt.name, shedguard.DetailSwings, want)
	}
	// One reading is no swing, up or down.
	for _, watts := range []float64{100, 300} {
		o := goesOn(c, current(200))
		for range 60 {
			o.sample(200)
			o.sample(200)
			o.sample(watts)
		}
		o.told(t, "one reading", shedguard.DetailSwings, nil)
	}
	// An open relay begins anew.
	o := goesOn(c, current(200))
	for range 4 {
		o.each(200, 175)
	}
	o.each(200)
	o.in.Fed = false
	o.step()
	o.in.Fed = true
	got := 0
	for n := 0; n < 20 && got == 0; n++ {
		o.each(200 - 25*float64(n%2))
		if found(shedguard.DetailSwings)(o) {
			got = n + 1
		}
	}
	if got != 10 {
		t.Errorf("told %d slots after the relay was open, want 10", got)
	}
}

// TestFrozen: no change for so long, or for twenty times as long as is usual.
func TestFrozen(t *testing.T) {
	c := exact()
	c.Frozen.Enabled, c.Frozen.Limit = true, 4*time.Minute
	for _, tt := range []struct {
		name  string
		was   charge.Running
		watts []float64
		each  int     // readings of the same
		want  int     // readings since the last change when it is told: four fifths of the limit
		limit float64 // minutes
	}{
		{"a reading that changed twice", current(200), []float64{200, 201, 200}, 1, 39, 4},
		{"once", current(200), []float64{200, 201}, 1, 0, 0},
		{"every thirty seconds", current(200), []float64{200, 201, 200}, 6, 96, 10},
		{"at what is judged", voltage(200, 45), []float64{45, 46, 45}, 1, 39, 4},
		{"below", voltage(200, 45), []float64{45, 46, 44.9}, 1, 0, 0},
		{"unjudged", charge.Running{Phase: charge.PhaseConstantVoltage, Watts: 200, Plateau: 400, Lowest: 200}, []float64{200, 201, 200}, 1, 0, 0},
	} {
		c := *c
		c.Settle = time.Hour
		o := goesOn(&c, tt.was)
		for _, w := range tt.watts {
			for range tt.each {
				o.sample(w)
			}
		}
		got := 0
		for n := tt.each; n < 150 && got == 0; n++ {
			o.sample(tt.watts[len(tt.watts)-1])
			if found(shedguard.DetailFrozen)(o) {
				got = n
			}
		}
		if got != tt.want {
			t.Errorf("%s: told %d readings after the last change, want %d", tt.name, got, tt.want)
		}
		var want *charge.Finding
		if tt.want > 0 {
			want = &charge.Finding{
				Cause: shedguard.CauseMeterImplausible, Grade: charge.Notice, Severity: shedguard.SeverityMajor,
				Value: float64(tt.want) / 12, Limit: tt.limit, Unit: "min",
			}
		}
		o.told(t, tt.name, shedguard.DetailFrozen, want)
	}

	// What changed in another session, or before the relay opened, does not count.
	for name, part := range map[string]func(*outlet){
		"another session": func(o *outlet) { o.in.Session = "01JDBQ6N5XB4Y3M2T1S0R9Q8P8" },
		"an open relay":   func(o *outlet) { o.in.Fed = false; o.step(); o.in.Fed = true },
	} {
		for changes, want := range map[int]bool{0: false, 1: false, 2: true} {
			o := goesOn(c, current(200))
			o.flicker(20, 200)
			o.sample(200)
			part(o)
			o.slots(4, 200)
			at := 200.
			for range changes {
				at = 401 - at
				o.slots(1, at)
			}
			o.slots(80, at)
			if f := o.finding(shedguard.DetailFrozen); (f != nil) != want {
				t.Errorf("%s, %d changes since: %+v", name, changes, f)
			}
		}
	}
}
