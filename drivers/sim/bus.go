package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrNACK comes when no chip acknowledged the address, or a chip refused a
	// byte.
	ErrNACK = errors.New("not acknowledged")
	// ErrTimeout comes when a line of the bus is held low.
	ErrTimeout = errors.New("bus time-out")
)

// Timeout is the bus time that a transaction takes while a line is held low,
// the time-out that a gateway sets in the kernel.
const Timeout = 50 * time.Millisecond

// Chip is the model of a chip: what it does with one transaction addressed to
// it, and with a loss of its supply.
type Chip interface {
	// Tx takes what the master wrote and fills r with what it reads after a
	// repeated start. An error is a byte that was not acknowledged.
	Tx(w, r []byte) error
	// Reset is a power-on reset.
	Reset()
}

// Bus is a simulated I²C bus.
type Bus struct {
	name string
	turn chan struct{} // held by the transaction under way; a channel, so that waiting is durable for synctest
	hits []*Wire       // scratch of the transaction under way

	mu      sync.Mutex // guards all below; never held over a chip's Tx or a delay
	trunk   segment
	speed   physic.Frequency
	nack    map[uint16]bool
	held    bool
	delay   time.Duration
	changed chan struct{} // closed when delay changes
	trace   func(addr uint16, w, r []byte, err error)
	elapsed time.Duration
	count   int64
}

var _ i2c.Bus = (*Bus)(nil)

// NewBus returns an empty bus. It panics unless 0 < speed ≤ 5 MHz.
func NewBus(name string, speed physic.Frequency) *Bus {
	b := &Bus{name: name, turn: make(chan struct{}, 1), nack: map[uint16]bool{}, changed: make(chan struct{})}
	if err := b.SetSpeed(speed); err != nil {
		panic(err)
	}
	return b
}

// Attach puts c at addr. It panics if the address is taken.
func (b *Bus) Attach(addr uint16, c Chip) *Wire {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trunk.attach(addr, c)
}

// String returns the name of the bus.
func (b *Bus) String() string { return b.name }

// SetSpeed sets the clock of the bus.
func (b *Bus) SetSpeed(f physic.Frequency) error {
	if f < physic.Hertz || f > 5*physic.MegaHertz {
		return fmt.Errorf("%s: speed %s: want 1Hz to 5MHz", b.name, f)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.speed = f
	return nil
}

// Tx carries out one transaction: it writes w, then reads r.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.pause()

	b.mu.Lock()
	held := b.held || b.trunk.held()
	b.hits = b.hits[:0]
	if !b.nack[addr] {
		b.hits = b.trunk.find(addr, b.hits)
	}
	trace := b.trace
	b.mu.Unlock()

	var stretch time.Duration
	for _, hit := range b.hits {
		stretch = max(stretch, hit.stretches())
	}
	var err error
	var spent time.Duration
	if held || stretch >= Timeout {
		err, spent = ErrTimeout, Timeout
	} else {
		var answered bool
		answered, err = exchange(b.hits, w, r)
		spent = b.cost(answered, len(w), len(r)) + stretch
	}
	if err != nil {
		err = fmt.Errorf("%s: address %#02x: %w", b.name, addr, err)
	}

	b.mu.Lock()
	b.elapsed += spent
	b.count++
	b.mu.Unlock()
	if trace != nil {
		trace(addr, w, r, err)
	}
	return err
}

// exchange hands the transaction to every chip in hits, and reports whether one
// answered. Chips that answer together pull the same line, so that r is the AND
// of what they send.
func exchange(hits []*Wire, w, r []byte) (answered bool, err error) {
	for _, hit := range hits {
		into := r
		if answered {
			into = make([]byte, len(r))
		}
		ok, e := hit.tx(w, into)
		if !ok {
			continue
		}
		if answered {
			for i := range r {
				r[i] &= into[i]
			}
		}
		answered = true
		err = errors.Join(err, e)
	}
	if !answered {
		return false, ErrNACK
	}
	return true, err
}

// pause waits as long as SetDelay says.
func (b *Bus) pause() {
	for {
		b.mu.Lock()
		delay, changed := b.delay, b.changed
		b.mu.Unlock()
		if delay <= 0 {
			return
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			return
		case <-changed:
			timer.Stop()
		}
	}
}

// cost is the bus time of a transaction: start, address, data, repeated start
// and address before a read that follows a write, stop. An address that is not
// acknowledged ends it.
func (b *Bus) cost(answered bool, w, r int) time.Duration {
	bits := 1 + 9 + 1
	if answered {
		bits += 9 * (w + r)
		if w > 0 && r > 0 {
			bits += 1 + 9
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Duration(float64(bits) / (float64(b.speed) / float64(physic.Hertz)) * float64(time.Second))
}

// BusTime returns how long the transactions so far would have taken on wires.
func (b *Bus) BusTime() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.elapsed
}

// Transactions returns how many transactions there were, failed ones included.
func (b *Bus) Transactions() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// Trace calls f at the end of every transaction, in their order; nil ends it.
// The slices belong to the caller of Tx.
func (b *Bus) Trace(f func(addr uint16, w, r []byte, err error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trace = f
}

// NACK makes an address dead, or alive again, whatever stands behind it.
func (b *Bus) NACK(addr uint16, dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nack[addr] = dead
}

// Hold holds a line of the bus low, or lets it go. While it is held every
// transaction fails with ErrTimeout and costs Timeout of bus time.
func (b *Bus) Hold(low bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = low
}

// SetDelay makes every transaction take d of real time before it begins; 0 ends
// it, also for a transaction that is waiting.
func (b *Bus) SetDelay(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
	close(b.changed)
	b.changed = make(chan struct{})
}
