package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Wire is the way from a bus to one chip, where its faults are injected.
type Wire struct {
	addr uint16
	chip Chip

	mu      sync.Mutex // guards all below
	cut     bool
	low     bool // the chip's supply
	float   bool
	flip    []byte
	flips   int
	stretch time.Duration
}

// Cut cuts the chip off, so that its address is not acknowledged, or joins it
// again.
func (w *Wire) Cut(off bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = off
}

// BrownOut takes the chip's supply away, so that its address is not
// acknowledged, or gives it back: the chip then comes up from a power-on reset.
func (w *Wire) BrownOut(low bool) {
	w.mu.Lock()
	was := w.low
	w.low = low
	w.mu.Unlock()
	if was && !low {
		w.chip.Reset()
	}
}

// Stretch makes the chip hold the clock for d in every transaction: it is slow.
// From Timeout on the transactions fail with ErrTimeout; 0 ends it.
func (w *Wire) Stretch(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stretch = d
}

func (w *Wire) stretches() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut || w.low {
		return 0
	}
	return w.stretch
}

// Float lets the chip acknowledge but not drive the data line: everything reads
// 0xFF and writes are lost.
func (w *Wire) Float(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.float = on
}

// Flip inverts the bits of mask in the bytes of the next n reads; a mask that
// is shorter than a read leaves the rest alone.
func (w *Wire) Flip(mask []byte, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flip, w.flips = slices.Clone(mask), n
}

func (w *Wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut || w.low
}

// tx hands a transaction to the chip; it reports whether the chip answered.
func (w *Wire) tx(out, in []byte) (bool, error) {
	w.mu.Lock()
	cut, float := w.cut || w.low, w.float
	w.mu.Unlock()
	if cut {
		return false, nil
	}
	if float {
		for i := range in {
			in[i] = 0xFF
		}
		return true, nil
	}
	if err := w.chip.Tx(out, in); err != nil {
		return true, err
	}
	if len(in) == 0 {
		return true, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flips > 0 {
		w.flips--
		for i := range min(len(in), len(w.flip)) {
			in[i] ^= w.flip[i]
		}
	}
	return true, nil
}

// segment is a piece of bus: the trunk, or what hangs on one port of a mux.
type segment struct {
	wires []*Wire
	low   bool // a line is held low
}

func (s *segment) attach(addr uint16, c Chip) *Wire {
	if addr > 0x7F {
		panic(fmt.Sprintf("sim: attach at %#x: want a 7-bit address", addr))
	}
	for _, w := range s.wires {
		if w.addr == addr {
			panic(fmt.Sprintf("sim: attach at %#02x: address taken", addr))
		}
	}
	w := &Wire{addr: addr, chip: c}
	s.wires = append(s.wires, w)
	return w
}

// held reports whether a line is held low here or on a port that is joined.
func (s *segment) held() bool {
	if s.low {
		return true
	}
	for _, w := range s.wires {
		if m, ok := w.chip.(*PCA9548); ok && m.held() {
			return true
		}
	}
	return false
}

// find appends the wires of the chips that answer to addr.
func (s *segment) find(addr uint16, found []*Wire) []*Wire {
	for _, w := range s.wires {
		if w.addr == addr {
			found = append(found, w)
		} else if m, ok := w.chip.(*PCA9548); ok && !w.isCut() {
			found = m.find(addr, found)
		}
	}
	return found
}
