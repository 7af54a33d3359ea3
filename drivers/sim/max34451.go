package sim

import "sync"

// Commands of the MAX34451.
const (
	maxPage      = 0x00
	maxClear     = 0x03
	maxFault     = 0x46 // overcurrent limits; the two are swapped in older revisions
	maxWarn      = 0x4A
	maxWord      = 0x79
	maxIout      = 0x7B
	maxCML       = 0x7E
	maxReadVout  = 0x8B
	maxReadIout  = 0x8C
	maxReadTemp  = 0x8D
	maxMaker     = 0x99
	maxModel     = 0x9A
	maxRevision  = 0x9B
	maxChannel   = 0xE4
	maxChannels  = 16
	maxPages     = 21
	maxEveryPage = 0xFF
)

// MAX34451 is the model of a monitor of 16 voltages or currents and five
// temperatures on PMBus. It monitors only, and has no flash: a reset brings the
// configuration of a new chip back.
type MAX34451 struct {
	addr     byte
	revision uint16

	mu      sync.Mutex // guards all below
	page    byte
	config  [maxChannels]uint16
	fault46 [maxChannels]uint16 // the limits, by their command
	warn4A  [maxChannels]uint16
	vout    [maxChannels]uint16
	iout    [maxChannels]uint16
	status  [maxChannels]byte // STATUS_IOUT
	temp    [maxPages - maxChannels]uint16
	cml     byte
	frozen  bool
	volts   [maxChannels]float64
	amps    [maxChannels]float64
	celsius [maxPages - maxChannels]float64
	buf     [33]byte
}

var _ Chip = (*MAX34451)(nil)

// NewMAX34451 returns a monitor after power-on: it has measured nothing. The
// address is part of its packet error codes; revisions below 0x12 have the two
// limits of overcurrent swapped.
func NewMAX34451(addr, revision uint16) *MAX34451 {
	c := &MAX34451{addr: byte(addr), revision: revision}
	for i := range c.celsius {
		c.celsius[i] = 25
	}
	c.Reset()
	return c
}

// Set applies a voltage and a current to the input of a channel, 0 to 15; which
// of the two it measures is its configuration. The words clip at their ends. A NaN
// reads as zero.
func (c *MAX34451) Set(channel int, volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts[channel], c.amps[channel] = volts, amps
	c.convert()
}

// SetCelsius applies a temperature to a sensor, 0 (the chip's own) to 4.
func (c *MAX34451) SetCelsius(sensor int, celsius float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.celsius[sensor] = celsius
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *MAX34451) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// convert does what the chip does at each conversion: millivolts, steps of 10 mA
// and of 0.01 °C.
func (c *MAX34451) convert() {
	if c.frozen {
		return
	}
	for i, config := range c.config {
		c.vout[i], c.iout[i] = 0, 0
		switch config & 0x3F {
		case 0x10, 0x20, 0x21:
			c.vout[i] = uint16(int16(clamp(c.volts[i]*1000, -1<<15, 1<<15-1)))
		case 0x22, 0x23:
			c.iout[i] = uint16(int16(clamp(c.amps[i]*100, -1<<15, 1<<15-1)))
		}
		fault, warn := c.fault46[i], c.warn4A[i]
		if c.revision < 0x12 {
			fault, warn = warn, fault
		}
		if config&0x3F != 0x22 {
			continue // without limits
		}
		if int16(c.iout[i]) > int16(fault) {
			c.status[i] |= 1 << 7
		}
		if int16(c.iout[i]) > int16(warn) {
			c.status[i] |= 1 << 5
		}
	}
	for i, celsius := range c.celsius {
		c.temp[i] = uint16(int16(clamp(celsius*100, -1<<15, 1<<15-1)))
	}
}

// Tx implements Chip.
func (c *MAX34451) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return smbus(c, c.addr, &c.buf, max34451Width, w, r)
}

// max34451Width returns how many bytes a command is written with, −1 for none
// that is written.
func max34451Width(command byte) int {
	switch command {
	case maxClear:
		return 0
	case maxPage:
		return 1
	case maxFault, maxWarn, maxChannel:
		return 2
	}
	return -1
}

func (c *MAX34451) fetch(command byte, data *[33]byte) int {
	switch command { // on every page
	case maxPage:
		return little(data, uint16(c.page), 1)
	case maxMaker:
		return little(data, 0x4D, 1)
	case maxModel:
		return little(data, 0x59, 1)
	case maxRevision:
		return little(data, c.revision, 2)
	case maxCML:
		return little(data, uint16(c.cml), 1)
	}
	if c.page >= maxChannels {
		if command == maxReadTemp && c.page < maxPages {
			return little(data, c.temp[c.page-maxChannels], 2)
		}
		return 0
	}
	switch command {
	case maxWord:
		status := uint16(0)
		if c.status[c.page] != 0 {
			status |= 1 << 14
		}
		if c.cml != 0 {
			status |= 1 << 1
		}
		return little(data, status, 2)
	case maxIout:
		return little(data, uint16(c.status[c.page]), 1)
	case maxReadVout:
		return little(data, c.vout[c.page], 2)
	case maxReadIout:
		return little(data, c.iout[c.page], 2)
	case maxFault:
		return little(data, c.fault46[c.page], 2)
	case maxWarn:
		return little(data, c.warn4A[c.page], 2)
	case maxChannel:
		return little(data, c.config[c.page], 2)
	}
	return 0
}

func (c *MAX34451) put(command byte, data []byte) bool {
	switch command {
	case maxPage:
		if data[0] >= maxPages && data[0] != maxEveryPage {
			return false
		}
		c.page = data[0]
		return true
	case maxClear:
		c.status, c.cml = [maxChannels]byte{}, 0
		c.convert()
		return true
	}
	word := uint16(data[0]) | uint16(data[1])<<8
	for i := range c.config {
		if int(c.page) != i && c.page != maxEveryPage {
			continue
		}
		switch command {
		case maxFault:
			c.fault46[i] = word
		case maxWarn:
			c.warn4A[i] = word
		case maxChannel:
			c.config[i] = word
		}
	}
	c.convert()
	return c.page < maxChannels || c.page == maxEveryPage
}

func (c *MAX34451) fault(bit byte) { c.cml |= bit }

// Reset implements Chip: the measurements read zero until the next Set or the next
// write.
func (c *MAX34451) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.page, c.cml = 0, 0
	c.vout, c.iout = [maxChannels]uint16{}, [maxChannels]uint16{}
	c.status = [maxChannels]byte{}
	c.temp = [maxPages - maxChannels]uint16{}
	for i := range c.config {
		c.config[i], c.fault46[i], c.warn4A[i] = 0x20, 0x7FFF, 0x7FFF
	}
}
