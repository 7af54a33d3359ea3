package ina226_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ina226"
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
		read(0, 0x4127),
		write(0, 0x4327), write(7, 0), write(6, 0), write(5, 0x0800),
		read(0, 0x4327), read(7, 0), read(5, 0x0800),
	}
}

// sensed is the playback of one Sense.
func sensed(shunt, bus uint16) []i2ctest.IO {
	return []i2ctest.IO{read(1, shunt), read(2, bus), read(5, 0x0800)}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*ina226.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(), more...), DontPanic: true}
	dev, err := ina226.New(bus, ina226.DefaultOpts())
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
		"one step":   {shunt: 1, bus: 1, volts: 1250 * physic.MicroVolt, amps: 25 * physic.MicroAmpere, watts: 31},
		"minus one":  {shunt: 0xFFFF, bus: 1, volts: 1250 * physic.MicroVolt, amps: -25 * physic.MicroAmpere, watts: -31},
		"real chip":  {bus: 0x2562, volts: 11962500 * physic.MicroVolt},
		"datasheet":  {shunt: 0x4E20, bus: 0x2570, volts: 11980 * physic.MilliVolt, amps: 500 * physic.MilliAmpere, watts: 5990 * physic.MilliWatt},
		"full scale": {shunt: 0x7FFF, bus: 0x7FFF, volts: 40958750 * physic.MicroVolt, amps: 819175 * physic.MicroAmpere, watts: 33552384031},
		"the lowest": {shunt: 0x8000, bus: 0x7FFF, volts: 40958750 * physic.MicroVolt, amps: -819200 * physic.MicroAmpere, watts: -33553408000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, sensed(tt.shunt, tt.bus)...)
			var m ina226.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			want := ina226.Measurement{Volts: tt.volts, Amps: tt.amps, Watts: tt.watts, Raw: [2]uint16{tt.shunt, tt.bus}}
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
		"all ones":               {Ops: sensed(0xFFFF, 0xFFFF)[:2], Err: ina226.ErrWord, Text: "bus voltage 0xffff"},
		"sign of the voltage":    {Ops: sensed(0, 0x8000)[:2], Err: ina226.ErrWord, Text: "bus voltage 0x8000"},
		"reset":                  {Ops: []i2ctest.IO{good[0], good[1], read(5, 0)}, Err: ina226.ErrReset, Text: "calibration 0x0000"},
		"another calibration":    {Ops: []i2ctest.IO{good[0], good[1], read(5, 0x0801)}, Err: ina226.ErrReset, Text: "calibration 0x0801"},
		"last word all ones":     {Ops: []i2ctest.IO{good[0], good[1], read(5, 0xFFFF)}, Err: ina226.ErrWord, Text: "calibration 0xffff"},
	}
	drivertest.Fails(t, ina226.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}}, newDev, tests)
}

func TestNew(t *testing.T) {
	tests := map[string]struct {
		change            func(*ina226.Opts)
		conf, mask, limit uint16
		window            time.Duration
	}{
		"default": {change: func(*ina226.Opts) {}, conf: 0x4327, window: 8800 * time.Microsecond},
		"fastest": {
			change: func(o *ina226.Opts) { o.Average, o.Conversion = 1, 140*time.Microsecond },
			conf:   0x4007, window: 280 * time.Microsecond,
		},
		"slowest": {
			change: func(o *ina226.Opts) { o.Average, o.Conversion = 1024, 8244*time.Microsecond },
			conf:   0x4FFF, window: 2048 * 8244 * time.Microsecond,
		},
		// 50 mV are 0x4E20, as in the application curves of INA230 and INA231.
		"alert at 50 mV": {
			change: func(o *ina226.Opts) {
				o.Alert = ina226.Alert{Enabled: true, Above: 500 * physic.MilliAmpere}
			},
			conf: 0x4327, mask: 0x8000, limit: 0x4E20, window: 8800 * time.Microsecond,
		},
		"latched, active high, rounded down": {
			change: func(o *ina226.Opts) {
				o.Shunt = 2 * physic.MilliOhm
				o.Alert = ina226.Alert{Enabled: true, Above: 20*physic.Ampere + 1249*physic.MicroAmpere, Latch: true, ActiveHigh: true}
			},
			conf: 0x4327, mask: 0x8003, limit: 16000, window: 8800 * time.Microsecond,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ina226.DefaultOpts()
			tt.change(opts)
			bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
				read(0, 0x4127),
				write(0, tt.conf), write(7, tt.limit), write(6, tt.mask), write(5, 0x0800),
				read(0, tt.conf), read(7, tt.limit), read(5, 0x0800),
			}}
			dev, err := ina226.New(bus, opts)
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
	above := func(a physic.ElectricCurrent) func(*ina226.Opts) {
		return func(o *ina226.Opts) { o.Alert = ina226.Alert{Enabled: true, Above: a} }
	}
	tests := map[string]drivertest.Refusal[ina226.Opts]{
		"address":              {Change: func(o *ina226.Opts) { o.Addr = 0x50 }},
		"no shunt":             {Change: func(o *ina226.Opts) { o.Shunt = 0 }},
		"large shunt":          {Change: func(o *ina226.Opts) { o.Shunt = 11 * physic.Ohm }},
		"average":              {Change: func(o *ina226.Opts) { o.Average = 2 }},
		"conversion":           {Change: func(o *ina226.Opts) { o.Conversion = time.Millisecond }},
		"conversion in ns":     {Change: func(o *ina226.Opts) { o.Conversion = 140*time.Microsecond + 1 }},
		"alert without limit":  {Change: above(0)},
		"alert at full scale":  {Change: above(819175 * physic.MicroAmpere)},
		"alert backwards":      {Change: above(-physic.Ampere)},
		"nobody there":         {},
		"bus stuck high":       {Ops: []i2ctest.IO{read(0, 0xFFFF)}, Err: ina226.ErrWord},
		"bus stuck low":        {Ops: []i2ctest.IO{read(0, 0)}, Err: ina226.ErrWord},
		"an INA219":            {Ops: []i2ctest.IO{read(0, 0x399F)}, Err: ina226.ErrWord},
		"not written":          {Ops: born()[:1]},
		"mask not written":     {Ops: born()[:3]},
		"not read back":        {Ops: born()[:5]},
		"other configuration":  {Ops: append(born()[:5], read(0, 0x4127)), Err: ina226.ErrReset},
		"all ones afterwards":  {Ops: append(born()[:5], read(0, 0xFFFF)), Err: ina226.ErrWord},
		"limit not read back":  {Ops: born()[:6]},
		"another limit":        {Ops: append(born()[:6], read(7, 1)), Err: ina226.ErrReset},
		"no calibration":       {Ops: append(born()[:7], read(5, 0)), Err: ina226.ErrReset},
		"calibration not read": {Ops: born()[:7]},
	}
	drivertest.Refuses(t, ina226.DefaultOpts, ina226.New, tests)
}

func TestFlags(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want ina226.Flags
		err  error
	}{
		"none":         {},
		"ready":        {word: 0x0008, want: ina226.Ready},
		"all":          {word: 0x001C, want: ina226.Ready | ina226.Alerted | ina226.MathOverflow},
		"another mask": {word: 0x8008, err: ina226.ErrReset},
		"all ones":     {word: 0xFFFF, err: ina226.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, read(6, tt.word))
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

// simulated is a driver on a model, at 2 mΩ, whose alert pin latches above 20 A.
func simulated(tb testing.TB) (*ina226.Dev, *sim.INA226) {
	tb.Helper()
	chip := sim.NewINA226(0.002)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)
	opts := ina226.DefaultOpts()
	opts.Shunt = 2 * physic.MilliOhm
	opts.Alert = ina226.Alert{Enabled: true, Above: 20 * physic.Ampere, Latch: true}
	dev, err := ina226.New(bus, opts)
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
	var m ina226.Measurement
	if err := dev.Sense(&m); err != nil || m.Amps != 15*physic.Ampere {
		t.Fatalf("%+v, %v", m, err)
	}
	before := m
	chip.Reset()
	if err := dev.Sense(&m); !errors.Is(err, ina226.ErrReset) || m != before {
		t.Errorf("Sense after a reset: %v, %+v", err, m)
	}
	chip.Set(48, 30) // at the limits of after power-on there is no alert
	if err := dev.Check(); !errors.Is(err, ina226.ErrReset) || !chip.Pin() {
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
	}{{0, true}, {-40, true}, {20, true}, {20.002, false}, {5, false}} {
		chip.Set(48, step.amps)
		if chip.Pin() != step.pin {
			t.Errorf("%g A: pin %t, want %t", step.amps, chip.Pin(), step.pin)
		}
	}
	if flags, err := dev.Flags(); err != nil || flags != ina226.Alerted|ina226.Ready {
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
		volts := rapid.Float64Range(0, 40.95).Draw(t, "volts")
		amps := rapid.Float64Range(-0.0819, 0.0819).Draw(t, "shunt volts") / ohms
		chip := sim.NewINA226(ohms)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x4F, chip)
		opts := ina226.DefaultOpts()
		opts.Addr, opts.Shunt = 0x4F, physic.ElectricResistance(microOhms)*physic.MicroOhm
		dev, err := ina226.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		chip.Set(volts, amps)
		var m ina226.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		drivertest.Within(t, "volts", float64(m.Volts)/1e9, volts, 1.25e-3/2)
		drivertest.Within(t, "amps", float64(m.Amps)/1e9, amps, 2.5e-6/2/ohms)
		drivertest.Within(t, "watts", float64(m.Watts)/1e9, volts*amps, math.Abs(amps)*1.25e-3/2+volts*2.5e-6/2/ohms+1e-9)
	})
}

// Whatever words the bus delivers, a measurement has the sign of its word and is
// within the range of the chip, or the caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0), uint16(0), uint16(0x0800))
	f.Add(uint16(0xFFFF), uint16(0x2562), uint16(0x0800))
	f.Add(uint16(0x8000), uint16(0x7FFF), uint16(0x0800))
	f.Add(uint16(0xFFFF), uint16(0xFFFF), uint16(0xFFFF))
	f.Add(uint16(0x4E20), uint16(0x2570), uint16(0))
	f.Fuzz(func(t *testing.T, shunt, bus, calibration uint16) {
		dev, _ := newDev(t, read(1, shunt), read(2, bus), read(5, calibration))
		var m ina226.Measurement
		err := dev.Sense(&m)
		if good := bus < 0x8000 && calibration == 0x0800; good != (err == nil) {
			t.Fatalf("%#04x %#04x %#04x: %v", shunt, bus, calibration, err)
		}
		if err != nil {
			if m != (ina226.Measurement{}) {
				t.Fatalf("measurement changed by a failed Sense: %+v", m)
			}
			return
		}
		if (m.Amps < 0) != (shunt >= 0x8000) || m.Amps < -819200*physic.MicroAmpere || m.Amps > 819175*physic.MicroAmpere {
			t.Errorf("%#04x: %s", shunt, m.Amps)
		}
		if m.Volts < 0 || m.Volts > 41*physic.Volt || m.Raw != [2]uint16{shunt, bus} {
			t.Errorf("%+v of %#04x, %#04x", m, shunt, bus)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[ina226.Measurement] {
	return &drivertest.Sensor[ina226.Measurement]{
		Name: "ina226", Addr: 0x40, Stale: ina226.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}}, Bits: 3 * drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewINA226(0.1)
			chip.Set(24, 0.5)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ina226.Measurement], error) {
			return ina226.New(bus, ina226.DefaultOpts())
		},
		Float: ina226.ErrWord,
		Lost:  ina226.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
