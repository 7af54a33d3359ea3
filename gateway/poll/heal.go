package poll

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

const (
	firstRecovery = time.Second // between two climbs of the ladder
	recoverMax    = 30 * time.Second
	// calmAfter is how long the bus must not have hung on a chip before that is
	// forgotten.
	calmAfter = time.Minute
)

// Rung is one way to bring a bus back.
type Rung struct {
	Name string // as a person would say it: "reset the muxes"
	// Do is called on the caller's goroutine of Tick. It must return within a
	// fraction of a second.
	Do func() error
}

// healer is what a line knows of the health of its bus as a whole.
type healer struct {
	ladder []Rung

	news  int           // failed reads in a row of chips that were good before
	first *chip         // the first that failed since one answered: the bus may hang on it
	voice *chip         // that answered last and is not slow
	why   error         // the last failure
	took  time.Duration // and how long it took

	down     bool
	climbing bool        // the ladder is being climbed, a rung a tick
	healing  atomic.Bool // climbing, for others
	rung     int         // to be tried next
	tried    []outcome   // of this climb
	heal     time.Time   // when the next climb begins
	backoff  time.Duration
	struck   int // chips with strikes
	hang     error
	fault    error
	since    time.Time // of fault
}

// outcome is what came of a rung.
type outcome struct {
	name string
	err  error
}

// Fault is why the bus is at fault and since when, or nil: no chip answers, or
// it hung on a chip, was freed, and has not been good with that chip for a
// minute yet. It is for the goroutine of Tick.
func (l *Line) Fault() (since time.Time, err error) { return l.since, l.fault }

// Healing reports whether the bus is at fault and the ladder is being climbed.
// Any goroutine may ask.
func (l *Line) Healing() bool { return l.healing.Load() }

// answered books what a good read of c says of the bus.
func (l *Line) answered(c *chip) {
	if l.voice == nil || !l.slow(c.took) { // asking a slow one costs others their times
		l.voice = c
	}
	l.first, l.news = nil, 0
	if l.down {
		l.revive(c.tried)
	}
}

// missed books what a failed read of c says of the bus.
func (l *Line) missed(c *chip, err error) {
	l.why, l.took = err, c.took
	if l.first == nil {
		l.first = c
	}
	if c.fails == 0 {
		l.news++
	}
}

// doubt asks the chip that answered last once several chips that were good fail
// one after the other, or one takes its time to fail, as on a bus that hangs. If
// that chip is silent, too, it is the bus.
func (l *Line) doubt(now func() time.Time) {
	hangs := l.streak > 0 && l.took >= slowFrom && l.voice != l.first
	if l.down || l.voice == nil || !hangs && l.news < DeadAfter {
		return
	}
	if l.voice.fails == 0 {
		l.probe(l.voice, now)
	}
	if l.voice.fails > 0 {
		l.fall(now())
	}
}

// probe tries a chip out of its turn. Its value is not used.
func (l *Line) probe(c *chip, now func() time.Time) bool {
	began := now()
	var err error
	if c == &c.of.thermo {
		_, err = c.of.Thermometer.Read()
	} else {
		l.scratch = c.of.sample.Reading
		err = c.of.Meter.Read(&l.scratch)
	}
	l.done(c, began, now(), err)
	return err == nil
}

// fall notes that the bus is at fault.
func (l *Line) fall(at time.Time) {
	l.down = true
	l.mount(len(l.ladder) > 0)
	l.rung, l.tried, l.heal, l.backoff = 0, l.tried[:0], at, firstRecovery
	l.tell(at, &busError{text: fmt.Sprintf("bus %s: no chip answers: %v", l.name, l.why), errs: []error{l.why}})
}

// judge decides at the end of a tick whether the bus is at fault, and does
// something about it.
func (l *Line) judge(now func() time.Time) {
	switch {
	case !l.down && l.failing == l.chips && l.streak >= DeadAfter:
		l.fall(now())
	case !l.down:
		if l.struck > 0 {
			l.calm(now())
		}
		return
	}
	if at := now(); len(l.ladder) > 0 && !at.Before(l.heal) {
		l.climb(now)
	}
}

// mount begins or ends a climb.
func (l *Line) mount(on bool) {
	l.climbing = on
	l.healing.Store(on)
}

// climb tries one rung, and asks a chip whether it helped.
func (l *Line) climb(now func() time.Time) {
	if l.rung == 0 {
		l.mount(true)
		l.tried = l.tried[:0]
	}
	r := &l.ladder[l.rung]
	l.rung++
	l.recoveries.Add(1)
	l.tried = append(l.tried, outcome{r.Name, r.Do()})
	first := l.first
	l.gate = time.Time{}
	if l.probe(l.third(), now) { // which ended the fault
		l.heals.Add(1)
		l.strike(first, r.Name, now())
		return
	}
	text, errs := l.story()
	if l.rung < len(l.ladder) {
		if l.backoff == firstRecovery { // later climbs are told when they ended
			l.tell(l.since, &busError{text, errs})
		}
		return
	}
	l.rung = 0
	l.mount(false)
	l.heal = now().Add(l.backoff)
	l.tell(l.since, &busError{fmt.Sprintf("%s; given up, next try in %s", text, l.backoff), errs})
	l.backoff = min(2*l.backoff, recoverMax)
}

// third is a chip to ask whether the bus is back: if one chip holds the bus, it
// is the one that answered last or the first one that did not, and asking it
// would hang the bus anew.
func (l *Line) third() *chip {
	for _, t := range l.all {
		suspect := l.first != nil && l.first.of == t || l.voice != nil && l.voice.of == t
		if !suspect && t.meter.fails < DeadAfter && t.meter.strikes == 0 {
			return &t.meter
		}
	}
	if l.voice != nil {
		return l.voice
	}
	// Nobody has ever answered: each time another one.
	best := &l.all[0].meter
	for _, t := range l.all {
		if t.meter.tried.Before(best.tried) {
			best = &t.meter
		}
	}
	return best
}

// story is what is wrong and what was tried about it.
func (l *Line) story() (text string, errs []error) {
	var b strings.Builder
	fmt.Fprintf(&b, "bus %s: no chip answers: %v; tried", l.name, l.why)
	errs = append(errs, l.why)
	for i, o := range l.tried {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " to %s: ", o.name)
		if o.err != nil {
			errs = append(errs, o.err)
			fmt.Fprint(&b, o.err)
		} else {
			b.WriteString("done, no answer")
		}
	}
	return b.String(), errs
}

// strike sets the chip aside on which the bus hung, each time for longer. Nil
// is nobody in particular.
func (l *Line) strike(c *chip, rung string, at time.Time) {
	if c == nil {
		return
	}
	if c.strikes == 0 {
		l.struck++
	}
	c.strikes++
	c.hung = at
	wait := min(retryEvery<<min(c.strikes-1, 5), recoverMax)
	c.aside = at.Add(wait)
	what := "meter"
	if c == &c.of.thermo {
		what = "thermometer"
	}
	l.hang = &busError{
		text: fmt.Sprintf("bus %s: hung when the %s of outlet %d was read, %d times; freed by: %s; that chip is set aside for %s", l.name, what, c.of.Outlet, c.strikes, rung, wait),
		errs: []error{l.why},
	}
	l.tell(at, l.hang)
}

// calm forgets the strikes of chips on which the bus did not hang again.
func (l *Line) calm(at time.Time) {
	for _, t := range l.all {
		for _, c := range [...]*chip{&t.meter, &t.thermo} {
			// Dead it may be: it was tried, and the bus did not hang.
			if c.strikes > 0 && c.tried.After(c.hung) && at.Sub(c.hung) >= calmAfter {
				c.strikes = 0
				l.struck--
			}
		}
	}
	if l.struck == 0 {
		l.hang = nil
		l.tell(at, nil)
	}
}

// revive ends a bus that is down: every chip may be tried again.
func (l *Line) revive(at time.Time) {
	l.down, l.gate = false, time.Time{}
	l.mount(false)
	for _, t := range l.all {
		t.meter.fails, t.thermo.fails = min(t.meter.fails, 1), min(t.thermo.fails, 1)
	}
	l.tell(at, l.hang)
}

// tell makes err the fault of the bus.
func (l *Line) tell(since time.Time, err error) {
	if l.fault == nil {
		l.since = since
	}
	l.fault = err
	if err == nil {
		l.since = time.Time{}
		l.told.Store(nil)
		return
	}
	text := err.Error()
	l.told.Store(&text)
}

// busError is what is wrong with a bus, on one line.
type busError struct {
	text string
	errs []error
}

func (e *busError) Error() string   { return e.text }
func (e *busError) Unwrap() []error { return e.errs }
