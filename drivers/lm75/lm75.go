package lm75

import (
	"encoding/binary"
	"errors"
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrWord comes when a register holds what the chip cannot send: the bus is
	// stuck, a bit flipped, or another chip has this address.
	ErrWord = errors.New("impossible register word")
	// ErrReset comes from Check when the chip no longer holds what was
	// configured, as after a loss of its supply.
	ErrReset = errors.New("configuration lost")
)

const (
	regTemperature = 0
	regConfig      = 1
	regLow         = 2
	regHigh        = 3

	confOneShot    = 1 << 7
	confResolution = 5 // shift

	limitBits = 0xFF80
	halfStep  = physic.Celsius / 2

	coldest = physic.ZeroCelsius - 55*physic.Celsius
	hottest = physic.ZeroCelsius + 125*physic.Celsius
)

// Chip says which chip it is.
type Chip uint8

// The chips and their steps.
const (
	// LM75 is also the FM75 and TI's LM75B and LM75C: 9 bits, 0.5 °C.
	LM75 Chip = iota
	// LM75B is NXP's: 11 bits, 0.125 °C.
	LM75B
	// DS75 is set to 11 bits, 0.125 °C.
	DS75
	// TMP75 is also the TMP105 and the TMP175: set to 12 bits, 0.0625 °C.
	TMP75
)

// chip is what the driver knows of a kind.
type chip struct {
	name   string
	unused uint16 // bits of the temperature that are always 0
	valid  uint16 // bits of the temperature that are used
	config byte   // what New writes
	fixed  byte   // bits of the configuration that are always 0
}

func (c Chip) facts() chip {
	switch c {
	case LM75B:
		return chip{name: "lm75b", unused: 0x001F, valid: 0xFFE0, fixed: 0xE0}
	case DS75:
		return chip{name: "ds75", unused: 0x000F, valid: 0xFFF0, config: 2 << confResolution}
	case TMP75:
		return chip{name: "tmp75", unused: 0x000F, valid: 0xFFF0, config: 3 << confResolution}
	default:
		return chip{name: "lm75", valid: 0xFF80, fixed: 0xE0}
	}
}

// String returns the name of the chip in lower case.
func (c Chip) String() string { return c.facts().name }

// Opts is the chip, its address and what New programs.
type Opts struct {
	// Chip is the kind of chip.
	Chip Chip
	// Addr is the 7-bit I²C address, 0x48 to 0x4F.
	Addr uint16
	// Low and High are the limits of the O.S. pin, −55 to 125 °C in steps of
	// 0.5 °C; Low is below High.
	Low, High physic.Temperature
}

// DefaultOpts is what an LM75 has after power-on, at the address of its three
// address pins low: O.S. from 80 °C to 75 °C.
func DefaultOpts() *Opts {
	return &Opts{
		Addr: 0x48,
		Low:  physic.ZeroCelsius + 75*physic.Celsius,
		High: physic.ZeroCelsius + 80*physic.Celsius,
	}
}

// Dev is one sensor.
type Dev struct {
	conn      i2c.Dev
	name      string
	chip      chip
	low, high uint16
	write     [3]byte
	read      [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the sensor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("%s@%s/%#02x", opts.Chip, bus, opts.Addr),
		chip: opts.Chip.facts(),
		low:  limit(opts.Low),
		high: limit(opts.High),
	}
	if opts.Chip > TMP75 {
		return nil, fmt.Errorf("%s: chip %d: want LM75 to TMP75", d, uint8(opts.Chip))
	}
	if opts.Addr < 0x48 || opts.Addr > 0x4F {
		return nil, fmt.Errorf("%s: address %#02x: want 0x48 to 0x4f", d, opts.Addr)
	}
	if opts.Low < coldest || opts.High > hottest || int16(d.low) >= int16(d.high) {
		return nil, fmt.Errorf("%s: limits %s and %s: want %s to %s, low below high by 0.5°C",
			d, opts.Low, opts.High, coldest, hottest)
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// limit returns the word of a limit register, rounded down to 0.5 °C.
func limit(t physic.Temperature) uint16 {
	t -= physic.ZeroCelsius
	n := t / halfStep
	if t%halfStep < 0 {
		n--
	}
	return uint16(n) << 7
}

// Configure writes the configuration and the limits, whatever the state of the
// chip, and checks them.
func (d *Dev) Configure() error {
	if _, err := d.config(); err != nil {
		return err
	}
	d.write = [3]byte{regConfig, d.chip.config}
	if err := d.send(2); err != nil {
		return err
	}
	d.write = [3]byte{regLow, byte(d.low >> 8), byte(d.low)}
	if err := d.send(3); err != nil {
		return err
	}
	d.write = [3]byte{regHigh, byte(d.high >> 8), byte(d.high)}
	if err := d.send(3); err != nil {
		return err
	}
	return d.Check()
}

// config reads the configuration.
func (d *Dev) config() (byte, error) {
	if err := d.receive(regConfig, 1); err != nil {
		return 0, err
	}
	b := d.read[0]
	if b&d.chip.fixed != 0 || b == 0xFF {
		return 0, fmt.Errorf("%s: configuration %#02x: %w", d, b, ErrWord)
	}
	return b, nil
}

// Check reads the configuration and the limits back. The error is ErrReset if
// they are not what was written, and ErrWord if the chip could not send them.
func (d *Dev) Check() error {
	got, err := d.config()
	if err != nil {
		return err
	}
	if got &^= confOneShot; got != d.chip.config {
		return fmt.Errorf("%s: configuration %#02x, want %#02x: %w", d, got, d.chip.config, ErrReset)
	}
	for _, r := range [...]struct {
		reg  byte
		name string
		word uint16
	}{{regLow, "low", d.low}, {regHigh, "high", d.high}} {
		if err := d.receive(r.reg, 2); err != nil {
			return err
		}
		if got := binary.BigEndian.Uint16(d.read[:]) & limitBits; got != r.word {
			return fmt.Errorf("%s: %s limit %#04x, want %#04x: %w", d, r.name, got, r.word, ErrReset)
		}
	}
	return nil
}

// Sense reads the last conversion into t. On an error t is left as it was.
func (d *Dev) Sense(t *physic.Temperature) error {
	if err := d.receive(regTemperature, 2); err != nil {
		return err
	}
	temp, err := d.chip.temperature(binary.BigEndian.Uint16(d.read[:]))
	if err != nil {
		return fmt.Errorf("%s: temperature: %w", d, err)
	}
	*t = temp
	return nil
}

// temperature converts a word of the temperature register.
func (c *chip) temperature(word uint16) (physic.Temperature, error) {
	if word == 0xFFFF || word&c.unused != 0 {
		return 0, fmt.Errorf("%#04x: %w", word, ErrWord)
	}
	t := physic.ZeroCelsius + physic.Temperature(int16(word&c.valid))*(physic.Celsius/256)
	if t < coldest {
		return 0, fmt.Errorf("%#04x is %s, below %s: %w", word, t, coldest, ErrWord)
	}
	return t, nil
}

// send writes the first n bytes of d.write.
func (d *Dev) send(n int) error {
	if err := d.conn.Tx(d.write[:n], nil); err != nil {
		return fmt.Errorf("%s: write register %d: %w", d, d.write[0], err)
	}
	return nil
}

// receive reads n bytes of a register into d.read.
func (d *Dev) receive(reg byte, n int) error {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:n]); err != nil {
		return fmt.Errorf("%s: read register %d: %w", d, reg, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the sensor goes on converting, for its O.S.
// pin.
func (d *Dev) Halt() error { return nil }
