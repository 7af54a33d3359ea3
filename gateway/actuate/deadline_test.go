package actuate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/shedguard/shedguard/gateway/actuate"
)

// pin is a line of the gateway.
type pin struct {
	mu     sync.Mutex
	level  gpio.Level
	edges  int
	err    error
	during func() // called while the line is written
}

func (p *pin) Out(l gpio.Level) error {
	if f := p.during; f != nil {
		p.during = nil
		f()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if l != p.level {
		p.edges++
	}
	p.level = l
	return nil
}

func TestEnable(t *testing.T) {
	t.Parallel()
	p := &pin{level: gpio.High}
	e, err := actuate.NewEnable(p)
	if err != nil {
		t.Fatal(err)
	}
	if p.level != gpio.Low {
		t.Error("line is high after NewEnable")
	}
	p.edges = 0
	for range 10 {
		if err := e.Toggle(); err != nil {
			t.Fatal(err)
		}
	}
	if p.edges != 10 {
		t.Errorf("%d edges after 10 toggles", p.edges)
	}
	p.err = errors.New("no such line")
	if err := e.Toggle(); !errors.Is(err, p.err) {
		t.Errorf("Toggle: %v, want %v", err, p.err)
	}
	p.err = nil
	// Dropped while a toggle drives the line high.
	if p.level == gpio.High {
		if err := e.Toggle(); err != nil {
			t.Fatal(err)
		}
	}
	p.during = func() {
		if err := e.Drop(); err != nil {
			t.Error(err)
		}
	}
	if err := e.Toggle(); err != nil || p.level != gpio.Low {
		t.Errorf("Toggle overtaken by Drop: %v, level %v; want low", err, p.level)
	}
	p.edges = 0
	if err := e.Toggle(); err != nil || p.edges != 0 {
		t.Errorf("Toggle after Drop: %v, %d edges", err, p.edges)
	}
	var none *actuate.Enable
	if err := errors.Join(none.Toggle(), none.Drop()); err != nil {
		t.Errorf("no enable line: %v", err)
	}
}

// watch runs a deadline and collects what it does.
type watch struct {
	*actuate.Deadline
	pin *pin

	mu      sync.Mutex // guards all below
	expired []error
	at      time.Time
}

func (w *watch) expire(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired, w.at = append(w.expired, err), time.Now()
}

func (w *watch) story() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.expired
}

func newWatch(t *testing.T, r *actuate.Relays) *watch {
	t.Helper()
	w := &watch{pin: &pin{}}
	e, err := actuate.NewEnable(w.pin)
	if err != nil {
		t.Fatal(err)
	}
	w.Deadline, err = actuate.NewDeadline(actuate.DeadlineOptions{
		Limit: actuate.DeadlineLimit, Enable: e, Relays: r,
		Expired: w.expire,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Toggle(); err != nil { // high, as a tick leaves it
		t.Fatal(err)
	}
	return w
}

func TestNewDeadlineRefuses(t *testing.T) {
	t.Parallel()
	r := newRelays(t, &chip{})
	for name, opts := range map[string]actuate.DeadlineOptions{
		"no limit":   {Relays: r, Expired: func(error) {}},
		"no relays":  {Limit: time.Second, Expired: func(error) {}},
		"no expired": {Limit: time.Second, Relays: r},
	} {
		if _, err := actuate.NewDeadline(opts); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestDeadlineKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &chip{}
		r := newRelays(t, c)
		if err := r.Close(1); err != nil {
			t.Fatal(err)
		}
		w := newWatch(t, r)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		for range 100 {
			time.Sleep(1999 * time.Millisecond)
			w.Kick()
		}
		cancel() // not the end of the watch
		time.Sleep(1999 * time.Millisecond)
		synctest.Wait()
		if len(w.story()) > 0 || c.closed() != 1 {
			t.Errorf("expired %v, feeds %04b; want a deadline that was kept", w.story(), c.closed())
		}
		w.Stop()
		w.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestDeadlineMissed(t *testing.T) {
	t.Parallel()
	for name, shutdown := range map[string]bool{"while it runs": false, "while it ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &chip{}
				r := newRelays(t, c)
				if err := r.Close(1); err != nil {
					t.Fatal(err)
				}
				w := newWatch(t, r)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				time.Sleep(time.Second)
				w.Kick()
				if shutdown {
					cancel()
				}
				last := time.Now()
				if err := <-done; !errors.Is(err, actuate.ErrDeadline) {
					t.Errorf("Run: %v, want ErrDeadline", err)
				}
				if d := w.at.Sub(last); len(w.expired) != 1 || d <= 2*time.Second || d > 2*time.Second+time.Millisecond {
					t.Errorf("expired %v after %s, want once after 2 s", w.expired, d)
				}
				if got := strings.Contains(w.expired[0].Error(), "while it ended"); got != shutdown {
					t.Errorf("Expired(%v)", w.expired[0])
				}
				if c.closed() != 0 || w.pin.level != gpio.Low {
					t.Errorf("feeds %04b, enable line %v; want all open and low", c.closed(), w.pin.level)
				}
			})
		})
	}
}

// TestDeadlineWhileWedged has the guard hang inside a transaction: on another
// bus, and on the relays' own.
func TestDeadlineWhileWedged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck, free := &chip{}, &chip{}
		r := newRelays(t, stuck, free)
		if err := errors.Join(r.Close(1), r.Close(5)); err != nil {
			t.Fatal(err)
		}
		w := newWatch(t, r)
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		stuck.wedge, stuck.entered = make(chan struct{}), make(chan struct{})
		guard := make(chan error, 1)
		go func() { guard <- r.Close(2) }()
		<-stuck.entered
		stuck.mu.Lock()
		wedge := stuck.wedge
		stuck.wedge = nil
		stuck.mu.Unlock()

		time.Sleep(3 * time.Second)
		synctest.Wait()
		if free.closed() != 0 {
			t.Errorf("the free expander feeds %04b, want nothing", free.closed())
		}
		w.pin.mu.Lock()
		if w.pin.level != gpio.Low {
			t.Error("the enable line is high")
		}
		w.pin.mu.Unlock()
		if got := w.story(); len(got) != 1 || !strings.Contains(got[0].Error(), "did not return") {
			t.Errorf("expired %v, want once, telling of the bus", got)
		}
		close(wedge) // had the process lived on
		if err := <-guard; !errors.Is(err, actuate.ErrSealed) {
			t.Errorf("Close: %v, want ErrSealed", err)
		}
		if err := <-done; !errors.Is(err, actuate.ErrDeadline) {
			t.Errorf("Run: %v, want ErrDeadline", err)
		}
		if stuck.closed() != 0 {
			t.Errorf("the expander that hung feeds %04b, want nothing", stuck.closed())
		}
	})
}
