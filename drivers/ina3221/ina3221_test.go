package ina3221_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ina3221"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg}, R: []byte{byte(word >> 8), byte(word)}}
}

func write(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x40, W: []byte{reg, byte(word >> 8), byte(word)}}
}

// programmed is the playback of New with those words: the mask, the critical and
// the warning limit of each channel, the configuration.
func programmed(mask uint16, limits [6]uint16, config uint16) []i2ctest.IO {
	ops := []i2ctest.IO{read(0xFE, 0x5449), write(0x0F, mask)}
	for i, word := range limits {
		ops = append(ops, write(byte(7+i), word))
	}
	ops = append(ops, write(0x00, config), write(0x0E, 0x7FFC))
	for i, word := range limits {
		ops = append(ops, read(byte(7+i), word))
	}
	return append(ops, read(0x00, config), read(0x0E, 0x7FFC))
}

// born is the playback of New with the default options.
func born() []i2ctest.IO {
	return programmed(0, [6]uint16{0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8}, 0x72DF)
}

// sensed is the playback of one Sense.
func sensed(words ...uint16) []i2ctest.IO {
	var ops []i2ctest.IO
	for i, word := range words {
		ops = append(ops, read(byte(1+i), word))
	}
	return append(ops, read(0x0E, 0x7FFC))
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*ina3221.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(), more...), DontPanic: true}
	dev, err := ina3221.New(bus, ina3221.DefaultOpts())
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
		"one step":   {shunt: 0x0008, bus: 0x0008, volts: 8 * physic.MilliVolt, amps: 400 * physic.MicroAmpere, watts: 3200},
		"minus one":  {shunt: 0xFFF8, bus: 0x0008, volts: 8 * physic.MilliVolt, amps: -400 * physic.MicroAmpere, watts: -3200},
		"12 V, 1 A":  {shunt: 0x4E20, bus: 0x2EE0, volts: 12 * physic.Volt, amps: physic.Ampere, watts: 12 * physic.Watt},
		"full scale": {shunt: 0x7FF8, bus: 0x7FF8, volts: 32760 * physic.MilliVolt, amps: 1638 * physic.MilliAmpere, watts: 53660880 * physic.MicroWatt},
		"the lowest": {shunt: 0x8000, bus: 0x7FF8, volts: 32760 * physic.MilliVolt, amps: -1638400 * physic.MicroAmpere, watts: -53673984 * physic.MicroWatt},
	}
	for name, tt := range tests {
		for channel := range ina3221.Channels {
			t.Run(name, func(t *testing.T) {
				var words [6]uint16
				words[2*channel], words[2*channel+1] = tt.shunt, tt.bus
				dev, bus := newDev(t, sensed(words[:]...)...)
				var m, want ina3221.Measurement
				if err := dev.Sense(&m); err != nil {
					t.Fatal(err)
				}
				want[channel] = ina3221.Reading{Volts: tt.volts, Amps: tt.amps, Watts: tt.watts, Raw: [2]uint16{tt.shunt, tt.bus}}
				if m != want {
					t.Errorf("%+v, want %+v", m, want)
				}
				if err := bus.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A channel that is off is neither converted nor read.
func TestSenseOff(t *testing.T) {
	opts := ina3221.DefaultOpts()
	opts.Channels[0], opts.Channels[2] = ina3221.Channel{}, ina3221.Channel{}
	ops := programmed(0, [6]uint16{0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8}, 0x22DF)
	bus := &i2ctest.Playback{DontPanic: true, Ops: append(ops, read(3, 0x4E20), read(4, 0x2EE0), read(0x0E, 0x7FFC))}
	dev, err := ina3221.New(bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	m := ina3221.Measurement{{Amps: 1}, {Amps: 2}, {Amps: 3}}
	if err := dev.Sense(&m); err != nil {
		t.Fatal(err)
	}
	if m[0] != (ina3221.Reading{}) || m[1].Amps != physic.Ampere || m[2] != (ina3221.Reading{}) {
		t.Errorf("%+v", m)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// A failed Sense says what was tried and leaves the measurement alone.
func TestSenseFails(t *testing.T) {
	good := sensed(8, 16, 24, 32, 40, 48)
	tests := map[string]drivertest.Fail{
		"nobody there":         {Text: "read register 0x01"},
		"dies after a word":    {Ops: good[:1], Text: "read register 0x02"},
		"dies after a channel": {Ops: good[:2], Text: "read register 0x03"},
		"dies at the end":      {Ops: good[:6], Text: "read register 0x0e"},
		"short read":           {Ops: []i2ctest.IO{{Addr: 0x40, W: []byte{1}, R: []byte{1}}}, Text: "read register 0x01"},
		"all ones":             {Ops: sensed(0xFFFF)[:1], Err: ina3221.ErrWord, Text: "channel 1: shunt voltage 0xffff"},
		"an unused bit":        {Ops: sensed(0x0001)[:1], Err: ina3221.ErrWord, Text: "channel 1: shunt voltage 0x0001"},
		"voltage all ones":     {Ops: sensed(8, 8, 8, 0xFFFF)[:4], Err: ina3221.ErrWord, Text: "channel 2: bus voltage 0xffff"},
		"sign of the voltage":  {Ops: sensed(8, 8, 8, 8, 8, 0x8000)[:6], Err: ina3221.ErrWord, Text: "channel 3: bus voltage 0x8000"},
		"unused in voltage":    {Ops: sensed(8, 4)[:2], Err: ina3221.ErrWord, Text: "channel 1: bus voltage 0x0004"},
		"reset":                {Ops: append(good[:6:6], read(0x0E, 0x7FFE)), Err: ina3221.ErrReset, Text: "register 0x0e holds 0x7ffe"},
		"last word all ones":   {Ops: append(good[:6:6], read(0x0E, 0xFFFF)), Err: ina3221.ErrWord, Text: "register 0x0e holds 0xffff"},
	}
	drivertest.Fails(t, ina3221.Measurement{{Volts: 7, Amps: 8}, {Watts: 9}, {Raw: [2]uint16{4, 5}}}, newDev, tests)
}

func TestNew(t *testing.T) {
	none := [6]uint16{0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8, 0x7FF8}
	tests := map[string]struct {
		change func(*ina3221.Opts)
		ops    []i2ctest.IO
		window time.Duration
	}{
		"default": {change: func(*ina3221.Opts) {}, ops: born(), window: 14112 * time.Microsecond},
		"fastest": {
			change: func(o *ina3221.Opts) { o.Average, o.Conversion = 1, 140*time.Microsecond },
			ops:    programmed(0, none, 0x7007), window: 840 * time.Microsecond,
		},
		"slowest, latched, first channel only": {
			change: func(o *ina3221.Opts) {
				o.Average, o.Conversion, o.Latch = 1024, 8244*time.Microsecond, true
				o.Channels[1], o.Channels[2] = ina3221.Channel{}, ina3221.Channel{}
			},
			ops: programmed(0x0C00, none, 0x4FFF), window: 2048 * 8244 * time.Microsecond,
		},
		"limits, rounded down to a step": {
			change: func(o *ina3221.Opts) {
				o.Channels[0].Critical, o.Channels[0].Warning = physic.Ampere, 500*physic.MilliAmpere+399999
				o.Channels[1].Critical = 400 * physic.MicroAmpere
				o.Channels[2].Warning = 1637600 * physic.MicroAmpere
			},
			ops: programmed(0, [6]uint16{0x4E20, 0x2710, 0x0008, 0x7FF8, 0x7FF8, 0x7FF0}, 0x72DF), window: 14112 * time.Microsecond,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ina3221.DefaultOpts()
			tt.change(opts)
			bus := &i2ctest.Playback{DontPanic: true, Ops: tt.ops}
			dev, err := ina3221.New(bus, opts)
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
	tests := map[string]drivertest.Refusal[ina3221.Opts]{
		"address":             {Change: func(o *ina3221.Opts) { o.Addr = 0x44 }},
		"no shunt":            {Change: func(o *ina3221.Opts) { o.Channels = [3]ina3221.Channel{} }},
		"small shunt":         {Change: func(o *ina3221.Opts) { o.Channels[1].Shunt = 1 }},
		"large shunt":         {Change: func(o *ina3221.Opts) { o.Channels[2].Shunt = 101 * physic.Ohm }},
		"average":             {Change: func(o *ina3221.Opts) { o.Average = 2 }},
		"conversion":          {Change: func(o *ina3221.Opts) { o.Conversion = time.Millisecond }},
		"conversion in ns":    {Change: func(o *ina3221.Opts) { o.Conversion = 140*time.Microsecond + 1 }},
		"limit too low":       {Change: func(o *ina3221.Opts) { o.Channels[0].Critical = 399 * physic.MicroAmpere }},
		"limit backwards":     {Change: func(o *ina3221.Opts) { o.Channels[0].Warning = -physic.Ampere }},
		"limit at full scale": {Change: func(o *ina3221.Opts) { o.Channels[2].Warning = 1638 * physic.MilliAmpere }},
		"nobody there":        {},
		"bus stuck high":      {Ops: []i2ctest.IO{read(0xFE, 0xFFFF)}, Err: ina3221.ErrWord},
		"bus stuck low":       {Ops: []i2ctest.IO{read(0xFE, 0)}, Err: ina3221.ErrWord},
		"mask not written":    {Ops: born()[:1]},
		"limit not written":   {Ops: born()[:2]},
		"mark not written":    {Ops: born()[:9]},
		"not read back":       {Ops: born()[:10]},
		"another limit":       {Ops: append(born()[:10], read(7, 0)), Err: ina3221.ErrReset},
		"all ones afterwards": {Ops: append(born()[:10], read(7, 0xFFFF)), Err: ina3221.ErrWord},
		"the mark is gone":    {Ops: append(born()[:17], read(0x0E, 0x7FFE)), Err: ina3221.ErrReset},
	}
	drivertest.Refuses(t, ina3221.DefaultOpts, ina3221.New, tests)
}

func TestFlags(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want ina3221.Flags
		err  error
	}{
		"none":           {word: 0x0002},
		"ready":          {word: 0x0003, want: ina3221.Ready},
		"critical":       {word: 0x0382, want: ina3221.Critical1 | ina3221.Critical2 | ina3221.Critical3},
		"warning":        {word: 0x003A, want: ina3221.Warning1 | ina3221.Warning2 | ina3221.Warning3},
		"not programmed": {word: 0x0402, err: ina3221.ErrReset},
		"all ones":       {word: 0xFFFF, err: ina3221.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, read(0x0F, tt.word))
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

// simulated is a driver on a model, at 2 mΩ, whose pins latch above 20 A.
func simulated(tb testing.TB) (*ina3221.Dev, *sim.INA3221) {
	tb.Helper()
	chip := sim.NewINA3221([3]float64{0.002, 0.002, 0.002})
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)
	opts := ina3221.DefaultOpts()
	for i := range opts.Channels {
		opts.Channels[i] = ina3221.Channel{Shunt: 2 * physic.MilliOhm, Critical: 20 * physic.Ampere, Warning: 16 * physic.Ampere}
	}
	opts.Latch = true
	dev, err := ina3221.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, chip
}

// A chip that lost its supply in mid-run never reads as no load, and is itself
// again after Configure.
func TestPowerOnReset(t *testing.T) {
	dev, chip := simulated(t)
	chip.Set(1, 24, 15)
	var m ina3221.Measurement
	if err := dev.Sense(&m); err != nil || m[1].Amps != 15*physic.Ampere {
		t.Fatalf("%+v, %v", m, err)
	}
	before := m
	chip.Reset()
	if err := dev.Sense(&m); !errors.Is(err, ina3221.ErrReset) || m != before {
		t.Errorf("Sense after a reset: %v, %+v", err, m)
	}
	chip.Set(1, 24, 30) // at the limits of after power-on there is no alert
	critical, warning := chip.Pins()
	if err := dev.Check(); !errors.Is(err, ina3221.ErrReset) || !critical || !warning {
		t.Errorf("Check after a reset: %v, pins %t %t", err, critical, warning)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	critical, warning = chip.Pins()
	if err := dev.Sense(&m); err != nil || m[1].Amps != 30*physic.Ampere || critical || warning {
		t.Errorf("Sense after Configure: %+v, %v, pins %t %t", m, err, critical, warning)
	}
}

// The pins go by themselves when a limit is passed, and stay until Flags.
func TestAlert(t *testing.T) {
	dev, chip := simulated(t)
	for _, step := range []struct {
		amps              float64
		critical, warning bool
	}{{0, true, true}, {-40, true, true}, {16, true, true}, {16.02, true, false}, {20, true, false}, {20.02, false, false}, {0, false, false}} {
		chip.Set(2, 24, step.amps)
		if critical, warning := chip.Pins(); critical != step.critical || warning != step.warning {
			t.Errorf("%g A: pins %t %t, want %t %t", step.amps, critical, warning, step.critical, step.warning)
		}
	}
	if flags, err := dev.Flags(); err != nil || flags != ina3221.Critical3|ina3221.Warning3|ina3221.Ready {
		t.Errorf("flags %#x, %v", flags, err)
	}
	if critical, warning := chip.Pins(); !critical || !warning {
		t.Error("the pins stay after Flags")
	}
}

// What the plant feeds into the model comes out of the driver within half a step
// of the registers, over the whole range, each channel by itself.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := ina3221.DefaultOpts()
		opts.Addr = 0x43
		var ohms, volts, amps [3]float64
		for i := range ohms {
			microOhms := rapid.Int64Range(100, 1e6).Draw(t, "shunt")
			ohms[i] = float64(microOhms) * 1e-6
			opts.Channels[i].Shunt = physic.ElectricResistance(microOhms) * physic.MicroOhm
			volts[i] = rapid.Float64Range(0, 32.76).Draw(t, "volts")
			amps[i] = rapid.Float64Range(-0.1638, 0.1638).Draw(t, "shunt volts") / ohms[i]
		}
		chip := sim.NewINA3221(ohms)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x43, chip)
		dev, err := ina3221.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ohms {
			chip.Set(i, volts[i], amps[i])
		}
		var m ina3221.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		for i := range m {
			drivertest.Within(t, "volts", float64(m[i].Volts)/1e9, volts[i], 4e-3)
			drivertest.Within(t, "amps", float64(m[i].Amps)/1e9, amps[i], 20e-6/ohms[i])
			drivertest.Within(t, "watts", float64(m[i].Watts)/1e9, volts[i]*amps[i], math.Abs(amps[i])*4e-3+(volts[i]+4e-3)*20e-6/ohms[i]+1e-9)
		}
	})
}

// Whatever words the bus delivers, a measurement has the sign of its word and is
// within the range of the chip, or the caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0), uint16(0), uint16(0x7FFC))
	f.Add(uint16(0xFFF8), uint16(0x2EE0), uint16(0x7FFC))
	f.Add(uint16(0x8000), uint16(0x7FF8), uint16(0x7FFC))
	f.Add(uint16(0xFFFF), uint16(0xFFFF), uint16(0xFFFF))
	f.Add(uint16(0x4E20), uint16(0x2EE0), uint16(0x7FFE))
	f.Fuzz(func(t *testing.T, shunt, bus, mark uint16) {
		words := sensed(0, 0, shunt, bus, 0, 0)
		words[6] = read(0x0E, mark)
		dev, _ := newDev(t, words...)
		var m ina3221.Measurement
		err := dev.Sense(&m)
		if good := shunt&7 == 0 && bus&0x8007 == 0 && mark == 0x7FFC; good != (err == nil) {
			t.Fatalf("%#04x %#04x %#04x: %v", shunt, bus, mark, err)
		}
		if err != nil {
			if m != (ina3221.Measurement{}) {
				t.Fatalf("measurement changed by a failed Sense: %+v", m)
			}
			return
		}
		if (m[1].Amps < 0) != (shunt >= 0x8000) || m[1].Amps < -1638400*physic.MicroAmpere || m[1].Amps > 1638*physic.MilliAmpere {
			t.Errorf("%#04x: %s", shunt, m[1].Amps)
		}
		if m[1].Volts < 0 || m[1].Volts > 33*physic.Volt || m[1].Raw != [2]uint16{shunt, bus} || m[0] != (ina3221.Reading{}) {
			t.Errorf("%+v of %#04x, %#04x", m, shunt, bus)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[ina3221.Measurement] {
	return &drivertest.Sensor[ina3221.Measurement]{
		Name: "ina3221", Addr: 0x40, Stale: ina3221.Measurement{{Volts: 7, Amps: 8}, {Watts: 9}, {Raw: [2]uint16{4, 5}}}, Bits: 7 * drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewINA3221([3]float64{0.1, 0.1, 0.1})
			for i := range 3 {
				chip.Set(i, 24, 0.5+float64(i)/10)
			}
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ina3221.Measurement], error) {
			return ina3221.New(bus, ina3221.DefaultOpts())
		},
		Float: ina3221.ErrWord,
		Lost:  ina3221.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
