package mcp23017

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

// Registers, by the map of IOCON.BANK = 0.
const (
	regIODIRA   = 0x00
	regGPINTENB = 0x05 // IOCON in the map of BANK = 1
	regIOCON    = 0x0A
	regGPIOA    = 0x12
	regOLATA    = 0x14
)

// Opts is the address and the use of the pins.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x20 to 0x27.
	Addr uint16
	// Outputs are the pins that the chip is to drive.
	Outputs uint16
	// Initial is the latch that New and Open write: what the outputs show
	// before anybody chose otherwise.
	Initial uint16
}

// DefaultOpts suits 16 relays that close on a high pin: all outputs, all low, at
// the address of the three address pins low.
func DefaultOpts() *Opts { return &Opts{Addr: 0x20, Outputs: 0xFFFF, Initial: 0} }

func (o *Opts) check() error {
	if o.Addr < 0x20 || o.Addr > 0x27 {
		return fmt.Errorf("address %#02x: want 0x20 to 0x27", o.Addr)
	}
	if o.Outputs == 0 {
		return errors.New("no outputs")
	}
	return nil
}

func name(bus i2c.Bus, opts *Opts) string {
	return fmt.Sprintf("mcp23017@%s/%#02x", bus, opts.Addr)
}

// Dev is one expander.
type Dev struct {
	conn    i2c.Dev
	name    string
	outputs uint16
	write   [7]byte
	read    [regIOCON + 1]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the expander at opts.Addr after Configure(opts.Initial).
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{conn: i2c.Dev{Bus: bus, Addr: opts.Addr}, name: name(bus, opts), outputs: opts.Outputs}
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	if err := d.Configure(opts.Initial); err != nil {
		return nil, err
	}
	return d, nil
}

// Open drives the outputs to opts.Initial on a chip in an unknown state, with as
// few bytes as that takes: out of BANK = 1, latch, direction. It does not stop
// at an error, since one write that arrives may open a relay; the errors are
// joined, and any of them means that the outputs may be as they were.
func Open(bus i2c.Bus, opts *Opts) error {
	if err := opts.check(); err != nil {
		return fmt.Errorf("%s: %w", name(bus, opts), err)
	}
	var errs []error
	inputs := ^opts.Outputs
	for _, w := range [...][]byte{
		{regGPINTENB, 0},
		{regOLATA, byte(opts.Initial), byte(opts.Initial >> 8)},
		{regIODIRA, byte(inputs), byte(inputs >> 8)},
	} {
		if err := bus.Tx(opts.Addr, w, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: open: write register %#02x: %w", name(bus, opts), w[0], err))
		}
	}
	return errors.Join(errs...)
}

// Configure sets the chip up, whatever its state, with latch on the outputs, and
// checks it.
func (d *Dev) Configure(latch uint16) error {
	inputs := ^d.outputs
	if err := d.send(regGPINTENB, 0); err != nil {
		return err
	}
	if err := d.send(regIOCON, 0); err != nil {
		return err
	}
	if err := d.Set(latch); err != nil {
		return err
	}
	if err := d.send(regIODIRA, byte(inputs), byte(inputs>>8), 0, 0, 0, 0); err != nil {
		return err
	}
	return d.Check()
}

// Check reads whether the chip still has the configuration that it was given,
// but for the latch. The error is ErrReset if not.
func (d *Dev) Check() error {
	if err := d.receive(regIODIRA, d.read[:]); err != nil {
		return err
	}
	inputs := ^d.outputs
	want := [regIOCON + 1]byte{0: byte(inputs), 1: byte(inputs >> 8)}
	// DEFVAL, INTCON (6 to 9) have no effect while no interrupt is enabled.
	copy(want[6:regIOCON], d.read[6:regIOCON])
	if d.read != want {
		return fmt.Errorf("%s: registers %#02x to %#02x are % x, want % x: %w",
			d, regIODIRA, regIOCON, d.read, want, ErrReset)
	}
	return nil
}

// Set writes the latch of all pins in one transaction. Bits of pins that are not
// outputs have no effect.
func (d *Dev) Set(latch uint16) error { return d.send(regOLATA, byte(latch), byte(latch>>8)) }

// Latch reads the latch back from the chip.
func (d *Dev) Latch() (uint16, error) { return d.pair(regOLATA) }

// Pins reads the levels at the pins.
func (d *Dev) Pins() (uint16, error) { return d.pair(regGPIOA) }

func (d *Dev) pair(reg byte) (uint16, error) {
	r := d.read[:2]
	if err := d.receive(reg, r); err != nil {
		return 0, err
	}
	return uint16(r[0]) | uint16(r[1])<<8, nil
}

// send writes up to six bytes from reg on.
func (d *Dev) send(reg byte, data ...byte) error {
	d.write[0] = reg
	n := copy(d.write[1:], data)
	if err := d.conn.Tx(d.write[:1+n], nil); err != nil {
		return fmt.Errorf("%s: write register %#02x: %w", d, reg, err)
	}
	return nil
}

func (d *Dev) receive(reg byte, r []byte) error {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], r); err != nil {
		return fmt.Errorf("%s: read register %#02x: %w", d, reg, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource. It leaves the outputs alone: what is safe is
// the caller's to say, by Set.
func (d *Dev) Halt() error { return nil }
