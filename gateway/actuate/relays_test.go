package actuate_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/actuate"
)

var errBus = errors.New("not acknowledged")

// chip is an expander in memory.
type chip struct {
	mu       sync.Mutex
	latch    uint16
	outputs  bool // configured: pins drive
	fail     int  // the next calls that fail
	dead     bool
	stuck    uint16 // bits of the latch that never change
	inverted bool   // reads back inverted once
	log      []string
	wedge    chan struct{} // Set waits for it, when it is there
	entered  chan struct{} // Set says that it waits
}

func (c *chip) call(name string) error {
	c.log = append(c.log, name)
	if c.dead {
		return errBus
	}
	if c.fail > 0 {
		c.fail--
		return errBus
	}
	return nil
}

func (c *chip) Configure(latch uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("configure"); err != nil {
		return err
	}
	c.latch, c.outputs = c.latch&c.stuck|latch&^c.stuck, true
	return nil
}

func (c *chip) Check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("check"); err != nil {
		return err
	}
	if !c.outputs {
		return mcp23017.ErrReset
	}
	return nil
}

func (c *chip) Set(latch uint16) error {
	c.mu.Lock()
	wedge, entered := c.wedge, c.entered
	c.mu.Unlock()
	if wedge != nil {
		close(entered)
		<-wedge
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("set"); err != nil {
		return err
	}
	c.latch = c.latch&c.stuck | latch&^c.stuck
	return nil
}

func (c *chip) Latch() (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("latch"); err != nil {
		return 0, err
	}
	if c.inverted {
		c.inverted = false
		return ^c.latch, nil
	}
	return c.latch, nil
}

// closed is the outlets that the chip feeds, 1 and 2 active high on pins 0 and
// 1, 3 and 4 active low on pins 2 and 3.
func (c *chip) closed() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.outputs {
		return 0
	}
	return (c.latch ^ 0b1100) & 0b1111
}

// reset is a loss of the chip's supply.
func (c *chip) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latch, c.outputs = 0, false
}

func four(expander int) []actuate.Outlet {
	var o []actuate.Outlet
	for i := range 4 {
		o = append(o, actuate.Outlet{Number: 4*expander + i + 1, Pin: actuate.Pin{Expander: expander, Pin: i, ActiveLow: i >= 2}})
	}
	return o
}

func newRelays(tb testing.TB, chips ...*chip) *actuate.Relays {
	tb.Helper()
	opts := actuate.Options{Siren: &actuate.Pin{Pin: 14}, Lamp: &actuate.Pin{Pin: 15, ActiveLow: true}}
	for i, c := range chips {
		opts.Expanders = append(opts.Expanders, c)
		opts.Outlets = append(opts.Outlets, four(i)...)
	}
	r, err := actuate.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c := &chip{}
	tests := map[string]struct {
		opts actuate.Options
		want string
	}{
		"no outlets":    {actuate.Options{Expanders: []actuate.Expander{c}}, "outlets"},
		"no chip":       {actuate.Options{Outlets: four(0)}, "outlet 1: expander 0"},
		"pin 16":        {actuate.Options{Expanders: []actuate.Expander{c}, Outlets: []actuate.Outlet{{Number: 1, Pin: actuate.Pin{Pin: 16}}}}, "pin 16"},
		"outlet 0":      {actuate.Options{Expanders: []actuate.Expander{c}, Outlets: []actuate.Outlet{{}}}, "number 0"},
		"pin twice":     {actuate.Options{Expanders: []actuate.Expander{c}, Outlets: append(four(0), actuate.Outlet{Number: 9})}, "already used by outlet 1"},
		"outlet twice":  {actuate.Options{Expanders: []actuate.Expander{c}, Outlets: append(four(0), actuate.Outlet{Number: 1, Pin: actuate.Pin{Pin: 9}})}, "has a relay already"},
		"siren's pin":   {actuate.Options{Expanders: []actuate.Expander{c}, Outlets: four(0), Siren: &actuate.Pin{Pin: 1}}, "siren: pin 1"},
		"chip is empty": {actuate.Options{Expanders: []actuate.Expander{nil}, Outlets: four(0)}, "expanders[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := actuate.New(tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) || r != nil {
				t.Errorf("New: %v, want an error with %q and nothing else", err, tt.want)
			}
		})
	}
	if len(c.log) > 0 {
		t.Errorf("chip was touched: %v", c.log)
	}
}

// TestNewOpensEverything starts with chips that a dead process left closed.
func TestNewOpensEverything(t *testing.T) {
	t.Parallel()
	dead := &chip{latch: 0b0011, outputs: true, dead: true}
	live := &chip{latch: 0b0011, outputs: true}
	r := newRelays(t, dead, live)
	if live.closed() != 0 {
		t.Errorf("the chip that answers feeds %04b, want nothing", live.closed())
	}
	if live.log[0] != "configure" {
		t.Errorf("first call was %q, want the whole set-up of a chip in an unknown state", live.log[0])
	}
	for n := range 8 {
		if r.Closed(n + 1) {
			t.Errorf("outlet %d: closed after New", n+1)
		}
		if got := r.Fault(n+1) != nil; got != (n < 4) {
			t.Errorf("outlet %d: fault %v", n+1, r.Fault(n+1))
		}
	}
	if err := r.Close(1); !errors.Is(err, errBus) {
		t.Errorf("Close on a dead expander: %v, want its fault", err)
	}
	dead.dead = false
	if err := r.Verify(); err != nil {
		t.Errorf("Verify after the chip came back: %v", err)
	}
	if dead.closed() != 0 || r.Fault(1) != nil {
		t.Errorf("came back feeding %04b, fault %v; want nothing and nil", dead.closed(), r.Fault(1))
	}
}

func TestOpenClose(t *testing.T) {
	t.Parallel()
	c := &chip{}
	r := newRelays(t, c)
	for n := 1; n <= 4; n++ {
		if err := r.Close(n); err != nil {
			t.Fatal(err)
		}
		if want := uint16(1)<<n - 1; c.closed() != want || !r.Closed(n) {
			t.Fatalf("feeds %04b, want %04b", c.closed(), want)
		}
	}
	if err := r.Open(3); err != nil {
		t.Fatal(err)
	}
	if c.closed() != 0b1011 || r.Closed(3) {
		t.Errorf("feeds %04b, want 1011", c.closed())
	}
	for _, f := range []func(int) error{r.Open, r.Close, r.Fault} {
		if err := f(99); err == nil {
			t.Error("outlet 99: want an error")
		}
	}
}

func TestFailedWrites(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		hurt   func(c *chip)
		err    error
		closed uint16 // afterwards
	}{
		"one failed write":     {func(c *chip) { c.fail = 1 }, nil, 0b0010},
		"one wrong read":       {func(c *chip) { c.inverted = true }, nil, 0b0010},
		"dead":                 {func(c *chip) { c.dead = true }, errBus, 0b0011},
		"two failed writes":    {func(c *chip) { c.fail = 2 }, errBus, 0b0011},
		"latch bit is stuck":   {func(c *chip) { c.stuck = 1 }, actuate.ErrReadBack, 0b0011},
		"stuck the other way":  {func(c *chip) { c.stuck = 2 }, nil, 0b0010},
		"write lost, not read": {func(c *chip) { c.stuck = 0b1111 }, actuate.ErrReadBack, 0b0011},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &chip{}
			r := newRelays(t, c)
			if err := errors.Join(r.Close(1), r.Close(2)); err != nil {
				t.Fatal(err)
			}
			tt.hurt(c)
			err := r.Open(1)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("Open: %v, want %v", err, tt.err)
			}
			if c.closed() != tt.closed {
				t.Errorf("feeds %04b, want %04b", c.closed(), tt.closed)
			}
			if r.Closed(1) {
				t.Error("outlet 1 is commanded closed after Open")
			}
			if (r.Fault(1) != nil) != (tt.err != nil) {
				t.Errorf("Fault: %v", r.Fault(1))
			}
			// Whatever the fault was, once it is gone nothing comes back fed.
			if tt.err != nil {
				c.dead, c.fail, c.stuck = false, 0, 0
				if err := r.Verify(); err != nil {
					t.Errorf("Verify: %v", err)
				}
				if c.closed() != 0 || r.Closed(2) || r.Fault(1) != nil {
					t.Errorf("after recovery: feeds %04b, outlet 2 commanded closed: %v, fault %v", c.closed(), r.Closed(2), r.Fault(1))
				}
			}
		})
	}
}

func TestFailedCloseStaysOpen(t *testing.T) {
	t.Parallel()
	c := &chip{}
	r := newRelays(t, c)
	c.fail = 2
	if err := r.Close(1); !errors.Is(err, errBus) {
		t.Fatalf("Close: %v, want %v", err, errBus)
	}
	if r.Closed(1) || c.closed() != 0 {
		t.Errorf("feeds %04b after a failed close", c.closed())
	}
	if err := r.Close(1); err != nil || c.closed() != 1 {
		t.Errorf("Close again: %v, feeds %04b", err, c.closed())
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		hurt   func(c *chip)
		err    error
		closed uint16
	}{
		"nothing":             {func(*chip) {}, nil, 0b0101},
		"chip lost its power": {(*chip).reset, actuate.ErrReset, 0},
		"one disturbed check": {func(c *chip) { c.fail = 1 }, nil, 0b0101},
		"opened by another":   {func(c *chip) { c.latch = 0b1100 }, actuate.ErrAltered, 0},
		"one opened":          {func(c *chip) { c.latch ^= 1 }, actuate.ErrAltered, 0b0100},
		"one closed":          {func(c *chip) { c.latch ^= 2 }, actuate.ErrAltered, 0b0101},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, other := &chip{}, &chip{}
			r := newRelays(t, c, other)
			if err := errors.Join(r.Close(1), r.Close(3), r.Close(5)); err != nil {
				t.Fatal(err)
			}
			tt.hurt(c)
			if err := r.Verify(); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("Verify: %v, want %v", err, tt.err)
			}
			for range 2 { // and it stays so
				var commanded uint16
				for n := range 4 {
					if r.Closed(n + 1) {
						commanded |= 1 << n
					}
				}
				if c.closed() != tt.closed || commanded != tt.closed {
					t.Errorf("feeds %04b, commanded %04b, want %04b", c.closed(), commanded, tt.closed)
				}
				if err := r.Verify(); err != nil {
					t.Errorf("Verify again: %v", err)
				}
			}
			if other.closed() != 1 {
				t.Errorf("the other expander feeds %04b, want 0001", other.closed())
			}
		})
	}
}

func TestOpenAllIsForGood(t *testing.T) {
	t.Parallel()
	c, dead := &chip{}, &chip{}
	r := newRelays(t, c, dead)
	if err := errors.Join(r.Close(1), r.Close(4), r.Close(5), r.Siren(true)); err != nil {
		t.Fatal(err)
	}
	dead.dead = true
	if err := r.OpenAll(); !errors.Is(err, errBus) {
		t.Errorf("OpenAll: %v, want the error of the dead expander", err)
	}
	if c.closed() != 0 {
		t.Errorf("feeds %04b", c.closed())
	}
	if c.latch&(1<<14) == 0 {
		t.Error("the siren was silenced")
	}
	if err := r.Close(1); !errors.Is(err, actuate.ErrSealed) {
		t.Errorf("Close after OpenAll: %v, want ErrSealed", err)
	}
	dead.dead = false
	if err := r.OpenAll(); err != nil || dead.closed() != 0 {
		t.Errorf("OpenAll again: %v, feeds %04b", err, dead.closed())
	}
}

// TestWedgedCloseIsOvertaken wants a Close that hung in its transaction while
// everything was opened to leave the outlet open when it comes back.
func TestWedgedCloseIsOvertaken(t *testing.T) {
	t.Parallel()
	c := &chip{}
	r := newRelays(t, c)
	c.wedge, c.entered = make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var closeErr, openErr error
	wg.Go(func() { closeErr = r.Close(1) })
	<-c.entered
	c.mu.Lock()
	wedge := c.wedge
	c.wedge = nil
	c.mu.Unlock()
	wg.Go(func() { openErr = r.OpenAll() })
	for r.Closed(1) { // until OpenAll has begun
		runtime.Gosched()
	}
	close(wedge)
	wg.Wait()
	if openErr != nil || !errors.Is(closeErr, actuate.ErrSealed) {
		t.Errorf("OpenAll: %v, want nil; Close: %v, want ErrSealed", openErr, closeErr)
	}
	if c.closed() != 0 || r.Closed(1) {
		t.Errorf("feeds %04b, commanded closed: %v", c.closed(), r.Closed(1))
	}
}

// TestConcurrent opens and closes from many goroutines; the last wish must be
// what the chip shows.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := &chip{}
	r := newRelays(t, c)
	var wg sync.WaitGroup
	for n := 1; n <= 4; n++ {
		wg.Go(func() {
			for range 200 {
				if err := errors.Join(r.Close(n), r.Open(n), r.Close(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 200 {
			if err := errors.Join(r.Verify(), r.Siren(i%2 == 0)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if c.closed() != 0b1111 {
		t.Errorf("feeds %04b, want 1111", c.closed())
	}
}

// TestLaws drives a chip that fails at random. An outlet is never fed unless
// it was closed since it was last opened or lost.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &chip{latch: rapid.Uint16().Draw(t, "latch"), outputs: rapid.Bool().Draw(t, "outputs")}
		r, err := actuate.New(actuate.Options{Expanders: []actuate.Expander{c}, Outlets: four(0)})
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := rapid.IntRange(1, 4).Draw(t, "outlet")
			c.fail = rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 5}).Draw(t, "fail")
			var err error
			what := rapid.SampledFrom([]string{"open", "close", "verify", "reset", "alter"}).Draw(t, "what")
			switch what {
			case "open":
				err = r.Open(n)
			case "close":
				err = r.Close(n)
				if err == nil && (c.closed()>>(n-1)&1 == 0 || !r.Closed(n)) {
					t.Fatalf("close %d: no error, and it is open", n)
				}
			case "verify":
				err = r.Verify()
			case "reset":
				c.reset()
			case "alter":
				c.latch = rapid.Uint16().Draw(t, "altered")
				continue
			}
			var commanded uint16
			for n := range 4 {
				if r.Closed(n + 1) {
					commanded |= 1 << n
				}
			}
			if what != "reset" && err == nil && r.Fault(1) == nil && what == "open" && c.closed()>>(n-1)&1 == 1 {
				t.Fatalf("open %d: no error, and it is fed", n)
			}
			if r.Fault(1) != nil && commanded != 0 {
				t.Fatalf("the chip is lost and %04b are commanded closed", commanded)
			}
		}
		c.fail = 0
		for range 3 {
			_ = r.Verify() // tells what it found
		}
		for n := range 4 {
			if fed := c.closed()>>n&1 == 1; fed != r.Closed(n+1) {
				t.Fatalf("outlet %d: fed %v, commanded %v", n+1, fed, r.Closed(n+1))
			}
		}
		if err := r.OpenAll(); err != nil || c.closed() != 0 {
			t.Fatalf("OpenAll: %v, feeds %04b", err, c.closed())
		}
	})
}

// TestOnSimulatedChip drives the real driver on the simulated chip: outlets
// that a dead process left closed, a loss of supply in mid-run, and no
// allocation.
func TestOnSimulatedChip(t *testing.T) {
	bus := sim.NewBus("relays", 400*physic.KiloHertz)
	model, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	bus.Attach(0x20, model)
	dev, err := mcp23017.New(bus, mcp23017.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Set(0xFFFF); err != nil { // the dead process
		t.Fatal(err)
	}
	var outlets []actuate.Outlet
	for i := range 12 {
		outlets = append(outlets, actuate.Outlet{Number: i + 1, Pin: actuate.Pin{Pin: i}})
	}
	r, err := actuate.New(actuate.Options{Expanders: []actuate.Expander{dev}, Outlets: outlets})
	if err != nil {
		t.Fatal(err)
	}
	if model.Outputs() != 0 {
		t.Fatalf("outputs %#04x after New, want none", model.Outputs())
	}
	if err := errors.Join(r.Close(1), r.Close(12)); err != nil || model.Outputs() != 0x0801 {
		t.Fatalf("outputs %#04x, %v; want 0x0801", model.Outputs(), err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Close(3), r.Open(3) }); n != 0 {
		t.Errorf("%g allocations for closing and opening, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Verify() }); n != 0 {
		t.Errorf("%g allocations for verifying, want none", n)
	}
	model.Reset()
	if err := r.Verify(); !errors.Is(err, actuate.ErrReset) || !errors.Is(err, mcp23017.ErrReset) {
		t.Errorf("Verify: %v, want ErrReset", err)
	}
	if model.Outputs() != 0 || r.Closed(1) {
		t.Errorf("outputs %#04x, outlet 1 commanded closed %v; want all open", model.Outputs(), r.Closed(1))
	}
	if err := r.Close(1); err != nil || model.Outputs() != 1 {
		t.Errorf("Close: %v, outputs %#04x; want 0x0001", err, model.Outputs())
	}
	bus.Hold(true)
	if err := r.OpenAll(); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("OpenAll on a stuck bus: %v, want its error", err)
	}
	bus.Hold(false)
	if err := r.OpenAll(); err != nil || model.Outputs() != 0 {
		t.Errorf("OpenAll: %v, outputs %#04x", err, model.Outputs())
	}
}
