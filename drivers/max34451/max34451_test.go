package max34451_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/max34451"
	"github.com/shedguard/shedguard/drivers/pmbus"
	"github.com/shedguard/shedguard/drivers/sim"
)

func read(command byte, data ...byte) i2ctest.IO {
	return i2ctest.IO{Addr: 0x74, W: []byte{command}, R: data}
}

func word(command byte, word uint16) i2ctest.IO {
	return read(command, byte(word), byte(word>>8))
}

func write(data ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x74, W: data} }

// two are a voltage on channel 0 and a current with limits on channel 15.
func two() *max34451.Opts {
	opts := &max34451.Opts{Addr: 0x74}
	opts.Channels[0].Kind = max34451.Volts
	opts.Channels[15] = max34451.Channel{Kind: max34451.Amps, Warn: 10 * physic.Ampere, Fault: 16*physic.Ampere + 9*physic.MilliAmpere}
	return opts
}

// born is the playback of New with the options two, of a chip of that revision.
func born(revision uint16) []i2ctest.IO {
	warn, fault := byte(0x4A), byte(0x46)
	if revision < 0x12 {
		warn, fault = fault, warn
	}
	return []i2ctest.IO{
		read(0x99, 0x4D), word(0x9B, revision),
		write(0x00, 0), word(0xE4, 0x0120),
		write(0x00, 15), word(0xE4, 0x0120), write(0xE4, 0x22, 0x01),
		write(warn, 0xE8, 0x03), write(fault, 0x40, 0x06),
		write(0x00, 0), word(0xE4, 0x0120), read(0x00, 0),
		write(0x00, 15), word(0xE4, 0x0122), word(warn, 1000), word(fault, 1600), read(0x00, 15),
	}
}

// sensed is the playback of one Sense.
func sensed(volts, amps uint16) []i2ctest.IO {
	return []i2ctest.IO{
		write(0x00, 0), word(0xE4, 0x0120), word(0x8B, volts), read(0x00, 0),
		write(0x00, 15), word(0xE4, 0x0122), word(0x4A, 1000), word(0x46, 1600), word(0x8C, amps), read(0x00, 15),
	}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*max34451.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(0x12), more...), DontPanic: true}
	dev, err := max34451.New(bus, two())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		volts, amps uint16
		wantVolts   physic.ElectricPotential
		wantAmps    physic.ElectricCurrent
	}{
		"zero":        {},
		"one step":    {volts: 1, amps: 1, wantVolts: physic.MilliVolt, wantAmps: 10 * physic.MilliAmpere},
		"12 V, 3.5 A": {volts: 12000, amps: 350, wantVolts: 12 * physic.Volt, wantAmps: 3500 * physic.MilliAmpere},
		"full scale":  {volts: 0x7FFF, amps: 0x7FFF, wantVolts: 32767 * physic.MilliVolt, wantAmps: 327670 * physic.MilliAmpere},
		"the lowest":  {volts: 0x8000, amps: 0x8000, wantVolts: -32768 * physic.MilliVolt, wantAmps: -327680 * physic.MilliAmpere},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, append(sensed(tt.volts, tt.amps), sensed(tt.volts, tt.amps)[4:]...)...)
			var m, want max34451.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			want[0] = max34451.Reading{Volts: tt.wantVolts, Raw: tt.volts}
			want[15] = max34451.Reading{Amps: tt.wantAmps, Raw: tt.amps}
			if m != want {
				t.Errorf("%+v, want %+v", m, want)
			}
			var r max34451.Reading
			if err := dev.SenseChannel(15, &r); err != nil || r != want[15] {
				t.Errorf("channel 15: %+v, %v", r, err)
			}
			for _, channel := range []int{-1, 1, 16} {
				if err := dev.SenseChannel(channel, &r); err == nil || r != want[15] {
					t.Errorf("channel %d: %+v", channel, r)
				}
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A failed Sense says what was tried and leaves the measurement alone, wherever
// it fails.
func TestSenseFails(t *testing.T) {
	good := sensed(1, 2)
	swap := func(i int, op i2ctest.IO) []i2ctest.IO { return append(good[:i:i], op) }
	tests := map[string]drivertest.Fail{
		"short read":             {Ops: swap(1, read(0xE4, 1)), Text: "channel 0: read command 0xe4"},
		"configuration all ones": {Ops: swap(1, word(0xE4, 0xFFFF)), Err: max34451.ErrWord, Text: "channel 0: command 0xe4"},
		"configuration is gone":  {Ops: swap(5, word(0xE4, 0x0120)), Err: max34451.ErrReset, Text: "channel 15: command 0xe4"},
		"limit is gone":          {Ops: swap(6, word(0x4A, 0x7FFF)), Err: max34451.ErrReset, Text: "channel 15: command 0x4a"},
		"voltage all ones":       {Ops: swap(2, word(0x8B, 0xFFFF)), Err: max34451.ErrWord, Text: "channel 0: command 0x8b"},
		"current all ones":       {Ops: swap(8, word(0x8C, 0xFFFF)), Err: max34451.ErrWord, Text: "channel 15: command 0x8c"},
		"another page":           {Ops: swap(9, read(0x00, 0)), Err: max34451.ErrReset, Text: "channel 15: page 0, want 15"},
		"page all ones":          {Ops: swap(3, read(0x00, 0xFF)), Err: max34451.ErrWord, Text: "channel 0: page 255"},
	}
	for i := range good {
		channel := 15 * (i / 4)
		if i > 4 {
			channel = 15
		}
		tests[fmt.Sprintf("dies after %d", i)] = drivertest.Fail{Ops: good[:i], Text: fmt.Sprintf("channel %d: ", channel)}
	}
	drivertest.Fails(t, max34451.Measurement{{Volts: 7}, {Amps: 8}, {Raw: 9}}, newDev, tests)
}

// The limits go where the revision of the chip has them. Without limits it is not
// asked: QEMU has none and sends ones.
func TestRevision(t *testing.T) {
	for _, revision := range []uint16{0, 0x11, 0x12, 0x1111} {
		bus := &i2ctest.Playback{Ops: born(revision), DontPanic: true}
		if _, err := max34451.New(bus, two()); err != nil {
			t.Errorf("revision %#x: %v", revision, err)
		}
		if err := bus.Close(); err != nil {
			t.Errorf("revision %#x: %v", revision, err)
		}
	}
}

// A channel keeps what it is if that measures what it is to.
func TestConfigure(t *testing.T) {
	tests := map[string]struct {
		kind         max34451.Kind
		before, want uint16
		err          error
	}{
		"voltage":                  {kind: max34451.Volts, before: 0x20, want: 0x20},
		"voltage without limits":   {kind: max34451.Volts, before: 0x21, want: 0x21},
		"sequenced voltage":        {kind: max34451.Volts, before: 0x10, want: 0x10},
		"voltage, was a current":   {kind: max34451.Volts, before: 0xFE22, want: 0xFE20},
		"voltage, was off":         {kind: max34451.Volts, before: 0, want: 0x20},
		"current":                  {kind: max34451.Amps, before: 0x22, want: 0x22},
		"current, had no limits":   {kind: max34451.Amps, before: 0x23, want: 0x22},
		"current, was an input":    {kind: max34451.Amps, before: 0x34, want: 0x22},
		"current, was a sequencer": {kind: max34451.Amps, before: 0x10, err: max34451.ErrSequenced},
		"all ones":                 {kind: max34451.Amps, before: 0xFFFF, err: max34451.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ops := []i2ctest.IO{read(0x99, 0x4D), write(0x00, 7), word(0xE4, tt.before)}
			if tt.err == nil {
				if tt.want != tt.before {
					ops = append(ops, write(0xE4, byte(tt.want), byte(tt.want>>8)))
				}
				ops = append(ops, write(0x00, 7), word(0xE4, tt.want), read(0x00, 7))
			}
			bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
			opts := &max34451.Opts{Addr: 0x74}
			opts.Channels[7].Kind = tt.kind
			if _, err := max34451.New(bus, opts); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]drivertest.Refusal[max34451.Opts]{
		"address":             {Change: func(o *max34451.Opts) { o.Addr = 0x80 }},
		"no channel":          {Change: func(o *max34451.Opts) { o.Channels = [16]max34451.Channel{} }},
		"kind":                {Change: func(o *max34451.Opts) { o.Channels[3].Kind = 3 }},
		"limit of a voltage":  {Change: func(o *max34451.Opts) { o.Channels[0].Warn = physic.Ampere }},
		"limit of nothing":    {Change: func(o *max34451.Opts) { o.Channels[1].Fault = physic.Ampere }},
		"warning too low":     {Change: func(o *max34451.Opts) { o.Channels[15].Warn = 9 * physic.MilliAmpere }},
		"warning backwards":   {Change: func(o *max34451.Opts) { o.Channels[15].Warn = -physic.Ampere }},
		"fault at full scale": {Change: func(o *max34451.Opts) { o.Channels[15].Fault = 327670 * physic.MilliAmpere }},
		"fault too high":      {Change: func(o *max34451.Opts) { o.Channels[15].Fault = physic.KiloAmpere }},
		"another maker":       {Ops: []i2ctest.IO{read(0x99, 0x4E)}, Err: max34451.ErrWord},
		"bus stuck high":      {Ops: []i2ctest.IO{read(0x99, 0xFF)}, Err: max34451.ErrWord},
		"revision all ones":   {Ops: append(born(0x12)[:1], word(0x9B, 0xFFFF)), Err: max34451.ErrWord},
		"not written":         {Ops: append(born(0x12)[:10], word(0xE4, 0x0121)), Err: max34451.ErrReset},
		"page not turned":     {Ops: append(born(0x12)[:16], read(0x00, 0)), Err: max34451.ErrReset},
	}
	for i := range born(0x12) {
		tests[fmt.Sprintf("dies after %d", i)] = drivertest.Refusal[max34451.Opts]{Ops: born(0x12)[:i]}
	}
	drivertest.Refuses(t, two, max34451.New, tests)
}

func TestTemperature(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want physic.Temperature
		err  error
	}{
		"25 °C":      {word: 2500, want: physic.ZeroCelsius + 25*physic.Celsius},
		"one step":   {word: 1, want: physic.ZeroCelsius + 10*physic.MilliKelvin},
		"-10 °C":     {word: 0xFC18, want: physic.ZeroCelsius - 10*physic.Celsius},
		"-55 °C":     {word: 0xEA84, want: physic.ZeroCelsius - 55*physic.Celsius},
		"175 °C":     {word: 17500, want: physic.ZeroCelsius + 175*physic.Celsius},
		"too cold":   {word: 0xEA83, err: max34451.ErrWord},
		"too hot":    {word: 17501, err: max34451.ErrWord},
		"all ones":   {word: 0xFFFF, err: max34451.ErrWord},
		"the lowest": {word: 0x8000, err: max34451.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, write(0x00, 20), word(0x8D, tt.word))
			if tt.word != 0xFFFF {
				bus.Ops = append(bus.Ops, read(0x00, 20))
			}
			got := physic.Temperature(42)
			err := dev.Temperature(4, &got)
			if tt.err != nil {
				tt.want = 42
			}
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("%d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
			for _, sensor := range []int{-1, 0, 5} { // sensor 0: the playback is over
				if err := dev.Temperature(sensor, &got); err == nil || got != tt.want {
					t.Errorf("sensor %d: %d", sensor, got)
				}
			}
		})
	}
}

func TestStatus(t *testing.T) {
	dev, bus := newDev(t,
		write(0x00, 15), word(0x79, 0x4000), read(0x00, 15),
		write(0x00, 0), word(0x79, 0xFFFF),
		write(0x03))
	if got, err := dev.Status(15); got != pmbus.Iout || err != nil {
		t.Errorf("status %#x, %v", got, err)
	}
	if got, err := dev.Status(0); got != 0 || !errors.Is(err, max34451.ErrWord) {
		t.Errorf("status %#x, %v", got, err)
	}
	if err := dev.ClearFaults(); err != nil {
		t.Error(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
	for _, channel := range []int{-1, 0, 16} {
		if _, err := dev.Status(channel); err == nil {
			t.Errorf("status of channel %d of a dead chip", channel)
		}
	}
	if err := dev.ClearFaults(); err == nil {
		t.Error("cleared the faults of a dead chip")
	}
}

// simulated is a driver on a model of that revision, with PEC: currents with
// limits on all channels but the first.
func simulated(tb testing.TB, revision uint16) (*max34451.Dev, *sim.MAX34451, *sim.Bus, *sim.Wire) {
	tb.Helper()
	chip := sim.NewMAX34451(0x74, revision)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	wire := bus.Attach(0x74, chip)
	opts := &max34451.Opts{Addr: 0x74, PEC: true}
	opts.Channels[0].Kind = max34451.Volts
	for i := 1; i < max34451.Channels; i++ {
		opts.Channels[i] = max34451.Channel{Kind: max34451.Amps, Warn: 10 * physic.Ampere, Fault: 16 * physic.Ampere}
	}
	dev, err := max34451.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, chip, bus, wire
}

// A chip that lost its supply in mid-run never sends a voltage for a current, and
// is itself again after Configure. A flipped bit never becomes a reading.
func TestFaults(t *testing.T) {
	for _, revision := range []uint16{0x10, 0x12} {
		dev, chip, bus, wire := simulated(t, revision)
		chip.Set(0, 12, 0)
		chip.Set(5, 0, 3)
		var m max34451.Measurement
		if err := dev.Sense(&m); err != nil || m[0].Volts != 12*physic.Volt || m[5].Amps != 3*physic.Ampere {
			t.Fatalf("%+v, %v", m, err)
		}
		before := m
		chip.Reset()
		if err := dev.Sense(&m); !errors.Is(err, max34451.ErrReset) || m != before {
			t.Errorf("Sense after a reset: %v, %+v", err, m)
		}
		if err := dev.Check(); !errors.Is(err, max34451.ErrReset) {
			t.Errorf("Check after a reset: %v", err)
		}
		if err := dev.Configure(); err != nil {
			t.Fatal(err)
		}
		chip.Set(5, 0, 10)
		if got, err := dev.Status(5); got != 0 || err != nil {
			t.Errorf("at the limit: status %#x, %v", got, err)
		}
		chip.Set(5, 0, 10.01)
		chip.Set(5, 0, 1)
		if got, err := dev.Status(5); got != pmbus.Iout || err != nil {
			t.Errorf("above the limit: status %#x, %v", got, err)
		}
		if got, err := dev.Status(6); got != 0 || err != nil {
			t.Errorf("another channel: status %#x, %v", got, err)
		}
		if err := dev.ClearFaults(); err != nil {
			t.Error(err)
		}
		if got, err := dev.Status(5); got != 0 || err != nil {
			t.Errorf("after ClearFaults: status %#x, %v", got, err)
		}
		chip.SetCelsius(2, 61.5)
		var temp physic.Temperature
		if err := dev.Temperature(2, &temp); err != nil || temp != physic.ZeroCelsius+61500*physic.MilliKelvin {
			t.Errorf("temperature %s, %v", temp, err)
		}
		before = m
		wire.Flip([]byte{0, 0x10}, 1)
		if err := dev.Sense(&m); !errors.Is(err, pmbus.ErrPEC) || m != before {
			t.Errorf("a flipped bit: %v, %+v", err, m)
		}
		wire.Float(true)
		if err := dev.Sense(&m); !errors.Is(err, pmbus.ErrPEC) || m != before {
			t.Errorf("Sense of a floating bus: %v, %+v", err, m)
		}
		wire.Float(false)
		bus.NACK(0x74, true)
		if err := dev.Sense(&m); !errors.Is(err, sim.ErrNACK) || m != before {
			t.Errorf("Sense of a dead chip: %v, %+v", err, m)
		}
		bus.NACK(0x74, false)
		bus.Hold(true)
		if err := dev.Sense(&m); !errors.Is(err, sim.ErrTimeout) || m != before {
			t.Errorf("Sense of a stuck bus: %v, %+v", err, m)
		}
	}
}

// What the plant feeds into the model comes out of the driver within half a step,
// each channel by itself.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip := sim.NewMAX34451(0x74, 0x12)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x74, chip)
		opts := &max34451.Opts{Addr: 0x74, PEC: true}
		opts.Channels[0].Kind = max34451.Volts
		var volts, amps [max34451.Channels]float64
		for i := range volts {
			if i > 0 {
				opts.Channels[i].Kind = max34451.Kind(rapid.IntRange(0, 2).Draw(t, "kind"))
			}
			volts[i] = rapid.Float64Range(-32.767, 32.767).Draw(t, "volts")
			amps[i] = rapid.Float64Range(-327.67, 327.67).Draw(t, "amps")
			chip.Set(i, volts[i], amps[i])
		}
		dev, err := max34451.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		var m max34451.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		for i, c := range opts.Channels {
			var want max34451.Reading
			switch c.Kind {
			case max34451.Off:
			case max34451.Volts:
				want = max34451.Reading{Volts: physic.ElectricPotential(math.Round(volts[i]*1000)) * physic.MilliVolt}
			case max34451.Amps:
				want = max34451.Reading{Amps: physic.ElectricCurrent(math.Round(amps[i]*100)) * 10 * physic.MilliAmpere}
			}
			if m[i].Volts != want.Volts || m[i].Amps != want.Amps {
				t.Fatalf("channel %d: %+v, want %+v", i, m[i], want)
			}
		}
	})
}

// Whatever words the bus delivers, a reading has the sign of its word, or the
// caller's value is left alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(0x0122), uint16(1600), uint16(350), byte(15))
	f.Add(uint16(0x0120), uint16(1600), uint16(350), byte(15))
	f.Add(uint16(0x0122), uint16(1600), uint16(0xFFFF), byte(15))
	f.Add(uint16(0x0122), uint16(0x7FFF), uint16(0x8000), byte(0))
	f.Add(uint16(0x0122), uint16(1600), uint16(0x8000), byte(15))
	f.Fuzz(func(t *testing.T, config, fault, amps uint16, page byte) {
		dev, _ := newDev(t, write(0x00, 15), word(0xE4, config), word(0x4A, 1000), word(0x46, fault), word(0x8C, amps), read(0x00, page))
		var r max34451.Reading
		err := dev.SenseChannel(15, &r)
		if good := config == 0x0122 && fault == 1600 && amps != 0xFFFF && page == 15; good != (err == nil) {
			t.Fatalf("%#04x %#04x %#04x %d: %v", config, fault, amps, page, err)
		}
		if err != nil {
			if r != (max34451.Reading{}) {
				t.Fatalf("reading changed by a failure: %+v", r)
			}
			return
		}
		if (r.Amps < 0) != (amps >= 0x8000) || r.Volts != 0 || r.Raw != amps {
			t.Errorf("%#04x: %+v", amps, r)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[max34451.Measurement] {
	return &drivertest.Sensor[max34451.Measurement]{
		Name: "max34451", Addr: 0x74, Stale: max34451.Measurement{{Volts: 7}, {Amps: 8}, {Raw: 9}},
		// Page, configuration, value and page again; two limits of the current.
		Bits: 2*(drivertest.Bits(2, 0)+2*drivertest.Bits(1, 2)+drivertest.Bits(1, 1)) + 2*drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewMAX34451(0x74, 0x12)
			chip.Set(0, 12, 0)
			chip.Set(15, 0, 3)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[max34451.Measurement], error) {
			return max34451.New(bus, two())
		},
		Float: max34451.ErrWord,
		Lost:  max34451.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
