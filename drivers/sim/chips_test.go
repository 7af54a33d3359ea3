package sim_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/sim"
)

func chipTx(t *testing.T, c sim.Chip, w []byte, n int) []byte {
	t.Helper()
	r := make([]byte, n)
	if err := c.Tx(w, r); err != nil {
		t.Fatalf("Tx(% x): %v", w, err)
	}
	return r
}

func expect(t *testing.T, c sim.Chip, w, want []byte) {
	t.Helper()
	if got := chipTx(t, c, w, len(want)); !bytes.Equal(got, want) {
		t.Errorf("after % x: read % x, want % x", w, got, want)
	}
}

// The registers of the meter, computed by hand from the facts: 55000 codes at
// 250 mV and at the range, 3.08 and 6.15 codes a mW, 1024 for a factor of 1.
func TestACS37800Registers(t *testing.T) {
	unity := sim.ACS37800Board{RangeAmps: 30, IsolationOhms: 0, SenseOhms: 1}
	breakout := sim.ACS37800Board{RangeAmps: 30, IsolationOhms: 2e6, SenseOhms: 8200}
	tests := map[string]struct {
		board              sim.ACS37800Board
		volts, amps, watts float64
		w20, w21, w22      []byte
	}{
		"dead": {
			board: unity,
			w20:   []byte{0, 0, 0, 0}, w21: []byte{0, 0, 0, 0}, w22: []byte{0, 0, 0, 0x10},
		},
		// 55000 = D6D8, 7.5 W: 23100 = 5A3C, 46125 = B42D.
		"full scale, resistive": {
			board: unity, volts: 0.250, amps: 30, watts: 7.5,
			w20: []byte{0xD8, 0xD6, 0xD8, 0xD6}, w21: []byte{0x3C, 0x5A, 0, 0}, w22: []byte{0x2D, 0xB4, 0xFF, 0x13},
		},
		// −3.75 W of 7.5 VA: −11550 = D2E2, factor −512 = 600 in 11 bits, reactive 6.495 VA: 39945 = 9C09.
		"flowing back, half": {
			board: unity, volts: 0.250, amps: 30, watts: -3.75,
			w20: []byte{0xD8, 0xD6, 0xD8, 0xD6}, w21: []byte{0xE2, 0xD2, 0x09, 0x9C}, w22: []byte{0x2D, 0xB4, 0x00, 0x06},
		},
		// 10 V behind K = 244.902: 40.832 mV = 8983 = 2317; 2 A = 3667 = 0E53; 20 W: 252 = 00FC, 502 = 01F6.
		"breakout": {
			board: breakout, volts: 10, amps: 2, watts: 20,
			w20: []byte{0x17, 0x23, 0x53, 0x0E}, w21: []byte{0xFC, 0, 0, 0}, w22: []byte{0xF6, 0x01, 0xFF, 0x13},
		},
		"everything saturates": {
			board: unity, volts: 1, amps: 100, watts: 100,
			w20: []byte{0xFF, 0xFF, 0xFF, 0xFF}, w21: []byte{0xFF, 0x7F, 0, 0}, w22: []byte{0xFF, 0xFF, 0xFF, 0x13},
		},
		"saturates backwards": {
			board: unity, volts: 1, amps: 100, watts: -100,
			w20: []byte{0xFF, 0xFF, 0xFF, 0xFF}, w21: []byte{0x00, 0x80, 0, 0}, w22: []byte{0xFF, 0xFF, 0x00, 0x04},
		},
		"not numbers": {
			board: unity, volts: math.NaN(), amps: math.NaN(), watts: math.NaN(),
			w20: []byte{0, 0, 0, 0}, w21: []byte{0, 0, 0, 0}, w22: []byte{0, 0, 0, 0},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := sim.NewACS37800(tt.board)
			c.Set(tt.volts, tt.amps, tt.watts)
			expect(t, c, []byte{0x20}, tt.w20)
			expect(t, c, []byte{0x21}, tt.w21)
			expect(t, c, []byte{0x22}, tt.w22)
		})
	}
}

// The scales of the RMS fields and of the apparent power, which come from
// different lines of the datasheet, agree: the power is the product of both RMS
// values as fractions of 65536. With any other RMS divisor it would not be.
func TestACS37800Scales(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		board := sim.MainsBoard()
		board.RangeAmps = rapid.SampledFrom([]float64{30, 90}).Draw(t, "range")
		c := sim.NewACS37800(board)
		c.Set(rapid.Float64Range(100, 320).Draw(t, "volts"), rapid.Float64Range(1, 30).Draw(t, "amps"), 0)
		var rms, apparent [4]byte
		if err := errors.Join(c.Tx([]byte{0x20}, rms[:]), c.Tx([]byte{0x22}, apparent[:])); err != nil {
			t.Fatal(err)
		}
		vrms := float64(binary.LittleEndian.Uint16(rms[:2]))
		irms := float64(binary.LittleEndian.Uint16(rms[2:]))
		got := float64(binary.LittleEndian.Uint16(apparent[:2]))
		if want := vrms * irms / 65536; math.Abs(got-want) > 0.002*want+2 {
			t.Fatalf("apparent power %g codes, want %g of %g V and %g A codes", got, want, vrms, irms)
		}
	})
}

// A third of the codes for the same current on the 90 A part.
func TestACS37800Range(t *testing.T) {
	c := sim.NewACS37800(sim.ACS37800Board{RangeAmps: 90, IsolationOhms: 0, SenseOhms: 1})
	c.Set(0.250, 30, 7.5)
	expect(t, c, []byte{0x20}, []byte{0xD8, 0xD6, 0x9D, 0x47}) // 18333 = 479D
	expect(t, c, []byte{0x21}, []byte{0x14, 0x1E, 0, 0})       // 7700 = 1E14
}

func TestACS37800Faults(t *testing.T) {
	c := sim.NewACS37800(sim.ACS37800Board{RangeAmps: 30, IsolationOhms: 0, SenseOhms: 1})
	c.Set(0.250, 0, 0)
	live := []byte{0xD8, 0xD6, 0, 0}
	expect(t, c, []byte{0x20}, live)
	c.Freeze(true)
	c.Set(0.125, 0, 0)
	expect(t, c, []byte{0x20}, live)
	c.Freeze(false)
	expect(t, c, []byte{0x20}, []byte{0x6C, 0x6B, 0, 0})

	c.SetFlags(0x16)
	expect(t, c, []byte{0x2D}, []byte{0x16, 0, 0, 0})
	// Without a pointer the last register is read; past the word the line floats.
	expect(t, c, nil, []byte{0x16, 0, 0, 0, 0xFF})

	// The configuration only takes words while it is unlocked.
	write := func(reg byte, word ...byte) { chipTx(t, c, append([]byte{reg}, word...), 0) }
	write(0x1F, 1, 2, 3, 4)
	expect(t, c, []byte{0x1F}, []byte{0, 0, 0, 0})
	write(0x2F, 0x6E, 0x65, 0x70, 0x4F)
	write(0x1F, 1, 2, 3, 4)
	write(0x0E, 5, 6, 7, 8)
	write(0x20, 9, 9, 9, 9) // read only
	expect(t, c, []byte{0x1F}, []byte{1, 2, 3, 4})
	expect(t, c, []byte{0x0E}, []byte{5, 6, 7, 8})
	expect(t, c, []byte{0x1E}, []byte{5, 6, 7, 8})
	expect(t, c, []byte{0x20}, []byte{0x6C, 0x6B, 0, 0})

	c.Reset()
	expect(t, c, nil, []byte{0, 0, 0, 0})
	for _, reg := range []byte{0x1F, 0x20, 0x2D, 0x2F} {
		expect(t, c, []byte{reg}, []byte{0, 0, 0, 0})
	}
	expect(t, c, []byte{0x1E}, []byte{5, 6, 7, 8})

	for _, w := range [][]byte{{0x31}, {0xFF}, {0x20, 1}, {0x20, 1, 2, 3}} {
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v, want %v", w, err, sim.ErrNACK)
		}
	}
}

func TestPCA9548(t *testing.T) {
	m := sim.NewPCA9548()
	expect(t, m, nil, []byte{0})
	expect(t, m, []byte{0xA5}, []byte{0xA5})
	expect(t, m, nil, []byte{0xA5, 0xA5})
	chipTx(t, m, []byte{1, 2}, 0) // ignored
	if got := m.Mask(); got != 0xA5 {
		t.Errorf("mask %#x, want 0xa5", got)
	}
	m.Reset()
	expect(t, m, nil, []byte{0})
}

// A chip is visible through joined ports only, also behind two muxes.
func TestPCA9548Ports(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	outer, inner := sim.NewPCA9548(), sim.NewPCA9548()
	bus.Attach(0x70, outer)
	wire := outer.Attach(7, 0x71, inner)
	inner.Attach(2, 0x50, &memory{})
	visible := func(addr uint16) bool { return bus.Tx(addr, []byte{0}, nil) == nil }
	for _, mask := range []byte{0x00, 0x7F, 0xFF, 0x80} {
		tx(t, bus, 0x70, []byte{mask}, 0)
		if got, want := visible(0x71), mask&0x80 != 0; got != want {
			t.Errorf("mask %#x: inner mux visible %t, want %t", mask, got, want)
		}
	}
	if visible(0x50) {
		t.Error("the chip is visible while its port is off")
	}
	tx(t, bus, 0x71, []byte{0x04}, 0)
	if !visible(0x50) {
		t.Error("the chip is not visible behind two muxes")
	}
	wire.Cut(true)
	if visible(0x50) {
		t.Error("the chip is visible behind a mux that is cut off")
	}
}

// A line held low behind a port hangs the bus while the port is joined, and only
// the reset pin frees it.
func TestPCA9548Hold(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Hold(3, true)
	tx(t, bus, 0x70, []byte{0x04}, 0)
	tx(t, bus, 0x70, []byte{0x08}, 0)
	if err := bus.Tx(0x70, []byte{0}, nil); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("deselecting a stuck port: %v, want %v", err, sim.ErrTimeout)
	}
	mux.Reset()
	tx(t, bus, 0x70, []byte{0x04}, 0)
}

func TestTMP102(t *testing.T) {
	c := sim.NewTMP102()
	expect(t, c, nil, []byte{0, 0})
	expect(t, c, []byte{1}, []byte{0x60, 0xA0})
	expect(t, c, []byte{2}, []byte{0x4B, 0x00})
	expect(t, c, []byte{3}, []byte{0x50, 0x00})

	normal := map[float64][]byte{
		0: {0, 0}, 29.5: {0x1D, 0x80}, 30: {0x1E, 0}, 100: {0x64, 0}, -25: {0xE7, 0}, -55: {0xC9, 0},
		0.25: {0, 0x40}, -0.25: {0xFF, 0xC0}, 127.9375: {0x7F, 0xF0}, 150: {0x7F, 0xF0}, -200: {0x80, 0},
	}
	for celsius, want := range normal {
		c.SetCelsius(celsius)
		expect(t, c, []byte{0}, want)
	}
	c.SetCelsius(0)
	chipTx(t, c, []byte{1, 0xFF, 0xFF}, 0) // every bit that can be written
	expect(t, c, []byte{1}, []byte{0xFF, 0xD0})
	chipTx(t, c, []byte{1, 0x60, 0x90}, 0)
	extended := map[float64][]byte{
		0: {0, 1}, 150: {0x4B, 1}, 128: {0x40, 1}, 100: {0x32, 1}, -0.25: {0xFF, 0xE1}, -55: {0xE4, 0x81},
	}
	for celsius, want := range extended {
		c.SetCelsius(celsius)
		expect(t, c, []byte{0}, want)
	}
	c.SetCelsius(25)
	c.Freeze(true)
	c.SetCelsius(99)
	expect(t, c, []byte{0}, []byte{0x0C, 0x81, 0xFF})
	c.Freeze(false)
	expect(t, c, []byte{0}, []byte{0x31, 0x81})
	chipTx(t, c, []byte{0, 1, 2}, 0) // read only
	expect(t, c, []byte{0}, []byte{0x31, 0x81})
	c.Reset()
	expect(t, c, nil, []byte{0, 0})
	expect(t, c, []byte{1}, []byte{0x60, 0xA0})
}

// The alert bit and its polarity, with hysteresis.
func TestTMP102Alert(t *testing.T) {
	c := sim.NewTMP102()
	steps := []struct {
		celsius float64
		alert   bool
		low     byte // low byte of the configuration, POL = 0
	}{{79.9, false, 0xA0}, {80, true, 0x80}, {75, true, 0x80}, {74.9, false, 0xA0}, {79, false, 0xA0}, {127, true, 0x80}}
	for _, s := range steps {
		c.SetCelsius(s.celsius)
		if got := c.Alert(); got != s.alert {
			t.Errorf("%g °C: alert %t, want %t", s.celsius, got, s.alert)
		}
		expect(t, c, []byte{1}, []byte{0x60, s.low})
	}
	chipTx(t, c, []byte{1, 0x64}, 0) // POL = 1, the low byte stays
	expect(t, c, []byte{1}, []byte{0x64, 0xA0})
	chipTx(t, c, []byte{3, 0x7F, 0xFF}, 0)
	expect(t, c, []byte{3}, []byte{0x7F, 0xF8})
}

func newExpander(t *testing.T, mem []byte) *sim.MCP23017 {
	t.Helper()
	c, err := sim.NewMCP23017(mem)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMCP23017(t *testing.T) {
	c := newExpander(t, nil)
	powerOn := append([]byte{0xFF, 0xFF}, make([]byte, 20)...)
	expect(t, c, []byte{0x00}, powerOn)
	expect(t, c, []byte{0x14, 0x05, 0x0A}, nil)
	if got := c.Outputs(); got != 0 {
		t.Errorf("outputs %#04x while all pins are inputs, want 0", got)
	}
	c.SetPulls(0xFF00)
	expect(t, c, []byte{0x12}, []byte{0x00, 0xFF})
	expect(t, c, []byte{0x00, 0x0F, 0xF0}, nil)
	if got := c.Outputs(); got != 0xFA00 {
		t.Errorf("outputs %#04x, want 0xfa00", got)
	}
	expect(t, c, []byte{0x12}, []byte{0x00, 0xFA})
	expect(t, c, []byte{0x02, 0x81, 0x02}, nil) // IPOL
	expect(t, c, []byte{0x12}, []byte{0x81, 0xF8})
	expect(t, c, []byte{0x12, 0x30}, nil) // pins write the latch
	expect(t, c, []byte{0x14}, []byte{0x30, 0x0A})
	expect(t, c, []byte{0x0E, 0xFF, 0xFF, 0xFF, 0xFF}, nil) // read only
	expect(t, c, []byte{0x0E}, []byte{0, 0, 0, 0})
	// The pointer runs from the last register to the first; there is none past it.
	expect(t, c, []byte{0x15}, []byte{0x0A, 0x0F, 0xF0})
	expect(t, c, []byte{0x16}, []byte{0})
	chipTx(t, c, []byte{0x7F, 0xFF}, 0)
	if got := c.Register(0x15); got != 0x0A {
		t.Errorf("OLATB %#02x, want 0x0a", got)
	}
	c.SetPulls(0)
	c.Reset()
	expect(t, c, nil, powerOn)
}

// IOCON.SEQOP = 1 toggles between the ports; IOCON.BANK = 1 sorts the registers
// by port.
func TestMCP23017Modes(t *testing.T) {
	c := newExpander(t, nil)
	expect(t, c, []byte{0x0B, 0x21}, nil) // IOCON through its mirror; bit 0 does not exist
	expect(t, c, []byte{0x0A}, []byte{0x20, 0x20, 0x20})
	expect(t, c, []byte{0x14, 1, 2, 3}, nil)
	expect(t, c, []byte{0x14}, []byte{3, 2, 3})

	expect(t, c, []byte{0x0A, 0x80}, nil)
	expect(t, c, []byte{0x05}, []byte{0x80})
	expect(t, c, []byte{0x15}, []byte{0x80})
	expect(t, c, []byte{0x0A}, []byte{3, 0xFF, 0})    // OLATA, then IODIRB and IPOLB
	expect(t, c, []byte{0x1A}, []byte{2, 0xFF, 0})    // OLATB, then IODIRA
	expect(t, c, []byte{0x0B}, []byte{0})             // nothing there
	expect(t, c, []byte{0x10, 0x55}, nil)             // IODIRB
	expect(t, c, []byte{0x05, 0xA0}, nil)             // BANK and SEQOP
	expect(t, c, []byte{0x1A}, []byte{2, 2, 2})       // the pointer stays
	expect(t, c, []byte{0x05, 0x00}, nil)             // back
	expect(t, c, []byte{0x00}, []byte{0xFF, 0x55})    // both ports again
	expect(t, c, []byte{0x05, 0x00, 0x00}, []byte{0}) // GPINTENB now
}

// The registers outlive the model: they are in memory of somebody else.
func TestMCP23017Backing(t *testing.T) {
	mem := make([]byte, sim.MCP23017Size)
	c := newExpander(t, mem)
	if got := c.Register(0); got != 0xFF {
		t.Errorf("new memory: IODIRA %#02x, want 0xff", got)
	}
	expect(t, c, []byte{0x14, 0x34, 0x12}, nil)
	expect(t, c, []byte{0x00, 0, 0}, nil)
	again := newExpander(t, mem)
	if got := again.Outputs(); got != 0x1234 {
		t.Errorf("outputs %#04x after the process died, want 0x1234", got)
	}
	// All registers zero are a state of a chip, not new memory.
	expect(t, again, []byte{0x14, 0, 0}, nil)
	if got := newExpander(t, mem).Register(0); got != 0 {
		t.Errorf("IODIRA %#02x, want 0", got)
	}
	for name, bad := range map[string][]byte{
		"too short":     make([]byte, 22),
		"too long":      make([]byte, 25),
		"not registers": bytes.Repeat([]byte{'x'}, sim.MCP23017Size),
	} {
		if _, err := sim.NewMCP23017(bad); !errors.Is(err, sim.ErrBacking) {
			t.Errorf("%s: %v, want %v", name, err, sim.ErrBacking)
		}
	}
}

// FuzzChips: no transaction, however odd, brings a model down, and what is read
// fills the caller's buffer and no more.
func FuzzChips(f *testing.F) {
	f.Add([]byte{0x20}, uint8(4))
	f.Add([]byte{0x0A, 0x80, 1, 2, 3}, uint8(30))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, w []byte, n uint8) {
		expander := newExpander(t, nil)
		for _, c := range []sim.Chip{sim.NewACS37800(sim.MainsBoard()), sim.NewTMP102(), sim.NewPCA9548(), expander} {
			r := make([]byte, n)
			if err := c.Tx(w, r); err != nil && !errors.Is(err, sim.ErrNACK) {
				t.Errorf("%T: %v", c, err)
			}
			c.Reset()
		}
	})
}
