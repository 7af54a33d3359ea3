package mains_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/mains"
)

// A signal is volts or amps at a time in seconds.
type signal func(t float64) float64

// sine is a sine of 1 RMS.
func sine(hertz, degrees float64) signal {
	return func(t float64) float64 { return math.Sqrt2 * math.Sin(2*math.Pi*hertz*t+degrees*math.Pi/180) }
}

// harmonics adds waves of a multiple of the frequency to a sine of 1 RMS, each
// with its ratio to it.
func harmonics(hertz float64, ratios map[int]float64, degrees float64) signal {
	return func(t float64) float64 {
		x := math.Sqrt2 * math.Sin(2*math.Pi*hertz*t)
		for n, r := range ratios {
			// Odd ones in turn against the sine: the peak of a rectifier.
			sign := 1.0
			if n%4 == 3 {
				sign = -1
			}
			x += sign * r * math.Sqrt2 * math.Sin(float64(n)*2*math.Pi*hertz*t+degrees*math.Pi/180)
		}
		return x
	}
}

// charger is the current of a rectifier with a capacitor behind it: the
// harmonics of a light source or charger without power-factor correction.
func charger(hertz float64) signal {
	return harmonics(hertz, map[int]float64{3: 0.81, 5: 0.61, 7: 0.37, 9: 0.16}, 0)
}

// cut is a sine that is cut off until an angle in each half cycle.
func cut(hertz, degrees float64) signal {
	return func(t float64) float64 {
		_, part := math.Modf(2 * hertz * t)
		if part*180 < degrees {
			return 0
		}
		return math.Sqrt2 * math.Sin(2*math.Pi*hertz*t)
	}
}

func (s signal) times(k float64) signal { return func(t float64) float64 { return k * s(t) } }
func (s signal) plus(k float64) signal  { return func(t float64) float64 { return s(t) + k } }

// averaged is what a converter shows that averages over an aperture.
func (s signal) averaged(aperture float64) signal {
	return func(t float64) float64 {
		const n = 64
		sum := 0.0
		for i := range n {
			sum += s(t + aperture*((float64(i)+0.5)/n-0.5))
		}
		return sum / n
	}
}

// rms and power are over many whole cycles, without the mean.
func (s signal) rms(hertz float64) float64 {
	const n = 20000
	sum, square := 0.0, 0.0
	for i := range n {
		x := s(float64(i) / n / hertz)
		sum, square = sum+x/n, square+x*x/n
	}
	return math.Sqrt(square - sum*sum)
}

func power(v, i signal, hertz float64) float64 {
	const n = 20000
	sum := 0.0
	for k := range n {
		t := float64(k) / n / hertz
		sum += v(t) * i(t) / n
	}
	return sum
}

// sampling is how a window is filled: volts and amps in turn, as one converter
// does, every period.
type sampling struct {
	period, jitter, noise float64 // seconds, seconds, RMS
	clip                  float64
	aperture              time.Duration
	phase                 float64
}

// usual is one converter of 860 samples a second, started every 1.5 ms.
func usual() sampling {
	return sampling{period: 1.5e-3, aperture: time.Second / 860, clip: math.Inf(1)}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// run fills a window that begins at a time, and measures it.
func (s sampling) run(t fataler, begin float64, volts, amps signal) mains.Result {
	t.Helper()
	opts := mains.DefaultOpts()
	opts.Aperture, opts.PhaseDegrees = s.aperture, s.phase
	w, err := mains.NewWindow(opts)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, uint64(begin*1e6)))
	for k := 0; ; k++ {
		at := begin + float64(k)*s.period + s.jitter*(2*random.Float64()-1)
		stamp := time.Duration(math.Round(at * 1e9))
		if w.Full(stamp) {
			break
		}
		of, add := volts, w.AddVolts
		if k%2 == 1 {
			of, add = amps, w.AddAmps
		}
		if of == nil {
			continue
		}
		x := of.averaged(s.aperture.Seconds())(at) + s.noise*random.NormFloat64()
		clipped := math.Abs(x) >= s.clip
		if err := add(stamp, min(max(x, -s.clip), s.clip), clipped); err != nil {
			t.Fatal(err)
		}
	}
	var r mains.Result
	if err := w.Measure(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// worst is the largest error of a window over many beginnings and frequencies.
type worst struct{ volts, amps, watts, hertz float64 }

// sweep measures 220 V and 5 A at frequencies around a nominal one; errors are
// relative to the true RMS values and their product, but Hz.
func sweep(t *testing.T, s sampling, from, to float64, volts, amps func(hertz float64) signal) (low, high worst) {
	t.Helper()
	update := func(low, high *float64, e float64) { *low, *high = min(*low, e), max(*high, e) }
	for hertz := from; hertz <= to; hertz += 0.37 {
		v, i := volts(hertz).times(220), amps(hertz).times(5)
		trueVolts, trueAmps, trueWatts := v.rms(hertz), i.rms(hertz), power(v, i, hertz)
		for begin := range 8 {
			r := s.run(t, float64(begin)*0.00271, v.plus(3), i.plus(-0.2))
			update(&low.volts, &high.volts, r.Volts/trueVolts-1)
			update(&low.amps, &high.amps, r.Amps/trueAmps-1)
			update(&low.watts, &high.watts, (r.Watts-trueWatts)/(trueVolts*trueAmps))
			update(&low.hertz, &high.hertz, r.Hertz-hertz)
		}
	}
	return low, high
}

// The errors that the package documents, each at its worst over the beginnings
// of the window and the frequency of the line.
func TestErrors(t *testing.T) {
	pure := func(h float64) signal { return sine(h, 0) }
	distorted := func(h float64) signal { return harmonics(h, map[int]float64{3: 0.04, 5: 0.05, 7: 0.03}, 40) }
	with := func(change func(*sampling)) sampling { s := usual(); change(&s); return s }
	tests := map[string]struct {
		s           sampling
		from, to    float64
		volts, amps func(float64) signal
		low, high   worst
	}{
		"sines at any frequency": {
			s: usual(), from: 45, to: 65, volts: pure, amps: func(h float64) signal { return sine(h, -50) },
			low: worst{-0.001, -0.001, -0.001, -0.05}, high: worst{0.001, 0.001, 0.001, 0.05},
		},
		"power that flows back": {
			s: usual(), from: 49, to: 51, volts: pure, amps: func(h float64) signal { return sine(h, 120) },
			low: worst{-0.001, -0.001, -0.001, -0.05}, high: worst{0.001, 0.001, 0.001, 0.05},
		},
		"noise of 1 %": {
			s: with(func(s *sampling) { s.noise = 0.05 }), from: 45, to: 65, volts: pure, amps: pure,
			low: worst{-0.001, -0.006, -0.006, -0.05}, high: worst{0.001, 0.006, 0.006, 0.05},
		},
		"jitter that is known": {
			s: with(func(s *sampling) { s.jitter = 200e-6 }), from: 45, to: 65, volts: pure, amps: pure,
			low: worst{-0.001, -0.001, -0.002, -0.05}, high: worst{0.001, 0.001, 0.002, 0.05},
		},
		"distorted mains": {
			s: usual(), from: 49, to: 51, volts: distorted, amps: distorted,
			low: worst{-0.005, -0.005, -0.01, -0.05}, high: worst{0.005, 0.005, 0.01, 0.05},
		},
		// The converter averages harmonics away.
		"charger on 50 Hz": {
			s: usual(), from: 49, to: 51, volts: pure, amps: charger,
			low: worst{-0.001, -0.08, -0.03, -0.05}, high: worst{0.001, 0.001, 0.03, 0.05},
		},
		"charger on 60 Hz": {
			s: usual(), from: 59, to: 61, volts: pure, amps: charger,
			low: worst{-0.001, -0.11, -0.05, -0.05}, high: worst{0.001, 0.001, 0.05, 0.05},
		},
		"cut at 90°": {
			s: usual(), from: 49, to: 51, volts: pure, amps: func(h float64) signal { return cut(h, 90) },
			low: worst{-0.001, -0.06, -0.03, -0.05}, high: worst{0.001, 0.001, 0.03, 0.05},
		},
		"cut at 135°": {
			s: usual(), from: 49, to: 51, volts: pure, amps: func(h float64) signal { return cut(h, 135) },
			low: worst{-0.001, -0.15, -0.03, -0.05}, high: worst{0.001, 0.001, 0.03, 0.05},
		},
		// A converter that takes points, twenty a cycle: what is left is the
		// arithmetic.
		"charger, no averaging": {
			s: with(func(s *sampling) { s.period, s.aperture = 0.51e-3, 0 }), from: 49.5, to: 50.5, volts: pure, amps: charger,
			low: worst{-0.001, -0.005, -0.005, -0.05}, high: worst{0.001, 0.005, 0.005, 0.05},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			low, high := sweep(t, tt.s, tt.from, tt.to, tt.volts, tt.amps)
			t.Logf("volts %+.4f to %+.4f, amps %+.4f to %+.4f, watts %+.4f to %+.4f, Hz %+.4f to %+.4f",
				low.volts, high.volts, low.amps, high.amps, low.watts, high.watts, low.hertz, high.hertz)
			for _, e := range []struct {
				what            string
				low, high       float64
				atLeast, atMost float64
			}{
				{"volts", low.volts, high.volts, tt.low.volts, tt.high.volts},
				{"amps", low.amps, high.amps, tt.low.amps, tt.high.amps},
				{"watts", low.watts, high.watts, tt.low.watts, tt.high.watts},
				{"hertz", low.hertz, high.hertz, tt.low.hertz, tt.high.hertz},
			} {
				if e.low < e.atLeast || e.high > e.atMost {
					t.Errorf("%s: error %+.4f to %+.4f, want within %+.4f to %+.4f", e.what, e.low, e.high, e.atLeast, e.atMost)
				}
			}
		})
	}
}

// At 55.6 Hz each channel is sampled six times a cycle exactly: the fifth and
// the seventh harmonic cannot be told from the fundamental. The package says so.
func TestResonance(t *testing.T) {
	hertz := 1 / (6 * 2 * 1.5e-3)
	i := charger(hertz).times(5)
	worst := 0.0
	for begin := range 8 {
		r := usual().run(t, float64(begin)*0.00271, sine(hertz, 0).times(220), i)
		worst = max(worst, math.Abs(r.Amps/i.rms(hertz)-1))
	}
	if worst < 0.08 {
		t.Errorf("worst error %.3f: the documentation claims a resonance that is not there", worst)
	}
}

// A phase error of the transformers that is known does not reach the watts; one
// that is not known does, by its cosine.
func TestPhase(t *testing.T) {
	v, i := sine(50, 12).times(220), sine(50, -60).times(5)
	for phase, want := range map[float64]float64{0: math.Cos(72 * math.Pi / 180), 12: 0.5, -12: math.Cos(84 * math.Pi / 180)} {
		s := usual()
		s.phase = phase
		if r := s.run(t, 0, v, i); math.Abs(r.Watts-1100*want) > 2 || math.Abs(r.PowerFactor-want) > 0.002 {
			t.Errorf("phase %g°: %g W, factor %g, want %g W, %g", phase, r.Watts, r.PowerFactor, 1100*want, want)
		}
	}
}

func TestClipping(t *testing.T) {
	s := usual()
	s.clip = 250
	r := s.run(t, 0, sine(50, 0).times(220), sine(50, 0).times(5))
	if !r.VoltsClipped || r.AmpsClipped {
		t.Errorf("clipped %t and %t, want the voltage alone", r.VoltsClipped, r.AmpsClipped)
	}
	if r.Volts > 215 || r.Volts < 180 || math.Abs(r.Amps-5) > 0.01 {
		t.Errorf("%g V, %g A: want a low voltage and 5 A", r.Volts, r.Amps)
	}
	// A square wave is what is left of a short circuit.
	s.clip = 5
	if r := s.run(t, 0, sine(50, 0).times(2), sine(50, 0).times(500)); !r.AmpsClipped || r.Amps < 4.5 || r.Amps > 5.5 {
		t.Errorf("a short circuit is %g A, clipped %t, want 5 A and true", r.Amps, r.AmpsClipped)
	}
}

func TestLine(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	noise := signal(func(float64) float64 { return random.NormFloat64() })
	zero := signal(func(float64) float64 { return 0 })
	step := signal(func(t float64) float64 {
		if t < 0.125 {
			return 0
		}
		return math.Sqrt2 * math.Sin(2*math.Pi*50*t)
	})
	tests := map[string]struct {
		volts, amps                     signal
		vrms, arms, watts, hertz, slack float64
		voltsOffset                     float64
		cycles                          int
	}{
		"current alone":           {amps: sine(50, 0).times(5).plus(1), arms: 5, hertz: 50, cycles: 11, slack: 0.02},
		"voltage alone":           {volts: sine(60, 0).times(220), vrms: 220, hertz: 60, cycles: 13, slack: 0.2},
		"outlet without current":  {volts: sine(50, 0).times(220), amps: zero, vrms: 220, hertz: 50, cycles: 11, slack: 0.2},
		"current of a dead line":  {volts: zero, amps: sine(50, 0).times(5), arms: 5, hertz: 50, cycles: 11, slack: 0.02},
		"dead line":               {volts: zero.plus(3), amps: zero.plus(-1), voltsOffset: 3, slack: 1e-9},
		"noise is no line":        {volts: noise, amps: noise, vrms: 0.125, arms: 0.125, slack: 0.03}, // mean of 64
		"too slow for a line":     {volts: sine(35, 0), amps: zero, vrms: 1, slack: 0.1},
		"too fast for a line":     {volts: sine(75, 0), amps: zero, vrms: 1, slack: 0.1},
		"switched on in a window": {volts: sine(50, 0).times(220), amps: step.times(4), vrms: 220, arms: 2.8, watts: 440, hertz: 50, cycles: 11, slack: 30},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := usual().run(t, 0, tt.volts, tt.amps)
			for what, pair := range map[string][2]float64{
				"volts": {r.Volts, tt.vrms}, "amps": {r.Amps, tt.arms}, "watts": {r.Watts, tt.watts}, "hertz": {r.Hertz, tt.hertz},
			} {
				slack := tt.slack
				if what == "amps" {
					slack = min(slack, 0.3)
				}
				if what == "hertz" {
					slack = 0.05
				}
				if math.Abs(pair[0]-pair[1]) > slack {
					t.Errorf("%s %g, want %g ± %g", what, pair[0], pair[1], slack)
				}
			}
			if r.Cycles != tt.cycles {
				t.Errorf("%d cycles, want %d", r.Cycles, tt.cycles)
			}
			if tt.voltsOffset != 0 && math.Abs(r.VoltsOffset-tt.voltsOffset) > 1e-9 {
				t.Errorf("offset %g, want %g", r.VoltsOffset, tt.voltsOffset)
			}
		})
	}
}

func newWindow(t *testing.T) *mains.Window {
	t.Helper()
	w, err := mains.NewWindow(mains.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*mains.Opts){
		"span too short":    func(o *mains.Opts) { o.Span = 99 * time.Millisecond },
		"span too long":     func(o *mains.Opts) { o.Span = 3 * time.Second },
		"negative aperture": func(o *mains.Opts) { o.Aperture = -1 },
		"aperture too long": func(o *mains.Opts) { o.Aperture = 6 * time.Millisecond },
		"phase is NaN":      func(o *mains.Opts) { o.PhaseDegrees = math.NaN() },
		"phase above 90°":   func(o *mains.Opts) { o.PhaseDegrees = 91 },
	} {
		t.Run(name, func(t *testing.T) {
			opts := mains.DefaultOpts()
			spoil(opts)
			if _, err := mains.NewWindow(opts); err == nil {
				t.Error("no error")
			}
		})
	}

	w := newWindow(t)
	before := mains.Result{Volts: 1}
	r := before
	if err := w.Measure(&r); !errors.Is(err, mains.ErrShort) || r != before {
		t.Errorf("empty: %v, %+v, want %v", err, r, mains.ErrShort)
	}
	if w.Full(time.Hour) {
		t.Error("an empty window is full")
	}
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		if err := w.AddAmps(0, x, false); err == nil {
			t.Errorf("%g is a sample", x)
		}
	}
	if err := w.AddAmps(time.Second, 1, false); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		at   time.Duration
		want error
	}{
		"same time":  {time.Second, mains.ErrOrder},
		"earlier":    {time.Second - 1, mains.ErrOrder},
		"beyond end": {time.Second + 251*time.Millisecond, mains.ErrFull},
	} {
		if err := w.AddAmps(tt.at, 1, false); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if err := w.AddVolts(time.Second-1, 1, false); !errors.Is(err, mains.ErrOrder) {
		t.Errorf("a voltage before the window: %v, want %v", err, mains.ErrOrder)
	}
	if err := w.Measure(&r); !errors.Is(err, mains.ErrShort) || r != before {
		t.Errorf("one sample: %v, %+v, want %v", err, r, mains.ErrShort)
	}
	if !w.Full(time.Second+251*time.Millisecond) || w.Full(time.Second+250*time.Millisecond) {
		t.Error("full at another time than the end of the span")
	}
	for i := 1; ; i++ { // there is room for 1024 samples a channel
		err := w.AddAmps(time.Second+time.Duration(i), 1, false)
		if err == nil && i < 1024 {
			continue
		}
		if i != 1024 || !errors.Is(err, mains.ErrFull) {
			t.Errorf("sample %d: %v, want %v at 1024", i, err, mains.ErrFull)
		}
		break
	}
	w.Reset()
	if w.Full(time.Hour) || !errors.Is(w.Measure(&r), mains.ErrShort) {
		t.Error("the window is not empty after Reset")
	}
}

// Twice the current is twice the amps and watts, an offset changes nothing, and
// the same wave later is the same reading.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hertz := rapid.Float64Range(45, 65).Draw(t, "hertz")
		degrees := rapid.Float64Range(-180, 180).Draw(t, "degrees")
		k := rapid.Float64Range(0.01, 30).Draw(t, "scale")
		offset := rapid.Float64Range(-0.5, 0.5).Draw(t, "offset")
		later := rapid.IntRange(0, 20).Draw(t, "cycles later")
		v, i := sine(hertz, 0).times(220), sine(hertz, degrees)
		one := usual().run(t, 0, v, i)
		many := usual().run(t, float64(later)/hertz, v.plus(offset*220), i.times(k).plus(offset*k))
		for what, pair := range map[string][2]float64{
			"amps": {many.Amps, one.Amps * k}, "watts": {many.Watts, one.Watts * k},
			"volts": {many.Volts, one.Volts}, "offset": {many.AmpsOffset, offset * k},
		} {
			slack := 0.002 * k
			if what == "volts" || what == "watts" {
				slack = 0.002 * 220 * max(k, 1)
			}
			if math.Abs(pair[0]-pair[1]) > slack {
				t.Fatalf("%s %g, want %g ± %g", what, pair[0], pair[1], slack)
			}
		}
	})
}

// FuzzMeasure: whatever is sampled whenever, a result is made of numbers, and no
// larger than its samples allow.
func FuzzMeasure(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
	f.Add(make([]byte, 400))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWindow(t)
		at := time.Duration(0)
		for i := 0; i+1 < len(data); i += 2 {
			at += time.Duration(data[i]&0x7F)*50*time.Microsecond + 1
			add := w.AddVolts
			if data[i]&0x80 != 0 {
				add = w.AddAmps
			}
			if err := add(at, float64(int8(data[i+1])), false); err != nil && !errors.Is(err, mains.ErrFull) {
				t.Fatal(err)
			}
		}
		var r mains.Result
		if err := w.Measure(&r); err != nil {
			if !errors.Is(err, mains.ErrShort) {
				t.Fatal(err)
			}
			return
		}
		for _, x := range []float64{r.Volts, r.Amps, r.VoltsOffset, r.AmpsOffset, r.Watts, r.VoltAmps, r.PowerFactor, r.Hertz} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%+v", r)
			}
		}
		if r.Volts < 0 || r.Amps < 0 || math.Abs(r.PowerFactor) > 1 || r.Hertz != 0 && (r.Hertz < 40 || r.Hertz > 70) {
			t.Fatalf("%+v", r)
		}
	})
}

func filled(tb testing.TB) *mains.Window {
	tb.Helper()
	w, err := mains.NewWindow(mains.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	v := sine(50, 0)
	for k := range 166 {
		at := time.Duration(k) * 1500 * time.Microsecond
		add := w.AddVolts
		if k%2 == 1 {
			add = w.AddAmps
		}
		if err := add(at, v(at.Seconds()), false); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

func BenchmarkMeasure(b *testing.B) {
	w := filled(b)
	var r mains.Result
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Measure(&r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllocates(t *testing.T) {
	w := filled(t)
	var r mains.Result
	if n := testing.AllocsPerRun(100, func() {
		if err := w.Measure(&r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
