package sim_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/shedguard/shedguard/drivers/sim"
)

// unityADE7953 is a board on which 0.5 V and 0.5 A peak are full scale.
func unityADE7953() *sim.ADE7953 {
	return sim.NewADE7953(sim.ADE7953Board{VoltsRatio: 1, AmpsPerV: [2]float64{1, 1}})
}

// The registers of the meter, worked out by hand from the full-scale codes.
func TestADE7953Registers(t *testing.T) {
	rms := 0.5 / math.Sqrt2
	full := sim.ADE7953Load{Amps: rms, Watts: 0.125}
	back := sim.ADE7953Load{Amps: rms / 2, Watts: -0.0625 / 2, Vars: -0.0625 * math.Sqrt(0.75)}
	c := unityADE7953()
	c.Set(rms, 50, full, back)
	for reg, want := range map[uint16][]byte{
		0x31C: {0x00, 0x89, 0xD1, 0x47}, // 9032007
		0x21C: {0x89, 0xD1, 0x47},
		0x31A: {0x00, 0x89, 0xD1, 0x47},
		0x31B: {0x00, 0x44, 0xE8, 0xA4}, // 4516003.5
		0x312: {0x00, 0x4A, 0x31, 0xC1}, // 4862401
		0x313: {0xFF, 0xED, 0x73, 0x90}, // -1215600.25
		0x213: {0xED, 0x73, 0x90},
		0x315: {0xFF, 0xDF, 0xDF, 0x77}, // -2105481.4
		0x310: {0x00, 0x4A, 0x31, 0xC1},
		0x10E: {0x11, 0x7A}, // 4474
		0x10A: {0x7F, 0xFF},
		0x10B: {0xC0, 0x00}, // half, capacitive
		0x326: {0x00, 0x63, 0x2E, 0xA0},
		0x32A: {0x00, 0x31, 0x97, 0x50},
		0x102: {0x80, 0x04},
		0x303: {0x00, 0x00, 0xE4, 0x19},
		0x325: {0x00, 0xFF, 0xFF, 0xFF},
		0x32C: {0x00, 0x10, 0x00, 0x00},
		0x32D: {0x00, 0x10, 0x00, 0x00},
		0x37F: {0xFF, 0xFF, 0xFF, 0xFF},
		0x004: {0x40},
		0x702: {0x05},
		0x380: {0x00, 0x40, 0x00, 0x00},
	} {
		expect(t, c, []byte{byte(reg >> 8), byte(reg)}, want)
	}

	// The gains multiply, and the converter ends 20 % above full scale.
	chipTx(t, c, []byte{0x00, 0x09, 1}, 0)
	expect(t, c, []byte{0x03, 0x1B}, []byte{0x00, 0x89, 0xD1, 0x47})
	chipTx(t, c, []byte{0x00, 0x08, 5}, 0)
	expect(t, c, []byte{0x03, 0x1A}, []byte{0x00, 0xA5, 0x61, 0x88}) // 10838408
	c.Set(math.NaN(), math.NaN(), sim.ADE7953Load{Amps: math.NaN(), Watts: math.NaN()}, sim.ADE7953Load{})
	expect(t, c, []byte{0x03, 0x1C}, []byte{0, 0, 0, 0})
	expect(t, c, []byte{0x03, 0x12}, []byte{0, 0, 0, 0})
	expect(t, c, []byte{0x01, 0x0E}, []byte{0, 0})
}

func TestADE7953ReadWithReset(t *testing.T) {
	c := unityADE7953()
	rms := 0.5 / math.Sqrt2
	c.Set(rms, 50, sim.ADE7953Load{Amps: rms, Watts: 0.125}, sim.ADE7953Load{Amps: rms, Watts: -0.125})
	// Without line cycles energy runs on, and a read takes it away.
	c.Advance(time.Second)
	expect(t, c, []byte{0x03, 0x1E}, []byte{0x00, 0x03, 0x28, 0x34}) // 206900
	expect(t, c, []byte{0x03, 0x1E}, []byte{0, 0, 0, 0})
	chipTx(t, c, []byte{0x00, 0x04, 0x3F}, 0)       // by line cycles, no reset
	chipTx(t, c, []byte{0x01, 0x01, 0x00, 0x0A}, 0) // ten half cycles, 0.1 s
	chipTx(t, c, []byte{0x03, 0x1F}, 4)
	c.Advance(90 * time.Millisecond)
	c.Advance(15 * time.Millisecond)
	for range 2 {
		expect(t, c, []byte{0x03, 0x1E}, []byte{0x00, 0x00, 0x50, 0xD2}) // 20690
		expect(t, c, []byte{0x03, 0x1F}, []byte{0xFF, 0xFF, 0xAF, 0x2E}) // replaced, not added
	}
	c.Advance(time.Second)
	expect(t, c, []byte{0x03, 0x1F}, []byte{0xFF, 0xFF, 0xAF, 0x2E})
	expect(t, c, []byte{0x03, 0x2D}, []byte{0x00, 0x14, 0x00, 0x00})
	expect(t, c, []byte{0x03, 0x2E}, []byte{0x00, 0x14, 0x00, 0x00})
	expect(t, c, []byte{0x03, 0x2D}, []byte{0, 0, 0, 0})

	// Peaks stay until they are read with reset.
	c.Set(0, 50, sim.ADE7953Load{}, sim.ADE7953Load{})
	expect(t, c, []byte{0x03, 0x26}, []byte{0x00, 0x63, 0x2E, 0xA0})
	expect(t, c, []byte{0x03, 0x27}, []byte{0x00, 0x63, 0x2E, 0xA0})
	expect(t, c, []byte{0x03, 0x26}, []byte{0, 0, 0, 0})
}

func TestADE7953Writes(t *testing.T) {
	c := unityADE7953()
	// 0x120 is open for the transaction after the key only.
	chipTx(t, c, []byte{0x01, 0x20, 0x00, 0x30}, 0)
	expect(t, c, []byte{0x01, 0x20}, []byte{0, 0})
	chipTx(t, c, []byte{0x00, 0xFE, 0xAD}, 0)
	chipTx(t, c, []byte{0x01, 0x20, 0x00, 0x30}, 0)
	expect(t, c, []byte{0x01, 0x20}, []byte{0, 0x30})
	chipTx(t, c, []byte{0x01, 0x20, 0x00, 0x31}, 0)
	expect(t, c, []byte{0x01, 0x20}, []byte{0, 0x30})
	// Measuring registers are read only, the reset interrupt is always enabled.
	chipTx(t, c, []byte{0x03, 0x1C, 1, 2, 3, 4}, 0)
	expect(t, c, []byte{0x03, 0x1C}, []byte{0, 0, 0, 0, 0xFF})
	chipTx(t, c, []byte{0x02, 0x2C, 0, 0, 0}, 0)
	expect(t, c, nil, []byte{0x10, 0, 0})
	for _, w := range [][]byte{{0x03}, {0x04, 0x00}, {0x03, 0x25, 1, 2, 3}, {0x00, 0x07, 1, 2}} {
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v, want %v", w, err, sim.ErrNACK)
		}
	}
	// The checksum follows the configuration, and says when it changed.
	chipTx(t, c, []byte{0x01, 0x02, 0x01, 0x04}, 0)
	sum := chipTx(t, c, []byte{0x03, 0x7F}, 4)
	chipTx(t, c, []byte{0x03, 0x2E}, 4)
	expect(t, c, []byte{0x03, 0x7F}, sum)
	chipTx(t, c, []byte{0x00, 0x08, 3}, 0)
	expect(t, c, []byte{0x03, 0x2D}, []byte{0, 0x20, 0, 0})
	chipTx(t, c, []byte{0x00, 0x08, 0}, 0)
	expect(t, c, []byte{0x03, 0x7F}, sum)

	c.Set(0.1, 50, sim.ADE7953Load{}, sim.ADE7953Load{})
	before := chipTx(t, c, []byte{0x03, 0x1C}, 4)
	c.Freeze(true)
	c.Set(0.2, 50, sim.ADE7953Load{}, sim.ADE7953Load{})
	c.Advance(time.Second)
	expect(t, c, []byte{0x03, 0x1C}, before)
	c.Freeze(false)
	if after := chipTx(t, c, []byte{0x03, 0x1C}, 4); string(after) == string(before) {
		t.Error("the registers did not follow after a freeze")
	}
	c.HoldReset(true)
	if err := c.Tx([]byte{0x03, 0x1C}, make([]byte, 4)); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("in reset: %v, want %v", err, sim.ErrNACK)
	}
	c.HoldReset(false)
	expect(t, c, []byte{0x03, 0x7F}, []byte{0xFF, 0xFF, 0xFF, 0xFF})
}

// A window as long as the model is asked for ends, at any frequency, and time
// that is cut in pieces is the same time.
func TestADE7953Windows(t *testing.T) {
	for _, hertz := range []float64{45, 50, 59.97, 65} {
		c := unityADE7953()
		chipTx(t, c, []byte{0x00, 0x04, 0x7F}, 0)
		chipTx(t, c, []byte{0x01, 0x01, 0x00, 0x0A}, 0)
		rms := 0.5 / math.Sqrt2
		c.Set(rms, hertz, sim.ADE7953Load{Amps: rms, Watts: 0.125}, sim.ADE7953Load{})
		total := 0.0
		const step = 1700 * time.Microsecond
		for range 1000 {
			c.Advance(step)
			r := chipTx(t, c, []byte{0x02, 0x1E}, 3)
			total += float64(int(r[0])<<16 | int(r[1])<<8 | int(r[2]))
		}
		want := 206900 * (1000 * step).Seconds()
		if window := 206900 * 5 / hertz; total > want+20 || total < want-window-20 {
			t.Errorf("%g Hz: %g codes, want %g less up to a window of %g", hertz, total, want, window)
		}
	}
}

// FuzzADE7953: no transaction, however odd, brings the model down.
func FuzzADE7953(f *testing.F) {
	f.Add([]byte{0x03, 0x1C}, uint8(4))
	f.Add([]byte{0x01, 0x01, 0xFF, 0xFF}, uint8(0))
	f.Add([]byte{0x03, 0x31}, uint8(30))
	f.Fuzz(func(t *testing.T, w []byte, n uint8) {
		c := unityADE7953()
		c.Set(1, 50, sim.ADE7953Load{Amps: 1, Watts: 1}, sim.ADE7953Load{})
		if err := c.Tx(w, make([]byte, n)); err != nil && !errors.Is(err, sim.ErrNACK) {
			t.Error(err)
		}
		c.Advance(time.Second)
	})
}
