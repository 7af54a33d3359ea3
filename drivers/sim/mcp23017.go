package sim

import (
	"errors"
	"fmt"
	"sync"
)

// MCP23017Size is the length of the memory that backs a model: the 22 registers
// in the order of IOCON.BANK = 0, and two bytes that tell registers from memory
// that was never used.
const MCP23017Size = 24

// The two bytes after the registers.
const (
	mcpMarkA = 0x23
	mcpMarkB = 0x17
)

// Registers of the MCP23017 with IOCON.BANK = 0; port B is the one that
// follows.
const (
	mcpIODIR  = 0x00
	mcpIPOL   = 0x02
	mcpIOCON  = 0x0A
	mcpINTF   = 0x0E
	mcpINTCAP = 0x10
	mcpGPIO   = 0x12
	mcpOLAT   = 0x14
	mcpCount  = 0x16

	mcpBank  = 1 << 7
	mcpSEQOP = 1 << 5
)

// ErrBacking comes when the memory given to NewMCP23017 is neither unused nor
// the registers of a model.
var ErrBacking = errors.New("memory is not that of an expander")

// MCP23017 is the model of a 16-pin expander. Its registers live in memory that
// may belong to somebody else: an expander keeps its outputs when the processor
// that wrote them dies.
type MCP23017 struct {
	mu    sync.Mutex // guards all below, and the memory while this process runs
	regs  []byte
	point byte
	pulls uint16
}

var _ Chip = (*MCP23017)(nil)

// NewMCP23017 returns an expander that keeps its registers in mem, which may be
// a mapped file. Memory of zeros is a new chip and gets the power-on values;
// memory that an earlier model used is taken up as it was left. A nil mem is a
// new chip with memory of its own.
func NewMCP23017(mem []byte) (*MCP23017, error) {
	if mem == nil {
		mem = make([]byte, MCP23017Size)
	}
	if len(mem) != MCP23017Size {
		return nil, fmt.Errorf("%w: %d bytes: want %d", ErrBacking, len(mem), MCP23017Size)
	}
	m := &MCP23017{regs: mem}
	if mem[mcpCount] == mcpMarkA && mem[mcpCount+1] == mcpMarkB {
		return m, nil
	}
	for _, b := range mem {
		if b != 0 {
			return nil, fmt.Errorf("%w: no mark after the registers", ErrBacking)
		}
	}
	m.Reset()
	return m, nil
}

// Outputs returns the level of all pins, GPA0 in the lowest bit, GPB0 in bit 8:
// the latch where a pin drives, the level of SetPulls where it does not.
func (m *MCP23017) Outputs() uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.levels()
}

func (m *MCP23017) levels() uint16 {
	inputs := m.word(mcpIODIR)
	return m.word(mcpOLAT)&^inputs | m.pulls&inputs
}

// SetPulls sets what the board pulls each pin to while the chip does not drive
// it; low unless set.
func (m *MCP23017) SetPulls(levels uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pulls = levels
}

// Register returns a register by its address with IOCON.BANK = 0.
func (m *MCP23017) Register(addr int) byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.regs[:mcpCount][addr]
}

func (m *MCP23017) word(reg int) uint16 {
	return uint16(m.regs[reg]) | uint16(m.regs[reg+1])<<8
}

// Tx implements Chip: a register address, followed by bytes that are written
// from there on, or read from there on.
func (m *MCP23017) Tx(w, r []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(w) > 0 {
		m.point = w[0]
		for _, b := range w[1:] {
			m.store(b)
			m.advance()
		}
	}
	for i := range r {
		r[i] = m.load()
		m.advance()
	}
	return nil
}

// register returns the index of the register at the pointer, in the order of
// BANK = 0, and whether there is one.
func (m *MCP23017) register() (int, bool) {
	p := int(m.point)
	if m.regs[mcpIOCON]&mcpBank == 0 {
		return p, p < mcpCount
	}
	// BANK = 1: port A from 0x00, port B from 0x10.
	return p&0x0F<<1 | p>>4&1, p < 0x20 && p&0x0F < mcpCount/2
}

func (m *MCP23017) store(b byte) {
	reg, ok := m.register()
	if !ok {
		return
	}
	switch reg &^ 1 {
	case mcpINTF, mcpINTCAP: // read only
	case mcpIOCON: // one register at two addresses; bit 0 does not exist
		m.regs[mcpIOCON], m.regs[mcpIOCON+1] = b&^1, b&^1
	case mcpGPIO: // writing pins writes the latch
		m.regs[reg-mcpGPIO+mcpOLAT] = b
	default:
		m.regs[reg] = b
	}
}

func (m *MCP23017) load() byte {
	reg, ok := m.register()
	if !ok {
		return 0
	}
	if reg&^1 == mcpGPIO {
		return byte((m.levels() ^ m.word(mcpIPOL)) >> (8 * (reg & 1)))
	}
	return m.regs[reg]
}

// advance moves the pointer: to the next register when SEQOP = 0, else to the
// other port (BANK = 0) or nowhere (BANK = 1).
func (m *MCP23017) advance() {
	bank, step := m.regs[mcpIOCON]&mcpBank != 0, m.regs[mcpIOCON]&mcpSEQOP == 0
	switch {
	case !step && !bank:
		m.point ^= 1
	case step && !bank:
		m.point = (m.point + 1) % mcpCount
	case step && m.point == 0x0A:
		m.point = 0x10
	case step && m.point == 0x1A:
		m.point = 0
	case step:
		m.point++
	}
}

// Reset implements Chip: all pins become inputs, everything else zero.
func (m *MCP23017) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.regs[:mcpCount])
	m.regs[mcpIODIR], m.regs[mcpIODIR+1] = 0xFF, 0xFF
	m.regs[mcpCount], m.regs[mcpCount+1] = mcpMarkA, mcpMarkB
	m.point = 0
}
