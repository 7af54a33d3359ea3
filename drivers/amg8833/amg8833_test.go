package amg8833_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/amg8833"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

func celsius(c float64) physic.Temperature {
	return physic.ZeroCelsius + physic.Temperature(math.Round(c*float64(physic.Celsius)))
}

func read(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x69, W: []byte{reg}, R: r} }

func write(reg, b byte) i2ctest.IO { return i2ctest.IO{Addr: 0x69, W: []byte{reg, b}} }

// born is the playback of New at a rate.
func born(rate byte) []i2ctest.IO {
	return []i2ctest.IO{write(0, 0), write(1, 0x3F), write(2, rate), read(0, 0, 0xAA, rate, 0)}
}

func newDev(tb testing.TB, more ...i2ctest.IO) (*amg8833.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(born(1), more...), DontPanic: true}
	dev, err := amg8833.New(bus, &amg8833.Opts{Addr: 0x69, Rate: amg8833.Rate1Hz})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

// picture is the pixels of a frame, all 25 °C but one.
func picture(at int, word uint16) []byte {
	b := make([]byte, 128)
	for i := range 64 {
		b[2*i] = 0x64
	}
	b[2*at], b[2*at+1] = byte(word), byte(word>>8)
	return b
}

// The words of the datasheet's two tables, both ends of both formats, and what
// cannot be.
func TestSense(t *testing.T) {
	tests := map[string]struct {
		pixel, board uint16
		want, chip   float64
		err          error
	}{
		"125":                  {pixel: 0x1F4, board: 0x7D0, want: 125, chip: 125},
		"25":                   {pixel: 0x064, board: 0x190, want: 25, chip: 25},
		"one step":             {pixel: 0x001, board: 0x001, want: 0.25, chip: 0.0625},
		"zero":                 {pixel: 0x000, board: 0x000, want: 0, chip: 0},
		"0.25":                 {pixel: 0x001, board: 0x004, want: 0.25, chip: 0.25},
		"-0.25":                {pixel: 0xFFF, board: 0x804, want: -0.25, chip: -0.25},
		"-25 and -20":          {pixel: 0xF9C, board: 0x940, want: -25, chip: -20},
		"-55":                  {pixel: 0xF24, board: 0x800 | 880, want: -55, chip: -55},
		"minus zero":           {pixel: 0x050, board: 0x800, want: 20, chip: 0},
		"the highest words":    {pixel: 0x7FF, board: 0x7FF, want: 511.75, chip: 127.9375},
		"undefined upper bits": {pixel: 0xA064, board: 0x5190, want: 25, chip: 25},
		"sign extended":        {pixel: 0xFF9C, board: 0x190, want: -25, chip: 25},
		"pixel below -55":      {pixel: 0xF23, board: 0x190, err: amg8833.ErrWord},
		"the lowest pixel":     {pixel: 0x800, board: 0x190, err: amg8833.ErrWord},
		"pixel of all ones":    {pixel: 0xFFFF, board: 0x190, err: amg8833.ErrWord},
	}
	for name, tt := range tests {
		for _, at := range []int{0, 37, 63} {
			t.Run(fmt.Sprint(name, " at ", at), func(t *testing.T) {
				dev, bus := newDev(t, read(0x0E, byte(tt.board), byte(tt.board>>8)), read(0x80, picture(at, tt.pixel)...))
				f := amg8833.Frame{Chip: 42}
				err := dev.Sense(&f)
				if !errors.Is(err, tt.err) {
					t.Fatalf("error %v, want %v", err, tt.err)
				}
				if err != nil {
					if f != (amg8833.Frame{Chip: 42}) || !strings.Contains(err.Error(), fmt.Sprintf("amg8833@playback/0x69: pixel %d: ", at)) {
						t.Errorf("frame %v, error %q", f, err)
					}
				} else {
					for i, got := range f.Pixels {
						want := celsius(25)
						if i == at {
							want = celsius(tt.want)
						}
						if got != want {
							t.Errorf("pixel %d: %s, want %s", i, got, want)
						}
					}
					if f.Chip != celsius(tt.chip) {
						t.Errorf("chip %s, want %g °C", f.Chip, tt.chip)
					}
				}
				if err := bus.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSenseFails(t *testing.T) {
	tests := map[string]struct {
		ops  []i2ctest.IO
		text string
		err  error
	}{
		"nobody there":          {nil, "read register 0x0e: ", nil},
		"short thermistor":      {[]i2ctest.IO{read(0x0E, 0x90)}, "read register 0x0e: ", nil},
		"gone in between":       {[]i2ctest.IO{read(0x0E, 0x90, 1)}, "read register 0x80: ", nil},
		"short frame":           {[]i2ctest.IO{read(0x0E, 0x90, 1), read(0x80, make([]byte, 32)...)}, "read register 0x80: ", nil},
		"bus stuck high":        {[]i2ctest.IO{read(0x0E, 0xFF, 0xFF)}, "thermistor: 0xffff: ", amg8833.ErrWord},
		"thermistor below -55":  {[]i2ctest.IO{read(0x0E, 0x71, 0x0B)}, "thermistor: 0x0b71: ", amg8833.ErrWord},
		"no frame, or held low": {[]i2ctest.IO{read(0x0E, 0, 0), read(0x80, make([]byte, 128)...)}, "no frame yet", amg8833.ErrNoFrame},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, tt.ops...)
			f := amg8833.Frame{Chip: 42}
			err := dev.Sense(&f)
			if err == nil || !strings.HasPrefix(err.Error(), "amg8833@playback/0x69: "+tt.text) || (tt.err != nil && !errors.Is(err, tt.err)) {
				t.Errorf("error %v, want %q", err, tt.text)
			}
			if f != (amg8833.Frame{Chip: 42}) {
				t.Errorf("frame changed to %v", f)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	ok := born(0)
	tests := map[string]drivertest.Refusal[amg8833.Opts]{
		"address below":   {Change: func(o *amg8833.Opts) { o.Addr = 0x67 }},
		"address above":   {Change: func(o *amg8833.Opts) { o.Addr = 0x6A }},
		"rate":            {Change: func(o *amg8833.Opts) { o.Rate = 2 }},
		"nobody there":    {},
		"not reset":       {Ops: ok[:1]},
		"rate not set":    {Ops: ok[:2]},
		"not read back":   {Ops: ok[:3]},
		"asleep":          {Ops: append(born(0)[:3], read(0, 0x10, 0, 0, 0)), Err: amg8833.ErrReset},
		"another rate":    {Ops: append(born(0)[:3], read(0, 0, 0, 1, 0)), Err: amg8833.ErrReset},
		"interrupt is on": {Ops: append(born(0)[:3], read(0, 0, 0, 0, 1)), Err: amg8833.ErrReset},
		"bus stuck high":  {Ops: append(born(0)[:3], read(0, 0xFF, 0xFF, 0xFF, 0xFF)), Err: amg8833.ErrReset},
	}
	drivertest.Refuses(t, amg8833.DefaultOpts, amg8833.New, tests)
}

// A chip that lost its supply has no frame, and says so until it has one.
func TestPowerOnReset(t *testing.T) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	chip := sim.NewAMG8833()
	bus.Attach(0x69, chip)
	dev, err := amg8833.New(bus, &amg8833.Opts{Addr: 0x69, Rate: amg8833.Rate1Hz})
	if err != nil {
		t.Fatal(err)
	}
	var scene [sim.AMG8833Pixels]float64
	var f amg8833.Frame
	if err := dev.Sense(&f); !errors.Is(err, amg8833.ErrNoFrame) {
		t.Errorf("before the first frame: %v, want %v", err, amg8833.ErrNoFrame)
	}
	scene[63] = 80
	chip.SetCelsius(&scene, -3)
	if err := dev.Sense(&f); err != nil {
		t.Fatal(err)
	}
	if got, at := f.Hottest(); got != celsius(80) || at != 63 || f.Chip != celsius(-3) {
		t.Errorf("%s at %d, chip %s", got, at, f.Chip)
	}
	chip.Reset()
	if err := dev.Sense(&f); !errors.Is(err, amg8833.ErrNoFrame) {
		t.Errorf("after a reset: %v, want %v", err, amg8833.ErrNoFrame)
	}
	if err := dev.Check(); !errors.Is(err, amg8833.ErrReset) {
		t.Errorf("Check after a reset: %v, want %v", err, amg8833.ErrReset)
	}
	if err := dev.Configure(); err != nil {
		t.Error(err)
	}
	chip.SetCelsius(&scene, -3)
	if err := dev.Sense(&f); err != nil {
		t.Error(err)
	}
	bus.Hold(true)
	if err := dev.Sense(&f); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("on a stuck bus: %v, want %v", err, sim.ErrTimeout)
	}
}

// The whole range comes back to a step.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		chip := sim.NewAMG8833()
		bus.Attach(0x69, chip)
		dev, err := amg8833.New(bus, amg8833.DefaultOpts())
		if err != nil {
			t.Fatal(err)
		}
		scene := [sim.AMG8833Pixels]float64(rapid.SliceOfN(rapid.Float64Range(-55, 200), 64, 64).Draw(t, "pixels"))
		board := rapid.Float64Range(-55, 127).Draw(t, "board")
		chip.SetCelsius(&scene, board)
		var f amg8833.Frame
		if err := dev.Sense(&f); err != nil {
			t.Fatal(err)
		}
		hot := math.Inf(-1)
		for i, got := range f.Pixels {
			hot = max(hot, scene[i])
			if math.Abs(got.Celsius()-scene[i]) > 1.0/8+1e-9 {
				t.Fatalf("pixel %d: %s, want %g °C", i, got, scene[i])
			}
		}
		if math.Abs(f.Chip.Celsius()-board) > 1.0/32+1e-9 {
			t.Fatalf("chip %s, want %g °C", f.Chip, board)
		}
		if got, at := f.Hottest(); math.Abs(got.Celsius()-hot) > 1.0/8+1e-9 || f.Pixels[at] != got {
			t.Fatalf("hottest %s at %d, want %g °C", got, at, hot)
		}
	})
}

// FuzzSense: words are temperatures within the formats, or an error that leaves
// the caller's frame alone.
func FuzzSense(f *testing.F) {
	for _, word := range []uint16{0, 0x64, 0x7FF, 0xFFF, 0x800, 0xF24, 0xFFFF} {
		f.Add(word, uint16(0x190), uint8(3))
		f.Add(uint16(0x64), word, uint8(3))
	}
	f.Fuzz(func(t *testing.T, word, board uint16, at uint8) {
		at %= 64
		dev, _ := newDev(t, read(0x0E, byte(board), byte(board>>8)), read(0x80, picture(int(at), word)...))
		frame := amg8833.Frame{Chip: 42}
		err := dev.Sense(&frame)
		switch {
		case err != nil && frame != (amg8833.Frame{Chip: 42}):
			t.Errorf("%#04x %#04x: %v, yet %v", word, board, err, frame)
		case err == nil && (word == 0xFFFF || board == 0xFFFF):
			t.Errorf("%#04x %#04x: no error", word, board)
		case err == nil && (frame.Pixels[at] < celsius(-55) || frame.Pixels[at] > celsius(511.75)):
			t.Errorf("%#04x: %s", word, frame.Pixels[at])
		case err == nil && (frame.Chip < celsius(-55) || frame.Chip > celsius(127.9375)):
			t.Errorf("%#04x: %s", board, frame.Chip)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Sensor[amg8833.Frame] {
	return &drivertest.Sensor[amg8833.Frame]{
		Name: "amg8833", Addr: 0x69, Stale: amg8833.Frame{Chip: 42}, Bits: drivertest.Bits(1, 2) + drivertest.Bits(1, 128),
		Chip: func() sim.Chip {
			chip := sim.NewAMG8833()
			room(chip)
			return chip
		},
		Feed: room,
		Start: func(bus i2c.Bus) (drivertest.Dev[amg8833.Frame], error) {
			return amg8833.New(bus, amg8833.DefaultOpts())
		},
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

// BenchmarkSense also tells the time of one reading on a 400 kHz bus.
func BenchmarkSense(b *testing.B) { contract().Bench(b) }

// room is what the chip sees and its thermistor has.
func room(chip sim.Chip) {
	if amg, ok := chip.(*sim.AMG8833); ok {
		var scene [sim.AMG8833Pixels]float64
		amg.SetCelsius(&scene, 25)
	}
}
