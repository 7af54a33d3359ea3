package sim

import (
	"math"
	"sync"
)

// Registers of the INA226, and the bits of its mask register.
const (
	ina226Config      = 0x00
	ina226Shunt       = 0x01
	ina226Bus         = 0x02
	ina226Power       = 0x03
	ina226Current     = 0x04
	ina226Calibration = 0x05
	ina226Mask        = 0x06
	ina226Limit       = 0x07
	ina226Maker       = 0xFE
	ina226Die         = 0xFF

	ina226ShuntOver  = 1 << 15
	ina226ShuntUnder = 1 << 14
	ina226BusOver    = 1 << 13
	ina226BusUnder   = 1 << 12
	ina226PowerOver  = 1 << 11
	ina226Alert      = 1 << 4
	ina226Ready      = 1 << 3
	ina226Overflow   = 1 << 2
	ina226ActiveHigh = 1 << 1
	ina226Latch      = 1 << 0
)

// INA226 is the model of a DC power monitor with an alert pin.
type INA226 struct {
	ohms float64

	mu          sync.Mutex // guards all below
	regs        [8]uint16
	point       byte
	frozen      bool
	volts, amps float64
}

var _ Chip = (*INA226)(nil)

// NewINA226 returns a monitor at a shunt of that resistance, after power-on: it
// has measured nothing.
func NewINA226(shuntOhms float64) *INA226 {
	c := &INA226{ohms: shuntOhms}
	c.Reset()
	return c
}

// Set applies a bus voltage and a current (negative when it flows back). The
// chip clips at the ends of its registers. A NaN reads as zero.
func (c *INA226) Set(volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts, c.amps = volts, amps
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *INA226) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// Pin reports the level of the alert pin, with its pull-up: low while there is
// an alert, unless the polarity is inverted.
func (c *INA226) Pin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.regs[ina226Mask]&ina226Alert != 0) == (c.regs[ina226Mask]&ina226ActiveHigh != 0)
}

// convert does what the chip does at each conversion.
func (c *INA226) convert() {
	if c.frozen || c.regs[ina226Config]&3 == 0 { // powered down
		return
	}
	shunt := clamp(c.amps*c.ohms/2.5e-6, math.MinInt16, math.MaxInt16)
	bus := clamp(c.volts/1.25e-3, 0, math.MaxInt16)
	current := math.Trunc(shunt * float64(c.regs[ina226Calibration]) / 2048)
	power := math.Trunc(math.Abs(current) * bus / 20000)
	c.regs[ina226Shunt] = uint16(int16(shunt))
	c.regs[ina226Bus] = uint16(bus)
	c.regs[ina226Current] = uint16(int16(clamp(current, math.MinInt16, math.MaxInt16)))
	c.regs[ina226Power] = uint16(clamp(power, 0, math.MaxUint16))

	mask := c.regs[ina226Mask]&^ina226Overflow | ina226Ready
	if math.Abs(current) > math.MaxInt16 || power > math.MaxUint16 {
		mask |= ina226Overflow
	}
	// Of several functions the highest bit is heeded.
	limit := c.regs[ina226Limit]
	var over bool
	switch {
	case mask&ina226ShuntOver != 0:
		over = shunt > float64(int16(limit))
	case mask&ina226ShuntUnder != 0:
		over = shunt < float64(int16(limit))
	case mask&ina226BusOver != 0:
		over = bus > float64(limit)
	case mask&ina226BusUnder != 0:
		over = bus < float64(limit)
	case mask&ina226PowerOver != 0:
		over = power > float64(limit)
	}
	if over {
		mask |= ina226Alert
	} else if mask&ina226Latch == 0 {
		mask &^= ina226Alert
	}
	c.regs[ina226Mask] = mask
}

// Tx implements Chip: a pointer byte, followed by two bytes that are written to
// the register, or read from it, the most significant first.
func (c *INA226) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pointed(c, &c.point, w, r)
}

func (c *INA226) load(reg byte) (uint64, int) {
	switch {
	case reg == ina226Maker:
		return 0x5449, 2
	case reg == ina226Die:
		return 0x2260, 2
	case int(reg) >= len(c.regs):
		return 0, 0
	}
	value := uint64(c.regs[reg])
	if reg == ina226Mask { // reading it ends a latched alert, and the ready flag
		c.regs[ina226Mask] &^= ina226Alert | ina226Ready
	}
	return value, 2
}

func (c *INA226) store(reg byte, word uint16) {
	switch {
	case reg == ina226Config && word&(1<<15) != 0:
		c.reset()
	case reg == ina226Config:
		c.regs[reg] = word&0x0FFF | 0x4000
	case reg == ina226Calibration:
		c.regs[reg] = word & 0x7FFF
	case reg == ina226Mask:
		c.regs[reg] = word&0xFC03 | c.regs[reg]&0x001C
	case reg == ina226Limit:
		c.regs[reg] = word
	default:
		return
	}
	c.convert()
}

// Reset implements Chip: the measuring registers read zero until the next Set
// or the next write.
func (c *INA226) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

func (c *INA226) reset() {
	c.regs = [8]uint16{ina226Config: 0x4127}
	c.point = 0
}
