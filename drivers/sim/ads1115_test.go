package sim_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/shedguard/shedguard/drivers/sim"
)

func TestADS1115Registers(t *testing.T) {
	now := time.Duration(0)
	c := sim.NewADS1115(func() time.Duration { return now })
	expect(t, c, nil, []byte{0, 0, 0xFF})
	expect(t, c, []byte{1}, []byte{0x85, 0x83})
	expect(t, c, []byte{2}, []byte{0x80, 0x00})
	expect(t, c, []byte{3}, []byte{0x7F, 0xFF})
	chipTx(t, c, []byte{2, 0x12, 0x34}, 0)
	expect(t, c, []byte{2}, []byte{0x12, 0x34})
	chipTx(t, c, []byte{0, 0x12, 0x34}, 0) // read only
	expect(t, c, []byte{0}, []byte{0, 0})

	for i := range 4 {
		c.Set(i, sim.Wave{Bias: 0.5 * float64(i+1)})
	}
	// Half of ±4.096 V is 16384 codes; every input in turn.
	for mux, want := range map[byte][]byte{
		0: {0xF0, 0x60}, // 0.5 - 1 V: -4000
		1: {0xD1, 0x20}, // 0.5 - 2 V: -12000
		2: {0xE0, 0xC0}, // 1 - 2 V: -8000
		3: {0xF0, 0x60}, // 1.5 - 2 V
		4: {0x0F, 0xA0}, 5: {0x1F, 0x40}, 6: {0x2E, 0xE0}, 7: {0x3E, 0x80},
	} {
		chipTx(t, c, []byte{1, 0x83 | mux<<4, 0xE3}, 0)
		expect(t, c, []byte{1}, []byte{0x03 | mux<<4, 0xE3})
		now += 1150 * time.Microsecond
		expect(t, c, []byte{1}, []byte{0x03 | mux<<4, 0xE3})
		now += 40 * time.Microsecond
		expect(t, c, []byte{1}, []byte{0x83 | mux<<4, 0xE3})
		expect(t, c, []byte{0}, want)
	}
	// Without the start bit nothing is converted.
	last := chipTx(t, c, []byte{0}, 2)
	chipTx(t, c, []byte{1, 0x43, 0xE3}, 0)
	c.Set(0, sim.Wave{Bias: 3})
	now += time.Second
	expect(t, c, []byte{1}, []byte{0xC3, 0xE3})
	expect(t, c, []byte{0}, last)
	// Ends of the range.
	c.Set(0, sim.Wave{Bias: 5})
	c.Set(1, sim.Wave{Bias: -5})
	chipTx(t, c, []byte{1, 0xC3, 0xE3}, 0)
	now += 2 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0x7F, 0xFF})
	chipTx(t, c, []byte{1, 0xD3, 0xE3}, 0)
	now += 2 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0x80, 0x00})
	c.Set(1, sim.Wave{Bias: math.NaN()})
	chipTx(t, c, []byte{1, 0xD3, 0xE3}, 0)
	now += 2 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0, 0})
	c.Reset()
	expect(t, c, []byte{1}, []byte{0x85, 0x83})
}

// A continuous converter shows the mean of its last whole conversion, a slow one
// later, a frozen one never.
func TestADS1115Continuous(t *testing.T) {
	now := time.Duration(0)
	c := sim.NewADS1115(func() time.Duration { return now })
	// One cycle in a conversion of 1/8 s: its mean is the bias.
	c.Set(0, sim.Wave{Bias: 1, RMS: 0.5, Hertz: 8})
	chipTx(t, c, []byte{1, 0x42, 0x03}, 0)
	now += 125*time.Millisecond + 30*time.Microsecond
	expect(t, c, []byte{0}, []byte{0x1F, 0x40})
	c.Set(0, sim.Wave{Bias: 2})
	expect(t, c, []byte{0}, []byte{0x1F, 0x40})
	now += 125 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0x3E, 0x80})
	c.Freeze(true)
	c.Set(0, sim.Wave{Bias: 1})
	now += time.Second
	expect(t, c, []byte{0}, []byte{0x3E, 0x80})
	c.Freeze(false)
	c.Slow(2)
	now += 250 * time.Millisecond
	chipTx(t, c, []byte{1, 0x42, 0x03}, 0)
	c.Set(0, sim.Wave{Bias: 0.5})
	now += 130 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0x3E, 0x80})
	now += 125 * time.Millisecond
	expect(t, c, []byte{0}, []byte{0x0F, 0xA0})
}

func TestWave(t *testing.T) {
	quarter := 5 * time.Millisecond
	peak := math.Sqrt2
	for name, tt := range map[string]struct {
		wave sim.Wave
		at   time.Duration
		want float64
	}{
		"peak":            {sim.Wave{Bias: 1, RMS: 1, Hertz: 50}, quarter, 1 + peak},
		"ahead":           {sim.Wave{RMS: 1, Hertz: 50, Degrees: 90}, 0, peak},
		"third harmonic":  {sim.Wave{RMS: 1, Hertz: 50, Harmonics: []sim.Harmonic{{Order: 3, Ratio: 0.5, Degrees: 180}}}, quarter, 1.5 * peak},
		"clipped":         {sim.Wave{Bias: 1.65, RMS: 9, Hertz: 50, High: 3.3}, quarter, 3.3},
		"clipped below":   {sim.Wave{Bias: 1.65, RMS: 9, Hertz: 50, High: 3.3}, 3 * quarter, 0},
		"cut":             {sim.Wave{Bias: 1, RMS: 1, Hertz: 50, CutDegrees: 100}, quarter, 1},
		"after the cut":   {sim.Wave{RMS: 1, Hertz: 50, CutDegrees: 80}, quarter, peak},
		"second half cut": {sim.Wave{Bias: 1, RMS: 1, Hertz: 50, CutDegrees: 100}, 3 * quarter, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.wave.At(tt.at); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("%g V, want %g", got, tt.want)
			}
		})
	}
}

// FuzzADS1115: no transaction, however odd, brings the model down.
func FuzzADS1115(f *testing.F) {
	f.Add([]byte{1, 0xC3, 0xE3}, uint8(2))
	f.Add([]byte{7}, uint8(30))
	f.Fuzz(func(t *testing.T, w []byte, n uint8) {
		now := time.Duration(0)
		c := sim.NewADS1115(func() time.Duration { return now })
		for range 3 {
			if err := c.Tx(w, make([]byte, n)); err != nil && !errors.Is(err, sim.ErrNACK) {
				t.Error(err)
			}
			now += 200 * time.Millisecond
		}
	})
}
