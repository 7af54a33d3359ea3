package sim_test

import (
	"errors"
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// Every page has its own words; millivolts, steps of 10 mA and of 0.01 °C.
func TestMAX34451Pages(t *testing.T) {
	c := sim.NewMAX34451(0x74, 0x12)
	page := func(n byte) { chipTx(t, c, []byte{0x00, n}, 0) }
	expect(t, c, []byte{0x00}, []byte{0})
	expect(t, c, []byte{0x99}, []byte{0x4D})
	expect(t, c, []byte{0x9A}, []byte{0x59})
	expect(t, c, []byte{0x9B}, []byte{0x12, 0})
	for i := range 16 {
		c.Set(i, float64(i), float64(i)/2)
		page(byte(i))
		expect(t, c, []byte{0x00}, []byte{byte(i)})
		expect(t, c, []byte{0xE4}, []byte{0x20, 0})
		expect(t, c, []byte{0x46}, []byte{0xFF, 0x7F})
		mv := i * 1000
		expect(t, c, []byte{0x8B}, []byte{byte(mv), byte(mv >> 8)})
		expect(t, c, []byte{0x8C}, []byte{0, 0}) // a channel measures one of the two
		chipTx(t, c, []byte{0xE4, 0x22, 0}, 0)
		expect(t, c, []byte{0x8B}, []byte{0, 0})
		expect(t, c, []byte{0x8C}, []byte{byte(i * 50), byte(i * 50 >> 8)})
	}
	for i := range 5 {
		c.SetCelsius(i, -float64(i))
		page(byte(16 + i))
		expect(t, c, []byte{0x8D}, []byte{byte(-100 * i), byte(-100 * i >> 8)})
	}
	expect(t, c, []byte{0x8B}, []byte{0xFF, 0xFF}) // a sensor has no voltage
	for _, w := range [][]byte{{0x00, 21}, {0x00, 254}, {0x46, 1, 2}} {
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v", w, err)
		}
	}
	page(0xFF) // all of them
	chipTx(t, c, []byte{0xE4, 0x20, 0x01}, 0)
	page(9)
	expect(t, c, []byte{0xE4}, []byte{0x20, 0x01})
	c.Set(9, 100, 0)
	expect(t, c, []byte{0x8B}, []byte{0xFF, 0x7F})
	c.Set(9, math.NaN(), 0)
	expect(t, c, []byte{0x8B}, []byte{0, 0})
	c.Freeze(true)
	c.Set(9, 1, 0)
	expect(t, c, []byte{0x8B}, []byte{0, 0})
	c.Freeze(false)
	expect(t, c, []byte{0x8B}, []byte{0xE8, 0x03})
	c.Reset()
	expect(t, c, []byte{0x00}, []byte{0})
	expect(t, c, []byte{0x7E}, []byte{0})
	page(9)
	expect(t, c, []byte{0x8B}, []byte{0, 0})
	expect(t, c, []byte{0xE4}, []byte{0x20, 0})
}

// Older revisions have the two limits of overcurrent swapped.
func TestMAX34451Limits(t *testing.T) {
	for revision, first := range map[uint16]byte{0x12: 0x20, 0x11: 0x80} {
		c := sim.NewMAX34451(0x74, revision)
		chipTx(t, c, []byte{0xE4, 0x22, 0}, 0)
		chipTx(t, c, []byte{0x4A, 100, 0}, 0) // 1 A
		chipTx(t, c, []byte{0x46, 200, 0}, 0) // 2 A
		c.Set(0, 0, 1)
		expect(t, c, []byte{0x7B}, []byte{0})
		c.Set(0, 0, 1.5)
		expect(t, c, []byte{0x7B}, []byte{first})
		c.Set(0, 0, 2.5)
		expect(t, c, []byte{0x7B}, []byte{0xA0})
		c.Set(0, 0, 0)
		expect(t, c, []byte{0x79}, []byte{0x00, 0x40})
		chipTx(t, c, []byte{0x03}, 0)
		expect(t, c, []byte{0x79}, []byte{0, 0})
		chipTx(t, c, []byte{0xE4, 0x23, 0}, 0) // without limits
		c.Set(0, 0, 3)
		expect(t, c, []byte{0x79}, []byte{0, 0})
	}
}
