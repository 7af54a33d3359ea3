package ina219

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

	confUnused     = 1<<15 | 1<<14 // reset, which ends by itself, and a bit that does not exist
	confBus32V     = 1 << 13
	confGain       = 11 // shifts
	confBusADC     = 7
	confShuntADC   = 3
	confAveraging  = 1 << 3 // of an ADC field: its low bits are the power of two
	confContinuous = 7      // mode: shunt and bus, again and again

	// With this word the current register repeats the shunt register. After a
	// reset the chip reads 0.
	calibration = 4096

	shuntLSB  = 10_000 // nV
	shuntTop  = 32000  // ±320 mV
	busLSB    = 4 * physic.MilliVolt
	busTop    = 8000 // 32 V
	busUnused = 1 << 2

	conversion = 532 * time.Microsecond // of 12 bits

	minShunt = physic.MicroOhm
	maxShunt = 100 * physic.Ohm
)

// Opts says how the chip is wired, and what New programs.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x40 to 0x4F.
	Addr uint16
	// Shunt is the resistance of the shunt, 1 µΩ to 100 Ω.
	Shunt physic.ElectricResistance
	// Max is the largest current to be told from a larger one. It chooses the
	// smallest of the ranges ±40, 80, 160 and 320 mV that holds it.
	Max physic.ElectricCurrent
	// Average is how many conversions of 532 µs are averaged: 1, 2, 4, 8, 16, 32,
	// 64 or 128.
	Average int
}

// DefaultOpts suits the usual breakout board: 100 mΩ and 3.2 A at the address of
// both pins low, eight conversions averaged (a fresh value every 8.5 ms).
func DefaultOpts() *Opts {
	return &Opts{
		Addr:    0x40,
		Shunt:   100 * physic.MilliOhm,
		Max:     3200 * physic.MilliAmpere,
		Average: 8,
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

// Dev is one INA219.
type Dev struct {
	conn   i2c.Dev
	name   string
	shunt  int64 // nΩ
	window time.Duration
	config uint16 // what the register is to hold
	write  [3]byte
	read   [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn:  i2c.Dev{Bus: bus, Addr: opts.Addr},
		name:  fmt.Sprintf("ina219@%s/%#02x", bus, opts.Addr),
		shunt: int64(opts.Shunt),
	}
	if opts.Addr < 0x40 || opts.Addr > 0x4F {
		return nil, fmt.Errorf("%s: address %#02x: want 0x40 to 0x4f", d, opts.Addr)
	}
	if opts.Shunt < minShunt || opts.Shunt > maxShunt {
		return nil, fmt.Errorf("%s: shunt %s: want %s to %s", d, opts.Shunt, minShunt, maxShunt)
	}
	if opts.Max <= 0 || opts.Max > d.amps(shuntTop) {
		return nil, fmt.Errorf("%s: maximum %s: want above 0, up to %s", d, opts.Max, d.amps(shuntTop))
	}
	average := slices.Index([]int{1, 2, 4, 8, 16, 32, 64, 128}, opts.Average)
	if average < 0 {
		return nil, fmt.Errorf("%s: average of %d: want 1, 2, 4, 8, 16, 32, 64 or 128", d, opts.Average)
	}
	gain := uint16(0)
	for opts.Max > d.amps(shuntTop>>(3-gain)) {
		gain++
	}
	adc := uint16(average) | confAveraging
	d.window = 2 * time.Duration(opts.Average) * conversion
	d.config = confBus32V | gain<<confGain | adc<<confBusADC | adc<<confShuntADC | confContinuous
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure makes sure that an INA219 answers, by the unused bits of its
// configuration, writes all that New was given, and checks it. The calibration
// is written last: while it stands, the rest does.
func (d *Dev) Configure() error {
	word, err := d.register(regConfig)
	if err != nil {
		return err
	}
	if word&confUnused != 0 {
		return fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	for _, r := range [...]struct {
		reg  byte
		word uint16
	}{{regConfig, d.config}, {regCalibration, calibration}} {
		d.write = [3]byte{r.reg, byte(r.word >> 8), byte(r.word)}
		if err := d.conn.Tx(d.write[:], nil); err != nil {
			return fmt.Errorf("%s: write register %#02x: %w", d, r.reg, err)
		}
	}
	return d.Check()
}

// Check reads the configuration and the calibration back. The error is ErrReset
// if they are not what was written, and ErrWord if no INA219 could send them.
func (d *Dev) Check() error {
	word, err := d.register(regConfig)
	if err != nil {
		return err
	}
	if word&confUnused != 0 {
		return fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	if word != d.config {
		return fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, word, d.config, ErrReset)
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
	case word&1 != 0: // does not exist
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
	if bus&busUnused != 0 || bus>>3 > busTop {
		return fmt.Errorf("%s: bus voltage %#04x: %w", d, bus, ErrWord)
	}
	if s := int16(shunt); s > shuntTop || s < -shuntTop {
		return fmt.Errorf("%s: shunt voltage %#04x: %w", d, shunt, ErrWord)
	}
	// The last to be read, so that a reset before or between is seen.
	if err := d.calibrated(); err != nil {
		return err
	}
	volts := physic.ElectricPotential(bus>>3) * busLSB
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

// Halt implements conn.Resource; the chip goes on converting.
func (d *Dev) Halt() error { return nil }
