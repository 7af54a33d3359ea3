package ina3221

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

// Channels is how many channels the chip has.
const Channels = 3

// Registers, and what is in them.
const (
	regConfig   = 0x00
	regShunt    = 0x01 // of the first channel; the bus voltage is the next, each channel two further
	regCritical = 0x07 // likewise, the warning limit is the next
	regSumLimit = 0x0E
	regMask     = 0x0F
	regMaker    = 0xFE

	maker = 0x5449

	confReset      = 1 << 15 // reads 0
	confChannel    = 14      // shifts; the first channel, the others below
	confAverage    = 9
	confBusTime    = 6
	confShuntTime  = 3
	confContinuous = 7 // mode: shunt and bus, again and again

	maskLatch    = 1<<11 | 1<<10 // of the warning and the critical pin
	maskWritable = 0x7C00

	// A step below the value after power-on. No channel is summed, so that this
	// limit does nothing: it is the mark by which a reset chip is known.
	sumLimit = 0x7FFC

	noLimit  = 0x7FF8 // the value after power-on, the end of the register
	unused   = 7      // the lowest bits of all measurements and limits
	busSign  = 0x8000 // always 0
	shuntLSB = 40_000 // nV
	busLSB   = 8 * physic.MilliVolt

	minShunt = physic.MicroOhm
	maxShunt = 100 * physic.Ohm
)

// Channel says how a channel is wired, and what its pins do without any
// software.
type Channel struct {
	// Shunt is the resistance of the shunt, 1 µΩ to 100 Ω; 0 switches the channel
	// off.
	Shunt physic.ElectricResistance
	// Critical is the current of a single conversion above which the critical pin
	// is active, rounded down to a step of 40 µV across the shunt; 0 leaves the
	// limit out. A current that flows back is never above.
	Critical physic.ElectricCurrent
	// Warning is the same of the averaged current, for the warning pin.
	Warning physic.ElectricCurrent
}

// Opts says how the chip is wired, and what New programs.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x40 to 0x43.
	Addr uint16
	// Channels are the three channels; at least one has a shunt.
	Channels [Channels]Channel
	// Average is how many conversions are averaged: 1, 4, 16, 64, 128, 256, 512
	// or 1024.
	Average int
	// Conversion is the time of one conversion, of the shunt as of the bus: 140,
	// 204, 332 or 588 µs, 1.1, 2.116, 4.156 or 8.244 ms.
	Conversion time.Duration
	// Latch keeps both pins active until Flags is called.
	Latch bool
}

// DefaultOpts suits the usual breakout board: three times 100 mΩ at the address
// of A0 low, four times 588 µs averaged (a fresh value every 14 ms), no limits.
func DefaultOpts() *Opts {
	opts := &Opts{Addr: 0x40, Average: 4, Conversion: 588 * time.Microsecond}
	for i := range opts.Channels {
		opts.Channels[i].Shunt = 100 * physic.MilliOhm
	}
	return opts
}

// Measurement is what the chip saw in its last window, channel by channel. A
// channel that is off reads zero.
type Measurement [Channels]Reading

// Reading is what the chip saw on one channel.
type Reading struct {
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
	// Ready is set when a window ended since the last call of Flags.
	Ready Flags = 1 << 0
	// Warning3, Warning2 and Warning1 are the warning limits of the channels.
	Warning3 Flags = 1 << 3
	Warning2 Flags = 1 << 4
	Warning1 Flags = 1 << 5
	// Critical3, Critical2 and Critical1 are the critical limits of the channels.
	Critical3 Flags = 1 << 7
	Critical2 Flags = 1 << 8
	Critical1 Flags = 1 << 9
)

// setting is what a register is to hold.
type setting struct {
	reg  byte
	word uint16
}

// Dev is one INA3221.
type Dev struct {
	conn     i2c.Dev
	name     string
	shunts   [Channels]int64 // nΩ, 0 when off
	window   time.Duration
	mask     uint16
	settings [2 + 2*Channels]setting // in the order of writing; the mark comes last
	write    [3]byte
	read     [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("ina3221@%s/%#02x", bus, opts.Addr),
	}
	if opts.Addr < 0x40 || opts.Addr > 0x43 {
		return nil, fmt.Errorf("%s: address %#02x: want 0x40 to 0x43", d, opts.Addr)
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
	config := uint16(average)<<confAverage |
		uint16(conversion)<<confBusTime | uint16(conversion)<<confShuntTime | confContinuous
	settings := d.settings[:0]
	for i := range opts.Channels {
		c := &opts.Channels[i]
		critical, warning := uint16(noLimit), uint16(noLimit)
		if c.Shunt != 0 {
			if c.Shunt < minShunt || c.Shunt > maxShunt {
				return nil, fmt.Errorf("%s: channel %d: shunt %s: want %s to %s", d, i+1, c.Shunt, minShunt, maxShunt)
			}
			d.shunts[i] = int64(c.Shunt)
			d.window += 2 * time.Duration(opts.Average) * opts.Conversion
			config |= 1 << (confChannel - i)
			var err error
			if critical, err = d.limit(i, c.Critical); err != nil {
				return nil, fmt.Errorf("%s: channel %d: critical limit %w", d, i+1, err)
			}
			if warning, err = d.limit(i, c.Warning); err != nil {
				return nil, fmt.Errorf("%s: channel %d: warning limit %w", d, i+1, err)
			}
		}
		reg := byte(regCritical + 2*i)
		settings = append(settings, setting{reg, critical}, setting{reg + 1, warning})
	}
	if d.window == 0 {
		return nil, fmt.Errorf("%s: no channel has a shunt", d)
	}
	if opts.Latch {
		d.mask = maskLatch
	}
	_ = append(settings, setting{regConfig, config}, setting{regSumLimit, sumLimit})
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// limit returns the word of a limit register.
func (d *Dev) limit(channel int, above physic.ElectricCurrent) (uint16, error) {
	if above == 0 {
		return noLimit, nil
	}
	steps := math.Floor(float64(above) * float64(d.shunts[channel]) / 1e9 / shuntLSB)
	if steps < 1 || steps >= noLimit>>3 {
		return 0, fmt.Errorf("%s: want %s to %s", above, d.amps(channel, 1<<3), d.amps(channel, noLimit-1<<3))
	}
	return uint16(steps) << 3, nil
}

// Configure makes sure that an INA3221 answers, as far as its maker tells,
// writes all that New was given, and checks it. The mark, the limit of the sum,
// is written last: while it stands, the rest does.
func (d *Dev) Configure() error {
	word, err := d.register(regMaker)
	if err != nil {
		return err
	}
	if word != maker {
		return fmt.Errorf("%s: manufacturer %#04x, want %#04x: %w", d, word, maker, ErrWord)
	}
	if err := d.set(setting{regMask, d.mask}); err != nil {
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

// Check reads everything but the mask back, because to read that is to end an
// alert. The error is ErrReset if it is not what was written, and ErrWord if no
// INA3221 could send it.
func (d *Dev) Check() error {
	for _, s := range d.settings {
		if err := d.holds(s); err != nil {
			return err
		}
	}
	return nil
}

// holds returns an error unless the register holds the word.
func (d *Dev) holds(s setting) error {
	word, err := d.register(s.reg)
	switch {
	case err != nil:
		return err
	case word == 0xFFFF:
		return fmt.Errorf("%s: register %#02x holds %#04x: %w", d, s.reg, word, ErrWord)
	case word != s.word:
		return fmt.Errorf("%s: register %#02x holds %#04x, want %#04x: %w", d, s.reg, word, s.word, ErrReset)
	}
	return nil
}

// Sense reads the last window of all channels that are on into m. On an error m
// is left as it was.
func (d *Dev) Sense(m *Measurement) error {
	var got Measurement
	for i := range d.shunts {
		if d.shunts[i] == 0 {
			continue
		}
		reg := byte(regShunt + 2*i)
		shunt, err := d.register(reg)
		if err != nil {
			return err
		}
		if shunt&unused != 0 {
			return fmt.Errorf("%s: channel %d: shunt voltage %#04x: %w", d, i+1, shunt, ErrWord)
		}
		bus, err := d.register(reg + 1)
		if err != nil {
			return err
		}
		if bus&(unused|busSign) != 0 {
			return fmt.Errorf("%s: channel %d: bus voltage %#04x: %w", d, i+1, bus, ErrWord)
		}
		volts := physic.ElectricPotential(bus>>3) * busLSB
		amps := d.amps(i, int16(shunt))
		got[i] = Reading{
			Volts: volts,
			Amps:  amps,
			Watts: physic.Power(math.Round(float64(volts) * float64(amps) / 1e9)),
			Raw:   [2]uint16{shunt, bus},
		}
	}
	// The last to be read, so that a reset before or between is seen.
	if err := d.holds(setting{regSumLimit, sumLimit}); err != nil {
		return err
	}
	*m = got
	return nil
}

// amps converts a word of a shunt register.
func (d *Dev) amps(channel int, shunt int16) physic.ElectricCurrent {
	nanoVolts := int64(shunt>>3) * shuntLSB
	return physic.ElectricCurrent(math.Round(float64(nanoVolts) * 1e9 / float64(d.shunts[channel])))
}

// Flags reads the mask/enable register. That ends latched alerts and the Ready
// flag.
func (d *Dev) Flags() (Flags, error) {
	word, err := d.register(regMask)
	if err != nil {
		return 0, err
	}
	if word&(1<<15) != 0 { // unused
		return 0, fmt.Errorf("%s: mask %#04x: %w", d, word, ErrWord)
	}
	if word&maskWritable != d.mask {
		return 0, fmt.Errorf("%s: mask %#04x, want %#04x: %w", d, word&maskWritable, d.mask, ErrReset)
	}
	return Flags(word) & (Ready | Warning1 | Warning2 | Warning3 | Critical1 | Critical2 | Critical3), nil
}

// Window returns how long the chip measures for one value of each channel. Until
// a window has passed since Configure, the registers may hold the zeros of a
// reset.
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

// Halt implements conn.Resource; the chip goes on converting, for its pins.
func (d *Dev) Halt() error { return nil }
