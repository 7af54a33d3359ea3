package acs37800

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// ErrAllOnes comes when a register reads 0xFFFFFFFF: nobody drove the bus while
// it was read (chip gone, SDA stuck high). No reading has this form.
var ErrAllOnes = errors.New("register reads all ones")

// Registers, and the scale of their fields.
const (
	regRMS    = 0x20 // 0x21 and 0x22 follow
	regFlags  = 0x2D
	allOnes   = 0xFFFFFFFF
	rmsCodes  = 55000 // RMS codes at full scale
	fullScale = 0.250 // V peak at the voltage input
	lsbPerMW  = 3.08  // active-power codes per mW at the input of a 30 A part
)

// Trim corrects one channel: true value = Gain × measured + Offset, Offset in
// V, A or W.
type Trim struct {
	Gain   float64
	Offset float64
}

// Opts says how the chip is wired on its board.
type Opts struct {
	// Addr is the 7-bit I²C address.
	Addr uint16
	// RangeAmps is the range of the part, 30 or 90 A.
	RangeAmps int
	// Divider is K = (R_divider + R_sense) / R_sense of the voltage input, the
	// number by which the mains voltage is divided.
	Divider float64
	// Volts, Amps and Watts correct the channels after calibration, each by
	// itself: the chip's active power does not follow the trims of the other
	// two. Gain must be positive; it is 1 on an uncalibrated board.
	Volts, Amps, Watts Trim
}

// DefaultOpts suits a 30 A part on 220-250 V mains behind 4 × 1 MΩ and 2.2 kΩ,
// at the address of both DIO pins low.
func DefaultOpts() *Opts {
	return &Opts{
		Addr:      0x60,
		RangeAmps: 30,
		Divider:   (4e6 + 2200.0) / 2200,
		Volts:     Trim{Gain: 1},
		Amps:      Trim{Gain: 1},
		Watts:     Trim{Gain: 1},
	}
}

// Measurement is what the chip saw in its last windows.
type Measurement struct {
	// Volts is the RMS voltage, never negative.
	Volts physic.ElectricPotential
	// Amps is the RMS current, never negative.
	Amps physic.ElectricCurrent
	// Watts is the active power; negative when power flows back.
	Watts physic.Power
	// PowerFactor is −1 to 0.999, in steps of 1/1024.
	PowerFactor float64
	// Raw are the register words 0x20, 0x21 and 0x22 as they were read.
	Raw [3]uint32
}

// Flags is the status register 0x2D.
type Flags uint8

// The flags, from bit 0 up.
const (
	// ZeroCrossing is set at a zero crossing of the voltage.
	ZeroCrossing Flags = 1 << iota
	// Fault is set while the current is above the fault threshold.
	Fault
	// FaultLatched stays set after a fault.
	FaultLatched
	// Overvoltage is set while the RMS voltage is above its threshold.
	Overvoltage
	// Undervoltage is set while the RMS voltage is below its threshold.
	Undervoltage
)

// Dev is one ACS37800.
type Dev struct {
	conn               i2c.Dev
	name               string
	volts, amps, watts scale
	write              [1]byte
	read               [4]byte
	words              [3]uint32
}

// scale turns codes into nano-units.
type scale struct{ lsb, offset float64 }

func (s scale) nano(code float64) int64 { return int64(math.Round(code*s.lsb + s.offset)) }

var _ conn.Resource = (*Dev)(nil)

// New returns the meter at opts.Addr. It checks the options and leaves the bus
// alone: a meter that is missing at start is a failing Sense, as it is later.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("acs37800@%s/%#02x", bus, opts.Addr),
	}
	rangeAmps := float64(opts.RangeAmps)
	if opts.Addr > 0x7F {
		return nil, fmt.Errorf("%s: address %#x: want 7 bits", d, opts.Addr)
	}
	if opts.RangeAmps != 30 && opts.RangeAmps != 90 {
		return nil, fmt.Errorf("%s: range %d A: want 30 or 90", d, opts.RangeAmps)
	}
	if math.IsNaN(opts.Divider) || opts.Divider < 1 || opts.Divider > 1e5 {
		return nil, fmt.Errorf("%s: divider %g: want 1 to 100000", d, opts.Divider)
	}
	var err error
	if d.volts, err = opts.Volts.scale(fullScale * opts.Divider / rmsCodes); err != nil {
		return nil, fmt.Errorf("%s: volts trim: %w", d, err)
	}
	if d.amps, err = opts.Amps.scale(rangeAmps / rmsCodes); err != nil {
		return nil, fmt.Errorf("%s: amps trim: %w", d, err)
	}
	if d.watts, err = opts.Watts.scale(opts.Divider / (lsbPerMW * 30 / rangeAmps) / 1000); err != nil {
		return nil, fmt.Errorf("%s: watts trim: %w", d, err)
	}
	return d, nil
}

// scale returns codes → nano-units for a channel whose code is worth lsb units.
func (t Trim) scale(lsb float64) (scale, error) {
	if math.IsNaN(t.Gain) || t.Gain <= 0 || t.Gain > 10 {
		return scale{}, fmt.Errorf("gain %g: want above 0, up to 10", t.Gain)
	}
	if math.IsNaN(t.Offset) || math.Abs(t.Offset) > 1000 {
		return scale{}, fmt.Errorf("offset %g: want -1000 to 1000", t.Offset)
	}
	return scale{lsb: lsb * t.Gain * 1e9, offset: t.Offset * 1e9}, nil
}

// Sense reads the last windows into m. On an error m is left as it was.
func (d *Dev) Sense(m *Measurement) error {
	for i := range d.words {
		word, err := d.register(regRMS + byte(i))
		if err != nil {
			return err
		}
		d.words[i] = word
	}
	*m = d.measurement(d.words)
	return nil
}

// measurement converts the words of the registers 0x20, 0x21 and 0x22.
func (d *Dev) measurement(raw [3]uint32) Measurement {
	return Measurement{
		// A trim may push a small RMS value below zero, where none exists.
		Volts:       physic.ElectricPotential(max(0, d.volts.nano(float64(uint16(raw[0]))))),
		Amps:        physic.ElectricCurrent(max(0, d.amps.nano(float64(raw[0]>>16)))),
		Watts:       physic.Power(d.watts.nano(float64(int16(raw[1])))),
		PowerFactor: float64(int16(raw[2]>>16<<5)>>5) / 1024,
		Raw:         raw,
	}
}

// Flags reads the status register.
func (d *Dev) Flags() (Flags, error) {
	word, err := d.register(regFlags)
	if err != nil {
		return 0, err
	}
	return Flags(word & 0x1F), nil
}

func (d *Dev) register(reg byte) (uint32, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:], d.read[:]); err != nil {
		return 0, fmt.Errorf("%s: read register %#02x: %w", d, reg, err)
	}
	word := binary.LittleEndian.Uint32(d.read[:])
	if word == allOnes {
		return 0, fmt.Errorf("%s: read register %#02x: %w", d, reg, ErrAllOnes)
	}
	return word, nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the chip has nothing to stop.
func (d *Dev) Halt() error { return nil }
