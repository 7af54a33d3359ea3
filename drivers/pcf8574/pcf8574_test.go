package pcf8574_test

import (
	"errors"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/pcf8574"
	"github.com/shedguard/shedguard/drivers/sim"
)

func write(b ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: b} }

func read(b ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, R: b} }

// newDev returns a PCF8574 with outputs 0 to 5, of which 0 and 5 are low.
func newDev(tb testing.TB, ops ...i2ctest.IO) (*pcf8574.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append([]i2ctest.IO{write(0xDE), read(0xDE)}, ops...), DontPanic: true}
	dev, err := pcf8574.New(bus, &pcf8574.Opts{Addr: 0x20, Outputs: 0x3F, Initial: 0x1E})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestBytes(t *testing.T) {
	dev, bus := newDev(t,
		write(0xC0), write(0xFF), // inputs stay 1
		read(0x7F), read(0x85), read(0x00), read(0xFF),
	)
	for _, latch := range []uint16{0x0000, 0x003F} {
		if err := dev.Set(latch); err != nil {
			t.Error(err)
		}
	}
	if got, err := dev.Latch(); err != nil || got != 0x3F {
		t.Errorf("latch %#02x, %v, want 0x3f", got, err)
	}
	if got, err := dev.Pins(); err != nil || got != 0x85 {
		t.Errorf("pins %#02x, %v, want 0x85", got, err)
	}
	for range 2 { // nothing is driven low
		if err := dev.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestBytesPCF8575(t *testing.T) {
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		write(0xFF, 0xFF), read(0xFF, 0xFF),
		write(0x34, 0xF2), read(0x35, 0x72),
		read(0x34, 0xF2), read(0x34, 0xFA),
	}}
	dev, err := pcf8574.New(bus, &pcf8574.Opts{Chip: pcf8574.PCF8575, Addr: 0x20, Outputs: 0x0FFF, Initial: 0xFFFF})
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Set(0x0234); err != nil {
		t.Error(err)
	}
	if got, err := dev.Latch(); err != nil || got != 0x0235 {
		t.Errorf("latch %#04x, %v, want 0x0235", got, err)
	}
	if err := dev.Check(); err != nil {
		t.Error(err)
	}
	if err := dev.Check(); !errors.Is(err, pcf8574.ErrReset) {
		t.Errorf("error %v, want %v", err, pcf8574.ErrReset)
	}
	if got, want := dev.String(), "pcf8575@playback/0x20"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		pins byte
		err  error
	}{
		"as written":                {0xDE, nil},
		"a high pin is pulled down": {0xDC, nil},
		"inputs are low":            {0x1E, nil},
		"power-on reset":            {0xFF, pcf8574.ErrReset},
		"one output went high":      {0xDF, pcf8574.ErrReset},
		"the other output":          {0xFE, pcf8574.ErrReset},
		"a line is held low":        {0x00, nil}, // not to be told from outputs at 0
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, read(tt.pins))
			if err := dev.Check(); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// After a write that failed it is open whether the old or the new latch is in
// the chip; neither of the two is a reset.
func TestCheckAfterAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		pins byte
		err  error
	}{
		"the old latch":  {0xDE, nil},
		"the new latch":  {0xDD, nil},
		"power-on reset": {0xFF, pcf8574.ErrReset}, // pin 5 is low in both
	} {
		t.Run(name, func(t *testing.T) {
			// The playback refuses what it does not expect and stays where it was.
			dev, _ := newDev(t, read(tt.pins))
			if err := dev.Set(0x1D); err == nil {
				t.Fatal("want an error")
			}
			if err := dev.Check(); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
		})
	}
}

// Each step of New that fails is named.
func TestNewFails(t *testing.T) {
	for text, ops := range map[string][]i2ctest.IO{
		"write latch: ": nil,
		"read pins: ":   {write(0xFF)},
	} {
		bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
		dev, err := pcf8574.New(bus, pcf8574.DefaultOpts())
		if err == nil || dev != nil || !strings.HasPrefix(err.Error(), "pcf8574@playback/0x20: "+text) {
			t.Errorf("%v, %v, want %q", dev, err, text)
		}
	}
	short := []i2ctest.IO{write(0xFF), {Addr: 0x20}}
	if dev, err := pcf8574.New(&i2ctest.Playback{Ops: short, DontPanic: true}, pcf8574.DefaultOpts()); err == nil {
		t.Errorf("short read: %v, want an error", dev)
	}
	lost := []i2ctest.IO{write(0x00), read(0xFF)}
	opts := pcf8574.DefaultOpts()
	opts.Initial = 0
	if _, err := pcf8574.New(&i2ctest.Playback{Ops: lost, DontPanic: true}, opts); !errors.Is(err, pcf8574.ErrReset) {
		t.Errorf("pins that do not follow: %v, want %v", err, pcf8574.ErrReset)
	}
}

func TestOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		opts pcf8574.Opts
		want i2ctest.IO
	}{
		"PCF8574A": {
			pcf8574.Opts{Addr: 0x3F, Outputs: 0x3F, Initial: 0x1E}, i2ctest.IO{Addr: 0x3F, W: []byte{0xDE}},
		},
		"PCF8575": {
			pcf8574.Opts{Chip: pcf8574.PCF8575, Addr: 0x27, Outputs: 0x0FFF, Initial: 0x0234},
			i2ctest.IO{Addr: 0x27, W: []byte{0x34, 0xF2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{tt.want}}
			if err := pcf8574.Open(bus, &tt.opts); err != nil {
				t.Fatal(err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
			if err := pcf8574.Open(bus, &tt.opts); err == nil || !strings.Contains(err.Error(), ": open: write latch: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// drawChip is either chip with anything in its latch.
func drawChip(t *rapid.T) (*sim.PCF8574, *sim.Bus, *pcf8574.Opts) {
	opts := &pcf8574.Opts{
		Addr:    0x20,
		Outputs: rapid.Uint16Range(1, 0xFF).Draw(t, "outputs"),
		Initial: rapid.Uint16().Draw(t, "initial"),
	}
	chip := sim.NewPCF8574()
	if rapid.Bool().Draw(t, "16 pins") {
		opts.Chip, chip = pcf8574.PCF8575, sim.NewPCF8575()
		opts.Outputs = rapid.Uint16Range(1, 0xFFFF).Draw(t, "outputs of 16")
	}
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(opts.Addr, chip)
	if err := bus.Tx(opts.Addr, rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "latch"), nil); err != nil {
		t.Fatal(err)
	}
	return chip, bus, opts
}

// Open opens whatever the latch held before, if the bus works.
func TestOpenFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus, opts := drawChip(t)
		if err := pcf8574.Open(bus, opts); err != nil {
			t.Fatal(err)
		}
		if got := chip.Outputs() & opts.Outputs; got != opts.Initial&opts.Outputs {
			t.Fatalf("outputs %#04x, want %#04x", got, opts.Initial&opts.Outputs)
		}
	})
}

// What is set is on the pins, inputs are let go, and a reset is noticed unless it
// changes nothing.
func TestNewFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus, opts := drawChip(t)
		dev, err := pcf8574.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(t, "sets") {
			latch := rapid.Uint16().Draw(t, "latch")
			want := latch & opts.Outputs
			if err := dev.Set(latch); err != nil {
				t.Fatal(err)
			}
			if got, err := dev.Latch(); err != nil || got != want {
				t.Fatalf("latch %#04x, %v, want %#04x", got, err, want)
			}
			down := rapid.Uint16().Draw(t, "inputs") &^ opts.Outputs
			chip.PullDown(down)
			pins, err := dev.Pins()
			if err != nil || pins != chip.Outputs() || pins&opts.Outputs != want {
				t.Fatalf("pins %#04x, %v, want %#04x", pins, err, chip.Outputs())
			}
			if err := dev.Check(); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "reset") {
				chip.Reset()
				if err := dev.Check(); errors.Is(err, pcf8574.ErrReset) != (want != opts.Outputs) {
					t.Fatalf("Check after a reset from %#04x: %v", want, err)
				}
			}
		}
	})
}

// No output ever shows what nobody wrote: a relay that is open stays open from
// power-on to the first Set.
func TestNoGlitch(t *testing.T) {
	chip := sim.NewPCF8574()
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x20, chip)
	bus.Trace(func(_ uint16, w, _ []byte, _ error) {
		if got := chip.Outputs(); got != 0xFF {
			t.Errorf("pins %#02x after % x, want 0xff", got, w)
		}
	})
	if _, err := pcf8574.New(bus, pcf8574.DefaultOpts()); err != nil {
		t.Fatal(err)
	}
}

func TestOptsRefused(t *testing.T) {
	for name, opts := range map[string]*pcf8574.Opts{
		"address below":          {Addr: 0x1F, Outputs: 1},
		"address between":        {Addr: 0x28, Outputs: 1},
		"address above":          {Addr: 0x40, Outputs: 1},
		"address of the PCF8575": {Chip: pcf8574.PCF8575, Addr: 0x38, Outputs: 1},
		"no outputs":             {Addr: 0x20},
		"a ninth pin":            {Addr: 0x20, Outputs: 0x100},
		"unknown chip":           {Chip: 2, Addr: 0x20, Outputs: 1},
	} {
		bus := &i2ctest.Playback{DontPanic: true}
		if dev, err := pcf8574.New(bus, opts); err == nil {
			t.Errorf("%s: New gave %v, want an error", name, dev)
		}
		if err := pcf8574.Open(bus, opts); err == nil {
			t.Errorf("%s: Open gave no error", name)
		}
	}
}

// FuzzCheck: a reset is an output that was driven low and is not.
func FuzzCheck(f *testing.F) {
	f.Add(byte(0xDE))
	f.Add(byte(0xFF))
	f.Add(byte(0x00))
	f.Fuzz(func(t *testing.T, pins byte) {
		dev, _ := newDev(t, read(pins))
		if err := dev.Check(); errors.Is(err, pcf8574.ErrReset) != (pins&0x21 != 0) {
			t.Errorf("%#02x: %v", pins, err)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Expander {
	return &drivertest.Expander{
		Name: "pcf8574", Addr: 0x20, SetBits: drivertest.Bits(1, 0),
		Chip:  func() sim.Chip { return sim.NewPCF8574() },
		Start: func(bus i2c.Bus) (drivertest.Outputs, error) { return pcf8574.New(bus, pcf8574.DefaultOpts()) },
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

func BenchmarkExpander(b *testing.B) { contract().Bench(b) }
