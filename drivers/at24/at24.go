package at24

import (
	"errors"
	"fmt"
	"io"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
)

// ErrBusy comes from a write that the chip did not acknowledge: it may be in its
// write cycle.
var ErrBusy = errors.New("no answer, perhaps in its write cycle")

// WriteCycle is the longest time for which a chip does not answer after a write;
// new ones take half of it.
const WriteCycle = 10 * time.Millisecond

const (
	burst       = 64  // longest read in one transaction
	longestPage = 128 // bytes
)

// Chip says which chip it is.
type Chip uint8

// The chips; the number is their size in 1024 bits.
const (
	// AT24C01 holds 128 bytes, too few for a record.
	AT24C01 Chip = iota
	// AT24C02 holds 256 bytes.
	AT24C02
	// AT24C04 holds 512 bytes, at two addresses.
	AT24C04
	// AT24C08 holds 1024 bytes, at four addresses.
	AT24C08
	// AT24C16 holds 2048 bytes, at eight addresses.
	AT24C16
	// AT24C32 holds 4096 bytes.
	AT24C32
	// AT24C64 holds 8192 bytes.
	AT24C64
	// AT24C128 holds 16384 bytes.
	AT24C128
	// AT24C256 holds 32768 bytes.
	AT24C256
	// AT24C512 holds 65536 bytes.
	AT24C512
)

// Size returns how many bytes the chip holds.
func (c Chip) Size() int { return 128 << c }

// Page returns how many bytes a page has.
func (c Chip) Page() int {
	switch {
	case c <= AT24C02:
		return 8
	case c <= AT24C16:
		return 16
	case c <= AT24C64:
		return 32
	case c <= AT24C256:
		return 64
	default:
		return longestPage
	}
}

// String returns the name of the chip in lower case.
func (c Chip) String() string { return fmt.Sprintf("at24c%02d", 1<<c) }

// wordAddress is how many bytes the word address has.
func (c Chip) wordAddress() int {
	if c <= AT24C16 {
		return 1
	}
	return 2
}

// blocks is how many I²C addresses the chip has.
func (c Chip) blocks() uint16 {
	if c.wordAddress() == 1 {
		return uint16(max(c.Size()/256, 1))
	}
	return 1
}

// Opts is the chip and its address.
type Opts struct {
	// Chip is the kind of chip.
	Chip Chip
	// Addr is the 7-bit I²C address, 0x50 to 0x57; of a chip that has several, the
	// first.
	Addr uint16
}

// DefaultOpts suits the AT24C32 of a clock module without jumpers at 0x57.
func DefaultOpts() *Opts { return &Opts{Chip: AT24C32, Addr: 0x57} }

// Dev is one EEPROM.
type Dev struct {
	bus    i2c.Bus
	name   string
	chip   Chip
	addr   uint16
	write  [2 + longestPage]byte
	record [longest]byte
}

var (
	_ conn.Resource = (*Dev)(nil)
	_ io.ReaderAt   = (*Dev)(nil)
)

// New returns the EEPROM. It leaves the bus alone: the chip may be in a write
// cycle.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		bus: bus, chip: opts.Chip, addr: opts.Addr,
		name: fmt.Sprintf("%s@%s/%#02x", opts.Chip, bus, opts.Addr),
	}
	if opts.Chip > AT24C512 {
		return nil, fmt.Errorf("%s: chip %d: want AT24C01 to AT24C512", d, uint8(opts.Chip))
	}
	if n := opts.Chip.blocks(); opts.Addr < 0x50 || opts.Addr > 0x57 || opts.Addr%n != 0 {
		return nil, fmt.Errorf("%s: address %#02x: want 0x50 to 0x57, a multiple of %d", d, opts.Addr, n)
	}
	return d, nil
}

// Size returns how many bytes the chip holds.
func (d *Dev) Size() int { return d.chip.Size() }

// ReadAt implements io.ReaderAt. Fewer bytes than the chip has from off on are an
// error; on one, p holds nothing of use beyond the bytes that are counted.
func (d *Dev) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(d.Size()) {
		return 0, fmt.Errorf("%s: read at %d: want 0 to %d", d, off, d.Size())
	}
	for n := 0; n < len(p); {
		at := int(off) + n
		if at == d.Size() {
			return n, io.EOF
		}
		// No read crosses a block, which has an address of its own.
		end := min(n+burst, len(p), n+(at|0xFF)+1-at, n+d.Size()-at)
		addr, w := d.at(at)
		if err := d.bus.Tx(addr, w, p[n:end]); err != nil {
			return n, fmt.Errorf("%s: read at %#04x: %w", d, at, err)
		}
		n = end
	}
	return len(p), nil
}

// WritePage writes p at off, all within one page. ErrBusy means that the chip did
// not take it: try again until WriteCycle is over. When it returns nil the chip has
// begun its write cycle.
func (d *Dev) WritePage(p []byte, off int) error {
	page := d.chip.Page()
	if len(p) == 0 || off < 0 || off+len(p) > d.Size() || off/page != (off+len(p)-1)/page {
		return fmt.Errorf("%s: write %d bytes at %#04x: want 1 byte or more within a page of %d", d, len(p), off, page)
	}
	addr, w := d.at(off)
	n := copy(d.write[len(w):], p)
	if err := d.bus.Tx(addr, d.write[:len(w)+n], nil); err != nil {
		return fmt.Errorf("%s: write at %#04x: %w: %w", d, off, ErrBusy, err)
	}
	return nil
}

// at returns the I²C address of a byte and its word address, in d.write.
func (d *Dev) at(off int) (uint16, []byte) {
	if d.chip.wordAddress() == 1 {
		d.write[0] = byte(off)
		return d.addr + uint16(off>>8), d.write[:1]
	}
	d.write[0], d.write[1] = byte(off>>8), byte(off)
	return d.addr, d.write[:2]
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; there is nothing to stop.
func (d *Dev) Halt() error { return nil }
