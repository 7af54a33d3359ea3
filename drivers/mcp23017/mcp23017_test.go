package mcp23017_test

import (
	"errors"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/sim"
)

func write(b ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: b} }

func read(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: []byte{reg}, R: r} }

// configured is the playback of Configure(latch) with the outputs of mask.
func configured(mask, latch uint16) []i2ctest.IO {
	return []i2ctest.IO{
		write(0x05, 0),
		write(0x0A, 0),
		write(0x14, byte(latch), byte(latch>>8)),
		write(0x00, byte(^mask), byte(^mask>>8), 0, 0, 0, 0),
		check(mask),
	}
}

// check is the playback of Check on a chip that is as it should be.
func check(mask uint16) i2ctest.IO {
	return read(0x00, byte(^mask), byte(^mask>>8), 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

func newDev(tb testing.TB, ops ...i2ctest.IO) (*mcp23017.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(configured(0x0FFF, 0x0A05), ops...), DontPanic: true}
	dev, err := mcp23017.New(bus, &mcp23017.Opts{Addr: 0x20, Outputs: 0x0FFF, Initial: 0x0A05})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestBytes(t *testing.T) {
	dev, bus := newDev(t,
		write(0x14, 0x34, 0x12),
		read(0x14, 0x34, 0x12),
		read(0x12, 0x30, 0xF2),
		check(0x0FFF),
		// DEFVAL and INTCON do not matter.
		read(0x00, 0x00, 0xF0, 0, 0, 0, 0, 1, 2, 3, 4, 0),
	)
	if err := dev.Set(0x1234); err != nil {
		t.Error(err)
	}
	if got, err := dev.Latch(); err != nil || got != 0x1234 {
		t.Errorf("latch %#04x, %v, want 0x1234", got, err)
	}
	if got, err := dev.Pins(); err != nil || got != 0xF230 {
		t.Errorf("pins %#04x, %v, want 0xf230", got, err)
	}
	for range 2 {
		if err := dev.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheckNotices(t *testing.T) {
	tests := map[string][]byte{
		"power-on reset":           {0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"one pin became an input":  {0x10, 0xF0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"an input became a driver": {0x00, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"an inverted pin":          {0x00, 0xF0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"byte mode":                {0x00, 0xF0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20},
		"bus stuck high":           {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		"bus stuck low":            {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	for name, regs := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, read(0x00, regs...))
			if err := dev.Check(); !errors.Is(err, mcp23017.ErrReset) {
				t.Errorf("error %v, want %v", err, mcp23017.ErrReset)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each step of New that fails is named.
func TestNewFails(t *testing.T) {
	ops := configured(0xFFFF, 0)
	for n, text := range []string{
		"write register 0x05", "write register 0x0a", "write register 0x14", "write register 0x00", "read register 0x00",
	} {
		bus := &i2ctest.Playback{Ops: ops[:n], DontPanic: true}
		dev, err := mcp23017.New(bus, mcp23017.DefaultOpts())
		if err == nil || dev != nil || !strings.HasPrefix(err.Error(), "mcp23017@playback/0x20: "+text) {
			t.Errorf("after %d steps: %v, %v, want %q", n, dev, err, text)
		}
	}
	short := append(configured(0xFFFF, 0)[:4], read(0x00, 0, 0))
	if dev, err := mcp23017.New(&i2ctest.Playback{Ops: short, DontPanic: true}, mcp23017.DefaultOpts()); err == nil {
		t.Errorf("short read: %v, want an error", dev)
	}
}

func TestFails(t *testing.T) {
	tests := map[string]func(*mcp23017.Dev) error{
		"Set":       func(d *mcp23017.Dev) error { return d.Set(1) },
		"Latch":     func(d *mcp23017.Dev) error { _, err := d.Latch(); return err },
		"Pins":      func(d *mcp23017.Dev) error { _, err := d.Pins(); return err },
		"Check":     func(d *mcp23017.Dev) error { return d.Check() },
		"Configure": func(d *mcp23017.Dev) error { return d.Configure(1) },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			bus := sim.NewBus("sim", 400*physic.KiloHertz)
			chip, err := sim.NewMCP23017(nil)
			if err != nil {
				t.Fatal(err)
			}
			bus.Attach(0x20, chip)
			dev, err := mcp23017.New(bus, mcp23017.DefaultOpts())
			if err != nil {
				t.Fatal(err)
			}
			bus.NACK(0x20, true)
			if err := call(dev); !errors.Is(err, sim.ErrNACK) || !strings.HasPrefix(err.Error(), "mcp23017@sim/0x20: ") {
				t.Errorf("error %v, want %v", err, sim.ErrNACK)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	opts := &mcp23017.Opts{Addr: 0x20, Outputs: 0x0FFF, Initial: 0x0800}
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		write(0x05, 0), write(0x14, 0x00, 0x08), write(0x00, 0x00, 0xF0),
	}}
	if err := mcp23017.Open(bus, opts); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// Open opens whatever the registers held before, if the bus works; it tries
// every write when the first fails.
func TestOpenFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus := unknownState(t)
		opts := &mcp23017.Opts{
			Addr:    0x20,
			Outputs: rapid.Uint16Range(1, 0xFFFF).Draw(t, "outputs"),
			Initial: rapid.Uint16().Draw(t, "safe"),
		}
		if err := mcp23017.Open(bus, opts); err != nil {
			t.Fatal(err)
		}
		if got := chip.Outputs() & opts.Outputs; got != opts.Initial&opts.Outputs {
			t.Fatalf("outputs %#04x, want %#04x", got, opts.Initial&opts.Outputs)
		}
	})
}

// New takes a chip over from any state, and what is set then is on the pins.
func TestNewFromAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip, bus := unknownState(t)
		opts := &mcp23017.Opts{
			Addr:    0x20,
			Outputs: rapid.Uint16Range(1, 0xFFFF).Draw(t, "outputs"),
			Initial: rapid.Uint16().Draw(t, "initial"),
		}
		dev, err := mcp23017.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(t, "sets") {
			want := rapid.Uint16().Draw(t, "latch")
			if err := dev.Set(want); err != nil {
				t.Fatal(err)
			}
			if got, err := dev.Latch(); err != nil || got != want {
				t.Fatalf("latch %#04x, %v, want %#04x", got, err, want)
			}
			if got, err := dev.Pins(); err != nil || got != want&opts.Outputs {
				t.Fatalf("pins %#04x, %v, want %#04x", got, err, want&opts.Outputs)
			}
			if got := chip.Outputs(); got != want&opts.Outputs {
				t.Fatalf("outputs %#04x, want %#04x", got, want&opts.Outputs)
			}
			if err := dev.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// unknownState is an expander with any registers, any map and any mode.
func unknownState(t *rapid.T) (*sim.MCP23017, *sim.Bus) {
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x20, chip)
	regs := rapid.SliceOfN(rapid.Byte(), 22, 22).Draw(t, "registers")
	iocon := regs[0x0A]
	regs[0x0A], regs[0x0B] = 0, 0 // the map and the mode stay as they are while the rest is written
	for _, w := range [][]byte{append([]byte{0}, regs...), {0x0A, iocon}} {
		if err := bus.Tx(0x20, w, nil); err != nil {
			t.Fatal(err)
		}
	}
	return chip, bus
}

func TestOpenTriesAll(t *testing.T) {
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x20, chip)
	dev, err := mcp23017.New(bus, &mcp23017.Opts{Addr: 0x20, Outputs: 0x00FF, Initial: 0x00FF})
	if err != nil {
		t.Fatal(err)
	}
	if got := chip.Outputs(); got != 0x00FF {
		t.Fatalf("outputs %#04x, want 0x00ff", got)
	}
	// The first write of Open is lost.
	bus.NACK(0x20, true)
	bus.Trace(func(uint16, []byte, []byte, error) { bus.NACK(0x20, false) })
	err = mcp23017.Open(bus, &mcp23017.Opts{Addr: 0x20, Outputs: 0x00FF})
	if !errors.Is(err, sim.ErrNACK) || !strings.Contains(err.Error(), "mcp23017@sim/0x20: open: write register 0x05") {
		t.Errorf("error %v", err)
	}
	if got := chip.Outputs(); got != 0 {
		t.Errorf("outputs %#04x after Open, want 0", got)
	}
	if err := dev.Check(); err != nil {
		t.Errorf("Open changed the configuration: %v", err)
	}
}

// No output ever shows what nobody wrote, from power-on to the first Set.
func TestNoGlitch(t *testing.T) {
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	const safe = 0xFFFF // relays that close on a low pin
	chip.SetPulls(safe)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x20, chip)
	bus.Trace(func(_ uint16, w, _ []byte, _ error) {
		if got := chip.Outputs(); got != safe {
			t.Errorf("pins %#04x after % x", got, w)
		}
	})
	dev, err := mcp23017.New(bus, &mcp23017.Opts{Addr: 0x20, Outputs: 0xFFFF, Initial: safe})
	if err != nil {
		t.Fatal(err)
	}
	chip.Reset()
	if err := dev.Check(); !errors.Is(err, mcp23017.ErrReset) {
		t.Errorf("Check after a power-on reset: %v, want %v", err, mcp23017.ErrReset)
	}
	if err := dev.Configure(safe); err != nil {
		t.Error(err)
	}
}

func TestOptsRefused(t *testing.T) {
	for name, opts := range map[string]*mcp23017.Opts{
		"address below": {Addr: 0x1F, Outputs: 1},
		"address above": {Addr: 0x28, Outputs: 1},
		"no outputs":    {Addr: 0x20},
	} {
		bus := &i2ctest.Playback{DontPanic: true}
		if dev, err := mcp23017.New(bus, opts); err == nil {
			t.Errorf("%s: New gave %v, want an error", name, dev)
		}
		if err := mcp23017.Open(bus, opts); err == nil {
			t.Errorf("%s: Open gave no error", name)
		}
	}
}

// FuzzCheck: only the registers that Configure leaves pass.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{0x00, 0xF0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, regs []byte) {
		if len(regs) != 11 {
			t.Skip()
		}
		dev, _ := newDev(t, read(0x00, regs...))
		good := regs[0] == 0 && regs[1] == 0xF0
		for _, i := range []int{2, 3, 4, 5, 10} {
			good = good && regs[i] == 0
		}
		if err := dev.Check(); (err == nil) != good {
			t.Errorf("% x: %v", regs, err)
		}
	})
}

// contract is what the driver has in common with all others.
func contract() *drivertest.Expander {
	return &drivertest.Expander{
		Name: "mcp23017", Addr: 0x20, SetBits: drivertest.Bits(3, 0),
		Chip: func() sim.Chip {
			chip, err := sim.NewMCP23017(nil)
			if err != nil {
				panic(err)
			}
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Outputs, error) { return mcp23017.New(bus, mcp23017.DefaultOpts()) },
	}
}

func TestContract(t *testing.T) { contract().Run(t) }

func BenchmarkExpander(b *testing.B) { contract().Bench(b) }
