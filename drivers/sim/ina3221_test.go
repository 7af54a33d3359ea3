package sim_test

import (
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The registers of the monitor, computed by hand: 40 µV and 8 mV a step, in bits
// 15 to 3.
func TestINA3221Registers(t *testing.T) {
	c := sim.NewINA3221([3]float64{0.1, 0.01, 0.001})
	for reg, want := range map[byte][]byte{
		0x00: {0x71, 0x27}, 0x01: {0, 0}, 0x06: {0, 0}, 0x07: {0x7F, 0xF8}, 0x0C: {0x7F, 0xF8},
		0x0D: {0, 0}, 0x0E: {0x7F, 0xFE}, 0x0F: {0x00, 0x02}, 0x10: {0x27, 0x10}, 0x11: {0x23, 0x28},
		0xFE: {0x54, 0x49}, 0xFF: {0x32, 0x20}, 0x12: {0xFF, 0xFF},
	} {
		expect(t, c, []byte{reg}, want)
	}
	c.Set(0, 12, 1)                                // 2500 << 3, 1500 << 3
	c.Set(1, 26, -10)                              // −2500 << 3, 3250 << 3
	c.Set(2, -1, 1000)                             // clips
	expect(t, c, []byte{0x01}, []byte{0x4E, 0x20}) // 5 µV × 20000
	expect(t, c, []byte{0x02}, []byte{0x2E, 0xE0})
	expect(t, c, []byte{0x03}, []byte{0xB1, 0xE0})
	expect(t, c, []byte{0x04}, []byte{0x65, 0x90})
	expect(t, c, []byte{0x05}, []byte{0x7F, 0xF8})
	expect(t, c, []byte{0x06}, []byte{0, 0})
	expect(t, c, []byte{0x0D}, []byte{0, 0})       // no channel is summed
	chipTx(t, c, []byte{0x0F, 0x50, 0x00}, 0)      // channels 1 and 3
	expect(t, c, []byte{0x0D}, []byte{0x33, 0x86}) // (2500 + 4095) << 1
	c.Set(2, math.NaN(), math.NaN())
	expect(t, c, []byte{0x05}, []byte{0, 0})
	chipTx(t, c, []byte{0x00, 0x31, 0x27}, 0) // channel 1 off
	c.Set(0, 1, 2)
	expect(t, c, []byte{0x01}, []byte{0x4E, 0x20})
	chipTx(t, c, []byte{0x00, 0x71, 0x27}, 0)
	expect(t, c, []byte{0x01}, []byte{0x7F, 0xF8})
	c.Freeze(true)
	c.Set(0, 1, 0)
	expect(t, c, []byte{0x01}, []byte{0x7F, 0xF8})
	c.Freeze(false)
	expect(t, c, []byte{0x01}, []byte{0, 0})
	chipTx(t, c, []byte{0x00, 0x70, 0x00}, 0) // powered down
	c.Set(0, 1, 1)
	expect(t, c, []byte{0x01}, []byte{0, 0})
	chipTx(t, c, []byte{0x01, 1, 1}, 0) // read only
	expect(t, c, []byte{0x01}, []byte{0, 0})
	chipTx(t, c, []byte{0x00, 0xF1, 0x27}, 0)
	expect(t, c, []byte{0x00}, []byte{0x71, 0x27})
}

// Both pins follow the limits of each channel, the critical one also the sum.
func TestINA3221Alerts(t *testing.T) {
	for channel := range 3 {
		c := sim.NewINA3221([3]float64{0.01, 0.01, 0.01})
		crit, warn := byte(0x07+2*channel), byte(0x08+2*channel)
		chipTx(t, c, []byte{crit, 0x27, 0x17}, 0) // 50 mV: 1250 << 3 = 2710, the low bits do not exist
		expect(t, c, []byte{crit}, []byte{0x27, 0x10})
		chipTx(t, c, []byte{warn, 0x13, 0x88}, 0) // 25 mV
		for _, step := range []struct {
			amps              float64
			critical, warning bool
		}{{2.5, true, true}, {2.504, true, false}, {5, true, false}, {5.004, false, false}, {-10, true, true}} {
			c.Set(channel, 12, step.amps)
			if critical, warning := c.Pins(); critical != step.critical || warning != step.warning {
				t.Errorf("channel %d at %g A: pins %t %t", channel, step.amps, critical, warning)
			}
		}
		chipTx(t, c, []byte{0x0F, 0x0C, 0x00}, 0) // both latch
		c.Set(channel, 12, 6)
		c.Set(channel, 12, 0)
		if critical, warning := c.Pins(); critical || warning {
			t.Errorf("channel %d: pins %t %t do not latch", channel, critical, warning)
		}
		flags := uint16(0x0C03 | 1<<(9-channel) | 1<<(5-channel))
		expect(t, c, []byte{0x0F}, []byte{byte(flags >> 8), byte(flags)})
		if critical, warning := c.Pins(); !critical || !warning {
			t.Errorf("channel %d: pins %t %t stay after reading", channel, critical, warning)
		}
	}
	c := sim.NewINA3221([3]float64{0.01, 0.01, 0.01})
	chipTx(t, c, []byte{0x0F, 0x70, 0x00}, 0)
	chipTx(t, c, []byte{0x0E, 0x0B, 0xB8}, 0) // 60 mV
	for i := range 3 {
		c.Set(i, 12, 2)
	}
	if critical, _ := c.Pins(); !critical {
		t.Error("alert at 60 mV")
	}
	c.Set(2, 12, 2.01)
	if critical, warning := c.Pins(); critical || !warning {
		t.Errorf("sum of 60.1 mV: pins %t %t", critical, warning)
	}
}
