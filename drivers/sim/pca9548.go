package sim

import "sync"

// PCA9548 is the model of an eight-port I²C switch: its only register is the
// mask of the ports that are joined to the bus, 0 after a reset. A write of
// more than one byte is ignored, as QEMU's model does.
type PCA9548 struct {
	mu    sync.Mutex // guards all below
	mask  byte
	ports [8]segment
}

var _ Chip = (*PCA9548)(nil)

// NewPCA9548 returns a mux with nothing on its ports.
func NewPCA9548() *PCA9548 { return &PCA9548{} }

// Attach puts c at addr behind a port. It panics unless 0 ≤ port ≤ 7 and if the
// address is taken there.
func (m *PCA9548) Attach(port int, addr uint16, c Chip) *Wire {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ports[port].attach(addr, c)
}

// Mask returns the ports that are joined, one bit each.
func (m *PCA9548) Mask() byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mask
}

// Hold holds a line behind a port low, or lets it go. The whole bus hangs while
// such a port is joined; only Reset, the reset pin of the chip, frees it then.
func (m *PCA9548) Hold(port int, low bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[port].low = low
}

// Tx implements Chip.
func (m *PCA9548) Tx(w, r []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(w) == 1 {
		m.mask = w[0]
	}
	for i := range r {
		r[i] = m.mask
	}
	return nil
}

// Reset implements Chip: power-on, or a pulse on the reset pin.
func (m *PCA9548) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mask = 0
}

func (m *PCA9548) find(addr uint16, found []*Wire) []*Wire {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.ports {
		if m.mask>>i&1 == 1 {
			found = m.ports[i].find(addr, found)
		}
	}
	return found
}

func (m *PCA9548) held() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.ports {
		if m.mask>>i&1 == 1 && m.ports[i].held() {
			return true
		}
	}
	return false
}
