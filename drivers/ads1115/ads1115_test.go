package ads1115_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ads1115"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x48, W: []byte{reg}, R: []byte{byte(word >> 8), byte(word)}}
}

func write(word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x48, W: []byte{1, byte(word >> 8), byte(word)}}
}

func newDev(tb testing.TB, opts *ads1115.Opts, ops ...i2ctest.IO) (*ads1115.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := ads1115.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		input  ads1115.Input
		ranges ads1115.Range
		rate   ads1115.Rate
		config uint16 // as it is written, with the start bit
		word   uint16
		volts  float64
		clip   bool
	}{
		// The vectors of periph's driver, and our arithmetic.
		"3.975 V":                 {ads1115.A0A3, ads1115.Range6144mV, ads1115.Rate475, 0x91C3, 0x52D0, 3.975, false},
		"3.972 V":                 {ads1115.A0A3, ads1115.Range6144mV, ads1115.Rate475, 0x91C3, 0x52C0, 3.972, false},
		"-1.375 mV":               {ads1115.A0A1, ads1115.Range256mV, ads1115.Rate128, 0x8B83, 0xFF50, -0.001375, false},
		"zero":                    {ads1115.A0A1, ads1115.Range2048mV, ads1115.Rate128, 0x8583, 0, 0, false},
		"one code of 6.144 V":     {ads1115.A0, ads1115.Range6144mV, ads1115.Rate8, 0xC103, 1, 187.5e-6, false},
		"one code of 4.096 V":     {ads1115.A1, ads1115.Range4096mV, ads1115.Rate16, 0xD323, 1, 125e-6, false},
		"one code of 2.048 V":     {ads1115.A2, ads1115.Range2048mV, ads1115.Rate32, 0xE543, 1, 62.5e-6, false},
		"one code of 1.024 V":     {ads1115.A3, ads1115.Range1024mV, ads1115.Rate64, 0xF763, 1, 31.25e-6, false},
		"one code of 0.512 V":     {ads1115.A1A3, ads1115.Range512mV, ads1115.Rate250, 0xA9A3, 1, 15.625e-6, false},
		"minus one of 0.256 V":    {ads1115.A2A3, ads1115.Range256mV, ads1115.Rate860, 0xBBE3, 0xFFFF, -7.813e-6, false},
		"highest below clipping":  {ads1115.A0A1, ads1115.Range2048mV, ads1115.Rate128, 0x8583, 0x7FFE, 2.047875, false},
		"lowest above clipping":   {ads1115.A0A1, ads1115.Range2048mV, ads1115.Rate128, 0x8583, 0x8001, -2.0479375, false},
		"saturated":               {ads1115.A0A1, ads1115.Range2048mV, ads1115.Rate128, 0x8583, 0x7FFF, 2.0479375, true},
		"saturated the other way": {ads1115.A0A1, ads1115.Range6144mV, ads1115.Rate128, 0x8183, 0x8000, -6.144, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := &ads1115.Opts{Addr: 0x48, Input: tt.input, Range: tt.ranges, Rate: tt.rate}
			idle, busy := tt.config, tt.config&0x7FFF
			dev, bus := newDev(t, opts,
				write(tt.config), read(1, busy), read(1, idle), read(0, tt.word), // single
				write(busy&^0x0100), read(1, busy&^0x0100), // continuous
				read(1, busy&^0x0100), read(0, tt.word), read(1, busy&^0x0100|0x8000), read(0, tt.word),
				write(busy)) // and asleep
			check := func(err error, r ads1115.Reading) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				want := ads1115.Reading{Volts: physic.ElectricPotential(math.Round(tt.volts * 1e9)), Clipped: tt.clip, Raw: int16(tt.word)}
				if d := r.Volts - want.Volts; d < -500 || d > 500 || r.Clipped != want.Clipped || r.Raw != want.Raw {
					t.Errorf("%+v, want %+v", r, want)
				}
			}
			var r ads1115.Reading
			if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrIdle) {
				t.Errorf("before Start: %v, want %v", err, ads1115.ErrIdle)
			}
			if err := dev.Start(); err != nil {
				t.Fatal(err)
			}
			if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrBusy) || r != (ads1115.Reading{}) {
				t.Errorf("too early: %v, %+v, want %v", err, r, ads1115.ErrBusy)
			}
			check(dev.Sense(&r), r)
			if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrIdle) {
				t.Errorf("the same conversion again: %v, want %v", err, ads1115.ErrIdle)
			}

			opts.Continuous = true
			dev, err := ads1115.New(bus, opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrReset) {
				t.Errorf("before Configure: %v, want %v", err, ads1115.ErrReset)
			}
			if err := dev.Configure(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r = ads1115.Reading{}
				check(dev.Sense(&r), r)
			}
			if err := dev.Start(); err == nil {
				t.Error("a continuous converter was started")
			}
			if err := errors.Join(dev.Halt(), dev.Halt(), bus.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFails(t *testing.T) {
	start := write(0x8583)
	tests := map[string]struct {
		ops  []i2ctest.IO
		err  error
		text string
	}{
		"not started":                {text: "write register 1"},
		"nobody there":               {ops: []i2ctest.IO{start}, text: "read register 1"},
		"short read":                 {ops: []i2ctest.IO{start, {Addr: 0x48, W: []byte{1}, R: []byte{0x85}}}, text: "read register 1"},
		"dies before the conversion": {ops: []i2ctest.IO{start, read(1, 0x8583)}, text: "read register 0"},
		"another input":              {ops: []i2ctest.IO{start, read(1, 0x9583)}, err: ads1115.ErrReset, text: "configuration 0x1583, want 0x0583"},
		"bus stuck high":             {ops: []i2ctest.IO{start, read(1, 0xFFFF)}, err: ads1115.ErrReset, text: "configuration 0x7fff"},
		"bus stuck low":              {ops: []i2ctest.IO{start, read(1, 0)}, err: ads1115.ErrReset, text: "configuration 0x0000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, ads1115.DefaultOpts(), tt.ops...)
			r := ads1115.Reading{Raw: 42}
			err := dev.Start()
			if err == nil {
				err = dev.Sense(&r)
			}
			if err == nil || tt.err != nil && !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !strings.HasPrefix(err.Error(), "ads1115@playback/0x48: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q: want %q", err, tt.text)
			}
			if r != (ads1115.Reading{Raw: 42}) {
				t.Errorf("reading changed to %+v", r)
			}
			if err := bus.Close(); err != nil && tt.err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfigureFails(t *testing.T) {
	for name, ops := range map[string][]i2ctest.IO{
		"not written":   nil,
		"not read back": {write(0x0583)},
		"another":       {write(0x0583), read(1, 0x8593)},
	} {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, ads1115.DefaultOpts(), ops...)
			if err := dev.Configure(); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*ads1115.Opts){
		"address": func(o *ads1115.Opts) { o.Addr = 0x4C },
		"input":   func(o *ads1115.Opts) { o.Input = 8 },
		"range":   func(o *ads1115.Opts) { o.Range = 6 },
		"rate":    func(o *ads1115.Opts) { o.Rate = 8 },
	} {
		t.Run(name, func(t *testing.T) {
			opts := ads1115.DefaultOpts()
			spoil(opts)
			if dev, err := ads1115.New(&i2ctest.Playback{DontPanic: true}, opts); err == nil {
				t.Errorf("got %v, want an error", dev)
			}
		})
	}
}

func TestNames(t *testing.T) {
	dev, _ := newDev(t, ads1115.DefaultOpts())
	if got, want := dev.String(), "ads1115@playback/0x48"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if err := dev.Halt(); err != nil {
		t.Error(err)
	}
	if got, want := ads1115.Rate860.Period(), 1162790*time.Nanosecond; got != want {
		t.Errorf("period %s, want %s", got, want)
	}
	if got := ads1115.Rate860.Longest(); got > ads1115.StepPeriod {
		t.Errorf("a conversion takes up to %s, more than the %s of a step", got, ads1115.StepPeriod)
	}
}

// bench is a bus with a converter and a clock that only the test moves.
type bench struct {
	now  time.Duration
	chip *sim.ADS1115
	bus  *sim.Bus
	wire *sim.Wire
}

func newBench() *bench {
	b := &bench{}
	b.chip = sim.NewADS1115(func() time.Duration { return b.now })
	b.bus = sim.NewBus("sim", 400*physic.KiloHertz)
	b.wire = b.bus.Attach(0x48, b.chip)
	return b
}

// What is at the pins comes out of the driver, within a code, on every input and
// in every range; beyond the range it is clipped.
func TestRoundTrip(t *testing.T) {
	pins := map[ads1115.Input][2]int{
		ads1115.A0A1: {0, 1}, ads1115.A0A3: {0, 3}, ads1115.A1A3: {1, 3}, ads1115.A2A3: {2, 3},
		ads1115.A0: {0, -1}, ads1115.A1: {1, -1}, ads1115.A2: {2, -1}, ads1115.A3: {3, -1},
	}
	full := []float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256}
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		opts := ads1115.DefaultOpts()
		opts.Input = ads1115.Input(rapid.IntRange(0, 7).Draw(t, "input"))
		opts.Range = ads1115.Range(rapid.IntRange(0, 5).Draw(t, "range"))
		opts.Rate = ads1115.Rate(rapid.IntRange(0, 7).Draw(t, "rate"))
		opts.Continuous = rapid.Bool().Draw(t, "continuous")
		slow := rapid.Float64Range(0.9, 1.1).Draw(t, "slow")
		b.chip.Slow(slow)
		var volts [4]float64
		for i := range volts {
			volts[i] = rapid.Float64Range(-0.3, 5.3).Draw(t, "volts")
			b.chip.Set(i, sim.Wave{Bias: volts[i]})
		}
		want := volts[pins[opts.Input][0]]
		if minus := pins[opts.Input][1]; minus >= 0 {
			want -= volts[minus]
		}
		dev, err := ads1115.New(b.bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		if opts.Continuous {
			err = dev.Configure()
		} else {
			err = dev.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		b.now += opts.Rate.Period() * 85 / 100
		var r ads1115.Reading
		if err := dev.Sense(&r); !opts.Continuous && !errors.Is(err, ads1115.ErrBusy) {
			t.Fatalf("too early: %v, want %v", err, ads1115.ErrBusy)
		}
		b.now += opts.Rate.Longest() - opts.Rate.Period()*85/100
		if err := dev.Sense(&r); err != nil {
			t.Fatal(err)
		}
		code := full[opts.Range] / 32768
		if want > full[opts.Range]-2*code || want < -full[opts.Range]+2*code {
			if math.Abs(want) > full[opts.Range]+code && (!r.Clipped || float64(r.Volts)*want < 0) {
				t.Fatalf("%+v, want %g V to be clipped", r, want)
			}
			return
		}
		if got := float64(r.Volts) / 1e9; r.Clipped || math.Abs(got-want) > 0.51*code {
			t.Fatalf("%+v, want %g V ± half of %g", r, want, code)
		}
	})
}

// A converter that lost its supply is an error, never 0 V, in both modes.
func TestPowerOnReset(t *testing.T) {
	b := newBench()
	b.chip.Set(0, sim.Wave{Bias: 1})
	opts := &ads1115.Opts{Addr: 0x48, Input: ads1115.A0, Range: ads1115.Range2048mV, Rate: ads1115.Rate860}
	dev, err := ads1115.New(b.bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	var r ads1115.Reading
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	b.chip.Reset()
	b.now += ads1115.StepPeriod
	if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrReset) || r != (ads1115.Reading{}) {
		t.Errorf("single: %v, %+v, want %v", err, r, ads1115.ErrReset)
	}
	opts.Continuous = true
	if dev, err = ads1115.New(b.bus, opts); err != nil {
		t.Fatal(err)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	b.now += ads1115.StepPeriod
	if err := dev.Sense(&r); err != nil || r.Volts != physic.Volt {
		t.Fatalf("%v, %+v, want 1 V", err, r)
	}
	b.chip.Reset()
	if err := dev.Sense(&r); !errors.Is(err, ads1115.ErrReset) {
		t.Errorf("continuous: %v, want %v", err, ads1115.ErrReset)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	b.now += ads1115.StepPeriod
	if err := dev.Sense(&r); err != nil || r.Volts != physic.Volt {
		t.Errorf("after Configure: %v, %+v, want 1 V", err, r)
	}
	b.bus.Hold(true)
	if err := dev.Sense(&r); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("on a stuck bus: %v, want %v", err, sim.ErrTimeout)
	}
	b.bus.Hold(false)
	b.bus.NACK(0x48, true)
	if err := dev.Sense(&r); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("nobody there: %v, want %v", err, sim.ErrNACK)
	}
}

// FuzzSense: a word is a voltage within its range, or an error that leaves the
// caller's value alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0x8583), uint16(0x52D0))
	f.Add(uint16(0x0583), uint16(0x8000))
	f.Add(uint16(0xFFFF), uint16(0xFFFF))
	f.Fuzz(func(t *testing.T, config, word uint16) {
		dev, _ := newDev(t, ads1115.DefaultOpts(), write(0x8583), read(1, config), read(0, word))
		if err := dev.Start(); err != nil {
			t.Fatal(err)
		}
		r := ads1115.Reading{Raw: 42}
		err := dev.Sense(&r)
		if (err == nil) != (config == 0x8583) {
			t.Fatalf("%#04x: %v", config, err)
		}
		if err != nil {
			if r != (ads1115.Reading{Raw: 42}) {
				t.Fatalf("%v, yet %+v", err, r)
			}
			return
		}
		if r.Volts < -2048*physic.MilliVolt || r.Volts >= 2048*physic.MilliVolt || (r.Volts < 0) != (word&0x8000 != 0) {
			t.Errorf("%#04x: %s", word, r.Volts)
		}
	})
}

func BenchmarkSense(b *testing.B) {
	k := newBench()
	dev, err := ads1115.New(k.bus, ads1115.DefaultOpts())
	if err != nil {
		b.Fatal(err)
	}
	var r ads1115.Reading
	b.ReportAllocs()
	for b.Loop() {
		if err := dev.Start(); err != nil {
			b.Fatal(err)
		}
		k.now += ads1115.Rate128.Longest()
		if err := dev.Sense(&r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(k.bus.BusTime().Seconds()*1000/float64(b.N), "bus-ms/op")
}

// contract is what the driver has in common with all others, of a continuous
// converter.
func contract() *drivertest.Sensor[ads1115.Reading] {
	return &drivertest.Sensor[ads1115.Reading]{
		Name: "ads1115", Addr: 0x48, Stale: ads1115.Reading{Volts: 7, Raw: 8}, Bits: 2 * drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			now := time.Duration(0)
			chip := sim.NewADS1115(func() time.Duration { now += 10 * time.Millisecond; return now })
			chip.Set(0, sim.Wave{Bias: 1.5})
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ads1115.Reading], error) {
			opts := ads1115.DefaultOpts()
			opts.Continuous = true
			dev, err := ads1115.New(bus, opts)
			if err != nil {
				return nil, err
			}
			return device{dev}, dev.Configure()
		},
		Float: ads1115.ErrReset,
	}
}

// device is a driver that is asked whether it must be set up again.
type device struct{ *ads1115.Dev }

func (d device) Check() error {
	var r ads1115.Reading
	return d.Sense(&r)
}

func TestContract(t *testing.T) { contract().Run(t) }
