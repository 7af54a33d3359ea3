package ina219_test

import (
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ina219"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg}, R: []byte{byte(word >> 8), byte(word)}}
}

func write(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg, byte(word >> 8), byte(word)}}
}

// born is the playback of New with the default options.
func born() []i2ctest.IO {
	return []i2ctest.IO{
		read(0, 0x399F),
		write(0, 0x3DDF), write(5, 0x1000),
		read(0, 0x3DDF), read(5, 0x1000),
	}
}

// sensed is the playback of one Sense.
func sensed(shunt, bus uint16) []i2ctest.IO {
	return []i2ctest.IO{read(1, shunt), read(2, bus), read(5, 0x1000)}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*ina219.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(), more...), DontPanic: true}
	dev, err := ina219.New(bus, ina219.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		shunt, bus uint16
		volts      physic.ElectricPotential
		amps       physic.ElectricCurrent
		watts      physic.Power
	}{
		"zero":       {},
		"one step":   {shunt: 1, bus: 8, volts: 4 * physic.MilliVolt, amps: 100 * physic.MicroAmpere, watts: 400},
		"minus one":  {shunt: 0xFFFF, bus: 8, volts: 4 * physic.MilliVolt, amps: -100 * physic.MicroAmpere, watts: -400},
		"flags":      {bus: 3},
		"12 V, 2 A":  {shunt: 0x4E20, bus: 0x5DC2, volts: 12 * physic.Volt, amps: 2 * physic.Ampere, watts: 24 * physic.Watt},
		"full scale": {shunt: 0x7D00, bus: 0xFA02, volts: 32 * physic.Volt, amps: 3200 * physic.MilliAmpere, watts: 102400 * physic.MilliWatt},
		"the lowest": {shunt: 0x8300, bus: 0xFA02, volts: 32 * physic.Volt, amps: -3200 * physic.MilliAmpere, watts: -102400 * physic.MilliWatt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, sensed(tt.shunt, tt.bus)...)
			var m ina219.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			want := ina219.Measurement{Volts: tt.volts, Amps: tt.amps, Watts: tt.watts, Raw: [2]uint16{tt.shunt, tt.bus}}
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
	good := sensed(1, 2)
	tests := map[string]drivertest.Fail{
		"nobody there":           {Text: "read register 0x01"},
		"dies after the current": {Ops: good[:1], Text: "read register 0x02"},
		"dies after the voltage": {Ops: good[:2], Text: "read register 0x05"},
		"short read":             {Ops: []i2ctest.IO{{Addr: 0x40, W: []byte{1}, R: []byte{1}}}, Text: "read register 0x01"},
		"all ones":               {Ops: sensed(0xFFFF, 0xFFFF)[:2], Err: ina219.ErrWord, Text: "bus voltage 0xffff"},
		"above 32 V":             {Ops: sensed(0, 0xFA08)[:2], Err: ina219.ErrWord, Text: "bus voltage 0xfa08"},
		"an unused bit":          {Ops: sensed(0, 0x0004)[:2], Err: ina219.ErrWord, Text: "bus voltage 0x0004"},
		"above 320 mV":           {Ops: sensed(0x7D01, 0)[:2], Err: ina219.ErrWord, Text: "shunt voltage 0x7d01"},
		"below -320 mV":          {Ops: sensed(0x82FF, 0)[:2], Err: ina219.ErrWord, Text: "shunt voltage 0x82ff"},
		"reset":                  {Ops: []i2ctest.IO{good[0], good[1], read(5, 0)}, Err: ina219.ErrReset, Text: "calibration 0x0000"},
		"another calibration":    {Ops: []i2ctest.IO{good[0], good[1], read(5, 0x1002)}, Err: ina219.ErrReset, Text: "calibration 0x1002"},
		"last word all ones":     {Ops: []i2ctest.IO{good[0], good[1], read(5, 0xFFFF)}, Err: ina219.ErrWord, Text: "calibration 0xffff"},
	}
	drivertest.Fails(t, ina219.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}}, newDev, tests)
}

func TestNew(t *testing.T) {
	tests := map[string]struct {
		change func(*ina219.Opts)
		conf   uint16
		window time.Duration
	}{
		"default": {change: func(*ina219.Opts) {}, conf: 0x3DDF, window: 8512 * time.Microsecond},
		"fastest, smallest range": {
			change: func(o *ina219.Opts) { o.Average, o.Max = 1, 400*physic.MilliAmpere },
			conf:   0x2447, window: 1064 * time.Microsecond,
		},
		"slowest, second range": {
			change: func(o *ina219.Opts) { o.Average, o.Max = 128, 400*physic.MilliAmpere+1 },
			conf:   0x2FFF, window: 136192 * time.Microsecond,
		},
		"third range": {
			change: func(o *ina219.Opts) { o.Max = 1600 * physic.MilliAmpere },
			conf:   0x35DF, window: 8512 * time.Microsecond,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ina219.DefaultOpts()
			tt.change(opts)
			bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
				read(0, 0x399F),
				write(0, tt.conf), write(5, 0x1000),
				read(0, tt.conf), read(5, 0x1000),
			}}
			dev, err := ina219.New(bus, opts)
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
	tests := map[string]drivertest.Refusal[ina219.Opts]{
		"address":              {Change: func(o *ina219.Opts) { o.Addr = 0x3F }},
		"no shunt":             {Change: func(o *ina219.Opts) { o.Shunt = 0 }},
		"large shunt":          {Change: func(o *ina219.Opts) { o.Shunt = 101 * physic.Ohm }},
		"average":              {Change: func(o *ina219.Opts) { o.Average = 3 }},
		"no maximum":           {Change: func(o *ina219.Opts) { o.Max = 0 }},
		"maximum too high":     {Change: func(o *ina219.Opts) { o.Max = 3200*physic.MilliAmpere + 1 }},
		"nobody there":         {},
		"bus stuck high":       {Ops: []i2ctest.IO{read(0, 0xFFFF)}, Err: ina219.ErrWord},
		"an INA226":            {Ops: []i2ctest.IO{read(0, 0x4127)}, Err: ina219.ErrWord},
		"not written":          {Ops: born()[:1]},
		"not calibrated":       {Ops: born()[:2]},
		"not read back":        {Ops: born()[:3]},
		"other configuration":  {Ops: append(born()[:3], read(0, 0x399F)), Err: ina219.ErrReset},
		"all ones afterwards":  {Ops: append(born()[:3], read(0, 0xFFFF)), Err: ina219.ErrWord},
		"calibration not read": {Ops: born()[:4]},
		"no calibration":       {Ops: append(born()[:4], read(5, 0)), Err: ina219.ErrReset},
	}
	drivertest.Refuses(t, ina219.DefaultOpts, ina219.New, tests)
}

// What the plant feeds into the model comes out of the driver within half a step
// of the registers, over the whole range.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		microOhms := rapid.Int64Range(100, 1e6).Draw(t, "shunt")
		ohms := float64(microOhms) * 1e-6
		top := rapid.SampledFrom([]float64{0.04, 0.08, 0.16, 0.32}).Draw(t, "range")
		volts := rapid.Float64Range(0, 32).Draw(t, "volts")
		amps := rapid.Float64Range(-top, top).Draw(t, "shunt volts") / ohms
		chip := sim.NewINA219(ohms)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x4F, chip)
		opts := ina219.DefaultOpts()
		opts.Addr, opts.Shunt = 0x4F, physic.ElectricResistance(microOhms)*physic.MicroOhm
		opts.Max = physic.ElectricCurrent(top / ohms * 1e9)
		dev, err := ina219.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		chip.Set(volts, amps)
		var m ina219.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		drivertest.Within(t, "volts", float64(m.Volts)/1e9, volts, 4e-3/2)
		drivertest.Within(t, "amps", float64(m.Amps)/1e9, amps, 10e-6/2/ohms)
		drivertest.Within(t, "watts", float64(m.Watts)/1e9, volts*amps, math.Abs(amps)*4e-3/2+volts*10e-6/2/ohms+1e-9)
	})
}

// Whatever words the bus delivers, a measurement has the sign of its word and is
// within the range of the chip, or the caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0), uint16(0), uint16(0x1000))
	f.Add(uint16(0xFFFF), uint16(0x5DC2), uint16(0x1000))
	f.Add(uint16(0x8300), uint16(0xFA02), uint16(0x1000))
	f.Add(uint16(0xFFFF), uint16(0xFFFF), uint16(0xFFFF))
	f.Add(uint16(0x4E20), uint16(0x2570), uint16(0))
	f.Fuzz(func(t *testing.T, shunt, bus, calibration uint16) {
		dev, _ := newDev(t, read(1, shunt), read(2, bus), read(5, calibration))
		var m ina219.Measurement
		err := dev.Sense(&m)
		if good := bus&4 == 0 && bus>>3 <= 8000 && (shunt <= 32000 || shunt >= 0x8300) && calibration == 0x1000; good != (err == nil) {
			t.Fatalf("%#04x %#04x %#04x: %v", shunt, bus, calibration, err)
		}
		if err != nil {
			if m != (ina219.Measurement{}) {
				t.Fatalf("measurement changed by a failed Sense: %+v", m)
			}
			return
		}
		if (m.Amps < 0) != (shunt >= 0x8000) || m.Amps < -3200*physic.MilliAmpere || m.Amps > 3200*physic.MilliAmpere {
			t.Errorf("%#04x: %s", shunt, m.Amps)
		}
		if m.Volts < 0 || m.Volts > 32*physic.Volt || m.Raw != [2]uint16{shunt, bus} {
			t.Errorf("%+v of %#04x, %#04x", m, shunt, bus)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[ina219.Measurement] {
	return &drivertest.Sensor[ina219.Measurement]{
		Name: "ina219", Addr: 0x40, Stale: ina219.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}}, Bits: 3 * drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewINA219(0.1)
			chip.Set(24, 1.5)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ina219.Measurement], error) {
			return ina219.New(bus, ina219.DefaultOpts())
		},
		Float: ina219.ErrWord,
		Lost:  ina219.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
