package tmp102

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

// Registers, and fields of the configuration.
const (
	regTemperature = 0
	regConfig      = 1
	regLow         = 2
	regHigh        = 3

	confFixed    = 0x600F // resolution bits read 11, the lowest four 0
	confFixedAre = 0x6000
	confRate     = 6 // shift of the conversion rate
	confAlert    = 1 << 5
	confExtended = 1 << 4
	confOneShot  = 1 << 15

	step    = physic.Celsius / 16
	coldest = physic.ZeroCelsius - 55*physic.Celsius
	hottest = physic.ZeroCelsius + 150*physic.Celsius
)

// Rate is how often the chip converts.
type Rate uint8

// The rates of the chip.
const (
	// Rate250mHz is one conversion in 4 s.
	Rate250mHz Rate = iota
	// Rate1Hz is one conversion a second.
	Rate1Hz
	// Rate4Hz is the rate after power-on.
	Rate4Hz
	// Rate8Hz is eight conversions a second.
	Rate8Hz
)

// Opts is the address and what New programs.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x48 to 0x4B.
	Addr uint16
	// Extended makes the range end at 150 °C instead of 127.9375 °C.
	Extended bool
	// Rate is how often the chip converts.
	Rate Rate
	// Low and High are the limits of the alert pin, in steps of 1/16 °C; Low is
	// below High.
	Low, High physic.Temperature
}

// DefaultOpts is what the chip has after power-on, at the address of ADD0 low:
// normal mode, four conversions a second, alert from 80 °C to 75 °C.
func DefaultOpts() *Opts {
	return &Opts{
		Addr: 0x48,
		Rate: Rate4Hz,
		Low:  physic.ZeroCelsius + 75*physic.Celsius,
		High: physic.ZeroCelsius + 80*physic.Celsius,
	}
}

// Dev is one sensor.
type Dev struct {
	conn   i2c.Dev
	name   string
	config uint16 // what the configuration register is to hold, AL aside
	low    uint16
	high   uint16
	write  [3]byte
	read   [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the sensor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn:   i2c.Dev{Bus: bus, Addr: opts.Addr},
		name:   fmt.Sprintf("tmp102@%s/%#02x", bus, opts.Addr),
		config: confFixedAre | uint16(opts.Rate)<<confRate,
	}
	if opts.Addr < 0x48 || opts.Addr > 0x4B {
		return nil, fmt.Errorf("%s: address %#02x: want 0x48 to 0x4b", d, opts.Addr)
	}
	if opts.Rate > Rate8Hz {
		return nil, fmt.Errorf("%s: rate %d: want Rate250mHz to Rate8Hz", d, opts.Rate)
	}
	end := physic.ZeroCelsius + 2047*step
	if opts.Extended {
		d.config |= confExtended
		end = hottest
	}
	if opts.Low < coldest || opts.High > end || opts.Low >= opts.High {
		return nil, fmt.Errorf("%s: limits %s and %s: want %s to %s, low below high", d, opts.Low, opts.High, coldest, end)
	}
	d.low, d.high = limit(opts.Low, opts.Extended), limit(opts.High, opts.Extended)
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// limit returns the word of a limit register, rounded down to a step.
func limit(t physic.Temperature, extended bool) uint16 {
	t -= physic.ZeroCelsius
	n := t / step
	if t%step < 0 {
		n--
	}
	if extended {
		return uint16(n) << 3
	}
	return uint16(n) << 4
}

// Configure makes sure that a TMP102 answers, by the fixed bits of its
// configuration, writes the configuration and the limits, and checks them.
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
	}{{regConfig, d.config}, {regLow, d.low}, {regHigh, d.high}} {
		d.write = [3]byte{r.reg, byte(r.word >> 8), byte(r.word)}
		if err := d.conn.Tx(d.write[:], nil); err != nil {
			return fmt.Errorf("%s: write register %d: %w", d, r.reg, err)
		}
	}
	return d.Check()
}

// Check reads the configuration and the limits back. The error is ErrReset if
// they are not what was written, and ErrWord if no TMP102 could send them.
func (d *Dev) Check() error {
	word, err := d.register(regConfig)
	if err != nil {
		return err
	}
	if word&confFixed != confFixedAre {
		return fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	if got := word &^ (confAlert | confOneShot); got != d.config {
		return fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, got, d.config, ErrReset)
	}
	for _, r := range [...]struct {
		reg  byte
		name string
		word uint16
	}{{regLow, "low", d.low}, {regHigh, "high", d.high}} {
		got, err := d.register(r.reg)
		if err != nil {
			return err
		}
		if got != r.word {
			return fmt.Errorf("%s: %s limit %#04x, want %#04x: %w", d, r.name, got, r.word, ErrReset)
		}
	}
	return nil
}

// Sense reads the last conversion into t. On an error t is left as it was.
func (d *Dev) Sense(t *physic.Temperature) error {
	word, err := d.register(regTemperature)
	if err != nil {
		return err
	}
	temp, err := temperature(word)
	if err != nil {
		return fmt.Errorf("%s: temperature: %w", d, err)
	}
	*t = temp
	return nil
}

// temperature converts a word of the temperature register.
func temperature(word uint16) (physic.Temperature, error) {
	var steps int16
	switch {
	case word&0xF == 0:
		steps = int16(word) >> 4
	case word&0x7 == 1: // extended mode
		steps = int16(word) >> 3
	default:
		return 0, fmt.Errorf("%#04x: %w", word, ErrWord)
	}
	t := physic.ZeroCelsius + physic.Temperature(steps)*step
	if t < coldest || t > hottest {
		return 0, fmt.Errorf("%#04x is %s, outside %s to %s: %w", word, t, coldest, hottest, ErrWord)
	}
	return t, nil
}

func (d *Dev) register(reg byte) (uint16, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:]); err != nil {
		return 0, fmt.Errorf("%s: read register %d: %w", d, reg, err)
	}
	return binary.BigEndian.Uint16(d.read[:]), nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the sensor goes on converting, for its alert
// pin.
func (d *Dev) Halt() error { return nil }
