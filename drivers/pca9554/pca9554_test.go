package pca9554_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/pca9554"
	"github.com/shedguard/shedguard/drivers/sim"
)

func write(reg, b byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: []byte{reg, b}} }

func read(reg, b byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: []byte{reg}, R: []byte{b}} }

// configured is the playback of Configure(latch) with the outputs of mask.
func configured(mask, latch byte) []i2ctest.IO {
	return []i2ctest.IO{
		write(2, 0), write(1, latch), write(3, ^mask), write(1, latch),
		read(3, ^mask), read(2, 0), read(1, latch),
	}
}

func newDev(tb testing.TB, ops ...i2ctest.IO) (*pca9554.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(configured(0x3F, 0x21), ops...), DontPanic: true}
	dev, err := pca9554.New(bus, &pca9554.Opts{Addr: 0x20, Outputs: 0x3F, Initial: 0x21})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestBytes(t *testing.T) {
	dev, bus := newDev(t,
		write(1, 0x00), write(1, 0x3F), // only outputs
		read(1, 0xFF), read(0, 0xC5), read(3, 0xC0), read(2, 0x00),
	)
	for _, latch := range []uint16{0xFFC0, 0xFFFF} {
		if err := dev.Set(latch); err != nil {
			t.Error(err)
		}
	}
	if got, err := dev.Latch(); err != nil || got != 0x3F {
		t.Errorf("latch %#02x, %v, want 0x3f", got, err)
	}
	if got, err := dev.Pins(); err != nil || got != 0xC5 {
		t.Errorf("pins %#02x, %v, want 0xc5", got, err)
	}
	if err := dev.Check(); err != nil {
		t.Error(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheckNotices(t *testing.T) {
	tests := map[string]struct{ config, polarity byte }{
		"power-on reset of a PCA9554": {0xFF, 0x00},
		"power-on reset of a MAX7310": {0xFF, 0xF0},
		"one pin became an input":     {0xC1, 0x00},
		"an input became a driver":    {0x80, 0x00},
		"an inverted pin":             {0xC0, 0x01},
		"bus stuck high":              {0xFF, 0xFF},
		"bus stuck low":               {0x00, 0x00},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, read(3, tt.config), read(2, tt.polarity))
			if err := dev.Check(); !errors.Is(err, pca9554.ErrReset) {
				t.Errorf("error %v, want %v", err, pca9554.ErrReset)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each step of New that fails is named.
func TestNewFails(t *testing.T) {
	ops := configured(0xFF, 0)
	for n, text := range []string{
		"write register 2", "write register 1", "write register 3", "write register 1",
		"read register 3", "read register 2", "read register 1",
	} {
		bus := &i2ctest.Playback{Ops: ops[:n], DontPanic: true}
		dev, err := pca9554.New(bus, pca9554.DefaultOpts())
		if err == nil || dev != nil || !strings.HasPrefix(err.Error(), "pca9554@playback/0x20: "+text) {
			t.Errorf("after %d steps: %v, %v, want %q", n, dev, err, text)
		}
	}
	short := append(configured(0xFF, 0)[:4], i2ctest.IO{Addr: 0x20, W: []byte{3}})
	if dev, err := pca9554.New(&i2ctest.Playback{Ops: short, DontPanic: true}, pca9554.DefaultOpts()); err == nil {
		t.Errorf("short read: %v, want an error", dev)
	}
	other := append(configured(0xFF, 0)[:6], read(1, 0x04))
	if _, err := pca9554.New(&i2ctest.Playback{Ops: other, DontPanic: true}, pca9554.DefaultOpts()); !errors.Is(err, pca9554.ErrReset) {
		t.Errorf("another latch: %v, want %v", err, pca9554.ErrReset)
	}
}

func TestOpen(t *testing.T) {
	opts := &pca9554.Opts{Addr: 0x3F, Outputs: 0x3F, Initial: 0xA0}
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		{Addr: 0x3F, W: []byte{1, 0x20}}, {Addr: 0x3F, W: []byte{3, 0xC0}},
	}}
	if err := pca9554.Open(bus, opts); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// drawChip is either chip with anything in its registers.
func drawChip(t *rapid.T) (*sim.PCA9554, *sim.Bus, *pca9554.Opts) {
	opts := &pca9554.Opts{
		Addr:    0x20,
		Outputs: rapid.Uint16Range(1, 0xFF).Draw(t, "outputs"),
		Initial: rapid.Uint16().Draw(t, "initial"),
	}
	chip := sim.NewPCA9554()
	if rapid.Bool().Draw(t, "max7310") {
		opts.Chip, chip = pca9554.MAX7310, sim.NewMAX7310()
	}
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(opts.Addr, chip)
	for i := range rapid.IntRange(0, 6).Draw(t, "writes") {
		w := []byte{
			rapid.ByteRange(0, 3).Draw(t, fmt.Sprint("register ", i)),
			rapid.Byte().Draw(t, fmt.Sprint("value ", i)),
		}
		if err := bus.Tx(opts.Addr, w, nil); err != nil {
			t.Fatal(err)
		}
	}
	return chip, bus, opts
}

// Open opens whatever the registers held before, if the bus works.
func TestOpenFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus, opts := drawChip(t)
		if err := pca9554.Open(bus, opts); err != nil {
			t.Fatal(err)
		}
		if got := uint16(chip.Outputs()) & opts.Outputs; got != opts.Initial&opts.Outputs {
			t.Fatalf("outputs %#02x, want %#02x", got, opts.Initial&opts.Outputs)
		}
	})
}

// New takes a chip over from any state, and what is set then is on the pins.
func TestNewFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus, opts := drawChip(t)
		dev, err := pca9554.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		want := opts.Initial & opts.Outputs
		for range rapid.IntRange(1, 5).Draw(t, "sets") {
			if got, err := dev.Latch(); err != nil || got != want {
				t.Fatalf("latch %#02x, %v, want %#02x", got, err, want)
			}
			if got, err := dev.Pins(); err != nil || got != want {
				t.Fatalf("pins %#02x, %v, want %#02x", got, err, want)
			}
			if got := uint16(chip.Outputs()); got != want {
				t.Fatalf("outputs %#02x, want %#02x", got, want)
			}
			if err := dev.Check(); err != nil {
				t.Fatal(err)
			}
			latch := rapid.Uint16().Draw(t, "latch")
			if err := dev.Set(latch); err != nil {
				t.Fatal(err)
			}
			want = latch & opts.Outputs
		}
	})
}

func TestOpenTriesAll(t *testing.T) {
	chip := sim.NewPCA9554()
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x20, chip)
	chip.SetPulls(0xFF)
	opts := &pca9554.Opts{Addr: 0x20, Outputs: 0x0F}
	if _, err := pca9554.New(bus, opts); err != nil {
		t.Fatal(err)
	}
	chip.Reset() // and the pins float high
	// The first write of Open is lost, and the latch is not what it was.
	bus.NACK(0x20, true)
	bus.Trace(func(uint16, []byte, []byte, error) { bus.NACK(0x20, false) })
	err := pca9554.Open(bus, opts)
	if !errors.Is(err, sim.ErrNACK) || !strings.Contains(err.Error(), "pca9554@sim/0x20: open: write register 1") {
		t.Errorf("error %v", err)
	}
	r := make([]byte, 1)
	if err := bus.Tx(0x20, []byte{3}, r); err != nil || r[0] != 0xF0 {
		t.Errorf("direction %#02x, %v, want 0xf0: the second write was not tried", r[0], err)
	}
}

// No output ever shows what nobody wrote, from power-on to the first Set: the
// latch of a fresh chip is high on every pin.
func TestNoGlitch(t *testing.T) {
	for _, safe := range []byte{0x00, 0xFF, 0x5A} {
		chip := sim.NewPCA9554()
		chip.SetPulls(safe)
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x20, chip)
		bus.Trace(func(_ uint16, w, _ []byte, _ error) {
			if got := chip.Outputs(); got != safe {
				t.Errorf("pins %#02x after % x, want %#02x", got, w, safe)
			}
		})
		dev, err := pca9554.New(bus, &pca9554.Opts{Addr: 0x20, Outputs: 0xFF, Initial: uint16(safe)})
		if err != nil {
			t.Fatal(err)
		}
		chip.Reset()
		if err := dev.Check(); !errors.Is(err, pca9554.ErrReset) {
			t.Errorf("Check after a power-on reset: %v, want %v", err, pca9554.ErrReset)
		}
		if err := dev.Configure(uint16(safe)); err != nil {
			t.Error(err)
		}
	}
}

// Without Configure the upper pins of a MAX7310 would read inverted.
func TestMAX7310Polarity(t *testing.T) {
	chip := sim.NewMAX7310()
	chip.SetPulls(0xC0)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x18, chip)
	dev, err := pca9554.New(bus, &pca9554.Opts{Chip: pca9554.MAX7310, Addr: 0x18, Outputs: 0x0F, Initial: 0x05})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dev.Pins(); err != nil || got != 0xC5 {
		t.Errorf("pins %#02x, %v, want 0xc5", got, err)
	}
	if got, want := dev.String(), "max7310@sim/0x18"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	chip.Reset()
	if err := dev.Check(); !errors.Is(err, pca9554.ErrReset) {
		t.Errorf("Check after a power-on reset: %v, want %v", err, pca9554.ErrReset)
	}
}

func TestOptsRefused(t *testing.T) {
	for name, opts := range map[string]*pca9554.Opts{
		"address below":          {Addr: 0x1F, Outputs: 1},
		"address between":        {Addr: 0x28, Outputs: 1},
		"address above":          {Addr: 0x40, Outputs: 1},
		"address of the MAX7310": {Chip: pca9554.MAX7310, Addr: 0x78, Outputs: 1},
		"reserved address":       {Chip: pca9554.MAX7310, Addr: 0x07, Outputs: 1},
		"no outputs":             {Addr: 0x20},
		"a ninth pin":            {Addr: 0x20, Outputs: 0x100},
		"unknown chip":           {Chip: 2, Addr: 0x20, Outputs: 1},
	} {
		bus := &i2ctest.Playback{DontPanic: true}
		if dev, err := pca9554.New(bus, opts); err == nil {
			t.Errorf("%s: New gave %v, want an error", name, dev)
		}
		if err := pca9554.Open(bus, opts); err == nil {
			t.Errorf("%s: Open gave no error", name)
		}
	}
}

// FuzzCheck: only the registers that Configure leaves pass.
func FuzzCheck(f *testing.F) {
	f.Add(byte(0xC0), byte(0))
	f.Add(byte(0xFF), byte(0xF0))
	f.Fuzz(func(t *testing.T, config, polarity byte) {
		dev, _ := newDev(t, read(3, config), read(2, polarity))
		good := config == 0xC0 && polarity == 0
		if err := dev.Check(); (err == nil) != good || err != nil && !errors.Is(err, pca9554.ErrReset) {
			t.Errorf("%#02x %#02x: %v", config, polarity, err)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Expander {
	return &drivertest.Expander{
		Name: "pca9554", Addr: 0x20, SetBits: drivertest.Bits(2, 0),
		Chip:  func() sim.Chip { return sim.NewPCA9554() },
		Start: func(bus i2c.Bus) (drivertest.Outputs, error) { return pca9554.New(bus, pca9554.DefaultOpts()) },
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

func BenchmarkExpander(b *testing.B) { contract().Bench(b) }
