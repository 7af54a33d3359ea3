package sim

import (
	"encoding/binary"
	"sync"
)

// MLX90640Words is the length of the EEPROM and of the RAM of an MLX90640.
const MLX90640Words = 832

// Addresses of the MLX90640.
const (
	mlxRAM     = 0x0400
	mlxEEPROM  = 0x2400
	mlxStatus  = 0x8000
	mlxControl = 0x800D
)

// MLX90640 is the model of the memory of a thermopile array: it measures what it is
// told, in counts, and knows nothing of temperatures.
type MLX90640 struct {
	mu      sync.Mutex // guards all below
	eeprom  [MLX90640Words]uint16
	ram     [MLX90640Words]uint16
	status  uint16
	control uint16
	point   uint16
}

var _ Chip = (*MLX90640)(nil)

// NewMLX90640 returns an array after power-on with a calibration.
func NewMLX90640(eeprom *[MLX90640Words]uint16) *MLX90640 {
	m := &MLX90640{eeprom: *eeprom}
	m.Reset()
	return m
}

// Measure puts a subpage, 0 or 1, into the RAM and tells that it is new.
func (m *MLX90640) Measure(subpage int, ram *[MLX90640Words]uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ram = *ram
	m.status = m.status&^7 | 8 | uint16(subpage)&7
}

// Tx implements Chip: a 16-bit address, followed by a word that is written there,
// or by words that are read from there on.
func (m *MLX90640) Tx(w, r []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch len(w) {
	case 0:
	case 4:
		m.store(binary.BigEndian.Uint16(w), binary.BigEndian.Uint16(w[2:]))
		fallthrough
	case 2:
		m.point = binary.BigEndian.Uint16(w)
	default:
		return ErrNACK
	}
	for i := range r {
		r[i] = byte(m.load(m.point) >> (8 * (1 - i%2)))
		if i%2 == 1 {
			m.point++
		}
	}
	return nil
}

func (m *MLX90640) store(addr, word uint16) {
	switch addr {
	case mlxStatus:
		// The subpage is read only, and new data can only be taken note of.
		m.status = m.status&7 | word&^0xF | m.status&word&8
	case mlxControl:
		m.control = word
	}
}

func (m *MLX90640) load(addr uint16) uint16 {
	switch {
	case addr >= mlxRAM && addr < mlxRAM+MLX90640Words:
		return m.ram[addr-mlxRAM]
	case addr >= mlxEEPROM && addr < mlxEEPROM+MLX90640Words:
		return m.eeprom[addr-mlxEEPROM]
	case addr == mlxStatus:
		return m.status
	case addr == mlxControl:
		return m.control
	default:
		return 0
	}
}

// Reset implements Chip: two subpages a second, and none yet.
func (m *MLX90640) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ram, m.status, m.control, m.point = [MLX90640Words]uint16{}, 0x0030, 0x1901, 0
}
