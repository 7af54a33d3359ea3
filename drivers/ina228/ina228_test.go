package ina228_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ina228"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg}, R: []byte{byte(word >> 8), byte(word)}}
}

func read24(reg byte, word uint32) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg}, R: []byte{byte(word >> 16), byte(word >> 8), byte(word)}}
}

func write(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg, byte(word >> 8), byte(word)}}
}

// programmed is the playback of New with those words.
func programmed(diag, amps, volts, temp, watts, adc, config uint16) []i2ctest.IO {
	return []i2ctest.IO{
		read(0x3E, 0x5449), read(0x3F, 0x2281),
		write(0x0B, diag),
		write(0x0C, amps), write(0x0E, volts), write(0x10, temp), write(0x11, watts),
		write(0x02, 0x1000), write(0x01, adc), write(0x00, config),
		read(0x3E, 0x5449), read(0x3F, 0x2281),
		read(0x0C, amps), read(0x0E, volts), read(0x10, temp), read(0x11, watts),
		read(0x02, 0x1000), read(0x01, adc), read(0x00, config),
	}
}

// born is the playback of New with the default options.
func born() []i2ctest.IO {
	return programmed(1, 0x7FFF, 0x7FFF, 0x7FFF, 0xFFFF, 0xFB69, 0x0040)
}

// sensed is the playback of one Sense.
func sensed(shunt, bus uint32) []i2ctest.IO {
	return []i2ctest.IO{read24(4, shunt), read24(5, bus), read(0, 0x0040)}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*ina228.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(), more...), DontPanic: true}
	dev, err := ina228.New(bus, ina228.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		shunt, bus uint32
		volts      physic.ElectricPotential
		amps       physic.ElectricCurrent
		watts      physic.Power
	}{
		"zero":       {},
		"one step":   {shunt: 0x10, bus: 0x10, volts: 195313, amps: 20833, watts: 4},
		"minus one":  {shunt: 0xFFFFF0, bus: 0x10, volts: 195313, amps: -20833, watts: -4},
		"real chip":  {shunt: 0xFFFF90, bus: 0x053480, volts: 4164062500, amps: -145833, watts: -607258},
		"50 V, 10 A": {shunt: 480000 << 4, bus: 256000 << 4, volts: 50 * physic.Volt, amps: 10 * physic.Ampere, watts: 500 * physic.Watt},
		"full scale": {shunt: 0x7FFFF0, bus: 0x7FFFF0, volts: 102399804688, amps: 10922645833, watts: 1118476799975},
		"the lowest": {shunt: 0x800000, bus: 0x7FFFF0, volts: 102399804688, amps: -10922666667, watts: -1118478933373},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, sensed(tt.shunt, tt.bus)...)
			var m ina228.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			want := ina228.Measurement{Volts: tt.volts, Amps: tt.amps, Watts: tt.watts, Raw: [2]uint32{tt.shunt, tt.bus}}
			if m != want {
				t.Errorf("%+v, want %+v", m, want)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A failed Sense says what was tried and leaves the measurement alone.
func TestSenseFails(t *testing.T) {
	good := sensed(0x10, 0x20)
	tests := map[string]drivertest.Fail{
		"nobody there":           {Text: "read register 0x04"},
		"dies after the current": {Ops: good[:1], Text: "read register 0x05"},
		"dies after the voltage": {Ops: good[:2], Text: "read register 0x00"},
		"short read":             {Ops: []i2ctest.IO{read(4, 1)}, Text: "read register 0x04"},
		"all ones":               {Ops: sensed(0xFFFFFF, 0)[:1], Err: ina228.ErrWord, Text: "shunt voltage 0xffffff"},
		"unused bits":            {Ops: sensed(0x000001, 0)[:1], Err: ina228.ErrWord, Text: "shunt voltage 0x000001"},
		"voltage all ones":       {Ops: sensed(0, 0xFFFFFF)[:2], Err: ina228.ErrWord, Text: "bus voltage 0xffffff"},
		"sign of the voltage":    {Ops: sensed(0, 0x800000)[:2], Err: ina228.ErrWord, Text: "bus voltage 0x800000"},
		"unused in the voltage":  {Ops: sensed(0, 0x000008)[:2], Err: ina228.ErrWord, Text: "bus voltage 0x000008"},
		"reset":                  {Ops: []i2ctest.IO{good[0], good[1], read(0, 0)}, Err: ina228.ErrReset, Text: "configuration 0x0000"},
		"another range":          {Ops: []i2ctest.IO{good[0], good[1], read(0, 0x0050)}, Err: ina228.ErrReset, Text: "configuration 0x0050"},
		"last word all ones":     {Ops: []i2ctest.IO{good[0], good[1], read(0, 0xFFFF)}, Err: ina228.ErrWord, Text: "configuration 0xffff"},
	}
	drivertest.Fails(t, ina228.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint32{4, 5}}, newDev, tests)
}

func TestNew(t *testing.T) {
	limits := ina228.Alert{Enabled: true, Amps: 10 * physic.Ampere}
	tests := map[string]struct {
		change func(*ina228.Opts)
		ops    []i2ctest.IO
		window time.Duration
	}{
		"default": {change: func(*ina228.Opts) {}, ops: born(), window: 12624 * time.Microsecond},
		"fastest, narrow": {
			change: func(o *ina228.Opts) {
				o.Average, o.Conversion, o.Max = 1, 50*time.Microsecond, 2730*physic.MilliAmpere
			},
			ops:    programmed(1, 0x7FFF, 0x7FFF, 0x7FFF, 0xFFFF, 0xF000, 0x0050),
			window: 150 * time.Microsecond,
		},
		"slowest": {
			change: func(o *ina228.Opts) { o.Average, o.Conversion = 1024, 4120*time.Microsecond },
			ops:    programmed(1, 0x7FFF, 0x7FFF, 0x7FFF, 0xFFFF, 0xFFFF, 0x0040),
			window: 3072 * 4120 * time.Microsecond,
		},
		// The example of the datasheet: 10 A over 16.2 mΩ are 162 mV, 0x7E90; 52 V
		// are 0x4100.
		"the datasheet's limits": {
			change: func(o *ina228.Opts) {
				o.Shunt, o.Alert = 16200*physic.MicroOhm, limits
				o.Alert.Volts = 52 * physic.Volt
			},
			ops:    programmed(1, 0x7E90, 0x4100, 0x7FFF, 0xFFFF, 0xFB69, 0x0040),
			window: 12624 * time.Microsecond,
		},
		// 2 mΩ: 156.25 µA and 500 µW a step, the limit 128 mW a step.
		"all limits, latched, active high": {
			change: func(o *ina228.Opts) {
				o.Shunt, o.Max, o.Alert = 2*physic.MilliOhm, 60*physic.Ampere, limits
				o.Alert.Watts, o.Alert.Celsius = 512*physic.Watt, physic.ZeroCelsius+85*physic.Celsius
				o.Alert.Latch, o.Alert.ActiveHigh = true, true
			},
			ops:    programmed(0x9001, 4000, 0x7FFF, 10880, 4000, 0xFB69, 0x0040),
			window: 12624 * time.Microsecond,
		},
		// In the narrow range a step of the limit is 1.25 µV.
		"narrow limit": {
			change: func(o *ina228.Opts) {
				o.Shunt, o.Max, o.Alert = 2*physic.MilliOhm, 20*physic.Ampere, limits
			},
			ops:    programmed(1, 16000, 0x7FFF, 0x7FFF, 0xFFFF, 0xFB69, 0x0050),
			window: 12624 * time.Microsecond,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ina228.DefaultOpts()
			tt.change(opts)
			bus := &i2ctest.Playback{DontPanic: true, Ops: tt.ops}
			dev, err := ina228.New(bus, opts)
			if err != nil {
				t.Fatal(err)
			}
			if dev.Window() != tt.window {
				t.Errorf("window %s, want %s", dev.Window(), tt.window)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	alert := func(a ina228.Alert) func(*ina228.Opts) {
		a.Enabled = true
		return func(o *ina228.Opts) { o.Alert = a }
	}
	tests := map[string]drivertest.Refusal[ina228.Opts]{
		"address":               {Change: func(o *ina228.Opts) { o.Addr = 0x50 }},
		"no shunt":              {Change: func(o *ina228.Opts) { o.Shunt = 0 }},
		"large shunt":           {Change: func(o *ina228.Opts) { o.Shunt = 11 * physic.Ohm }},
		"no maximum":            {Change: func(o *ina228.Opts) { o.Max = 0 }},
		"maximum too high":      {Change: func(o *ina228.Opts) { o.Max = 11 * physic.Ampere }},
		"average":               {Change: func(o *ina228.Opts) { o.Average = 2 }},
		"conversion":            {Change: func(o *ina228.Opts) { o.Conversion = time.Millisecond }},
		"conversion in ns":      {Change: func(o *ina228.Opts) { o.Conversion = 50*time.Microsecond + 1 }},
		"alert without limit":   {Change: alert(ina228.Alert{})},
		"alert at full scale":   {Change: alert(ina228.Alert{Amps: 10922334 * physic.MicroAmpere})},
		"alert backwards":       {Change: alert(ina228.Alert{Amps: -physic.Ampere})},
		"voltage too high":      {Change: alert(ina228.Alert{Amps: physic.Ampere, Volts: 103 * physic.Volt})},
		"temperature too low":   {Change: alert(ina228.Alert{Amps: physic.Ampere, Celsius: physic.ZeroCelsius - 1})},
		"power too high":        {Change: alert(ina228.Alert{Amps: physic.Ampere, Watts: 2 * physic.KiloWatt})},
		"nobody there":          {},
		"bus stuck high":        {Ops: []i2ctest.IO{read(0x3E, 0xFFFF)}, Err: ina228.ErrWord},
		"bus stuck low":         {Ops: []i2ctest.IO{read(0x3E, 0)}, Err: ina228.ErrWord},
		"device not read":       {Ops: born()[:1]},
		"an INA238":             {Ops: append(born()[:1], read(0x3F, 0x2381)), Err: ina228.ErrWord},
		"not written":           {Ops: born()[:2]},
		"limits not written":    {Ops: born()[:3]},
		"not read back":         {Ops: born()[:10]},
		"limit not read back":   {Ops: born()[:12]},
		"another limit":         {Ops: append(born()[:12], read(0x0C, 0)), Err: ina228.ErrReset},
		"configuration is gone": {Ops: append(born()[:18], read(0, 0)), Err: ina228.ErrReset},
	}
	drivertest.Refuses(t, ina228.DefaultOpts, ina228.New, tests)
}

func TestFlags(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want ina228.Flags
		err  error
	}{
		"none":           {word: 0x0001},
		"ready":          {word: 0x0003, want: ina228.Ready},
		"all":            {word: 0x02D7, want: ina228.Ready | ina228.OverAmps | ina228.OverVolts | ina228.OverWatts | ina228.OverCelsius | ina228.MathOverflow},
		"others":         {word: 0x0C29},
		"not programmed": {word: 0x8001, err: ina228.ErrReset},
		"bad memory":     {word: 0x0000, err: ina228.ErrWord},
		"all ones":       {word: 0xFFFF, err: ina228.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, read(0x0B, tt.word))
			if got, err := dev.Flags(); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%#x, %v, want %#x, %v", got, err, tt.want, tt.err)
			}
		})
	}
	dev, _ := newDev(t)
	if _, err := dev.Flags(); err == nil {
		t.Error("flags of a dead chip")
	}
}

func TestTemperature(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want physic.Temperature
		err  error
	}{
		"25 °C":      {word: 3200, want: physic.ZeroCelsius + 25*physic.Celsius},
		"one step":   {word: 1, want: physic.ZeroCelsius + 7812500*physic.NanoKelvin},
		"-10 °C":     {word: 0xFB00, want: physic.ZeroCelsius - 10*physic.Celsius},
		"-55 °C":     {word: 0xE480, want: physic.ZeroCelsius - 55*physic.Celsius},
		"175 °C":     {word: 22400, want: physic.ZeroCelsius + 175*physic.Celsius},
		"too cold":   {word: 0xE47F, err: ina228.ErrWord},
		"too hot":    {word: 22401, err: ina228.ErrWord},
		"all ones":   {word: 0xFFFF, err: ina228.ErrWord},
		"the lowest": {word: 0x8000, err: ina228.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, read(6, tt.word))
			got := physic.Temperature(42)
			err := dev.Temperature(&got)
			if tt.err != nil {
				tt.want = 42
			}
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("%d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
			if err := dev.Temperature(&got); err == nil {
				t.Error("temperature of a dead chip")
			}
		})
	}
}

// simulated is a driver on a model, at 2 mΩ, whose alert pin latches above 20 A.
func simulated(tb testing.TB) (*ina228.Dev, *sim.INA228) {
	tb.Helper()
	chip := sim.NewINA228(0.002)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)
	opts := ina228.DefaultOpts()
	opts.Shunt, opts.Max = 2*physic.MilliOhm, 60*physic.Ampere
	opts.Alert = ina228.Alert{Enabled: true, Amps: 20 * physic.Ampere, Latch: true}
	dev, err := ina228.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, chip
}

// A chip that lost its supply in mid-run never reads as no load, and is itself
// again after Configure.
func TestPowerOnReset(t *testing.T) {
	dev, chip := simulated(t)
	chip.Set(48, 15)
	var m ina228.Measurement
	if err := dev.Sense(&m); err != nil || m.Amps != 15*physic.Ampere {
		t.Fatalf("%+v, %v", m, err)
	}
	before := m
	chip.Reset()
	if err := dev.Sense(&m); !errors.Is(err, ina228.ErrReset) || m != before {
		t.Errorf("Sense after a reset: %v, %+v", err, m)
	}
	chip.Set(48, 30) // at the limits of after power-on there is no alert
	if err := dev.Check(); !errors.Is(err, ina228.ErrReset) || !chip.Pin() {
		t.Errorf("Check after a reset: %v, pin %t", err, chip.Pin())
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	if err := dev.Sense(&m); err != nil || m.Amps != 30*physic.Ampere || chip.Pin() {
		t.Errorf("Sense after Configure: %+v, %v, pin %t", m, err, chip.Pin())
	}
}

// The pin goes by itself when the limit is passed, and stays until Flags.
func TestAlert(t *testing.T) {
	dev, chip := simulated(t)
	for _, step := range []struct {
		amps float64
		pin  bool
	}{{0, true}, {-40, true}, {20, true}, {20.003, false}, {5, false}} {
		chip.Set(48, step.amps)
		if chip.Pin() != step.pin {
			t.Errorf("%g A: pin %t, want %t", step.amps, chip.Pin(), step.pin)
		}
	}
	if flags, err := dev.Flags(); err != nil || flags != ina228.OverAmps|ina228.Ready {
		t.Errorf("flags %#x, %v", flags, err)
	}
	if !chip.Pin() {
		t.Error("the pin stays after Flags")
	}
}

// What the plant feeds into the model comes out of the driver within half a step
// of the registers, over the whole range.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		microOhms := rapid.Int64Range(100, 1e6).Draw(t, "shunt")
		ohms := float64(microOhms) * 1e-6
		top := rapid.SampledFrom([]float64{0.0409599, 0.1638396}).Draw(t, "range")
		step := top / (1<<19 - 1)
		volts := rapid.Float64Range(0, 102.39).Draw(t, "volts")
		amps := rapid.Float64Range(-top, top).Draw(t, "shunt volts") / ohms
		chip := sim.NewINA228(ohms)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x4F, chip)
		opts := ina228.DefaultOpts()
		opts.Addr, opts.Shunt = 0x4F, physic.ElectricResistance(microOhms)*physic.MicroOhm
		opts.Max = physic.ElectricCurrent(top / ohms * 1e9)
		dev, err := ina228.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		chip.Set(volts, amps)
		var m ina228.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		drivertest.Within(t, "volts", float64(m.Volts)/1e9, volts, 195.3125e-6/2)
		drivertest.Within(t, "amps", float64(m.Amps)/1e9, amps, step/2/ohms)
		drivertest.Within(t, "watts", float64(m.Watts)/1e9, volts*amps, math.Abs(amps)*195.3125e-6/2+volts*step/2/ohms+1e-9)
	})
}

// Whatever words the bus delivers, a measurement has the sign of its word and is
// within the range of the chip, or the caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint32(0), uint32(0), uint16(0x0040))
	f.Add(uint32(0xFFFF90), uint32(0x053480), uint16(0x0040))
	f.Add(uint32(0x800000), uint32(0x7FFFF0), uint16(0x0040))
	f.Add(uint32(0xFFFFFF), uint32(0xFFFFFF), uint16(0xFFFF))
	f.Add(uint32(0x7FFFF0), uint32(0x000010), uint16(0))
	f.Fuzz(func(t *testing.T, shunt, bus uint32, config uint16) {
		shunt, bus = shunt&0xFFFFFF, bus&0xFFFFFF
		dev, _ := newDev(t, read24(4, shunt), read24(5, bus), read(0, config))
		var m ina228.Measurement
		err := dev.Sense(&m)
		if good := shunt&0xF == 0 && bus&0x80000F == 0 && config == 0x0040; good != (err == nil) {
			t.Fatalf("%#06x %#06x %#04x: %v", shunt, bus, config, err)
		}
		if err != nil {
			if m != (ina228.Measurement{}) {
				t.Fatalf("measurement changed by a failed Sense: %+v", m)
			}
			return
		}
		if (m.Amps < 0) != (shunt >= 0x800000) || m.Amps < -11*physic.Ampere || m.Amps > 11*physic.Ampere {
			t.Errorf("%#06x: %s", shunt, m.Amps)
		}
		if m.Volts < 0 || m.Volts > 103*physic.Volt || m.Raw != [2]uint32{shunt, bus} {
			t.Errorf("%+v of %#06x, %#06x", m, shunt, bus)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[ina228.Measurement] {
	return &drivertest.Sensor[ina228.Measurement]{
		Name: "ina228", Addr: 0x40, Stale: ina228.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint32{4, 5}}, Bits: 2*drivertest.Bits(1, 3) + drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewINA228(0.015)
			chip.Set(24, 5)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ina228.Measurement], error) {
			return ina228.New(bus, ina228.DefaultOpts())
		},
		Float: ina228.ErrWord,
		Lost:  ina228.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
