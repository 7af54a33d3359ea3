package sim_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/shedguard/shedguard/drivers/pca9554"
	"github.com/shedguard/shedguard/drivers/sim"
)

func TestPCA9554(t *testing.T) {
	c := sim.NewPCA9554()
	expect(t, c, []byte{1}, []byte{0xFF, 0xFF}) // the pointer stays
	expect(t, c, []byte{2}, []byte{0})
	expect(t, c, []byte{3}, []byte{0xFF})
	c.SetPulls(0x0F)
	expect(t, c, []byte{0}, []byte{0x0F})
	expect(t, c, []byte{1, 0x12, 0x55}, nil) // the second byte replaces the first
	expect(t, c, []byte{1}, []byte{0x55})
	if got := c.Outputs(); got != 0x0F {
		t.Errorf("pins %#02x while all are inputs, want 0x0f", got)
	}
	expect(t, c, []byte{3, 0xC0}, nil)
	if got := c.Outputs(); got != 0x15 {
		t.Errorf("pins %#02x, want 0x15", got)
	}
	expect(t, c, []byte{2, 0x81}, nil)
	expect(t, c, []byte{0, 0xFF}, []byte{0x94}) // the input register is read only
	expect(t, c, []byte{7}, []byte{0xC0})       // two bits of pointer
	c.Reset()
	expect(t, c, nil, []byte{0x0F})
	expect(t, c, []byte{1}, []byte{0xFF})
}

func TestMAX7310(t *testing.T) {
	c := sim.NewMAX7310()
	expect(t, c, nil, []byte{0xF0})
	for reg, want := range []byte{0xF0, 0x00, 0xF0, 0xFF, 0x01, 0xFF} {
		expect(t, c, []byte{byte(reg)}, []byte{want})
	}
	expect(t, c, []byte{2, 0}, nil)
	expect(t, c, []byte{1, 0xFF}, nil) // lost: all pins are inputs
	expect(t, c, []byte{3, 0xF0}, nil)
	expect(t, c, []byte{1}, []byte{0x00})
	expect(t, c, []byte{1, 0xFA}, nil)
	expect(t, c, []byte{1}, []byte{0x0A})
	expect(t, c, []byte{0}, []byte{0x0A})
	expect(t, c, []byte{3, 0xF8}, nil) // pin 3 becomes an input and forgets
	expect(t, c, []byte{3, 0xF0}, nil)
	expect(t, c, []byte{1}, []byte{0x02})
	for _, w := range [][]byte{{1, 2, 3}, {5, 0}, {0xFF, 0}} {
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v, want %v", w, err, sim.ErrNACK)
		}
	}
}

// The model answers as a real TCA6408A did. The capture begins with pin 0 as an
// output already.
func TestTCA6408ACapture(t *testing.T) {
	chip := sim.NewPCA9554()
	chipTx(t, chip, []byte{3, 0xFE}, 0)
	writes, reads := 0, 0
	for i, tr := range capture(t, "i2c_ti_tca6408a_tca6408a.i2c.txt") {
		if tr.addr != "addr=0x20" {
			continue // another chip
		}
		if tr.read {
			reads++
			if got := chipTx(t, chip, nil, len(tr.data)); !bytes.Equal(got, tr.data) {
				t.Errorf("transfer %d: read % x, the chip sent % x", i, got, tr.data)
			}
			continue
		}
		writes++
		chipTx(t, chip, tr.data, 0)
	}
	if writes != 196 || reads != 181 {
		t.Errorf("%d writes and %d reads, want 196 and 181: is the capture whole?", writes, reads)
	}
}

// The driver sends what the recorded program sent to set up and switch the chip,
// and reads what the chip sent.
func TestTCA6408ADriver(t *testing.T) {
	at := func(w ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: w} }
	reg := func(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x20, W: []byte{reg}, R: r} }
	ops := []i2ctest.IO{at(2, 0), at(1, 0), at(3, 0xFE), at(1, 0), reg(3, 0xFE), reg(2, 0), reg(1, 0)}
	seen := map[string]bool{}
	var point byte
	var calls []func(*pca9554.Dev)
	for _, tr := range capture(t, "i2c_ti_tca6408a_tca6408a.i2c.txt") {
		if tr.addr != "addr=0x20" {
			continue
		}
		switch {
		case !tr.read && len(tr.data) == 2:
			seen[string(tr.data)] = true
			if tr.data[0] == 1 {
				latch := uint16(tr.data[1])
				ops = append(ops, at(tr.data...))
				calls = append(calls, func(d *pca9554.Dev) {
					if err := d.Set(latch); err != nil {
						t.Error(err)
					}
				})
			}
		case !tr.read:
			point = tr.data[0]
		case point == 0:
			want := uint16(tr.data[0])
			ops = append(ops, reg(0, tr.data...))
			calls = append(calls, func(d *pca9554.Dev) {
				if got, err := d.Pins(); err != nil || got != want {
					t.Errorf("pins %#02x, %v, want %#02x", got, err, want)
				}
			})
		}
	}
	for _, w := range ops[:4] {
		if !seen[string(w.W)] {
			t.Errorf("the recorded program did not write % x", w.W)
		}
	}
	if len(calls) < 180 {
		t.Errorf("%d calls: is the capture whole?", len(calls))
	}
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := pca9554.New(bus, &pca9554.Opts{Addr: 0x20, Outputs: 0x01})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		call(dev)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzSlowChips: no transaction, however odd, brings the model of an expander, a
// thermometer, a clock or a memory down.
func FuzzSlowChips(f *testing.F) {
	f.Add([]byte{3, 0x00}, uint8(2))
	f.Add([]byte{4, 1, 2}, uint8(0))
	f.Add([]byte{0xFF, 1}, uint8(9))
	f.Add([]byte{0x80, 0x0D, 1, 2}, uint8(3))
	f.Fuzz(func(t *testing.T, w []byte, n uint8) {
		for _, c := range []sim.Chip{
			sim.NewPCA9554(), sim.NewMAX7310(), sim.NewPCF8574(), sim.NewPCF8575(),
			sim.NewLM75(), sim.NewLM75B(), sim.NewTMP75(), sim.NewAMG8833(),
			sim.NewMLX90640(new([sim.MLX90640Words]uint16)),
			sim.NewAT24(256, 8, 1), sim.NewAT24(1024, 16, 1).Block(3), sim.NewAT24(4096, 32, 2),
		} {
			if err := c.Tx(w, make([]byte, n)); err != nil && !errors.Is(err, sim.ErrNACK) {
				t.Errorf("%T: %v", c, err)
			}
			c.Reset()
		}
		for _, c := range []*sim.DS3231{sim.NewDS3231(), sim.NewDS1338(), sim.NewDS1307()} {
			if err := c.Tx(w, make([]byte, n)); err != nil {
				t.Errorf("%T: %v", c, err)
			}
			c.Advance(26 * time.Hour)
			c.Reset()
		}
	})
}
