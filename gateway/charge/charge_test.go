package charge_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/sim"
)

// settings are how charges are judged: as the shipped profiles have it.
func settings() *charge.Settings {
	rule := func(s shedguard.Severity, a protect.Act) protect.Rule {
		return protect.Rule{Enabled: true, Severity: s, Act: a}
	}
	return &charge.Settings{
		EmptyWatts: 0.4, StandbyWatts: 2, IdleWatts: 20, KneeShare: 0.05, Settle: 10 * time.Minute, MaxGap: 3 * time.Second,
		Full: charge.Full{
			JudgeWatts: 45, Watts: 30, After: time.Hour, ChangeWatts: 6, Share: 0.1, ShareAfter: 20 * time.Minute, IdleAfter: time.Hour,
		},
		TooLong:      charge.TooLong{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Limit: 10 * time.Hour},
		FloatTooHigh: charge.FloatTooHigh{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), LimitWatts: 30, LimitShare: 0.25, FallShare: 0.03, After: time.Hour},
		Unstable: charge.Unstable{
			Rule: rule(shedguard.SeverityMinor, protect.ActTrip), LateRiseShare: 0.1, RiseShare: 0.5, StepShare: 0.3,
			SwingShare: 0.15, Swings: 8, Window: 10 * time.Minute,
		},
		Envelope: charge.Envelope{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Charges: 5, Factor: 3},
		Frozen:   charge.Frozen{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), Limit: 15 * time.Minute},
	}
}

const session = "01JDBQ6N5XB4Y3M2T1S0R9Q8P7"

// outlet is one outlet under test, sampled once a second unless it says
// otherwise.
type outlet struct {
	c     *charge.Settings
	s     charge.State
	in    charge.Input
	begun time.Time
	now   time.Time
	volts float64
	every time.Duration
	out   charge.Outcome
	log   []string // phases, with the time in whole minutes
}

func newOutlet(c *charge.Settings, kept charge.Record) *outlet {
	o := &outlet{c: c, s: charge.NewState(kept), begun: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), volts: 220, every: time.Second}
	o.now = o.begun
	o.in.Session, o.in.Fed = session, true
	return o
}

func (o *outlet) sample(watts float64) {
	o.in.Fresh = true
	o.in.Reading = shedguard.Reading{At: o.now, Volts: o.volts, Watts: watts, Amps: watts / 220}
	o.step()
	o.now = o.now.Add(o.every)
}

func (o *outlet) step() {
	before := o.out.Phase
	o.out = o.c.Next(&o.s, &o.in, o.now)
	o.in.Fresh = false
	if o.out.Phase != before {
		o.log = append(o.log, fmt.Sprintf("%d %s", int(o.now.Sub(o.begun).Minutes()), o.out.Phase))
	}
}

// run draws what the curve says at each time since now.
func (o *outlet) run(d time.Duration, watts func(time.Duration) float64) {
	from := o.now
	for o.now.Sub(from) < d {
		o.sample(watts(o.now.Sub(from)))
	}
}

func level(w float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return w }
}

// line goes from a to b in d and stays there.
func line(a, b float64, d time.Duration) func(time.Duration) float64 {
	return func(t time.Duration) float64 { return a + (b-a)*min(1, t.Seconds()/d.Seconds()) }
}

// falling is an exponential taper from a with a time constant, never below end.
func falling(a, end float64, tau time.Duration) func(time.Duration) float64 {
	return func(t time.Duration) float64 { return max(end, a*math.Exp(-t.Seconds()/tau.Seconds())) }
}

// noisy adds a sine that a reading never repeats.
func noisy(f func(time.Duration) float64) func(time.Duration) float64 {
	return func(t time.Duration) float64 { return f(t) * (1 + 0.003*math.Sin(1.7*t.Seconds())) }
}

// charged brings an outlet into constant voltage at half of its plateau.
func charged(c *charge.Settings) *outlet {
	o := newOutlet(c, charge.Record{})
	o.run(time.Hour, noisy(line(200, 210, time.Hour)))
	o.run(35*time.Minute, noisy(falling(210, 4, 50*time.Minute)))
	return o
}

func (o *outlet) finding(d shedguard.Detail) *charge.Finding {
	for i := range o.out.Findings {
		if o.out.Findings[i].Detail == d {
			return &o.out.Findings[i]
		}
	}
	return nil
}

func TestValidate(t *testing.T) {
	if err := settings().Validate(); err != nil {
		t.Fatal(err)
	}
	err := (&charge.Settings{
		TooLong: charge.TooLong{Rule: protect.Rule{Enabled: true, Act: protect.ActSuspend}},
		Frozen:  charge.Frozen{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, Limit: math.MaxInt64},
	}).Validate()
	for _, want := range []string{
		"empty_watts", "knee_share", "settle", "max_gap", "full.judge_watts", "full.after", "full.share", "full.idle_after",
		"charge_too_long.severity", "charge_too_long.action: suspend: want report or trip", "charge_too_long.limit", "reading_frozen.limit",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault for %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "float_too_high") {
		t.Errorf("looks into a rule that is off: %v", err)
	}
}

// TestPhases are charges from beginning to end.
func TestPhases(t *testing.T) {
	type part struct {
		d     time.Duration
		watts func(time.Duration) float64
	}
	tests := map[string]struct {
		parts    []part
		want     []string
		attached bool
		load     charge.Load
		found    bool // anything at all, notices included
	}{
		"constant current that rises, exponential taper": {
			parts: []part{{2 * time.Hour, line(107, 111.5, 2*time.Hour)}, {3 * time.Hour, falling(111.5, 4.2, 30*time.Minute)}},
			want:  []string{"0 inrush", "0 constant_current", "123 constant_voltage", "160 trickle", "209 full"}, attached: true, load: charge.LoadFullBattery,
		},
		"linear taper, one step, a hump": {
			parts: []part{{time.Hour, line(102, 105, time.Hour)}, {time.Hour, line(105, 17.7, time.Hour)}, {10 * time.Minute, line(5.15, 6.3, 10*time.Minute)}, {time.Hour, line(6.3, 4.3, time.Hour)}},
			want:  []string{"0 inrush", "0 constant_current", "66 constant_voltage", "112 trickle", "140 full"}, attached: true, load: charge.LoadFullBattery,
		},
		"lead-acid: the float's step": {
			parts: []part{{5 * time.Hour, line(100, 123, 5*time.Hour)}, {2 * time.Hour, line(123, 27, 2*time.Hour)}, {2 * time.Hour, level(3)}},
			want:  []string{"0 inrush", "0 constant_current", "310 constant_voltage", "417 trickle", "440 full"}, attached: true, load: charge.LoadFullBattery,
		},
		"a deeply empty battery is woken first": {
			parts: []part{{15 * time.Minute, level(11)}, {time.Hour, level(107)}},
			want:  []string{"0 inrush", "0 constant_current", "5 idle_load", "15 inrush", "16 constant_current"}, load: charge.LoadCharge,
		},
		"unplugged in constant current":          {parts: []part{{time.Hour, level(100)}, {4 * time.Minute, level(0.7)}}, want: []string{"0 inrush", "0 constant_current"}, load: charge.LoadIdleCharger},
		"unplugged half-way down, nothing left":  {parts: []part{{time.Hour, level(100)}, {35 * time.Minute, falling(100, 0, 50*time.Minute)}, {4 * time.Minute, level(0)}}, want: []string{"0 inrush", "0 constant_current", "64 constant_voltage"}, load: charge.LoadNothing},
		"unplugged half-way down, charger stays": {parts: []part{{time.Hour, level(100)}, {35 * time.Minute, falling(100, 0, 50*time.Minute)}, {4 * time.Minute, level(4.2)}}, want: []string{"0 inrush", "0 constant_current", "64 constant_voltage"}, load: charge.LoadFullBattery},
		"15.5 W that never was a charge":         {parts: []part{{2 * time.Hour, level(15.5)}}, want: []string{"0 inrush", "0 constant_current", "5 idle_load"}, load: charge.LoadIdle},
		"a pause goes on as before": {
			parts: []part{{time.Hour, level(100)}, {20 * time.Minute, falling(100, 0, 50*time.Minute)}, {3 * time.Minute, level(0)}, {20 * time.Minute, falling(67, 0, 50*time.Minute)}},
			want:  []string{"0 inrush", "0 constant_current", "64 constant_voltage"}, load: charge.LoadCharge,
		},
		"after a pause the battery may take more for a while": {
			parts: []part{{time.Hour, level(100)}, {35 * time.Minute, falling(100, 0, 50*time.Minute)}, {3 * time.Minute, level(0)}, {5 * time.Minute, level(100)}, {20 * time.Minute, falling(100, 0, 10*time.Minute)}},
			want:  []string{"0 inrush", "0 constant_current", "64 constant_voltage", "98 constant_current", "105 constant_voltage", "116 trickle"}, attached: true, load: charge.LoadCharge,
		},
		"a small charger is a charger": {
			parts: []part{{2 * time.Hour, level(42)}, {2 * time.Hour, falling(42, 1, 30*time.Minute)}},
			want:  []string{"0 inrush", "0 constant_current", "123 constant_voltage", "152 trickle", "209 full"}, attached: true, load: charge.LoadIdleCharger,
		},
		"a taper of seconds": {
			parts: []part{{time.Hour, level(400)}, {100 * time.Second, line(400, 20, 100*time.Second)}, {time.Hour, level(3)}},
			want:  []string{"0 inrush", "0 constant_current", "61 constant_voltage", "63 trickle", "82 full"}, attached: true, load: charge.LoadFullBattery,
		},
		"the battery is pulled, the charger idles at 15.5 W": {
			parts: []part{{time.Hour, level(400)}, {30 * time.Minute, level(15.5)}},
			want:  []string{"0 inrush", "0 constant_current", "80 idle_load"}, load: charge.LoadIdle,
		},
		"a big charger's fans run on": {
			parts: []part{{time.Hour, level(1200)}, {time.Hour, line(1200, 150, time.Hour)}, {time.Hour, level(36)}},
			want:  []string{"0 inrush", "0 constant_current", "65 constant_voltage", "121 trickle", "140 full"}, attached: true, load: charge.LoadCharge,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(settings(), charge.Record{})
			for _, p := range tt.parts {
				o.run(p.d, p.watts)
			}
			if diff := cmp.Diff(tt.want, o.log); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
			if o.out.Attached != tt.attached || o.out.Load != tt.load {
				t.Errorf("attached %t, load %q, want %t, %q", o.out.Attached, o.out.Load, tt.attached, tt.load)
			}
			if over := o.out.Phase == charge.PhaseFull || o.out.Phase == charge.PhaseIdle && o.now.Sub(o.begun) > time.Hour; o.out.Over != over {
				t.Errorf("over %t, want %t", o.out.Over, over)
			}
			for _, f := range o.out.Findings {
				t.Errorf("found %s: %s", f.Grade, f.Text().EN)
			}
		})
	}
}

// TestLoads are the idle powers that were recorded, on an outlet without a
// session.
func TestLoads(t *testing.T) {
	tests := map[float64]charge.Load{
		0: charge.LoadNothing, 0.7: charge.LoadIdleCharger, 0.711: charge.LoadIdleCharger, 3.7: charge.LoadFullBattery, 4.2: charge.LoadFullBattery,
		15.472: charge.LoadIdle, 15.506: charge.LoadIdle, 100: charge.LoadCharge,
	}
	for watts, want := range tests {
		o := newOutlet(settings(), charge.Record{})
		o.in.Session = ""
		o.run(20*time.Second, level(watts))
		if o.out.Load != charge.LoadUnknown {
			t.Errorf("%g W: %q after 20 s, want to know more first", watts, o.out.Load)
		}
		o.run(time.Minute, level(watts))
		if o.out.Load != want || o.out.Phase != charge.PhaseNone {
			t.Errorf("%g W: %q, %q, want %q", watts, o.out.Load, o.out.Phase, want)
		}
		o.in.Fed = false
		o.step()
		if o.out.Load != charge.LoadUnknown {
			t.Errorf("without voltage: %q", o.out.Load)
		}
	}
}

// TestFindings is what no healthy charge does.
func TestFindings(t *testing.T) {
	square := func(a, b float64, half time.Duration) func(time.Duration) float64 {
		return func(t time.Duration) float64 {
			if t/half%2 == 0 {
				return a
			}
			return b
		}
	}
	inCurrent := func(c *charge.Settings) *outlet {
		o := newOutlet(c, charge.Record{})
		o.run(time.Hour, noisy(level(200)))
		return o
	}
	tests := map[string]struct {
		begin  func(*charge.Settings) *outlet
		d      time.Duration
		watts  func(time.Duration) float64
		cause  shedguard.Cause
		detail shedguard.Detail
		grade  charge.Grade
		text   string
	}{
		"late rise, near the limit":     {charged, 35 * time.Minute, noisy(line(104, 122, 30*time.Minute)), shedguard.CausePowerUnstable, shedguard.DetailLateRise, charge.Notice, "power rose by 8.48 % in the constant-voltage phase (limit 10 %)"},
		"late rise":                     {charged, 30 * time.Minute, noisy(line(104, 135, 30*time.Minute)), shedguard.CausePowerUnstable, shedguard.DetailLateRise, charge.Warning, "power rose by 14.3 % in the constant-voltage phase (limit 10 %)"},
		"late rise, twice the limit":    {charged, 40 * time.Minute, noisy(line(104, 160, 30*time.Minute)), shedguard.CausePowerUnstable, shedguard.DetailLateRise, charge.Major, "power rose by 26.5 % in the constant-voltage phase (limit 10 %)"},
		"late rise back to the plateau": {charged, 40 * time.Minute, noisy(line(104, 210, 20*time.Minute)), shedguard.CausePowerUnstable, shedguard.DetailLateRise, charge.Major, ""},
		"rise in constant current":      {inCurrent, time.Hour, noisy(line(200, 330, time.Hour)), shedguard.CausePowerUnstable, shedguard.DetailRise, charge.Warning, ""},
		"rise to twice the level":       {inCurrent, 2 * time.Hour, noisy(line(200, 420, 2*time.Hour)), shedguard.CausePowerUnstable, shedguard.DetailRise, charge.Major, ""},
		"step up":                       {inCurrent, 3 * time.Minute, noisy(level(270)), shedguard.CausePowerUnstable, shedguard.DetailStepUp, charge.Warning, ""},
		"step down that stays":          {inCurrent, 20 * time.Minute, noisy(level(120)), shedguard.CausePowerUnstable, shedguard.DetailStepDown, charge.Warning, "power fell by 40 % in one step and stayed there (limit 30 %)"},
		"swings, slow":                  {inCurrent, 10 * time.Minute, square(200, 150, 30*time.Second), shedguard.CausePowerUnstable, shedguard.DetailSwings, charge.Warning, ""},
		"swings, fast":                  {inCurrent, 2 * time.Minute, square(200, 150, 3*time.Second), shedguard.CausePowerUnstable, shedguard.DetailSwings, charge.Major, ""},
		"on and off":                    {inCurrent, 10 * time.Minute, square(200, 0, 15*time.Second), shedguard.CausePowerUnstable, shedguard.DetailSwings, charge.Major, ""},
		"stuck":                         {charged, 70 * time.Minute, noisy(level(60)), shedguard.CauseFloatTooHigh, shedguard.DetailStuck, charge.Warning, ""},
		"stuck for twice the time":      {charged, 130 * time.Minute, noisy(level(60)), shedguard.CauseFloatTooHigh, shedguard.DetailStuck, charge.Major, "power stopped falling at 60 W after the taper (limit 52.5 W)"},
		"stuck at twice the limit":      {charged, 70 * time.Minute, noisy(level(106)), shedguard.CauseFloatTooHigh, shedguard.DetailStuck, charge.Major, ""},
		"too long":                      {inCurrent, 9*time.Hour + 10*time.Minute, noisy(level(200)), shedguard.CauseChargeTooLong, shedguard.DetailLong, charge.Warning, "it has been charging for 10.2 h (limit 10 h)"},
		"frozen":                        {inCurrent, 20 * time.Minute, level(200), shedguard.CauseMeterImplausible, shedguard.DetailFrozen, charge.Warning, "the reading has not changed at all for 20 min (limit 15 min)"},
		"frozen for twice the time":     {inCurrent, 31 * time.Minute, level(200), shedguard.CauseMeterImplausible, shedguard.DetailFrozen, charge.Major, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := tt.begin(settings())
			if len(o.out.Findings) > 0 {
				t.Fatalf("before: %+v", o.out.Findings)
			}
			o.run(tt.d, tt.watts)
			f := o.finding(tt.detail)
			if f == nil {
				t.Fatalf("found %+v, want %s; phase %s", o.out.Findings, tt.detail, o.out.Phase)
			}
			if f.Cause != tt.cause || f.Grade != tt.grade {
				t.Errorf("%s, %s, want %s, %s: %s", f.Cause, f.Grade, tt.cause, tt.grade, f.Text().EN)
			}
			if tt.text != "" && f.Text().EN != tt.text {
				t.Errorf("text %q, want %q", f.Text().EN, tt.text)
			}
			if f.Text().ZH == "" || f.Since.IsZero() || f.Since.After(o.now) {
				t.Errorf("%+v", f)
			}
			for _, other := range o.out.Findings {
				if other.Detail != tt.detail && other.Grade > charge.Notice && other.Cause != tt.cause {
					t.Errorf("found %s, too: %s", other.Detail, other.Text().EN)
				}
			}
			// What follows from the grade, in protect's words.
			list := charge.Conditions(nil, []charge.Finding{*f})
			if f.Grade == charge.Notice {
				if len(list) != 0 {
					t.Errorf("a notice raises %+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].Cause != tt.cause || list[0].Detail != tt.detail || list[0].Value != f.Value || list[0].Limit != f.Limit {
				t.Fatalf("%+v", list)
			}
			trips := f.Grade == charge.Major && tt.cause != shedguard.CauseChargeTooLong
			if list[0].Latch != trips || (list[0].Action == shedguard.ActionTripped) != trips {
				t.Errorf("%+v, want latched %t", list[0], trips)
			}

			// The rule alone finds it, and nothing finds it without the rule.
			off := settings()
			for _, r := range []*protect.Rule{&off.TooLong.Rule, &off.FloatTooHigh.Rule, &off.Unstable.Rule, &off.Envelope.Rule, &off.Frozen.Rule} {
				r.Enabled = false
			}
			o = tt.begin(off)
			o.run(tt.d, tt.watts)
			if len(o.out.Findings) != 0 {
				t.Errorf("with every rule off: %+v", o.out.Findings)
			}
		})
	}
}

// TestNoFindings is what healthy charges do, too.
func TestNoFindings(t *testing.T) {
	spike := func(t time.Duration) float64 {
		if t%time.Minute == 0 {
			return 400
		}
		return 200
	}
	tests := map[string]struct {
		d     time.Duration
		watts func(time.Duration) float64
		volts func(time.Duration) float64
	}{
		"an empty lithium battery rises by a third":      {d: 3 * time.Hour, watts: noisy(line(200, 268, 3*time.Hour))},
		"single samples, every minute":                   {d: time.Hour, watts: noisy(spike)},
		"the mains sag by a tenth: a transformer's fall": {d: time.Hour, watts: noisy(func(t time.Duration) float64 { return 200 * math.Pow(1-0.1*sag(t), 2) }), volts: func(t time.Duration) float64 { return 220 * (1 - 0.1*sag(t)) }},
		"a fast taper, one sample in five minutes":       {d: time.Hour, watts: func(t time.Duration) float64 { return 200 * math.Exp(-t.Truncate(5*time.Minute).Minutes()/10) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(settings(), charge.Record{})
			o.run(30*time.Minute, noisy(level(200)))
			from := o.now
			o.run(tt.d, func(d time.Duration) float64 {
				if tt.volts != nil {
					o.volts = tt.volts(o.now.Sub(from))
				}
				return tt.watts(d)
			})
			for _, f := range o.out.Findings {
				t.Errorf("found %s: %s", f.Grade, f.Text().EN)
			}
		})
	}
}

// sag is 1 for the second ten minutes of each half hour.
func sag(t time.Duration) float64 {
	if m := t.Minutes() - 30*math.Floor(t.Minutes()/30); m >= 10 && m < 20 {
		return 1
	}
	return 0
}

// TestFindingsEndWithTheirCharge: another session begins with a clean sheet.
func TestFindingsEndWithTheirCharge(t *testing.T) {
	o := charged(settings())
	o.run(time.Hour, noisy(line(104, 160, 30*time.Minute)))
	if len(o.out.Findings) == 0 {
		t.Fatal("nothing found")
	}
	o.run(time.Minute, level(160))
	if len(o.out.Findings) == 0 {
		t.Error("does not stand")
	}
	o.in.Session = ""
	o.step()
	if len(o.out.Findings) != 0 || o.out.Phase != charge.PhaseNone {
		t.Errorf("without a session: %+v", o.out)
	}
}

// TestRestart goes on with a charge after the gateway was restarted.
func TestRestart(t *testing.T) {
	o := charged(settings())
	for range 8 {
		b, err := json.Marshal(o.s.Record())
		if err != nil {
			t.Fatal(err)
		}
		var kept charge.Record
		if err := json.Unmarshal(b, &kept); err != nil {
			t.Fatal(err)
		}
		next := newOutlet(settings(), kept)
		next.now = o.now.Add(2 * time.Minute)
		next.run(20*time.Second, level(104))
		if next.out.Phase != charge.PhaseConstantVoltage {
			t.Fatalf("phase %q after a restart", next.out.Phase)
		}
	}
	kept := o.s.Record()
	next := newOutlet(settings(), kept)
	next.run(35*time.Minute, noisy(falling(104, 4, 10*time.Minute)))
	if next.out.Phase != charge.PhaseTrickle || !next.out.Attached {
		t.Errorf("%+v, want a trickle of the charge before", next.out)
	}
	// Another session is another charge.
	other := newOutlet(settings(), kept)
	other.in.Session = "01JDBQ6N5XB4Y3M2T1S0R9Q8P8"
	other.run(time.Minute, level(100))
	if other.out.Phase != charge.PhaseConstantCurrent {
		t.Errorf("%+v", other.out)
	}
	for name, bad := range map[string]charge.Record{
		"not a number": {Running: &charge.Running{Session: session, Phase: charge.PhaseTrickle, Watts: math.NaN()}},
		"no phase":     {Running: &charge.Running{Session: session, Phase: "melting", Watts: 3}},
		"negative":     {Charges: []charge.Charge{{-1}, {float32(math.NaN())}}},
	} {
		s := charge.NewState(bad)
		if r := s.Record(); r.Running != nil || len(r.Charges) != 0 {
			t.Errorf("%s: kept %+v", name, r)
		}
	}
}

// TestEnvelope learns an outlet's charges and then finds one that is unlike.
func TestEnvelope(t *testing.T) {
	t.Parallel() // it takes long: after those that do not
	healthy := func(o *outlet, i int) {
		o.in.Session = fmt.Sprintf("01JDBQ6N5XB4Y3M2T1S0R9Q8%02d", i)
		cc := time.Hour + time.Duration(i%3)*10*time.Minute
		o.run(cc, noisy(line(100, 104, cc)))
		o.run(2*time.Hour, noisy(falling(104, 4, time.Duration(25+i%4)*time.Minute)))
		if o.out.Phase != charge.PhaseFull {
			t.Fatalf("charge %d ends in %s", i, o.out.Phase)
		}
	}
	o := newOutlet(settings(), charge.Record{})
	for i := range 12 {
		healthy(o, i)
	}
	kept := o.s.Record()
	if len(kept.Charges) != charge.MaxCharges || kept.Running != nil {
		t.Fatalf("kept %d charges, running %+v", len(kept.Charges), kept.Running)
	}
	again := charge.NewState(kept)
	if diff := cmp.Diff(kept, again.Record()); diff != "" {
		t.Errorf("kept again: %s", diff)
	}

	// Six times as slow as ever before, but falling all the time.
	slow := func(o *outlet) {
		o.run(70*time.Minute, noisy(line(100, 104, time.Hour)))
		o.run(5*time.Hour, noisy(falling(104, 4, 250*time.Minute)))
	}
	fresh, known := newOutlet(settings(), charge.Record{}), newOutlet(settings(), kept)
	slow(fresh)
	slow(known)
	if len(fresh.out.Findings) != 0 {
		t.Errorf("an outlet that has learned nothing finds %+v", fresh.out.Findings)
	}
	f := known.finding(shedguard.DetailSlow)
	if f == nil || f.Grade < charge.Warning || f.Action != shedguard.ActionNone {
		t.Fatalf("found %+v, want a slow charge, in shadow mode", known.out.Findings)
	}
	// 10 % more than the rise that this outlet knows.
	steep := newOutlet(settings(), kept)
	steep.run(90*time.Minute, noisy(line(100, 130, 90*time.Minute)))
	if f := steep.finding(shedguard.DetailSteeper); f == nil || f.Grade < charge.Warning {
		t.Errorf("found %+v, want a steeper rise than usual", steep.out.Findings)
	}
	// One like the others raises nothing.
	healthy(known, 50)
	if len(known.out.Findings) != 0 {
		t.Errorf("one like the others: %+v", known.out.Findings)
	}
}

// TestBatching holds that steps between two readings change nothing.
func TestBatching(t *testing.T) {
	t.Parallel() // it takes long: after those that do not
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "bike"), 1))
		a, b := newOutlet(settings(), charge.Record{}), newOutlet(settings(), charge.Record{})
		bike := sim.RandomBike(r)
		extra := rapid.SliceOfN(rapid.IntRange(0, 3), 7, 7).Draw(t, "extra")
		bike.Charge = rapid.Float64Range(0, 1).Draw(t, "charge")
		for i := range 4000 {
			w := bike.Draw(time.Second, 220).Watts * (1 + 0.01*r.NormFloat64())
			a.sample(w)
			for range extra[i%len(extra)] {
				b.step()
			}
			b.sample(w)
			if a.out.Phase != b.out.Phase || a.out.Over != b.out.Over || !slices.Equal(a.out.Findings, b.out.Findings) {
				t.Fatalf("after %d samples: %+v and %+v", i, a.out, b.out)
			}
		}
	})
}

// TestNeverFullInConstantCurrent runs healthy charges of every kind.
func TestNeverFullInConstantCurrent(t *testing.T) {
	t.Parallel() // it takes long: after those that do not
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "bike"), 2))
		bike := sim.RandomBike(r)
		o := newOutlet(settings(), charge.Record{})
		most := 0.0
		for range 14 * 3600 {
			w := bike.Draw(time.Second, 220).Watts
			most = max(most, w)
			o.sample(w * (1 + 0.005*r.NormFloat64()))
			if o.out.Over {
				// A taper that is over within seconds cannot be told from a pulled plug.
				if o.out.Phase != charge.PhaseFull && !bike.Ended() || w > 0.35*most {
					t.Fatalf("%+v: %s at %.1f of %.1f W, ended %t", bike, o.out.Phase, w, most, bike.Ended())
				}
				return
			}
		}
		t.Fatalf("%+v: never full; %s, at most %.1f W", bike, o.out.Phase, most)
	})
}

// TestBounded holds findings to their bounds, whatever the meter says.
func TestBounded(t *testing.T) {
	t.Parallel() // it takes long: after those that do not
	rapid.Check(t, func(t *rapid.T) {
		o := newOutlet(settings(), charge.Record{})
		o.every = 2 * time.Second
		for range rapid.IntRange(1, 20).Draw(t, "parts") {
			w := rapid.OneOf(rapid.Float64Range(0, 3000), rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(-200.0)).Draw(t, "watts")
			v := rapid.OneOf(rapid.Float64Range(180, 250), rapid.Just(0.0), rapid.Float64()).Draw(t, "volts")
			to := rapid.Float64Range(0, 3000).Draw(t, "to")
			o.in.Fed = rapid.IntRange(0, 9).Draw(t, "fed") > 0
			if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
				o.in.Session = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "session")
			}
			o.volts = v
			n := rapid.IntRange(1, 1500).Draw(t, "samples")
			for i := range n {
				o.sample(w + (to-w)*float64(i)/float64(n))
			}
			if len(o.out.Findings) > charge.MaxFindings {
				t.Fatalf("%d findings", len(o.out.Findings))
			}
			for _, f := range o.out.Findings {
				if !(f.Value >= f.Limit*0.8-1e-9) || math.IsInf(f.Value, 0) || f.Grade < charge.Notice || f.Grade > charge.Major || f.Severity < shedguard.SeverityCritical || f.Severity > shedguard.SeverityWarning {
					t.Fatalf("%+v", f)
				}
				if text := f.Text(); text.EN == "" || text.ZH == "" {
					t.Fatalf("%+v has no text", f)
				}
			}
			b, err := json.Marshal(o.s.Record())
			if err != nil || len(b) > 2048 {
				t.Fatalf("record of %d bytes, %v", len(b), err)
			}
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	o := charged(settings())
	w := 104.0
	if n := testing.AllocsPerRun(10000, func() {
		w += 0.001
		o.in.Reading.At = o.now
		o.in.Reading.Watts, o.in.Fresh = w, true
		o.out = o.c.Next(&o.s, &o.in, o.now)
		o.now = o.now.Add(time.Second)
	}); n != 0 {
		t.Errorf("%g allocations a step, want none", n)
	}
}

func BenchmarkNext(b *testing.B) {
	o := charged(settings())
	o.every = 100 * time.Millisecond
	w := 104.0
	b.ReportAllocs()
	for b.Loop() {
		w = 208 - w*0.999
		o.in.Reading.At = o.now
		o.in.Reading.Watts, o.in.Fresh = w, true
		o.out = o.c.Next(&o.s, &o.in, o.now)
		o.now = o.now.Add(o.every)
	}
}
