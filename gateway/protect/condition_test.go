package protect_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// tell lets d pass and gives a good reading without current beside conditions.
func (b *bench) tell(d time.Duration, cs ...protect.Condition) protect.Verdict {
	b.in.Conditions = cs
	return b.sample(d, 0)
}

func TestConditionThatOnlyReports(t *testing.T) {
	for _, action := range []shedguard.Action{"", shedguard.ActionNone, shedguard.ActionRefusedStart} {
		b := newBench(limits(), 0, 0)
		since := b.now.Add(-time.Minute)
		c := protect.Condition{
			Cause: shedguard.CauseFloatTooHigh, Severity: shedguard.SeverityWarning, Action: action,
			Value: 80, Limit: 30, Unit: "W", Since: since, Latch: true,
		}
		v := b.tell(time.Second, c)
		if v.MustOpen() || v.Suspends() || len(v.Decisions()) != 1 || b.state.Latched() != 0 {
			t.Fatalf("%q: %+v", action, v.Decisions())
		}
		want := protect.Decision{
			Cause: shedguard.CauseFloatTooHigh, Severity: shedguard.SeverityWarning, Action: action,
			Value: 80, Limit: 30, Unit: "W", Since: since, At: b.now, Standing: true,
		}
		if action == "" {
			want.Action = shedguard.ActionNone
		}
		if diff := cmp.Diff(want, v.Decisions()[0]); diff != "" {
			t.Error(diff)
		}
		if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
			t.Errorf("%q: a report stood in the way of a reset: %v", action, err)
		}
		if v = b.tell(time.Second); len(v.Decisions()) != 0 {
			t.Errorf("%q: %v stays after it passed", action, causes(v))
		}
	}
}

func TestConditionThatSuspends(t *testing.T) {
	b := newBench(limits(), 0, 0)
	c := protect.Condition{Cause: shedguard.CauseShedOverload, Severity: shedguard.SeverityMajor, Action: shedguard.ActionSuspended, Value: 9000, Limit: 8700, Unit: "W"}
	v := b.tell(time.Second, c)
	at := b.now
	if !v.MustOpen() || !v.Suspends() || !v.Opening().Has(shedguard.CauseShedOverload) || v.Latched() != 0 {
		t.Fatalf("%+v", v.Decisions())
	}
	c.Value, c.Severity = 9500, shedguard.SeverityCritical
	v = b.tell(time.Second, c)
	if d := v.Decisions()[0]; d.Value != 9500 || d.Severity != shedguard.SeverityCritical || !d.At.Equal(at) || !d.Since.Equal(at) {
		t.Errorf("not what stands now: %+v", d)
	}
	c.Action = shedguard.ActionRefusedStart
	if v = b.tell(time.Second, c); v.MustOpen() || v.Decisions()[0].Action != shedguard.ActionRefusedStart {
		t.Errorf("weakened, and still %+v", v.Decisions())
	}
	if v = b.tell(time.Second); len(v.Decisions()) != 0 {
		t.Errorf("%v", causes(v))
	}
}

func TestConditionThatLatches(t *testing.T) {
	b := newBench(limits(), 0, 0)
	c := protect.Condition{Cause: shedguard.CauseSmokeContact, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutZone, Latch: true}
	b.tell(time.Second, c)
	v := b.tell(time.Second)
	if !v.MustOpen() || v.Suspends() || v.Standing() != 0 || b.state.Latched() != protect.NewCauses(shedguard.CauseSmokeContact) {
		t.Fatalf("%+v", v.Decisions())
	}
	if d, ok := v.Why(); !ok || d.Action != shedguard.ActionCutZone || d.Standing {
		t.Errorf("%+v", d)
	}
	c.Action, c.Latch = shedguard.ActionNone, false // told again, weaker
	if v = b.tell(time.Second, c); !v.MustOpen() || v.Decisions()[0].Action != shedguard.ActionCutZone {
		t.Errorf("a latch became %+v", v.Decisions())
	}
	var stands *protect.StandsError
	if err := b.limits.Reset(&b.state, &b.in, b.now); !errors.As(err, &stands) || stands.Cause != shedguard.CauseSmokeContact {
		t.Errorf("reset while it stands: %v", err)
	}
	b.tell(time.Second)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Errorf("reset: %v", err)
	}
	if v = b.tell(time.Second); v.MustOpen() || len(v.Decisions()) != 0 {
		t.Errorf("after the reset: %+v", v.Decisions())
	}
}

func TestStrongerConditionCounts(t *testing.T) {
	soft := protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityWarning, Value: 1}
	hard := protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutShed, Latch: true, Value: 2}
	for _, list := range [][]protect.Condition{{soft, hard}, {hard, soft}} {
		b := newBench(limits(), 0, 0)
		v := b.tell(time.Second, list...)
		if len(v.Decisions()) != 1 {
			t.Fatalf("%v", causes(v))
		}
		if d := v.Decisions()[0]; d.Action != shedguard.ActionCutShed || d.Value != 2 || !d.Latched {
			t.Errorf("%+v", d)
		}
	}
}

// TestConditionBesideARule: the rule and another party name one cause; neither
// ends what the other one says.
func TestConditionBesideARule(t *testing.T) {
	l := limits()
	l.Overpower.Act, l.Overpower.Delay = protect.ActReport, 0
	b := newBench(l, 0, 0)
	if v := b.sample(time.Second, 20); !v.Held().Has(shedguard.CauseOverpower) || v.MustOpen() {
		t.Fatalf("%+v", v.Decisions())
	}
	b.in.Conditions = []protect.Condition{{Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityMajor, Action: shedguard.ActionSuspended, Value: 1, Limit: 1, Unit: "W"}}
	if v := b.sample(time.Second, 20); !v.Suspends() {
		t.Errorf("%+v", v.Decisions())
	}
	if v := b.sample(time.Second, 1); !v.Suspends() {
		t.Errorf("the rule ended the condition: %+v", v.Decisions())
	}
	b.in.Conditions = nil
	if v := b.sample(time.Second, 1); len(v.Decisions()) != 0 {
		t.Errorf("%+v", v.Decisions())
	}
}

func TestConditionThatCouldNotBeSent(t *testing.T) {
	b := newBench(limits(), 0, 0)
	v := b.tell(time.Second, protect.Condition{
		Cause: shedguard.CausePowerUnstable, Value: math.NaN(), Limit: math.Inf(1), Since: b.now.Add(time.Hour),
	}, protect.Condition{Cause: shedguard.CauseGatewayOffline, Action: shedguard.ActionTripped, Latch: true})
	if len(v.Decisions()) != 1 {
		t.Fatalf("%v", causes(v))
	}
	d := v.Decisions()[0]
	if d.Value != 0 || d.Limit != 0 || d.Severity != shedguard.SeverityMajor || d.Since.After(b.now) {
		t.Errorf("%+v", d)
	}
}

func TestRestoredLatchOfACondition(t *testing.T) {
	b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseFire, shedguard.CauseChargeTooLong))
	v := b.tell(time.Second)
	if !v.MustOpen() || v.Suspends() || len(v.Decisions()) != 2 || !v.Decisions()[0].At.IsZero() {
		t.Fatalf("%+v", v.Decisions())
	}
	v = b.tell(time.Second, protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionNone})
	if d, _ := v.Why(); !d.Latched || !d.At.Equal(b.now) || d.Action != shedguard.ActionTripped {
		t.Errorf("%+v", d)
	}
	b.tell(time.Second)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Error(err)
	}
}

// TestShadow: a rule that only reports decides at the same sample as one that
// trips, opens nothing, and ends with its condition.
func TestShadow(t *testing.T) {
	acting, shadow := limits(), limits()
	shadow.ShortCircuit.Act, shadow.Overcurrent.Act, shadow.Overpower.Act = protect.ActReport, protect.ActReport, protect.ActReport
	shadow.OverTemperature.Act, shadow.RelayWelded.Act, shadow.Overvoltage.Act = protect.ActReport, protect.ActReport, protect.ActReport
	shadow.Undervoltage.Act, shadow.ResidualCurrent.Act = protect.ActReport, protect.ActReport
	shadow.TemperatureRise.Act, shadow.MeterImplausible.Act = protect.ActReport, protect.ActReport
	rapid.Check(t, func(t *rapid.T) {
		a, s := newBench(acting, 0, 0), newBench(shadow, 0, 0)
		var seen protect.Causes
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			step := drawStep(t)
			va, vs := a.do(step), s.do(step)
			if vs.Opening()&^protect.NewCauses(shedguard.CauseMeterStale) != 0 || vs.Latched() != 0 {
				t.Fatalf("a shadow acts: %+v", vs.Decisions())
			}
			// What trips now is reported now, until the first reset of the kind.
			if fresh := va.Held() &^ seen; fresh&^vs.Held() != 0 {
				t.Fatalf("tripped %v, reported %v", fresh, vs.Held())
			}
			if vs.Held() != vs.Standing() {
				t.Fatalf("%v stays after it has passed", vs.Held()&^vs.Standing())
			}
			seen |= va.Held()
		}
	})
}
