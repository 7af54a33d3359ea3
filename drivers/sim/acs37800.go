package sim

import (
	"encoding/binary"
	"math"
	"sync"
)

// ACS37800Board is how a meter is wired: what turns volts and amps into codes.
type ACS37800Board struct {
	RangeAmps     float64 // 30 or 90, by the part
	IsolationOhms float64 // all isolation resistors in series
	SenseOhms     float64
}

// MainsBoard returns the board for 220-250 V mains: a 30 A part behind
// 4 × 1 MΩ and 2.2 kΩ.
func MainsBoard() ACS37800Board {
	return ACS37800Board{RangeAmps: 30, IsolationOhms: 4e6, SenseOhms: 2200}
}

// Register addresses of the ACS37800, and the word that unlocks its
// configuration.
const (
	acsEEPROM   = 0x0B // to 0x0F
	acsShadow   = 0x1B // to 0x1F
	acsRMS      = 0x20
	acsPower    = 0x21
	acsApparent = 0x22
	acsFlags    = 0x2D
	acsAccess   = 0x2F
	acsUnlock   = 0x4F70656E
)

// ACS37800 is the model of an AC power monitor.
type ACS37800 struct {
	board ACS37800Board

	mu     sync.Mutex // guards all below
	regs   [0x31]uint32
	point  byte
	frozen bool
	latest [3]uint32 // what the measuring registers hold when not frozen
}

var _ Chip = (*ACS37800)(nil)

// NewACS37800 returns a meter that has not measured yet.
func NewACS37800(board ACS37800Board) *ACS37800 { return &ACS37800{board: board} }

// Set applies an RMS voltage, an RMS current and an active power (negative when
// it flows back) and fills the registers 0x20 to 0x22 as the chip would, each
// field saturating at its end. A NaN reads as zero.
func (c *ACS37800) Set(volts, amps, watts float64) {
	volts, amps = math.Abs(volts), math.Abs(amps)
	// At the chip: 250 mV and the range of the part are full scale of both ADCs.
	atPin := volts * c.board.SenseOhms / (c.board.IsolationOhms + c.board.SenseOhms)
	vrms := clamp(atPin/0.250*55000, 0, math.MaxUint16)
	irms := clamp(amps/c.board.RangeAmps*55000, 0, math.MaxUint16)

	// Powers are counted at the pins too: 3.08 codes a mW active, 6.15 codes a
	// mVA apparent and reactive, on a 30 A part; a third of it on a 90 A part.
	perMilli := 1000 * atPin / volts * 30 / c.board.RangeAmps
	if volts == 0 {
		perMilli = 0
	}
	apparent := volts * amps
	reactive := math.Sqrt(max(0, apparent*apparent-watts*watts))
	active := clamp(watts*perMilli*3.08, math.MinInt16, math.MaxInt16)
	reactiveCode := clamp(reactive*perMilli*6.15, 0, math.MaxUint16)
	magnitude := clamp(apparent*perMilli*6.15, 0, math.MaxUint16)
	factor := 0.0
	if apparent > 0 {
		factor = clamp(watts/apparent*1024, -1024, 1023)
	}
	consumed := uint32(0)
	if watts >= 0 {
		consumed = 1
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = [3]uint32{
		uint32(irms)<<16 | uint32(vrms),
		uint32(reactiveCode)<<16 | uint32(uint16(int16(active))),
		consumed<<28 | uint32(int32(factor))&0x7FF<<16 | uint32(magnitude),
	}
	c.update()
}

// SetFlags sets the status register 0x2D.
func (c *ACS37800) SetFlags(flags byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regs[acsFlags] = uint32(flags)
}

// Freeze stops the measuring registers from changing, or lets them follow
// again.
func (c *ACS37800) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.update()
}

func (c *ACS37800) update() {
	if !c.frozen {
		copy(c.regs[acsRMS:], c.latest[:])
	}
}

// Tx implements Chip: a register address, followed by four bytes that are
// written to it, or read from it, the least significant first.
func (c *ACS37800) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(w) > 0 {
		if int(w[0]) >= len(c.regs) {
			return ErrNACK
		}
		c.point = w[0]
	}
	switch {
	case len(w) == 5:
		c.store(binary.LittleEndian.Uint32(w[1:]))
	case len(w) > 1:
		return ErrNACK
	}
	word := c.regs[c.point]
	for i := range r {
		r[i] = 0xFF // past the word nobody drives the line
		if i < 4 {
			r[i] = byte(word >> (8 * i))
		}
	}
	return nil
}

// store writes the register at the pointer; the configuration only takes a word
// while it is unlocked.
func (c *ACS37800) store(word uint32) {
	unlocked := c.regs[acsAccess] == acsUnlock
	switch {
	case c.point == acsAccess:
		c.regs[acsAccess] = word
	case c.point >= acsEEPROM && c.point < acsEEPROM+5 && unlocked:
		c.regs[c.point] = word
		c.regs[c.point-acsEEPROM+acsShadow] = word
	case c.point >= acsShadow && c.point < acsShadow+5 && unlocked:
		c.regs[c.point] = word
	}
}

// Reset implements Chip: the EEPROM stays and is copied to its shadow, the
// volatile registers read zero until the next Set.
func (c *ACS37800) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.regs[acsShadow:])
	copy(c.regs[acsShadow:acsShadow+5], c.regs[acsEEPROM:acsEEPROM+5])
	c.latest = [3]uint32{}
	c.point = 0
}

// clamp rounds x and keeps it within lo to hi; a NaN becomes zero.
func clamp(x, lo, hi float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(math.Round(x), lo), hi)
}
