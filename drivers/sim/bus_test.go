package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/sim"
)

const fast = 400 * physic.KiloHertz

// memory is a chip that remembers what was written and sends it back.
type memory struct{ data []byte }

func (m *memory) Reset() { m.data = nil }
func (m *memory) Tx(w, r []byte) error {
	if len(w) > 0 {
		m.data = bytes.Clone(w)
	}
	copy(r, m.data)
	return nil
}

func tx(t *testing.T, bus *sim.Bus, addr uint16, w []byte, n int) []byte {
	t.Helper()
	r := make([]byte, n)
	if err := bus.Tx(addr, w, r); err != nil {
		t.Fatalf("Tx(%#x, % x): %v", addr, w, err)
	}
	return r
}

// The time on the wires, counted by hand: S and P are one bit each, every byte
// is nine.
func TestBusTime(t *testing.T) {
	tests := map[string]struct {
		addr  uint16
		w, r  int
		speed physic.Frequency
		bits  int64
	}{
		"probe":                      {addr: 8, speed: fast, bits: 1 + 9 + 1},
		"write one byte":             {addr: 8, w: 1, speed: fast, bits: 1 + 9 + 9 + 1},
		"write three bytes":          {addr: 8, w: 3, speed: fast, bits: 1 + 9 + 3*9 + 1},
		"read two bytes":             {addr: 8, r: 2, speed: fast, bits: 1 + 9 + 2*9 + 1},
		"register of four bytes":     {addr: 8, w: 1, r: 4, speed: fast, bits: 1 + 9 + 9 + 1 + 9 + 4*9 + 1},
		"the same at 100 kHz":        {addr: 8, w: 1, r: 4, speed: 100 * physic.KiloHertz, bits: 66},
		"an address nobody answered": {addr: 9, w: 1, r: 4, speed: fast, bits: 1 + 9 + 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := sim.NewBus("sim", fast)
			bus.Attach(8, &memory{})
			if err := bus.SetSpeed(tt.speed); err != nil {
				t.Fatal(err)
			}
			err := bus.Tx(tt.addr, make([]byte, tt.w), make([]byte, tt.r))
			if (err != nil) != (tt.addr == 9) {
				t.Fatal(err)
			}
			want := time.Duration(tt.bits) * time.Second / time.Duration(tt.speed/physic.Hertz)
			if got := bus.BusTime(); got != want {
				t.Errorf("bus time %s, want %s", got, want)
			}
			if got := bus.Transactions(); got != 1 {
				t.Errorf("%d transactions, want 1", got)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	wire := bus.Attach(8, &memory{})
	bus.Attach(9, &memory{})
	send := []byte{0x0F, 0xF0}
	steps := []struct {
		name   string
		inject func()
		err    error
		want   []byte
	}{
		{name: "healthy", inject: func() {}, want: []byte{0x0F, 0xF0}},
		{name: "NACK", inject: func() { bus.NACK(8, true) }, err: sim.ErrNACK},
		{name: "answers again", inject: func() { bus.NACK(8, false) }, want: []byte{0x0F, 0xF0}},
		{name: "held low", inject: func() { bus.Hold(true) }, err: sim.ErrTimeout},
		{name: "let go", inject: func() { bus.Hold(false) }, want: []byte{0x0F, 0xF0}},
		{name: "cut off", inject: func() { wire.Cut(true) }, err: sim.ErrNACK},
		{name: "joined", inject: func() { wire.Cut(false) }, want: []byte{0x0F, 0xF0}},
		{name: "floating", inject: func() { wire.Float(true) }, want: []byte{0xFF, 0xFF}},
		{name: "driving", inject: func() { wire.Float(false) }, want: []byte{0x0F, 0xF0}},
		{name: "a bit flips", inject: func() { wire.Flip([]byte{0, 0x80}, 1) }, want: []byte{0x0F, 0x70}},
		{name: "once", inject: func() {}, want: []byte{0x0F, 0xF0}},
		{name: "a short mask", inject: func() { wire.Flip([]byte{0xFF}, 1) }, want: []byte{0xF0, 0xF0}},
	}
	for _, s := range steps {
		s.inject()
		before := bus.BusTime()
		got := make([]byte, 2)
		err := bus.Tx(8, send, got)
		if !errors.Is(err, s.err) {
			t.Fatalf("%s: error %v, want %v", s.name, err, s.err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "sim: address 0x08: ") {
				t.Errorf("%s: error %q", s.name, err)
			}
			if !bytes.Equal(got, []byte{0, 0}) {
				t.Errorf("%s: failed, yet read % x", s.name, got)
			}
		} else if !bytes.Equal(got, s.want) {
			t.Errorf("%s: read % x, want % x", s.name, got, s.want)
		}
		if errors.Is(s.err, sim.ErrTimeout) && bus.BusTime()-before != sim.Timeout {
			t.Errorf("%s: took %s of bus time, want %s", s.name, bus.BusTime()-before, sim.Timeout)
		}
		// The other chip suffers from nothing but a held line.
		if err := bus.Tx(9, send, nil); (err != nil) != errors.Is(s.err, sim.ErrTimeout) {
			t.Errorf("%s: the other chip: %v", s.name, err)
		}
	}
}

// Two chips that answer at once drive the same line: what is read is the AND.
func TestTwoChipsAtOnce(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	for addr := uint16(0x70); addr < 0x72; addr++ {
		mux := sim.NewPCA9548()
		bus.Attach(addr, mux)
		sensor := sim.NewTMP102()
		sensor.SetCelsius([]float64{29.5, 100}[addr-0x70]) // 1D80, 6400
		mux.Attach(0, 0x48, sensor)
		tx(t, bus, addr, []byte{1}, 0)
	}
	if got, want := tx(t, bus, 0x48, []byte{0}, 2), []byte{0x1D & 0x64, 0}; !bytes.Equal(got, want) {
		t.Errorf("read % x, want % x", got, want)
	}
	tx(t, bus, 0x71, []byte{0}, 0)
	if got, want := tx(t, bus, 0x48, []byte{0}, 2), []byte{0x1D, 0x80}; !bytes.Equal(got, want) {
		t.Errorf("read % x, want % x", got, want)
	}
}

func TestTrace(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	bus.Attach(8, &memory{})
	var log []string
	bus.Trace(func(addr uint16, w, r []byte, err error) {
		log = append(log, fmt.Sprintf("%02x w%x r%x %t", addr, w, r, err == nil))
	})
	tx(t, bus, 8, []byte{0xAB}, 1)
	if err := bus.Tx(9, []byte{1}, nil); !errors.Is(err, sim.ErrNACK) {
		t.Error(err)
	}
	bus.Trace(nil)
	tx(t, bus, 8, []byte{1}, 0)
	if got, want := strings.Join(log, "; "), "08 wab rab true; 09 w01 r false"; got != want {
		t.Errorf("trace %q, want %q", got, want)
	}
}

// A slow transaction takes the time the test asked for, the others wait for
// their turn, and the injectors wait for nobody.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := sim.NewBus("sim", fast)
		wire := bus.Attach(8, &memory{})
		start := time.Now()
		bus.SetDelay(time.Second)
		tx(t, bus, 8, []byte{1}, 0)
		if got := time.Since(start); got != time.Second {
			t.Errorf("took %s, want 1s", got)
		}

		// Two that wait an hour each are let go after a minute.
		bus.SetDelay(time.Hour)
		start = time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := bus.Tx(8, []byte{1}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Minute)
		wire.Flip([]byte{1}, 0)
		bus.Hold(false)
		bus.SetDelay(0)
		wg.Wait()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("let go after %s, want 1m", got)
		}
	})
}

// Injectors and transactions from many goroutines; the race detector judges.
func TestConcurrent(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	meter := sim.NewACS37800(sim.MainsBoard())
	sensor := sim.NewTMP102()
	wire := mux.Attach(0, 0x60, meter)
	mux.Attach(0, 0x48, sensor)
	expander, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	bus.Attach(0x20, expander)

	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 200 {
				r := make([]byte, 4)
				for _, addr := range []uint16{0x70, 0x60, 0x48, 0x20} {
					if err := bus.Tx(addr, []byte{1}, r); err != nil && !errors.Is(err, sim.ErrNACK) && !errors.Is(err, sim.ErrTimeout) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 200 {
			on := n&1 == 1
			meter.Set(220, float64(n), 1)
			meter.SetFlags(byte(n))
			meter.Freeze(on)
			sensor.SetCelsius(float64(n))
			sensor.Freeze(on)
			wire.Cut(on)
			wire.Float(on)
			wire.Flip([]byte{1}, 1)
			mux.Hold(0, on)
			bus.NACK(0x20, on)
			bus.Hold(on)
			mux.Reset()
			expander.SetPulls(uint16(n))
			_ = expander.Outputs()
			_ = bus.BusTime()
		}
	})
	wg.Wait()
	if got := bus.Transactions(); got != 3*200*4 {
		t.Errorf("%d transactions, want %d", got, 3*200*4)
	}
}

func TestMisuse(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	bus.Attach(8, &memory{})
	for name, f := range map[string]func(){
		"address taken":     func() { bus.Attach(8, &memory{}) },
		"address of 8 bits": func() { bus.Attach(0x80, &memory{}) },
		"port 8":            func() { sim.NewPCA9548().Attach(8, 1, &memory{}) },
		"no speed":          func() { sim.NewBus("sim", 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if err := bus.SetSpeed(6 * physic.MegaHertz); err == nil {
		t.Error("6 MHz: no error")
	}
	if got := bus.String(); got != "sim" {
		t.Errorf("String %q", got)
	}
}

func TestTxAllocates(t *testing.T) {
	bus := sim.NewBus("sim", fast)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Attach(0, 0x60, sim.NewACS37800(sim.MainsBoard()))
	tx(t, bus, 0x70, []byte{1}, 0)
	w, r := []byte{0x20}, make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		if err := bus.Tx(0x60, w, r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkTx(b *testing.B) {
	bus := sim.NewBus("sim", fast)
	bus.Attach(0x60, sim.NewACS37800(sim.MainsBoard()))
	w, r := []byte{0x20}, make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		if err := bus.Tx(0x60, w, r); err != nil {
			b.Fatal(err)
		}
	}
}
