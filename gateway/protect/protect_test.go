package protect_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// limits are those of a 10 A outlet, every rule on.
func limits() *protect.Limits {
	return &protect.Limits{
		RatingAmps:      10,
		ShortCircuit:    protect.ShortCircuit{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, TimesRating: 3, Span: 100 * time.Millisecond},
		Overcurrent:     protect.Overcurrent{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, PickUp: 1.05, Heating: 2 * time.Minute, Cooling: 6 * time.Minute, ResetHeat: 0.97},
		Overpower:       protect.Overpower{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, LimitWatts: 2200, Delay: 5 * time.Second},
		OverTemperature: protect.OverTemperature{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitCelsius: 65, ResetCelsius: 60, Delay: 2 * time.Second, Stale: 10 * time.Second},
		Overvoltage:     protect.Overvoltage{Rule: rule(shedguard.SeverityMajor, protect.ActSuspend), LimitVolts: 264, ResetVolts: 250, Delay: time.Second},
		Undervoltage:    protect.Undervoltage{Rule: rule(shedguard.SeverityMinor, protect.ActSuspend), LimitVolts: 170, ResetVolts: 187, Delay: 5 * time.Second},
		ResidualCurrent: protect.ResidualCurrent{Rule: rule(shedguard.SeverityCritical, protect.ActTrip), LimitAmps: 0.03, Delay: 100 * time.Millisecond},
		TemperatureRise: protect.TemperatureRise{Rule: rule(shedguard.SeverityCritical, protect.ActTrip), LimitPerMinute: 20, Window: time.Minute},
		MeterImplausible: protect.MeterImplausible{
			Rule: rule(shedguard.SeverityMajor, protect.ActSuspend), Tolerance: 0.15, LeastFactor: 0.2, FloorAmps: 0.5, Delay: 2 * time.Second,
		},
		MeterStale:  protect.MeterStale{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActSuspend}, Limit: 3 * time.Second},
		RelayWelded: protect.RelayWelded{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitAmps: 0.2, Delay: 500 * time.Millisecond},
	}
}

func rule(severity shedguard.Severity, act protect.Act) protect.Rule {
	return protect.Rule{Enabled: true, Severity: severity, Act: act}
}

// overcurrentOnly are limits with the thermal image alone and the stale rule.
func overcurrentOnly() *protect.Limits {
	l := limits()
	*l = protect.Limits{RatingAmps: l.RatingAmps, Overcurrent: l.Overcurrent, MeterStale: l.MeterStale, RelayWelded: l.RelayWelded}
	return l
}

func start() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }

// reading is a sample of a resistive load.
func reading(at time.Time, amps float64) shedguard.Reading {
	return shedguard.Reading{Outlet: 3, At: at, Volts: 220, Amps: amps, Watts: 220 * amps, PowerFactor: 1, Hertz: 50}
}

// bench is one outlet under test.
type bench struct {
	limits *protect.Limits
	state  protect.State
	in     protect.Input
	now    time.Time
}

func newBench(l *protect.Limits, heat float64, latched protect.Causes) *bench {
	now := start()
	return &bench{
		limits: l, state: protect.NewState(heat, latched), now: now,
		in: protect.Input{Polling: now, Closed: true, SwitchedAt: now.Add(-time.Hour)},
	}
}

// sample lets d pass and then gives one reading.
func (b *bench) sample(d time.Duration, amps float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Reading, b.in.Fresh = reading(b.now, amps), true
	return b.step()
}

// wait lets d pass without a reading.
func (b *bench) wait(d time.Duration) protect.Verdict {
	b.now = b.now.Add(d)
	return b.step()
}

func (b *bench) step() protect.Verdict {
	v := b.limits.Next(&b.state, &b.in, b.now)
	b.in.Fresh = false
	return v
}

func causes(v protect.Verdict) []shedguard.Cause {
	var cs []shedguard.Cause
	for _, d := range v.Decisions() {
		cs = append(cs, d.Cause)
	}
	return cs
}

// TestTimeToTrip holds the image against t = τ·ln((i²-p²)/(i²-1)), worked out
// by hand for τ = 120 s, i = I/(1.05·Ir), p² = heat before: 0 cold, and
// (1/1.05)² = 0.90703 after the rated current. By way of example, 2 × rating:
// i² = (2/1.05)² = 3.62812; cold ln(3.62812/2.62812) = 0.322446, times 120 s is
// 38.69 s; warm ln(2.72109/2.62812) = 0.034764, times 120 s is 4.17 s. At 1.05
// the image comes to 1 and never beyond: TestCarriesForEver. Just above it, at
// 1.06, i² = 1.01914: ln(1.01914/0.01914) = 3.975020, 477.0 s; warm
// ln(0.11211/0.01914) = 1.767674, 212.1 s. A breaker of IEC 60898-1 may carry
// 1.45 × for an hour; the image does for a minute and a half.
func TestTimeToTrip(t *testing.T) {
	const warm = 0.907029478458 // (1/1.05)²
	tests := map[string]struct {
		times, heat, seconds float64
	}{
		"1.06 cold": {1.06, 0, 477.0024},
		"1.06 warm": {1.06, warm, 212.1208},
		"1.2 cold":  {1.2, 0, 174.0999},
		"1.2 warm":  {1.2, warm, 31.8251},
		"1.45 cold": {1.45, 0, 89.1753},
		"1.45 warm": {1.45, warm, 11.7096},
		"2 cold":    {2, 0, 38.6935},
		"2 warm":    {2, warm, 4.1717},
		"3 cold":    {3, 0, 15.6814},
		"3 warm":    {3, warm, 1.5474},
		"5 cold":    {5, 0, 5.4122},
		"5 warm":    {5, warm, 0.5136},
	}
	for name, tt := range tests {
		for _, every := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second} {
			t.Run(name+" every "+every.String(), func(t *testing.T) {
				b := newBench(overcurrentOnly(), tt.heat, 0)
				v := b.sample(0, 10*tt.times)
				for !v.MustOpen() {
					if b.now.Sub(start()) > 10*time.Minute {
						t.Fatal("no trip")
					}
					v = b.sample(every, 10*tt.times)
				}
				got, low := b.now.Sub(start()).Seconds(), tt.seconds-0.001
				if high := low + every.Seconds() + 0.002; got < low || got > high {
					t.Errorf("trip after %.3f s, want %.3f to %.3f", got, low, high)
				}
				d := v.Decisions()[0]
				if d.Cause != shedguard.CauseOvercurrent || d.Value != 10*tt.times || d.Limit != 10.5 || d.Unit != "A" || !d.Since.Equal(start()) || !d.At.Equal(b.now) || !d.Latched || d.Action != shedguard.ActionTripped {
					t.Errorf("decision %+v", d)
				}
			})
		}
	}
}

// TestIntermittentLoad: bursts with pauses, worked out by hand with τ = 120 s
// heating and 360 s cooling. A pause of as long as the burst takes away a third
// of what a symmetric image would forget.
//
// 1.45 × for 60 s, off for 60 s: i² = 1.907029. First burst: 1.907029·(1-e^-½)
// = 0.750358. Pause: 0.750358·e^-⅙ = 0.635164. Second burst: 120 s ·
// ln((1.907029-0.635164)/(1.907029-1)) = 40.5678 s, in all 160.568 s.
//
// 1.2 × for 30 s, off for 30 s: i² = 1.306122. The peaks would settle at
// p = 1.306122·(1-e^-¼)/(1-e^-¼·e^-1/12) = 1.0192 > 1: the twelfth burst trips,
// after 11 periods and 29.788 s.
//
// 1.2 × for 20 s, off for 40 s: p = 1.306122·(1-e^-⅙)/(1-e^-⅙·e^-1/9) = 0.8267:
// never.
func TestIntermittentLoad(t *testing.T) {
	tests := map[string]struct {
		times   float64
		on, off time.Duration
		seconds float64 // negative: never
		settles float64 // peak of the heat when never
	}{
		"1.45 for 60 s of 120 s": {1.45, time.Minute, time.Minute, 160.5678, 0},
		"1.2 for 30 s of 60 s":   {1.2, 30 * time.Second, 30 * time.Second, 689.7883, 0},
		"1.2 for 20 s of 60 s":   {1.2, 20 * time.Second, 40 * time.Second, -1, 0.8267416},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			const every = 100 * time.Millisecond
			b := newBench(overcurrentOnly(), 0, 0)
			b.now = b.now.Add(-every) // the first sample is at start
			var peak float64
			for b.now.Sub(start()) < time.Hour {
				amps := 0.0
				if b.now.Add(every).Sub(start())%(tt.on+tt.off) < tt.on {
					amps = 10 * tt.times
				}
				v := b.sample(every, amps)
				peak = max(peak, b.state.Heat())
				if !v.MustOpen() {
					continue
				}
				if got := b.now.Sub(start()).Seconds(); tt.seconds < 0 || got < tt.seconds || got > tt.seconds+every.Seconds() {
					t.Errorf("trip after %.3f s, want %.3f", got, tt.seconds)
				}
				return
			}
			if tt.seconds >= 0 {
				t.Fatal("no trip")
			}
			if math.Abs(peak-tt.settles) > 1e-6 {
				t.Errorf("peaks settle at %.7f, want %.7f", peak, tt.settles)
			}
		})
	}
}

func TestCarriesForEver(t *testing.T) {
	for _, times := range []float64{0, 0.5, 1, 1.05} {
		for _, heat := range []float64{0, protect.UnknownHeat} {
			b := newBench(overcurrentOnly(), heat, 0)
			for range 3600 {
				if v := b.sample(time.Second, 10*times); v.MustOpen() {
					t.Fatalf("%.2f × rating from heat %g: %v after %v", times, heat, causes(v), b.now.Sub(start()))
				}
			}
			if want := times * times / (1.05 * 1.05); math.Abs(b.state.Heat()-want) > 1e-4 {
				t.Errorf("%.2f × rating: heat %.5f after an hour, want %.5f", times, b.state.Heat(), want)
			}
		}
	}
}

// TestCooling: a pause does not forget, and takes three times as long as the
// heating: after 360 s without current a heat of 0.9 is 0.9/e.
func TestCooling(t *testing.T) {
	b := newBench(overcurrentOnly(), 0.9, 0)
	b.sample(0, 0)
	for range 360 {
		b.sample(time.Second, 0)
	}
	if want := 0.9 / math.E; math.Abs(b.state.Heat()-want) > 1e-9 {
		t.Errorf("heat %.9f, want %.9f", b.state.Heat(), want)
	}
}

func TestUnknownHeat(t *testing.T) {
	for name, heat := range map[string]float64{"unknown": protect.UnknownHeat, "not a number": math.NaN(), "infinite": math.Inf(1)} {
		b := newBench(overcurrentOnly(), heat, 0)
		if b.state.Heat() != protect.UnknownHeat {
			t.Errorf("%s: heat %g before the first step", name, b.state.Heat())
		}
		b.wait(0)
		if want := 1 / (1.05 * 1.05); math.Abs(b.state.Heat()-want) > 1e-12 {
			t.Errorf("%s: heat %g, want that of the rated current, %g", name, b.state.Heat(), want)
		}
	}
}

func TestHeldCurrent(t *testing.T) {
	t.Run("over a gap that is not stale", func(t *testing.T) {
		b, c := newBench(overcurrentOnly(), 0, 0), newBench(overcurrentOnly(), 0, 0)
		b.sample(0, 20)
		b.sample(3*time.Second, 0)
		c.sample(0, 20)
		for range 30 {
			c.sample(100*time.Millisecond, 20)
		}
		if math.Abs(b.state.Heat()-c.state.Heat()) > 1e-12 {
			t.Errorf("one gap %.12f, thirty samples %.12f", b.state.Heat(), c.state.Heat())
		}
	})
	t.Run("not over a stale one", func(t *testing.T) {
		b, c := newBench(overcurrentOnly(), 0.5, 0), newBench(overcurrentOnly(), 0.5, 0)
		b.sample(0, 0)
		b.sample(time.Hour, 0)
		c.sample(0, 0)
		c.sample(3*time.Second, 0)
		if b.state.Heat() != c.state.Heat() {
			t.Errorf("an hour of silence cooled to %g, want %g: no reading, no cooling", b.state.Heat(), c.state.Heat())
		}
	})
}

func TestShortCircuit(t *testing.T) {
	type step struct {
		after time.Duration
		amps  float64
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	tests := map[string]struct {
		steps []step
		trip  bool
	}{
		"one sample of inrush":          {[]step{{0, 5}, {ms(20), 80}, {ms(20), 6}}, false},
		"one sample, however large":     {[]step{{0, 1e9}}, false},
		"two too close":                 {[]step{{0, 30}, {ms(99), 30}}, false},
		"two spanning the time":         {[]step{{0, 30}, {ms(100), 30}}, true},
		"many fast ones":                {[]step{{0, 31}, {ms(20), 31}, {ms(20), 31}, {ms(20), 31}, {ms(20), 31}, {ms(20), 31}}, true},
		"two at a slow rate":            {[]step{{0, 30}, {ms(1000), 30}}, true},
		"one below between":             {[]step{{0, 30}, {ms(60), 29.99}, {ms(60), 30}, {ms(60), 29.99}, {ms(60), 30}}, false},
		"a stale gap between":           {[]step{{0, 30}, {ms(3001), 30}}, false},
		"a stale gap, then for real":    {[]step{{0, 30}, {ms(3001), 30}, {ms(100), 30}}, true},
		"just under for long":           {[]step{{0, 29.9}, {ms(500), 29.9}}, false},
		"a meter that is wired reverse": {[]step{{0, -40}, {ms(100), -40}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := limits()
			l.Overcurrent.Enabled = false
			b := newBench(l, 0, 0)
			var v protect.Verdict
			for _, s := range tt.steps {
				v = b.sample(s.after, s.amps)
				b.wait(0) // the same conversion again is no second one
			}
			if got := b.state.Latched().Has(shedguard.CauseShortCircuit); got != tt.trip {
				t.Errorf("short_circuit %t, want %t (%v)", got, tt.trip, causes(v))
			}
		})
	}
}

func TestRepeatedConversionIsNotDistinct(t *testing.T) {
	b := newBench(limits(), 0, 0)
	b.sample(0, 40)
	first := b.in.Reading
	for range 10 {
		b.now = b.now.Add(100 * time.Millisecond)
		b.in.Reading, b.in.Fresh = first, true // a caller that calls the same conversion fresh
		if v := b.step(); v.MustOpen() {
			t.Fatalf("%v on one conversion", causes(v))
		}
	}
}

func TestOverpower(t *testing.T) {
	l := limits()
	l.Overcurrent.Enabled, l.ShortCircuit.Enabled = false, false
	watts := func(w float64) float64 { return w / 220 }
	t.Run("for the delay", func(t *testing.T) {
		b := newBench(l, 0, 0)
		v := b.sample(0, watts(2300))
		for range 4 {
			if v = b.sample(time.Second, watts(2250)); v.MustOpen() {
				t.Fatalf("%v after %v", causes(v), b.now.Sub(start()))
			}
		}
		v = b.sample(time.Second, watts(2250))
		want := []protect.Decision{{
			Cause: shedguard.CauseOverpower, Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped,
			Value: 2250, Limit: 2200, Unit: "W", Since: start(), At: start().Add(5 * time.Second), Standing: true, Latched: true,
		}}
		if diff := cmp.Diff(want, v.Decisions()); diff != "" {
			t.Error(diff)
		}
		v = b.sample(time.Second, watts(2600)) // worse before the relay is open
		if d := v.Decisions()[0]; math.Abs(d.Value-2600) > 1e-9 || !d.Standing {
			t.Errorf("value %g standing %t, want the worst, 2600, true", d.Value, d.Standing)
		}
		v = b.sample(time.Second, 0)
		if d := v.Decisions()[0]; math.Abs(d.Value-2600) > 1e-9 || d.Standing || !v.MustOpen() {
			t.Errorf("after the cut: %+v", d)
		}
	})
	t.Run("a dip starts the delay again", func(t *testing.T) {
		b := newBench(l, 0, 0)
		for i := range 40 {
			w := 3000.0
			if i%4 == 3 {
				w = 2200 // at the limit is not above it
			}
			if v := b.sample(time.Second, watts(w)); v.MustOpen() {
				t.Fatalf("%v after %v", causes(v), b.now.Sub(start()))
			}
		}
	})
}

func TestOverTemperature(t *testing.T) {
	b := newBench(limits(), 0, 0)
	warm := func(d time.Duration, celsius float64) protect.Verdict {
		b.now = b.now.Add(d)
		b.in.Celsius, b.in.CelsiusAt = celsius, b.now
		b.in.Reading, b.in.Fresh = reading(b.now, 2), true
		return b.step()
	}
	for i, c := range []float64{30, 64.9, 65, 65.1, math.NaN(), 66} {
		if v := warm(900*time.Millisecond, c); v.MustOpen() {
			t.Fatalf("step %d: %v", i, causes(v))
		}
	}
	v := warm(900*time.Millisecond, 67)
	if d := v.Decisions(); len(d) != 1 || d[0].Cause != shedguard.CauseOverTemperature || d[0].Value != 67 || d[0].Unit != "°C" {
		t.Fatalf("decisions %+v", d)
	}
	var stands *protect.StandsError
	warm(time.Second, 61)
	if err := b.limits.Reset(&b.state, &b.in, b.now); !errors.As(err, &stands) || stands.Cause != shedguard.CauseOverTemperature || stands.Value != 61 || stands.Limit != 60 {
		t.Errorf("reset at 61 °C: %v", err)
	}
	warm(time.Second, 60)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Errorf("reset at 60 °C: %v", err)
	}
	if v := warm(time.Second, 60); v.MustOpen() {
		t.Errorf("after the reset: %v", causes(v))
	}
}

func TestMeterStale(t *testing.T) {
	t.Run("before any reading, counted from polling", func(t *testing.T) {
		b := newBench(limits(), 0, 0)
		b.in.Polling = start().Add(-2 * time.Second)
		v := b.wait(0)
		if v.MustOpen() || v.Judged() {
			t.Fatalf("2 s: %v, judged %t", causes(v), v.Judged())
		}
		if v = b.wait(time.Second); v.MustOpen() {
			t.Fatal("at the limit")
		}
		v = b.wait(time.Millisecond)
		if !v.MustOpen() || !v.Suspends() || !v.Judged() {
			t.Fatalf("past the limit: %v, suspends %t, judged %t", causes(v), v.Suspends(), v.Judged())
		}
		if d := v.Decisions()[0]; d.Cause != shedguard.CauseMeterStale || d.Action != shedguard.ActionSuspended || d.Latched || math.Abs(d.Value-3.001) > 1e-9 || d.Limit != 3 {
			t.Errorf("decision %+v", d)
		}
	})
	t.Run("polling unknown", func(t *testing.T) {
		b := newBench(limits(), 0, 0)
		b.in.Polling = time.Time{}
		b.wait(0)
		if v := b.wait(3001 * time.Millisecond); !v.MustOpen() {
			t.Error("not stale after 3 s")
		}
	})
	t.Run("passes with a reading", func(t *testing.T) {
		b := newBench(limits(), 0, 0)
		b.sample(0, 1)
		v := b.wait(3001 * time.Millisecond)
		if got := causes(v); !slices.Equal(got, []shedguard.Cause{shedguard.CauseMeterStale}) {
			t.Fatalf("%v", got)
		}
		age := v.Decisions()[0].Value
		if v = b.wait(time.Hour); v.Decisions()[0].Value != age {
			t.Errorf("value moved from %g to %g: an alarm would be updated for ever", age, v.Decisions()[0].Value)
		}
		if v = b.sample(0, 1); v.MustOpen() {
			t.Errorf("with a reading: %v", causes(v))
		}
	})
	for name, spoil := range map[string]func(r *shedguard.Reading){
		"not a number": func(r *shedguard.Reading) { r.Amps = math.NaN() },
		"infinite":     func(r *shedguard.Reading) { r.Watts = math.Inf(-1) },
		"fault":        func(r *shedguard.Reading) { r.Quality = shedguard.QualityFault },
		"stale":        func(r *shedguard.Reading) { r.Quality = shedguard.QualityStale },
		"no instant":   func(r *shedguard.Reading) { r.At = time.Time{} },
	} {
		t.Run("a reading that is "+name+" is none", func(t *testing.T) {
			b := newBench(limits(), 0, 0)
			b.sample(0, 1)
			for range 31 {
				b.now = b.now.Add(100 * time.Millisecond)
				b.in.Reading, b.in.Fresh = reading(b.now, 1), true
				spoil(&b.in.Reading)
				b.step()
			}
			if v := b.wait(0); !v.MustOpen() {
				t.Error("not stale after 3.1 s")
			}
		})
	}
	t.Run("a reading from the future does not stay young", func(t *testing.T) {
		b := newBench(limits(), 0, 0)
		b.in.Reading, b.in.Fresh = reading(b.now.Add(time.Hour), 1), true
		b.step()
		if v := b.wait(3001 * time.Millisecond); !v.MustOpen() {
			t.Error("not stale after 3 s")
		}
	})
	t.Run("a silent thermometer", func(t *testing.T) {
		b := newBench(limits(), 0, 0)
		b.in.ThermometerPolling = b.now
		var v protect.Verdict
		for b.now.Sub(start()) < 10*time.Second {
			if v = b.sample(time.Second, 1); v.MustOpen() {
				t.Fatalf("%v after %v", causes(v), b.now.Sub(start()))
			}
		}
		v = b.sample(time.Second, 1)
		if d := v.Decisions(); len(d) != 1 || d[0].Cause != shedguard.CauseMeterStale || d[0].Limit != 10 || !v.Suspends() {
			t.Errorf("decisions %+v", d)
		}
		b.in.Celsius, b.in.CelsiusAt = 20, b.now
		if v = b.wait(0); v.MustOpen() {
			t.Errorf("with a sample: %v", causes(v))
		}
	})
}

func TestRelayWelded(t *testing.T) {
	b := newBench(limits(), 0, 0)
	b.sample(0, 2)
	b.in.Closed, b.in.SwitchedAt = false, b.now
	b.sample(100*time.Millisecond, 1.5) // the RMS window still sees the time before
	b.sample(100*time.Millisecond, 0)
	if v := b.sample(time.Second, 0.2); v.MustOpen() {
		t.Fatalf("an opening that works: %v", causes(v))
	}
	var v protect.Verdict
	for range 5 {
		if v = b.sample(100*time.Millisecond, 2); v.MustOpen() {
			t.Fatalf("%v after %v", causes(v), b.now.Sub(start()))
		}
	}
	v = b.sample(100*time.Millisecond, 2)
	if d := v.Decisions(); len(d) != 1 || d[0].Cause != shedguard.CauseRelayWelded || d[0].Action != shedguard.ActionSiren || d[0].Severity != shedguard.SeverityCritical || !d[0].Latched {
		t.Fatalf("decisions %+v", d)
	}
	var stands *protect.StandsError
	if err := b.limits.Reset(&b.state, &b.in, b.now); !errors.As(err, &stands) || stands.Cause != shedguard.CauseRelayWelded {
		t.Errorf("reset with current: %v", err)
	}
	b.sample(100*time.Millisecond, 0)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Errorf("reset without current: %v", err)
	}
}

func TestReset(t *testing.T) {
	trip := func() *bench {
		b := newBench(overcurrentOnly(), 0, 0)
		v := b.sample(0, 25)
		for !v.MustOpen() {
			v = b.sample(100*time.Millisecond, 25)
		}
		b.in.Closed, b.in.SwitchedAt = false, b.now
		return b
	}
	reset := func(b *bench) error { return b.limits.Reset(&b.state, &b.in, b.now) }
	t.Run("refused while hot, with the numbers", func(t *testing.T) {
		b := trip()
		b.sample(100*time.Millisecond, 0)
		err := reset(b)
		var stands *protect.StandsError
		if !errors.As(err, &stands) || stands.Cause != shedguard.CauseOvercurrent || stands.Limit != 0.97 || stands.Value < 0.99 {
			t.Fatalf("%v", err)
		}
		if got := err.Error(); !strings.HasPrefix(got, "overcurrent stands: ") || !strings.HasSuffix(got, " of the trip heat, limit 0.97 of the trip heat") {
			t.Errorf("text %q", got)
		}
		// 360 s · ln(1.002/0.97) is a little under 12 s.
		for range 13 {
			b.sample(time.Second, 0)
		}
		if err := reset(b); err != nil {
			t.Error(err)
		}
		if v := b.wait(0); v.MustOpen() || b.state.Latched() != 0 {
			t.Errorf("after the reset: %v", causes(v))
		}
		if b.state.Heat() < 0.9 {
			t.Errorf("the reset cooled the image to %g", b.state.Heat())
		}
	})
	t.Run("refused while the meter is silent", func(t *testing.T) {
		b := trip()
		for range 30 {
			b.sample(time.Second, 0)
		}
		b.wait(time.Minute)
		var stands *protect.StandsError
		if err := reset(b); !errors.As(err, &stands) || stands.Cause != shedguard.CauseMeterStale || stands.Value < 60 {
			t.Errorf("%v", err)
		}
	})
	t.Run("refused before the first reading", func(t *testing.T) {
		b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseShortCircuit))
		b.wait(time.Second)
		var stands *protect.StandsError
		if err := reset(b); !errors.As(err, &stands) || stands.Cause != shedguard.CauseMeterStale || stands.Value != 1 {
			t.Errorf("%v", err)
		}
		b.sample(0, 0)
		if err := reset(b); err != nil {
			t.Errorf("with a reading: %v", err)
		}
	})
	t.Run("refused before the first temperature", func(t *testing.T) {
		b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseOverTemperature))
		b.in.ThermometerPolling = b.now
		b.sample(0, 0)
		if err := reset(b); err == nil {
			t.Error("nobody knows how hot it is")
		}
		b.in.Celsius, b.in.CelsiusAt = 62, b.now
		if err := reset(b); err == nil {
			t.Error("62 °C is above the reset limit")
		}
	})
}

func TestRestoredLatch(t *testing.T) {
	all := protect.All()
	b := newBench(limits(), 0.4, all)
	v := b.sample(0, 0)
	if diff := cmp.Diff(all.List(), causes(v)); diff != "" || len(all.List()) != 22 {
		t.Fatal(diff)
	}
	for _, d := range v.Decisions() {
		if !d.Latched || !d.At.IsZero() || d.Standing || d.Severity == shedguard.SeverityCleared {
			t.Errorf("%+v", d)
		}
	}
	if v.Suspends() || !v.MustOpen() {
		t.Error("a latch is no suspension")
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Error(err)
	}
}

func TestDisabledRulesDecideNothing(t *testing.T) {
	b := newBench(&protect.Limits{RatingAmps: 10}, 0, 0)
	b.sample(0, 500)
	b.in.Celsius, b.in.CelsiusAt, b.in.Closed = 300, b.now, false
	b.sample(time.Minute, 500)
	if v := b.wait(time.Hour); v.MustOpen() {
		t.Errorf("%v", causes(v))
	}
}

func TestValidate(t *testing.T) {
	if err := limits().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&protect.Limits{RatingAmps: 10}).Validate(); err != nil {
		t.Errorf("every rule off: %v", err)
	}
	l := limits()
	l.RatingAmps = math.NaN()
	l.ShortCircuit.TimesRating, l.ShortCircuit.Span = 1.5, 50*time.Millisecond
	l.Overcurrent.PickUp, l.Overcurrent.Heating, l.Overcurrent.Cooling, l.Overcurrent.ResetHeat = 0.9, time.Minute, time.Second, 1
	l.Overpower.LimitWatts, l.Overpower.Delay = 0, -1
	l.OverTemperature.LimitCelsius, l.OverTemperature.ResetCelsius, l.OverTemperature.Delay, l.OverTemperature.Stale = 30, 70, time.Hour, 0
	l.MeterStale.Limit, l.MeterStale.Severity = time.Minute, shedguard.SeverityCleared
	l.Overcurrent.Act, l.Overpower.Act, l.OverTemperature.Act, l.MeterStale.Act = "", protect.ActSuspend, "cut", protect.ActReport
	l.RelayWelded.LimitAmps, l.RelayWelded.Delay = 0, 0
	l.Overvoltage.LimitVolts, l.Overvoltage.ResetVolts, l.Overvoltage.Delay = 250, 260, -1
	l.Undervoltage.LimitVolts, l.Undervoltage.ResetVolts, l.Undervoltage.Delay = 187, 170, 0
	l.ResidualCurrent.LimitAmps, l.ResidualCurrent.Delay, l.ResidualCurrent.Act = 30, time.Minute, protect.ActSuspend
	l.TemperatureRise.LimitPerMinute, l.TemperatureRise.Window = 0, time.Second
	l.MeterImplausible.Tolerance, l.MeterImplausible.LeastFactor, l.MeterImplausible.FloorAmps, l.MeterImplausible.Delay = 0, math.NaN(), 0, 0
	want := `rating_amps: NaN: want 0.5 to 63
short_circuit.times_rating: 1.5: want 2 to 10
short_circuit.span: 50ms: want 100ms to 3s
overcurrent.action: "": want report or trip
overcurrent.pick_up: 0.9: want 1 to 1.45
overcurrent.cooling: 1s: want 1m0s to 4h0m0s
overcurrent.reset_heat: 1: want 0.5 to 0.999
overpower.action: "suspend": want report or trip
overpower.limit_watts: 0: want 10 to 20000
overpower.delay: -1ns: want 0s to 1m0s
overvoltage.reset_volts: 260: want 10 to 250
overvoltage.delay: -1ns: want 0s to 1m0s
undervoltage.reset_volts: 170: want 187 to 250
undervoltage.delay: 0s: want 100ms to 1m0s
residual_current.action: "suspend": want report or trip
residual_current.limit_amps: 30: want 0.006 to 1
residual_current.delay: 1m0s: want 0s to 10s
temperature_rise.limit_per_minute: 0: want 1 to 100
temperature_rise.window: 1s: want 10s to 10m0s
meter_implausible.tolerance: 0: want 0.02 to 0.5
meter_implausible.least_factor: NaN: want 0 to 0.5
meter_implausible.floor_amps: 0: want 0.05 to 10
meter_implausible.delay: 0s: want 500ms to 10s
over_temperature.action: "cut": want report, suspend or trip
over_temperature.limit_celsius: 30: want 40 to 120
over_temperature.reset_celsius: 70: want 20 to 30
over_temperature.delay: 1h0m0s: want 0s to 1m0s
over_temperature.stale: 0s: want 1s to 1m0s
meter_stale.severity: cleared: want critical, major, minor or warning
meter_stale.action: "report": want suspend or trip
meter_stale.limit: 1m0s: want 500ms to 10s
relay_welded.limit_amps: 0: want 0.02 to 5
relay_welded.delay: 0s: want 100ms to 10s`
	if diff := cmp.Diff(want, l.Validate().Error()); diff != "" {
		t.Error(diff)
	}
}

// TestSwappedLimits: two limits that changed places are a fault, of whichever
// rule.
func TestSwappedLimits(t *testing.T) {
	for name, swap := range map[string]func(l *protect.Limits) (a, b *float64){
		"overvoltage and its reset":  func(l *protect.Limits) (a, b *float64) { return &l.Overvoltage.LimitVolts, &l.Overvoltage.ResetVolts },
		"undervoltage and its reset": func(l *protect.Limits) (a, b *float64) { return &l.Undervoltage.LimitVolts, &l.Undervoltage.ResetVolts },
		"over- and undervoltage":     func(l *protect.Limits) (a, b *float64) { return &l.Overvoltage.LimitVolts, &l.Undervoltage.LimitVolts },
		"their resets":               func(l *protect.Limits) (a, b *float64) { return &l.Overvoltage.ResetVolts, &l.Undervoltage.ResetVolts },
		"over_temperature and its reset": func(l *protect.Limits) (a, b *float64) {
			return &l.OverTemperature.LimitCelsius, &l.OverTemperature.ResetCelsius
		},
		"pick-up and reset heat": func(l *protect.Limits) (a, b *float64) { return &l.Overcurrent.PickUp, &l.Overcurrent.ResetHeat },
		"rating and watts":       func(l *protect.Limits) (a, b *float64) { return &l.RatingAmps, &l.Overpower.LimitWatts },
		"tolerance and floor": func(l *protect.Limits) (a, b *float64) {
			l.MeterImplausible.FloorAmps = 1
			return &l.MeterImplausible.Tolerance, &l.MeterImplausible.FloorAmps
		},
	} {
		l := limits()
		a, b := swap(l)
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		*a, *b = *b, *a
		if l.Validate() == nil {
			t.Errorf("%s: no fault", name)
		}
	}
	l := limits()
	l.Overcurrent.Heating, l.Overcurrent.Cooling = l.Overcurrent.Cooling, l.Overcurrent.Heating
	if l.Validate() == nil {
		t.Error("heating and cooling: no fault")
	}
}

func TestCauses(t *testing.T) {
	s := protect.NewCauses(shedguard.CauseOverpower, shedguard.CauseShortCircuit, shedguard.CauseCameraLost, "")
	if !s.Has(shedguard.CauseOverpower) || s.Has(shedguard.CauseCameraLost) || s.Has("") || s.Has(shedguard.CauseOvercurrent) {
		t.Errorf("set %v", s)
	}
	if got := s.String(); got != "[short_circuit overpower]" {
		t.Errorf("String %q", got)
	}
	if protect.NewCauses(protect.All().List()...) != protect.All() || protect.Causes(0).List() != nil {
		t.Error("list and set do not agree")
	}
}

// step is one thing that can happen to an outlet.
type step struct {
	after   time.Duration
	fresh   bool
	amps    float64
	watts   float64
	celsius float64
	warm    bool
	quality shedguard.Quality
	closed  bool
}

func drawStep(t *rapid.T) step {
	return step{
		after:   time.Duration(rapid.IntRange(0, 5000).Draw(t, "after_ms")) * time.Millisecond,
		fresh:   rapid.Bool().Draw(t, "fresh"),
		amps:    rapid.OneOf(rapid.Float64Range(0, 60), rapid.SampledFrom([]float64{0, 10.5, 30, math.NaN(), math.Inf(1), 1e300})).Draw(t, "amps"),
		watts:   rapid.Float64Range(-5000, 5000).Draw(t, "watts"),
		celsius: rapid.Float64Range(-40, 150).Draw(t, "celsius"),
		warm:    rapid.Bool().Draw(t, "warm"),
		quality: rapid.SampledFrom(shedguard.Qualities()).Draw(t, "quality"),
		closed:  rapid.Bool().Draw(t, "closed"),
	}
}

func (b *bench) do(s step) protect.Verdict {
	b.now = b.now.Add(s.after)
	if s.fresh {
		b.in.Reading = reading(b.now, s.amps)
		b.in.Reading.Watts, b.in.Reading.Quality = s.watts, s.quality
	}
	b.in.Fresh = s.fresh
	if s.warm {
		b.in.Celsius, b.in.CelsiusAt = s.celsius, b.now
	}
	if b.in.Closed != s.closed {
		b.in.Closed, b.in.SwitchedAt = s.closed, b.now
	}
	return b.step()
}

// TestTripNeverClearsItself: whatever the sensors say, a latched cause stays
// and the outlet stays open.
func TestTripNeverClearsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(limits(), rapid.Float64Range(-1, 1).Draw(t, "heat"), protect.Causes(rapid.Uint32().Draw(t, "latched")))
		before := b.state.Latched()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			v := b.do(drawStep(t))
			after := b.state.Latched()
			if before&^after != 0 {
				t.Fatalf("latched %v, then %v", before, after)
			}
			if after != 0 && !v.MustOpen() {
				t.Fatalf("%v is latched and the outlet is not open", after)
			}
			if v.Suspends() && after != 0 {
				t.Fatalf("%v is latched and called passing", after)
			}
			if h := b.state.Heat(); math.IsNaN(h) || h < 0 {
				t.Fatalf("heat %g", h)
			}
			before = after
		}
	})
}

// TestStaleAlwaysOpens: with no usable reading for more than the limit the
// outlet is open, whatever else is given.
func TestStaleAlwaysOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(limits(), 0, 0)
		last := b.now // of polling, or of a usable reading
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := drawStep(t)
			v := b.do(s)
			if s.fresh && s.quality < shedguard.QualityStale && !math.IsNaN(s.amps) && !math.IsInf(s.amps, 0) {
				last = b.now
			}
			if b.now.Sub(last) > 3*time.Second && !v.MustOpen() {
				t.Fatalf("no reading for %v and not open", b.now.Sub(last))
			}
		}
	})
}

// TestImageIsMonotone: more current at every sample never leaves less heat.
func TestImageIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heat := rapid.Float64Range(0, 1.2).Draw(t, "heat")
		a, b := newBench(overcurrentOnly(), heat, 0), newBench(overcurrentOnly(), heat, 0)
		for range rapid.IntRange(1, 60).Draw(t, "samples") {
			d := time.Duration(rapid.IntRange(1, 6000).Draw(t, "after_ms")) * time.Millisecond
			low := rapid.Float64Range(0, 40).Draw(t, "low")
			high := low + rapid.Float64Range(0, 40).Draw(t, "more")
			a.sample(d, low)
			b.sample(d, high)
			if a.state.Heat() > b.state.Heat()+1e-12 {
				t.Fatalf("less current %.15f, more current %.15f", a.state.Heat(), b.state.Heat())
			}
		}
		if a.state.Latched()&^b.state.Latched() != 0 {
			t.Fatal("less current tripped, more did not")
		}
	})
}

// TestBatching: looking more often without a new sample changes no latch and
// no heat.
func TestBatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newBench(limits(), 0, 0), newBench(limits(), 0, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := drawStep(t)
			s.fresh = true
			n := rapid.IntRange(0, 5).Draw(t, "looks")
			for range n {
				b.wait(s.after / time.Duration(n+1))
			}
			end := a.now.Add(s.after)
			va := a.do(s)
			s.after = end.Sub(b.now)
			vb := b.do(s)
			if a.state.Latched() != b.state.Latched() || a.state.Heat() != b.state.Heat() {
				t.Fatalf("%v heat %g, with looks between %v heat %g", a.state.Latched(), a.state.Heat(), b.state.Latched(), b.state.Heat())
			}
			if va.MustOpen() != vb.MustOpen() {
				t.Fatalf("open %t, with looks between %t", va.MustOpen(), vb.MustOpen())
			}
		}
	})
}

// TestSplitting: a constant current seen in more samples leaves the same heat.
func TestSplitting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heat, amps := rapid.Float64Range(0, 1).Draw(t, "heat"), rapid.Float64Range(0, 50).Draw(t, "amps")
		d := time.Duration(rapid.IntRange(10, 3000).Draw(t, "ms")) * time.Millisecond
		n := rapid.IntRange(1, 50).Draw(t, "parts")
		a, b := newBench(overcurrentOnly(), heat, 0), newBench(overcurrentOnly(), heat, 0)
		a.sample(0, amps)
		b.sample(0, amps)
		a.sample(d, amps)
		for i := range n {
			b.sample(d*time.Duration(i+1)/time.Duration(n)-d*time.Duration(i)/time.Duration(n), amps)
		}
		if math.Abs(a.state.Heat()-b.state.Heat()) > 1e-9 {
			t.Fatalf("one step %.12f, %d steps %.12f", a.state.Heat(), n, b.state.Heat())
		}
	})
}

// TestResetLaw: a reset is refused exactly while a cause stands or nothing is
// known, and a refused one changes no latch.
func TestResetLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(limits(), 0, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			v := b.do(drawStep(t))
			if !rapid.Bool().Draw(t, "reset") {
				continue
			}
			standing := slices.ContainsFunc(v.Decisions(), func(d protect.Decision) bool { return d.Standing })
			before := b.state.Latched()
			err := b.limits.Reset(&b.state, &b.in, b.now)
			var stands *protect.StandsError
			switch {
			case standing && !errors.As(err, &stands):
				t.Fatalf("reset while %v: %v", v.Decisions(), err)
			case !standing && v.Judged() && err != nil:
				t.Fatalf("reset refused although nothing stands: %v", err)
			case err != nil && b.state.Latched() != before:
				t.Fatal("a refused reset changed a latch")
			case err == nil && b.state.Latched() != 0:
				t.Fatalf("still latched: %v", b.state.Latched())
			}
		}
	})
}

// worst is an outlet with every rule on and deciding.
func worst() *bench {
	b := newBench(limits(), 0.5, protect.All())
	b.in.ThermometerPolling = b.now
	return b
}

func TestNextAllocatesNothing(t *testing.T) {
	b := worst()
	if n := testing.AllocsPerRun(1000, func() {
		b.in.Celsius, b.in.CelsiusAt = 80, b.now
		b.sample(100*time.Millisecond, 42)
		b.wait(4 * time.Second)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
