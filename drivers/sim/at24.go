package sim

import (
	"bytes"
	"sync"
)

// AT24 is the model of an EEPROM. Each write is followed by a write cycle, in
// which the chip does not answer.
type AT24 struct {
	page      int
	addrBytes int

	mu    sync.Mutex // guards all below
	data  []byte
	point int
	cycle int // transactions that a write cycle lasts
	busy  int
	tear  int // page writes until one is torn; 0 is none
	dead  bool
}

// NewAT24 returns an EEPROM of size bytes, all 0xFF, with pages of page bytes and
// word addresses of one or two bytes. A chip of more than 256 bytes with one
// address byte has a block for each 256 bytes, at addresses of their own: see
// Block.
func NewAT24(size, page, addrBytes int) *AT24 {
	return &AT24{page: page, addrBytes: addrBytes, data: bytes.Repeat([]byte{0xFF}, size), cycle: 3}
}

// at24Block is a chip as it is seen at one of its addresses.
type at24Block struct {
	chip *AT24
	high int
}

var (
	_ Chip = (*AT24)(nil)
	_ Chip = (*at24Block)(nil)
)

// Block returns what answers at the chip's nth address: its bytes from 256n on.
func (a *AT24) Block(n int) Chip { return &at24Block{chip: a, high: n << 8} }

// Tx implements Chip.
func (b *at24Block) Tx(w, r []byte) error { return b.chip.transact(b.high, w, r) }

// Reset implements Chip.
func (b *at24Block) Reset() { b.chip.Reset() }

// Data returns a copy of what the chip holds.
func (a *AT24) Data() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bytes.Clone(a.data)
}

// Load puts data into the chip from offset on.
func (a *AT24) Load(offset int, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	copy(a.data[offset:], data)
}

// SetCycle sets how many transactions the chip refuses after each write; three
// unless set.
func (a *AT24) SetCycle(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cycle = n
}

// TearAt makes the supply fail in the nth write from now: half of its bytes are
// stored, and the chip is dead until Reset.
func (a *AT24) TearAt(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tear = n
}

// Tx implements Chip: a word address, followed by bytes that are written within
// its page, or read from there on. A read without an address goes on.
func (a *AT24) Tx(w, r []byte) error { return a.transact(0, w, r) }

func (a *AT24) transact(high int, w, r []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return ErrNACK
	}
	if a.busy > 0 {
		a.busy--
		return ErrNACK
	}
	if len(w) >= a.addrBytes {
		a.point = high
		for i, b := range w[:a.addrBytes] {
			a.point |= int(b) << (8 * (a.addrBytes - 1 - i))
		}
		a.point %= len(a.data)
		if len(w) > a.addrBytes && len(r) == 0 { // a repeated start discards what was not stopped
			a.write(w[a.addrBytes:])
		}
	}
	for i := range r {
		r[i] = a.data[a.point]
		a.point = (a.point + 1) % len(a.data)
	}
	return nil
}

// write stores data; past the end of the page it begins the page again.
func (a *AT24) write(data []byte) {
	if a.tear > 0 {
		if a.tear--; a.tear == 0 {
			a.dead = true
			data = data[:len(data)/2]
		}
	}
	start := a.point - a.point%a.page
	for _, b := range data {
		a.data[a.point] = b
		a.point = start + (a.point-start+1)%a.page
	}
	a.busy = a.cycle
}

// Reset implements Chip: the supply comes back. What was stored stays.
func (a *AT24) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.point, a.busy, a.tear, a.dead = 0, 0, 0, false
}
