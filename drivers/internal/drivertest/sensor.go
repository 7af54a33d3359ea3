package drivertest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/sim"
)

// Dev is the driver of a chip that measures M.
type Dev[M any] interface {
	Sense(m *M) error
	String() string
	Halt() error
}

// Setup is what the driver of a chip has that must be set up again after a loss
// of its supply.
type Setup interface {
	Configure() error
	Check() error
}

// Sensor is a driver on the model of its chip.
type Sensor[M comparable] struct {
	Name string // of the chip, as errors begin
	Addr uint16
	// Chip is the model after power-on, and measuring something else than nothing.
	Chip func() sim.Chip
	// Feed lets the chip measure again after a reset, where the model needs that.
	Feed func(chip sim.Chip)
	// Start makes the driver, ready to Sense.
	Start func(bus i2c.Bus) (Dev[M], error)
	// Stale is a measurement that the chip never gives.
	Stale M
	// Bits is what one Sense takes on the bus.
	Bits int
	// Float is the error of a bus that nobody drives, which reads ones; nil where
	// that may be a reading.
	Float error
	// Lost is the error of a chip that was reset; nil where Sense cannot tell.
	Lost error
	// Checked says that a checksum tells every bit that flips.
	Checked bool
}

// Bits of a transaction that writes w bytes and reads r: start, stop, address and
// a repeated start between both.
func Bits(w, r int) int {
	bits := 2 + 9 + 9*(w+r)
	if w > 0 && r > 0 {
		bits += 1 + 9
	}
	return bits
}

// tap is a bus on which one transaction is spoilt.
type tap struct {
	i2c.Bus
	n     int // transactions so far
	at    int // the one that is spoilt
	spoil func(r []byte, tx func() error) error
}

func (b *tap) Tx(addr uint16, w, r []byte) error {
	b.n++
	if b.spoil == nil || b.n-1 != b.at {
		return b.Bus.Tx(addr, w, r)
	}
	return b.spoiled(addr, w, r)
}

// spoiled stands apart because its function is allocated.
func (b *tap) spoiled(addr uint16, w, r []byte) error {
	return b.spoil(r, func() error { return b.Bus.Tx(addr, w, r) })
}

// bench is a driver on a bus.
type bench[M comparable] struct {
	tap  *tap
	bus  *sim.Bus
	wire *sim.Wire
	chip sim.Chip
	dev  Dev[M]
}

func (s *Sensor[M]) start(tb testing.TB) *bench[M] {
	tb.Helper()
	b := &bench[M]{bus: sim.NewBus("sim", 400*physic.KiloHertz), chip: s.Chip()}
	b.wire = b.bus.Attach(s.Addr, b.chip)
	b.tap = &tap{Bus: b.bus}
	dev, err := s.Start(b.tap)
	if err != nil {
		tb.Fatal(err)
	}
	b.dev = dev
	return b
}

// good wants a measurement.
func (s *Sensor[M]) good(tb testing.TB, b *bench[M], when string) M {
	tb.Helper()
	m := s.Stale
	if err := b.dev.Sense(&m); err != nil {
		tb.Fatalf("%s: %v", when, err)
	}
	if m == s.Stale {
		tb.Errorf("%s: Sense did not write its measurement", when)
	}
	return m
}

// bad wants the error, and the value as it was.
func (s *Sensor[M]) bad(tb testing.TB, b *bench[M], when string, want error) {
	tb.Helper()
	m := s.Stale
	err := b.dev.Sense(&m)
	if !errors.Is(err, want) || err == nil {
		tb.Errorf("%s: error %v, want %v", when, err, want)
	}
	s.kept(tb, when, err, m)
}

// kept checks the message of an error and the value beside it.
func (s *Sensor[M]) kept(tb testing.TB, when string, err error, m M) {
	tb.Helper()
	if m != s.Stale {
		tb.Errorf("%s: a failed Sense wrote %+v", when, m)
	}
	if prefix := fmt.Sprintf("%s@sim/%#02x: ", s.Name, s.Addr); err != nil && !strings.HasPrefix(err.Error(), prefix) {
		tb.Errorf("%s: error %q does not begin with %q", when, err, prefix)
	}
}

// Run carries out the contract. Not in a parallel test: it counts allocations.
func (s *Sensor[M]) Run(t *testing.T) {
	t.Helper()
	t.Run("names", func(t *testing.T) {
		b := s.start(t)
		if got, want := b.dev.String(), fmt.Sprintf("%s@sim/%#02x", s.Name, s.Addr); got != want {
			t.Errorf("String %q, want %q", got, want)
		}
		s.good(t, b, "at first")
		if err := b.dev.Halt(); err != nil {
			t.Errorf("Halt: %v", err)
		}
	})
	t.Run("bus", func(t *testing.T) {
		for _, speed := range []physic.Frequency{100 * physic.KiloHertz, 400 * physic.KiloHertz, physic.MegaHertz} {
			b := s.start(t)
			if err := b.bus.SetSpeed(speed); err != nil {
				t.Fatal(err)
			}
			before := b.bus.BusTime()
			s.good(t, b, speed.String())
			bits := (b.bus.BusTime() - before).Seconds() * float64(speed) / float64(physic.Hertz)
			if math.Abs(bits-float64(s.Bits)) > 0.5 {
				t.Errorf("%s: a Sense takes %.1f bits, want %d", speed, bits, s.Bits)
			}
		}
	})
	t.Run("allocations", func(t *testing.T) {
		b := s.start(t)
		var m M
		if n := testing.AllocsPerRun(100, func() {
			if err := b.dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%g allocations a Sense, want 0", n)
		}
	})
	t.Run("transactions", s.transactions)
	t.Run("bits", s.bits)
	t.Run("words", s.words)
	t.Run("wires", s.wires)
	if s.Lost != nil {
		t.Run("reset", s.reset)
	}
}

// count is how many transactions a Sense has.
func (s *Sensor[M]) count(t *testing.T, b *bench[M]) int {
	t.Helper()
	b.tap.n = 0
	s.good(t, b, "at first")
	return b.tap.n
}

// transactions fails every transaction in each way.
func (s *Sensor[M]) transactions(t *testing.T) {
	b := s.start(t)
	n := s.count(t, b)
	for _, way := range []struct {
		name  string
		err   error
		spoil func(r []byte) error
	}{
		{"not acknowledged", sim.ErrNACK, func([]byte) error { return sim.ErrNACK }},
		{"time-out", sim.ErrTimeout, func([]byte) error { return sim.ErrTimeout }},
		{"short read", io.ErrUnexpectedEOF, func(r []byte) error {
			if len(r) > 0 {
				r[0] = 0x5A // as far as it came
			}
			return io.ErrUnexpectedEOF
		}},
	} {
		for i := range n {
			b.tap.n, b.tap.at = 0, i
			b.tap.spoil = func(r []byte, _ func() error) error { return way.spoil(r) }
			when := fmt.Sprintf("%s in transaction %d of %d", way.name, i+1, n)
			s.bad(t, b, when, way.err)
			if b.tap.n != i+1 {
				t.Errorf("%s: %d transactions: the rest is not asked, nor the same again", when, b.tap.n)
			}
			b.tap.spoil = nil
			s.good(t, b, "after "+when)
		}
	}
}

// bits flips every bit that is read.
func (s *Sensor[M]) bits(t *testing.T) {
	b := s.start(t)
	n := s.count(t, b)
	for i := range n {
		width := 0
		for bit := 0; bit == 0 || bit < 8*width; bit++ {
			b.tap.n, b.tap.at = 0, i
			b.tap.spoil = func(r []byte, tx func() error) error {
				err := tx()
				if width = len(r); width > 0 {
					r[bit/8] ^= 1 << (bit % 8)
				}
				return err
			}
			m := s.Stale
			err := b.dev.Sense(&m)
			b.tap.spoil = nil
			when := fmt.Sprintf("bit %d of transaction %d of %d", bit, i+1, n)
			switch {
			case err != nil:
				s.kept(t, when, err, m)
			case width > 0 && s.Checked:
				t.Errorf("%s flipped: %+v, want an error", when, m)
			}
			s.again(t, b)
			s.good(t, b, "after "+when)
		}
	}
}

// again sets a chip up whose configuration seemed lost.
func (s *Sensor[M]) again(t testing.TB, b *bench[M]) {
	t.Helper()
	if s.Feed != nil {
		s.Feed(b.chip)
	}
	if c, ok := b.dev.(Setup); ok && c.Check() != nil {
		if err := c.Configure(); err != nil {
			t.Fatal(err)
		}
	}
}

// words answers every read with anything.
func (s *Sensor[M]) words(t *testing.T) {
	b := s.start(t)
	said := make(map[int][]byte)
	rapid.Check(t, func(t *rapid.T) {
		clear(said)
		sense := func() (M, error) {
			b.tap.n = 0
			m := s.Stale
			err := b.dev.Sense(&m)
			return m, err
		}
		b.tap.at = -1
		answers := &answers{draw: func(i, n int) []byte {
			if said[i] == nil {
				said[i] = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, fmt.Sprint("answer ", i))
			}
			return said[i]
		}}
		was := b.tap.Bus
		b.tap.Bus = answers
		defer func() { b.tap.Bus = was }()
		m, err := sense()
		if err != nil {
			if m != s.Stale {
				t.Fatalf("a failed Sense wrote %+v: %v", m, err)
			}
			return
		}
		answers.n = 0
		// Where a driver keeps state, what it keeps is its own business.
		if again, err := sense(); err == nil && again != m {
			t.Fatalf("the same words give %+v and %+v", m, again)
		}
	})
}

// answers is a bus that answers what is drawn.
type answers struct {
	n    int
	draw func(i, n int) []byte
}

func (a *answers) String() string                    { return "sim" }
func (a *answers) SetSpeed(_ physic.Frequency) error { return nil }
func (a *answers) Tx(_ uint16, _, r []byte) error {
	if len(r) > 0 {
		copy(r, a.draw(a.n, len(r)))
		a.n++
	}
	return nil
}

// wires fails the way to the chip, and lets it work again.
func (s *Sensor[M]) wires(t *testing.T) {
	b := s.start(t)
	b.tap.spoil = nil
	s.good(t, b, "at first")
	for _, way := range []struct {
		name string
		set  func(bool)
		err  error
	}{
		{"a dead address", func(on bool) { b.bus.NACK(s.Addr, on) }, sim.ErrNACK},
		{"a line held low", b.bus.Hold, sim.ErrTimeout},
		{"a chip that was cut off", b.wire.Cut, sim.ErrNACK},
		{"a supply that sags", b.wire.BrownOut, sim.ErrNACK},
		{"a line that nobody drives", b.wire.Float, s.Float},
	} {
		way.set(true)
		if way.err != nil {
			s.bad(t, b, way.name, way.err)
		}
		way.set(false)
		s.again(t, b)
		s.good(t, b, "after "+way.name)
	}
}

// reset takes the supply away for a moment.
func (s *Sensor[M]) reset(t *testing.T) {
	b := s.start(t)
	c, ok := b.dev.(Setup)
	if !ok {
		t.Fatalf("%T cannot be set up again", b.dev)
	}
	if err := c.Check(); err != nil {
		t.Errorf("Check of a chip that is set up: %v", err)
	}
	// Also in the middle of a Sense: nothing is taken from both sides of it.
	n := s.count(t, b)
	for i := range n + 1 {
		if i == n {
			b.chip.Reset()
		} else {
			b.tap.n, b.tap.at = 0, i
			b.tap.spoil = func(_ []byte, tx func() error) error {
				b.chip.Reset()
				return tx()
			}
		}
		s.bad(t, b, fmt.Sprintf("a reset before transaction %d of %d", i%n+1, n), s.Lost)
		b.tap.spoil = nil
		if err := c.Check(); !errors.Is(err, s.Lost) {
			t.Errorf("Check after a reset: %v, want %v", err, s.Lost)
		}
		if err := c.Configure(); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err != nil {
			t.Errorf("Check after Configure: %v", err)
		}
		var m M
		if err := b.dev.Sense(&m); err != nil {
			t.Errorf("Sense after Configure: %v", err)
		}
	}
}

// Bench measures Sense, and tells the time of one reading on a 400 kHz bus.
func (s *Sensor[M]) Bench(b *testing.B) {
	b.Helper()
	x := s.start(b)
	var m M
	start := x.bus.BusTime()
	b.ReportAllocs()
	for b.Loop() {
		if err := x.dev.Sense(&m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((x.bus.BusTime()-start).Seconds()*1000/float64(b.N), "bus-ms/op")
}
