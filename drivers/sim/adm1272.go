package sim

import (
	"math"
	"sync"
)

// commands is what a chip on PMBus does with one command: fetch fills data with
// what is read and returns how many bytes that are, 0 for a command without;
// put takes what is written and reports whether it was accepted.
type commands interface {
	fetch(command byte, data *[33]byte) int
	put(command byte, data []byte) bool
	// fault is told of a command, or of data, that cannot be.
	fault(bit byte)
}

// Faults of PMBus communication, bits of STATUS_CML.
const (
	pmbusBadCommand = 1 << 7
	pmbusBadData    = 1 << 6
	pmbusBadPEC     = 1 << 5
)

// smbus carries out a transaction of a PMBus chip at addr: a command, followed by
// data that are written, or read. widths says how many bytes a command is written
// with. A packet error code is sent when the master reads on, and checked when it
// writes one byte more. buf is scratch.
func smbus(c commands, addr byte, buf *[33]byte, widths func(command byte) int, w, r []byte) error {
	if len(w) == 0 {
		for i := range r {
			r[i] = 0xFF
		}
		return nil
	}
	command, data := w[0], w[1:]
	if len(r) > 0 {
		n := c.fetch(command, buf)
		if n == 0 {
			c.fault(pmbusBadCommand)
		}
		var sum remainder
		sum.add(addr << 1)
		sum.add(command)
		sum.add(addr<<1 | 1)
		for i := range r {
			switch {
			case i < n:
				r[i] = buf[i]
				sum.add(buf[i])
			case i == n && n > 0:
				r[i] = sum.byte()
			default:
				r[i] = 0xFF
			}
		}
		return nil
	}
	width := widths(command)
	if width < 0 {
		c.fault(pmbusBadCommand)
		return ErrNACK
	}
	if len(data) == width+1 {
		var sum remainder
		sum.add(addr << 1)
		for _, b := range w[:len(w)-1] {
			sum.add(b)
		}
		if sum.byte() != data[width] {
			c.fault(pmbusBadPEC)
			return ErrNACK
		}
		data = data[:width]
	}
	if len(data) == 0 && width > 0 {
		return nil // a command whose data are never read
	}
	if len(data) != width || !c.put(command, data) {
		c.fault(pmbusBadData)
		return ErrNACK
	}
	return nil
}

// remainder divides a message by x⁸+x²+x+1, as long division does: the highest
// bit of what is left so far is taken out bit by bit.
type remainder uint16

func (r *remainder) add(b byte) {
	for i := 7; i >= 0; i-- {
		*r = *r<<1 | remainder(b>>i&1)
		if *r&0x100 != 0 {
			*r ^= 0x107
		}
	}
}

// byte returns the remainder of the message followed by eight zeros.
func (r remainder) byte() byte {
	r.add(0)
	return byte(r)
}

// little fills data with the width lowest bytes of value, the lowest first.
func little(data *[33]byte, value uint16, width int) int {
	data[0], data[1] = byte(value), byte(value>>8)
	return width
}

// block fills data with a block.
func block(data *[33]byte, text string) int {
	data[0] = byte(copy(data[1:], text))
	return len(text) + 1
}

// Commands of the ADM1272, and bits in them.
const (
	admOperation   = 0x01
	admClear       = 0x03
	admWarn        = 0x4A
	admStatusByte  = 0x78
	admStatusWord  = 0x79
	admStatusIout  = 0x7B
	admStatusInput = 0x7C
	admStatusCML   = 0x7E
	admVin         = 0x88
	admVout        = 0x8B
	admIout        = 0x8C
	admTemp        = 0x8D
	admPin         = 0x97
	admMaker       = 0x99
	admModel       = 0x9A
	admControl     = 0xD3
	admConfig      = 0xD4

	admWide30mV  = 1 << 0
	admVoutOn    = 1 << 1
	admVinOn     = 1 << 2
	admTempOn    = 1 << 3
	admWide100V  = 1 << 5
	admIoutWarn  = 1 << 5  // in STATUS_IOUT
	admWordIout  = 1 << 14 // in STATUS_WORD
	admWordCML   = 1 << 1
	admTopOfADC  = 1<<12 - 1
	admZeroIout  = 2048 // counts without current
	admNoLimit   = 0x0FFF
	admAfterBoot = 0x3F35
)

// ADM1272 is the model of a hot-swap controller and power monitor on PMBus, or of
// one of its sisters. It only monitors: its output stays on, and its alert pins
// are left out.
type ADM1272 struct {
	part admPart
	addr byte
	ohms float64

	mu                   sync.Mutex // guards all below
	vin, vout            uint16
	iout, pin, temp      uint16
	config, warn         uint16
	control, operation   byte
	statusIout, cml      byte
	frozen               bool
	volts, amps, celsius float64
	buf                  [33]byte
}

// admPart is what the members of the family differ in: counts a volt, an ampere at
// 1 mΩ and a watt, in the lower and the upper range, and counts without current.
type admPart struct {
	model        string
	boot         uint16 // configuration after power-on
	narrow       bool   // which is one byte
	volts        [2]float64
	amps         [2]float64
	watts        [4]float64 // of upper range of the current, of the voltage
	zero, freeze float64    // of current, of temperature
}

var _ Chip = (*ADM1272)(nil)

// NewADM1272 returns a monitor at a shunt of that resistance, after power-on: it
// has measured nothing. The address is part of its packet error codes.
func NewADM1272(addr uint16, shuntOhms float64) *ADM1272 {
	// 60 V, or 100 V, end at 4095; 15 mV, or 30 mV, end 2047 above the middle.
	return newADM(addr, shuntOhms, admPart{
		model: "ADM1272-A1", boot: admAfterBoot, volts: [2]float64{67.70, 40.62}, amps: [2]float64{132.6, 66.3},
		watts: [4]float64{35.12, 21.071, 17.561, 10.535}, zero: admZeroIout, freeze: 3187.1,
	})
}

// NewADM1275 returns a monitor of 6 or 20 V that measures no power.
func NewADM1275(addr uint16, shuntOhms float64) *ADM1272 {
	return newADM(addr, shuntOhms, admPart{
		model: "ADM1275-1", narrow: true, volts: [2]float64{672, 191.99}, amps: [2]float64{80.7, 80.7}, zero: 2047.5,
	})
}

// NewADM1276 returns a monitor of 6 or 20 V.
func NewADM1276(addr uint16, shuntOhms float64) *ADM1272 {
	return newADM(addr, shuntOhms, admPart{
		model: "ADM1276-3", narrow: true, volts: [2]float64{672, 191.99}, amps: [2]float64{80.7, 80.7},
		watts: [4]float64{211.5, 60.43, 211.5, 60.43}, zero: 2047.5,
	})
}

// NewADM1278 returns a monitor of 20 V.
func NewADM1278(addr uint16, shuntOhms float64) *ADM1272 {
	return newADM(addr, shuntOhms, admPart{
		model: "ADM1278-1", boot: admVinOn, volts: [2]float64{195.99, 195.99}, amps: [2]float64{80, 80},
		watts: [4]float64{61.23, 61.23, 61.23, 61.23}, zero: 2047.5, freeze: 3188,
	})
}

func newADM(addr uint16, shuntOhms float64, part admPart) *ADM1272 {
	c := &ADM1272{part: part, addr: byte(addr), ohms: shuntOhms, celsius: 25}
	c.Reset()
	return c
}

// Set applies a voltage and a current (negative when it flows back). The chip
// clips at the ends of its ADC. A NaN reads as zero.
func (c *ADM1272) Set(volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts, c.amps = volts, amps
	c.convert()
}

// SetCelsius applies a temperature.
func (c *ADM1272) SetCelsius(celsius float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.celsius = celsius
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *ADM1272) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// convert does what the chip does at each conversion.
func (c *ADM1272) convert() {
	if c.frozen || c.control&1 == 0 {
		return
	}
	ranges := [2]int{} // of the voltage, of the current
	if c.config&admWide100V != 0 {
		ranges[0] = 1
	}
	if c.config&admWide30mV != 0 && !c.part.narrow {
		ranges[1] = 1
	}
	perVolt, perAmp := c.part.volts[ranges[0]], c.part.amps[ranges[1]]*c.ohms*1000
	perWatt := c.part.watts[2*ranges[1]+ranges[0]]
	clip := func(x float64) uint16 { return uint16(clamp(x, 0, admTopOfADC)) }
	c.iout = clip(c.part.zero + zero(c.amps)*perAmp)
	c.vin, c.vout, c.temp = 0, 0, 0
	if c.config&admVinOn != 0 || c.part.narrow {
		c.vin = clip(c.volts * perVolt)
	}
	if c.config&admVoutOn != 0 {
		c.vout = clip(c.volts * perVolt)
	}
	if c.config&admTempOn != 0 && c.part.freeze != 0 {
		c.temp = clip(zero(c.celsius)*4.2 + c.part.freeze)
	}
	c.pin = uint16(int16(clamp(c.volts*c.amps*perWatt*c.ohms*1000, math.MinInt16, math.MaxInt16)))
	if c.iout > c.warn {
		c.statusIout |= admIoutWarn
	}
}

// zero makes a NaN zero.
func zero(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// Tx implements Chip.
func (c *ADM1272) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return smbus(c, c.addr, &c.buf, c.width, w, r)
}

// width returns how many bytes a command is written with, −1 for none that is
// written.
func (c *ADM1272) width(command byte) int {
	switch command {
	case admClear:
		return 0
	case admOperation, admControl:
		return 1
	case admConfig:
		return c.wide()
	case admWarn:
		return 2
	}
	return -1
}

// wide is how many bytes the configuration has.
func (c *ADM1272) wide() int {
	if c.part.narrow {
		return 1
	}
	return 2
}

func (c *ADM1272) fetch(command byte, data *[33]byte) int {
	status := uint16(0)
	if c.statusIout != 0 {
		status |= admWordIout
	}
	if c.cml != 0 {
		status |= admWordCML
	}
	switch command {
	case admOperation:
		return little(data, uint16(c.operation), 1)
	case admControl:
		return little(data, uint16(c.control), 1)
	case admConfig:
		return little(data, c.config, c.wide())
	case admWarn:
		return little(data, c.warn, 2)
	case admStatusByte:
		return little(data, status, 1)
	case admStatusWord:
		return little(data, status, 2)
	case admStatusIout:
		return little(data, uint16(c.statusIout), 1)
	case admStatusInput:
		return little(data, 0, 1)
	case admStatusCML:
		return little(data, uint16(c.cml), 1)
	case admVin:
		return little(data, c.vin, 2)
	case admVout:
		return little(data, c.vout, 2)
	case admIout:
		return little(data, c.iout, 2)
	case admTemp:
		return little(data, c.temp, 2)
	case admPin:
		return little(data, c.pin, 2)
	case admMaker:
		return block(data, "ADI")
	case admModel:
		return block(data, c.part.model)
	}
	return 0
}

func (c *ADM1272) put(command byte, data []byte) bool {
	switch command {
	case admClear:
		c.statusIout, c.cml = 0, 0
	case admOperation:
		c.operation = data[0]
	case admControl:
		c.control = data[0]
	case admWarn:
		c.warn = uint16(data[0]) | uint16(data[1])<<8
	case admConfig:
		if c.control&1 != 0 {
			return false // only while it does not convert
		}
		c.config = 0
		for i, b := range data {
			c.config |= uint16(b) << (8 * i)
		}
	}
	c.convert()
	return true
}

func (c *ADM1272) fault(bit byte) { c.cml |= bit }

// Reset implements Chip: the measurements read zero, of their ADC, until the next
// Set or the next write.
func (c *ADM1272) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vin, c.vout, c.iout, c.pin, c.temp = 0, 0, 0, 0, 0
	c.config, c.warn = c.part.boot, admNoLimit
	c.control, c.operation = 1, 0x80
	c.statusIout, c.cml = 0, 0
}
