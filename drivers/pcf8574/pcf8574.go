package pcf8574

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
)

// ErrReset comes from Check and Configure when an output that was driven low
// reads high, as after a loss of the supply: the outputs are not what Set wrote
// last.
var ErrReset = errors.New("configuration lost")

// Chip says which chip it is.
type Chip uint8

// The chips, by name and range of addresses.
const (
	// PCF8574 has eight pins, at 0x20 to 0x27; the PCF8574A, at 0x38 to 0x3F.
	PCF8574 Chip = iota
	// PCF8575 has sixteen pins, at 0x20 to 0x27.
	PCF8575
)

// String returns the name of the chip in lower case.
func (c Chip) String() string {
	if c == PCF8575 {
		return "pcf8575"
	}
	return "pcf8574"
}

// size is how many bytes the latch has.
func (c Chip) size() int { return 1 + int(c) }

// Opts is the chip, its address and the use of its pins.
type Opts struct {
	// Chip is the kind of chip.
	Chip Chip
	// Addr is the 7-bit I²C address, in the range of the chip.
	Addr uint16
	// Outputs are the pins that the chip is to drive; the others are inputs.
	Outputs uint16
	// Initial is the latch that New and Open write: what the outputs show
	// before anybody chose otherwise.
	Initial uint16
}

// DefaultOpts suits eight relays that close on a low pin, on a PCF8574 with its
// three address pins low: all outputs, all high.
func DefaultOpts() *Opts { return &Opts{Chip: PCF8574, Addr: 0x20, Outputs: 0xFF, Initial: 0xFF} }

func (o *Opts) check() error {
	switch {
	case o.Chip > PCF8575:
		return fmt.Errorf("chip %d: want PCF8574 or PCF8575", uint8(o.Chip))
	case o.Chip == PCF8575 && o.Addr&^7 != 0x20:
		return fmt.Errorf("address %#02x: want 0x20 to 0x27", o.Addr)
	case o.Addr&^7 != 0x20 && o.Addr&^7 != 0x38:
		return fmt.Errorf("address %#02x: want 0x20 to 0x27 or 0x38 to 0x3f", o.Addr)
	case o.Outputs == 0:
		return errors.New("no outputs")
	case o.Chip == PCF8574 && o.Outputs > 0xFF:
		return fmt.Errorf("outputs %#04x: want pins 0 to 7", o.Outputs)
	}
	return nil
}

func name(bus i2c.Bus, opts *Opts) string {
	return fmt.Sprintf("%s@%s/%#02x", opts.Chip, bus, opts.Addr)
}

// word puts what the chip is to hold into w: latch on the outputs, 1 elsewhere.
func word(w []byte, latch, outputs uint16) {
	latch |= ^outputs
	for i := range w {
		w[i] = byte(latch >> (8 * i))
	}
}

// Dev is one expander.
type Dev struct {
	conn    i2c.Dev
	name    string
	outputs uint16
	low     uint16 // outputs that the chip drives low if it is alive
	size    int
	write   [2]byte
	read    [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the expander at opts.Addr after Configure(opts.Initial).
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr}, name: name(bus, opts), outputs: opts.Outputs, size: opts.Chip.size(),
	}
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	if err := d.Configure(opts.Initial); err != nil {
		return nil, err
	}
	return d, nil
}

// Open drives the outputs to opts.Initial on a chip in an unknown state. An
// error means that the outputs may be as they were.
func Open(bus i2c.Bus, opts *Opts) error {
	if err := opts.check(); err != nil {
		return fmt.Errorf("%s: %w", name(bus, opts), err)
	}
	w := make([]byte, opts.Chip.size())
	word(w, opts.Initial, opts.Outputs)
	if err := bus.Tx(opts.Addr, w, nil); err != nil {
		return fmt.Errorf("%s: open: write latch: %w", name(bus, opts), err)
	}
	return nil
}

// Configure writes the latch, which is all that the chip has, and checks it.
func (d *Dev) Configure(latch uint16) error {
	if err := d.Set(latch); err != nil {
		return err
	}
	return d.Check()
}

// Check reads whether every output that was driven low is low. The error is
// ErrReset if not.
func (d *Dev) Check() error {
	pins, err := d.Pins()
	if err != nil {
		return err
	}
	if high := pins & d.low; high != 0 {
		return fmt.Errorf("%s: pins are %#04x, want %#04x low: %w", d, pins, d.low, ErrReset)
	}
	return nil
}

// Set writes the latch of all pins in one transaction. Bits of pins that are not
// outputs have no effect.
func (d *Dev) Set(latch uint16) error {
	word(d.write[:d.size], latch, d.outputs)
	d.low &^= latch // an error leaves open which of the two latches it is
	if err := d.conn.Tx(d.write[:d.size], nil); err != nil {
		return fmt.Errorf("%s: write latch: %w", d, err)
	}
	d.low = ^latch & d.outputs
	return nil
}

// Latch reads the pins of the outputs, since the latch itself cannot be read. A
// pin that something else pulls down reads 0.
func (d *Dev) Latch() (uint16, error) {
	pins, err := d.Pins()
	return pins & d.outputs, err
}

// Pins reads the levels at all pins.
func (d *Dev) Pins() (uint16, error) {
	d.read[1] = 0
	if err := d.conn.Tx(nil, d.read[:d.size]); err != nil {
		return 0, fmt.Errorf("%s: read pins: %w", d, err)
	}
	return uint16(d.read[0]) | uint16(d.read[1])<<8, nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource. It leaves the outputs alone: what is safe is
// the caller's to say, by Set.
func (d *Dev) Halt() error { return nil }
