package poll

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
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

	retryEvery     = time.Second           // of a dead chip
	retryShare     = 10                    // failing chips get 1/retryShare of the time
	slowFrom       = 5 * time.Millisecond  // a read that takes as long may be of a slow chip:
	slowTimes      = 4                     // it is when others take less than a quarter of it
	gapWithin      = 2 * time.Second       // how long a slow chip that would hold others up waits for a gap
	deadWithin     = 20 * time.Second      // and one that fails
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
	// ErrFrozen comes when the register words of a meter stay the same to the
	// last bit while a current flows.
	ErrFrozen = errors.New("register words are frozen")
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

// Feeder is the Point.Outlet of a meter through which the whole shed is fed.
const Feeder = 0

// Point is one outlet on the bus.
type Point struct {
	Outlet           int           // 1 to shedguard.MaxOutlets; Feeder for the meter of the whole shed
	Meter            Meter         //
	Every            time.Duration // period of the meter, 20 ms to 1 s
	Thermometer      Thermometer   // nil where there is none
	ThermometerEvery time.Duration // period of the thermometer, up to 10 s
	Frozen           *Frozen       // when its words count as frozen; nil: never
}

// Options describe a line.
type Options struct {
	Name   string // of the bus, for reports
	Points []Point
	// Ladder is what may bring a bus back, the mildest first; empty where
	// nothing can be done.
	Ladder []Rung
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
	of    *task
	fails int           // failed reads in a row
	tried time.Time     // when it was last tried
	took  time.Duration // the last read

	strikes int       // how often the bus hung on it
	hung    time.Time // when it did last
	aside   time.Time // until when it is not tried because of that
}

type task struct {
	Point
	place     int // in Options.Points
	sample    Sample
	meter     chip
	thermo    chip
	due       time.Time
	thermoDue time.Time
	was       time.Time // due, of the sample under way
	sampled   time.Time // start of the tick in which it was read after the others
	began     time.Time // of the read before
	frozen    freeze
}

// Line polls the chips of one bus.
type Line struct {
	name  string
	tasks queue
	all   []*task
	last  []*task // scratch of Tick: those that are read after the others
	chips int     // meters and thermometers

	scratch shedguard.Reading
	failing int           // chips whose last read failed
	streak  int           // failed reads in a row, whatever the chip
	spent   time.Duration // on failures in this tick
	gate    time.Time     // when the next attempt at a failing chip is allowed
	typical time.Duration // how long a good read takes
	healer
	counts
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
	l := &Line{name: opts.Name, healer: healer{ladder: opts.Ladder}}
	for i, r := range opts.Ladder {
		check(r.Name != "" && r.Do != nil, "ladder[%d]: name and what to do: required", i)
	}
	seen := make(map[int]bool)
	for i, p := range opts.Points {
		check(p.Outlet >= Feeder && p.Outlet <= shedguard.MaxOutlets, "points[%d]: outlet %d: want 1 to %d, or %d for the feeder", i, p.Outlet, shedguard.MaxOutlets, Feeder)
		check(!seen[p.Outlet], "points[%d]: outlet %d: already polled", i, p.Outlet)
		seen[p.Outlet] = true
		check(p.Meter != nil, "points[%d]: meter: required", i)
		check(p.Every >= shortestPeriod && p.Every <= longestPeriod, "points[%d]: period %s: want %s to %s", i, p.Every, shortestPeriod, longestPeriod)
		if p.Thermometer != nil {
			check(p.ThermometerEvery >= p.Every && p.ThermometerEvery <= thermoMax,
				"points[%d]: thermometer period %s: want %s to %s", i, p.ThermometerEvery, p.Every, thermoMax)
			l.chips++
		}
		if f := p.Frozen; f != nil {
			check(f.After >= frozenLeast, "points[%d]: frozen after %s: want %s or more", i, f.After, frozenLeast)
			check(f.AtRestAfter == 0 || f.AtRestAfter >= f.After, "points[%d]: frozen at rest after %s: want %s or more", i, f.AtRestAfter, f.After)
			check(f.AboveAmps > 0, "points[%d]: frozen above %g A: want more than 0", i, f.AboveAmps)
		}
		l.chips++
		t := &task{Point: p, place: i}
		t.meter.of, t.thermo.of = t, t
		t.sample = Sample{Err: ErrNotTried, Thermometer: p.Thermometer != nil, Reading: shedguard.Reading{Outlet: p.Outlet, Quality: shedguard.QualityStale}}
		l.all = append(l.all, t)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("line %q: %w", opts.Name, errors.Join(errs...))
	}
	l.tasks, l.last = append(queue(nil), l.all...), make([]*task, 0, len(l.all))
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

// Tick reads every chip that is due and visits each outlet that was, the one
// that waited longest first; chips that fail or are slow come after all others.
// The sample is valid until visit returns.
func (l *Line) Tick(now func() time.Time, visit func(*Sample)) {
	start := now()
	l.spent, l.last = 0, l.last[:0]
	for !l.tasks[0].due.After(start) {
		t := l.tasks[0]
		if t.due.IsZero() {
			t.due, t.thermoDue = start, start
		}
		// Not on the old grid when late: a bus that is too slow for its points
		// is then used without gaps. Always after start: once a tick.
		t.was, t.due = t.due, later(t.due.Add(t.Every), start.Add(1))
		heap.Fix(&l.tasks, 0)
		if l.lags(t, start) {
			l.last = append(l.last, t)
			continue
		}
		l.poll(t, now(), now, true, true)
		visit(&t.sample)
		l.doubt(now)
	}
	if len(l.last) > 0 {
		l.laggards(start, now, visit)
	}
	l.judge(now)
}

// lags reports whether a task is to be read after the others: a chip that would
// be tried now fails, or takes much longer than a chip on this bus does.
func (l *Line) lags(t *task, at time.Time) bool {
	return l.burden(&t.meter, at) > 0 || t.thermoToBeRead(at) && l.burden(&t.thermo, at) > 0
}

// burden is how long a failing or slow chip is likely to take if it is tried.
func (l *Line) burden(c *chip, at time.Time) time.Duration {
	switch {
	case c.fails > 0 && c.ready(at) && !at.Before(l.gate):
		return max(c.took, 1)
	case c.fails == 0 && l.slow(c.took):
		return c.took
	default:
		return 0
	}
}

// failing is a chip of the outlet whose last read failed, or nil.
func (t *task) failing() *chip {
	switch {
	case t.meter.fails > 0:
		return &t.meter
	case t.thermo.fails > 0:
		return &t.thermo
	default:
		return nil
	}
}

// slow reports whether a read took much longer than is usual on this bus.
func (l *Line) slow(took time.Duration) bool {
	return took >= slowFrom && took > slowTimes*l.typical
}

func (t *task) thermoToBeRead(at time.Time) bool {
	return t.Thermometer != nil && !t.thermoDue.After(at)
}

// laggards reads the outlets that would hold others up. A chip that would not
// be done before the next sound one is due is left out, but not for long.
func (l *Line) laggards(start time.Time, now func() time.Time, visit func(*Sample)) {
	var next time.Time
	for _, t := range l.all {
		if (next.IsZero() || t.due.Before(next)) && !l.lags(t, start) {
			next = t.due
		}
	}
	// A slow chip lives and comes first, but now and then it leaves its place to
	// one that fails.
	for turn := range 3 {
		for _, t := range l.last {
			at := now()
			c := t.failing()
			mine := turn == 2 || turn == 1 && c == nil || turn == 0 && c != nil && at.Sub(c.tried) >= gapWithin
			if !mine || t.sampled.Equal(start) {
				continue
			}
			t.sampled = start
			end := at
			fits := func(c *chip) bool {
				b := l.burden(c, at)
				patience := gapWithin
				if c.fails > 0 {
					patience = deadWithin
				}
				if b > 0 && !next.IsZero() && end.Add(b).After(next) && at.Sub(c.tried) < patience {
					l.skipped.Add(1)
					return false
				}
				end = end.Add(b)
				return true
			}
			thermo := t.thermoToBeRead(at) && fits(&t.thermo)
			l.poll(t, at, now, fits(&t.meter), thermo)
			visit(&t.sample)
			l.doubt(now)
		}
	}
}

// poll reads the chips of one outlet, those that are asked for and due.
func (l *Line) poll(t *task, began time.Time, now func() time.Time, meter, thermo bool) {
	l.timing(began.Sub(t.was), t.Every)
	s := &t.sample
	s.Fresh = false
	if thermo && t.thermoToBeRead(began) && l.allowed(&t.thermo, began) {
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
	if meter && l.allowed(&t.meter, began) {
		l.steady(t, began)
		r := &l.scratch // a local one would escape through the interface
		*r = s.Reading
		err := t.Meter.Read(r)
		end := now()
		if err == nil && !r.Finite() {
			err = ErrNotFinite
		}
		began = l.done(&t.meter, began, end, err)
		if err == nil {
			// The chip answers, but does it measure?
			err = l.melt(t, r, end)
		}
		if err == nil {
			r.Outlet, r.At, r.Quality = t.Outlet, end, shedguard.QualityGood
			if !s.Reading.At.IsZero() && math.Abs(r.Watts-s.Reading.Watts) > GlitchWatts {
				r.Quality = shedguard.QualitySuspect
			}
			s.Reading, s.Fresh = *r, true
		}
		s.Err = err
	}
	if !s.Fresh {
		s.Reading.Quality = quality(s, began)
	}
}

// quality judges a reading that is not of this tick.
func quality(s *Sample, now time.Time) shedguard.Quality {
	switch {
	case errors.Is(s.Err, ErrNotFinite), errors.Is(s.Err, ErrFrozen):
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
	ok := l.spent < FailureBudget && !l.climbing && !now.Before(c.aside)
	if ok && c.fails > 0 {
		ok = !now.Before(l.gate) && c.ready(now) && l.waitedLongest(c, now)
	}
	if !ok {
		l.skipped.Add(1)
	}
	return ok
}

func (c *chip) ready(now time.Time) bool {
	return (c.fails < DeadAfter || now.Sub(c.tried) >= retryEvery) && !now.Before(c.aside)
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
	c.tried, c.took = end, took
	if err == nil {
		if c.fails > 0 {
			c.fails = 0
			l.failing--
		}
		if l.typical == 0 {
			l.typical = took
		}
		l.typical += (took - l.typical) / 64
		l.answered(c)
		l.streak = 0
	} else {
		l.errs.Add(1)
		l.missed(c, err)
		if c.fails == 0 {
			l.failing++
		} else {
			l.gate = end.Add((retryShare - 1) * took)
		}
		c.fails++
		l.streak++
		l.spent += took
	}
	l.failed.Store(int64(l.failing))
	return end
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
