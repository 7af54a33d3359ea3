package sim_test

import (
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The power-on dump of a real chip, and the readings of two real chips.
func TestINA226RealChips(t *testing.T) {
	c := sim.NewINA226(0.1)
	expect(t, c, []byte{0x00}, []byte{0x41, 0x27})
	expect(t, c, []byte{0x05}, []byte{0, 0})
	expect(t, c, []byte{0x07}, []byte{0, 0})
	expect(t, c, []byte{0xFE}, []byte{0x54, 0x49})
	expect(t, c, []byte{0xFF}, []byte{0x22, 0x60})
	c.Set(0, 0)
	expect(t, c, []byte{0x06}, []byte{0x00, 0x08}) // ready, and that is cleared
	expect(t, c, []byte{0x06}, []byte{0x00, 0x00})

	// 34.95 W at 11.9625 V, with 250 µA a step: 0.00512 / (250 µA × 10 mΩ) = 2048.
	c = sim.NewINA226(0.01)
	chipTx(t, c, []byte{0x05, 0x08, 0x00}, 0)
	c.Set(11.9625, 34.95/11.9625)
	expect(t, c, []byte{0x02}, []byte{0x25, 0x62})
	expect(t, c, []byte{0x03}, []byte{0x15, 0xD8})
}

func TestINA226Registers(t *testing.T) {
	c := sim.NewINA226(0.002)
	c.Set(36, 20)
	expect(t, c, []byte{1}, []byte{0x3E, 0x80}) // 40 mV
	expect(t, c, []byte{4}, []byte{0, 0})       // not calibrated: nothing flows, it seems
	expect(t, c, []byte{3}, []byte{0, 0})
	chipTx(t, c, []byte{5, 0x88, 0x00}, 0) // the highest bit does not exist
	expect(t, c, []byte{5}, []byte{0x08, 0x00})
	expect(t, c, []byte{4}, []byte{0x3E, 0x80})
	expect(t, c, []byte{3}, []byte{0x5A, 0x00}) // 16000 × 28800 / 20000 = 23040: 720 W at 31.25 mW
	c.Set(36, -20)
	expect(t, c, []byte{4}, []byte{0xC1, 0x80})
	expect(t, c, []byte{3}, []byte{0x5A, 0x00}) // the power has no sign
	c.Set(36, 40)
	expect(t, c, []byte{3}, []byte{0xB4, 0x00}) // and uses its highest bit
	c.Set(100, 100)
	expect(t, c, []byte{1}, []byte{0x7F, 0xFF})
	expect(t, c, []byte{2}, []byte{0x7F, 0xFF})
	c.Set(-1, -100)
	expect(t, c, []byte{1}, []byte{0x80, 0x00})
	expect(t, c, []byte{2}, []byte{0, 0})
	chipTx(t, c, []byte{5, 0x7F, 0xFF}, 0)
	expect(t, c, []byte{4}, []byte{0x80, 0x00})
	expect(t, c, []byte{6}, []byte{0x00, 0x0C}) // overflow
	c.Set(math.NaN(), math.NaN())
	expect(t, c, []byte{1}, []byte{0, 0})
	c.Freeze(true)
	c.Set(36, 20)
	expect(t, c, []byte{1}, []byte{0, 0})
	c.Freeze(false)
	expect(t, c, []byte{1}, []byte{0x3E, 0x80})
	chipTx(t, c, []byte{0, 0x00, 0x00}, 0) // powered down
	c.Set(0, 0)
	expect(t, c, []byte{1}, []byte{0x3E, 0x80})
	expect(t, c, []byte{0}, []byte{0x40, 0x00})
	expect(t, c, []byte{8}, []byte{0xFF, 0xFF})
	chipTx(t, c, []byte{0, 0x80, 0}, 0)
	expect(t, c, []byte{0}, []byte{0x41, 0x27})
	expect(t, c, []byte{1}, []byte{0, 0})
}

// Each function of the alert pin, above and below its limit; of several the one
// with the highest bit.
func TestINA226Alert(t *testing.T) {
	tests := map[string]struct {
		mask, limit uint16
		volts, amps float64
		low         bool
	}{
		"nothing enabled":                {mask: 0, limit: 0, volts: 10, amps: 10},
		"shunt over":                     {mask: 0x8000, limit: 7999, amps: 10, low: true},
		"shunt at":                       {mask: 0x8000, limit: 8000, amps: 10},
		"shunt over, backwards":          {mask: 0x8000, limit: 1, amps: -10},
		"shunt under":                    {mask: 0x4000, limit: 0xFFFF, amps: -10, low: true},
		"bus over":                       {mask: 0x2000, limit: 7999, volts: 10, low: true},
		"bus under":                      {mask: 0x1000, limit: 8000, volts: 9.9, low: true},
		"power over":                     {mask: 0x0800, limit: 3199, volts: 10, amps: 10, low: true},
		"power at":                       {mask: 0x0800, limit: 3200, volts: 10, amps: 10},
		"shunt goes before bus":          {mask: 0xA000, limit: 8000, volts: 20, amps: 10},
		"inverted: the pin is high then": {mask: 0x8002, limit: 8000, amps: 10, low: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := sim.NewINA226(0.002)
			chipTx(t, c, []byte{5, 0x08, 0x00}, 0)
			chipTx(t, c, []byte{7, byte(tt.limit >> 8), byte(tt.limit)}, 0)
			chipTx(t, c, []byte{6, byte(tt.mask >> 8), byte(tt.mask)}, 0)
			c.Set(tt.volts, tt.amps)
			if c.Pin() == tt.low {
				t.Errorf("pin %t", c.Pin())
			}
		})
	}
}
