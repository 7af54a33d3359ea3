package pca9548

import (
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// Ports is the number of ports of the chip.
const Ports = 8

// none is a selection that is not known.
const none = -1

// Opts says where the chip is.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x70 to 0x77.
	Addr uint16
}

// DefaultOpts suits a chip with its three address pins low.
func DefaultOpts() *Opts { return &Opts{Addr: 0x70} }

// Dev is one mux.
type Dev struct {
	conn  i2c.Dev
	name  string
	mask  int // the mask that the chip holds, or none
	write [1]byte
	read  [1]byte
	ports [Ports]port
}

var (
	_ conn.Resource = (*Dev)(nil)
	_ i2c.Bus       = (*port)(nil)
)

// New returns the mux at opts.Addr. It leaves the bus alone: the first
// transaction of a port writes the mask.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("pca9548@%s/%#02x", bus, opts.Addr),
		mask: none,
	}
	if opts.Addr < 0x70 || opts.Addr > 0x77 {
		return nil, fmt.Errorf("%s: address %#02x: want 0x70 to 0x77", d, opts.Addr)
	}
	for n := range d.ports {
		d.ports[n] = port{mux: d, mask: 1 << n, name: fmt.Sprintf("%s/%#02x.%d", bus, opts.Addr, n)}
	}
	return d, nil
}

// Port returns the bus behind port n. It panics unless 0 ≤ n < Ports.
func (d *Dev) Port(n int) i2c.Bus { return &d.ports[n] }

// Deselect joins no port.
func (d *Dev) Deselect() error {
	if err := d.choose(0); err != nil {
		return fmt.Errorf("%s: deselect: %w", d, err)
	}
	return nil
}

// Mask reads which ports the chip has joined, bit n for port n.
func (d *Dev) Mask() (byte, error) {
	if err := d.conn.Tx(nil, d.read[:]); err != nil {
		d.mask = none
		return 0, fmt.Errorf("%s: read mask: %w", d, err)
	}
	// What the chip says need not be what was written.
	if int(d.read[0]) != d.mask {
		d.mask = none
	}
	return d.read[0], nil
}

// Reset tells the driver that the chip has been reset, by its pin or by its
// supply, or that the bus was recovered: the next transaction writes the mask.
func (d *Dev) Reset() { d.mask = none }

// choose makes the chip hold mask.
func (d *Dev) choose(mask byte) error {
	if d.mask == int(mask) {
		return nil
	}
	d.mask = none
	d.write[0] = mask
	if err := d.conn.Tx(d.write[:], nil); err != nil {
		return err
	}
	d.mask = int(mask)
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource by joining no port.
func (d *Dev) Halt() error { return d.Deselect() }

// port is the bus behind one port.
type port struct {
	mux  *Dev
	mask byte
	name string
}

// Tx joins the port and carries out the transaction. An error of the bus comes
// back as it is, one of the mux with its name.
func (p *port) Tx(addr uint16, w, r []byte) error {
	if err := p.mux.choose(p.mask); err != nil {
		return fmt.Errorf("%s: select %s: %w", p.mux, p.name, err)
	}
	if err := p.mux.conn.Bus.Tx(addr, w, r); err != nil {
		p.mux.mask = none
		return err
	}
	return nil
}

// SetSpeed sets the speed of the bus that the mux is on.
func (p *port) SetSpeed(f physic.Frequency) error { return p.mux.conn.Bus.SetSpeed(f) }

// String returns the bus, the mux and the port.
func (p *port) String() string { return p.name }
