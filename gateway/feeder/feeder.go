package feeder

import (
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// Ramp is how long after its relay closed an outlet may still draw less
	// than it will: chargers start softly.
	Ramp = 30 * time.Second
	// StaleAfter is the age from which a reading says nothing of now.
	StaleAfter = 3 * time.Second
	// IdleWatts is the power below which nothing is plugged in; field piles take
	// 10 W.
	IdleWatts = 10.0

	// releaseShare of the soft limit is where refusing ends.
	releaseShare = 0.95
	// grantFor is how long an outlet without a session that was given back may
	// take to be fed before its place is given to others.
	grantFor = time.Minute
)

// Limits are what a feeder carries.
type Limits struct {
	SoftWatts float64       // W: from here on nothing new begins
	HardWatts float64       // W: above, the youngest session is shed
	Delay     time.Duration // above HardWatts for so long before the first one is shed
	Settle    time.Duration // between two that are shed or given back
}

// Validate reports what is wrong with the limits, every fault at once, each
// with its path.
func (l *Limits) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	const least, most = 100, 200_000
	check(l.SoftWatts >= least && l.SoftWatts <= most, "soft_watts: %g: want %d to %d", l.SoftWatts, least, most)
	check(l.HardWatts >= least && l.HardWatts <= most, "hard_watts: %g: want %d to %d", l.HardWatts, least, most)
	if len(errs) == 0 {
		// The noise of a dozen meters must not carry a load across the band.
		check(l.HardWatts >= 1.05*l.SoftWatts, "hard_watts: %g: want at least 1.05 x soft_watts (%g)", l.HardWatts, 1.05*l.SoftWatts)
	}
	check(l.Delay >= 0 && l.Delay <= time.Minute, "delay: %v: want 0s to 1m0s", l.Delay)
	check(l.Settle >= time.Second && l.Settle <= 10*time.Minute, "settle: %v: want 1s to 10m0s", l.Settle)
	return errors.Join(errs...)
}

// Load is what is known of one outlet at one moment.
type Load struct {
	Outlet   int
	Rated    float64   // W, the most it is meant for
	Expected float64   // W that its session draws once it is fed; 0: Rated
	Watts    float64   // magnitude of the last usable reading
	At       time.Time // of that reading; zero: none yet
	Fed      bool      // the relay was told to close, or is not confirmed open
	Since    time.Time // of the relay's last operation
	Wanted   bool      // it would be fed if nothing held it open
	Latched  bool      // it stays open until a person resets it
	Session  bool      // a session runs
	Begun    time.Time // of that session
	Asks     bool      // it was to close and found no room
	Claim    float64   // W of a start or a closing that is under way
	Held     bool      // by the feeder; [Limits.Next] knows that itself
}

// fresh reports whether the last reading tells what flows now.
func (l *Load) fresh(now time.Time) bool {
	return !l.At.IsZero() && now.Sub(l.At) <= StaleAfter && !math.IsNaN(l.Watts) && !math.IsInf(l.Watts, 0)
}

// drawn is what flows through the outlet, as far as is known.
func (l *Load) drawn(now time.Time) float64 {
	switch known := l.Watts >= IdleWatts && !math.IsInf(l.Watts, 0); {
	case l.fresh(now):
		return l.Watts
	case l.Fed && known && !l.At.Before(l.Since):
		return l.Watts // the last that was seen since it is fed
	case l.Fed:
		return l.Rated
	case known:
		// Opened, and no reading since has shown that nothing flows.
		return l.Watts
	default:
		return 0
	}
}

// will is what the outlet draws once it is fed.
func (l *Load) will() float64 {
	if l.Expected > 0 {
		return l.Expected
	}
	return l.Rated
}

// drawing reports whether something is plugged in and fed.
func (l *Load) drawing(now time.Time) bool {
	return l.Fed && l.fresh(now) && l.At.After(l.Since) && l.Watts >= IdleWatts
}

// Meter is the reading of a feeder's own meter; the zero Meter is a feeder
// without one.
type Meter struct {
	Watts float64
	At    time.Time
}

// Sum is what a shed asks of its feeder.
type Sum struct {
	Drawn    float64 // W that flow now
	Active   float64 // W that flow, or will as soon as what was just fed has ramped up
	Reserved float64 // W of sessions that are not fed now and will be again
	Held     float64 // W of what the feeder itself holds open
	Metered  bool    // the feeder's own meter was used
}

// Committed is what must be left for those who are already here.
func (s *Sum) Committed() float64 { return s.Active + s.Reserved + s.Held }

// Count adds up the loads.
func Count(loads []Load, meter Meter, now time.Time) Sum {
	var s Sum
	var seen, ramp float64
	for i := range loads {
		l := &loads[i]
		drawn := l.drawn(now)
		s.Drawn += drawn
		if l.fresh(now) {
			seen += drawn
		}
		switch {
		case l.Latched:
		case l.Held:
			s.Held += l.will()
		case l.Claim > 0:
			ramp += max(0, max(l.Claim, 0)-drawn)
		case !l.Session:
		case !l.Fed:
			s.Reserved += max(0, l.will()-drawn)
		case now.Sub(l.Since) < Ramp:
			ramp += max(0, l.will()-drawn)
		}
	}
	if whole := (Load{Watts: meter.Watts, At: meter.At}); whole.fresh(now) {
		s.Drawn, s.Metered = max(meter.Watts, seen), true
	}
	s.Active = s.Drawn + ramp
	return s
}

// Admits reports whether a new session that will draw so many watts may begin,
// when the loads without it come to s.
func (l *Limits) Admits(s *Sum, watts float64) bool {
	return s.Committed() < l.SoftWatts && s.Committed()+watts <= l.HardWatts
}

// Resumes reports whether a session that is not fed may be fed, when the loads
// without it come to s.
func (l *Limits) Resumes(s *Sum, watts float64) bool { return s.Active+watts <= l.SoftWatts }

// Mode is how the feeder treats an outlet.
type Mode uint8

// The modes.
const (
	Free    Mode = iota // nothing of the feeder's holds it open
	Waiting             // it asked for power at or above the soft limit
	Shed                // it was switched off above the hard limit
)

// Hold is why the feeder holds an outlet open.
type Hold struct {
	Mode  Mode
	Value float64 // W of the shed when it decided
	Limit float64 // W it was held against
	Since time.Time
}

// place is what is remembered of one outlet.
type place struct {
	hold    Hold
	session bool      // a session ran when it was held
	in      bool      // what it draws was let in
	granted time.Time // given back without a session: its load is let in
}

// State is what is remembered of a feeder between two steps.
type State struct {
	places    []place
	refusing  bool
	refusedAt time.Time
	lowSince  time.Time // below where refusing ends
	overSince time.Time // above the hard limit
	fitSince  time.Time // somebody who is held would fit
	changed   time.Time // when somebody was last shed or given back
}

// NewState is the state of a feeder with n outlets of which none is held.
func NewState(n int) State { return State{places: make([]place, n)} }

// Hold is how the outlet at a place is treated.
func (s *State) Hold(i int) Hold { return s.places[i].hold }

// Granted reports whether the outlet at a place was given back without a
// session: it may be fed although nothing new begins.
func (s *State) Granted(i int) bool { return !s.places[i].granted.IsZero() }

// Verdict is what one step found.
type Verdict struct {
	Sum
	Refusing bool      // nothing new begins
	Since    time.Time // when that began
	Over     time.Time // since when the shed is above the hard limit; zero: it is not
	Waiting  int       // outlets that wait for room
	Shed     int       // outlets that were switched off
	Changed  bool      // somebody's Hold did
}

// Next takes the state one step further. Loads are those of the places, always
// in the same order; Held is filled in. It allocates nothing.
func (l *Limits) Next(s *State, loads []Load, meter Meter, now time.Time) Verdict {
	v := Verdict{}
	for i := range loads {
		p := &s.places[i]
		if s.drop(p, &loads[i]) {
			v.Changed = true
		}
		loads[i].Held = p.hold.Mode != Free
		p.grant(&loads[i], now)
	}
	v.Sum = Count(loads, meter, now)
	v.Changed = l.admit(s, loads, &v.Sum, now) || v.Changed
	l.refuse(s, &v.Sum, now)
	v.Changed = l.shed(s, loads, &v.Sum, now) || v.Changed
	v.Changed = l.giveBack(s, loads, &v.Sum, now) || v.Changed

	v.Refusing, v.Since, v.Over = s.refusing, s.refusedAt, s.overSince
	for i := range s.places {
		switch s.places[i].hold.Mode {
		case Waiting:
			v.Waiting++
		case Shed:
			v.Shed++
		case Free:
		}
	}
	return v
}

// drop ends a hold that nobody waits for any more.
func (*State) drop(p *place, l *Load) bool {
	if p.hold.Mode == Free || l.Wanted && !l.Latched && (l.Session || !p.session) {
		p.session = p.session || p.hold.Mode != Free && l.Session
		return false
	}
	p.hold, p.session, p.in = Hold{}, false, false
	return true
}

// grant keeps the place of an outlet without a session that was given back.
func (p *place) grant(l *Load, now time.Time) {
	switch {
	case p.granted.IsZero():
	case l.Session, now.Sub(p.granted) >= grantFor && !l.Fed, l.Fed && now.Sub(l.Since) >= Ramp && l.Since.After(p.granted):
		p.granted = time.Time{}
	default:
		l.Claim = max(l.Claim, l.will())
	}
}

// admit holds what is plugged in, or wants to be fed again, while there is no
// room for it.
func (l *Limits) admit(s *State, loads []Load, sum *Sum, now time.Time) (changed bool) {
	for i := range loads {
		p, o := &s.places[i], &loads[i]
		if p.hold.Mode != Free {
			continue
		}
		switch {
		case o.Session && o.Asks && !o.Fed && !o.Latched:
			changed = true
			p.holds(Waiting, o, sum.Active, l.SoftWatts, now)
		case o.Session, !p.granted.IsZero():
			p.in = true
		case !o.drawing(now):
			p.in = false
		case s.refusing && !p.in:
			changed = true
			p.holds(Waiting, o, sum.Drawn, l.SoftWatts, now)
		default:
			p.in = true
		}
	}
	return changed
}

func (p *place) holds(m Mode, o *Load, value, limit float64, now time.Time) {
	p.hold = Hold{Mode: m, Value: value, Limit: limit, Since: now}
	p.session, p.in, p.granted = o.Session, false, time.Time{}
}

// refuse says whether anything new may begin. It ends well below where it
// began, and not before Settle.
func (l *Limits) refuse(s *State, sum *Sum, now time.Time) {
	switch committed := sum.Committed(); {
	case committed >= l.SoftWatts:
		if !s.refusing {
			s.refusing, s.refusedAt = true, now
		}
		s.lowSince = time.Time{}
	case !s.refusing:
	case committed >= releaseShare*l.SoftWatts:
		s.lowSince = time.Time{}
	case s.lowSince.IsZero():
		s.lowSince = now
	case now.Sub(s.lowSince) >= l.Settle:
		s.refusing, s.refusedAt, s.lowSince = false, time.Time{}, time.Time{}
	}
}

// shed switches the youngest off when the shed has drawn too much for too long.
func (l *Limits) shed(s *State, loads []Load, sum *Sum, now time.Time) bool {
	if sum.Drawn <= l.HardWatts {
		s.overSince = time.Time{}
		return false
	}
	if s.overSince.IsZero() {
		s.overSince = now
	}
	if now.Sub(s.overSince) < l.Delay || !s.changed.IsZero() && now.Sub(s.changed) < l.Settle {
		return false
	}
	youngest := -1
	for i := range loads {
		o := &loads[i]
		if s.places[i].hold.Mode == Free && o.Fed && o.drawn(now) >= IdleWatts && (youngest < 0 || younger(o, &loads[youngest])) {
			youngest = i
		}
	}
	if youngest < 0 {
		return false
	}
	s.places[youngest].holds(Shed, &loads[youngest], sum.Drawn, l.HardWatts, now)
	s.changed, s.fitSince = now, time.Time{}
	return true
}

// younger reports whether a came later than b. What has no session yet came
// last.
func younger(a, b *Load) bool {
	switch {
	case a.Session != b.Session:
		return b.Session
	case a.Session && !a.Begun.Equal(b.Begun):
		return a.Begun.After(b.Begun)
	default:
		return a.Outlet > b.Outlet
	}
}

// giveBack ends the hold of the oldest that has fitted below the soft limit for
// long enough.
func (l *Limits) giveBack(s *State, loads []Load, sum *Sum, now time.Time) bool {
	oldest := -1
	for i := range loads {
		o := &loads[i]
		if s.places[i].hold.Mode != Free && sum.Active+sum.Reserved+o.will() <= l.SoftWatts &&
			(oldest < 0 || younger(&loads[oldest], o)) {
			oldest = i
		}
	}
	switch {
	case oldest < 0:
		s.fitSince = time.Time{}
		return false
	case s.fitSince.IsZero():
		s.fitSince = now
	}
	if now.Sub(s.fitSince) < l.Settle {
		return false
	}
	p := &s.places[oldest]
	p.hold, p.in, p.session = Hold{}, true, false
	if !loads[oldest].Session {
		p.granted = now
	}
	s.changed, s.fitSince = now, time.Time{}
	return true
}
