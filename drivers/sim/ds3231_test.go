package sim_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard/drivers/sim"
)

func TestDS3231(t *testing.T) {
	c := sim.NewDS3231()
	expect(t, c, nil, []byte{0, 0, 0, 1, 1, 1, 0})
	expect(t, c, []byte{0x0E}, []byte{0x1C, 0x88, 0, 0, 0, 0x00}) // and round to the first
	expect(t, c, []byte{0x0F, 0x08}, nil)
	expect(t, c, []byte{0x0F}, []byte{0x08})
	expect(t, c, []byte{0x0F, 0xFF}, nil) // flags cannot be set
	expect(t, c, []byte{0x0F}, []byte{0x08})
	c.Stop()
	expect(t, c, []byte{0x0F}, []byte{0x88})
	for celsius, want := range map[float64][]byte{
		25.25: {0x19, 0x40}, 0: {0, 0}, -0.25: {0xFF, 0xC0}, -40: {0xD8, 0}, 85: {0x55, 0}, 500: {0x7F, 0xC0}, -500: {0x80, 0},
	} {
		c.SetCelsius(celsius)
		expect(t, c, []byte{0x11, 1, 1}, nil) // read only
		expect(t, c, []byte{0x11}, want)
	}
	expect(t, c, []byte{0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, nil)
	expect(t, c, []byte{0}, []byte{0x7F, 0x7F, 0x7F, 0x07, 0x3F, 0x9F, 0xFF})
}

func TestDS1338(t *testing.T) {
	c := sim.NewDS1338()
	expect(t, c, nil, []byte{0x80, 0, 0, 1, 1, 1, 0, 0xB3})
	c.Advance(time.Hour) // halted
	expect(t, c, []byte{0}, []byte{0x80, 0, 0})
	expect(t, c, []byte{7, 0}, nil)
	expect(t, c, []byte{7, 0xFF}, nil)
	expect(t, c, []byte{7}, []byte{0x93})
	expect(t, c, []byte{0, 0x80}, nil) // a halt is a stop
	expect(t, c, []byte{7}, []byte{0xB3})
	expect(t, c, []byte{0x3F, 0x5A, 0x12}, nil) // RAM, and round to the first
	expect(t, c, []byte{0x3F}, []byte{0x5A, 0x12})
	c.Advance(time.Second)
	expect(t, c, []byte{0}, []byte{0x13})

	old := sim.NewDS1307()
	expect(t, old, []byte{7, 0xFF}, nil)
	expect(t, old, []byte{7}, []byte{0x93})
	old.Stop() // leaves no trace
	expect(t, old, []byte{7}, []byte{0x93})
}

// The counters, at their ends.
func TestDS3231Counts(t *testing.T) {
	tests := map[string]struct{ from, to []byte }{
		"second":          {[]byte{0x08, 0, 0, 1, 1, 1, 0}, []byte{0x09, 0, 0, 1, 1, 1, 0}},
		"ten seconds":     {[]byte{0x09, 0, 0, 1, 1, 1, 0}, []byte{0x10, 0, 0, 1, 1, 1, 0}},
		"hour":            {[]byte{0x59, 0x59, 0x09, 1, 1, 1, 0}, []byte{0, 0, 0x10, 1, 1, 1, 0}},
		"day":             {[]byte{0x59, 0x59, 0x23, 7, 0x30, 0x12, 0x26}, []byte{0, 0, 0, 1, 0x31, 0x12, 0x26}},
		"noon":            {[]byte{0x59, 0x59, 0x51, 1, 1, 1, 0}, []byte{0, 0, 0x72, 1, 1, 1, 0}},
		"midnight":        {[]byte{0x59, 0x59, 0x71, 1, 1, 1, 0}, []byte{0, 0, 0x52, 2, 2, 1, 0}},
		"one o'clock":     {[]byte{0x59, 0x59, 0x72, 1, 1, 1, 0}, []byte{0, 0, 0x61, 1, 1, 1, 0}},
		"ten o'clock":     {[]byte{0x59, 0x59, 0x69, 1, 1, 1, 0}, []byte{0, 0, 0x70, 1, 1, 1, 0}},
		"leap year":       {[]byte{0x59, 0x59, 0x23, 1, 0x28, 0x02, 0x28}, []byte{0, 0, 0, 2, 0x29, 0x02, 0x28}},
		"no leap year":    {[]byte{0x59, 0x59, 0x23, 1, 0x28, 0x02, 0x30}, []byte{0, 0, 0, 2, 0x01, 0x03, 0x30}},
		"30 days":         {[]byte{0x59, 0x59, 0x23, 1, 0x30, 0x09, 0x26}, []byte{0, 0, 0, 2, 0x01, 0x10, 0x26}},
		"year":            {[]byte{0x59, 0x59, 0x23, 1, 0x31, 0x12, 0x29}, []byte{0, 0, 0, 2, 0x01, 0x01, 0x30}},
		"century":         {[]byte{0x59, 0x59, 0x23, 1, 0x31, 0x12, 0x99}, []byte{0, 0, 0, 2, 0x01, 0x81, 0x00}},
		"century's month": {[]byte{0x59, 0x59, 0x23, 1, 0x31, 0x81, 0x00}, []byte{0, 0, 0, 2, 0x01, 0x82, 0x00}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := sim.NewDS3231()
			chipTx(t, c, append([]byte{0}, tt.from...), 0)
			c.Advance(1999 * time.Millisecond)
			expect(t, c, []byte{0}, tt.to)
		})
	}
}
