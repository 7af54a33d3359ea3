package tmp102_test

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
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
)

func celsius(c float64) physic.Temperature {
	return physic.ZeroCelsius + physic.Temperature(math.Round(c*float64(physic.Celsius)))
}

func read(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x48, W: []byte{reg}, R: []byte{byte(word >> 8), byte(word)}}
}

func write(reg byte, word uint16) i2ctest.IO {
	return i2ctest.IO{Addr: 0x48, W: []byte{reg, byte(word >> 8), byte(word)}}
}

// born is the playback of New with the default options.
func born() []i2ctest.IO {
	return []i2ctest.IO{
		read(1, 0x60A0),
		write(1, 0x6080), write(2, 0x4B00), write(3, 0x5000),
		read(1, 0x60A0), read(2, 0x4B00), read(3, 0x5000),
	}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*tmp102.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(), more...), DontPanic: true}
	dev, err := tmp102.New(bus, tmp102.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	tests := map[string]struct {
		word uint16
		want float64
		err  error
	}{
		"zero":                       {word: 0x0000, want: 0},
		"one step":                   {word: 0x0010, want: 0.0625},
		"minus one step":             {word: 0xFFF0, want: -0.0625},
		"25":                         {word: 0x1900, want: 25},
		"29.5, from a real FM75":     {word: 0x1D80, want: 29.5},
		"30, from a real FM75":       {word: 0x1E00, want: 30},
		"100":                        {word: 0x6400, want: 100},
		"-25":                        {word: 0xE700, want: -25},
		"-55, the lower end":         {word: 0xC900, want: -55},
		"below the lower end":        {word: 0xC8F0, err: tmp102.ErrWord},
		"saturated":                  {word: 0x7FF0, want: 127.9375},
		"the lowest word":            {word: 0x8000, err: tmp102.ErrWord},
		"extended 0":                 {word: 0x0001, want: 0},
		"extended -0.25":             {word: 0xFFE1, want: -0.25},
		"extended one step":          {word: 0x0009, want: 0.0625},
		"extended 128":               {word: 0x4001, want: 128},
		"extended 150, the end":      {word: 0x4B01, want: 150},
		"extended, above the end":    {word: 0x4B09, err: tmp102.ErrWord},
		"extended -55":               {word: 0xE481, want: -55},
		"all ones":                   {word: 0xFFFF, err: tmp102.ErrWord},
		"an unused bit":              {word: 0x1902, err: tmp102.ErrWord},
		"half a step in normal mode": {word: 0x1908, err: tmp102.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, read(0, tt.word))
			got := physic.Temperature(42)
			err := dev.Sense(&got)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			want := celsius(tt.want)
			if tt.err != nil {
				want = 42
				if !strings.HasPrefix(err.Error(), "tmp102@playback/0x48: temperature: ") {
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
	tests := map[string][]i2ctest.IO{
		"nobody there": nil,
		"short read":   {{Addr: 0x48, W: []byte{0}, R: []byte{0x19}}},
	}
	for name, ops := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, ops...)
			got := physic.Temperature(42)
			if err := dev.Sense(&got); err == nil || !strings.HasPrefix(err.Error(), "tmp102@playback/0x48: read register 0: ") {
				t.Errorf("error %v", err)
			}
			if got != 42 {
				t.Errorf("temperature changed to %d", got)
			}
		})
	}
}

func TestNew(t *testing.T) {
	tests := map[string]struct {
		change func(*tmp102.Opts)
		ops    []i2ctest.IO
	}{
		"default": {change: func(*tmp102.Opts) {}, ops: born()},
		"extended, limits at both ends, 0.25 Hz, alert now": {
			change: func(o *tmp102.Opts) {
				o.Extended, o.Rate, o.Low, o.High = true, tmp102.Rate250mHz, celsius(-55), celsius(150)
			},
			ops: []i2ctest.IO{
				read(1, 0x60A0),
				write(1, 0x6010), write(2, 0xE480), write(3, 0x4B00),
				read(1, 0x6010), read(2, 0xE480), read(3, 0x4B00),
			},
		},
		"8 Hz, limits rounded down to a step": {
			change: func(o *tmp102.Opts) { o.Rate, o.Low, o.High = tmp102.Rate8Hz, celsius(-0.01), celsius(60.1) },
			ops: []i2ctest.IO{
				read(1, 0x60B0),
				write(1, 0x60C0), write(2, 0xFFF0), write(3, 0x3C10),
				read(1, 0x60E0), read(2, 0xFFF0), read(3, 0x3C10),
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := tmp102.DefaultOpts()
			tt.change(opts)
			bus := &i2ctest.Playback{Ops: tt.ops, DontPanic: true}
			if _, err := tmp102.New(bus, opts); err != nil {
				t.Fatal(err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]drivertest.Refusal[tmp102.Opts]{
		"address":               {Change: func(o *tmp102.Opts) { o.Addr = 0x4C }},
		"rate":                  {Change: func(o *tmp102.Opts) { o.Rate = 4 }},
		"limits swapped":        {Change: func(o *tmp102.Opts) { o.Low, o.High = o.High, o.Low }},
		"limit above the range": {Change: func(o *tmp102.Opts) { o.High = celsius(128) }},
		"limit below the range": {Change: func(o *tmp102.Opts) { o.Low = celsius(-56) }},
		"no limits":             {Change: func(o *tmp102.Opts) { o.Low, o.High = 0, 0 }},
		"nobody there":          {},
		"bus stuck high":        {Ops: []i2ctest.IO{read(1, 0xFFFF)}, Err: tmp102.ErrWord},
		"bus stuck low":         {Ops: []i2ctest.IO{read(1, 0)}, Err: tmp102.ErrWord},
		"not written":           {Ops: born()[:1]},
		"limits not written":    {Ops: born()[:3]},
		"not read back":         {Ops: born()[:4]},
		"another configuration": {Ops: append(born()[:4], read(1, 0x60B0)), Err: tmp102.ErrReset},
		"another chip":          {Ops: append(born()[:4], read(1, 0x00A0)), Err: tmp102.ErrWord},
		"low limit not read":    {Ops: born()[:5]},
		"another low limit":     {Ops: append(born()[:5], read(2, 0)), Err: tmp102.ErrReset},
		"another high limit":    {Ops: append(born()[:6], read(3, 0)), Err: tmp102.ErrReset},
	}
	drivertest.Refuses(t, tmp102.DefaultOpts, tmp102.New, tests)
}

// Check notices a chip that lost its supply, and Configure brings it back; the
// readings stay right in between.
func TestPowerOnReset(t *testing.T) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	chip := sim.NewTMP102()
	bus.Attach(0x48, chip)
	opts := tmp102.DefaultOpts()
	opts.Extended, opts.Low, opts.High = true, celsius(55), celsius(60)
	dev, err := tmp102.New(bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	chip.SetCelsius(140)
	sense(t, dev, 140)
	if !chip.Alert() {
		t.Error("no alert at 140 °C")
	}
	if err := dev.Check(); err != nil {
		t.Error(err)
	}
	chip.Reset()
	chip.SetCelsius(61.5)
	sense(t, dev, 61.5)
	if chip.Alert() {
		t.Error("alert by limits that are lost")
	}
	if err := dev.Check(); !errors.Is(err, tmp102.ErrReset) {
		t.Errorf("Check after a reset: %v, want %v", err, tmp102.ErrReset)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	sense(t, dev, 61.5)
	if !chip.Alert() {
		t.Error("no alert at 61.5 °C")
	}
	chip.SetCelsius(55)
	if !chip.Alert() {
		t.Error("alert ended at the low limit")
	}
	chip.SetCelsius(54.9375)
	if chip.Alert() {
		t.Error("alert goes on below the low limit")
	}
	bus.Hold(true)
	if err := dev.Check(); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("Check on a stuck bus: %v, want %v", err, sim.ErrTimeout)
	}
}

func sense(t *testing.T, dev *tmp102.Dev, want float64) {
	t.Helper()
	var got physic.Temperature
	if err := dev.Sense(&got); err != nil {
		t.Fatal(err)
	}
	if got != celsius(want) {
		t.Errorf("%s, want %g °C", got, want)
	}
}

// The whole range of both modes comes back to a step.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := tmp102.DefaultOpts()
		opts.Extended = rapid.Bool().Draw(t, "extended")
		end := 127.9375
		if opts.Extended {
			end = 150
		}
		want := rapid.Float64Range(-55, end).Draw(t, "celsius")
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		chip := sim.NewTMP102()
		bus.Attach(0x48, chip)
		dev, err := tmp102.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		chip.SetCelsius(want)
		var got physic.Temperature
		if err := dev.Sense(&got); err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Celsius()-want) > 1.0/32+1e-9 {
			t.Fatalf("%s, want %g °C ± 1/32", got, want)
		}
	})
}

// FuzzSense: a word is a temperature within the range of the chip, or an error
// that leaves the caller's value alone.
func FuzzSense(f *testing.F) {
	for _, word := range []uint16{0, 0x1900, 0x7FF0, 0xC900, 0x4B01, 0xFFFF, 0x8000} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word uint16) {
		dev, _ := newDev(t, read(0, word))
		got := physic.Temperature(42)
		err := dev.Sense(&got)
		switch {
		case err != nil && got != 42:
			t.Errorf("%#04x: %v, yet %s", word, err, got)
		case err == nil && (got < celsius(-55) || got > celsius(150)):
			t.Errorf("%#04x: %s", word, got)
		case err == nil && word&0xF > 1 && word&0xF != 9:
			t.Errorf("%#04x: %s from a word with unused bits set", word, got)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[physic.Temperature] {
	return &drivertest.Sensor[physic.Temperature]{
		Name: "tmp102", Addr: 0x48, Stale: 42, Bits: drivertest.Bits(1, 2),
		Chip: func() sim.Chip {
			chip := sim.NewTMP102()
			chip.SetCelsius(31.5)
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[physic.Temperature], error) {
			return tmp102.New(bus, tmp102.DefaultOpts())
		},
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }
