package sim_test

import (
	"errors"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

func TestMLX90640(t *testing.T) {
	var eeprom, ram [sim.MLX90640Words]uint16
	eeprom[0], eeprom[831], ram[0], ram[1], ram[831] = 0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1357
	c := sim.NewMLX90640(&eeprom)
	expect(t, c, []byte{0x24, 0x00}, []byte{0x12, 0x34, 0, 0})
	expect(t, c, []byte{0x27, 0x3F}, []byte{0x56, 0x78, 0, 0}) // nothing after the last
	expect(t, c, []byte{0x80, 0x0D}, []byte{0x19, 0x01})
	expect(t, c, []byte{0x80, 0x00}, []byte{0x00, 0x30})
	expect(t, c, []byte{0x04, 0x00}, []byte{0, 0})
	c.Measure(1, &ram)
	expect(t, c, []byte{0x80, 0x00}, []byte{0x00, 0x39})
	expect(t, c, []byte{0x04, 0x00}, []byte{0x9A, 0xBC, 0xDE, 0xF0})
	expect(t, c, nil, []byte{0, 0}) // goes on
	expect(t, c, []byte{0x07, 0x3F}, []byte{0x13, 0x57})
	expect(t, c, []byte{0x80, 0x00, 0x00, 0x38}, []byte{0x00, 0x39}) // the note stays if it is written
	expect(t, c, []byte{0x80, 0x00, 0x00, 0x30}, []byte{0x00, 0x31})
	expect(t, c, []byte{0x80, 0x0D, 0x19, 0x81}, []byte{0x19, 0x81})
	expect(t, c, []byte{0x24, 0x00, 0xFF, 0xFF}, []byte{0x12, 0x34}) // read only
	for _, w := range [][]byte{{0x24}, {0x24, 0, 1}, {0x24, 0, 1, 2, 3}} {
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v, want %v", w, err, sim.ErrNACK)
		}
	}
	c.Reset()
	expect(t, c, []byte{0x80, 0x0D}, []byte{0x19, 0x01})
	expect(t, c, []byte{0x04, 0x00}, []byte{0, 0})
}
