package sim_test

import (
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The words of the datasheet's two tables.
func TestAMG8833(t *testing.T) {
	c := sim.NewAMG8833()
	expect(t, c, nil, []byte{0, 0, 0, 0})
	var pixels [sim.AMG8833Pixels]float64
	for celsius, want := range map[float64][]byte{
		125: {0xF4, 0x01}, 25: {0x64, 0x00}, 0.25: {0x01, 0x00}, 0: {0, 0},
		-0.25: {0xFF, 0x0F}, -25: {0x9C, 0x0F}, -55: {0x24, 0x0F}, 9999: {0xFF, 0x07}, -9999: {0x00, 0x08},
	} {
		pixels[0], pixels[63] = celsius, celsius
		c.SetCelsius(&pixels, 0)
		expect(t, c, []byte{0x80}, want)
		expect(t, c, []byte{0xFE}, append(want, 0)) // the pointer runs on, round the end
	}
	for celsius, want := range map[float64][]byte{
		125: {0xD0, 0x07}, 25: {0x90, 0x01}, 0.25: {0x04, 0x00}, 0: {0, 0}, -0.25: {0x04, 0x08}, -20: {0x40, 0x09},
		9999: {0xFF, 0x07}, -9999: {0xFF, 0x0F},
	} {
		c.SetCelsius(&pixels, celsius)
		expect(t, c, []byte{0x0E}, want)
	}
	expect(t, c, []byte{2, 0xFF, 0xFF}, nil)
	expect(t, c, []byte{8, 0xFF, 0xFF}, nil)
	expect(t, c, []byte{2}, []byte{1, 3})
	expect(t, c, []byte{8}, []byte{0xFF, 0x0F})
	expect(t, c, []byte{0x80, 1, 2}, nil) // read only
	expect(t, c, []byte{0, 0x10, 0x3F}, nil)
	expect(t, c, []byte{0}, []byte{0x10, 0, 0, 0}) // initial reset
	pixels[1] = 30
	c.SetCelsius(&pixels, 0) // asleep
	expect(t, c, []byte{0x82}, []byte{0, 0})
	expect(t, c, []byte{0, 0}, nil)
	c.Freeze(true)
	c.SetCelsius(&pixels, 0)
	expect(t, c, []byte{0x82}, []byte{0, 0})
	c.Freeze(false)
	expect(t, c, []byte{0x82}, []byte{120, 0})
	expect(t, c, []byte{5, 0xFF}, nil)
	c.Reset()
	expect(t, c, []byte{0x82}, []byte{0, 0})
}
