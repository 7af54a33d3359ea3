package sim

import (
	"math"
	"sync"
)

// Registers of the INA228, and bits in them.
const (
	ina228Config      = 0x00
	ina228ADC         = 0x01
	ina228Calibration = 0x02
	ina228Tempco      = 0x03
	ina228Shunt       = 0x04 // 24 bits, as 0x05, 0x07 and 0x08
	ina228Bus         = 0x05
	ina228Temp        = 0x06
	ina228Current     = 0x07
	ina228Power       = 0x08
	ina228Energy      = 0x09 // 40 bits, as 0x0A
	ina228Charge      = 0x0A
	ina228Diag        = 0x0B
	ina228ShuntOver   = 0x0C
	ina228ShuntUnder  = 0x0D
	ina228BusOver     = 0x0E
	ina228BusUnder    = 0x0F
	ina228TempOver    = 0x10
	ina228PowerOver   = 0x11
	ina228Maker       = 0x3E
	ina228Device      = 0x3F

	ina228Narrow = 1 << 4 // ADCRANGE, in the configuration

	ina228Latch      = 1 << 15 // in DIAG_ALRT
	ina228ActiveHigh = 1 << 12
	ina228Alerts     = 0x00FC // the alert flags
	ina228Ready      = 1 << 1
	ina228Memory     = 1 << 0
)

// INA228 is the model of a 20-bit DC power monitor with an alert pin. It does
// not integrate: energy and charge read zero.
type INA228 struct {
	ohms float64

	mu                   sync.Mutex // guards all below
	regs                 [0x40]uint64
	point                byte
	frozen               bool
	volts, amps, celsius float64
}

var _ Chip = (*INA228)(nil)

// NewINA228 returns a monitor at a shunt of that resistance, after power-on: it
// has measured nothing.
func NewINA228(shuntOhms float64) *INA228 {
	c := &INA228{ohms: shuntOhms, celsius: 25}
	c.Reset()
	return c
}

// Set applies a bus voltage and a current (negative when it flows back). The
// chip clips at the ends of its registers. A NaN reads as zero.
func (c *INA228) Set(volts, amps float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts, c.amps = volts, amps
	c.convert()
}

// SetCelsius applies a temperature of the die.
func (c *INA228) SetCelsius(celsius float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.celsius = celsius
	c.convert()
}

// Freeze stops the conversions, or lets them go on.
func (c *INA228) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.convert()
}

// Pin reports the level of the alert pin, with its pull-up: low while there is
// an alert, unless the polarity is inverted.
func (c *INA228) Pin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	diag := c.regs[ina228Diag]
	return (diag&ina228Alerts != 0) == (diag&ina228ActiveHigh != 0)
}

// convert does what the chip does at each conversion.
func (c *INA228) convert() {
	if c.frozen || c.regs[ina228ADC]>>12 == 0 { // shut down
		return
	}
	const top = 1<<19 - 1
	step := 312.5e-9
	if c.regs[ina228Config]&ina228Narrow != 0 {
		step = 78.125e-9
	}
	shunt := clamp(c.amps*c.ohms/step, -top-1, top)
	bus := clamp(c.volts/195.3125e-6, 0, top)
	temp := clamp(c.celsius/7.8125e-3, math.MinInt16, math.MaxInt16)
	// The calibration is 13107.2e6 × amps a step × ohms, four times that in the
	// narrow range: in both, 4096 makes the steps of current and shunt the same.
	current := 0.0
	if c.regs[ina228Calibration] != 0 {
		current = clamp(shunt*4096/float64(c.regs[ina228Calibration]), -top-1, top)
	}
	// A step of power is 3.2 steps of current times a volt.
	power := clamp(math.Abs(current)*bus*195.3125e-6/3.2, 0, 1<<24-1)
	c.regs[ina228Shunt] = uint64(uint32(int32(shunt))&0xFFFFF) << 4
	c.regs[ina228Bus] = uint64(bus) << 4
	c.regs[ina228Temp] = uint64(uint16(int16(temp)))
	c.regs[ina228Current] = uint64(uint32(int32(current))&0xFFFFF) << 4
	c.regs[ina228Power] = uint64(power)

	// The limits are 16 bits wide, sixteen times the step of the 20 bits, and the
	// power's 256 times its step.
	signed := func(reg int) float64 { return float64(int16(c.regs[reg])) }
	flags := uint64(0)
	for bit, on := range map[uint]bool{
		7: temp > signed(ina228TempOver),
		6: shunt/16 > signed(ina228ShuntOver),
		5: shunt/16 < signed(ina228ShuntUnder),
		4: bus/16 > float64(c.regs[ina228BusOver]),
		3: bus/16 < float64(c.regs[ina228BusUnder]),
		2: power/256 > float64(c.regs[ina228PowerOver]),
	} {
		if on {
			flags |= 1 << bit
		}
	}
	if c.regs[ina228Diag]&ina228Latch == 0 {
		c.regs[ina228Diag] &^= ina228Alerts
	}
	c.regs[ina228Diag] |= flags | ina228Ready
}

// Tx implements Chip: a pointer byte, followed by two bytes that are written to
// the register, or by the two, three or five bytes that are read from it, the
// most significant first.
func (c *INA228) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pointed(c, &c.point, w, r)
}

func (c *INA228) load(reg byte) (uint64, int) {
	if int(reg) >= len(c.regs) || reg > ina228PowerOver && reg < ina228Maker {
		return 0, 0
	}
	value := c.regs[reg]
	switch reg {
	case ina228Shunt, ina228Bus, ina228Current, ina228Power:
		return value, 3
	case ina228Energy, ina228Charge:
		return value, 5
	case ina228Diag: // reading it ends a latched alert, and the ready flag
		c.regs[reg] &^= ina228Alerts | ina228Ready
	}
	return value, 2
}

func (c *INA228) store(reg byte, word uint16) {
	switch reg {
	case ina228Config:
		if word&(1<<15) != 0 {
			c.reset()
			return
		}
		word &= 0x3FF0
	case ina228ADC, ina228ShuntOver, ina228ShuntUnder, ina228TempOver, ina228PowerOver:
	case ina228Calibration, ina228BusOver, ina228BusUnder:
		word &= 0x7FFF
	case ina228Tempco:
		word &= 0x3FFF
	case ina228Diag:
		word = word&0xF000 | uint16(c.regs[reg])&0x0FFF
	default:
		return
	}
	c.regs[reg] = uint64(word)
	c.convert()
}

// Reset implements Chip: the measuring registers read zero until the next Set
// or the next write.
func (c *INA228) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
}

func (c *INA228) reset() {
	c.regs = [0x40]uint64{
		ina228ADC:         0xFB68,
		ina228Calibration: 0x1000,
		ina228Diag:        ina228Memory,
		ina228ShuntOver:   0x7FFF,
		ina228ShuntUnder:  0x8000,
		ina228BusOver:     0x7FFF,
		ina228TempOver:    0x7FFF,
		ina228PowerOver:   0xFFFF,
		ina228Maker:       0x5449,
		ina228Device:      0x2281,
	}
	c.point = 0
}
