package sim

import "sync"

// Registers of the PCA9554 and the MAX7310.
const (
	pca9554Input = iota
	pca9554Output
	pca9554Polarity
	pca9554Config // 1 is an input
	pca9554Timeout
	pca9554Count
)

// PCA9554 is the model of an eight-pin expander with a register for each thing:
// the PCA9554 and its kin, or the MAX7310.
type PCA9554 struct {
	max7310 bool

	mu    sync.Mutex // guards all below
	regs  [pca9554Count]byte
	point byte
	pulls byte
}

var _ Chip = (*PCA9554)(nil)

// NewPCA9554 returns a PCA9554, PCA9554A, TCA9554 or TCA6408A after power-on.
func NewPCA9554() *PCA9554 {
	p := &PCA9554{}
	p.Reset()
	return p
}

// NewMAX7310 returns a MAX7310 after power-on. It is the harsh reading of that
// chip, QEMU's: its upper four pins read inverted after a reset, a message holds
// one data byte, and an input has no latch, so that a pin which becomes an
// output is low whatever was written before.
func NewMAX7310() *PCA9554 {
	p := &PCA9554{max7310: true}
	p.Reset()
	return p
}

// Outputs returns the level of all pins: the latch where a pin drives, the level
// of SetPulls where it does not.
func (p *PCA9554) Outputs() byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.levels()
}

func (p *PCA9554) levels() byte {
	inputs := p.regs[pca9554Config]
	return p.regs[pca9554Output]&^inputs | p.pulls&inputs
}

// SetPulls sets what the board pulls each pin to while the chip does not drive
// it; low unless set.
func (p *PCA9554) SetPulls(levels byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulls = levels
}

// Tx implements Chip: a register, followed by what is written to it. The
// register stays chosen; there is no auto-increment.
func (p *PCA9554) Tx(w, r []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(w) > 0 {
		p.point = w[0]
		if !p.max7310 {
			p.point &= 3
		}
		for i, b := range w[1:] {
			if p.max7310 && (i > 0 || p.point >= pca9554Count) {
				return ErrNACK
			}
			p.store(b)
		}
	}
	for i := range r {
		r[i] = p.load()
	}
	return nil
}

func (p *PCA9554) store(b byte) {
	switch {
	case p.point == pca9554Input: // read only
	case p.max7310 && p.point == pca9554Output:
		p.regs[pca9554Output] = b &^ p.regs[pca9554Config]
	case p.max7310 && p.point == pca9554Config:
		p.regs[pca9554Output] &^= p.regs[pca9554Config] ^ b
		p.regs[pca9554Config] = b
	default:
		p.regs[p.point] = b
	}
}

func (p *PCA9554) load() byte {
	switch {
	case p.point >= pca9554Count:
		return 0xFF
	case p.point == pca9554Input:
		return p.levels() ^ p.regs[pca9554Polarity]
	default:
		return p.regs[p.point]
	}
}

// Reset implements Chip: all pins become inputs.
func (p *PCA9554) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.point = 0
	if p.max7310 {
		p.regs = [pca9554Count]byte{pca9554Polarity: 0xF0, pca9554Config: 0xFF, pca9554Timeout: 0x01}
	} else {
		p.regs = [pca9554Count]byte{pca9554Output: 0xFF, pca9554Config: 0xFF}
	}
}
