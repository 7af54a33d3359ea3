package charge_test

import (
	"math"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
)

// exact are settings whose shares are powers of two, so that a level can be at a
// limit and not only near it. No rule is on.
func exact() *charge.Settings {
	c := settings()
	c.EmptyWatts, c.StandbyWatts, c.IdleWatts, c.KneeShare, c.Settle, c.MaxGap = 0.5, 2, 20, 0.0625, time.Minute, 9*time.Second
	c.Full = charge.Full{
		JudgeWatts: 45, Watts: 30, After: 10 * time.Minute, ChangeWatts: 6, Share: 0.125, ShareAfter: 5 * time.Minute, IdleAfter: 10 * time.Minute,
	}
	c.FloatTooHigh.LimitWatts, c.FloatTooHigh.LimitShare, c.FloatTooHigh.FallShare, c.FloatTooHigh.After = 32, 0.25, 0.03125, 5*time.Minute
	u := &c.Unstable
	u.LateRiseShare, u.RiseShare, u.StepShare, u.SwingShare, u.Swings, u.Window = 0.125, 0.5, 0.25, 0.125, 4, 2*time.Minute
	for _, r := range rules(c) {
		r.Enabled = false
	}
	return c
}

// begin is an outlet that is read every five seconds: two readings are a slot.
func begin(c *charge.Settings, kept charge.Record) *outlet {
	o := newOutlet(c, kept)
	o.every = 5 * time.Second
	return o
}

// goesOn is one with a charge that goes on.
func goesOn(c *charge.Settings, r charge.Running) *outlet {
	if r.Session == "" {
		r.Session = session
	}
	if r.Volts == 0 {
		r.Volts = 220
	}
	return begin(c, charge.Record{Running: &r})
}

// slots draws as much for n slots. The last of them is complete with the reading
// that comes next.
func (o *outlet) slots(n int, watts float64) {
	for range 2 * n {
		o.sample(watts)
	}
}

// each draws one slot of each.
func (o *outlet) each(watts ...float64) {
	for _, w := range watts {
		o.slots(1, w)
	}
}

// next is the outlet once its last slot is complete.
func (o *outlet) next() *outlet {
	after := *o
	after.log = nil
	after.sample(o.in.Reading.Watts)
	return &after
}

// running is what would be kept of the charge once the last slot is complete.
func (o *outlet) running(t *testing.T) charge.Running {
	t.Helper()
	r := o.next().s.Record().Running
	if r == nil {
		t.Fatal("no charge runs")
	}
	return *r
}

// until draws as much until something is so, and says after how many slots it
// is; 0: not within most.
func (o *outlet) until(most int, watts float64, is func(*outlet) bool) int {
	for n := range most {
		o.slots(1, watts)
		if is(o.next()) {
			return n + 1
		}
	}
	return 0
}

func in(p charge.Phase) func(*outlet) bool {
	return func(o *outlet) bool { return o.out.Phase == p }
}

func found(d shedguard.Detail) func(*outlet) bool {
	return func(o *outlet) bool { return o.finding(d) != nil }
}

// TestReadingsThatCount: one reading of 800 W among those of 200 W, two seconds
// of a slot, is seen in its mean, or is not.
func TestReadingsThatCount(t *testing.T) {
	tests := map[string]struct {
		spoil  func(*charge.Input)
		late   time.Duration // from when it is due to when it is looked at
		counts bool
	}{
		"good":                    {func(*charge.Input) {}, 0, true},
		"looked at later":         {func(*charge.Input) {}, time.Second, true},
		"in the future":           {func(*charge.Input) {}, -1, false},
		"seen before":             {func(in *charge.Input) { in.Fresh = false }, 0, false},
		"suspect":                 {func(in *charge.Input) { in.Reading.Quality = shedguard.QualitySuspect }, 0, false},
		"no number":               {func(in *charge.Input) { in.Reading.Watts = math.NaN() }, 0, false},
		"older than the last":     {func(in *charge.Input) { in.Reading.At = in.Reading.At.Add(-6 * time.Second) }, 0, false},
		"as old as the last":      {func(in *charge.Input) { in.Reading.At = in.Reading.At.Add(-2 * time.Second) }, 0, false},
		"a moment after the last": {func(in *charge.Input) { in.Reading.At = in.Reading.At.Add(-2*time.Second + 1) }, 0, true},
		"the meter the other way": {func(in *charge.Input) { in.Reading.Watts = -800 }, 0, true},
		"its voltage, too":        {func(in *charge.Input) { in.Reading.Volts = -220 }, 0, true},
		"the least voltage":       {func(in *charge.Input) { in.Reading.Volts = 50 }, 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := begin(exact(), charge.Record{})
			o.every = 2 * time.Second
			for range 5 {
				o.sample(200)
			}
			due := o.now
			o.in.Reading, o.in.Fresh = shedguard.Reading{At: due, Volts: 220, Watts: 800, Amps: 800. / 220}, true
			tt.spoil(&o.in)
			o.now = due.Add(tt.late)
			o.step()
			o.now = due.Add(2 * time.Second)
			for range 4 {
				o.sample(200)
			}
			for range 5 {
				o.sample(400)
			}
			want := 200.
			if tt.counts {
				want = 320 // two of ten seconds at 800 W
			}
			if got := o.running(t).Watts; math.Abs(got-want) > 1e-6 {
				t.Errorf("level %g, want %g", got, want)
			}
		})
	}
}

func TestNothingIsReadBehindAnOpenRelay(t *testing.T) {
	o := begin(exact(), charge.Record{})
	o.in.Fed = false
	o.slots(5, 200)
	if r := o.running(t); o.out.Phase != charge.PhaseInrush || o.out.Load != charge.LoadUnknown || r.Watts != 0 || r.Minutes != 0 {
		t.Errorf("%+v, %+v", o.out, r)
	}
}

// TestGapsBetweenReadings: a slot is full once ten seconds are known.
func TestGapsBetweenReadings(t *testing.T) {
	tests := map[string]struct {
		gaps []time.Duration // over and over
		want int             // readings until there is a level, that is three slots
	}{
		"that divide a slot":        {[]time.Duration{5 * time.Second}, 7},
		"that do not":               {[]time.Duration{7 * time.Second}, 6}, // 35 s
		"as long as they may":       {[]time.Duration{9 * time.Second}, 5}, // 36 s
		"too long":                  {[]time.Duration{9*time.Second + 1}, 0},
		"every second one too long": {[]time.Duration{9 * time.Second, 9*time.Second + 1}, 8}, // 4 x 9 s are known
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := begin(exact(), charge.Record{})
			got := 0
			for n := 1; n <= 20 && got == 0; n++ {
				o.every = tt.gaps[(n-1)%len(tt.gaps)]
				o.sample(200)
				if o.out.Phase == charge.PhaseConstantCurrent {
					got = n
				}
			}
			if got != tt.want {
				t.Errorf("a level after %d readings, want %d", got, tt.want)
			}
			if r := o.running(t); tt.want > 0 && r.Watts != 200 {
				t.Errorf("level %g, want 200", r.Watts)
			}
		})
	}
}

// TestLevels: the median of five slots, of three and four at first.
func TestLevels(t *testing.T) {
	o := begin(exact(), charge.Record{})
	for i, tt := range []struct{ watts, volts, level, at float64 }{
		{150, 210, 0, 0}, {160, 230, 0, 0}, {140, 220, 150, 220}, {170, 225, 150, 220}, {130, 240, 150, 225}, // (lower of two), all five
		{180, 215, 160, 225}, {190, 216, 170, 220}, {120, 217, 170, 217}, {120, 218, 130, 217}, {200, 219, 180, 217},
	} {
		o.volts = tt.volts
		o.slots(1, tt.watts)
		r := o.next().s.Record().Running
		if r.Watts != tt.level {
			t.Errorf("after slot %d: level %g, want %g", i+1, r.Watts, tt.level)
		}
		if tt.level > 0 && r.Watts == r.Plateau && r.Volts != tt.at {
			t.Errorf("after slot %d: at %g V, want %g V", i+1, r.Volts, tt.at)
		}
	}
}

// TestSessionBeginsWithItsOwn readings, also in the midst of a slot.
func TestSessionBeginsWithItsOwn(t *testing.T) {
	o := begin(exact(), charge.Record{})
	o.in.Session = ""
	o.volts = 220
	o.slots(10, 250)
	o.sample(250)
	o.sample(250) // half a slot
	o.in.Session = session
	o.sample(250)
	o.sample(200) // ends the first slot
	o.volts = 210
	o.sample(200)
	o.sample(300) // the second one
	o.volts = 230
	o.sample(300)
	if o.out.Phase != charge.PhaseInrush {
		t.Errorf("%s before three slots", o.out.Phase)
	}
	o.sample(300)
	r := o.s.Record().Running
	if o.out.Phase != charge.PhaseConstantCurrent || r.Watts != 250 || r.Volts != 220 {
		t.Errorf("%s, %+v, want 250 W at 220 V", o.out.Phase, r)
	}
}

// TestOpenedInTheMidstOfASlot: what was before is not of the slots afterwards.
func TestOpenedInTheMidstOfASlot(t *testing.T) {
	o := begin(exact(), charge.Record{})
	o.slots(10, 250)
	o.sample(250)
	o.sample(250) // half a slot
	o.in.Fed = false
	o.step()
	if o.out.Load != charge.LoadUnknown {
		t.Errorf("load %q", o.out.Load)
	}
	o.in.Fed = true
	n := 0
	for n < 20 && o.out.Load == charge.LoadUnknown {
		switch n {
		case 2, 3:
			o.volts = 210
			o.sample(240)
		case 4, 5:
			o.volts = 230
			o.sample(260)
		default:
			o.volts = 220
			o.sample(250)
		}
		n++
	}
	r := o.s.Record().Running
	if n != 7 || r.Watts != 250 || r.Plateau != 250 || r.Volts != 220 {
		t.Errorf("a level after %d readings, want 7; %+v", n, r)
	}
}

// TestMainsFail: every charger begins anew after it.
func TestMainsFail(t *testing.T) {
	for name, tt := range map[string]struct {
		before, then float64 // V
		fails        bool
	}{
		"to nothing":                     {220, 0, true},
		"to next to nothing":             {220, 49.9, true},
		"from the least that is voltage": {50, 49.9, true},
		"to the least that is voltage":   {220, 50, false},
		"wired the other way":            {-220, -49.9, true},
		"a meter that measures none":     {0, 0, false},
		"one that measures next to none": {49.9, 0, false},
		"upside down is no failure":      {220, -220, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := begin(exact(), charge.Record{})
			o.volts = tt.before
			o.slots(4, 200)
			o.sample(200) // no slot is open
			o.volts = tt.then
			o.sample(200)
			if got := o.out.Load == charge.LoadUnknown; got != tt.fails {
				t.Fatalf("load %q, want that it failed: %t", o.out.Load, tt.fails)
			}
			if !tt.fails {
				return
			}
			o.slots(2, 0)
			if o.out.Load != charge.LoadNothing {
				t.Errorf("load %q while it lasts", o.out.Load)
			}
			o.volts = tt.before
			o.slots(4, 150)
			if r := o.running(t); r.Plateau != 150 || r.Phase != charge.PhaseConstantCurrent {
				t.Errorf("%+v, want a charge of its own", r)
			}
		})
	}
}

// TestLoadsAtTheirLimits, on an outlet without a session.
func TestLoadsAtTheirLimits(t *testing.T) {
	for watts, want := range map[float64]charge.Load{
		0.49: charge.LoadNothing, 0.5: charge.LoadIdleCharger, 1.99: charge.LoadIdleCharger, 2: charge.LoadFullBattery,
		9.99: charge.LoadFullBattery, 10: charge.LoadIdle, 19.99: charge.LoadIdle, 20: charge.LoadCharge,
	} {
		o := begin(exact(), charge.Record{})
		o.in.Session = ""
		o.slots(4, watts)
		if o.out.Load != want {
			t.Errorf("%g W: %q, want %q", watts, o.out.Load, want)
		}
	}
}
