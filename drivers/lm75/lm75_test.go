package lm75_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/lm75"
	"github.com/shedguard/shedguard/drivers/sim"
)

func celsius(c float64) physic.Temperature {
	return physic.ZeroCelsius + physic.Temperature(math.Round(c*float64(physic.Celsius)))
}

func read(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: []byte{reg}, R: r} }

func write(w ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: w} }

// born is the playback of New with the default limits.
func born(config byte) []i2ctest.IO {
	return []i2ctest.IO{
		read(1, 0x00),
		write(1, config), write(2, 0x4B, 0x00), write(3, 0x50, 0x00),
		read(1, config), read(2, 0x4B, 0x00), read(3, 0x50, 0x00),
	}
}

// configs is what New writes to each chip.
func configs() map[lm75.Chip]byte {
	return map[lm75.Chip]byte{lm75.LM75: 0, lm75.LM75B: 0, lm75.DS75: 0x40, lm75.TMP75: 0x60}
}

func newDev(tb testing.TB, chip lm75.Chip, more ...i2ctest.IO) (*lm75.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(configs()[chip]), more...), DontPanic: true}
	opts := lm75.DefaultOpts()
	opts.Chip = chip
	dev, err := lm75.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		chip lm75.Chip
		word [2]byte
		want float64
		err  error
	}{
		"zero":                         {word: [2]byte{0x00, 0x00}, want: 0},
		"one step":                     {word: [2]byte{0x00, 0x80}, want: 0.5},
		"minus one step":               {word: [2]byte{0xFF, 0x80}, want: -0.5},
		"29.5, from a real FM75":       {word: [2]byte{0x1D, 0x80}, want: 29.5},
		"30, from a real FM75":         {word: [2]byte{0x1E, 0x00}, want: 30},
		"125, the end":                 {word: [2]byte{0x7D, 0x00}, want: 125},
		"saturated":                    {word: [2]byte{0x7F, 0x80}, want: 127.5},
		"-25":                          {word: [2]byte{0xE7, 0x00}, want: -25},
		"-55, the lower end":           {word: [2]byte{0xC9, 0x00}, want: -55},
		"below the lower end":          {word: [2]byte{0xC8, 0x80}, err: lm75.ErrWord},
		"the lowest word":              {word: [2]byte{0x80, 0x00}, err: lm75.ErrWord},
		"undefined bits of an LM75":    {word: [2]byte{0x1D, 0xAA}, want: 29.5},
		"all ones":                     {word: [2]byte{0xFF, 0xFF}, err: lm75.ErrWord},
		"LM75B step":                   {chip: lm75.LM75B, word: [2]byte{0x00, 0x20}, want: 0.125},
		"LM75B minus one step":         {chip: lm75.LM75B, word: [2]byte{0xFF, 0xE0}, want: -0.125},
		"LM75B 127, datasheet":         {chip: lm75.LM75B, word: [2]byte{0x7F, 0x00}, want: 127},
		"LM75B unused bit":             {chip: lm75.LM75B, word: [2]byte{0x00, 0x10}, err: lm75.ErrWord},
		"DS75 step":                    {chip: lm75.DS75, word: [2]byte{0x00, 0x20}, want: 0.125},
		"DS75 unused bit":              {chip: lm75.DS75, word: [2]byte{0x00, 0x01}, err: lm75.ErrWord},
		"TMP75 step":                   {chip: lm75.TMP75, word: [2]byte{0x00, 0x10}, want: 0.0625},
		"TMP75 minus one step":         {chip: lm75.TMP75, word: [2]byte{0xFF, 0xF0}, want: -0.0625},
		"TMP75 100":                    {chip: lm75.TMP75, word: [2]byte{0x64, 0x00}, want: 100},
		"TMP75 -25":                    {chip: lm75.TMP75, word: [2]byte{0xE7, 0x00}, want: -25},
		"TMP75 -0.25":                  {chip: lm75.TMP75, word: [2]byte{0xFF, 0xC0}, want: -0.25},
		"TMP75 saturated":              {chip: lm75.TMP75, word: [2]byte{0x7F, 0xF0}, want: 127.9375},
		"TMP75 unused bit":             {chip: lm75.TMP75, word: [2]byte{0x00, 0x08}, err: lm75.ErrWord},
		"TMP75 all ones":               {chip: lm75.TMP75, word: [2]byte{0xFF, 0xFF}, err: lm75.ErrWord},
		"TMP75 below the lower end":    {chip: lm75.TMP75, word: [2]byte{0xC8, 0xF0}, err: lm75.ErrWord},
		"TMP75 at the lower end (-55)": {chip: lm75.TMP75, word: [2]byte{0xC9, 0x00}, want: -55},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, tt.chip, read(0, tt.word[:]...))
			got := physic.Temperature(42)
			err := dev.Sense(&got)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			want := celsius(tt.want)
			if tt.err != nil {
				want = 42
				if !strings.HasPrefix(err.Error(), tt.chip.String()+"@playback/0x48: temperature: ") {
					t.Errorf("error %q", err)
				}
			}
			if got != want {
				t.Errorf("%d, want %d", got, want)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSenseFails(t *testing.T) {
	for name, ops := range map[string][]i2ctest.IO{
		"nobody there": nil,
		"short read":   {read(0, 0x19)},
	} {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, lm75.LM75, ops...)
			got := physic.Temperature(42)
			if err := dev.Sense(&got); err == nil || !strings.HasPrefix(err.Error(), "lm75@playback/0x48: read register 0: ") {
				t.Errorf("error %v", err)
			}
			if got != 42 {
				t.Errorf("temperature changed to %d", got)
			}
		})
	}
}

// Limits at both ends, and rounded down to a step of 0.5 °C.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		low, high float64
		l, h      [2]byte
	}{
		"both ends":    {-55, 125, [2]byte{0xC9, 0x00}, [2]byte{0x7D, 0x00}},
		"rounded down": {-0.01, 60.4, [2]byte{0xFF, 0x80}, [2]byte{0x3C, 0x00}},
		"one step":     {60, 60.5, [2]byte{0x3C, 0x00}, [2]byte{0x3C, 0x80}},
	} {
		t.Run(name, func(t *testing.T) {
			bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
				read(1, 0x60), write(1, 0x60), write(2, tt.l[0], tt.l[1]), write(3, tt.h[0], tt.h[1]),
				read(1, 0xE0), read(2, tt.l[:]...), read(3, tt.h[0], tt.h[1]|0x7F),
			}}
			opts := &lm75.Opts{Chip: lm75.TMP75, Addr: 0x48, Low: celsius(tt.low), High: celsius(tt.high)}
			if _, err := lm75.New(bus, opts); err != nil {
				t.Fatal(err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	ok := born(0)
	tests := map[string]drivertest.Refusal[lm75.Opts]{
		"address below":           {Change: func(o *lm75.Opts) { o.Addr = 0x47 }},
		"address above":           {Change: func(o *lm75.Opts) { o.Addr = 0x50 }},
		"chip":                    {Change: func(o *lm75.Opts) { o.Chip = 4 }},
		"limits swapped":          {Change: func(o *lm75.Opts) { o.Low, o.High = o.High, o.Low }},
		"limits within a step":    {Change: func(o *lm75.Opts) { o.Low, o.High = celsius(60), celsius(60.4) }},
		"limit above the range":   {Change: func(o *lm75.Opts) { o.High = celsius(125.5) }},
		"limit below the range":   {Change: func(o *lm75.Opts) { o.Low = celsius(-55.5) }},
		"no limits":               {Change: func(o *lm75.Opts) { o.Low, o.High = 0, 0 }},
		"nobody there":            {},
		"bus stuck high":          {Ops: []i2ctest.IO{read(1, 0xFF)}, Err: lm75.ErrWord},
		"bits that do not exist":  {Ops: []i2ctest.IO{read(1, 0x20)}, Err: lm75.ErrWord},
		"stuck high, other chip":  {Change: func(o *lm75.Opts) { o.Chip = lm75.TMP75 }, Ops: []i2ctest.IO{read(1, 0xFF)}, Err: lm75.ErrWord},
		"not written":             {Ops: ok[:1]},
		"low limit not written":   {Ops: ok[:2]},
		"high limit not written":  {Ops: ok[:3]},
		"not read back":           {Ops: ok[:4]},
		"shut down":               {Ops: append(born(0)[:4], read(1, 0x01)), Err: lm75.ErrReset},
		"another chip meanwhile":  {Ops: append(born(0)[:4], read(1, 0x80)), Err: lm75.ErrWord},
		"low limit not read back": {Ops: ok[:5]},
		"another low limit":       {Ops: append(born(0)[:5], read(2, 0, 0)), Err: lm75.ErrReset},
		"another high limit":      {Ops: append(born(0)[:6], read(3, 0x50, 0x80)), Err: lm75.ErrReset},
	}
	drivertest.Refuses(t, lm75.DefaultOpts, lm75.New, tests)
}

// model is the simulated chip of each kind.
func model(c lm75.Chip) *sim.LM75 {
	switch c {
	case lm75.LM75B:
		return sim.NewLM75B()
	case lm75.DS75, lm75.TMP75:
		return sim.NewTMP75()
	default:
		return sim.NewLM75()
	}
}

// Check notices a chip that lost its supply, and Configure brings it back.
func TestPowerOnReset(t *testing.T) {
	for chip := range configs() {
		t.Run(chip.String(), func(t *testing.T) {
			bus := sim.NewBus("sim", 400*physic.KiloHertz)
			m := model(chip)
			bus.Attach(0x48, m)
			dev, err := lm75.New(bus, &lm75.Opts{Chip: chip, Addr: 0x48, Low: celsius(55), High: celsius(60)})
			if err != nil {
				t.Fatal(err)
			}
			m.SetCelsius(61.5)
			if err := dev.Check(); err != nil || !m.Alert() {
				t.Errorf("%v, alert %t at 61.5 °C", err, m.Alert())
			}
			m.Reset()
			m.SetCelsius(61.5)
			var got physic.Temperature
			if err := dev.Sense(&got); err != nil || got != celsius(61.5) {
				t.Errorf("%s, %v, want 61.5 °C", got, err)
			}
			if m.Alert() {
				t.Error("alert by limits that are lost")
			}
			if err := dev.Check(); !errors.Is(err, lm75.ErrReset) {
				t.Errorf("Check after a reset: %v, want %v", err, lm75.ErrReset)
			}
			if err := dev.Configure(); err != nil || !m.Alert() {
				t.Errorf("%v, alert %t after Configure", err, m.Alert())
			}
			bus.Hold(true)
			if err := dev.Check(); !errors.Is(err, sim.ErrTimeout) {
				t.Errorf("Check on a stuck bus: %v, want %v", err, sim.ErrTimeout)
			}
		})
	}
}

// The whole range comes back to a step of each chip.
func TestRoundTrip(t *testing.T) {
	steps := map[lm75.Chip]float64{lm75.LM75: 0.5, lm75.LM75B: 0.125, lm75.DS75: 0.125, lm75.TMP75: 0.0625}
	rapid.Check(t, func(t *rapid.T) {
		opts := lm75.DefaultOpts()
		opts.Chip = rapid.SampledFrom([]lm75.Chip{lm75.LM75, lm75.LM75B, lm75.DS75, lm75.TMP75}).Draw(t, "chip")
		step := steps[opts.Chip]
		want := rapid.Float64Range(-55, 125).Draw(t, "celsius")
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		m := model(opts.Chip)
		bus.Attach(0x48, m)
		dev, err := lm75.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		m.SetCelsius(want)
		var got physic.Temperature
		if err := dev.Sense(&got); err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Celsius()-want) > step/2+1e-9 {
			t.Fatalf("%s, want %g °C ± %g", got, want, step/2)
		}
	})
}

// FuzzSense: a word is a temperature within the range of the format, or an error
// that leaves the caller's value alone.
func FuzzSense(f *testing.F) {
	for _, word := range []uint16{0, 0x1900, 0x7FF0, 0xC900, 0xFFFF, 0x8000, 0xFF80} {
		for chip := range uint8(4) {
			f.Add(word, chip)
		}
	}
	f.Fuzz(func(t *testing.T, word uint16, chip uint8) {
		dev, _ := newDev(t, lm75.Chip(chip%4), read(0, byte(word>>8), byte(word)))
		got := physic.Temperature(42)
		err := dev.Sense(&got)
		switch {
		case err != nil && got != 42:
			t.Errorf("%#04x: %v, yet %s", word, err, got)
		case err == nil && (got < celsius(-55) || got >= celsius(128) || word == 0xFFFF):
			t.Errorf("%#04x: %s", word, got)
		case err == nil && math.Abs(got.Celsius()-float64(int16(word))/256) > 0.5:
			t.Errorf("%#04x: %s", word, got)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[physic.Temperature] {
	return &drivertest.Sensor[physic.Temperature]{
		Name: "lm75", Addr: 0x48, Stale: 42, Bits: drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewLM75()
			chip.SetCelsius(31.5)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[physic.Temperature], error) {
			return lm75.New(bus, lm75.DefaultOpts())
		},
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
