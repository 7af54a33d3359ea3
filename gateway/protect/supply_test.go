package protect_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// at lets d pass and then gives a reading of 1 A at the given voltage.
func (b *bench) at(d time.Duration, volts float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Reading, b.in.Fresh = reading(b.now, 1), true
	b.in.Reading.Volts, b.in.Reading.Watts = volts, volts
	return b.step()
}

func TestVoltage(t *testing.T) {
	type sample struct {
		after time.Duration
		volts float64
		want  string // causes
	}
	const ms, s = time.Millisecond, time.Second
	// 264 V for 1 s, over at 250 V; 170 V for 5 s, over at 187 V.
	tests := map[string][]sample{
		"normal band":                     {{s, 198, ""}, {9 * s, 235.4, ""}, {9 * s, 250, ""}, {9 * s, 187, ""}},
		"at the limit is not above it":    {{s, 264, ""}, {2 * s, 264, ""}, {2 * s, 170, ""}, {2 * s, 170, ""}, {2 * s, 170, ""}, {2 * s, 170, ""}},
		"surge of less than the delay":    {{s, 280, ""}, {900 * ms, 280, ""}, {100 * ms, 240, ""}, {900 * ms, 280, ""}},
		"one sample decides nothing":      {{s, 400, ""}, {s, 220, ""}},
		"overvoltage, and over":           {{s, 380, ""}, {s, 380, "overvoltage"}, {s, 260, "overvoltage"}, {s, 250, ""}},
		"sag that is ridden through":      {{s, 120, ""}, {2 * s, 120, ""}, {2 * s, 120, ""}, {900 * ms, 120, ""}, {100 * ms, 220, ""}},
		"sags do not add up":              {{s, 120, ""}, {2 * s, 120, ""}, {2 * s, 171, ""}, {2 * s, 120, ""}, {2 * s, 120, ""}},
		"undervoltage, and over":          {{s, 160, ""}, {2 * s, 160, ""}, {3 * s, 160, "undervoltage"}, {s, 180, "undervoltage"}, {s, 187, ""}},
		"a silence begins it anew":        {{s, 160, ""}, {3001 * ms, 160, ""}, {3 * s, 160, ""}, {2 * s, 160, "undervoltage"}},
		"from one fault into the other":   {{s, 380, ""}, {s, 380, "overvoltage"}, {s, 100, ""}, {3 * s, 100, ""}, {2 * s, 100, "undervoltage"}},
		"no volts at all on a fed outlet": {{s, 0, ""}, {2 * s, 0, ""}, {3 * s, 0, "undervoltage"}},
	}
	for name, samples := range tests {
		t.Run(name, func(t *testing.T) {
			l := limits()
			l.MeterImplausible.Enabled = false // 1 A without volts is its own fault
			b := newBench(l, 0, 0)
			for i, sample := range samples {
				v := b.at(sample.after, sample.volts)
				if got := strings.Trim(v.Held().String(), "[]"); got != sample.want {
					t.Fatalf("sample %d, %g V: %q, want %q", i, sample.volts, got, sample.want)
				}
				if v.MustOpen() != (sample.want != "") || v.MustOpen() != v.Suspends() {
					t.Fatalf("sample %d: open %t, suspends %t", i, v.MustOpen(), v.Suspends())
				}
			}
		})
	}
}

func TestVoltageSaysTheWorst(t *testing.T) {
	b := newBench(limits(), 0, 0)
	for _, volts := range []float64{300, 320, 310} {
		v := b.at(time.Second, volts)
		if volts == 310 {
			d := v.Decisions()[0]
			if d.Value != 320 || d.Limit != 264 || d.Unit != "V" || d.Action != shedguard.ActionSuspended || d.Latched {
				t.Errorf("%+v", d)
			}
		}
	}
	b = newBench(limits(), 0, 0)
	for range 4 {
		b.at(2*time.Second, 160)
	}
	b.at(2*time.Second, 140)
	v := b.at(2*time.Second, 165)
	if d := v.Decisions()[0]; d.Value != 140 || d.Limit != 170 {
		t.Errorf("%+v", d)
	}
}

// TestVoltageOfAnOpenOutlet: a meter behind the relay shows nothing while the
// outlet is open, which is no undervoltage. One on the supply's side goes on.
func TestVoltageOfAnOpenOutlet(t *testing.T) {
	b := newBench(limits(), 0, 0)
	b.in.Closed = false
	for range 20 {
		b.now = b.now.Add(time.Second)
		b.in.Reading, b.in.Fresh = reading(b.now, 0), true
		b.in.Reading.Volts = 2
		if v := b.step(); len(v.Decisions()) != 0 {
			t.Fatalf("%v", causes(v))
		}
	}
	var v protect.Verdict
	for range 7 {
		v = b.at(time.Second, 150)
	}
	if !v.Held().Has(shedguard.CauseUndervoltage) {
		t.Errorf("150 V before an open relay: %v", causes(v))
	}
}

// leak lets d pass and then gives a reading of 1 A of which amps do not come
// back.
func (b *bench) leak(d time.Duration, amps float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Reading, b.in.Fresh = reading(b.now, 1), true
	b.in.Reading.ResidualAmps, b.in.Reading.HasResidual = amps, true
	return b.step()
}

func TestResidualCurrent(t *testing.T) {
	b := newBench(limits(), 0, 0)
	for _, amps := range []float64{0, 0.004, 0.03, 0.5, 0.03, 0.031} { // one sample at a time above 30 mA
		if v := b.leak(100*time.Millisecond, amps); v.MustOpen() {
			t.Fatalf("%g A: %v", amps, causes(v))
		}
	}
	v := b.leak(100*time.Millisecond, -0.04)
	d, ok := v.Why()
	if !ok || d.Cause != shedguard.CauseResidualCurrent || d.Value != 40 || d.Limit != 30 || d.Unit != "mA" || !d.Latched || d.Action != shedguard.ActionTripped {
		t.Fatalf("%+v", v.Decisions())
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err == nil || !strings.Contains(err.Error(), "residual_current stands: 40 mA, limit 30 mA") {
		t.Errorf("%v", err)
	}
	b.leak(time.Second, 0.001)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Error(err)
	}
	b = newBench(limits(), 0, 0)
	for range 10 {
		b.now = b.now.Add(time.Second)
		b.in.Reading, b.in.Fresh = reading(b.now, 1), true
		b.in.Reading.ResidualAmps = 7 // of a meter that does not measure it
		if v := b.step(); v.MustOpen() {
			t.Fatal(causes(v))
		}
	}
}

func TestImplausiblePower(t *testing.T) {
	tests := map[string]struct {
		volts, amps, watts float64
		odd                bool
		value, limit       float64
	}{
		"resistive":                       {220, 2, 440, false, 0, 0},
		"a charger's power factor":        {220, 2, 242, false, 0, 0},
		"wired backwards":                 {220, 2, -242, false, 0, 0},
		"within the tolerance":            {220, 2, 506, false, 0, 0},
		"more active than apparent":       {220, 2, 550, true, 1.25, 1.15},
		"no power at all":                 {220, 2, 0, true, 0, 0.2},
		"next to none":                    {220, 2, 87, true, 87.0 / 440, 0.2},
		"power without volts":             {0, 2, 440, true, 100, 1.15},
		"nothing but amps":                {0, 2, 0, true, 0, 1.15},
		"too little current to be judged": {220, 0.49, 0, false, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := limits()
			l.Undervoltage.Enabled = false
			b := newBench(l, 0, 0)
			give := func(d time.Duration, watts float64) protect.Verdict {
				b.now = b.now.Add(d)
				b.in.Reading, b.in.Fresh = reading(b.now, tt.amps), true
				b.in.Reading.Volts, b.in.Reading.Watts = tt.volts, watts
				return b.step()
			}
			give(time.Second, tt.watts)
			if v := give(1900*time.Millisecond, tt.watts); v.MustOpen() {
				t.Fatalf("before the delay: %v", causes(v))
			}
			v := give(100*time.Millisecond, tt.watts)
			if v.Held().Has(shedguard.CauseMeterImplausible) != tt.odd || v.Suspends() != tt.odd {
				t.Fatalf("%v", causes(v))
			}
			if !tt.odd {
				return
			}
			detail := shedguard.DetailPowerExcess
			if tt.limit < 1 {
				detail = shedguard.DetailPowerMissing
			}
			if d := v.Decisions()[0]; math.Abs(d.Value-tt.value) > 1e-9 || d.Limit != tt.limit || d.Unit != "" || d.Detail != detail {
				t.Errorf("%+v", d)
			}
			if v = b.sample(time.Second, 1); v.MustOpen() {
				t.Errorf("still open for %v", causes(v))
			}
		})
	}
}

// TestNonsenseIsNotSilence: a meter that answers what is no measurement is told
// as such, opens the outlet sooner than one that is silent, and is over with
// the first reading.
func TestNonsenseIsNotSilence(t *testing.T) {
	b := newBench(limits(), 0, 0)
	b.sample(time.Second, 2)
	b.in.Reading.Quality = shedguard.QualityFault // of the last good one, as poll tells it
	if v := b.wait(2 * time.Second); len(v.Decisions()) != 0 {
		t.Fatalf("%v", causes(v))
	}
	v := b.wait(time.Millisecond)
	d, ok := v.Why()
	if !ok || d.Cause != shedguard.CauseMeterImplausible || !v.Suspends() || d.Unit != "s" || d.Limit != 2 || d.Value != 2.001 || d.Detail != shedguard.DetailNoMeasurement || !d.Since.Equal(b.now.Add(-2001*time.Millisecond)) {
		t.Fatalf("%+v", v.Decisions())
	}
	if v = b.wait(time.Minute); v.Held() != protect.NewCauses(shedguard.CauseMeterImplausible) {
		t.Errorf("told twice: %v", causes(v))
	}
	b.in.Reading.Quality = shedguard.QualityStale
	if v = b.wait(time.Second); v.Held() != protect.NewCauses(shedguard.CauseMeterStale) {
		t.Errorf("now it is silent: %v", causes(v))
	}
	if v = b.sample(time.Second, 2); len(v.Decisions()) != 0 {
		t.Errorf("a good reading: %v", causes(v))
	}
}

// TestNonsenseThatIsOnlyReportedIsStale: what cannot be judged is not fed, even
// if the rule that names the reason only reports.
func TestNonsenseThatIsOnlyReportedIsStale(t *testing.T) {
	l := limits()
	l.MeterImplausible.Act = protect.ActReport
	b := newBench(l, 0, 0)
	b.sample(time.Second, 2)
	b.in.Reading.Quality = shedguard.QualityFault
	v := b.wait(3001 * time.Millisecond)
	if v.Held() != protect.NewCauses(shedguard.CauseMeterImplausible, shedguard.CauseMeterStale) || v.Opening() != protect.NewCauses(shedguard.CauseMeterStale) {
		t.Errorf("held %v, opening %v", v.Held(), v.Opening())
	}
}
