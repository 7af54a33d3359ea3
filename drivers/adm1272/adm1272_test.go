package adm1272_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/adm1272"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/pmbus"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(command byte, data ...byte) i2ctest.IO {
	return i2ctest.IO{Addr: 0x10, W: []byte{command}, R: data}
}

func word(command byte, word uint16) i2ctest.IO {
	return read(command, byte(word), byte(word>>8))
}

func write(data ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x10, W: data} }

// born is the playback of New, of an ADM1272 with the configuration of after
// power-on.
func born(before, config, warn uint16) []i2ctest.IO {
	return []i2ctest.IO{
		read(0x99, 3, 'A', 'D', 'I'), read(0x9A, 10, 'A', 'D', 'M', '1', '2', '7', '2'), read(0x9A, 10, 'A', 'D'),
		word(0xD4, before),
		write(0xD3, 0), write(0xD4, byte(config), byte(config>>8)), write(0xD3, 1),
		write(0x4A, byte(warn), byte(warn>>8)),
		word(0xD4, config), word(0x4A, warn),
	}
}

// usual is born with the default options.
func usual() []i2ctest.IO { return born(0x3F35, 0x243F, 0x0FFF) }

// sensed is the playback of one Sense.
func sensed(vin, iout uint16) []i2ctest.IO {
	return []i2ctest.IO{word(0x88, vin), word(0x8C, iout), word(0xD4, 0x243F), word(0x4A, 0x0FFF)}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*adm1272.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(usual(), more...), DontPanic: true}
	dev, err := adm1272.New(bus, adm1272.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s %.9g, want %.9g ± %g", what, got, want, slack)
	}
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		vin, iout   uint16
		volts, amps float64
	}{
		"nothing flows": {iout: 2048},
		"one step":      {vin: 1, iout: 2049, volts: 100.0 / 4062, amps: 10.0 / 663},
		"a step back":   {iout: 2047, amps: -10.0 / 663},
		"48 V, 20 A":    {vin: 1950, iout: 3374, volts: 48.005908, amps: 20},
		"full scale":    {vin: 0x0FFF, iout: 0x0FFF, volts: 100.812408, amps: 30.874811},
		"the lowest":    {vin: 0, iout: 0, amps: -30.889894},
		// What QEMU's ADM1272 sends for 12 V, decoded exactly.
		"QEMU's voltage": {vin: 0x01E7, iout: 2048, volts: 11.989168},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, sensed(tt.vin, tt.iout)...)
			var m adm1272.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			near(t, "volts", float64(m.Volts)/1e9, tt.volts, 1e-6)
			near(t, "amps", float64(m.Amps)/1e9, tt.amps, 1e-6)
			near(t, "watts", float64(m.Watts)/1e9, float64(m.Volts)/1e9*float64(m.Amps)/1e9, 1e-6)
			if m.Raw != [2]uint16{tt.vin, tt.iout} {
				t.Errorf("raw %#x", m.Raw)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// QEMU's chip as it comes up: 300 µΩ, 12 V, 25 A (which it sends as 24.89 A), 300
// W, no temperature.
func TestQEMU(t *testing.T) {
	opts := adm1272.DefaultOpts()
	opts.Shunt = 300 * physic.MicroOhm
	ops := append(born(0x3F35, 0x243F, 0x0FFF), sensed(0x01E7, 0x09EF)...)
	ops = append(ops, word(0x97, 0x03B4), word(0x8D, 0), word(0x79, 0x007E))
	ops = append(ops, read(0x7B, 0))
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := adm1272.New(bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	var m adm1272.Measurement
	if err := dev.Sense(&m); err != nil {
		t.Fatal(err)
	}
	near(t, "volts", float64(m.Volts)/1e9, 11.989, 1e-3)
	near(t, "amps", float64(m.Amps)/1e9, 24.887, 1e-3)
	var watts physic.Power
	if err := dev.Power(&watts); err != nil {
		t.Fatal(err)
	}
	near(t, "watts", float64(watts)/1e9, 299.95, 0.01)
	temp := physic.Temperature(42)
	if err := dev.Temperature(&temp); !errors.Is(err, adm1272.ErrWord) || temp != 42 {
		t.Errorf("temperature %s, %v", temp, err)
	}
	if status, iout, err := dev.Status(); err != nil || status&pmbus.CML == 0 || iout != 0 {
		t.Errorf("status %#x %#x, %v", status, iout, err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// Full scale of every chip and range: the ADC ends where its coefficients say.
func TestRanges(t *testing.T) {
	tests := map[string]struct {
		change             func(*adm1272.Opts)
		model              string
		before, config     []byte
		volts, amps, watts float64
	}{
		"ADM1272, 60 V, 15 mV": {
			change: func(o *adm1272.Opts) { o.WideVolts, o.WideAmps = false, false },
			model:  "ADM1272", before: []byte{0x35, 0x3F}, config: []byte{0x1E, 0x24},
			volts: 60.487, amps: 15.437, watts: 28.474,
		},
		"ADM1272, 100 V, 15 mV": {
			change: func(o *adm1272.Opts) { o.WideAmps = false },
			model:  "ADM1272", before: []byte{0x00, 0x00}, config: []byte{0x2E, 0x24},
			volts: 100.812, amps: 15.437, watts: 47.459,
		},
		"ADM1272, 60 V, 30 mV, unknown bits stay": {
			change: func(o *adm1272.Opts) { o.WideVolts, o.Average = false, 128 },
			model:  "ADM1272", before: []byte{0xD0, 0xC0}, config: []byte{0xDF, 0xFF},
			volts: 60.487, amps: 30.875, watts: 56.944,
		},
		"ADM1278": {
			change: func(o *adm1272.Opts) { o.Chip, o.WideAmps, o.Average = adm1272.ADM1278, false, 1 },
			model:  "adm1278", before: []byte{0x35, 0x3F}, config: []byte{0x3F, 0x00},
			volts: 20.894, amps: 25.594, watts: 16.332,
		},
		"ADM1275, 20 V": {
			change: func(o *adm1272.Opts) { o.Chip, o.WideAmps = adm1272.ADM1275, false },
			model:  "ADM1275", before: []byte{0x5F}, config: []byte{0x3C},
			volts: 21.329, amps: 25.372,
		},
		"ADM1276, 6 V": {
			change: func(o *adm1272.Opts) { o.Chip, o.WideVolts, o.WideAmps = adm1272.ADM1276, false, false },
			model:  "ADM1276", before: []byte{0x27}, config: []byte{0x04},
			volts: 6.094, amps: 25.372, watts: 4.728,
		},
		"ADM1276, 20 V": {
			change: func(o *adm1272.Opts) { o.Chip, o.WideAmps = adm1272.ADM1276, false },
			model:  "ADM1276", before: []byte{0x27}, config: []byte{0x24},
			volts: 21.329, amps: 25.372, watts: 16.548,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := adm1272.DefaultOpts()
			tt.change(opts)
			config := append([]byte{0xD4}, tt.config...)
			ops := []i2ctest.IO{
				read(0x99, 3, 'A', 'D', 'I'), read(0x9A, append([]byte{7}, tt.model...)...),
				read(0xD4, tt.before...),
				write(0xD3, 0), write(config...), write(0xD3, 1), write(0x4A, 0xFF, 0x0F),
				read(0xD4, tt.config...), word(0x4A, 0x0FFF),
				word(0x88, 0x0FFF), word(0x8C, 0x0FFF), read(0xD4, tt.config...), word(0x4A, 0x0FFF),
			}
			if tt.watts != 0 {
				ops = append(ops, word(0x97, 1000))
			}
			bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
			dev, err := adm1272.New(bus, opts)
			if err != nil {
				t.Fatal(err)
			}
			var m adm1272.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			near(t, "volts", float64(m.Volts)/1e9, tt.volts, 1e-3)
			near(t, "amps", float64(m.Amps)/1e9, tt.amps, 1e-3)
			power := physic.Power(42)
			err = dev.Power(&power)
			if tt.watts == 0 {
				if !errors.Is(err, adm1272.ErrNone) || power != 42 {
					t.Errorf("power %s, %v", power, err)
				}
			} else {
				near(t, "watts of 1000", float64(power)/1e9, tt.watts, 1e-3)
			}
			if opts.Chip == adm1272.ADM1275 || opts.Chip == adm1272.ADM1276 {
				var temp physic.Temperature
				if err := dev.Temperature(&temp); !errors.Is(err, adm1272.ErrNone) {
					t.Errorf("temperature %s, %v", temp, err)
				}
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A failed Sense says what was tried and leaves the measurement alone.
func TestSenseFails(t *testing.T) {
	good := sensed(1, 2048)
	tests := map[string]drivertest.Fail{
		"nobody there":           {Text: "voltage: read command 0x88"},
		"dies after the voltage": {Ops: good[:1], Text: "current: read command 0x8c"},
		"dies after the current": {Ops: good[:2], Text: "configuration: read command 0xd4"},
		"dies at the end":        {Ops: good[:3], Text: "warning limit: read command 0x4a"},
		"short read":             {Ops: []i2ctest.IO{read(0x88, 1)}, Text: "voltage: read command 0x88"},
		"voltage all ones":       {Ops: sensed(0xFFFF, 0)[:1], Err: adm1272.ErrWord, Text: "voltage 0xffff"},
		"current all ones":       {Ops: sensed(1, 0xFFFF)[:2], Err: adm1272.ErrWord, Text: "current 0xffff"},
		"current of 13 bits":     {Ops: sensed(1, 0x1000)[:2], Err: adm1272.ErrWord, Text: "current 0x1000"},
		"reset":                  {Ops: append(good[:2:2], word(0xD4, 0x3F35)), Err: adm1272.ErrReset, Text: "configuration 0x3f35"},
		"limit is gone":          {Ops: append(good[:3:3], word(0x4A, 0)), Err: adm1272.ErrReset, Text: "warning limit 0x0000"},
		"configuration all ones": {Ops: append(good[:2:2], word(0xD4, 0xFFFF)), Err: adm1272.ErrWord, Text: "configuration 0xffff"},
		"limit all ones":         {Ops: append(good[:3:3], word(0x4A, 0xFFFF)), Err: adm1272.ErrWord, Text: "warning limit 0xffff"},
	}
	drivertest.Fails(t, adm1272.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}}, newDev, tests)
}

func TestNewRefuses(t *testing.T) {
	other := append(usual()[:1], read(0x9A, 10, 'A', 'D', 'M', '1', '2', '7', '8'), read(0x9A, 10, 'A', 'D'))
	tests := map[string]drivertest.Refusal[adm1272.Opts]{
		"chip":                  {Change: func(o *adm1272.Opts) { o.Chip = 4 }},
		"address":               {Change: func(o *adm1272.Opts) { o.Addr = 0x80 }},
		"no shunt":              {Change: func(o *adm1272.Opts) { o.Shunt = 0 }},
		"large shunt":           {Change: func(o *adm1272.Opts) { o.Shunt = 2 * physic.Ohm }},
		"no average":            {Change: func(o *adm1272.Opts) { o.Average = 0 }},
		"average of 3":          {Change: func(o *adm1272.Opts) { o.Average = 3 }},
		"average of 256":        {Change: func(o *adm1272.Opts) { o.Average = 256 }},
		"range of an ADM1278":   {Change: func(o *adm1272.Opts) { o.Chip = adm1272.ADM1278 }},
		"limit too high":        {Change: func(o *adm1272.Opts) { o.Warn = 30875 * physic.MilliAmpere }},
		"limit past the word":   {Change: func(o *adm1272.Opts) { o.Warn = physic.KiloAmpere }},
		"limit too low":         {Change: func(o *adm1272.Opts) { o.Warn = 15 * physic.MilliAmpere }},
		"limit backwards":       {Change: func(o *adm1272.Opts) { o.Warn = -physic.Ampere }},
		"nobody there":          {},
		"another maker":         {Ops: []i2ctest.IO{read(0x99, 3, 'T', 'I', '!')}, Err: adm1272.ErrWord},
		"model not read":        {Ops: usual()[:1]},
		"another model":         {Ops: other, Err: adm1272.ErrWord},
		"model not finished":    {Ops: usual()[:2]},
		"configuration missing": {Ops: usual()[:3]},
		"bus stuck high":        {Ops: append(usual()[:3], word(0xD4, 0xFFFF)), Err: adm1272.ErrWord},
		"does not stop":         {Ops: usual()[:4]},
		"not configured":        {Ops: usual()[:5]},
		"does not go on":        {Ops: usual()[:6]},
		"no limit":              {Ops: usual()[:7]},
		"not read back":         {Ops: usual()[:8]},
		"another configuration": {Ops: append(usual()[:8], word(0xD4, 0x3F35)), Err: adm1272.ErrReset},
		"another limit":         {Ops: append(usual()[:9], word(0x4A, 0)), Err: adm1272.ErrReset},
	}
	drivertest.Refuses(t, adm1272.DefaultOpts, adm1272.New, tests)
}

func TestWarn(t *testing.T) {
	opts := adm1272.DefaultOpts()
	opts.Warn = 20*physic.Ampere + 15*physic.MilliAmpere // 3374.99 steps
	bus := &i2ctest.Playback{Ops: born(0x3F35, 0x243F, 3374), DontPanic: true}
	if _, err := adm1272.New(bus, opts); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestOthersFail(t *testing.T) {
	dev, _ := newDev(t, word(0x97, 0xFFFF), word(0x8D, 0x1000), word(0x79, 0xFFFF), word(0x79, 0))
	var power physic.Power
	var temp physic.Temperature
	status := func() error { _, _, err := dev.Status(); return err }
	for i, step := range []struct {
		f   func() error
		err error
	}{
		{func() error { return dev.Power(&power) }, adm1272.ErrWord},
		{func() error { return dev.Temperature(&temp) }, adm1272.ErrWord},
		{status, adm1272.ErrWord},
		{status, nil},
		{status, nil},
		{func() error { return dev.Power(&power) }, nil},
		{func() error { return dev.Temperature(&temp) }, nil},
		{dev.ClearFaults, nil},
	} {
		if err := step.f(); err == nil || !strings.HasPrefix(err.Error(), "adm1272@playback/0x10: ") || (step.err != nil && !errors.Is(err, step.err)) {
			t.Errorf("step %d: %v, want %v", i, err, step.err)
		}
	}
	if power != 0 || temp != 0 {
		t.Errorf("%s, %s", power, temp)
	}
}

// simulated is a driver on a model, with PEC, that warns above 20 A.
func simulated(tb testing.TB) (*adm1272.Dev, *sim.ADM1272, *sim.Bus, *sim.Wire) {
	tb.Helper()
	chip := sim.NewADM1272(0x10, 0.001)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	wire := bus.Attach(0x10, chip)
	opts := adm1272.DefaultOpts()
	opts.PEC, opts.Warn = true, 20*physic.Ampere
	dev, err := adm1272.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, chip, bus, wire
}

// A chip that lost its supply in mid-run never reads in the wrong range, and is
// itself again after Configure. A flipped bit never becomes a reading.
func TestFaults(t *testing.T) {
	dev, chip, bus, wire := simulated(t)
	chip.Set(48, 15)
	var m adm1272.Measurement
	if err := dev.Sense(&m); err != nil {
		t.Fatal(err)
	}
	before := m
	chip.Reset()
	chip.Set(48, 25)
	if err := dev.Sense(&m); !errors.Is(err, adm1272.ErrReset) || m != before {
		t.Errorf("Sense after a reset: %v, %+v", err, m)
	}
	if err := dev.Check(); !errors.Is(err, adm1272.ErrReset) {
		t.Errorf("Check after a reset: %v", err)
	}
	if _, iout, err := dev.Status(); err != nil || iout != 0 {
		t.Errorf("status %#x, %v: without a limit there is no warning", iout, err)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	if status, iout, err := dev.Status(); err != nil || iout != pmbus.IoutWarning || status&pmbus.Iout == 0 {
		t.Errorf("status %#x %#x, %v", status, iout, err)
	}
	if err := dev.Sense(&m); err != nil || math.Abs(float64(m.Amps)/1e9-25) > 0.01 {
		t.Errorf("Sense after Configure: %+v, %v", m, err)
	}
	chip.Set(48, 5)
	if _, iout, err := dev.Status(); err != nil || iout != pmbus.IoutWarning {
		t.Errorf("the warning does not stay: %#x, %v", iout, err)
	}
	if err := dev.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	if status, iout, err := dev.Status(); err != nil || status != 0 || iout != 0 {
		t.Errorf("after ClearFaults: %#x %#x, %v", status, iout, err)
	}
	var temp physic.Temperature
	chip.SetCelsius(-20)
	if err := dev.Temperature(&temp); err != nil || math.Abs(temp.Celsius()+20) > 0.13 {
		t.Errorf("temperature %s, %v", temp, err)
	}

	before = m
	for bit := range 24 {
		mask := make([]byte, 3)
		mask[bit/8] = 1 << (bit % 8)
		wire.Flip(mask, 1)
		if err := dev.Sense(&m); !errors.Is(err, pmbus.ErrPEC) || m != before {
			t.Errorf("bit %d flipped: %v, %+v", bit, err, m)
		}
	}
	wire.Float(true)
	if err := dev.Sense(&m); !errors.Is(err, pmbus.ErrPEC) || m != before {
		t.Errorf("Sense of a floating bus: %v, %+v", err, m)
	}
	wire.Float(false)
	bus.NACK(0x10, true)
	if err := dev.Sense(&m); !errors.Is(err, sim.ErrNACK) || m != before {
		t.Errorf("Sense of a dead chip: %v, %+v", err, m)
	}
	bus.NACK(0x10, false)
	bus.Hold(true)
	if err := dev.Sense(&m); !errors.Is(err, sim.ErrTimeout) || m != before {
		t.Errorf("Sense of a stuck bus: %v, %+v", err, m)
	}
}

// What the plant feeds into the model comes out of the driver within a step of the
// ADC, in all four ranges of an ADM1272, with PEC and without.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := adm1272.DefaultOpts()
		opts.WideVolts = rapid.Bool().Draw(t, "wide volts")
		opts.WideAmps = rapid.Bool().Draw(t, "wide amps")
		opts.PEC = rapid.Bool().Draw(t, "PEC")
		microOhms := rapid.Int64Range(100, 10000).Draw(t, "shunt")
		milliOhms := float64(microOhms) / 1000
		opts.Shunt = physic.ElectricResistance(microOhms) * physic.MicroOhm
		topVolts, topAmps := 60.4, 15.4/milliOhms
		if opts.WideVolts {
			topVolts = 100.8
		}
		if opts.WideAmps {
			topAmps *= 2
		}
		volts := rapid.Float64Range(0, topVolts).Draw(t, "volts")
		amps := rapid.Float64Range(-topAmps, topAmps).Draw(t, "amps")
		chip := sim.NewADM1272(0x1F, milliOhms/1000)
		chip.Set(volts, amps)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x1F, chip)
		opts.Addr = 0x1F
		dev, err := adm1272.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		var m adm1272.Measurement
		var power physic.Power
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		if err := dev.Power(&power); errors.Is(err, adm1272.ErrWord) && !opts.PEC {
			power = physic.Power(volts * amps * 1e9) // the step backwards that cannot be told
		} else if err != nil {
			t.Fatal(err)
		}
		drivertest.Within(t, "volts", float64(m.Volts)/1e9, volts, topVolts/4095)
		drivertest.Within(t, "amps", float64(m.Amps)/1e9, amps, topAmps/2047)
		// The coefficients of the power have four digits, and their own rounding.
		drivertest.Within(t, "power", float64(power)/1e9, volts*amps, topVolts*topAmps/15000+math.Abs(volts*amps)*2e-4)
	})
}

// Whatever words the bus delivers, a measurement has the sign of its word and is
// within the range of the chip, or the caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0), uint16(2048), uint16(0x243F), uint16(0x0FFF))
	f.Add(uint16(0x01E7), uint16(0x09EF), uint16(0x243F), uint16(0x0FFF))
	f.Add(uint16(0x0FFF), uint16(0), uint16(0x243F), uint16(0x0FFF))
	f.Add(uint16(0xFFFF), uint16(0xFFFF), uint16(0xFFFF), uint16(0xFFFF))
	f.Add(uint16(0x8000), uint16(1), uint16(0x3F35), uint16(0x0FFF))
	f.Fuzz(func(t *testing.T, vin, iout, config, warn uint16) {
		dev, _ := newDev(t, word(0x88, vin), word(0x8C, iout), word(0xD4, config), word(0x4A, warn))
		var m adm1272.Measurement
		err := dev.Sense(&m)
		if good := vin < 4096 && iout < 4096 && config == 0x243F && warn == 0x0FFF; good != (err == nil) {
			t.Fatalf("%#04x %#04x %#04x %#04x: %v", vin, iout, config, warn, err)
		}
		if err != nil {
			if m != (adm1272.Measurement{}) {
				t.Fatalf("measurement changed by a failed Sense: %+v", m)
			}
			return
		}
		if (m.Amps < 0) != (iout < 2048) || m.Amps < -31*physic.Ampere || m.Amps > 31*physic.Ampere {
			t.Errorf("%#04x: %s", iout, m.Amps)
		}
		if m.Volts < 0 || m.Volts > 101*physic.Volt || m.Raw != [2]uint16{vin, iout} {
			t.Errorf("%+v of %#04x, %#04x", m, vin, iout)
		}
	})
}

// sister is the model of a member of the family, at 1 mΩ.
func sister(chip adm1272.Chip) *sim.ADM1272 {
	return map[adm1272.Chip]func(uint16, float64) *sim.ADM1272{
		adm1272.ADM1272: sim.NewADM1272, adm1272.ADM1275: sim.NewADM1275, adm1272.ADM1276: sim.NewADM1276, adm1272.ADM1278: sim.NewADM1278,
	}[chip](0x10, 0.001)
}

// contract is what the drivers of the family have in common with all others.
func contract(chip adm1272.Chip) *drivertest.Sensor[adm1272.Measurement] {
	wide := chip == adm1272.ADM1272 || chip == adm1272.ADM1278 // its configuration has two bytes
	bits := 4 * drivertest.Bits(1, 3)
	if !wide {
		bits -= 9
	}
	return &drivertest.Sensor[adm1272.Measurement]{
		Name: strings.ToLower(chip.String()), Addr: 0x10, Bits: bits,
		Stale: adm1272.Measurement{Volts: 7, Amps: 8, Watts: 9, Raw: [2]uint16{4, 5}},
		Chip: func() sim.Chip {
			m := sister(chip)
			m.Set(12, 15)
			return m
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[adm1272.Measurement], error) {
			opts := adm1272.DefaultOpts()
			opts.Chip, opts.WideAmps = chip, chip == adm1272.ADM1272
			opts.PEC, opts.Warn = true, 20*physic.Ampere
			return adm1272.New(bus, opts)
		},
		Float: pmbus.ErrPEC, Lost: adm1272.ErrReset, Checked: true,
	}
}

func TestContract(t *testing.T) {
	for _, chip := range []adm1272.Chip{adm1272.ADM1272, adm1272.ADM1275, adm1272.ADM1276, adm1272.ADM1278} {
		t.Run(chip.String(), contract(chip).Run)
	}
}

// The models of the sisters, made from their coefficients apart from the driver,
// read as what they are fed with.
func TestSisters(t *testing.T) {
	for _, chip := range []adm1272.Chip{adm1272.ADM1275, adm1272.ADM1276, adm1272.ADM1278} {
		t.Run(chip.String(), func(t *testing.T) {
			for _, wide := range []bool{false, true} {
				model := sister(chip)
				bus := sim.NewBus("sim", 400*physic.KiloHertz)
				bus.Attach(0x10, model)
				opts := adm1272.DefaultOpts()
				opts.Chip, opts.WideAmps, opts.WideVolts = chip, false, wide
				dev, err := adm1272.New(bus, opts)
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []struct{ volts, amps float64 }{{5.5, 0}, {1, 12.5}, {6, 25}, {0.5, -20}} {
					model.Set(want.volts, want.amps)
					var m adm1272.Measurement
					if err := dev.Sense(&m); err != nil {
						t.Fatal(err)
					}
					drivertest.Within(t, "volts", float64(m.Volts)/1e9, want.volts, 0.003)
					drivertest.Within(t, "amps", float64(m.Amps)/1e9, want.amps, 0.007)
					if chip == adm1272.ADM1275 {
						continue
					}
					var watts physic.Power
					if err := dev.Power(&watts); err != nil {
						t.Fatal(err)
					}
					drivertest.Within(t, "watts", float64(watts)/1e9, want.volts*want.amps, 0.02)
				}
			}
		})
	}
}

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract(adm1272.ADM1272).Bench(b) }
