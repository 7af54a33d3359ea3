package sim_test

import (
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The readings of a real chip: 4164.06 mV, and −2187 nV over 15 mΩ.
func TestINA228RealChip(t *testing.T) {
	c := sim.NewINA228(0.015)
	expect(t, c, []byte{0x3E}, []byte{0x54, 0x49})
	expect(t, c, []byte{0x3F}, []byte{0x22, 0x81})
	c.Set(4.16406, -2187e-9/0.015)
	expect(t, c, []byte{0x05}, []byte{0x05, 0x34, 0x80})
	expect(t, c, []byte{0x04}, []byte{0xFF, 0xFF, 0x90})
}

func TestINA228Registers(t *testing.T) {
	c := sim.NewINA228(0.002)
	for reg, want := range map[byte][]byte{
		0x00: {0, 0}, 0x01: {0xFB, 0x68}, 0x02: {0x10, 0x00}, 0x03: {0, 0},
		0x04: {0, 0, 0}, 0x05: {0, 0, 0}, 0x06: {0, 0}, 0x07: {0, 0, 0}, 0x08: {0, 0, 0},
		0x09: {0, 0, 0, 0, 0}, 0x0A: {0, 0, 0, 0, 0}, 0x0B: {0x00, 0x01},
		0x0C: {0x7F, 0xFF}, 0x0D: {0x80, 0x00}, 0x0E: {0x7F, 0xFF}, 0x0F: {0, 0},
		0x10: {0x7F, 0xFF}, 0x11: {0xFF, 0xFF}, 0x12: {0xFF, 0xFF}, 0x40: {0xFF, 0xFF},
	} {
		expect(t, c, []byte{reg}, want)
	}
	c.SetCelsius(-10)
	c.Set(50, 20)
	expect(t, c, []byte{0x04}, []byte{0x1F, 0x40, 0x00}) // 40 mV = 128000
	expect(t, c, []byte{0x05}, []byte{0x3E, 0x80, 0x00}) // 256000
	expect(t, c, []byte{0x06}, []byte{0xFB, 0x00})       // −1280
	expect(t, c, []byte{0x07}, []byte{0x1F, 0x40, 0x00}) // 156.25 µA a step
	expect(t, c, []byte{0x08}, []byte{0x1E, 0x84, 0x80}) // 1 kW at 500 µW a step
	c.Set(50, -20)
	expect(t, c, []byte{0x07}, []byte{0xE0, 0xC0, 0x00})
	expect(t, c, []byte{0x08}, []byte{0x1E, 0x84, 0x80}) // the power has no sign
	chipTx(t, c, []byte{0x02, 0xA0, 0x00}, 0)            // twice the step; the highest bit does not exist
	expect(t, c, []byte{0x02}, []byte{0x20, 0x00})
	expect(t, c, []byte{0x07}, []byte{0xF0, 0x60, 0x00})
	chipTx(t, c, []byte{0x02, 0, 0}, 0)
	expect(t, c, []byte{0x07}, []byte{0, 0, 0})
	chipTx(t, c, []byte{0x00, 0x00, 0x10}, 0) // the narrow range
	expect(t, c, []byte{0x04}, []byte{0x83, 0x00, 0x00})
	c.Set(1000, -1000)
	expect(t, c, []byte{0x04}, []byte{0x80, 0x00, 0x00})
	expect(t, c, []byte{0x05}, []byte{0x7F, 0xFF, 0xF0})
	c.Set(math.NaN(), math.NaN())
	expect(t, c, []byte{0x04}, []byte{0, 0, 0})
	c.Freeze(true)
	c.Set(50, 1)
	expect(t, c, []byte{0x04}, []byte{0, 0, 0})
	c.Freeze(false)
	expect(t, c, []byte{0x04}, []byte{0x06, 0x40, 0x00, 0xFF})
	chipTx(t, c, []byte{0x01, 0, 0}, 0) // shut down
	c.Set(0, 0)
	expect(t, c, []byte{0x04}, []byte{0x06, 0x40, 0x00})
	chipTx(t, c, []byte{0x05, 1, 1}, 0) // read only
	chipTx(t, c, []byte{0x00, 0x80, 0x00}, 0)
	expect(t, c, []byte{0x00}, []byte{0, 0})
	expect(t, c, []byte{0x04}, []byte{0, 0, 0})
}

// Each limit works by itself, and a latched alert stays until DIAG_ALRT is read.
func TestINA228Alert(t *testing.T) {
	tests := map[string]struct {
		reg, flag            byte
		limit                uint16
		volts, amps, celsius float64
	}{
		"shunt over":  {reg: 0x0C, flag: 0x40, limit: 8000, amps: 20.01}, // 5 µV a step
		"shunt under": {reg: 0x0D, flag: 0x20, limit: 0xE0C0, amps: -20.01},
		"bus over":    {reg: 0x0E, flag: 0x10, limit: 16000, volts: 50.01}, // 3.125 mV
		"bus under":   {reg: 0x0F, flag: 0x08, limit: 1, volts: 0},
		"hot":         {reg: 0x10, flag: 0x80, limit: 7680, celsius: 60.1},
		"power over":  {reg: 0x11, flag: 0x04, limit: 7812, volts: 50, amps: 20.01}, // 128 mW
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := sim.NewINA228(0.002)
			chipTx(t, c, []byte{tt.reg, byte(tt.limit >> 8), byte(tt.limit)}, 0)
			chipTx(t, c, []byte{0x0B, 0x80, 0x00}, 0)
			c.SetCelsius(tt.celsius)
			c.Set(tt.volts, tt.amps)
			if c.Pin() {
				t.Error("no alert")
			}
			c.SetCelsius(0)
			c.Set(1, 0)
			expect(t, c, []byte{0x0B}, []byte{0x80, 0x03 | tt.flag})
			if !c.Pin() {
				t.Error("the alert stays")
			}
		})
	}
}
