package guard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

const (
	every    = 100 * time.Millisecond
	sirenPin = 14
)

var errDead = errors.New("not acknowledged")

func limits() *protect.Limits {
	return &protect.Limits{
		RatingAmps:      10,
		ShortCircuit:    protect.ShortCircuit{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, TimesRating: 3, Span: 100 * time.Millisecond},
		Overcurrent:     protect.Overcurrent{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, PickUp: 1.05, Heating: 120 * time.Second, Cooling: 360 * time.Second, ResetHeat: 0.9},
		Overpower:       protect.Overpower{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, LimitWatts: 2500, Delay: 3 * time.Second},
		OverTemperature: protect.OverTemperature{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, LimitCelsius: 65, ResetCelsius: 55, Delay: 2 * time.Second, Stale: 5 * time.Second},
		MeterStale:      protect.MeterStale{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActSuspend}, Limit: 3 * time.Second},
		RelayWelded:     protect.RelayWelded{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitAmps: 0.1, Delay: time.Second},
	}
}

// curve is how charges are judged: as the shipped profiles have it.
func curve() *charge.Settings {
	rule := func(s shedguard.Severity, a protect.Act) protect.Rule {
		return protect.Rule{Enabled: true, Severity: s, Act: a}
	}
	return &charge.Settings{
		EmptyWatts: 0.4, StandbyWatts: 2, IdleWatts: 20, KneeShare: 0.05, Settle: 10 * time.Minute, MaxGap: 3 * time.Second,
		Full: charge.Full{
			JudgeWatts: 45, Watts: 30, After: time.Hour, ChangeWatts: 6, Share: 0.1, ShareAfter: 20 * time.Minute, IdleAfter: time.Hour,
		},
		TooLong:      charge.TooLong{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Limit: 10 * time.Hour},
		FloatTooHigh: charge.FloatTooHigh{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), LimitWatts: 30, LimitShare: 0.25, FallShare: 0.03, After: time.Hour},
		Unstable: charge.Unstable{
			Rule: rule(shedguard.SeverityMinor, protect.ActTrip), LateRiseShare: 0.1, RiseShare: 0.5, StepShare: 0.3,
			SwingShare: 0.15, Swings: 8, Window: 10 * time.Minute,
		},
		Envelope: charge.Envelope{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Charges: 5, Factor: 3},
		Frozen:   charge.Frozen{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), Limit: 15 * time.Minute},
	}
}

func settings() *session.Settings {
	return &session.Settings{
		StartBy: session.StartPlug, LoadWatts: 20, LoadAfter: 2 * time.Second, NoLoadWatts: 10, NoLoadAfter: 10 * time.Second,
		StartWithin: 5 * time.Minute, SelfCheck: 2 * time.Second, ResumeAfter: 10 * time.Second, ResumesPerHour: 3,
		MaxWh: 5000, MaxMinutes: 720, MaxWatts: 2500, WattsDelay: 10 * time.Second, MaxGap: 5 * time.Second,
	}
}

// socket is an outlet's meter and what is plugged in: its current flows while
// the relay is closed, or welded.
type socket struct {
	shed   *shed
	number int

	mu     sync.Mutex // guards all below
	amps   float64
	welded bool
	err    error
	panics bool
	wedge  chan struct{}
}

func (s *socket) set(f func(*socket)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *socket) Read(r *shedguard.Reading) error {
	s.mu.Lock()
	amps, welded, err, wedge := s.amps, s.welded, s.err, s.wedge
	if s.panics {
		s.mu.Unlock()
		panic("index out of range")
	}
	s.mu.Unlock()
	if wedge != nil {
		<-wedge
	}
	s.shed.once.Do(func() { s.shed.firstRead = fmt.Sprintf("outputs %#04x", s.shed.chip.Outputs()) })
	if err != nil {
		return err
	}
	if !welded && !s.shed.closed(s.number) {
		amps = 0
	}
	r.Volts, r.Amps, r.Watts, r.PowerFactor = 220, amps, 220*amps, 1
	r.Raw[0]++
	return nil
}

// shed is a whole guard on a simulated expander.
type shed struct {
	bus       *sim.Bus
	chip      *sim.MCP23017
	wire      *sim.Wire
	sockets   []*socket
	relays    *actuate.Relays
	guard     *guard.Guard
	once      sync.Once
	firstRead string // what the outputs were then
	line      *edges
	deadline  *actuate.Deadline
	expired   chan error
}

// edges is an enable line.
type edges struct {
	mu sync.Mutex
	n  int
	l  gpio.Level
}

func (e *edges) Out(l gpio.Level) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l != e.l {
		e.n++
	}
	e.l = l
	return nil
}

func (e *edges) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

func (s *shed) closed(n int) bool { return s.chip.Outputs()>>(n-1)&1 == 1 }
func (s *shed) siren() bool       { return s.chip.Outputs()>>sirenPin&1 == 1 }

// newShed is a shed of n outlets on two lines whose expander was left with all
// outputs on.
func newShed(tb testing.TB, n int, edit func(*guard.Options)) *shed {
	tb.Helper()
	s, err := build(n, edit)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func build(n int, edit func(*guard.Options)) (*shed, error) {
	s := &shed{bus: sim.NewBus("relays", 400*physic.KiloHertz), line: &edges{}, expired: make(chan error, 1)}
	var err error
	if s.chip, err = sim.NewMCP23017(nil); err != nil {
		return nil, err
	}
	s.wire = s.bus.Attach(0x20, s.chip)
	dev, err := mcp23017.New(s.bus, mcp23017.DefaultOpts())
	if err != nil {
		return nil, err
	}
	if err := dev.Set(0xFFFF); err != nil {
		return nil, err
	}
	opts := guard.Options{Stagger: 2 * time.Second, ChangeQueue: 4096, SampleQueue: 16, NewID: func() string { return "01JD0000000000000000000000" }}
	var pins []actuate.Outlet
	points := make([][]poll.Point, 2)
	for i := range n {
		o := &socket{shed: s, number: i + 1}
		s.sockets = append(s.sockets, o)
		pins = append(pins, actuate.Outlet{Number: i + 1, Pin: actuate.Pin{Pin: i}})
		points[i%2] = append(points[i%2], poll.Point{Outlet: i + 1, Meter: o, Every: every})
		opts.Outlets = append(opts.Outlets, guard.Outlet{Number: i + 1, Limits: limits(), Session: settings(), Charge: curve()})
	}
	for i, p := range points {
		if len(p) == 0 {
			continue
		}
		l, err := poll.New(poll.Options{Name: []string{"main", "second"}[i], Points: p})
		if err != nil {
			return nil, err
		}
		opts.Lines = append(opts.Lines, l)
	}
	if opts.Enable, err = actuate.NewEnable(s.line); err != nil {
		return nil, err
	}
	opts.Relays, err = actuate.New(actuate.Options{Expanders: []actuate.Expander{dev}, Outlets: pins, Siren: &actuate.Pin{Pin: sirenPin}, Lamp: &actuate.Pin{Pin: sirenPin + 1}})
	if err != nil {
		return nil, err
	}
	s.relays = opts.Relays
	if opts.Deadline, err = actuate.NewDeadline(actuate.DeadlineOptions{
		Limit: actuate.DeadlineLimit, Enable: opts.Enable, Relays: opts.Relays, Expired: func(err error) { s.expired <- err },
	}); err != nil {
		return nil, err
	}
	s.deadline = opts.Deadline
	if edit != nil {
		edit(&opts)
	}
	s.guard, err = guard.New(opts)
	return s, err
}

// run runs the guard and its deadline; the returned function ends them.
func (s *shed) run(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, watched := make(chan error, 1), make(chan error, 1)
	go func() { watched <- s.deadline.Run(ctx) }()
	go func() { done <- s.guard.Run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-done, <-watched)
	}
}

func (s *shed) view(n int) guard.OutletView { return s.guard.Snapshot()[n-1] }

// changes takes what is in the queue.
func (s *shed) changes() []guard.Change {
	var all []guard.Change
	for {
		select {
		case c := <-s.guard.Changes():
			all = append(all, c)
		default:
			return all
		}
	}
}

func decided(changes []guard.Change, subject string, cause shedguard.Cause) *protect.Decision {
	for i := range slices.Backward(changes) {
		for j := range changes[i].Decisions {
			if d := &changes[i].Decisions[j]; changes[i].Subject == subject && d.Cause == cause {
				return d
			}
		}
	}
	return nil
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		edit func(*guard.Options)
		want string
	}{
		"no lines":          {func(o *guard.Options) { o.Lines = nil }, "lines: 0"},
		"no relays":         {func(o *guard.Options) { o.Relays = nil }, "relays: required"},
		"no ids":            {func(o *guard.Options) { o.NewID = nil }, "new id"},
		"no limits":         {func(o *guard.Options) { o.Outlets[0].Limits = nil }, "outlet 1: limits"},
		"bad limits":        {func(o *guard.Options) { o.Outlets[1].Limits.RatingAmps = 0 }, "outlet 2: rating_amps"},
		"outlet twice":      {func(o *guard.Options) { o.Outlets[1].Number = 1 }, "outlet 1: listed twice"},
		"no meter":          {func(o *guard.Options) { o.Outlets[1].Number = 9 }, "outlet 9: no meter"},
		"polled, not known": {func(o *guard.Options) { o.Outlets = o.Outlets[:1] }, "outlet 2: polled, but has no limits"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := build(2, tt.edit); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestEnergise wants outlets that a dead process left fed to be open before the
// first meter is read, and then to be fed one by one.
func TestEnergise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 4, nil)
		s.sockets[2].set(func(o *socket) { o.err = errDead })
		stop := s.run(t)
		var before uint16
		var at []time.Time
		for range 120 {
			time.Sleep(every)
			synctest.Wait()
			if now := s.chip.Outputs() & 0xF; now != before {
				if now&^before == 0 || (now&^before)&(now&^before-1) != 0 {
					t.Errorf("outputs went from %04b to %04b, want one more", before, now)
				}
				before = now
				at = append(at, time.Now())
			}
		}
		if s.firstRead != "outputs 0x0000" {
			t.Errorf("%s when the first meter was read, want all open", s.firstRead)
		}
		if before != 0b1011 || len(at) != 3 {
			t.Fatalf("outputs %04b after %d closings, want 1011: outlet 3 has no meter", before, len(at))
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 1900*time.Millisecond {
				t.Errorf("closings %s apart, want the stagger", gap)
			}
		}
		if d := decided(s.changes(), "outlet/3", shedguard.CauseMeterStale); d == nil {
			t.Error("no meter_stale for the meter that never answered")
		}
		if got := s.line.count(); got < 100 {
			t.Errorf("%d edges of the enable line in 12 s, want one a tick", got)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if s.chip.Outputs()&0xF != 0 {
			t.Errorf("outputs %#04x after Run", s.chip.Outputs())
		}
	})
}

func TestTripLatchesUntilReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, nil)
		s.sockets[0].set(func(o *socket) { o.amps = 2 })
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		if v := s.view(1); !v.Closed || v.State != shedguard.StateCharging || !v.Running {
			t.Fatalf("outlet 1 is %s, closed %v, session %v; want charging", v.State, v.Closed, v.Running)
		}
		s.changes()
		s.sockets[0].set(func(o *socket) { o.amps = 40 })
		time.Sleep(300 * time.Millisecond)
		if s.closed(1) || !s.closed(2) {
			t.Fatalf("outputs %#04x after a short circuit, want outlet 1 open", s.chip.Outputs())
		}
		got := s.changes()
		d := decided(got, "outlet/1", shedguard.CauseShortCircuit)
		if d == nil || d.Value != 40 || !d.Latched || d.Action != shedguard.ActionTripped {
			t.Errorf("decision %+v, want a latched short circuit of 40 A", d)
		}
		var ops []guard.Operation
		var ended bool
		for _, c := range got {
			ops = append(ops, c.Operations...)
			for _, step := range c.Steps {
				ended = ended || step.Type == shedguard.EventSessionEnded
			}
		}
		if len(ops) != 1 || ops[0].Closed || ops[0].Why != "short_circuit" || !ops[0].Verified || !ended {
			t.Errorf("operations %+v, session ended %v; want one verified opening for short_circuit", ops, ended)
		}
		order := func(kind string) error {
			return s.guard.Order(t.Context(), guard.Order{Kind: kind, Outlet: 1, By: "test", SessionID: "01JD0000000000000000000001"})
		}
		var refused *shedguard.ReplyError
		if err := order(shedguard.CommandStart); !errors.As(err, &refused) {
			t.Errorf("start of a tripped outlet: %v, want a refusal", err)
		}
		s.sockets[0].set(func(o *socket) { o.amps = 0 })
		time.Sleep(10 * time.Minute)
		if s.closed(1) || s.view(1).State != shedguard.StateTripped {
			t.Errorf("outlet 1 is %s, fed %v; want tripped for ever", s.view(1).State, s.closed(1))
		}
		if err := order(shedguard.CommandResetTrip); err != nil {
			t.Fatalf("reset: %v", err)
		}
		time.Sleep(15 * time.Second)
		if !s.closed(1) {
			t.Errorf("outlet 1 is open 15 s after its reset, %+v", s.view(1))
		}
		if err := order(shedguard.CommandStop); err != nil || s.closed(1) {
			t.Errorf("stop: %v, fed %v", err, s.closed(1))
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRestoredLatchHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, func(o *guard.Options) { o.Outlets[0].Latched = protect.NewCauses(shedguard.CauseStateLost) })
		stop := s.run(t)
		time.Sleep(time.Minute)
		if s.closed(1) || !s.closed(2) || !s.view(1).Latched.Has(shedguard.CauseStateLost) {
			t.Errorf("outputs %#04x, outlet 1 latched %s", s.chip.Outputs(), s.view(1).Latched)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestStaleMeterOpensAndResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 1, nil)
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		s.sockets[0].set(func(o *socket) { o.err = errDead })
		time.Sleep(2900 * time.Millisecond)
		if !s.closed(1) {
			t.Error("open after 2.9 s without a reading: failed reads are no fault yet")
		}
		time.Sleep(200*time.Millisecond + every)
		if s.closed(1) {
			t.Error("fed 3 s and a tick after the last reading")
		}
		got := s.changes()
		if decided(got, "outlet/1", shedguard.CauseMeterStale) == nil || decided(got, "bus/main", shedguard.CauseBusFault) == nil {
			t.Error("want meter_stale, and bus_fault since it is the bus's only chip")
		}
		s.sockets[0].set(func(o *socket) { o.err = nil })
		time.Sleep(9 * time.Second)
		if s.closed(1) {
			t.Error("fed again after less than 10 s of good readings")
		}
		time.Sleep(4 * time.Second)
		if !s.closed(1) {
			t.Error("still open 13 s after the meter came back")
		}
		got = s.changes()
		if last := got[len(got)-1]; len(last.Decisions) != 0 {
			t.Errorf("last change %+v, want nothing standing", last)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestPanicOpensEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 4, nil)
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		if s.chip.Outputs()&0xF != 0xF {
			t.Fatalf("outputs %#04x before the panic", s.chip.Outputs())
		}
		s.sockets[1].set(func(o *socket) { o.panics = true })
		time.Sleep(2 * every)
		synctest.Wait()
		if s.chip.Outputs()&0xF != 0 {
			t.Errorf("outputs %#04x after the panic, want all open", s.chip.Outputs())
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), "index out of range") || !strings.Contains(err.Error(), "guard_test.go") {
			t.Errorf("Run: %v, want the panic and its place", err)
		}
	})
}

// TestWedgedMeter hangs the guard inside a transaction: the deadline opens the
// relays, whose bus is free.
func TestWedgedMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 4, nil)
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		wedge := make(chan struct{})
		s.sockets[3].set(func(o *socket) { o.wedge = wedge })
		began := time.Now()
		err := <-s.expired
		if d := time.Since(began); d > 2*time.Second+2*every || !errors.Is(err, actuate.ErrDeadline) {
			t.Errorf("expired after %s: %v", d, err)
		}
		if s.chip.Outputs()&0xF != 0 || s.line.l != gpio.Low {
			t.Errorf("outputs %#04x, enable %v; want all open and low", s.chip.Outputs(), s.line.l)
		}
		if s.guard.Stats().LastTick < 2*time.Second {
			t.Errorf("last tick %s ago while a line hangs", s.guard.Stats().LastTick)
		}
		close(wedge)
		if err := stop(); !errors.Is(err, actuate.ErrDeadline) {
			t.Errorf("Run: %v", err)
		}
		if s.chip.Outputs()&0xF != 0 {
			t.Errorf("outputs %#04x after the wedge was gone", s.chip.Outputs())
		}
	})
}

// TestSlowReaders leaves both queues full for minutes.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, func(o *guard.Options) { o.ChangeQueue, o.SampleQueue = 1, 1 })
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		s.sockets[0].set(func(o *socket) { o.amps = 40 })
		began := time.Now()
		for s.closed(1) {
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(began); d > 3*every {
			t.Errorf("tripped after %s with full queues, want three samples at most", d)
		}
		time.Sleep(time.Minute)
		if got := s.guard.Stats(); got.SamplesDropped == 0 || got.Deferred == 0 || got.Missed != 0 || got.Ticks < 700 {
			t.Errorf("stats %+v, want samples dropped, changes put off, nothing missed", got)
		}
		var ops []guard.Operation
		var last guard.Change
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(every / 2) {
			for _, c := range s.changes() {
				if c.Outlet == 1 {
					ops = append(ops, c.Operations...)
					last = c
				}
			}
		}
		if len(ops) != 2 || !ops[0].Closed || ops[1].Closed || ops[1].Why != "short_circuit" {
			t.Errorf("operations %+v, want the closing and the opening", ops)
		}
		if last.State != shedguard.StateTripped || !last.Latched.Has(shedguard.CauseShortCircuit) {
			t.Errorf("last change %+v, want tripped", last)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestRelayFailed cuts the expander off while an outlet must open.
func TestRelayFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, nil)
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		s.wire.Cut(true)
		s.sockets[0].set(func(o *socket) { o.amps = 40 })
		time.Sleep(time.Second)
		d := decided(s.changes(), "outlet/1", shedguard.CauseRelayFailed)
		if d == nil || d.Severity != shedguard.SeverityCritical || d.Action != shedguard.ActionSiren {
			t.Errorf("decision %+v, want a critical relay_failed that asks for the siren", d)
		}
		if s.view(1).RelayErr == nil || !s.closed(1) {
			t.Errorf("relay error %v, fed %v; the chip holds its outputs", s.view(1).RelayErr, s.closed(1))
		}
		s.wire.Cut(false)
		time.Sleep(2 * every)
		if s.closed(1) || s.closed(2) {
			t.Errorf("outputs %#04x as soon as the chip answers, want all open", s.chip.Outputs())
		}
		time.Sleep(20 * time.Second)
		if s.closed(1) || !s.closed(2) || s.siren() {
			t.Errorf("outputs %#04x later, want outlet 2 resumed and the siren off", s.chip.Outputs())
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestWeldedRelaySoundsTheSiren(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, nil)
		stop := s.run(t)
		time.Sleep(20*time.Second + every/2) // heard between two ticks
		for _, o := range s.sockets {
			o.set(func(o *socket) { o.amps = 2 })
		}
		weld := func(n int) {
			s.sockets[n-1].set(func(o *socket) { o.welded = true })
			if err := s.guard.Order(t.Context(), guard.Order{Kind: shedguard.CommandStop, Outlet: n, By: "test"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		weld(1)
		if d := decided(s.changes(), "outlet/1", shedguard.CauseRelayWelded); d == nil || !s.guard.Siren() {
			t.Errorf("decision %+v, siren %v; want relay_welded and the siren", d, s.guard.Siren())
		}
		if n := s.heard(10 * time.Second); n < 45 || n > 55 {
			t.Errorf("the siren is on in %d of 100 tenths of a second, want it to pulse", n)
		}
		s.guard.Silence()
		time.Sleep(2 * every)
		if n := s.heard(time.Minute); n != 0 || s.guard.Siren() {
			t.Error("the siren sounds after Silence")
		}
		weld(2)
		if n := s.heard(10 * time.Second); n < 45 || n > 55 {
			t.Error("the siren is silent although another relay welded")
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestSoundFromOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 1, nil)
		for range 3 {
			s.guard.Signal(actuate.SignalUnsentCritical)
			time.Sleep(every)
			s.guard.Tick()
			if !s.siren() {
				t.Error("no siren")
			}
			s.guard.Signal(actuate.SignalNone)
			time.Sleep(every)
			s.guard.Tick()
			if s.siren() {
				t.Error("siren")
			}
		}
	})
}

func TestOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 1, nil)
		code := func(err error) shedguard.ReplyCode {
			var r *shedguard.ReplyError
			errors.As(err, &r)
			if r == nil {
				return ""
			}
			return r.Code
		}
		if err := s.guard.Order(t.Context(), guard.Order{Kind: "dance", Outlet: 1}); code(err) != shedguard.CodeUnknownKind {
			t.Errorf("unknown kind: %v", err)
		}
		if err := s.guard.Order(t.Context(), guard.Order{Kind: shedguard.CommandStop, Outlet: 99}); code(err) != shedguard.CodeBadArgs {
			t.Errorf("unknown outlet: %v", err)
		}
		// Nobody is at work: an order that was given up is never carried out.
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := s.guard.Order(ctx, guard.Order{Kind: shedguard.CommandStop, Outlet: 1})
			cancel()
			if i < 16 && !errors.Is(err, context.DeadlineExceeded) || i >= 16 && code(err) != shedguard.CodeBusy {
				t.Errorf("order %d: %v", i, err)
			}
		}
		stop := s.run(t)
		time.Sleep(10 * time.Second)
		if !s.closed(1) {
			t.Error("a withdrawn stop was carried out")
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// fault is what happens before a tick, if anything.
type fault struct {
	what   string
	outlet int
	amps   float64
}

// TestLaws throws faults at a whole guard.
func TestLaws(t *testing.T) {
	t.Parallel()
	const n = 3
	kinds := []string{"", "", "", "", "", "", "", "", "load", "short", "dead", "live", "weld", "cut", "join", "power", "reset"}
	one := rapid.Custom(func(t *rapid.T) fault {
		return fault{
			rapid.SampledFrom(kinds).Draw(t, "what"), rapid.IntRange(0, n-1).Draw(t, "outlet"),
			rapid.Float64Range(0, 12).Draw(t, "amps"),
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		faults := rapid.SliceOfN(one, 20, 250).Draw(r, "faults")
		var err error
		synctest.Test(t, func(*testing.T) { err = endure(n, faults) })
		if err != nil {
			r.Fatal(err)
		}
	})
}

// inject does a fault to a shed; it reports whether an outlet was reset.
func (s *shed) inject(f fault) (reset bool) {
	o := s.sockets[f.outlet]
	switch f.what {
	case "load":
		o.amps = f.amps
	case "short":
		o.amps = 50
	case "dead":
		o.err = errDead
	case "live":
		o.err = nil
	case "weld":
		o.welded = !o.welded
	case "cut", "join":
		s.wire.Cut(f.what == "cut")
	case "power":
		s.chip.Reset()
	case "reset":
		done := make(chan error, 1)
		go func() {
			done <- s.guard.Order(context.Background(), guard.Order{Kind: shedguard.CommandResetTrip, Outlet: f.outlet + 1})
		}()
		synctest.Wait()
		s.guard.Tick()
		return <-done == nil
	}
	return false
}

// endure is the laws of a guard, over a shed in which faults happen.
func endure(n int, faults []fault) error {
	s, err := build(n, nil)
	if err != nil {
		return err
	}
	latched, was, good := make([]bool, n), make([]bool, n), make([]time.Time, n)
	began := time.Now()
	for i := range n {
		if s.closed(i + 1) {
			return fmt.Errorf("outlet %d: fed before the first reading", i+1)
		}
	}
	for step, f := range faults {
		if s.inject(f) {
			latched[f.outlet] = false
		}
		time.Sleep(every)
		s.guard.Tick()
		s.changes()
		for i, v := range s.guard.Snapshot() {
			law := func(broken bool, format string, args ...any) {
				if broken && err == nil {
					err = fmt.Errorf("step %d: outlet %d: %s", step, i+1, fmt.Sprintf(format, args...))
				}
			}
			fed := s.closed(i + 1)
			good[i] = v.Reading.At
			law(fed && !was[i] && good[i].IsZero(), "closed without a good reading")
			law(fed && !was[i] && (latched[i] || v.Latched != 0), "fed again while latched")
			law(latched[i] && v.Latched == 0, "a latch vanished")
			law(v.Closed && v.Latched != 0, "commanded closed and latched %s", v.Latched)
			law(fed && !v.Closed && v.RelayErr == nil, "fed, commanded open, and nobody says so")
			since := good[i]
			if since.IsZero() {
				since = began
			}
			law(fed && v.RelayErr == nil && time.Since(since) > poll.StaleAfter+every, "fed %s after its last reading", time.Since(since))
			latched[i], was[i] = v.Latched != 0, fed
		}
		if err != nil {
			return err
		}
	}
	return nil
}
