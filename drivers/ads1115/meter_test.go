package ads1115_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/shedguard/shedguard/drivers/ads1115"
	"github.com/shedguard/shedguard/drivers/mains"
	"github.com/shedguard/shedguard/drivers/sim"
)

// transformers are the waves at the pins of the default meter.
func transformers(volts, amps, hertz float64) (v, i sim.Wave) {
	v = sim.Wave{Bias: 1.65, RMS: volts * 0.7 / 230, Hertz: hertz, Noise: 100e-6, High: 3.3}
	i = sim.Wave{Bias: 1.63, RMS: amps / 30, Hertz: hertz, Noise: 100e-6, High: 3.3}
	return v, i
}

func newMeter(tb testing.TB, b *bench, change func(*ads1115.MeterOpts)) *ads1115.Meter {
	tb.Helper()
	opts := ads1115.DefaultMeterOpts()
	if change != nil {
		change(opts)
	}
	m, err := ads1115.NewMeter(b.bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// window steps a meter until its window is full, and measures it.
func (b *bench) window(t *testing.T, m *ads1115.Meter) ads1115.Measurement {
	t.Helper()
	for range 1000 {
		b.now += ads1115.StepPeriod
		full, err := m.Step(b.now)
		if err != nil {
			t.Fatal(err)
		}
		if full {
			var r ads1115.Measurement
			if err := m.Sense(&r); err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Fatal("the window is never full")
	return ads1115.Measurement{}
}

// One converter, 166 conversions in turn, through the registers of the chip.
func TestMeter(t *testing.T) {
	capacitor := []sim.Harmonic{{Order: 3, Ratio: 0.81, Degrees: 180}, {Order: 5, Ratio: 0.61}, {Order: 7, Ratio: 0.37, Degrees: 180}}
	tests := map[string]struct {
		volts, amps, hertz        float64
		change                    func(*ads1115.MeterOpts)
		spoil                     func(v, i *sim.Wave)
		v, a, w, pf, hz           float64
		vTol, aTol, wTol, pfTol   float64 // of reading; of v × a; absolute
		voltsClipped, ampsClipped bool
	}{
		"heater": {volts: 230, amps: 10, hertz: 50, v: 230, a: 10, w: 2300, pf: 1, hz: 50, vTol: 0.002, aTol: 0.002, wTol: 0.003, pfTol: 0.003},
		"60 Hz, lagging": {
			volts: 120, amps: 4, hertz: 60, spoil: func(_, i *sim.Wave) { i.Degrees = -60 },
			v: 120, a: 4, w: 240, pf: 0.5, hz: 60, vTol: 0.002, aTol: 0.003, wTol: 0.003, pfTol: 0.003,
		},
		"45 Hz":      {volts: 230, amps: 1, hertz: 45, v: 230, a: 1, w: 230, pf: 1, hz: 45, vTol: 0.002, aTol: 0.005, wTol: 0.005, pfTol: 0.005},
		"65 Hz":      {volts: 230, amps: 1, hertz: 65, v: 230, a: 1, w: 230, pf: 1, hz: 65, vTol: 0.002, aTol: 0.005, wTol: 0.005, pfTol: 0.005},
		"small load": {volts: 230, amps: 0.1, hertz: 50, v: 230, a: 0.1, w: 23, pf: 1, hz: 50, vTol: 0.002, aTol: 0.02, wTol: 0.02, pfTol: 0.02},
		"no load":    {volts: 230, hertz: 50, v: 230, hz: 50, vTol: 0.002, aTol: 0.02, wTol: 0.02, pfTol: 1},
		"flows back": {
			volts: 230, amps: 5, hertz: 50, change: func(o *ads1115.MeterOpts) { o.Amps.Ratio = -30 },
			v: 230, a: 5, w: -1150, pf: -1, hz: 50, vTol: 0.002, aTol: 0.002, wTol: 0.003, pfTol: 0.003,
		},
		// Harmonics read low, as package mains says: by up to 8 %.
		"charger": {
			volts: 230, amps: 2, hertz: 50, spoil: func(_, i *sim.Wave) { i.Harmonics = capacitor },
			v: 230, a: 2 * math.Sqrt(1+0.81*0.81+0.61*0.61+0.37*0.37) * 0.96, w: 460, pf: 0.7, hz: 50,
			vTol: 0.002, aTol: 0.045, wTol: 0.03, pfTol: 0.06,
		},
		"dimmer at 90°": {
			volts: 230, amps: 5, hertz: 50, spoil: func(_, i *sim.Wave) { i.CutDegrees = 90 },
			v: 230, a: 5 / math.Sqrt2 * 0.97, w: 575, pf: 0.72, hz: 50, vTol: 0.002, aTol: 0.035, wTol: 0.03, pfTol: 0.04,
		},
		"short circuit": {
			volts: 90, amps: 200, hertz: 50, v: 90, a: 45, w: 4000, pf: 0.95, hz: 50,
			vTol: 0.002, aTol: 0.15, wTol: 0.15, pfTol: 0.06, ampsClipped: true,
		},
		"overvoltage beyond the converter": {
			volts: 430, amps: 1, hertz: 50, v: 405, a: 1, w: 405, pf: 1, hz: 50, vTol: 0.04, aTol: 0.005, wTol: 0.05, pfTol: 0.05, voltsClipped: true,
		},
		"outage": {hertz: 50, wTol: 0.01, vTol: 0.01, aTol: 0.01, pfTol: 1},
		"phase of the transformers": {
			volts: 230, amps: 5, hertz: 50, change: func(o *ads1115.MeterOpts) { o.PhaseDegrees = 8 },
			spoil: func(v, _ *sim.Wave) { v.Degrees = 8 },
			v:     230, a: 5, w: 1150, pf: 1, hz: 50, vTol: 0.002, aTol: 0.002, wTol: 0.003, pfTol: 0.003,
		},
		"trimmed": {
			volts: 230, amps: 5, hertz: 50, change: func(o *ads1115.MeterOpts) {
				o.Volts.Trim, o.Amps.Trim, o.Watts = ads1115.Trim{Gain: 1.1, Offset: -3}, ads1115.Trim{Gain: 0.5, Offset: -10}, ads1115.Trim{Gain: 2, Offset: 7}
			},
			v: 250, a: 0, w: 2307, pf: 1, hz: 50, vTol: 0.002, aTol: 0, wTol: 0.7, pfTol: 0.003,
		},
		"no voltage transformer": {
			volts: 230, amps: 5, hertz: 50, change: func(o *ads1115.MeterOpts) { o.Volts = ads1115.Channel{} },
			a: 5, hz: 50, aTol: 0.002, pfTol: 0,
		},
		"no current transformer": {
			volts: 230, amps: 5, hertz: 50, change: func(o *ads1115.MeterOpts) { o.Amps = ads1115.Channel{} },
			v: 230, hz: 50, vTol: 0.002, pfTol: 0,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, slow := range []float64{0.91, 1, 1.1} {
				b := newBench()
				b.chip.Slow(slow)
				v, i := transformers(tt.volts, tt.amps, tt.hertz)
				if tt.spoil != nil {
					tt.spoil(&v, &i)
				}
				b.chip.Set(0, v)
				b.chip.Set(1, i)
				m := newMeter(t, b, tt.change)
				if err := m.Configure(); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					r := b.window(t, m)
					near(t, "volts", float64(r.Volts)/1e9, tt.v, tt.vTol*max(tt.v, 10)+0.1)
					near(t, "amps", float64(r.Amps)/1e9, tt.a, tt.aTol*max(tt.a, 0.5))
					near(t, "watts", float64(r.Watts)/1e9, tt.w, tt.wTol*max(tt.v*tt.a, 10))
					near(t, "power factor", r.PowerFactor, tt.pf, tt.pfTol)
					near(t, "hertz", float64(r.Frequency)/1e6, tt.hz, 0.05)
					if r.VoltsClipped != tt.voltsClipped || r.AmpsClipped != tt.ampsClipped {
						t.Errorf("clipped %t and %t, want %t and %t", r.VoltsClipped, r.AmpsClipped, tt.voltsClipped, tt.ampsClipped)
					}
				}
			}
		})
	}
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if !(math.Abs(got-want) <= slack) {
		t.Errorf("%s %.6g, want %.6g ± %.3g", what, got, want, slack)
	}
}

// The bytes of a step: what was begun is checked and taken, the other input is
// begun.
func TestStepBytes(t *testing.T) {
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		write(0xD3E3),
		read(1, 0xD3E3), read(0, 0x3200), write(0xC3E3),
		read(1, 0x43E3),
		read(1, 0xC3E3), read(0, 0x3300), write(0xD3E3),
	}}
	m, err := ads1115.NewMeter(bus, ads1115.DefaultMeterOpts())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, nil, ads1115.ErrBusy, nil} {
		if _, err := m.Step(time.Duration(i) * ads1115.StepPeriod); !errors.Is(err, want) {
			t.Errorf("step %d: %v, want %v", i, err, want)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// Faults in mid-run cost samples and are told; a conversion of one channel never
// passes for the other.
func TestMeterFaults(t *testing.T) {
	b := newBench()
	v, i := transformers(230, 5, 50)
	b.chip.Set(0, v)
	b.chip.Set(1, i)
	m := newMeter(t, b, nil)
	var r ads1115.Measurement
	if err := m.Sense(&r); !errors.Is(err, mains.ErrShort) {
		t.Errorf("Sense before any sample: %v, want %v", err, mains.ErrShort)
	}
	steady := b.window(t, m)

	faults := map[string]struct {
		inject, heal func()
		want         error
	}{
		"reset": {b.chip.Reset, func() {}, ads1115.ErrReset},
		"nack":  {func() { b.bus.NACK(0x48, true) }, func() { b.bus.NACK(0x48, false) }, sim.ErrNACK},
		"held":  {func() { b.bus.Hold(true) }, func() { b.bus.Hold(false) }, sim.ErrTimeout},
		"float": {func() { b.wire.Float(true) }, func() { b.wire.Float(false) }, ads1115.ErrReset},
		"flip":  {func() { b.wire.Flip([]byte{0x10}, 1) }, func() {}, ads1115.ErrReset},
		"slow":  {func() { b.chip.Slow(1.5) }, func() { b.chip.Slow(1) }, ads1115.ErrBusy},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			step := func() error {
				b.now += ads1115.StepPeriod
				_, err := m.Step(b.now)
				return err
			}
			for range 30 {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			f.inject()
			err := step()
			if err == nil { // the slow chip is only busy from the next one on
				err = step()
			}
			if !errors.Is(err, f.want) {
				t.Errorf("%v, want %v", err, f.want)
			}
			f.heal()
			after := b.window(t, m)
			near(t, "volts", float64(after.Volts)/1e9, 230, 0.5)
			near(t, "amps", float64(after.Amps)/1e9, 5, 0.02)
			if after.Raw == steady.Raw {
				t.Error("the same raw words as before")
			}
		})
	}

	// A frozen converter shows as no change of the codes.
	b.chip.Freeze(true)
	b.window(t, m)
	first := b.window(t, m)
	if second := b.window(t, m); first.Raw[:2][0] != second.Raw[:2][0] || first.Raw[1] != second.Raw[1] {
		t.Errorf("frozen, yet raw %v and %v", first.Raw, second.Raw)
	}
	b.chip.Freeze(false)

	if _, err := m.Step(0); err == nil {
		t.Error("no error when the clock goes back")
	}
}

func TestNewMeterRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*ads1115.MeterOpts){
		"address":            func(o *ads1115.MeterOpts) { o.Addr = 0x47 },
		"no channel":         func(o *ads1115.MeterOpts) { o.Volts.Ratio, o.Amps.Ratio = 0, 0 },
		"the same input":     func(o *ads1115.MeterOpts) { o.Amps.Input = ads1115.A0 },
		"input":              func(o *ads1115.MeterOpts) { o.Amps.Input = 8 },
		"range":              func(o *ads1115.MeterOpts) { o.Volts.Range = 6 },
		"ratio is NaN":       func(o *ads1115.MeterOpts) { o.Amps.Ratio = math.NaN() },
		"ratio of a million": func(o *ads1115.MeterOpts) { o.Amps.Ratio = -2e6 },
		"rails swapped":      func(o *ads1115.MeterOpts) { o.Volts.Low, o.Volts.High = o.Volts.High, o.Volts.Low },
		"no gain":            func(o *ads1115.MeterOpts) { o.Volts.Trim.Gain = 0 },
		"offset is NaN":      func(o *ads1115.MeterOpts) { o.Amps.Trim.Offset = math.NaN() },
		"watts gain is NaN":  func(o *ads1115.MeterOpts) { o.Watts.Gain = math.NaN() },
		"phase":              func(o *ads1115.MeterOpts) { o.PhaseDegrees = 100 },
		"span too short":     func(o *ads1115.MeterOpts) { o.Span = time.Millisecond },
		"span too long":      func(o *ads1115.MeterOpts) { o.Span = 2 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			opts := ads1115.DefaultMeterOpts()
			spoil(opts)
			if m, err := ads1115.NewMeter(&i2ctest.Playback{DontPanic: true}, opts); err == nil {
				t.Errorf("got %v, want an error", m)
			}
		})
	}
	m, err := ads1115.NewMeter(&i2ctest.Playback{DontPanic: true}, ads1115.DefaultMeterOpts())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.String(), "ads1115@playback/0x48"; got != want || m.Halt() != nil {
		t.Errorf("String %q, want %q", got, want)
	}
}

func benchmarkMeter(tb testing.TB) (*bench, func()) {
	tb.Helper()
	b := newBench()
	v, i := transformers(230, 5, 50)
	b.chip.Set(0, v)
	b.chip.Set(1, i)
	m := newMeter(tb, b, nil)
	var r ads1115.Measurement
	return b, func() {
		b.now += ads1115.StepPeriod
		full, err := m.Step(b.now)
		if err == nil && full {
			err = m.Sense(&r)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkStep is a step of the meter, and every 166th time a measurement.
func BenchmarkStep(b *testing.B) {
	k, step := benchmarkMeter(b)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(k.bus.BusTime().Seconds()*1000/float64(b.N), "bus-ms/op")
}

func TestMeterAllocates(t *testing.T) {
	_, step := benchmarkMeter(t)
	if n := testing.AllocsPerRun(400, step); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
