package guard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	chips "github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/sim"
)

// wires is a bus whose transactions take the time that they would on wires. In
// a bubble of synctest that time passes at once, and every deadline is exact.
type wires struct {
	*chips.Bus
	turn chan struct{} // held by the transaction under way; waiting for it is durable
	past time.Duration
}

func (w *wires) Tx(addr uint16, out, in []byte) error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	err := w.Bus.Tx(addr, out, in)
	now := w.BusTime()
	time.Sleep(now - w.past)
	w.past = now
	return err
}

func (w *wires) SetSpeed(f physic.Frequency) error { return w.Bus.SetSpeed(f) }

// edge is the whole edge from the chips' registers to the relays' contacts: the
// guard on the simulated shed, wired by the configuration of that shed.
type edge struct {
	*sim.Shed
	guard *guard.Guard
	stop  func() error

	mu      sync.Mutex // guards all below
	alarms  map[string]map[shedguard.Cause]bool
	told    map[string]string                  // Err by subject
	samples map[int][]time.Time                // of fresh readings, by outlet
	worst   map[int]shedguard.Quality          // since the last clear
	ever    map[string]map[shedguard.Cause]int // how often each was raised
	ops     []guard.Operation                  // of the outlet of the fault
	expired error
}

// faulty is the outlet whose chips are broken, neighbour one behind the same
// mux, and far one behind the other.
const (
	faulty    = 3
	neighbour = 2
	far       = 9
)

func newEdge(t *testing.T) *edge {
	t.Helper()
	text, err := sim.Config(sim.Settings{Shed: "S", Broker: "mqtt://127.0.0.1:1", Status: "127.0.0.1:0", Dir: "/nowhere", Profile: "outlet-10a"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	shed, err := sim.New(sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{
		Shed: shed, alarms: map[string]map[shedguard.Cause]bool{}, told: map[string]string{}, samples: map[int][]time.Time{},
		worst: map[int]shedguard.Quality{}, ever: map[string]map[shedguard.Cause]int{},
	}
	bus := &wires{Bus: shed.Bus, turn: make(chan struct{}, 1)}
	wired, err := board.New(cfg, map[string]i2c.Bus{sim.BusName: bus}, &board.Recovery{
		Reopen: func(string) error { return nil },
		Resets: map[string]board.Line{sim.ResetLine: shed.MuxReset()},
	})
	if err != nil {
		t.Fatal(err)
	}
	opts := guard.Options{
		Stagger: cfg.Actuate.Stagger, ChangeQueue: 4096, SampleQueue: 4096,
		NewID: func() string { return "01JD0000000000000000000000" },
	}
	if opts.Relays, err = actuate.New(wired.Relays()); err != nil {
		t.Fatal(err)
	}
	for _, p := range wired.Polls() {
		l, err := poll.New(p)
		if err != nil {
			t.Fatal(err)
		}
		opts.Lines = append(opts.Lines, l)
	}
	if opts.Enable, err = actuate.NewEnable(shed); err != nil {
		t.Fatal(err)
	}
	if opts.Deadline, err = actuate.NewDeadline(actuate.DeadlineOptions{
		Limit: actuate.DeadlineLimit, Enable: opts.Enable, Relays: opts.Relays, Expired: func(err error) { e.mu.Lock(); e.expired = err; e.mu.Unlock() },
	}); err != nil {
		t.Fatal(err)
	}
	for i := range cfg.Outlets {
		o := &cfg.Outlets[i]
		opts.Outlets = append(opts.Outlets, guard.Outlet{Number: o.Number, Limits: o.ProtectLimits(), Session: o.SessionSettings(), Charge: o.ChargeSettings(), RatedWatts: o.RatedWatts(), Heat: 0})
	}
	if e.guard, err = guard.New(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var gerr, derr error
	all.Go(func() { derr = opts.Deadline.Run(ctx) })
	all.Go(func() { gerr = e.guard.Run(ctx) })
	all.Go(func() {
		if err := shed.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() { e.listen(ctx) })
	e.stop = sync.OnceValue(func() error {
		cancel()
		all.Wait()
		return errors.Join(gerr, derr)
	})
	t.Cleanup(func() { _ = e.stop() }) // the tests that pass have looked at it
	return e
}

// listen keeps the levels that the guard tells, as the alarm book does.
func (e *edge) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-e.guard.Changes():
			e.mu.Lock()
			e.change(&c)
			e.mu.Unlock()
		case s := <-e.guard.Samples():
			e.mu.Lock()
			n := s.Reading.Outlet
			e.worst[n] = max(e.worst[n], s.Reading.Quality)
			if s.Fresh {
				e.samples[n] = append(e.samples[n], s.Reading.At)
			}
			e.mu.Unlock()
		}
	}
}

func (e *edge) change(c *guard.Change) {
	now := map[shedguard.Cause]bool{}
	for _, d := range c.Decisions {
		now[d.Cause] = true
		if !e.alarms[c.Subject][d.Cause] {
			if e.ever[c.Subject] == nil {
				e.ever[c.Subject] = map[shedguard.Cause]int{}
			}
			e.ever[c.Subject][d.Cause]++
		}
	}
	if c.Judged || len(now) > 0 {
		e.alarms[c.Subject] = now
	}
	e.told[c.Subject] = ""
	if c.Err != nil {
		e.told[c.Subject] = c.Err.Error()
	}
	if c.Outlet == faulty {
		e.ops = append(e.ops, c.Operations...)
	}
}

// forget begins the time of the fault.
func (e *edge) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.ever)
	clear(e.worst)
	clear(e.samples)
	e.ops = nil
}

// standing lists the causes that are told of a subject.
func (e *edge) standing(subject string) []shedguard.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	var causes []shedguard.Cause
	for cause := range e.alarms[subject] {
		causes = append(causes, cause)
	}
	slices.Sort(causes)
	return causes
}

func (e *edge) raised(subject string) []shedguard.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	var causes []shedguard.Cause
	for cause := range e.ever[subject] {
		causes = append(causes, cause)
	}
	slices.Sort(causes)
	return causes
}

// await waits until ok, and reports how long it took; it gives up after d.
func await(d time.Duration, ok func() bool) (took time.Duration, within bool) {
	start := time.Now()
	for time.Since(start) < d {
		if ok() {
			return time.Since(start), true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return d, ok()
}

// fate is what must become of a fault.
type fate struct {
	inject, heal func(*edge, sim.Wiring)
	// causes are what is told of the outlet, by the book's rules; bus of the bus.
	// None: nobody is told, it is one reading.
	causes []shedguard.Cause
	bus    bool
	within time.Duration // until the outlet is open, or the reading is told
	opens  bool          // the outlet loses power
	// others says who else loses power: nobody, those behind the same mux, or all.
	others scope
	// latched: only a person's reset clears it. Else it clears by itself, and the
	// outlet is fed again.
	latched bool
	quality shedguard.Quality // the worst that a reading of the outlet gets
	// more is what else must hold while the fault stands.
	more func(*testing.T, *edge, sim.Wiring)
}

type scope int

const (
	alone scope = iota
	sameMux
	everybody
)

func fates() map[string]fate {
	stale := []shedguard.Cause{shedguard.CauseMeterStale}
	nonsense := []shedguard.Cause{shedguard.CauseMeterImplausible}
	return map[string]fate{
		"nack": {
			inject: func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.FirstMeter, true) },
			heal:   func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.FirstMeter, false) },
			causes: stale, opens: true, within: 4 * time.Second, others: sameMux, quality: shedguard.QualityStale,
		},
		"cut": {
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Cut(true) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.Cut(false) },
			causes: stale, opens: true, within: 4 * time.Second, quality: shedguard.QualityStale,
		},
		"float": {
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Float(true) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.Float(false) },
			causes: stale, opens: true, within: 4 * time.Second, quality: shedguard.QualityStale,
		},
		"brown_out": {
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.BrownOut(true); w.ProbeWire.BrownOut(true) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.BrownOut(false); w.ProbeWire.BrownOut(false) },
			causes: stale, opens: true, within: 4 * time.Second, quality: shedguard.QualityStale,
		},
		"frozen_registers": {
			inject: func(_ *edge, w sim.Wiring) { w.Meter.Freeze(true) },
			heal:   func(_ *edge, w sim.Wiring) { w.Meter.Freeze(false) },
			causes: nonsense, opens: true, within: 9 * time.Second, quality: shedguard.QualityFault,
		},
		"frozen_at_rest": {
			inject: func(e *edge, w sim.Wiring) {
				e.Plug(faulty, nil)
				time.Sleep(time.Minute) // the session ends
				w.Meter.Freeze(true)
				time.Sleep(45 * time.Second)
				e.Plug(faulty, &sim.Resistor{Ohms: 10}) // 22 A that nobody sees
			},
			heal: func(e *edge, w sim.Wiring) {
				e.Plug(faulty, charger())
				w.Meter.Freeze(false)
			},
			causes: nonsense, opens: true, within: 20 * time.Second, quality: shedguard.QualityFault,
		},
		"bit_flip": { // the topmost bit of the current, once: a short circuit of one conversion
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Flip([]byte{0, 0, 0, 0xE0}, 1) },
			heal:   func(*edge, sim.Wiring) {},
			within: time.Second, quality: shedguard.QualityGood,
		},
		"bit_flip_of_the_power": { // a jump of more than 500 W in one sample
			inject: func(_ *edge, w sim.Wiring) {
				w.MeterWire.Flip([]byte{0, 0x40}, 2) // two registers: the second is the power
			},
			heal:   func(*edge, sim.Wiring) {},
			within: time.Second, quality: shedguard.QualitySuspect,
		},
		"bit_flips_for_good": { // what looks like a short circuit is one, and one that flows on
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Flip([]byte{0, 0, 0, 0xE0}, 1<<30) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.Flip(nil, 0) },
			causes: []shedguard.Cause{shedguard.CauseRelayWelded, shedguard.CauseShortCircuit}, opens: true, within: time.Second, latched: true, quality: shedguard.QualityGood,
		},
		"power_on_reset": { // registers are zero until the next window
			inject: func(_ *edge, w sim.Wiring) { w.Meter.Reset() },
			heal:   func(*edge, sim.Wiring) {},
			within: time.Second, quality: shedguard.QualityGood,
		},
		"slow_chip": {
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Stretch(10 * time.Millisecond) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.Stretch(0) },
			within: time.Second, quality: shedguard.QualityGood,
		},
		"chip_that_holds_the_clock": {
			inject: func(_ *edge, w sim.Wiring) { w.MeterWire.Stretch(chips.Timeout) },
			heal:   func(_ *edge, w sim.Wiring) { w.MeterWire.Stretch(0) },
			causes: stale, opens: true, within: 4 * time.Second, quality: shedguard.QualityStale,
		},
		"thermometer_cut": {
			inject: func(_ *edge, w sim.Wiring) { w.ProbeWire.Cut(true) },
			heal:   func(_ *edge, w sim.Wiring) { w.ProbeWire.Cut(false) },
			causes: stale, opens: true, within: 12 * time.Second, quality: shedguard.QualityGood,
		},
		"thermometer_power_on_reset": { // the limits of its alert pin are written again
			inject: func(_ *edge, w sim.Wiring) { w.Probe.Reset() },
			heal:   func(*edge, sim.Wiring) {},
			within: 12 * time.Second, quality: shedguard.QualityGood,
			more: func(t *testing.T, _ *edge, w sim.Wiring) {
				w.Probe.SetCelsius(70)
				if !w.Probe.Alert() {
					t.Error("the alert pin has lost its limit")
				}
			},
		},
		"mux_stuck": { // a line behind the port of the outlet is held low
			inject: func(_ *edge, w sim.Wiring) { w.Mux.Hold(w.Port, true) },
			heal:   func(_ *edge, w sim.Wiring) { w.Mux.Hold(w.Port, false) },
			causes: stale, bus: true, opens: true, within: 5 * time.Second, quality: shedguard.QualityStale,
			more: func(t *testing.T, e *edge, _ sim.Wiring) {
				e.mu.Lock()
				defer e.mu.Unlock()
				if text := e.told["bus/sim"]; !strings.Contains(text, "of outlet 3 was read") || !strings.Contains(text, "freed by: reset the muxes") {
					t.Errorf("the bus says %q", text)
				}
			},
		},
		"mux_power_on_reset": { // no port is joined any more, and the driver does not know
			inject: func(_ *edge, w sim.Wiring) { w.Mux.Reset() },
			heal:   func(*edge, sim.Wiring) {},
			within: time.Second, quality: shedguard.QualityGood,
		},
		"mux_nack": {
			inject: func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.FirstMux, true) },
			heal:   func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.FirstMux, false) },
			causes: stale, opens: true, within: 4 * time.Second, others: sameMux, quality: shedguard.QualityStale,
		},
		"bus_held_low": { // the relays are on it, too: the enable line opens them
			inject: func(e *edge, _ sim.Wiring) { e.Bus.Hold(true) },
			heal:   func(e *edge, _ sim.Wiring) { e.Bus.Hold(false) },
			causes: []shedguard.Cause{shedguard.CauseMeterStale, shedguard.CauseRelayFailed}, bus: true, opens: true, within: 7 * time.Second, others: everybody, quality: shedguard.QualityStale,
			more: func(t *testing.T, e *edge, _ sim.Wiring) {
				e.mu.Lock()
				defer e.mu.Unlock()
				for _, want := range []string{"no chip answers", "open the bus again", "reset the muxes", "deselect the muxes", "given up"} {
					if text := e.told["bus/sim"]; !strings.Contains(text, want) {
						t.Errorf("the bus says %q, and not %q", text, want)
					}
				}
			},
		},
		"slow_bus": { // 2 ms more for every transaction: later, but not stale
			inject: func(e *edge, _ sim.Wiring) { e.Bus.SetDelay(2 * time.Millisecond) },
			heal:   func(e *edge, _ sim.Wiring) { e.Bus.SetDelay(0) },
			within: time.Second, quality: shedguard.QualityGood,
		},
		"expander_reset": { // outputs are lost: what was fed is suspended
			inject: func(e *edge, _ sim.Wiring) { e.Expander.Reset() },
			heal:   func(*edge, sim.Wiring) {},
			opens:  true, within: 2 * time.Second, others: everybody, quality: shedguard.QualityGood,
		},
		// Nothing can be switched. What is fed flows on although it was told to
		// open: for the rules a welded relay, and the enable line opens all.
		"expander_nack": {
			inject: func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.RelayAddress, true) },
			heal:   func(e *edge, _ sim.Wiring) { e.Bus.NACK(sim.RelayAddress, false) },
			causes: []shedguard.Cause{shedguard.CauseRelayFailed, shedguard.CauseRelayWelded}, within: 6 * time.Second,
			opens: true, others: everybody, latched: true, quality: shedguard.QualityGood,
		},
	}
}

func charger() *sim.Charger {
	return &sim.Charger{Watts: 400, PowerFactor: 0.95, ConstantFor: 1000 * time.Hour, Taper: time.Hour, Trickle: 4}
}

// TestFate breaks the simulated shed in every way that the chips' models know,
// and wants the outcome that DESIGN.md's fate table says.
func TestFate(t *testing.T) {
	t.Parallel()
	for name, f := range fates() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { meet(t, f) })
		})
	}
}

// meet lets a fate happen to a shed that charges.
func meet(t *testing.T, f fate) {
	e := newEdge(t)
	w := e.Wiring(faulty)
	for n := 1; n <= sim.Outlets; n++ {
		e.Plug(n, charger())
	}
	fed := func(n int) bool { return e.Look(n).Fed }
	if _, ok := await(time.Minute, func() bool { return fed(1) && fed(faulty) && fed(far) && fed(12) }); !ok {
		t.Fatal("the shed was not fed within a minute")
	}
	time.Sleep(10 * time.Second)
	e.forget()
	subject := shedguard.OutletSubject(faulty)
	if was := e.standing(subject); len(was) > 0 {
		t.Fatalf("before the fault: %v", was)
	}

	f.inject(e, w)
	took, open := await(f.within, func() bool { return f.opens && !fed(faulty) })
	switch {
	case f.opens && !open:
		t.Fatalf("fed %s after the fault", took)
	case !f.opens && !fed(faulty):
		t.Fatal("opened")
	}
	time.Sleep(2 * time.Second)
	missing := slices.DeleteFunc(slices.Clone(f.causes), func(c shedguard.Cause) bool { return slices.Contains(e.raised(subject), c) })
	if len(missing) > 0 || len(f.causes) == 0 && len(e.raised(subject)) > 0 {
		t.Errorf("told %v, want %v", e.raised(subject), f.causes)
	}
	if got := len(e.raised("bus/"+sim.BusName)) > 0; got != f.bus {
		t.Errorf("bus_fault told: %v, want %v", got, f.bus)
	}
	e.mu.Lock()
	quality := e.worst[faulty]
	e.mu.Unlock()
	if quality != f.quality {
		t.Errorf("worst quality %s, want %s", quality, f.quality)
	}
	for n := range map[int]bool{neighbour: true, far: true} {
		lost := f.others == everybody || f.others == sameMux && n == neighbour
		if fed(n) == lost {
			t.Errorf("outlet %d: fed %v", n, fed(n))
		}
		if got := e.standing(shedguard.OutletSubject(n)); !lost && len(got) > 0 {
			t.Errorf("outlet %d: %v", n, got)
		}
	}
	if f.more != nil {
		f.more(t, e, w)
	}

	f.heal(e, w)
	if f.latched {
		time.Sleep(time.Minute)
		if got := e.standing(subject); fed(faulty) || len(got) == 0 {
			t.Errorf("a minute after the fault: fed %v, %v; want it latched", fed(faulty), got)
		}
		for n := 1; n <= sim.Outlets; n++ {
			if n != faulty && f.others == alone {
				continue
			}
			if err := e.guard.Order(t.Context(), guard.Order{Kind: shedguard.CommandResetTrip, Outlet: n, By: "test"}); err != nil {
				t.Errorf("reset of outlet %d: %v", n, err)
			}
		}
	}
	if _, ok := await(2*time.Minute, func() bool {
		return fed(faulty) && fed(neighbour) && fed(far) && len(e.standing(subject)) == 0 && len(e.standing("bus/"+sim.BusName)) == 0
	}); !ok {
		t.Errorf("two minutes later: fed %v, %v, %v; %v, bus %v", fed(faulty), fed(neighbour), fed(far), e.standing(subject), e.standing("bus/"+sim.BusName))
	}
	if err := e.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if e.expired != nil {
		t.Errorf("the guard stood still: %v", e.expired)
	}
}

// TestFateBusBlocks: a transaction that does not return misses the guard's
// deadline. The enable line stands still, and what fed is open.
func TestFateBusBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.Plug(faulty, charger())
		if _, ok := await(time.Minute, func() bool { return e.Look(faulty).Fed }); !ok {
			t.Fatal("not fed")
		}
		e.Bus.SetDelay(time.Hour)
		took, ok := await(10*time.Second, func() bool { return !e.Look(faulty).Fed })
		if !ok || took > actuate.DeadlineLimit+sim.EnableHold+time.Second {
			t.Errorf("open %v after %s", ok, took)
		}
		time.Sleep(time.Second)
		e.Bus.SetDelay(0)
		if err := e.stop(); err != nil && e.expired == nil {
			t.Errorf("end: %v", err)
		}
		if e.expired == nil {
			t.Error("the process was not told to end")
		}
	})
}

// TestSoundMetersKeepTheirTimes on the simulated bus, with the true drivers and
// the whole guard: one meter costs a time-out whenever it is tried, another one
// is slow.
func TestSoundMetersKeepTheirTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		time.Sleep(time.Minute)
		e.Wiring(faulty).MeterWire.Stretch(chips.Timeout)
		e.Wiring(8).MeterWire.Stretch(10 * time.Millisecond) // 30 ms a reading
		time.Sleep(10 * time.Second)
		e.forget()
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		var off []time.Duration
		for n := 1; n <= sim.Outlets; n++ {
			at := e.samples[n]
			switch n {
			case faulty:
				if len(at) > 0 {
					t.Errorf("%d readings of the dead meter", len(at))
				}
				continue
			case 8:
				if len(at) < 500 {
					t.Errorf("%d readings of the slow meter in a minute", len(at))
				}
				continue
			}
			if len(at) < 595 {
				t.Errorf("outlet %d: %d readings in a minute, want 600", n, len(at))
			}
			for i := 1; i < len(at); i++ {
				off = append(off, (at[i].Sub(at[i-1]) - 100*time.Millisecond).Abs())
			}
		}
		slices.Sort(off)
		p99 := off[len(off)*99/100]
		t.Logf("ten sound meters at 10 Hz on a 400 kHz bus: jitter p50 %s, p99 %s, max %s", off[len(off)/2], p99, off[len(off)-1])
		if p99 > 5*time.Millisecond {
			t.Errorf("p99 of the jitter is %s, want 5 ms or less", p99)
		}
	})
}
