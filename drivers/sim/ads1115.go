package sim

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Wave is a voltage at a pin.
type Wave struct {
	Bias       float64 // V, the mean
	RMS        float64 // V, of the fundamental
	Hertz      float64
	Degrees    float64 // by which the wave is ahead
	Harmonics  []Harmonic
	CutDegrees float64 // of each half cycle, until which a dimmer keeps it at the bias
	Noise      float64 // V RMS, white, in each conversion
	Low, High  float64 // V, where the wave is clipped; both 0 is nowhere
}

// Harmonic is a wave of a multiple of the frequency.
type Harmonic struct {
	Order   int
	Ratio   float64 // of its amplitude to that of the fundamental
	Degrees float64 // of its own cycle
}

// At returns the voltage at a time, without the noise.
func (w *Wave) At(t time.Duration) float64 { return w.volts(t.Seconds()) }

func (w *Wave) volts(t float64) float64 {
	turns := w.Hertz*t + w.Degrees/360
	x := math.Sin(2 * math.Pi * turns)
	for _, h := range w.Harmonics {
		x += h.Ratio * math.Sin(2*math.Pi*(float64(h.Order)*turns+h.Degrees/360))
	}
	if half := 2 * turns; (half-math.Floor(half))*180 < w.CutDegrees {
		x = 0
	}
	x = w.Bias + x*w.RMS*math.Sqrt2
	if w.Low != 0 || w.High != 0 {
		x = min(max(x, w.Low), w.High)
	}
	return x
}

// ADS1115 is the model of a converter of four inputs. It converts the waves at
// its inputs as they are at the time of the conversion, by a clock of its owner.
type ADS1115 struct {
	clock func() time.Duration

	mu       sync.Mutex // guards all below
	pins     [4]Wave
	regs     [4]uint16 // conversion, configuration, low and high threshold
	point    byte
	frozen   bool
	slow     float64 // conversion time over that of the data rate
	converts bool
	begun    time.Duration // of the conversion under way
	shown    int64         // conversions since then
	random   *rand.Rand
}

var _ Chip = (*ADS1115)(nil)

// NewADS1115 returns a converter after power-on whose inputs are at 0 V. Its
// noise is the same in each run.
func NewADS1115(clock func() time.Duration) *ADS1115 {
	c := &ADS1115{clock: clock, slow: 1, random: rand.New(rand.NewPCG(1115, 860))}
	c.Reset()
	return c
}

// Set applies a wave to pin A0 to A3.
func (c *ADS1115) Set(pin int, w Wave) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	c.pins[pin] = w
}

// Slow makes conversions take k times as long as the data rate says; real chips
// are within 0.9 and 1.1.
func (c *ADS1115) Slow(k float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = k
}

// Freeze stops the conversion register from changing, or lets it follow again.
func (c *ADS1115) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	c.frozen = on
}

// Reset implements Chip.
func (c *ADS1115) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regs = [4]uint16{0, 0x8583, 0x8000, 0x7FFF}
	c.point, c.converts, c.shown = 0, false, 0
}

// Tx implements Chip: a pointer byte, followed by two bytes that are written to
// the register, or read from it, the most significant first.
func (c *ADS1115) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	if len(w) > 0 {
		c.point = w[0] & 3
	}
	if len(w) >= 3 && c.point != 0 {
		c.store(binary.BigEndian.Uint16(w[1:]))
	}
	word := c.regs[c.point]
	for i := range r {
		r[i] = 0xFF
		if i < 2 {
			r[i] = byte(word >> (8 - 8*i))
		}
	}
	return nil
}

// store writes the register at the pointer.
func (c *ADS1115) store(word uint16) {
	if c.point != 1 {
		c.regs[c.point] = word
		return
	}
	starts := word&0x8000 != 0 && !c.converts || word&0x0100 == 0
	c.regs[1] = word | 0x8000
	if starts {
		// Waking up takes 25 µs.
		c.converts, c.begun, c.shown = true, c.clock()+25*time.Microsecond, 0
	}
	if c.converts {
		c.regs[1] &^= 0x8000
	}
}

// period is how long a conversion takes.
func (c *ADS1115) period() time.Duration {
	rate := [8]float64{8, 16, 32, 64, 128, 250, 475, 860}[c.regs[1]>>5&7]
	return time.Duration(c.slow / rate * 1e9)
}

// update ends the conversions that are over by now.
func (c *ADS1115) update() {
	if !c.converts {
		return
	}
	period := c.period()
	done := int64((c.clock() - c.begun) / period)
	if done <= c.shown || c.clock() < c.begun {
		return
	}
	single := c.regs[1]&0x0100 != 0
	if single {
		done = 1
	}
	if !c.frozen {
		c.regs[0] = c.convert(c.begun+time.Duration(done-1)*period, period)
	}
	c.shown = done
	if single {
		c.converts = false
		c.regs[1] |= 0x8000
	}
}

// convert is the code of the mean of the input over a conversion.
func (c *ADS1115) convert(begin, period time.Duration) uint16 {
	plus, minus := 0, 3
	switch mux := int(c.regs[1] >> 12 & 7); mux {
	case 0:
		minus = 1
	case 1, 2, 3:
		plus = mux - 1
	default:
		plus, minus = mux-4, -1
	}
	const n = 32
	sum := 0.0
	for i := range n {
		t := begin.Seconds() + period.Seconds()*(float64(i)+0.5)/n
		sum += c.pins[plus].volts(t)
		if minus >= 0 {
			sum -= c.pins[minus].volts(t)
		}
	}
	noise := c.pins[plus].Noise
	if minus >= 0 {
		noise = math.Hypot(noise, c.pins[minus].Noise)
	}
	volts := sum/n + noise*c.random.NormFloat64()
	full := [8]float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256}[c.regs[1]>>9&7]
	return uint16(int16(clamp(volts/full*32768, math.MinInt16, math.MaxInt16)))
}
