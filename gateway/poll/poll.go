package poll

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	// StaleAfter is the age beyond which a reading is stale: DESIGN section 5.
	StaleAfter = 3 * time.Second
	// GlitchWatts is the step from one sample to the next beyond which the
	// sample is suspect; charging piles in the field filter such steps.
	GlitchWatts = 500.0
	// DeadAfter is the number of failed reads in a row after which a chip is
	// tried no more often than once a second.
	DeadAfter = 3
	// FailureBudget is how much time failing reads may take in one tick.
	FailureBudget = 250 * time.Millisecond

	retryEvery     = time.Second // of a dead chip
	retryShare     = 10          // failing chips get 1/retryShare of the time
	firstRecovery  = time.Second // between two calls of the recovery hook
	recoverMax     = 30 * time.Second
	shortestPeriod = 20 * time.Millisecond // 50 Hz: one RMS window of the mains
	longestPeriod  = time.Second           // 1 Hz
	thermoMax      = 10 * time.Second
)

var (
	// ErrNotFinite comes when a meter answered with a value that is not a
	// number.
	ErrNotFinite = errors.New("reading is not finite")
	// ErrNotTried comes before a meter was read for the first time.
	ErrNotTried = errors.New("meter not read yet")
)

// Meter measures one outlet.
type Meter interface {
	// Read fills Volts, Amps, Watts, PowerFactor, Hertz and Raw of r. On an
	// error r is left as it was.
	Read(r *shedguard.Reading) error
}

// Thermometer measures the temperature of one outlet in °C.
type Thermometer interface {
	Read() (celsius float64, err error)
}

// Point is one outlet on the bus.
type Point struct {
	Outlet           int           // 1 to shedguard.MaxOutlets
	Meter            Meter         //
	Every            time.Duration // period of the meter, 20 ms to 1 s
	Thermometer      Thermometer   // nil where there is none
	ThermometerEvery time.Duration // period of the thermometer, up to 10 s
}

// Options describe a line.
type Options struct {
	Name   string // of the bus, for reports
	Points []Point
	// Recover is called on the caller's goroutine of Tick when the bus is at
	// fault: open it again, reset its muxes. It must return within a fraction
	// of a second. Nil where nothing can be done.
	Recover func() error
}

// Sample is what is known of one outlet at one moment.
type Sample struct {
	// Reading is the last good one. Its Quality is of now.
	Reading shedguard.Reading
	// Fresh is true when Reading was taken in this tick.
	Fresh bool
	// Celsius is the last temperature and CelsiusAt when it was read, zero
	// before the first one and where there is no thermometer.
	Celsius   float64
	CelsiusAt time.Time
	// Thermometer is true where there is one.
	Thermometer bool
	// Err is why the last attempt to read the meter failed, nil after a good
	// one. ThermometerErr likewise.
	Err, ThermometerErr error
}

// chip is the reading history of one chip.
type chip struct {
	fails int       // failed reads in a row
	tried time.Time // when it was last tried
}

type task struct {
	Point
	place     int // in Options.Points
	sample    Sample
	meter     chip
	thermo    chip
	due       time.Time
	thermoDue time.Time
}

// Line polls the chips of one bus.
type Line struct {
	name    string
	recover func() error
	tasks   queue
	all     []*task
	chips   int // meters and thermometers

	scratch shedguard.Reading
	failing int           // chips whose last read failed
	streak  int           // failed reads in a row, whatever the chip
	spent   time.Duration // on failures in this tick
	gate    time.Time     // when the next attempt at a failing chip is allowed
	fault   error
	since   time.Time // of fault
	heal    time.Time // when Recover is called again
	backoff time.Duration

	reads, errs, skipped, late, recoveries atomic.Uint64
	readSum, readMax, lateSum, lateMax     atomic.Int64
	samples                                atomic.Uint64
	down                                   atomic.Int64
}

// Stats are counts since New.
type Stats struct {
	Reads      uint64 // reads that were tried, of meters and thermometers
	Errors     uint64 // those that failed
	Skipped    uint64 // periods in which a failing chip was not tried
	Late       uint64 // samples that began more than half a period after they were due
	Recoveries uint64 // calls of the recovery hook
	Failing    int    // chips whose last read failed
	// ReadMean and ReadMax are how long reads took; LateMean and LateMax how
	// long after they were due meters were read.
	ReadMean, ReadMax, LateMean, LateMax time.Duration
}

// New returns a line whose points are all due at once. It does no input or
// output.
func New(opts Options) (*Line, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(opts.Name != "", "name: required")
	check(len(opts.Points) > 0, "points: want at least one")
	l := &Line{name: opts.Name, recover: opts.Recover}
	seen := make(map[int]bool)
	for i, p := range opts.Points {
		check(p.Outlet >= 1 && p.Outlet <= shedguard.MaxOutlets, "points[%d]: outlet %d: want 1 to %d", i, p.Outlet, shedguard.MaxOutlets)
		check(!seen[p.Outlet], "points[%d]: outlet %d: already polled", i, p.Outlet)
		seen[p.Outlet] = true
		check(p.Meter != nil, "points[%d]: meter: required", i)
		check(p.Every >= shortestPeriod && p.Every <= longestPeriod, "points[%d]: period %s: want %s to %s", i, p.Every, shortestPeriod, longestPeriod)
		if p.Thermometer != nil {
			check(p.ThermometerEvery >= p.Every && p.ThermometerEvery <= thermoMax,
				"points[%d]: thermometer period %s: want %s to %s", i, p.ThermometerEvery, p.Every, thermoMax)
			l.chips++
		}
		l.chips++
		t := &task{Point: p, place: i}
		t.sample = Sample{Err: ErrNotTried, Thermometer: p.Thermometer != nil, Reading: shedguard.Reading{Outlet: p.Outlet, Quality: shedguard.QualityStale}}
		l.all = append(l.all, t)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("line %q: %w", opts.Name, errors.Join(errs...))
	}
	l.tasks = append(queue(nil), l.all...)
	return l, nil
}

// Name is the name of the bus.
func (l *Line) Name() string { return l.name }

// Outlets lists the outlets on the line, in the order of Options.Points.
func (l *Line) Outlets() []int {
	n := make([]int, len(l.all))
	for i, t := range l.all {
		n[i] = t.Outlet
	}
	return n
}

// Next is when the next outlet is due; the zero time before the first tick.
func (l *Line) Next() time.Time { return l.tasks[0].due }

// Fault is why the bus is at fault and since when, or nil. It is for the
// goroutine of Tick.
func (l *Line) Fault() (since time.Time, err error) { return l.since, l.fault }

// Tick reads every chip that is due and visits each outlet that was, the one
// that waited longest first. The sample is valid until visit returns.
func (l *Line) Tick(now func() time.Time, visit func(*Sample)) {
	start := now()
	l.spent = 0
	for !l.tasks[0].due.After(start) {
		t := l.tasks[0]
		if t.due.IsZero() {
			t.due, t.thermoDue = start, start
		}
		l.poll(t, now(), now)
		// Not on the old grid when late: a bus that is too slow for its points
		// is then used without gaps. Always after start: once a tick.
		t.due = later(t.due.Add(t.Every), start.Add(1))
		heap.Fix(&l.tasks, 0)
		visit(&t.sample)
	}
	l.judge(now)
}

// poll reads the chips of one outlet.
func (l *Line) poll(t *task, began time.Time, now func() time.Time) {
	l.lateness(began.Sub(t.due), t.Every)
	s := &t.sample
	s.Fresh = false
	if t.Thermometer != nil && !t.thermoDue.After(began) && l.allowed(&t.thermo, began) {
		t.thermoDue = later(t.thermoDue.Add(t.ThermometerEvery), began)
		celsius, err := t.Thermometer.Read()
		end := now()
		if err == nil && (math.IsNaN(celsius) || math.IsInf(celsius, 0)) {
			err = ErrNotFinite
		}
		if err == nil {
			s.Celsius, s.CelsiusAt = celsius, end
		}
		s.ThermometerErr = err
		began = l.done(&t.thermo, began, end, err)
	}
	if l.allowed(&t.meter, began) {
		r := &l.scratch // a local one would escape through the interface
		*r = s.Reading
		err := t.Meter.Read(r)
		end := now()
		if err == nil && !r.Finite() {
			err = ErrNotFinite
		}
		if err == nil {
			r.Outlet, r.At, r.Quality = t.Outlet, end, shedguard.QualityGood
			if !s.Reading.At.IsZero() && math.Abs(r.Watts-s.Reading.Watts) > GlitchWatts {
				r.Quality = shedguard.QualitySuspect
			}
			s.Reading, s.Fresh = *r, true
		}
		s.Err = err
		began = l.done(&t.meter, began, end, err)
	}
	if !s.Fresh {
		s.Reading.Quality = quality(s, began)
	}
}

// quality judges a reading that is not of this tick.
func quality(s *Sample, now time.Time) shedguard.Quality {
	switch {
	case errors.Is(s.Err, ErrNotFinite):
		return shedguard.QualityFault
	case s.Reading.Age(now) > StaleAfter:
		return shedguard.QualityStale
	case s.Err != nil:
		return shedguard.QualitySuspect
	default:
		return s.Reading.Quality
	}
}

// allowed reports whether a chip may be tried now.
func (l *Line) allowed(c *chip, now time.Time) bool {
	ok := l.spent < FailureBudget
	if ok && c.fails > 0 {
		ok = !now.Before(l.gate) && c.ready(now) && l.waitedLongest(c, now)
	}
	if !ok {
		l.skipped.Add(1)
	}
	return ok
}

func (c *chip) ready(now time.Time) bool {
	return c.fails < DeadAfter || now.Sub(c.tried) >= retryEvery
}

// waitedLongest keeps the turns among failing chips fair: the gate opens for
// one, and it must not be the same one each time.
func (l *Line) waitedLongest(c *chip, now time.Time) bool {
	for _, t := range l.all {
		if t.meter.before(c, now) || t.thermo.before(c, now) && !t.thermoDue.After(now) {
			return false
		}
	}
	return true
}

// before reports whether a failing chip waits for its turn longer than other.
func (c *chip) before(other *chip, now time.Time) bool {
	return c.fails > 0 && c.tried.Before(other.tried) && c.ready(now)
}

// done books a read that was tried and returns its end.
func (l *Line) done(c *chip, began, end time.Time, err error) time.Time {
	took := end.Sub(began)
	l.reads.Add(1)
	l.readSum.Add(int64(took))
	atomicMax(&l.readMax, int64(took))
	c.tried = end
	if err == nil {
		if c.fails > 0 {
			c.fails = 0
			l.failing--
		}
		if l.fault != nil {
			l.revive()
		}
		l.streak = 0
	} else {
		l.errs.Add(1)
		if c.fails == 0 {
			l.failing++
		} else {
			l.gate = end.Add((retryShare - 1) * took)
		}
		c.fails++
		l.streak++
		l.spent += took
	}
	l.down.Store(int64(l.failing))
	return end
}

// judge decides at the end of a tick whether the bus is at fault.
func (l *Line) judge(now func() time.Time) {
	if l.failing < l.chips || l.streak < DeadAfter {
		return
	}
	t := now()
	if l.fault == nil {
		l.fault, l.since = fmt.Errorf("bus %s: none of %d chips answers: %w", l.name, l.chips, l.all[0].sample.Err), t
		l.heal, l.backoff = t, firstRecovery
	}
	if l.recover == nil || t.Before(l.heal) {
		return
	}
	l.recoveries.Add(1)
	err := l.recover()
	if err != nil {
		l.fault = fmt.Errorf("bus %s: none of %d chips answers: recover: %w", l.name, l.chips, err)
	}
	l.heal = now().Add(l.backoff)
	l.backoff = min(2*l.backoff, recoverMax)
	if err == nil {
		l.gate = time.Time{} // see at once whether it helped
	}
}

// revive ends a bus fault: every chip may be tried again.
func (l *Line) revive() {
	l.fault, l.since, l.gate = nil, time.Time{}, time.Time{}
	for _, t := range l.all {
		t.meter.fails, t.thermo.fails = min(t.meter.fails, 1), min(t.thermo.fails, 1)
	}
}

func (l *Line) lateness(d, every time.Duration) {
	l.samples.Add(1)
	l.lateSum.Add(int64(d))
	atomicMax(&l.lateMax, int64(d))
	if d > every/2 {
		l.late.Add(1)
	}
}

// Stats returns the counts. Any goroutine may ask.
func (l *Line) Stats() Stats {
	s := Stats{
		Reads: l.reads.Load(), Errors: l.errs.Load(), Skipped: l.skipped.Load(), Late: l.late.Load(),
		Recoveries: l.recoveries.Load(), Failing: int(l.down.Load()),
		ReadMax: time.Duration(l.readMax.Load()), LateMax: time.Duration(l.lateMax.Load()),
	}
	if s.Reads > 0 {
		s.ReadMean = time.Duration(uint64(l.readSum.Load()) / s.Reads)
	}
	if n := l.samples.Load(); n > 0 {
		s.LateMean = time.Duration(uint64(l.lateSum.Load()) / n)
	}
	return s
}

// atomicMax raises v to x; there is one writer.
func atomicMax(v *atomic.Int64, x int64) {
	if x > v.Load() {
		v.Store(x)
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// queue is a heap of tasks, the one due first at its head.
type queue []*task

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Less keeps the order of Options.Points among those due together, so that
// neighbours on a mux stay neighbours in time.
func (q queue) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].place < q[j].place
}

// Push implements heap.Interface; a line never grows.
func (q *queue) Push(any) { panic("poll: a line never grows") }

// Pop implements heap.Interface; a line never shrinks.
func (q *queue) Pop() any { panic("poll: a line never shrinks") }
