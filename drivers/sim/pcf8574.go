package sim

import "sync"

// PCF8574 is the model of an expander without registers, of eight pins or, as
// PCF8575, of sixteen. A latch bit of 0 pulls its pin low, a bit of 1 lets go:
// the chip's weak current source makes the pin high unless something else pulls
// it down.
type PCF8574 struct {
	size int // bytes

	mu    sync.Mutex // guards all below
	latch uint16
	down  uint16
}

var _ Chip = (*PCF8574)(nil)

// NewPCF8574 returns a PCF8574 or PCF8574A after power-on: all pins high.
func NewPCF8574() *PCF8574 {
	p := &PCF8574{size: 1}
	p.Reset()
	return p
}

// NewPCF8575 returns a PCF8575 after power-on: all sixteen pins high.
func NewPCF8575() *PCF8574 {
	p := &PCF8574{size: 2}
	p.Reset()
	return p
}

// Outputs returns the level of all pins.
func (p *PCF8574) Outputs() uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.levels()
}

func (p *PCF8574) levels() uint16 {
	all := p.latch &^ p.down
	if p.size == 1 {
		return all & 0xFF
	}
	return all
}

// PullDown sets which pins something on the board holds low.
func (p *PCF8574) PullDown(pins uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = pins
}

// Tx implements Chip: each byte that is written becomes the latch, each that is
// read is the pins; with sixteen pins, the bytes of both ports in turn.
func (p *PCF8574) Tx(w, r []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range w {
		shift := 8 * (i % p.size)
		p.latch = p.latch&^(0xFF<<shift) | uint16(b)<<shift
	}
	for i := range r {
		r[i] = byte(p.levels() >> (8 * (i % p.size)))
	}
	return nil
}

// Reset implements Chip: all pins are let go.
func (p *PCF8574) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latch = 0xFFFF
}
