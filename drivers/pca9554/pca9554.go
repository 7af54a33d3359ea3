package pca9554

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
)

// ErrReset comes from Check and Configure when the chip does not hold its
// configuration, as after a loss of its supply: the outputs are not what Set
// wrote last.
var ErrReset = errors.New("configuration lost")

const (
	regInput    = 0
	regOutput   = 1
	regPolarity = 2
	regConfig   = 3
)

// Chip says which chip it is.
type Chip uint8

// The chips, by name and range of addresses.
const (
	// PCA9554 is also the TCA9554 and the TCA6408A, at 0x20 to 0x27, and the
	// PCA9554A, at 0x38 to 0x3F.
	PCA9554 Chip = iota
	// MAX7310 is at one of 56 addresses.
	MAX7310
)

// String returns the name of the chip in lower case.
func (c Chip) String() string {
	if c == MAX7310 {
		return "max7310"
	}
	return "pca9554"
}

// Opts is the chip, its address and the use of its pins.
type Opts struct {
	// Chip is the kind of chip.
	Chip Chip
	// Addr is the 7-bit I²C address, in the range of the chip.
	Addr uint16
	// Outputs are the pins that the chip is to drive, 0x01 to 0xFF.
	Outputs uint16
	// Initial is the latch that New and Open write: what the outputs show
	// before anybody chose otherwise.
	Initial uint16
}

// DefaultOpts suits eight relays that close on a high pin, on a PCA9554 with its
// three address pins low: all outputs, all low.
func DefaultOpts() *Opts { return &Opts{Chip: PCA9554, Addr: 0x20, Outputs: 0xFF, Initial: 0} }

func (o *Opts) check() error {
	switch {
	case o.Chip > MAX7310:
		return fmt.Errorf("chip %d: want PCA9554 or MAX7310", uint8(o.Chip))
	case o.Chip == PCA9554 && o.Addr&^7 != 0x20 && o.Addr&^7 != 0x38:
		return fmt.Errorf("address %#02x: want 0x20 to 0x27 or 0x38 to 0x3f", o.Addr)
	case o.Chip == MAX7310 && (o.Addr < 0x08 || o.Addr > 0x77):
		return fmt.Errorf("address %#02x: want 0x08 to 0x77", o.Addr)
	case o.Outputs == 0:
		return errors.New("no outputs")
	case o.Outputs > 0xFF:
		return fmt.Errorf("outputs %#04x: want pins 0 to 7", o.Outputs)
	}
	return nil
}

func name(bus i2c.Bus, opts *Opts) string {
	return fmt.Sprintf("%s@%s/%#02x", opts.Chip, bus, opts.Addr)
}

// Dev is one expander.
type Dev struct {
	conn    i2c.Dev
	name    string
	outputs byte
	write   [2]byte
	read    [1]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the expander at opts.Addr after Configure(opts.Initial).
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{conn: i2c.Dev{Bus: bus, Addr: opts.Addr}, name: name(bus, opts), outputs: byte(opts.Outputs)}
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	if err := d.Configure(opts.Initial); err != nil {
		return nil, err
	}
	return d, nil
}

// Open drives the outputs to opts.Initial on a chip in an unknown state, with as
// few bytes as that takes. It does not stop at an error, since one write that
// arrives may open a relay; the errors are joined, and any of them means that
// the outputs may be as they were.
func Open(bus i2c.Bus, opts *Opts) error {
	if err := opts.check(); err != nil {
		return fmt.Errorf("%s: %w", name(bus, opts), err)
	}
	latch := []byte{regOutput, byte(opts.Initial & opts.Outputs)}
	writes := [...][]byte{latch, {regConfig, byte(^opts.Outputs)}, latch}
	n := len(writes)
	if opts.Chip == PCA9554 {
		n--
	}
	var errs []error
	for _, w := range writes[:n] {
		if err := bus.Tx(opts.Addr, w, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: open: write register %d: %w", name(bus, opts), w[0], err))
		}
	}
	return errors.Join(errs...)
}

// Configure sets the chip up, whatever its state, with latch on the outputs, and
// checks it.
func (d *Dev) Configure(latch uint16) error {
	if err := d.send(regPolarity, 0); err != nil {
		return err
	}
	if err := d.Set(latch); err != nil {
		return err
	}
	if err := d.send(regConfig, ^d.outputs); err != nil {
		return err
	}
	if err := d.Set(latch); err != nil {
		return err
	}
	if err := d.Check(); err != nil {
		return err
	}
	got, err := d.Latch()
	if err != nil {
		return err
	}
	if want := latch & uint16(d.outputs); got != want {
		return fmt.Errorf("%s: latch %#02x, want %#02x: %w", d, got, want, ErrReset)
	}
	return nil
}

// Check reads whether the chip still has the configuration that it was given,
// but for the latch. The error is ErrReset if not.
func (d *Dev) Check() error {
	config, err := d.register(regConfig)
	if err != nil {
		return err
	}
	polarity, err := d.register(regPolarity)
	if err != nil {
		return err
	}
	if config != ^d.outputs || polarity != 0 {
		return fmt.Errorf("%s: direction %#02x and polarity %#02x, want %#02x and 0x00: %w",
			d, config, polarity, ^d.outputs, ErrReset)
	}
	return nil
}

// Set writes the latch of all pins. Bits of pins that are not outputs have no
// effect.
func (d *Dev) Set(latch uint16) error { return d.send(regOutput, byte(latch)&d.outputs) }

// Latch reads the latch of the outputs back from the chip.
func (d *Dev) Latch() (uint16, error) {
	b, err := d.register(regOutput)
	return uint16(b & d.outputs), err
}

// Pins reads the levels at all pins.
func (d *Dev) Pins() (uint16, error) {
	b, err := d.register(regInput)
	return uint16(b), err
}

func (d *Dev) send(reg, b byte) error {
	d.write = [2]byte{reg, b}
	if err := d.conn.Tx(d.write[:], nil); err != nil {
		return fmt.Errorf("%s: write register %d: %w", d, reg, err)
	}
	return nil
}

func (d *Dev) register(reg byte) (byte, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:]); err != nil {
		return 0, fmt.Errorf("%s: read register %d: %w", d, reg, err)
	}
	return d.read[0], nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource. It leaves the outputs alone: what is safe is
// the caller's to say, by Set.
func (d *Dev) Halt() error { return nil }
