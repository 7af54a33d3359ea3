package sim

import (
	"math"
	"sync"
)

// registers is what a chip with a pointer byte does with one register: load
// returns its content and its width in bytes, store takes a 16-bit word. An
// address without a register has width 0 and drops what is written to it.
type registers interface {
	load(reg byte) (value uint64, width int)
	store(reg byte, word uint16)
}

// pointed carries out a transaction of a chip whose registers are chosen by a
// pointer byte and travel most significant byte first. Past its width a
// register reads ones. A write of one byte only moves the pointer.
func pointed(c registers, point *byte, w, r []byte) error {
	if len(w) > 0 {
		*point = w[0]
	}
	if len(w) >= 3 {
		c.store(*point, uint16(w[1])<<8|uint16(w[2]))
	}
	if len(r) == 0 {
		return nil
	}
	value, width := c.load(*point)
	for i := range r {
		r[i] = 0xFF
		if i < width {
			r[i] = byte(value >> (8 * (width - 1 - i)))
		}
	}
	return nil
}

// Registers of the INA219.
const (
	ina219Config = iota
	ina219Shunt
	ina219Bus
	ina219Power
	ina219Current
	ina219Calibration
	ina219Count
)

// INA219 is the model of a DC power monitor without an alert pin.
type INA219 struct {
	ohms float64

	mu          sync.Mutex // guards all below
	regs        [ina219Count]uint16
	point       byte
	frozen      bool
	volts, amps float64
}

var _ Chip = (*INA219)(nil)

// NewINA219 returns a monitor at a shunt of that resistance, after power-on: it
// has measured nothing.
func NewINA219(shuntOhms float64) *INA219 {
	c := &INA219{ohms: shuntOhms}
	c.Reset()
	return c
}

// Set applies a bus voltage and a current (negative when it flows back). The
// chip clips at the ends of its ranges. A NaN reads as zero.
func (c *INA219) Set(volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts, c.amps = volts, amps
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *INA219) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// convert does what the chip does at each conversion.
func (c *INA219) convert() {
	if c.frozen {
		return
	}
	// The amplifier ends at ±40 mV, doubled by each step of PG; the bus at 16 V
	// or, with BRNG, at 32 V.
	clip := 4000 << (c.regs[ina219Config] >> 11 & 3)
	top := 4000.0
	if c.regs[ina219Config]&(1<<13) != 0 {
		top = 8000
	}
	shunt := clamp(c.amps*c.ohms/10e-6, -float64(clip), float64(clip))
	bus := clamp(c.volts/4e-3, 0, top)
	current := math.Trunc(shunt * float64(c.regs[ina219Calibration]) / 4096)
	power := math.Trunc(math.Abs(current) * bus / 5000)
	word := uint16(bus)<<3 | 1<<1 // CNVR
	if math.Abs(current) > math.MaxInt16 || power > math.MaxUint16 {
		word |= 1 // OVF
	}
	c.regs[ina219Shunt] = uint16(int16(shunt))
	c.regs[ina219Bus] = word
	c.regs[ina219Current] = uint16(int16(clamp(current, math.MinInt16, math.MaxInt16)))
	c.regs[ina219Power] = uint16(clamp(power, 0, math.MaxUint16))
}

// Tx implements Chip: a pointer byte, followed by two bytes that are written to
// the register, or read from it, the most significant first.
func (c *INA219) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pointed(c, &c.point, w, r)
}

func (c *INA219) load(reg byte) (uint64, int) {
	if int(reg) >= len(c.regs) {
		return 0, 0
	}
	value := uint64(c.regs[reg])
	if reg == ina219Power {
		c.regs[ina219Bus] &^= 1 << 1 // reading the power ends CNVR
	}
	return value, 2
}

func (c *INA219) store(reg byte, word uint16) {
	switch {
	case reg == ina219Config && word&(1<<15) != 0:
		c.reset()
	case reg == ina219Config:
		c.regs[ina219Config] = word &^ (1 << 14) // an unused bit
	case reg == ina219Calibration:
		c.regs[ina219Calibration] = word &^ 1 // so is FS0
	default:
		return
	}
	c.convert()
}

// Reset implements Chip: the measuring registers read zero until the next Set
// or the next write of the configuration.
func (c *INA219) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

func (c *INA219) reset() {
	c.regs = [ina219Count]uint16{ina219Config: 0x399F}
	c.point = 0
}
