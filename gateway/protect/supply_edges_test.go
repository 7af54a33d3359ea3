package protect_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// give lets d pass and then gives a reading of three quantities.
func (b *bench) give(d time.Duration, volts, amps, watts float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Reading, b.in.Fresh = reading(b.now, amps), true
	b.in.Reading.Volts, b.in.Reading.Watts = volts, watts
	return b.step()
}

// quiet wants no decision.
func quiet(t *testing.T, what string, v protect.Verdict) {
	t.Helper()
	if len(v.Decisions()) != 0 {
		t.Fatalf("%s: %+v", what, v.Decisions())
	}
}

// holds wants decisions for these causes and no other.
func holds(t *testing.T, what string, v protect.Verdict, causes ...shedguard.Cause) {
	t.Helper()
	if v.Held() != protect.NewCauses(causes...) {
		t.Fatalf("%s: %v, want %v", what, v.Held(), causes)
	}
}

// TestNoDelayIsNotNoLimit: a rule without a delay decides on its first sample,
// and on none that is within the limit.
func TestNoDelayIsNotNoLimit(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Overpower.Delay, l.OverTemperature.Delay, l.Overvoltage.Delay = 0, 0, 0
	b := newBench(l, 0, 0)
	for range 3 {
		quiet(t, "within the limits", b.both(time.Second, 30))
	}
	holds(t, "too much power", b.sample(time.Second, 11), shedguard.CauseOverpower)
	b = newBench(l, 0, 0)
	holds(t, "too warm", b.both(time.Second, 66), shedguard.CauseOverTemperature)
	b = newBench(l, 0, 0)
	holds(t, "too many volts", b.at(time.Second, 265), shedguard.CauseOvervoltage)
}

func TestVoltageOfAMeterTheOtherWayRound(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.give(time.Second, -300, 1, 300)
	v := b.give(time.Second, -300, 1, 300)
	if d, ok := v.Why(); !ok || d.Cause != shedguard.CauseOvervoltage || d.Value != 300 {
		t.Errorf("%+v", v.Decisions())
	}
}

// TestSupplyBehindAnOpenRelay: 50 V say something of the supply, less does not,
// and what was low before it begins anew after it.
func TestSupplyBehindAnOpenRelay(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.in.Closed = false
	for _, volts := range []float64{60, 60, 49, 60, 60, 60} {
		quiet(t, "less than 5 s", b.give(2*time.Second, volts, 0, 0))
	}
	holds(t, "6 s", b.give(2*time.Second, 50, 0, 0), shedguard.CauseUndervoltage)
	b = newBench(limits(), 0, 0)
	b.in.Closed = false
	for range 5 {
		quiet(t, "dead", b.give(2*time.Second, 49.9, 0, 0))
	}
	for range 3 {
		quiet(t, "50 V", b.give(2*time.Second, 50, 0, 0))
	}
	holds(t, "50 V for 6 s", b.give(2*time.Second, 50, 0, 0), shedguard.CauseUndervoltage)
}

func TestRulesThatAreOff(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Undervoltage.Enabled, l.ResidualCurrent.Enabled, l.TemperatureRise.Enabled, l.MeterImplausible.Enabled = false, false, false, false
	b := newBench(l, 0, 0)
	for i := range 10 {
		b.in.Reading.ResidualAmps, b.in.Reading.HasResidual = 1, true
		b.in.Celsius, b.in.CelsiusAt = 20+4*float64(i), b.now.Add(time.Second)
		b.now = b.now.Add(time.Second)
		r := reading(b.now, 1)
		r.Volts, r.Watts, r.ResidualAmps, r.HasResidual = 100, 0, 1, true
		b.in.Reading, b.in.Fresh = r, true
		quiet(t, "off", b.step())
	}
	b.in.Reading.Quality = shedguard.QualityFault
	quiet(t, "nonsense, and its rule is off", b.wait(2500*time.Millisecond))
	holds(t, "silence", b.wait(time.Second), shedguard.CauseMeterStale)
}

func TestResidualCurrentToTheSample(t *testing.T) {
	t.Parallel()
	l := limits()
	l.ResidualCurrent.Delay = time.Second
	b := newBench(l, 0, 0)
	for range 5 {
		quiet(t, "within the delay", b.leak(200*time.Millisecond, 0.25))
	}
	v := b.leak(200*time.Millisecond, 0.25)
	d, ok := v.Why()
	if !ok || d.Value != 250 || !d.Since.Equal(b.now.Add(-time.Second)) {
		t.Fatalf("%+v", v.Decisions())
	}
	v = b.leak(200*time.Millisecond, 0.5)
	if d, _ = v.Why(); d.Value != 500 {
		t.Errorf("%+v, want the worst", d)
	}
}

func TestPowerAtItsLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		floor, watts float64
		odd          bool
		limit        float64
		detail       shedguard.Detail
	}{
		"at the floor of current":    {2, 0, true, 0.2, shedguard.DetailPowerMissing},
		"too much at the floor":      {2, 550, true, 1.15, shedguard.DetailPowerExcess},
		"under the floor":            {2.1, 550, false, 0, ""},
		"the least factor itself":    {0.5, 88, false, 0, ""},
		"a little above it":          {0.5, 132, false, 0, ""},
		"between the two tolerances": {0.5, 519.2, true, 1.15, shedguard.DetailPowerExcess},
	}
	for name, tt := range tests {
		l := limits()
		l.MeterImplausible.FloorAmps = tt.floor
		b := newBench(l, 0, 0)
		var v protect.Verdict
		for range 4 {
			v = b.give(time.Second, 220, 2, tt.watts)
		}
		d, ok := v.Why()
		if ok != tt.odd || ok && (d.Cause != shedguard.CauseMeterImplausible || d.Limit != tt.limit || d.Detail != tt.detail) {
			t.Errorf("%s: %+v", name, v.Decisions())
		}
	}
}

// TestOddPowerOverAGap: it stands until a reading fits, however long the meter
// is silent between two that do not.
func TestOddPowerOverAGap(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	for range 3 {
		b.give(time.Second, 220, 2, 550)
	}
	v := b.give(3500*time.Millisecond, 220, 2, 550)
	holds(t, "after a gap", v, shedguard.CauseMeterImplausible)
	quiet(t, "it fits", b.give(time.Second, 220, 2, 440))
}

// TestImplausibleBesideASilentThermometer: one does not hide the other.
func TestImplausibleBesideASilentThermometer(t *testing.T) {
	t.Parallel()
	both := []shedguard.Cause{shedguard.CauseMeterImplausible, shedguard.CauseMeterStale}
	silent := func() *bench {
		b := newBench(limits(), 0, 0)
		b.in.ThermometerPolling = b.now
		for range 11 {
			b.sample(time.Second, 1)
		}
		return b
	}
	b := silent()
	var v protect.Verdict
	for range 3 {
		v = b.give(time.Second, 220, 2, 550)
	}
	holds(t, "power that does not fit", v, both...)
	b = silent()
	b.in.Reading.Quality = shedguard.QualityFault
	v = b.wait(2500 * time.Millisecond)
	if !v.Held().Has(shedguard.CauseMeterImplausible) {
		t.Errorf("no measurement: %v", v.Held())
	}
}

// TestNonsenseAndSilence: whichever comes first and however large the steps are,
// an outlet that is open for the one needs not be open for the other, and when
// nonsense becomes silence, that is told.
func TestNonsenseAndSilence(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.sample(time.Second, 1)
	b.in.Reading.Quality = shedguard.QualityFault
	holds(t, "one large step", b.wait(4*time.Second), shedguard.CauseMeterImplausible)

	b = newBench(limits(), 0, 0)
	for range 3 {
		b.give(time.Second, 220, 2, 550)
	}
	b.in.Reading.Quality = shedguard.QualityFault
	for range 5 {
		holds(t, "odd power, then nonsense", b.wait(time.Second), shedguard.CauseMeterImplausible)
	}
	quiet(t, "it fits", b.sample(time.Second, 1))

	l := limits()
	l.MeterImplausible.Act = protect.ActTrip
	b = newBench(l, 0, 0)
	b.sample(time.Second, 1)
	b.in.Reading.Quality = shedguard.QualityFault
	holds(t, "nonsense", b.wait(2500*time.Millisecond), shedguard.CauseMeterImplausible)
	b.in.Reading.Quality = shedguard.QualityStale
	for range 2 {
		holds(t, "latched, and now silent", b.wait(time.Second), shedguard.CauseMeterImplausible, shedguard.CauseMeterStale)
	}
}

// TestRiseToTheSlot: the lowest of the window counts for the whole of it and not
// longer; the decision names the rate, and the window as its beginning.
func TestRiseToTheSlot(t *testing.T) {
	t.Parallel()
	for _, window := range []time.Duration{30 * time.Second, time.Minute} {
		l := riseOnly()
		l.TemperatureRise.Window, l.TemperatureRise.Act = window, protect.ActSuspend
		b := newBench(l, 0, 0)
		for range 2 {
			quiet(t, "unknown yet", b.warm(time.Second, 20))
		}
		quiet(t, "20 °C", b.warm(time.Second, 20))
		begun := b.now
		quiet(t, "one sample", b.warm(time.Second, 45))
		v := b.warm(time.Second, 45)
		d, ok := v.Why()
		if !ok || d.Value != 25/window.Minutes() || !d.Since.Equal(b.now.Add(-window)) || d.Action != shedguard.ActionSuspended {
			t.Fatalf("%v: %+v", window, v.Decisions())
		}
		for range 90 {
			v = b.warm(time.Second, 45)
			if within := b.now.Sub(begun) < window; v.Suspends() != within {
				t.Fatalf("%v: %v after the lowest: %+v", window, b.now.Sub(begun), v.Decisions())
			}
		}
	}
}

// TestRiseThatCannotBeJudged: after a silence of the thermometer nothing is known
// until there are three samples; what stood stands until then.
func TestRiseThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	l := riseOnly()
	l.TemperatureRise.Act = protect.ActSuspend
	b := newBench(l, 0, 0)
	var v protect.Verdict
	for _, celsius := range []float64{20, 20, 20, 45, 45} {
		v = b.warm(time.Second, celsius)
	}
	holds(t, "rising", v, shedguard.CauseTemperatureRise)
	v = b.warm(11*time.Second, 45)
	if !v.Held().Has(shedguard.CauseTemperatureRise) {
		t.Errorf("one sample after a silence: %v", v.Held())
	}
	holds(t, "two", b.warm(time.Second, 45), shedguard.CauseTemperatureRise)
	quiet(t, "three", b.warm(time.Second, 45))
}

// TestRiseOverALongStep: samples further apart than the window leave nothing of
// the one before in it.
func TestRiseOverALongStep(t *testing.T) {
	t.Parallel()
	l := riseOnly()
	l.TemperatureRise.Window, l.TemperatureRise.LimitPerMinute, l.OverTemperature.Stale = 10*time.Second, 50, time.Minute
	l.MeterStale.Limit = time.Minute
	b := newBench(l, 0, 0)
	for range 3 {
		quiet(t, "20 °C", b.warm(time.Second, 20))
	}
	quiet(t, "one of 30 °C", b.warm(30*time.Second, 30))
	quiet(t, "the second", b.warm(11*time.Second, 30))
	quiet(t, "the third", b.warm(time.Second, 30))
}
