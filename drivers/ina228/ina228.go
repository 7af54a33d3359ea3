package ina228

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrWord comes when a register holds what the chip cannot send: the bus is
	// stuck, a bit flipped, or another chip has this address.
	ErrWord = errors.New("impossible register word")
	// ErrReset comes from Sense and Check when the chip no longer holds what was
	// configured, as after a loss of its supply. Configure brings it back.
	ErrReset = errors.New("configuration lost")
)

// Registers, and what is in them.
const (
	regConfig      = 0x00
	regADC         = 0x01
	regCalibration = 0x02
	regShunt       = 0x04
	regBus         = 0x05
	regTemp        = 0x06
	regDiag        = 0x0B
	regShuntOver   = 0x0C
	regBusOver     = 0x0E
	regTempOver    = 0x10
	regPowerOver   = 0x11
	regMaker       = 0x3E
	regDevice      = 0x3F

	maker  = 0x5449
	device = 0x228 // bits 15 to 4; the rest is the revision

	// A delay of 2 ms before the first conversion, which a reset chip has not:
	// the mark by which it is known.
	confDelay  = 1 << 6
	confNarrow = 1 << 4 // ADCRANGE

	adcAll       = 0xF << 12 // mode: bus, shunt and temperature, again and again
	adcBusTime   = 9         // shifts
	adcShuntTime = 6
	adcTempTime  = 3

	diagLatch      = 1 << 15
	diagActiveHigh = 1 << 12
	diagMemory     = 1 << 0 // 0 is a checksum error in the trim memory
	diagProgrammed = 0xF000
	diagUnused     = 1 << 8

	// With this word the current register repeats the shunt register, in both
	// ranges.
	calibration = 4096

	wideLSB   = 312_500 // pV, ±163.84 mV
	narrowLSB = 78_125  // pV, ±40.96 mV
	top       = 1<<19 - 1
	unused    = 0xF // the lowest bits of a register of 20 bits
	busSign   = 1 << 23
	tempLSB   = physic.Celsius / 128
	coldest   = physic.ZeroCelsius - 55*physic.Celsius
	hottest   = physic.ZeroCelsius + 175*physic.Celsius

	minShunt = physic.MicroOhm
	maxShunt = 10 * physic.Ohm
)

// Alert is what the alert pin does without any software. The chip compares all
// its limits at once, each conversion by itself before it is averaged.
type Alert struct {
	// Enabled lets the pin follow the limits below.
	Enabled bool
	// Amps is the current above which the pin is active, rounded down to a step
	// of 5 µV across the shunt (1.25 µV in the narrow range). A current that
	// flows back is never above.
	Amps physic.ElectricCurrent
	// Volts, Watts and Celsius are further limits, rounded down to 3.125 mV, to
	// 256 steps of the power register and to 1/128 °C; 0 leaves one out.
	Volts   physic.ElectricPotential
	Watts   physic.Power
	Celsius physic.Temperature
	// Latch keeps the pin active until Flags is called.
	Latch bool
	// ActiveHigh inverts the pin, which is active low and open drain.
	ActiveHigh bool
}

// Opts says how the chip is wired, and what New programs.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x40 to 0x4F.
	Addr uint16
	// Shunt is the resistance of the shunt, 1 µΩ to 10 Ω.
	Shunt physic.ElectricResistance
	// Max is the largest current to be told from a larger one. It chooses the
	// range of ±40.96 mV if that holds it, else of ±163.84 mV.
	Max physic.ElectricCurrent
	// Average is how many conversions are averaged: 1, 4, 16, 64, 128, 256, 512
	// or 1024.
	Average int
	// Conversion is the time of one conversion, of the shunt as of the bus and
	// the temperature: 50, 84, 150, 280 or 540 µs, 1.052, 2.074 or 4.12 ms.
	Conversion time.Duration
	// Alert programs the alert pin.
	Alert Alert
}

// DefaultOpts suits the usual breakout board: 15 mΩ and 10 A at the address of
// both pins low, four times 1.052 ms averaged (a fresh value every 12.6 ms), no
// alert.
func DefaultOpts() *Opts {
	return &Opts{
		Addr:       0x40,
		Shunt:      15 * physic.MilliOhm,
		Max:        10 * physic.Ampere,
		Average:    4,
		Conversion: 1052 * time.Microsecond,
	}
}

// Measurement is what the chip saw in its last window.
type Measurement struct {
	// Volts is the bus voltage, never negative.
	Volts physic.ElectricPotential
	// Amps is the current through the shunt; negative when it flows back.
	Amps physic.ElectricCurrent
	// Watts is Volts × Amps.
	Watts physic.Power
	// Raw are the words of the shunt and the bus register as they were read.
	Raw [2]uint32
}

// Flags is the DIAG_ALRT register.
type Flags uint16

// The flags that a caller may care about.
const (
	// Ready is set when a window ended since the last call of Flags.
	Ready Flags = 1 << 1
	// OverWatts is set by the limit of the power.
	OverWatts Flags = 1 << 2
	// OverVolts is set by the limit of the bus voltage.
	OverVolts Flags = 1 << 4
	// OverAmps is set by the limit of the current.
	OverAmps Flags = 1 << 6
	// OverCelsius is set by the limit of the temperature.
	OverCelsius Flags = 1 << 7
	// MathOverflow says that the current or the power register, which this
	// package does not use, overflowed.
	MathOverflow Flags = 1 << 9
)

// setting is what a register is to hold.
type setting struct {
	reg  byte
	word uint16
}

// Dev is one INA228.
type Dev struct {
	conn     i2c.Dev
	name     string
	shunt    int64 // nΩ
	lsb      int64 // pV
	window   time.Duration
	config   uint16
	diag     uint16
	settings [7]setting // in the order of writing; the configuration comes last
	write    [3]byte
	read     [3]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn:   i2c.Dev{Bus: bus, Addr: opts.Addr},
		name:   fmt.Sprintf("ina228@%s/%#02x", bus, opts.Addr),
		shunt:  int64(opts.Shunt),
		lsb:    narrowLSB,
		config: confDelay | confNarrow,
		diag:   diagMemory,
	}
	if opts.Addr < 0x40 || opts.Addr > 0x4F {
		return nil, fmt.Errorf("%s: address %#02x: want 0x40 to 0x4f", d, opts.Addr)
	}
	if opts.Shunt < minShunt || opts.Shunt > maxShunt {
		return nil, fmt.Errorf("%s: shunt %s: want %s to %s", d, opts.Shunt, minShunt, maxShunt)
	}
	if opts.Max > d.amps(top) {
		d.lsb, d.config = wideLSB, confDelay
	}
	if opts.Max <= 0 || opts.Max > d.amps(top) {
		return nil, fmt.Errorf("%s: maximum %s: want above 0, up to %s", d, opts.Max, d.amps(top))
	}
	average := slices.Index([]int{1, 4, 16, 64, 128, 256, 512, 1024}, opts.Average)
	if average < 0 {
		return nil, fmt.Errorf("%s: average of %d: want 1, 4, 16, 64, 128, 256, 512 or 1024", d, opts.Average)
	}
	times := []time.Duration{50, 84, 150, 280, 540, 1052, 2074, 4120}
	conversion := slices.Index(times, opts.Conversion/time.Microsecond)
	if conversion < 0 || opts.Conversion%time.Microsecond != 0 {
		return nil, fmt.Errorf("%s: conversion time %s: want 50, 84, 150, 280, 540, 1052, 2074 or 4120µs", d, opts.Conversion)
	}
	d.window = 3 * time.Duration(opts.Average) * opts.Conversion
	adc := adcAll | uint16(average) |
		uint16(conversion)<<adcBusTime | uint16(conversion)<<adcShuntTime | uint16(conversion)<<adcTempTime
	// The limits of after power-on are the ends of the registers.
	d.settings = [...]setting{
		{regShuntOver, 0x7FFF},
		{regBusOver, 0x7FFF},
		{regTempOver, 0x7FFF},
		{regPowerOver, 0xFFFF},
		{regCalibration, calibration},
		{regADC, adc},
		{regConfig, d.config},
	}
	if opts.Alert.Enabled {
		if err := d.alert(&opts.Alert); err != nil {
			return nil, err
		}
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// alert works out the words of the limits.
func (d *Dev) alert(a *Alert) error {
	if a.Latch {
		d.diag |= diagLatch
	}
	if a.ActiveHigh {
		d.diag |= diagActiveHigh
	}
	stepAmps := 16 * float64(d.lsb) * 1e6 / float64(d.shunt) // in nA
	// A step of power is 3.2 V times a step of the current.
	stepWatts := 256 * 3.2 * stepAmps / 16
	for i, limit := range [...]struct {
		name  string
		set   bool
		steps float64
		end   float64
	}{
		{"current", true, float64(a.Amps) / stepAmps, 0x7FFF},
		{"voltage", a.Volts != 0, float64(a.Volts) / float64(3125*physic.MicroVolt), 0x7FFF},
		{"temperature", a.Celsius != 0, float64(a.Celsius-physic.ZeroCelsius) / float64(tempLSB), 0x7FFF},
		{"power", a.Watts != 0, float64(a.Watts) / stepWatts, 0xFFFF},
	} {
		if !limit.set {
			continue
		}
		if limit.steps < 1 || limit.steps >= limit.end {
			return fmt.Errorf("%s: alert: limit of the %s is %.4g steps of its register: want 1 to %g", d, limit.name, limit.steps, limit.end)
		}
		d.settings[i].word = uint16(limit.steps)
	}
	return nil
}

// Configure makes sure that an INA228 answers, by its identity, writes all that
// New was given, and checks it. The configuration is written last: while it
// stands, the rest does.
func (d *Dev) Configure() error {
	if err := d.identify(); err != nil {
		return err
	}
	if err := d.set(setting{regDiag, d.diag}); err != nil {
		return err
	}
	for _, s := range d.settings {
		if err := d.set(s); err != nil {
			return err
		}
	}
	return d.Check()
}

func (d *Dev) set(s setting) error {
	d.write = [3]byte{s.reg, byte(s.word >> 8), byte(s.word)}
	if err := d.conn.Tx(d.write[:], nil); err != nil {
		return fmt.Errorf("%s: write register %#02x: %w", d, s.reg, err)
	}
	return nil
}

// identify returns an error unless an INA228 answers. Its sisters have registers
// of other widths and scales.
func (d *Dev) identify() error {
	word, err := d.register(regMaker, 2)
	if err != nil {
		return err
	}
	if word != maker {
		return fmt.Errorf("%s: manufacturer %#04x, want %#04x: %w", d, word, maker, ErrWord)
	}
	if word, err = d.register(regDevice, 2); err != nil {
		return err
	}
	if word>>4 != device {
		return fmt.Errorf("%s: device %#04x, want %#03x and a revision: %w", d, word, device, ErrWord)
	}
	return nil
}

// Check reads everything but DIAG_ALRT back, because to read that is to end an
// alert. The error is ErrReset if it is not what was written, and ErrWord if no
// INA228 answers.
func (d *Dev) Check() error {
	if err := d.identify(); err != nil {
		return err
	}
	for _, s := range d.settings {
		word, err := d.register(s.reg, 2)
		if err != nil {
			return err
		}
		if word != uint32(s.word) {
			return fmt.Errorf("%s: register %#02x holds %#04x, want %#04x: %w", d, s.reg, word, s.word, ErrReset)
		}
	}
	return nil
}

// Sense reads the last window into m. On an error m is left as it was.
func (d *Dev) Sense(m *Measurement) error {
	shunt, err := d.register(regShunt, 3)
	if err != nil {
		return err
	}
	if shunt&unused != 0 {
		return fmt.Errorf("%s: shunt voltage %#06x: %w", d, shunt, ErrWord)
	}
	bus, err := d.register(regBus, 3)
	if err != nil {
		return err
	}
	if bus&(unused|busSign) != 0 {
		return fmt.Errorf("%s: bus voltage %#06x: %w", d, bus, ErrWord)
	}
	// The last to be read, so that a reset before or between is seen. Without it
	// the range of the shunt voltage is not known.
	config, err := d.register(regConfig, 2)
	if err != nil {
		return err
	}
	if config == 0xFFFF {
		return fmt.Errorf("%s: configuration %#04x: %w", d, config, ErrWord)
	}
	if config != uint32(d.config) {
		return fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, config, d.config, ErrReset)
	}
	volts := physic.ElectricPotential(math.Round(float64(bus>>4) * 195312.5))
	amps := d.amps(int32(shunt<<8) >> 12)
	*m = Measurement{
		Volts: volts,
		Amps:  amps,
		Watts: physic.Power(math.Round(float64(volts) * float64(amps) / 1e9)),
		Raw:   [2]uint32{shunt, bus},
	}
	return nil
}

// amps converts the 20 bits of the shunt register.
func (d *Dev) amps(shunt int32) physic.ElectricCurrent {
	picoVolts := int64(shunt) * d.lsb
	return physic.ElectricCurrent(math.Round(float64(picoVolts) * 1e6 / float64(d.shunt)))
}

// Temperature reads the temperature of the die into t. On an error t is left as
// it was.
func (d *Dev) Temperature(t *physic.Temperature) error {
	word, err := d.register(regTemp, 2)
	if err != nil {
		return err
	}
	temp := physic.ZeroCelsius + physic.Temperature(int16(word))*tempLSB
	if word == 0xFFFF || temp < coldest || temp > hottest {
		return fmt.Errorf("%s: temperature %#04x: %w", d, word, ErrWord)
	}
	*t = temp
	return nil
}

// Flags reads the DIAG_ALRT register. That ends a latched alert and the Ready
// flag.
func (d *Dev) Flags() (Flags, error) {
	word, err := d.register(regDiag, 2)
	if err != nil {
		return 0, err
	}
	if word&diagUnused != 0 || word&diagMemory == 0 {
		return 0, fmt.Errorf("%s: DIAG_ALRT %#04x: %w", d, word, ErrWord)
	}
	if word&diagProgrammed != uint32(d.diag)&diagProgrammed {
		return 0, fmt.Errorf("%s: DIAG_ALRT %#04x, want %#04x: %w", d, word, d.diag, ErrReset)
	}
	return Flags(word) & (Ready | OverWatts | OverVolts | OverAmps | OverCelsius | MathOverflow), nil
}

// Window returns how long the chip measures for one value. Until a window has
// passed since Configure, the registers may hold the zeros of a reset.
func (d *Dev) Window() time.Duration { return d.window }

// register reads a register of that many bytes.
func (d *Dev) register(reg byte, width int) (uint32, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:width]); err != nil {
		return 0, fmt.Errorf("%s: read register %#02x: %w", d, reg, err)
	}
	var word uint32
	for _, b := range d.read[:width] {
		word = word<<8 | uint32(b)
	}
	return word, nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the chip goes on converting, for its alert pin.
func (d *Dev) Halt() error { return nil }
