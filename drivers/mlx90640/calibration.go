package mlx90640

import (
	"fmt"
	"math"
	"slices"
)

const (
	words  = 832
	pixels = Width * Height

	// Words of the EEPROM, from its beginning.
	eeMode       = 10
	eeOffset     = 16 // scales; reference, rows, columns follow
	eeAlpha      = 32 // the same
	eeGain       = 48
	eePTAT25     = 49
	eePTAT       = 50
	eeSupply     = 51
	eeKv         = 52
	eePattern    = 53
	eeKtaColumn  = 54
	eeScales     = 56
	eeCPAlpha    = 57
	eeCPOffset   = 58
	eeCPDrift    = 59
	eeTGC        = 60
	eeKsTo       = 61
	eeCorners    = 63
	eePixels     = 64
	modePattern  = 0x0800 // calibrated in the interleaved pattern, not in chess
	outlier      = 0x0001
	maxBadPixels = 4

	// Words of the RAM, from its beginning.
	ramBandgap = 768
	ramCP      = 776 // of subpage 0; 32 words on for subpage 1
	ramGain    = 778
	ramPTAT    = 800
	ramSupply  = 810

	zeroCelsius = 273.15 // in kelvin
)

// calibration is what the EEPROM says.
type calibration struct {
	supply, supply25  float64
	kvPTAT, ktPTAT    float64
	ptat25, alphaPTAT float64
	gain, tgc, ksTa   float64
	resolution        int
	corner            [4]float64 // °C at which each range begins
	ksTo              [4]float64
	rangeGain         [4]float64
	cpOffset, cpAlpha [2]float64
	cpKta, cpKv       float64
	chess             bool
	pattern           [3]float64
	alpha, offset     [pixels]float64
	kta, kv           [pixels]float64
	bad               [maxBadPixels]int
	badCount          int
}

// field returns n bits of a word from bit at on, signed.
func field(word uint16, at, n int) float64 {
	return float64(int16(word<<(16-at-n)) >> (16 - n))
}

// bits returns n bits of a word from bit at on.
func bits(word uint16, at, n int) int { return int(word >> at & (1<<n - 1)) }

func power(n int) float64 { return math.Ldexp(1, n) }

// parse reads the calibration out of the words of the EEPROM.
func (c *calibration) parse(ee *[words]uint16) error {
	*c = calibration{
		supply:     field(ee[eeSupply], 8, 8) * 32,
		supply25:   (float64(bits(ee[eeSupply], 0, 8))-256)*32 - 8192,
		kvPTAT:     field(ee[eePTAT], 10, 6) / power(12),
		ktPTAT:     field(ee[eePTAT], 0, 10) / power(3),
		ptat25:     float64(int16(ee[eePTAT25])),
		alphaPTAT:  float64(bits(ee[eeOffset], 12, 4))/4 + 8,
		gain:       float64(int16(ee[eeGain])),
		tgc:        field(ee[eeTGC], 0, 8) / power(5),
		ksTa:       field(ee[eeTGC], 8, 8) / power(13),
		resolution: bits(ee[eeScales], 12, 2),
		chess:      ee[eeMode]&modePattern == 0,
		pattern: [3]float64{
			field(ee[eePattern], 0, 6) / 16, field(ee[eePattern], 6, 5) / 2, field(ee[eePattern], 11, 5) / 8,
		},
	}
	if c.supply == 0 || c.ktPTAT == 0 || c.gain == 0 {
		return fmt.Errorf("a divisor is zero: %w", ErrCalibration)
	}
	c.ranges(ee)
	c.compensationPixel(ee)
	return c.perPixel(ee)
}

// ranges reads the four ranges of object temperature.
func (c *calibration) ranges(ee *[words]uint16) {
	step := float64(10 * bits(ee[eeCorners], 12, 2))
	c.corner = [4]float64{-40, 0, step * float64(bits(ee[eeCorners], 4, 4))}
	c.corner[3] = c.corner[2] + step*float64(bits(ee[eeCorners], 8, 4))
	scale := power(8 + bits(ee[eeCorners], 0, 4))
	for i := range c.ksTo {
		c.ksTo[i] = field(ee[eeKsTo+i/2], 8*(i%2), 8) / scale
	}
	c.rangeGain[0] = 1 / (1 + c.ksTo[0]*40)
	c.rangeGain[1] = 1
	c.rangeGain[2] = 1 + c.ksTo[1]*c.corner[2]
	c.rangeGain[3] = c.rangeGain[2] * (1 + c.ksTo[2]*(c.corner[3]-c.corner[2]))
}

// compensationPixel reads the calibration of the pixel that sees the package.
func (c *calibration) compensationPixel(ee *[words]uint16) {
	c.cpOffset[0] = field(ee[eeCPOffset], 0, 10)
	c.cpOffset[1] = c.cpOffset[0] + field(ee[eeCPOffset], 10, 6)
	c.cpAlpha[0] = field(ee[eeCPAlpha], 0, 10) / power(27+bits(ee[eeAlpha], 12, 4))
	c.cpAlpha[1] = c.cpAlpha[0] * (1 + field(ee[eeCPAlpha], 10, 6)/128)
	c.cpKta = field(ee[eeCPDrift], 0, 8) / power(8+bits(ee[eeScales], 4, 4))
	c.cpKv = field(ee[eeCPDrift], 8, 8) / power(bits(ee[eeScales], 8, 4))
}

// perPixel reads the offset, the sensitivity and their drifts of each pixel.
func (c *calibration) perPixel(ee *[words]uint16) error {
	// A value of a pixel is a reference, its row's and its column's share, and what
	// remains, each share with a scale of its own.
	share := func(at, row, column int, rest float64) float64 {
		scales := ee[at]
		return field(ee[at+2+row/4], row%4*4, 4)*power(bits(scales, 8, 4)) +
			field(ee[at+8+column/4], column%4*4, 4)*power(bits(scales, 4, 4)) +
			rest*power(bits(scales, 0, 4))
	}
	window := c.tgc * (c.cpAlpha[0] + c.cpAlpha[1]) / 2
	for p := range c.alpha {
		word, row, column := ee[eePixels+p], p/Width, p%Width
		if word == 0 || word&outlier != 0 {
			if c.badCount == maxBadPixels {
				return fmt.Errorf("more than %d bad pixels: %w", maxBadPixels, ErrCalibration)
			}
			c.bad[c.badCount] = p
			c.badCount++
			continue
		}
		c.offset[p] = float64(int16(ee[eeOffset+1])) + share(eeOffset, row, column, field(word, 10, 6))
		alpha := float64(ee[eeAlpha+1]) + share(eeAlpha, row, column, field(word, 4, 6))
		c.alpha[p] = alpha/power(30+bits(ee[eeAlpha], 12, 4)) - window
		if c.alpha[p] <= 0 {
			return fmt.Errorf("pixel %d: no sensitivity: %w", p, ErrCalibration)
		}
		// Four averages for odd and even rows and columns, counted from one.
		evenRow, evenColumn := row%2, column%2
		average := field(ee[eeKtaColumn+evenColumn], 8*(1-evenRow), 8)
		c.kta[p] = (average + field(word, 1, 3)*power(bits(ee[eeScales], 0, 4))) / power(8+bits(ee[eeScales], 4, 4))
		c.kv[p] = field(ee[eeKv], 12-4*evenRow-8*evenColumn, 4) / power(bits(ee[eeScales], 8, 4))
	}
	return nil
}

// conditions returns the supply in volts and the temperature of the chip in °C.
func (c *calibration) conditions(ram *[words]uint16, resolution int) (volts, ta float64) {
	counts := float64(int16(ram[ramSupply])) * power(c.resolution-resolution)
	volts = 3.3 + (counts-c.supply25)/c.supply
	ptat := float64(int16(ram[ramPTAT]))
	ratio := ptat / (ptat*c.alphaPTAT + float64(int16(ram[ramBandgap]))) * power(18)
	return volts, 25 + (ratio/(1+c.kvPTAT*(volts-3.3))-c.ptat25)/c.ktPTAT
}

// relativeGain is the gain at calibration, as a multiple of that now.
func (c *calibration) relativeGain(ram *[words]uint16) float64 {
	return c.gain / float64(int16(ram[ramGain]))
}

// objects converts the pixels of one subpage of the chess pattern to °C.
func (c *calibration) objects(ram *[words]uint16, subpage int, volts, ta, emissivity, reflected float64, out *[pixels]float64) {
	dv, dt := volts-3.3, ta-25
	gain := c.relativeGain(ram)
	fourth := func(celsius float64) float64 { return math.Pow(celsius+zeroCelsius, 4) }
	radiated := fourth(reflected) - (fourth(reflected)-fourth(ta))/emissivity

	cpOffset := c.cpOffset[subpage]
	if subpage == 1 && !c.chess {
		cpOffset += c.pattern[0]
	}
	cp := gain*float64(int16(ram[ramCP+32*subpage])) - cpOffset*(1+c.cpKta*dt)*(1+c.cpKv*dv)

	for p := range out {
		row, column := p/Width, p%Width
		if (row+column)%2 != subpage {
			continue
		}
		ir := gain*float64(int16(ram[p])) - c.offset[p]*(1+c.kta[p]*dt)*(1+c.kv[p]*dv)
		if !c.chess {
			ir += c.interleaved(row, column)
		}
		ir = (ir - c.tgc*cp) / emissivity
		out[p] = c.object(ir, c.alpha[p]*(1+c.ksTa*dt), radiated)
	}
}

// interleaved is the correction of a chip that was calibrated in the other pattern.
func (c *calibration) interleaved(row, column int) float64 {
	sign := float64(row%2*2 - 1)
	// 0, −1, 0, 1 along a row, turned round in every other row.
	step := [4]float64{0, -1, 0, 1}[column%4]
	return c.pattern[2]*sign + c.pattern[1]*sign*step
}

// object solves the law of radiation for the temperature in °C: first in the range
// from 0 °C, then in the range that this belongs to.
func (c *calibration) object(ir, alpha, radiated float64) float64 {
	s := c.ksTo[1] * math.Sqrt(math.Sqrt(alpha*alpha*alpha*(ir+alpha*radiated)))
	to := math.Sqrt(math.Sqrt(ir/(alpha*(1-c.ksTo[1]*zeroCelsius)+s)+radiated)) - zeroCelsius
	n := 0
	for i := 1; i < len(c.corner); i++ {
		if to >= c.corner[i] {
			n = i
		}
	}
	slope := alpha * c.rangeGain[n] * (1 + c.ksTo[n]*(to-c.corner[n]))
	return math.Sqrt(math.Sqrt(ir/slope+radiated)) - zeroCelsius
}

// mend gives each bad pixel the highest of its neighbours.
func (c *calibration) mend(out *[pixels]float64) {
	bad := c.bad[:c.badCount]
	for _, p := range bad {
		row, column := p/Width, p%Width
		hot := math.Inf(-1)
		for _, n := range [...][2]int{{row - 1, column}, {row + 1, column}, {row, column - 1}, {row, column + 1}} {
			if n[0] < 0 || n[0] >= Height || n[1] < 0 || n[1] >= Width || slices.Contains(bad, n[0]*Width+n[1]) {
				continue
			}
			hot = max(hot, out[n[0]*Width+n[1]])
		}
		out[p] = hot
	}
}
