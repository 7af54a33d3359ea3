package protect_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// riseOnly are limits with temperature_rise: 20 °C a minute over a minute.
func riseOnly() *protect.Limits {
	l := limits()
	*l = protect.Limits{RatingAmps: 10, OverTemperature: l.OverTemperature, TemperatureRise: l.TemperatureRise, MeterStale: l.MeterStale}
	l.OverTemperature.LimitCelsius = 120
	return l
}

// warm gives a temperature, and a reading without current beside it.
func (b *bench) warm(d time.Duration, celsius float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Reading, b.in.Fresh = reading(b.now, 0), true
	b.in.Celsius, b.in.CelsiusAt = celsius, b.now
	return b.step()
}

// run feeds celsius(t) once a second for d and returns when it tripped, or a
// negative time.
func (b *bench) run(d time.Duration, celsius func(s float64) float64) time.Duration {
	begin := b.now
	for b.now.Sub(begin) < d {
		s := b.now.Sub(begin).Seconds()
		if v := b.warm(time.Second, celsius(s)); v.MustOpen() {
			return b.now.Sub(begin)
		}
	}
	return -1
}

func TestTemperatureRise(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	tests := map[string]struct {
		celsius   func(s float64) float64
		low, high time.Duration // when it trips; negative: never
	}{
		"still": {func(float64) float64 { return 25 }, -1, -1},
		"19 °C a minute, as far as the sensor goes": {func(s float64) float64 { return min(-40+19*s/60, 115) }, -1, -1},
		// 20 K above the lowest of the last minute, seen through a median that
		// is a sample late: 50 s at 24 °C a minute, and that sample.
		"24 °C a minute": {func(s float64) float64 { return 25 + 24*s/60 }, 50 * time.Second, 54 * time.Second},
		// The first median comes with the third sample and is of the second.
		"2 °C a second":        {func(s float64) float64 { return 25 + 2*s }, 14 * time.Second, 14 * time.Second},
		"a fire after an hour": {func(s float64) float64 { return 25 + 4*max(0, s-3600) }, 3605 * time.Second, 3609 * time.Second},
		// GB/T 2099.1 allows a socket 45 K at its rating. With two minutes as
		// its time constant, at the short end for a socket in a box, the first
		// minute is 45·(1-1/√e) = 17.7 K.
		"a socket at all that is allowed": {func(s float64) float64 { return 25 + 45*-math.Expm1(-s/120) }, -1, -1},
		"with noise of half a degree":     {func(float64) float64 { return 25 + 0.5*noise.NormFloat64() }, -1, -1},
		"cooling":                         {func(s float64) float64 { return 90 * math.Exp(-s/60) }, -1, -1},
		"one wrong sample in each minute, up": {func(s float64) float64 {
			if math.Mod(s, 60) == 30 {
				return 125
			}
			return 25
		}, -1, -1},
		"one wrong sample in each minute, down": {func(s float64) float64 {
			if math.Mod(s, 60) == 30 {
				return -40
			}
			return 25
		}, -1, -1},
		"half a degree of resolution": {func(s float64) float64 { return math.Floor(2*(25+19*math.Min(s, 60)/60)) / 2 }, -1, -1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(riseOnly(), 0, 0)
			got := b.run(2*time.Hour, tt.celsius)
			if tt.high < 0 && got >= 0 || tt.high >= 0 && (got < tt.low || got > tt.high) {
				t.Errorf("after %v, want %v to %v", got, tt.low, tt.high)
			}
		})
	}
}

func TestTemperatureRiseSays(t *testing.T) {
	b := newBench(riseOnly(), 0, 0)
	b.run(time.Minute, func(s float64) float64 { return 25 + 2*s })
	v := b.warm(time.Second, 70)
	d, ok := v.Why()
	if !ok || d.Cause != shedguard.CauseTemperatureRise || d.Limit != 20 || d.Unit != "°C/min" || d.Value <= 20 || !d.Latched {
		t.Fatalf("%+v", v.Decisions())
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err == nil {
		t.Error("reset while it warms")
	}
	for range 70 {
		b.warm(time.Second, 70)
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestTemperatureRiseForgetsAcrossASilence: what a socket was before its
// thermometer was silent says nothing of how fast it warmed.
func TestTemperatureRiseForgetsAcrossASilence(t *testing.T) {
	b := newBench(riseOnly(), 0, 0)
	for range 30 {
		b.warm(time.Second, 20)
	}
	for range 11 { // the meter lives
		b.sample(time.Second, 0)
	}
	for range 30 {
		if v := b.warm(time.Second, 55); v.Held().Has(shedguard.CauseTemperatureRise) {
			t.Fatal("tripped")
		}
	}
}

// TestTemperatureRiseLaw: below the limit at every instant it never trips; and
// once the whole of a window rose by 30 % more than the limit, it has.
func TestTemperatureRiseLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(riseOnly(), 0, 0)
		every := time.Duration(rapid.IntRange(100, 2000).Draw(t, "every_ms")) * time.Millisecond
		celsius := rapid.Float64Range(-20, 40).Draw(t, "from")
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			celsius += rapid.Float64Range(-60, 19.9).Draw(t, "per_minute") * every.Minutes()
			celsius = max(celsius, -100)
			if v := b.warm(every, celsius); v.Held().Has(shedguard.CauseTemperatureRise) {
				t.Fatalf("at %g °C", celsius)
			}
		}
		begin := b.now
		for b.now.Sub(begin) < time.Minute {
			celsius += 26 * every.Minutes()
			if v := b.warm(every, celsius); v.Held().Has(shedguard.CauseTemperatureRise) {
				return
			}
		}
		t.Fatalf("26 °C a minute for a minute, every %v, and no trip", every)
	})
}
