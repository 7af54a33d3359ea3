package ina226

import (
	"encoding/binary"
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
	regShunt       = 0x01
	regBus         = 0x02
	regCalibration = 0x05
	regMask        = 0x06
	regLimit       = 0x07

	confFixed      = 0x7000 // reads 100
	confFixedAre   = 0x4000
	confAverage    = 9 // shifts
	confBusTime    = 6
	confShuntTime  = 3
	confContinuous = 7 // mode: shunt and bus, again and again

	maskShuntOver  = 1 << 15
	maskActiveHigh = 1 << 1
	maskLatch      = 1 << 0

	// With this word the current register repeats the shunt register. After a
	// reset the chip reads 0.
	calibration = 2048

	shuntLSB = 2500                    // nV
	busLSB   = 1250 * physic.MicroVolt // bus voltage
	busSign  = 0x8000                  // always 0

	minShunt = physic.MicroOhm
	maxShunt = 10 * physic.Ohm
)

// Alert is what the alert pin does without any software.
type Alert struct {
	// Enabled lets the pin follow Above.
	Enabled bool
	// Above is the current above which the pin is active, rounded down to a step
	// of the shunt register (2.5 µV). A current that flows back is never above.
	Above physic.ElectricCurrent
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
	// Average is how many conversions are averaged: 1, 4, 16, 64, 128, 256, 512
	// or 1024.
	Average int
	// Conversion is the time of one conversion, of the shunt as of the bus: 140,
	// 204, 332 or 588 µs, 1.1, 2.116, 4.156 or 8.244 ms.
	Conversion time.Duration
	// Alert programs the alert pin.
	Alert Alert
}

// DefaultOpts suits the usual breakout board: 100 mΩ at the address of both pins
// low, four times 1.1 ms averaged (a fresh value every 8.8 ms), no alert.
func DefaultOpts() *Opts {
	return &Opts{
		Addr:       0x40,
		Shunt:      100 * physic.MilliOhm,
		Average:    4,
		Conversion: 1100 * time.Microsecond,
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
	Raw [2]uint16
}

// Flags is the mask/enable register.
type Flags uint16

// The flags that a caller may care about.
const (
	// MathOverflow says that the current or the power register, which this
	// package does not use, overflowed.
	MathOverflow Flags = 1 << 2
	// Ready is set when a window ended since the last call of Flags.
	Ready Flags = 1 << 3
	// Alerted is set while the alert pin is active.
	Alerted Flags = 1 << 4
)

// Dev is one INA226.
type Dev struct {
	conn   i2c.Dev
	name   string
	shunt  int64 // nΩ
	window time.Duration
	config uint16 // what the registers are to hold
	mask   uint16
	limit  uint16
	write  [3]byte
	read   [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn:  i2c.Dev{Bus: bus, Addr: opts.Addr},
		name:  fmt.Sprintf("ina226@%s/%#02x", bus, opts.Addr),
		shunt: int64(opts.Shunt),
	}
	if opts.Addr < 0x40 || opts.Addr > 0x4F {
		return nil, fmt.Errorf("%s: address %#02x: want 0x40 to 0x4f", d, opts.Addr)
	}
	if opts.Shunt < minShunt || opts.Shunt > maxShunt {
		return nil, fmt.Errorf("%s: shunt %s: want %s to %s", d, opts.Shunt, minShunt, maxShunt)
	}
	average := slices.Index([]int{1, 4, 16, 64, 128, 256, 512, 1024}, opts.Average)
	if average < 0 {
		return nil, fmt.Errorf("%s: average of %d: want 1, 4, 16, 64, 128, 256, 512 or 1024", d, opts.Average)
	}
	times := []time.Duration{140, 204, 332, 588, 1100, 2116, 4156, 8244}
	conversion := slices.Index(times, opts.Conversion/time.Microsecond)
	if conversion < 0 || opts.Conversion%time.Microsecond != 0 {
		return nil, fmt.Errorf("%s: conversion time %s: want 140, 204, 332, 588, 1100, 2116, 4156 or 8244µs", d, opts.Conversion)
	}
	d.window = 2 * time.Duration(opts.Average) * opts.Conversion
	d.config = confFixedAre | uint16(average)<<confAverage |
		uint16(conversion)<<confBusTime | uint16(conversion)<<confShuntTime | confContinuous
	if err := d.alert(opts.Alert); err != nil {
		return nil, err
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// alert works out the words of the mask and the limit register.
func (d *Dev) alert(a Alert) error {
	if !a.Enabled {
		return nil
	}
	steps := math.Floor(float64(a.Above) * float64(d.shunt) / 1e9 / shuntLSB)
	if steps < 1 || steps >= math.MaxInt16 {
		return fmt.Errorf("%s: alert above %s: want %s to %s", d, a.Above, d.amps(1), d.amps(math.MaxInt16-1))
	}
	d.limit, d.mask = uint16(steps), maskShuntOver
	if a.Latch {
		d.mask |= maskLatch
	}
	if a.ActiveHigh {
		d.mask |= maskActiveHigh
	}
	return nil
}

// Configure makes sure that an INA226 answers, by the fixed bits of its
// configuration, writes all that New was given, and checks it. The calibration
// is written last: while it stands, the rest does.
func (d *Dev) Configure() error {
	word, err := d.register(regConfig)
	if err != nil {
		return err
	}
	if word&confFixed != confFixedAre {
		return fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	for _, r := range [...]struct {
		reg  byte
		word uint16
	}{{regConfig, d.config}, {regLimit, d.limit}, {regMask, d.mask}, {regCalibration, calibration}} {
		d.write = [3]byte{r.reg, byte(r.word >> 8), byte(r.word)}
		if err := d.conn.Tx(d.write[:], nil); err != nil {
			return fmt.Errorf("%s: write register %#02x: %w", d, r.reg, err)
		}
	}
	return d.Check()
}

// Check reads the configuration, the limit and the calibration back. The error
// is ErrReset if they are not what was written, and ErrWord if no INA226 could
// send them. It leaves the mask alone, because to read it is to end an alert.
func (d *Dev) Check() error {
	word, err := d.register(regConfig)
	if err != nil {
		return err
	}
	if word&confFixed != confFixedAre {
		return fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	if word != d.config {
		return fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, word, d.config, ErrReset)
	}
	if word, err = d.register(regLimit); err != nil {
		return err
	}
	if word != d.limit {
		return fmt.Errorf("%s: alert limit %#04x, want %#04x: %w", d, word, d.limit, ErrReset)
	}
	return d.calibrated()
}

// calibrated returns an error unless the calibration is the one written: after
// a reset it is 0.
func (d *Dev) calibrated() error {
	word, err := d.register(regCalibration)
	switch {
	case err != nil:
		return err
	case word&0x8000 != 0:
		return fmt.Errorf("%s: calibration %#04x: %w", d, word, ErrWord)
	case word != calibration:
		return fmt.Errorf("%s: calibration %#04x, want %#04x: %w", d, word, calibration, ErrReset)
	}
	return nil
}

// Sense reads the last window into m. On an error m is left as it was.
func (d *Dev) Sense(m *Measurement) error {
	shunt, err := d.register(regShunt)
	if err != nil {
		return err
	}
	bus, err := d.register(regBus)
	if err != nil {
		return err
	}
	if bus&busSign != 0 {
		return fmt.Errorf("%s: bus voltage %#04x: %w", d, bus, ErrWord)
	}
	// The last to be read, so that a reset before or between is seen.
	if err := d.calibrated(); err != nil {
		return err
	}
	volts := physic.ElectricPotential(bus) * busLSB
	amps := d.amps(int16(shunt))
	*m = Measurement{
		Volts: volts,
		Amps:  amps,
		Watts: physic.Power(math.Round(float64(volts) * float64(amps) / 1e9)),
		Raw:   [2]uint16{shunt, bus},
	}
	return nil
}

// amps converts a word of the shunt register.
func (d *Dev) amps(shunt int16) physic.ElectricCurrent {
	nanoVolts := int64(shunt) * shuntLSB
	return physic.ElectricCurrent(math.Round(float64(nanoVolts) * 1e9 / float64(d.shunt)))
}

// Flags reads the mask/enable register. That ends a latched alert and the Ready
// flag.
func (d *Dev) Flags() (Flags, error) {
	word, err := d.register(regMask)
	if err != nil {
		return 0, err
	}
	if word&0x03E0 != 0 { // unused
		return 0, fmt.Errorf("%s: mask %#04x: %w", d, word, ErrWord)
	}
	if word&0xFC03 != d.mask {
		return 0, fmt.Errorf("%s: mask %#04x, want %#04x: %w", d, word&0xFC03, d.mask, ErrReset)
	}
	return Flags(word) & (MathOverflow | Ready | Alerted), nil
}

// Window returns how long the chip measures for one value. Until a window has
// passed since Configure, the registers may hold the zeros of a reset.
func (d *Dev) Window() time.Duration { return d.window }

func (d *Dev) register(reg byte) (uint16, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:]); err != nil {
		return 0, fmt.Errorf("%s: read register %#02x: %w", d, reg, err)
	}
	return binary.BigEndian.Uint16(d.read[:]), nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the chip goes on converting, for its alert pin.
func (d *Dev) Halt() error { return nil }
