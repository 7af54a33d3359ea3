package sim_test

import (
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The registers of the monitor, computed by hand: 10 µV, 4 mV in bits 15 to 3,
// and with calibration 4096 the current repeats the shunt; power is current × bus
// / 5000.
func TestINA219Registers(t *testing.T) {
	c := sim.NewINA219(0.1)
	expect(t, c, []byte{0}, []byte{0x39, 0x9F})
	for reg := range byte(5) {
		expect(t, c, []byte{reg + 1}, []byte{0, 0})
	}
	chipTx(t, c, []byte{5, 0x10, 0x01}, 0) // the lowest bit does not exist
	expect(t, c, []byte{5}, []byte{0x10, 0x00})
	c.Set(12, 2) // 200 mV = 20000, 3000 << 3 = 24000 = 5DC0
	expect(t, c, []byte{1}, []byte{0x4E, 0x20})
	expect(t, c, []byte{2}, []byte{0x5D, 0xC2}) // CNVR
	expect(t, c, []byte{4}, []byte{0x4E, 0x20})
	expect(t, c, []byte{3}, []byte{0x2E, 0xE0}) // 20000 × 3000 / 5000 = 12000: 24 W at 2 mW
	expect(t, c, []byte{2}, []byte{0x5D, 0xC0}) // reading the power ended CNVR
	c.Set(-1, -2)
	expect(t, c, []byte{1}, []byte{0xB1, 0xE0})
	expect(t, c, []byte{2}, []byte{0x00, 0x02})
	expect(t, c, []byte{4}, []byte{0xB1, 0xE0})
	c.Set(40, 5) // clips at 320 mV and 32 V
	expect(t, c, []byte{1}, []byte{0x7D, 0x00})
	expect(t, c, []byte{2}, []byte{0xFA, 0x02})
	chipTx(t, c, []byte{0, 0x01, 0x9F}, 0) // ±40 mV, 16 V
	expect(t, c, []byte{1}, []byte{0x0F, 0xA0})
	expect(t, c, []byte{2}, []byte{0x7D, 0x02})
	c.Set(math.NaN(), math.NaN())
	expect(t, c, []byte{1}, []byte{0, 0})
	expect(t, c, []byte{6}, []byte{0xFF, 0xFF}) // no such register
	chipTx(t, c, []byte{1, 1, 1}, 0)            // read only
	expect(t, c, []byte{1}, []byte{0, 0, 0xFF})
	c.Freeze(true)
	c.Set(12, 2)
	expect(t, c, []byte{1}, []byte{0, 0})
	c.Freeze(false)
	expect(t, c, []byte{1}, []byte{0x0F, 0xA0})
	chipTx(t, c, []byte{5, 0xFF, 0xFE}, 0) // the current overflows
	expect(t, c, []byte{4}, []byte{0x7F, 0xFF})
	expect(t, c, []byte{2}, []byte{0x5D, 0xC3})
	chipTx(t, c, []byte{0, 0x80, 0}, 0) // reset by software
	expect(t, c, []byte{0}, []byte{0x39, 0x9F})
}
