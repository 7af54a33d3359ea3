package acs37800_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

// words is the playback of one Sense.
func words(addr uint16, raw [3]uint32) []i2ctest.IO {
	var ops []i2ctest.IO
	for i, word := range raw {
		ops = append(ops, i2ctest.IO{
			Addr: addr,
			W:    []byte{0x20 + byte(i)},
			R:    []byte{byte(word), byte(word >> 8), byte(word >> 16), byte(word >> 24)},
		})
	}
	return ops
}

func TestSense(t *testing.T) {
	breakout := acs37800.DefaultOpts() // 2 MΩ and 8.2 kΩ: K = 244.902
	breakout.Divider = (2e6 + 8200.0) / 8200
	wide := acs37800.DefaultOpts()
	wide.RangeAmps = 90
	unity := acs37800.DefaultOpts()
	unity.Divider = 1
	trimmed := acs37800.DefaultOpts()
	trimmed.Divider = 1
	trimmed.Volts = acs37800.Trim{Gain: 1.02, Offset: -0.001}
	trimmed.Amps = acs37800.Trim{Gain: 0.5, Offset: -0.25}
	trimmed.Watts = acs37800.Trim{Gain: 2, Offset: 0.5}

	tests := map[string]struct {
		opts        *acs37800.Opts
		raw         [3]uint32
		volts       float64
		amps        float64
		watts       float64
		powerFactor float64
	}{
		"zero": {opts: unity},
		// The full scale of the datasheet: 250 mV, 30 A, 7.5 W = 23100 codes.
		"full scale": {
			opts: unity, raw: [3]uint32{55000<<16 | 55000, 23100, 1023 << 16},
			volts: 0.250, amps: 30, watts: 7.5, powerFactor: 0.9990234375,
		},
		"full scale of a 90 A part": {
			opts: wide, raw: [3]uint32{55000 << 16, 1027, 0},
			amps: 90, watts: 1027 * 3 / 3.08 * 1819.181818181818 / 1000,
		},
		"one code": {
			opts: unity, raw: [3]uint32{1<<16 | 1, 1, 1 << 16},
			volts: 0.250 / 55000, amps: 30.0 / 55000, watts: 1 / 3080.0, powerFactor: 1.0 / 1024,
		},
		"saturated": {
			opts: unity, raw: [3]uint32{0xFFFF<<16 | 0xFFFE, 0x7FFF, 0},
			volts: 0.250 * 65534 / 55000, amps: 30.0 * 65535 / 55000, watts: 32767 / 3080.0,
		},
		"current above half scale is not negative": {
			opts: unity, raw: [3]uint32{0x8000 << 16, 0, 0}, amps: 30.0 * 32768 / 55000,
		},
		"power flows back": {
			opts: unity, raw: [3]uint32{0, 0x8000, 0x400 << 16}, watts: -32768 / 3080.0, powerFactor: -1,
		},
		"minus one code": {
			opts: unity, raw: [3]uint32{0, 0xFFFF, 0x7FF << 16}, watts: -1 / 3080.0, powerFactor: -1.0 / 1024,
		},
		"angle, sign and apparent power leave the factor alone": {
			opts: unity, raw: [3]uint32{0, 0xFFFF0000, 0xF800FFFF},
		},
		// 3 codes are 0.2385 W on the breakout board, as a real chip's debug
		// print shows (SparkFun issue 5).
		"breakout": {
			opts: breakout, raw: [3]uint32{9317, 3, 0},
			volts: 9317.0 / 55000 * 0.250 * 244.902439, watts: 0.238541,
		},
		"mains": {
			opts: acs37800.DefaultOpts(), raw: [3]uint32{3300<<16 | 26605, 667, 1000 << 16},
			volts: 219.997, amps: 1.8, watts: 393.959, powerFactor: 0.9765625,
		},
		"trimmed": {
			opts: trimmed, raw: [3]uint32{55000<<16 | 55000, 23100, 0},
			volts: 0.254, amps: 14.75, watts: 15.5,
		},
		"a trim never makes an RMS value negative": {opts: trimmed, watts: 0.5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := &i2ctest.Playback{Ops: words(0x60, tt.raw), DontPanic: true}
			dev, err := acs37800.New(bus, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			var m acs37800.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			near(t, "volts", float64(m.Volts)/float64(physic.Volt), tt.volts, 1e-3)
			near(t, "amps", float64(m.Amps)/float64(physic.Ampere), tt.amps, 1e-6)
			near(t, "watts", float64(m.Watts)/float64(physic.Watt), tt.watts, 1e-3)
			near(t, "power factor", m.PowerFactor, tt.powerFactor, 0)
			if m.Raw != tt.raw {
				t.Errorf("raw %#x, want %#x", m.Raw, tt.raw)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s %.9g, want %.9g ± %g", what, got, want, slack)
	}
}

// A failed Sense says what was tried and leaves the measurement alone.
func TestSenseFails(t *testing.T) {
	good := [3]uint32{1, 2, 3}
	tests := map[string]struct {
		ops  []i2ctest.IO
		err  error
		text string
	}{
		"nobody there":         {text: "read register 0x20"},
		"dies after one word":  {ops: words(0x60, good)[:1], text: "read register 0x21"},
		"dies after two words": {ops: words(0x60, good)[:2], text: "read register 0x22"},
		"short read":           {ops: []i2ctest.IO{{Addr: 0x60, W: []byte{0x20}, R: []byte{1, 2}}}, text: "read register 0x20"},
		"first all ones":       {ops: words(0x60, [3]uint32{0xFFFFFFFF})[:1], err: acs37800.ErrAllOnes, text: "read register 0x20"},
		"second all ones":      {ops: words(0x60, [3]uint32{1, 0xFFFFFFFF})[:2], err: acs37800.ErrAllOnes, text: "read register 0x21"},
		"third all ones":       {ops: words(0x60, [3]uint32{1, 2, 0xFFFFFFFF}), err: acs37800.ErrAllOnes, text: "read register 0x22"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := &i2ctest.Playback{Ops: tt.ops, DontPanic: true}
			dev, err := acs37800.New(bus, acs37800.DefaultOpts())
			if err != nil {
				t.Fatal(err)
			}
			before := acs37800.Measurement{Volts: 7, Amps: 8, Watts: 9, PowerFactor: 0.5, Raw: [3]uint32{4, 5, 6}}
			m := before
			err = dev.Sense(&m)
			if err == nil || (tt.err != nil && !errors.Is(err, tt.err)) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !strings.HasPrefix(err.Error(), dev.String()+": ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q: want prefix %q and %q", err, dev, tt.text)
			}
			if m != before {
				t.Errorf("measurement changed to %+v", m)
			}
		})
	}
}

func TestSenseNACK(t *testing.T) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	dev, err := acs37800.New(bus, acs37800.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	var m acs37800.Measurement
	if err := dev.Sense(&m); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("Sense of an empty bus: %v, want %v", err, sim.ErrNACK)
	}
	if _, err := dev.Flags(); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("Flags of an empty bus: %v, want %v", err, sim.ErrNACK)
	}
}

func TestFlags(t *testing.T) {
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		{Addr: 0x60, W: []byte{0x2D}, R: []byte{0x16, 0, 0, 0}},
		{Addr: 0x60, W: []byte{0x2D}, R: []byte{0x09, 0, 0, 0x80}},
	}}
	dev, err := acs37800.New(bus, acs37800.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []acs37800.Flags{
		acs37800.Fault | acs37800.FaultLatched | acs37800.Undervoltage,
		acs37800.ZeroCrossing | acs37800.Overvoltage,
	} {
		if got, err := dev.Flags(); err != nil || got != want {
			t.Errorf("flags %#x, %v, want %#x", got, err, want)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]func(*acs37800.Opts){
		"address of 8 bits":  func(o *acs37800.Opts) { o.Addr = 0x80 },
		"unknown range":      func(o *acs37800.Opts) { o.RangeAmps = 50 },
		"no divider":         func(o *acs37800.Opts) { o.Divider = 0 },
		"divider is NaN":     func(o *acs37800.Opts) { o.Divider = math.NaN() },
		"no gain":            func(o *acs37800.Opts) { o.Amps.Gain = 0 },
		"gain is NaN":        func(o *acs37800.Opts) { o.Volts.Gain = math.NaN() },
		"offset is infinite": func(o *acs37800.Opts) { o.Watts.Offset = math.Inf(1) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			opts := acs37800.DefaultOpts()
			spoil(opts)
			if dev, err := acs37800.New(&i2ctest.Playback{DontPanic: true}, opts); err == nil {
				t.Errorf("got %v, want an error", dev)
			}
		})
	}
}

func TestString(t *testing.T) {
	dev, err := acs37800.New(&i2ctest.Playback{DontPanic: true}, acs37800.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dev.String(), "acs37800@playback/0x60"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if err := dev.Halt(); err != nil {
		t.Error(err)
	}
}

// What the plant feeds into the model comes out of the driver, within the
// resolution of the registers, over the whole range of both parts.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rangeAmps := rapid.SampledFrom([]int{30, 90}).Draw(t, "range")
		iso := rapid.Float64Range(1e6, 8e6).Draw(t, "isolation")
		sense := rapid.Float64Range(1000, 10000).Draw(t, "sense")
		k := (iso + sense) / sense
		volts := rapid.Float64Range(0, 0.250*k).Draw(t, "volts")
		amps := rapid.Float64Range(0, float64(rangeAmps)).Draw(t, "amps")
		factor := rapid.Float64Range(-1, 1).Draw(t, "power factor")
		watts := volts * amps * factor

		chip := sim.NewACS37800(sim.ACS37800Board{RangeAmps: float64(rangeAmps), IsolationOhms: iso, SenseOhms: sense})
		chip.Set(volts, amps, watts)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x61, chip)
		opts := acs37800.DefaultOpts()
		opts.Addr, opts.RangeAmps, opts.Divider = 0x61, rangeAmps, k
		dev, err := acs37800.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		var m acs37800.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		drivertest.Within(t, "volts", float64(m.Volts)/1e9, volts, 0.250*k/55000)
		drivertest.Within(t, "amps", float64(m.Amps)/1e9, amps, float64(rangeAmps)/55000)
		drivertest.Within(t, "watts", float64(m.Watts)/1e9, watts, k*float64(rangeAmps)/30/3080)
		if volts*amps > 1 {
			drivertest.Within(t, "power factor", m.PowerFactor, factor, 1.0/1024)
		}
		if again := m; dev.Sense(&again) != nil || again != m {
			t.Fatalf("second Sense %+v, want %+v", again, m)
		}
	})
}

// Whatever three words the bus delivers, a measurement is finite, its RMS
// values are not negative, and it grows with its code.
func FuzzSense(f *testing.F) {
	f.Add(uint32(0), uint32(0), uint32(0))
	f.Add(uint32(0xFFFFFFFF), uint32(0), uint32(0))
	f.Add(uint32(0x8000FFFF), uint32(0x00008000), uint32(0x04000000))
	f.Add(uint32(0x0CE467ED), uint32(0x0000029B), uint32(0x13E8FFFF))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		raw := [3]uint32{a, b, c}
		dev, err := acs37800.New(&i2ctest.Playback{Ops: words(0x60, raw), DontPanic: true}, acs37800.DefaultOpts())
		if err != nil {
			t.Fatal(err)
		}
		var m acs37800.Measurement
		err = dev.Sense(&m)
		if ones := a == 0xFFFFFFFF || b == 0xFFFFFFFF || c == 0xFFFFFFFF; ones != errors.Is(err, acs37800.ErrAllOnes) {
			t.Fatalf("%#x: error %v", raw, err)
		}
		if err != nil {
			if m != (acs37800.Measurement{}) {
				t.Fatalf("%#x: measurement changed by a failed Sense", raw)
			}
			return
		}
		if m.Volts < 0 || m.Volts > 550*physic.Volt || m.Amps < 0 || m.Amps > 36*physic.Ampere {
			t.Errorf("%#x: %s, %s outside the range of the chip", raw, m.Volts, m.Amps)
		}
		if (m.Watts < 0) != (b&0x8000 != 0) || m.Watts > 20*physic.KiloWatt || m.Watts < -20*physic.KiloWatt {
			t.Errorf("%#x: %s outside the range of the chip", raw, m.Watts)
		}
		if m.PowerFactor < -1 || m.PowerFactor >= 1 {
			t.Errorf("%#x: power factor %g", raw, m.PowerFactor)
		}
	})
}

// quiet is a bus whose chips read zero.
type quiet struct{}

var _ i2c.Bus = quiet{}

func (quiet) String() string                    { return "quiet" }
func (quiet) Tx(_ uint16, _, r []byte) error    { clear(r); return nil }
func (quiet) SetSpeed(_ physic.Frequency) error { return nil }

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[acs37800.Measurement] {
	return &drivertest.Sensor[acs37800.Measurement]{
		Name: "acs37800", Addr: 0x60, Stale: acs37800.Measurement{Volts: 7, Amps: 8, Raw: [3]uint32{1, 2, 3}}, Bits: 3 * drivertest.Bits(1, 4),
		Chip: func() sim.Chip {
			chip := sim.NewACS37800(sim.MainsBoard())
			chip.Set(221.4, 1.82, 389.1)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[acs37800.Measurement], error) {
			return acs37800.New(bus, acs37800.DefaultOpts())
		},
		Float: acs37800.ErrAllOnes,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
