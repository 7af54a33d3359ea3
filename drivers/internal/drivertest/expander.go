package drivertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/sim"
)

// Outputs is what the relays of a gateway ask of an expander.
type Outputs interface {
	Relays
	Set(latch uint16) error
	Latch() (uint16, error)
	Pins() (uint16, error)
}

// Relays sets the outputs up with a latch.
type Relays interface {
	Configure(latch uint16) error
	Check() error
}

// Expander is the driver of a chip that drives relays, on its model.
type Expander struct {
	Name string
	Addr uint16
	Chip func() sim.Chip
	// Start makes the driver, with eight outputs or more.
	Start func(bus i2c.Bus) (Outputs, error)
	// SetBits is what one Set takes on the bus.
	SetBits int
}

func (x *Expander) start(tb testing.TB) (Outputs, *sim.Bus, *tap) {
	tb.Helper()
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(x.Addr, x.Chip())
	t := &tap{Bus: bus}
	dev, err := x.Start(t)
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus, t
}

// Run carries out the contract. Not in a parallel test: it counts allocations.
func (x *Expander) Run(t *testing.T) {
	t.Helper()
	calls := map[string]func(Outputs) error{
		"Set":       func(d Outputs) error { return d.Set(0x5A) },
		"Check":     func(d Outputs) error { return d.Check() },
		"Configure": func(d Outputs) error { return d.Configure(0x5A) },
		"Latch":     func(d Outputs) error { return untouched(d.Latch()) },
		"Pins":      func(d Outputs) error { return untouched(d.Pins()) },
	}
	prefix := fmt.Sprintf("%s@sim/%#02x", x.Name, x.Addr)
	t.Run("names", func(t *testing.T) {
		dev, _, _ := x.start(t)
		if got := fmt.Sprint(dev); got != prefix {
			t.Errorf("String %q, want %q", got, prefix)
		}
		if h, ok := dev.(interface{ Halt() error }); !ok || h.Halt() != nil {
			t.Error("Halt fails")
		}
	})
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			dev, _, tap := x.start(t)
			tap.n = 0
			if err := call(dev); err != nil {
				t.Fatal(err)
			}
			n := tap.n
			for i := range n {
				tap.n, tap.at = 0, i
				tap.spoil = func([]byte, func() error) error { return sim.ErrNACK }
				if err := call(dev); !errors.Is(err, sim.ErrNACK) || !strings.HasPrefix(err.Error(), prefix+": ") {
					t.Errorf("not acknowledged in transaction %d of %d: %v", i+1, n, err)
				}
				tap.spoil = nil
				if err := errors.Join(dev.Configure(0x5A), call(dev)); err != nil {
					t.Errorf("and afterwards: %v", err)
				}
			}
		})
	}
	t.Run("bus and allocations", func(t *testing.T) {
		dev, bus, _ := x.start(t)
		before := bus.BusTime()
		if err := dev.Set(0x55); err != nil {
			t.Fatal(err)
		}
		if bits := (bus.BusTime() - before).Seconds() * 400e3; int(bits+0.5) != x.SetBits {
			t.Errorf("a Set takes %.1f bits, want %d", bits, x.SetBits)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := dev.Set(0x55); err != nil {
				t.Fatal(err)
			}
			if got, err := dev.Latch(); err != nil || got&0xFF != 0x55 {
				t.Fatal(got, err)
			}
			if err := dev.Check(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%g allocations, want 0", n)
		}
	})
}

// errValue comes when a call that failed gave a value as well.
var errValue = errors.New("a value beside an error")

func untouched(value uint16, err error) error {
	if err != nil && value != 0 {
		return errValue
	}
	return err
}

// Bench measures a Set and a Check.
func (x *Expander) Bench(b *testing.B) {
	b.Helper()
	for name, call := range map[string]func(Outputs, uint16) error{
		"Set":   func(d Outputs, n uint16) error { return d.Set(n) },
		"Check": func(d Outputs, _ uint16) error { return d.Check() },
	} {
		b.Run(name, func(b *testing.B) {
			dev, bus, _ := x.start(b)
			start := bus.BusTime()
			b.ReportAllocs()
			for n := uint16(0); b.Loop(); n++ {
				if err := call(dev, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((bus.BusTime()-start).Seconds()*1e3/float64(b.N), "bus-ms/op")
		})
	}
}
