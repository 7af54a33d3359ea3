package guard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/feeder"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

const (
	// cutWithin is how long a relay may refuse to open before the enable line
	// takes the supply from all of them.
	cutWithin = 500 * time.Millisecond

	verifyEvery  = time.Second      // relays are read back
	refreshEvery = time.Second      // changes while something stands
	keepEvery    = 10 * time.Second // changes for the sake of what outlives a restart
	orderQueue   = 16
	maxLines     = 64
)

// Outlet is one outlet and what is known of it from before.
type Outlet struct {
	Number  int
	Limits  *protect.Limits
	Session *session.Settings
	Charge  *charge.Settings
	Heat    float64        // protect.UnknownHeat when it was not kept
	Latched protect.Causes // by the alarm book
	Kept    session.Record // of the sessions
	Curves  charge.Record  // of the charges
	// Closings is how long ago its relay closed before, in seconds.
	Closings []float64
	// RatedWatts is the most it is meant for; required where there is a feeder.
	RatedWatts float64
}

// Options are the parts of a guard.
type Options struct {
	Lines   []*poll.Line
	Relays  *actuate.Relays
	Outlets []Outlet
	// Stagger is the time between two closings anywhere in the shed, so that
	// chargers do not start together; zero where they may.
	Stagger time.Duration
	// ClosingsPerHour bounds how often a relay closes; zero where nothing does.
	ClosingsPerHour int
	// Feeder is nil where nothing watches what the outlets draw together.
	Feeder *Feeder
	// Contacts are those of smoke detectors.
	Contacts []Contact
	// Deadline and Enable are nil where there are none.
	Deadline *actuate.Deadline
	Enable   *actuate.Enable
	// Watchdog is fed after each completed tick; it must not block. Nil where
	// there is none.
	Watchdog func() error
	// NewID makes the ids of sessions that begin by plug.
	NewID func() string
	// ChangeQueue and SampleQueue are the lengths of the two queues.
	ChangeQueue, SampleQueue int
}

// Guard protects the outlets of a shed.
type Guard struct {
	opts   Options
	relays *actuate.Relays
	lines  []*line
	// Of the first line.
	contacts   []contact
	contactsAt time.Time // when they are looked at again
	pins       uint16
	pinsErr    error

	imposing sync.Mutex // guards the sources of all outlets; no line takes it for a sample

	owner   map[int]*line
	supply  *supply
	changes chan Change
	samples chan Sample

	base      time.Time
	nextClose atomic.Int64  // since base: the shed-wide stagger
	done      atomic.Uint64 // a bit for each line that completed a tick
	completed atomic.Uint64 // ticks that every line completed
	last      atomic.Int64  // the last one, since base
	feedErr   atomic.Pointer[error]

	asked    atomic.Uint32 // an actuate.Signal, by Signal
	silenced atomic.Bool
	siren    atomic.Bool   // a signal that sounds is given
	sirens   chan struct{} // siren changed since somebody looked
	lampTest atomic.Int64  // until when the lamp is tested, since base
	lit      atomic.Bool   // the lamp's output was written on

	dropped, deferred, missed, relayMax, tickMax, late atomic.Int64
}

// line is a bus, its outlets, and what its goroutine owns.
type line struct {
	poll    *poll.Line
	outlets []*outlet
	byNo    [shedguard.MaxOutlets + 1]*outlet
	orders  chan *order
	scratch []feeder.Load
	visit   func(*poll.Sample) // bound once: a method value allocates
	bit     uint64
	first   bool // looks after the relays, the siren and the lamp for all
	bus     part
	answers bool // a chip on it has
	fed     part // what complete feeds; of the first line
	faulty  bool // a relay of an outlet on this line does not obey
	alarms  int  // how many outlets on this line ask for the siren
	tend    time.Time
	signal  actuate.Signal // that is given
	given   time.Time      // since when
	sounds  [2]bool        // siren and lamp as written
	unsure  bool           // the write of sounds failed

	viewing sync.Mutex // guards views; held only to copy
	views   []OutletView
	asks    atomic.Uint32 // the most urgent actuate.Signal of its outlets, for the first line
	fails   atomic.Bool   // faulty, for the first line
	uncut   atomic.Bool   // an outlet that must be open cannot be opened
}

// BusSubject is what alarms about a bus are about.
func BusSubject(name string) string { return "bus/" + name }

// New returns a guard. It does no input or output.
func New(opts Options) (*Guard, error) {
	g := &Guard{
		opts: opts, relays: opts.Relays, owner: make(map[int]*line), base: time.Now(),
		changes: make(chan Change, max(opts.ChangeQueue, 1)), samples: make(chan Sample, max(opts.SampleQueue, 1)),
		sirens: make(chan struct{}, 1),
	}
	var errs []error
	check := func(ok bool, format string, args ...any) bool {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
		return ok
	}
	check(opts.NewID != nil, "new id: required")
	check(opts.Stagger >= 0, "stagger: %s: want 0 or more", opts.Stagger)
	check(len(opts.Lines) >= 1 && len(opts.Lines) <= maxLines, "lines: %d: want 1 to %d", len(opts.Lines), maxLines)
	check(opts.Relays != nil, "relays: required")
	check(opts.ClosingsPerHour >= 0, "closings per hour: %d: want 0 or more", opts.ClosingsPerHour)
	if len(errs) > 0 {
		return nil, fmt.Errorf("guard: %w", errors.Join(errs...))
	}
	metered := false
	for i, p := range opts.Lines {
		l := &line{
			poll: p, orders: make(chan *order, orderQueue), bit: 1 << (i % maxLines), first: i == 0,
			bus: part{subject: BusSubject(p.Name()), cause: shedguard.CauseBusFault},
			// Told once even when all is well: the last start may have left an alarm.
			fed: part{subject: "enable_line", cause: shedguard.CauseRelayFailed, marked: i == 0},
		}
		l.visit = func(s *poll.Sample) { g.visit(l, s) }
		g.lines = append(g.lines, l)
		for _, n := range p.Outlets() {
			if n == poll.Feeder {
				check(opts.Feeder != nil && !metered, "feeder: a meter of it is polled: want limits for it, and one meter")
				metered = true
				continue
			}
			check(g.owner[n] == nil, "outlet %d: polled by two lines", n)
			g.owner[n] = l
		}
	}
	for i := range opts.Outlets {
		o := &opts.Outlets[i]
		l := g.owner[o.Number]
		if !check(l != nil, "outlet %d: no meter polls it", o.Number) || !check(l.byNo[o.Number] == nil, "outlet %d: listed twice", o.Number) {
			continue
		}
		check(opts.Relays.Has(o.Number), "outlet %d: has no relay", o.Number)
		if !check(o.Limits != nil && o.Session != nil && o.Charge != nil, "outlet %d: limits, session and charge: required", o.Number) {
			continue
		}
		if err := errors.Join(o.Limits.Validate(), o.Session.Validate(), o.Charge.Validate()); err != nil {
			errs = append(errs, fmt.Errorf("outlet %d: %w", o.Number, err))
		}
		if opts.Feeder != nil {
			check(o.RatedWatts > 0, "outlet %d: rated watts: %g: want more than 0", o.Number, o.RatedWatts)
		}
		out := newOutlet(o, opts.NewID)
		out.slot = i
		if opts.ClosingsPerHour > 0 {
			var err error
			out.wear, err = actuate.NewWear(opts.ClosingsPerHour, o.Closings, g.base)
			check(err == nil, "outlet %d: %v", o.Number, err)
		}
		out.place = len(l.outlets)
		l.outlets = append(l.outlets, out)
		l.byNo[o.Number] = out
		l.views = append(l.views, OutletView{})
		out.show(&l.views[out.place])
	}
	if f := opts.Feeder; f != nil {
		if check(f.Limits != nil, "feeder: limits: required") {
			if err := f.Limits.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("feeder: %w", err))
			}
			g.supply = newSupply(f, opts.Outlets, g.base)
			g.supply.metered = metered
		}
	}
	errs = append(errs, g.addContacts()...)
	for _, l := range g.lines {
		l.scratch = make([]feeder.Load, len(opts.Outlets))
		for _, n := range l.poll.Outlets() {
			check(n == poll.Feeder || l.byNo[n] != nil, "outlet %d: polled, but has no limits", n)
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("guard: %w", errors.Join(errs...))
	}
	return g, nil
}

// Run protects until ctx ends, which is no error. Before it returns, for
// whatever reason, all relays are written open; the error joins what went wrong
// with what could not be opened.
func (g *Guard) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range g.lines {
		group.Go(func() error { return g.run(ctx, l) })
	}
	err := group.Wait()
	if g.opts.Deadline != nil {
		g.opts.Deadline.Stop() // after the relays: opening may hang as well
	}
	return err
}

// run is the life of one line. It opens all relays itself when it ends: another
// line may hang.
func (g *Guard) run(ctx context.Context, l *line) (err error) {
	defer func() {
		p := recover()
		open := errors.Join(g.relays.OpenAll(), g.opts.Enable.Drop())
		if p != nil {
			err = fmt.Errorf("guard: line %s: panic: %v\n%s", l.poll.Name(), p, debug.Stack())
		}
		err = errors.Join(err, open)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(l.poll.Next()))
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return nil
			case o := <-l.orders:
				g.carryOut(l, o)
			case <-timer.C:
				due = true
			}
		}
		g.tick(l)
	}
}

// Tick takes every line one step on the caller's goroutine: for tests and
// benchmarks, and never while Run is running.
func (g *Guard) Tick() {
	for _, l := range g.lines {
		g.answer(l)
		g.tick(l)
	}
}

// tick polls what is due on a line, and then looks after its relays.
func (g *Guard) tick(l *line) {
	began := time.Now()
	l.poll.Tick(time.Now, l.visit)
	now := time.Now()
	l.count(g, now)
	if l.first {
		g.lookAtContacts(now)
		g.tend(l, now) // after them: smoke sounds in the tick that finds it
		g.report(&l.fed, now, now, load(&g.feedErr))
	}
	g.addUp(now)
	since, err := l.poll.Fault()
	if stats := l.poll.Stats(); !l.answers && stats.Reads > stats.Errors {
		l.answers, l.bus.marked = true, true // as of the enable line
	}
	g.report(&l.bus, since, now, err)
	g.complete(l)
	maximum(&g.tickMax, int64(time.Since(began)))
}

// count sums up what the outlets of a line ask of the first one.
func (l *line) count(g *Guard, now time.Time) {
	l.faulty = false
	asks := actuate.SignalNone
	alarms, uncut := 0, false
	for _, o := range l.outlets {
		uncut = uncut || o.failure != nil && o.verdict.MustOpen() && now.Sub(o.failedAt) >= cutWithin
		l.faulty = l.faulty || o.failedAt != (time.Time{})
		if o.signal != actuate.SignalNone {
			asks = max(asks, o.signal)
			alarms++
		}
	}
	if alarms > l.alarms {
		g.silenced.Store(false) // silence holds until there is something new
	}
	l.alarms = alarms
	l.asks.Store(uint32(asks))
	l.fails.Store(l.faulty)
	l.uncut.Store(uncut)
}

// mayFeed reports whether every outlet that must be open could be opened. While
// one could not, the enable line stands still: it takes the supply from all
// coils, which is the only way left to open that one.
func (g *Guard) mayFeed() bool {
	for _, l := range g.lines {
		if l.uncut.Load() {
			return false
		}
	}
	return true
}

// tend verifies the relays, and applies the siren and the lamp.
func (g *Guard) tend(l *line, now time.Time) {
	faulty := false
	signal := max(actuate.Signal(g.asked.Load()), g.smoke())
	for _, other := range g.lines {
		signal = max(signal, actuate.Signal(other.asks.Load()))
		faulty = faulty || other.fails.Load()
	}
	// A bus that is being brought back would not let them be read: a moment
	// later it does, or has been given up.
	if (faulty || !now.Before(l.tend)) && !g.healing() {
		// What it finds shows in the faults of the outlets, which are looked at
		// with each sample.
		_ = g.relays.Verify()
		l.tend = now.Add(verifyEvery)
	}
	if signal != l.signal {
		l.signal, l.given = signal, now
	}
	silenced, d := g.silenced.Load(), now.Sub(l.given)
	want := [2]bool{
		signal.Siren(d) && !silenced,
		signal.Lamp(d) || int64(now.Sub(g.base)) < g.lampTest.Load(),
	}
	if sounds := signal.Sounds() && !silenced; g.siren.Swap(sounds) != sounds {
		select {
		case g.sirens <- struct{}{}:
		default: // whoever listens has not looked since the change before
		}
	}
	tested := want[1] && !g.lit.Load() // a lamp that is lit already is written again for its test
	if want == l.sounds && !l.unsure && !tested {
		return
	}
	err := errors.Join(g.relays.Siren(want[0]), g.relays.Lamp(want[1]))
	l.sounds, l.unsure = want, err != nil // tried again with the next tick
	g.lit.Store(want[1] && err == nil)
}

func (g *Guard) healing() bool {
	for _, l := range g.lines {
		if l.poll.Healing() {
			return true
		}
	}
	return false
}

// complete feeds what watches the guard once every line has completed a tick.
func (g *Guard) complete(l *line) {
	full := uint64(1)<<len(g.lines) - 1
	if len(g.lines) == maxLines {
		full = ^uint64(0)
	}
	if g.done.Or(l.bit)|l.bit != full || !g.done.CompareAndSwap(full, 0) {
		return
	}
	g.completed.Add(1)
	now := time.Now()
	g.last.Store(int64(now.Sub(g.base)))
	if g.opts.Deadline != nil {
		g.opts.Deadline.Kick()
	}
	var err error
	if g.mayFeed() {
		err = g.opts.Enable.Toggle()
	}
	if g.opts.Watchdog != nil {
		if werr := g.opts.Watchdog(); werr != nil {
			err = errors.Join(err, fmt.Errorf("watchdog: %w", werr))
		}
	}
	if err == nil {
		g.feedErr.Store(nil)
		return
	}
	fault := err // escapes, err does not
	g.feedErr.Store(&fault)
}

func load(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

// Signal asks for a signal of siren and lamp for causes outside the guard, such
// as an alarm that cannot be sent; the most urgent one of all is given. It does
// not block; the next tick applies it.
func (g *Guard) Signal(s actuate.Signal) {
	if was := actuate.Signal(g.asked.Swap(uint32(s))); s.Sounds() && s > was {
		g.silenced.Store(false)
	}
}

// Silence stops the siren until there is a new reason for it. The lamp goes on.
func (g *Guard) Silence() { g.silenced.Store(true) }

// Alarmed ends a silence: there is a new critical alarm.
func (g *Guard) Alarmed() { g.silenced.Store(false) }

// TestLamp lights the lamp for so long, and reports whether its output was
// written within a second.
func (g *Guard) TestLamp(ctx context.Context, d time.Duration) bool {
	g.lit.Store(false)
	until := int64(time.Since(g.base) + d)
	maximum(&g.lampTest, until)
	wait := time.NewTicker(20 * time.Millisecond)
	defer wait.Stop()
	end := time.NewTimer(min(d, time.Second))
	defer end.Stop()
	for !g.lit.Load() {
		select {
		case <-wait.C:
		case <-end.C:
			return g.lit.Load()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Siren reports whether a signal is given in which the siren has a part.
func (g *Guard) Siren() bool { return g.siren.Load() }

// SirenChanged tells that Siren may answer differently than before. It is for
// one listener, which the guard does not wait for.
func (g *Guard) SirenChanged() <-chan struct{} { return g.sirens }

// Stats are counts since New.
type Stats struct {
	Ticks          uint64        // completed by every line
	LastTick       time.Duration // since the last one was completed; since New before the first
	TickMax        time.Duration // longest tick of one line
	RelayMax       time.Duration // longest time from a sample to the relay that it opened
	SamplesDropped int64         // the sample queue was full
	Deferred       int64         // changes that were put off because the queue was full
	Missed         int64         // relay operations and session steps that were lost while it was full for long
	ViewsLate      int64         // samples whose view was put off because Snapshot was copying
}

// Stats returns the counts. Any goroutine may ask.
func (g *Guard) Stats() Stats {
	return Stats{
		Ticks:          g.completed.Load(),
		LastTick:       time.Since(g.base) - time.Duration(g.last.Load()),
		TickMax:        time.Duration(g.tickMax.Load()),
		RelayMax:       time.Duration(g.relayMax.Load()),
		SamplesDropped: g.dropped.Load(),
		Deferred:       g.deferred.Load(),
		Missed:         g.missed.Load(),
		ViewsLate:      g.late.Load(),
	}
}

// Lines are the counts of the buses, by name.
func (g *Guard) Lines() map[string]poll.Stats {
	m := make(map[string]poll.Stats, len(g.lines))
	for _, l := range g.lines {
		m[l.poll.Name()] = l.poll.Stats()
	}
	return m
}

// maximum raises v to x.
func maximum(v *atomic.Int64, x int64) {
	for {
		old := v.Load()
		if x <= old || v.CompareAndSwap(old, x) {
			return
		}
	}
}
