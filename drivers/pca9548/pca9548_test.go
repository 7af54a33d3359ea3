package pca9548_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/drivers/sim"
)

func newDev(tb testing.TB, ops ...i2ctest.IO) (*pca9548.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := pca9548.New(bus, pca9548.DefaultOpts())
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func mask(b byte) i2ctest.IO { return i2ctest.IO{Addr: 0x70, W: []byte{b}} }
func chip(b byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: []byte{0}, R: []byte{b}} }

// The mask goes out before the first transaction of a port and not again until
// the port changes.
func TestSelects(t *testing.T) {
	dev, bus := newDev(t,
		mask(0x01), chip(1), chip(2),
		mask(0x80), chip(3),
		mask(0x01), chip(4),
		mask(0x00),
		mask(0x01), chip(5),
	)
	r := make([]byte, 1)
	for i, n := range []int{0, 0, 7, 0, -1, 0} {
		if n < 0 {
			if err := dev.Deselect(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := dev.Port(n).Tx(0x48, []byte{0}, r); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if r[0] != 5 {
		t.Errorf("read %d, want 5", r[0])
	}
	if err := dev.Deselect(); err == nil {
		t.Error("the playback is over: want an error")
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestEachPort(t *testing.T) {
	for n := range pca9548.Ports {
		dev, bus := newDev(t, mask(1<<n), chip(byte(n)))
		r := make([]byte, 1)
		if err := dev.Port(n).Tx(0x48, []byte{0}, r); err != nil {
			t.Errorf("port %d: %v", n, err)
		}
		if err := bus.Close(); err != nil {
			t.Errorf("port %d: %v", n, err)
		}
	}
}

// Whatever makes the driver doubt what the chip holds makes it write again.
func TestForgets(t *testing.T) {
	tests := map[string]struct {
		doubt func(dev *pca9548.Dev) error
		dead  uint16 // the address that does not answer meanwhile
		text  string
	}{
		"Reset": {doubt: func(dev *pca9548.Dev) error { dev.Reset(); return nil }},
		"a chip that does not answer": {
			doubt: func(dev *pca9548.Dev) error { return dev.Port(2).Tx(0x48, []byte{0}, nil) },
			dead:  0x48, text: "sim: address 0x48: ",
		},
		"a mux that does not answer": {
			doubt: func(dev *pca9548.Dev) error { return dev.Port(3).Tx(0x48, []byte{0}, nil) },
			dead:  0x70, text: "pca9548@sim/0x70: select sim/0x70.3: ",
		},
		"a mux that does not answer Deselect": {
			doubt: func(dev *pca9548.Dev) error { return dev.Deselect() },
			dead:  0x70, text: "pca9548@sim/0x70: deselect: ",
		},
		"a mux that does not answer Mask": {
			doubt: func(dev *pca9548.Dev) error { _, err := dev.Mask(); return err },
			dead:  0x70, text: "pca9548@sim/0x70: read mask: ",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := sim.NewBus("sim", 400*physic.KiloHertz)
			mux := sim.NewPCA9548()
			bus.Attach(0x70, mux)
			mux.Attach(2, 0x48, sim.NewTMP102())
			dev, err := pca9548.New(bus, pca9548.DefaultOpts())
			if err != nil {
				t.Fatal(err)
			}
			r := make([]byte, 2)
			if err := dev.Port(2).Tx(0x48, []byte{0}, r); err != nil {
				t.Fatal(err)
			}

			bus.NACK(tt.dead, true)
			err = tt.doubt(dev)
			bus.NACK(tt.dead, false)
			if (tt.dead != 0) != errors.Is(err, sim.ErrNACK) || err != nil && !strings.HasPrefix(err.Error(), tt.text) {
				t.Fatalf("error %v, want %q", err, tt.text)
			}

			var log []string
			bus.Trace(func(addr uint16, w, _ []byte, _ error) { log = append(log, fmt.Sprintf("%02x:%x", addr, w)) })
			if err := dev.Port(2).Tx(0x48, []byte{0}, r); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(log, " "), "70:04 48:00"; got != want {
				t.Errorf("transactions %q, want %q", got, want)
			}
		})
	}
}

// A mux that lost its supply costs one transaction, not the port.
func TestPowerOnReset(t *testing.T) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Attach(5, 0x48, sim.NewTMP102())
	dev, err := pca9548.New(bus, pca9548.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	port, r := dev.Port(5), make([]byte, 2)
	if err := port.Tx(0x48, []byte{0}, r); err != nil {
		t.Fatal(err)
	}
	mux.Reset()
	if got, err := dev.Mask(); err != nil || got != 0 {
		t.Errorf("mask %#x, %v after a reset, want 0", got, err)
	}
	if err := port.Tx(0x48, []byte{0}, r); err != nil {
		t.Errorf("Mask saw the reset, yet the port is not joined: %v", err)
	}
	mux.Reset()
	if err := port.Tx(0x48, []byte{0}, r); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("first transaction after the reset: %v, want %v", err, sim.ErrNACK)
	}
	if err := port.Tx(0x48, []byte{0}, r); err != nil {
		t.Errorf("second transaction after the reset: %v", err)
	}
}

// Each port reaches its own chip, in whatever order they are used.
func TestPortsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		mux := sim.NewPCA9548()
		bus.Attach(0x73, mux)
		for n := range pca9548.Ports {
			chip := sim.NewTMP102()
			chip.SetCelsius(float64(n))
			mux.Attach(n, 0x48, chip)
		}
		dev, err := pca9548.New(bus, &pca9548.Opts{Addr: 0x73})
		if err != nil {
			t.Fatal(err)
		}
		r := make([]byte, 2)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch n := rapid.IntRange(-2, 7).Draw(t, "port"); n {
			case -2:
				mux.Reset()
				dev.Reset()
			case -1:
				if err := dev.Deselect(); err != nil {
					t.Fatal(err)
				}
			default:
				if err := dev.Port(n).Tx(0x48, []byte{0}, r); err != nil {
					t.Fatal(err)
				}
				if int(r[0]) != n {
					t.Fatalf("port %d reached the chip of port %d", n, r[0])
				}
				if got, err := dev.Mask(); err != nil || got != 1<<n {
					t.Fatalf("mask %#x, %v, want %#x", got, err, 1<<n)
				}
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, addr := range []uint16{0x6F, 0x78} {
		if dev, err := pca9548.New(&i2ctest.Playback{DontPanic: true}, &pca9548.Opts{Addr: addr}); err == nil {
			t.Errorf("address %#x: got %v, want an error", addr, dev)
		}
	}
}

func TestNames(t *testing.T) {
	dev, _ := newDev(t, mask(0))
	if got, want := dev.String(), "pca9548@playback/0x70"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if got, want := dev.Port(6).String(), "playback/0x70.6"; got != want {
		t.Errorf("port String %q, want %q", got, want)
	}
	if err := dev.Port(6).SetSpeed(physic.KiloHertz); err != nil {
		t.Error(err)
	}
	if err := dev.Halt(); err != nil {
		t.Error(err)
	}
}

// FuzzMask: whatever the chip says it joined, the next transaction of a port
// finds that port.
func FuzzMask(f *testing.F) {
	f.Add(byte(0x00), byte(3))
	f.Add(byte(0x08), byte(3))
	f.Add(byte(0xFF), byte(7))
	f.Fuzz(func(t *testing.T, said, n byte) {
		n %= pca9548.Ports
		ops := []i2ctest.IO{mask(1 << n), chip(1), {Addr: 0x70, R: []byte{said}}}
		if said != 1<<n {
			ops = append(ops, mask(1<<n))
		}
		dev, bus := newDev(t, append(ops, chip(2))...)
		r := make([]byte, 1)
		if err := dev.Port(int(n)).Tx(0x48, []byte{0}, r); err != nil {
			t.Fatal(err)
		}
		if got, err := dev.Mask(); err != nil || got != said {
			t.Fatalf("mask %#x, %v, want %#x", got, err, said)
		}
		if err := dev.Port(int(n)).Tx(0x48, []byte{0}, r); err != nil {
			t.Fatal(err)
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkPortTx(b *testing.B) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Attach(0, 0x48, sim.NewTMP102())
	mux.Attach(1, 0x48, sim.NewTMP102())
	dev, err := pca9548.New(bus, pca9548.DefaultOpts())
	if err != nil {
		b.Fatal(err)
	}
	w, r := []byte{0}, make([]byte, 2)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := dev.Port(n&1).Tx(0x48, w, r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPortAllocates(t *testing.T) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Attach(0, 0x48, sim.NewTMP102())
	mux.Attach(1, 0x48, sim.NewTMP102())
	dev, err := pca9548.New(bus, pca9548.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	w, r := []byte{0}, make([]byte, 2)
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		n++
		if err := dev.Port(n&1).Tx(0x48, w, r); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
