package sim

import (
	"math"
	"sync"
)

// Registers of the INA3221, and bits of its mask register.
const (
	ina3221Config   = 0x00
	ina3221Shunt    = 0x01 // of channel 1, the bus voltage at 0x02; each channel two further
	ina3221Critical = 0x07 // of channel 1, the warning limit at 0x08; likewise
	ina3221Sum      = 0x0D
	ina3221SumLimit = 0x0E
	ina3221Mask     = 0x0F
	ina3221Upper    = 0x10
	ina3221Lower    = 0x11
	ina3221Maker    = 0xFE
	ina3221Die      = 0xFF

	ina3221WarningLatch  = 1 << 11
	ina3221CriticalLatch = 1 << 10
	ina3221CriticalFlags = 1<<9 | 1<<8 | 1<<7 | 1<<6 // channels 1 to 3, and the sum
	ina3221WarningFlags  = 1<<5 | 1<<4 | 1<<3
	ina3221Timing        = 1 << 1
	ina3221Ready         = 1 << 0
)

// INA3221 is the model of a DC voltage and current monitor of three channels.
// The power-valid and the timing-control pins are left out.
type INA3221 struct {
	ohms [3]float64

	mu          sync.Mutex // guards all below
	regs        [0x12]uint16
	point       byte
	frozen      bool
	volts, amps [3]float64
}

var _ Chip = (*INA3221)(nil)

// NewINA3221 returns a monitor at three shunts of those resistances, after
// power-on: it has measured nothing.
func NewINA3221(shuntOhms [3]float64) *INA3221 {
	c := &INA3221{ohms: shuntOhms}
	c.Reset()
	return c
}

// Set applies a bus voltage and a current (negative when it flows back) to a
// channel, 0 to 2. The chip clips at the ends of its registers. A NaN reads as
// zero.
func (c *INA3221) Set(channel int, volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts[channel], c.amps[channel] = volts, amps
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *INA3221) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// Pins reports the levels of the critical and the warning pin, with their
// pull-ups: low while there is an alert.
func (c *INA3221) Pins() (critical, warning bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mask := c.regs[ina3221Mask]
	return mask&ina3221CriticalFlags == 0, mask&ina3221WarningFlags == 0
}

// convert does what the chip does at each conversion.
func (c *INA3221) convert() {
	config := c.regs[ina3221Config]
	if c.frozen || config&3 == 0 { // powered down
		return
	}
	mask := c.regs[ina3221Mask] | ina3221Ready
	if mask&ina3221CriticalLatch == 0 {
		mask &^= ina3221CriticalFlags
	}
	if mask&ina3221WarningLatch == 0 {
		mask &^= ina3221WarningFlags
	}
	sum := 0
	for i := range c.ohms {
		if config>>(14-i)&1 == 0 {
			continue
		}
		shunt := int(clamp(c.amps[i]*c.ohms[i]/40e-6, -1<<12, 1<<12-1))
		bus := clamp(c.volts[i]/8e-3, 0, 1<<12-1)
		c.regs[ina3221Shunt+2*i] = uint16(int16(shunt)) << 3
		c.regs[ina3221Shunt+2*i+1] = uint16(bus) << 3
		if shunt > int(int16(c.regs[ina3221Critical+2*i]))>>3 {
			mask |= 1 << (9 - i)
		}
		if shunt > int(int16(c.regs[ina3221Critical+2*i+1]))>>3 {
			mask |= 1 << (5 - i)
		}
		if mask>>(14-i)&1 == 1 {
			sum += shunt
		}
	}
	sum = min(max(sum, -1<<14), 1<<14-1)
	c.regs[ina3221Sum] = uint16(int16(sum)) << 1
	if sum > int(int16(c.regs[ina3221SumLimit]))>>1 {
		mask |= 1 << 6
	}
	c.regs[ina3221Mask] = mask
}

// Tx implements Chip: a pointer byte, followed by two bytes that are written to
// the register, or read from it, the most significant first.
func (c *INA3221) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pointed(c, &c.point, w, r)
}

func (c *INA3221) load(reg byte) (uint64, int) {
	switch {
	case reg == ina3221Maker:
		return 0x5449, 2
	case reg == ina3221Die:
		return 0x3220, 2
	case int(reg) >= len(c.regs):
		return 0, 0
	}
	value := uint64(c.regs[reg])
	if reg == ina3221Mask { // reading it ends latched alerts, and the ready flag
		c.regs[reg] &^= ina3221CriticalFlags | ina3221WarningFlags | ina3221Ready
	}
	return value, 2
}

func (c *INA3221) store(reg byte, word uint16) {
	switch {
	case reg == ina3221Config && word&(1<<15) != 0:
		c.reset()
		return
	case reg == ina3221Config:
	case reg >= ina3221Critical && reg < ina3221Sum, reg == ina3221Upper, reg == ina3221Lower:
		word &= math.MaxUint16 - 7
	case reg == ina3221SumLimit:
		word &= math.MaxUint16 - 1
	case reg == ina3221Mask:
		word = word&0x7C00 | c.regs[reg]&0x03FF
	default:
		return
	}
	c.regs[reg] = word
	c.convert()
}

// Reset implements Chip: the measuring registers read zero until the next Set
// or the next write.
func (c *INA3221) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

func (c *INA3221) reset() {
	c.regs = [0x12]uint16{
		ina3221Config:   0x7127,
		ina3221SumLimit: 0x7FFE,
		ina3221Mask:     ina3221Timing,
		ina3221Upper:    0x2710,
		ina3221Lower:    0x2328,
	}
	for i := ina3221Critical; i < ina3221Sum; i++ {
		c.regs[i] = 0x7FF8
	}
	c.point = 0
}
