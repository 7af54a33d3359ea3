package protect_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// overvoltage is the decision of a rule with the act, worst at volts.
func overvoltage(act protect.Act, volts float64, since, at time.Time) protect.Decision {
	d := protect.Decision{
		Cause: shedguard.CauseOvervoltage, Severity: shedguard.SeverityMajor, Action: shedguard.ActionNone,
		Value: volts, Limit: 264, Unit: "V", Since: since, At: at, Standing: true,
	}
	switch act {
	case protect.ActSuspend:
		d.Action = shedguard.ActionSuspended
	case protect.ActTrip:
		d.Action, d.Latched = shedguard.ActionTripped, true
	case protect.ActReport:
	}
	return d
}

// only wants one decision, and what it says of the outlet.
func only(t *testing.T, v protect.Verdict, want protect.Decision) {
	t.Helper()
	if diff := cmp.Diff([]protect.Decision{want}, v.Decisions()); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	opens := want.Action != shedguard.ActionNone
	if v.MustOpen() != opens || v.Suspends() != (opens && !want.Latched) || v.Standing().Has(want.Cause) != want.Standing {
		t.Errorf("opens %t, suspends %t, stands %v", v.MustOpen(), v.Suspends(), v.Standing())
	}
}

// TestDecisionKeepsItsInstant: a condition is one decision from the sample that
// decided to the one that ends it, however often it is found again; the next one
// is a new decision, unless a latch is still held.
func TestDecisionKeepsItsInstant(t *testing.T) {
	t.Parallel()
	for _, act := range []protect.Act{protect.ActReport, protect.ActSuspend, protect.ActTrip} {
		l := limits()
		l.Overvoltage.Act = act
		b := newBench(l, 0, 0)
		b.at(time.Second, 300)
		since := b.now
		only(t, b.at(time.Second, 290), overvoltage(act, 290, since, b.now))
		at := b.now
		only(t, b.at(time.Second, 310), overvoltage(act, 310, since, at))
		only(t, b.at(time.Second, 280), overvoltage(act, 310, since, at))
		v := b.at(time.Second, 240)
		if act == protect.ActTrip {
			over := overvoltage(act, 310, since, at)
			over.Standing = false
			only(t, v, over)
			b.at(time.Second, 300)
			only(t, b.at(time.Second, 320), overvoltage(act, 320, since, at))
			continue
		}
		if len(v.Decisions()) != 0 || v.MustOpen() {
			t.Errorf("%s: %v after it passed", act, causes(v))
		}
		b.at(time.Second, 300)
		again := b.now
		only(t, b.at(time.Second, 270), overvoltage(act, 270, again, b.now))
	}
}

// TestRestoredLatchThatStandsAgain: a latch of an earlier boot says nothing of
// values until its rule decides again; then it says what was decided, and stays
// a latch whatever the rule does by now.
func TestRestoredLatchThatStandsAgain(t *testing.T) {
	t.Parallel()
	for _, act := range []protect.Act{protect.ActReport, protect.ActSuspend, protect.ActTrip} {
		l := limits()
		l.Overvoltage.Act = act
		b := newBench(l, 0, protect.NewCauses(shedguard.CauseOvervoltage))
		only(t, b.at(time.Second, 300), overvoltage(protect.ActTrip, 0, time.Time{}, time.Time{}))
		since := b.now
		only(t, b.at(time.Second, 290), overvoltage(protect.ActTrip, 290, since, b.now))
		at := b.now
		only(t, b.at(time.Second, 310), overvoltage(protect.ActTrip, 310, since, at))
	}
}

// TestRuleBesideAReport: what others only report, a rule that opens opens for.
func TestRuleBesideAReport(t *testing.T) {
	t.Parallel()
	for _, act := range []protect.Act{protect.ActSuspend, protect.ActTrip} {
		l := limits()
		l.Overvoltage.Act = act
		b := newBench(l, 0, 0)
		b.in.Conditions = []protect.Condition{{Cause: shedguard.CauseOvervoltage, Severity: shedguard.SeverityMajor, Value: 1, Limit: 2, Unit: "V"}}
		if v := b.at(time.Second, 300); v.MustOpen() || len(v.Decisions()) != 1 {
			t.Errorf("%s: %+v before the delay", act, v.Decisions())
		}
		since := b.now
		only(t, b.at(time.Second, 300), overvoltage(act, 300, since, b.now))
	}
}

// TestWordOfOthersWithinTheDelay: a rule that has not decided yet neither changes
// nor keeps what others say of its cause.
func TestWordOfOthersWithinTheDelay(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.in.Conditions = []protect.Condition{{Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityMinor, Value: 1, Limit: 2, Unit: "W"}}
	want := protect.Decision{
		Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityMinor, Action: shedguard.ActionNone,
		Value: 1, Limit: 2, Unit: "W", Standing: true,
	}
	for i := range 3 {
		v := b.sample(time.Second, 11) // 2,420 W of 2,200 W
		if i == 0 {
			want.Since, want.At = b.now, b.now
		}
		only(t, v, want)
	}
	b.in.Conditions = nil
	if v := b.sample(time.Second, 11); len(v.Decisions()) != 0 {
		t.Errorf("%+v after nobody tells it", v.Decisions())
	}
	if v := b.sample(time.Second, 11); len(v.Decisions()) != 0 {
		t.Errorf("%+v before the delay", v.Decisions())
	}
	if v := b.sample(time.Second, 11); !v.Latched().Has(shedguard.CauseOverpower) {
		t.Errorf("%+v after the delay", v.Decisions())
	}
}

// TestRuleEndsBesideACondition: the decision of the others goes on as it was.
func TestRuleEndsBesideACondition(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Overpower.Act, l.Overpower.Delay = protect.ActReport, 0
	b := newBench(l, 0, 0)
	b.sample(time.Second, 20)
	since := b.now
	b.in.Conditions = []protect.Condition{{
		Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityWarning, Action: shedguard.ActionSuspended, Value: 1, Limit: 2, Unit: "W",
	}}
	want := protect.Decision{
		Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityWarning, Action: shedguard.ActionSuspended,
		Value: 1, Limit: 2, Unit: "W", Since: since, Standing: true,
	}
	v := b.sample(time.Second, 20)
	want.At = b.now
	only(t, v, want)
	only(t, b.sample(time.Second, 1), want)
	only(t, b.sample(time.Second, 1), want)
}

// TestJudged: an outlet is judged from its first usable reading on, or once the
// lack of one was found to be a fault.
func TestJudged(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	if v := b.wait(time.Second); v.Judged() {
		t.Error("judged without a reading")
	}
	if v := b.sample(time.Second, 1); !v.Judged() {
		t.Error("not judged with one")
	}
	for quality, after := range map[shedguard.Quality]time.Duration{
		shedguard.QualityFault: 2 * time.Second, shedguard.QualityStale: 3 * time.Second,
	} {
		b = newBench(limits(), 0, 0)
		b.in.Reading.Quality = quality
		if v := b.wait(after); v.Judged() || v.MustOpen() {
			t.Errorf("%v: judged at once", quality)
		}
		if v := b.wait(time.Millisecond); !v.Judged() || !v.Suspends() {
			t.Errorf("%v: not judged after %v", quality, after)
		}
	}
}

// TestLimits: what each latch of an earlier boot is held against.
func TestLimits(t *testing.T) {
	t.Parallel()
	for cause, want := range map[shedguard.Cause]struct {
		limit float64
		unit  string
	}{
		shedguard.CauseShortCircuit: {30, "A"}, shedguard.CauseOvercurrent: {10.5, "A"}, shedguard.CauseOverpower: {2200, "W"},
		shedguard.CauseOvervoltage: {264, "V"}, shedguard.CauseUndervoltage: {170, "V"}, shedguard.CauseResidualCurrent: {30, "mA"},
		shedguard.CauseOverTemperature: {65, "°C"}, shedguard.CauseTemperatureRise: {20, "°C/min"},
		shedguard.CauseMeterImplausible: {1.15, ""}, shedguard.CauseMeterStale: {3, "s"}, shedguard.CauseRelayWelded: {0.2, "A"},
		shedguard.CauseFire: {0, ""},
	} {
		b := newBench(limits(), 0, protect.NewCauses(cause))
		v := b.sample(time.Second, 0)
		if d := v.Decisions(); len(d) != 1 || d[0].Cause != cause || d[0].Limit != want.limit || d[0].Unit != want.unit {
			t.Errorf("%s: %+v, want %g %s", cause, d, want.limit, want.unit)
		}
	}
}

// TestRefusalSaysWhatStands: the value of this moment, and the limit under which
// a reset would be granted.
func TestRefusalSaysWhatStands(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		latched protect.Causes
		heat    float64
		play    func(b *bench)
		want    protect.StandsError
	}{
		"short circuit": {play: func(b *bench) {
			for _, amps := range []float64{40, 40, 60, 35} {
				b.sample(100*time.Millisecond, amps)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseShortCircuit, Value: 35, Limit: 30, Unit: "A"}},
		"overcurrent": {heat: 0.99, latched: protect.NewCauses(shedguard.CauseOvercurrent), play: func(b *bench) {
			b.sample(time.Second, 3)
		}, want: protect.StandsError{Cause: shedguard.CauseOvercurrent, Value: 0.99, Limit: 0.97, Unit: "of the trip heat"}},
		"overpower": {play: func(b *bench) {
			for range 7 {
				b.sample(time.Second, 12)
			}
			b.sample(time.Second, 11)
		}, want: protect.StandsError{Cause: shedguard.CauseOverpower, Value: 2420, Limit: 2200, Unit: "W"}},
		"overvoltage": {play: func(b *bench) {
			for _, volts := range []float64{300, 300, 255} {
				b.at(time.Second, volts)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseOvervoltage, Value: 255, Limit: 250, Unit: "V"}},
		"undervoltage": {play: func(b *bench) {
			for _, volts := range []float64{160, 150, 160, 160, 180} {
				b.at(2*time.Second, volts)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseUndervoltage, Value: 180, Limit: 187, Unit: "V"}},
		"residual current": {play: func(b *bench) {
			for _, amps := range []float64{0.25, 0.5, 0.125} {
				b.leak(100*time.Millisecond, amps)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseResidualCurrent, Value: 125, Limit: 30, Unit: "mA"}},
		"over temperature": {play: func(b *bench) {
			for _, celsius := range []float64{70, 75, 75, 75, 62} {
				b.both(time.Second, celsius)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseOverTemperature, Value: 62, Limit: 60, Unit: "°C"}},
		"temperature rise": {play: func(b *bench) {
			b.limits.TemperatureRise.Window = 30 * time.Second // 25 °C in half a minute
			for _, celsius := range []float64{20, 20, 20, 55, 55, 45, 45} {
				b.both(time.Second, celsius)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseTemperatureRise, Value: 50, Limit: 20, Unit: "°C/min"}},
		"power that does not fit": {play: func(b *bench) {
			for _, watts := range []float64{550, 550, 550, 660} {
				b.now = b.now.Add(time.Second)
				b.in.Reading, b.in.Fresh = reading(b.now, 2), true
				b.in.Reading.Watts = watts
				b.step()
			}
		}, want: protect.StandsError{Cause: shedguard.CauseMeterImplausible, Value: 1.25, Limit: 1.15}},
		"no measurement": {play: func(b *bench) {
			b.sample(time.Second, 1)
			b.in.Reading.Quality = shedguard.QualityFault
			b.wait(2500 * time.Millisecond)
			b.wait(time.Second)
		}, want: protect.StandsError{Cause: shedguard.CauseMeterImplausible, Value: 2.5, Limit: 2, Unit: "s"}},
		"a silent meter": {play: func(b *bench) {
			b.sample(time.Second, 1)
			b.wait(4 * time.Second)
			b.wait(time.Second)
		}, want: protect.StandsError{Cause: shedguard.CauseMeterStale, Value: 5, Limit: 3, Unit: "s"}},
		"a silent thermometer": {play: func(b *bench) {
			b.both(time.Second, 20)
			for range 12 {
				b.sample(time.Second, 1)
			}
		}, want: protect.StandsError{Cause: shedguard.CauseMeterStale, Value: 12, Limit: 10, Unit: "s"}},
		"not read yet": {latched: protect.NewCauses(shedguard.CauseOverpower), play: func(b *bench) {
			b.wait(0)
			b.wait(2 * time.Second)
		}, want: protect.StandsError{Cause: shedguard.CauseMeterStale, Value: 2, Limit: 3, Unit: "s"}},
		"a welded relay": {play: func(b *bench) {
			b.in.Closed = false
			for range 7 {
				b.sample(100*time.Millisecond, 0.5)
			}
			b.sample(100*time.Millisecond, 0.25)
		}, want: protect.StandsError{Cause: shedguard.CauseRelayWelded, Value: 0.25, Limit: 0.2, Unit: "A"}},
		"the word of others": {play: func(b *bench) {
			b.tell(time.Second, protect.Condition{Cause: shedguard.CauseFloatTooHigh, Action: shedguard.ActionTripped, Latch: true, Value: 80, Limit: 30, Unit: "W"})
		}, want: protect.StandsError{Cause: shedguard.CauseFloatTooHigh, Value: 80, Limit: 30, Unit: "W"}},
		"the word of others about the cause of a rule": {play: func(b *bench) {
			b.tell(time.Second, protect.Condition{Cause: shedguard.CauseOverpower, Action: shedguard.ActionTripped, Latch: true, Value: 9, Limit: 8, Unit: "kW"})
		}, want: protect.StandsError{Cause: shedguard.CauseOverpower, Value: 9, Limit: 8, Unit: "kW"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(limits(), tt.heat, tt.latched)
			tt.play(b)
			stands, ok := errors.AsType[*protect.StandsError](b.limits.Reset(&b.state, &b.in, b.now))
			if !ok {
				t.Fatal("granted")
			}
			if diff := cmp.Diff(tt.want, *stands); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if text := stands.Error(); !strings.HasPrefix(text, string(tt.want.Cause)+" stands") || strings.Contains(text, ":") != (tt.want.Unit != "") {
				t.Errorf("%q", text)
			}
		})
	}
}

// TestOneSampleIsNoLeak: two of them are wanted, even without a delay.
func TestOneSampleIsNoLeak(t *testing.T) {
	t.Parallel()
	l := limits()
	l.ResidualCurrent.Delay = 0
	b := newBench(l, 0, 0)
	for _, amps := range []float64{0.5, 0, 0.5} {
		if v := b.leak(100*time.Millisecond, amps); len(v.Decisions()) != 0 {
			t.Fatalf("%g A: %v", amps, causes(v))
		}
	}
	if v := b.leak(100*time.Millisecond, 0.5); !v.Latched().Has(shedguard.CauseResidualCurrent) {
		t.Errorf("the second in a row: %v", causes(v))
	}
}

// TestSignsOfAMeter: whichever way round its two inputs are, the power fits.
func TestSignsOfAMeter(t *testing.T) {
	t.Parallel()
	for _, sign := range [][3]float64{{1, 1, 1}, {-1, 1, -1}, {1, -1, -1}, {-1, -1, 1}, {-1, 1, 1}} {
		b := newBench(limits(), 0, 0)
		for range 6 {
			b.now = b.now.Add(time.Second)
			b.in.Reading, b.in.Fresh = reading(b.now, 2), true
			b.in.Reading.Volts, b.in.Reading.Amps, b.in.Reading.Watts = 220*sign[0], 2*sign[1], 440*sign[2]
			if v := b.step(); len(v.Decisions()) != 0 {
				t.Fatalf("%v: %v", sign, causes(v))
			}
		}
	}
}
