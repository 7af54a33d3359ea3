package charge

import (
	"math"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// Grade says how far a finding goes.
type Grade uint8

// The grades.
const (
	Notice  Grade = iota + 1 // four fifths of the limit: for the log
	Warning                  // the limit
	Major                    // twice the limit
)

// String is the grade's word.
func (g Grade) String() string {
	switch g {
	case Notice:
		return "notice"
	case Warning:
		return "warning"
	case Major:
		return "major"
	default:
		return "none"
	}
}

const (
	noticeShare = 0.8
	majorShare  = 2.
	// MaxFindings is how many findings stand at most.
	MaxFindings = 12 // a cause and a detail each
)

// Finding is something that no healthy charge does, or comes near to it.
type Finding struct {
	Cause    shedguard.Cause
	Detail   shedguard.Detail
	Grade    Grade
	Severity shedguard.Severity // of its alarm; a notice raises none
	Action   shedguard.Action   // what is to be done; none: it only reports
	Value    float64            // the worst since it was found
	Limit    float64
	Unit     string
	Since    time.Time // when it was found
}

// Text says what was found in one clause.
func (f *Finding) Text() shedguard.Text { return f.Detail.Text(f.Value, f.Limit) }

// find notes a value that is near or above its limit, once the rule is on.
func (s *State) find(r *protect.Rule, cause shedguard.Cause, detail shedguard.Detail, value, limit float64, unit string) {
	if !r.Enabled || !(value >= noticeShare*limit) || math.IsInf(value, 0) {
		return
	}
	f := s.finding(cause, detail)
	if f == nil {
		return
	}
	if f.Since.IsZero() {
		f.Since = s.at
	}
	if value >= f.Value {
		f.Value, f.Limit = value, limit
	}
	f.Unit = unit
	grade := Notice
	switch {
	case value >= majorShare*limit:
		grade = Major
	case value >= limit:
		grade = Warning
	}
	if grade < f.Grade {
		return
	}
	if f.Grade < Warning && grade >= Warning {
		f.Since = s.at
	}
	f.grade(r, grade)
}

// grade sets what follows from a grade.
func (f *Finding) grade(r *protect.Rule, grade Grade) {
	f.Grade, f.Severity, f.Action = grade, r.Severity, shedguard.ActionNone
	if grade != Major {
		return
	}
	f.Severity = max(r.Severity-1, shedguard.SeverityCritical)
	if r.Act == protect.ActTrip {
		f.Action = shedguard.ActionTripped
	}
}

// Condition is the finding as protect takes it.
func (f *Finding) Condition() protect.Condition {
	return protect.Condition{
		Cause: f.Cause, Detail: f.Detail, Severity: f.Severity, Action: f.Action,
		Value: f.Value, Limit: f.Limit, Unit: f.Unit, Since: f.Since, Latch: f.Action == shedguard.ActionTripped,
	}
}

// Conditions appends what raises an alarm to list, the worst first: of several
// with one cause protect holds the first.
func Conditions(list []protect.Condition, found []Finding) []protect.Condition {
	for _, grade := range [...]Grade{Major, Warning} {
		for i := range found {
			if found[i].Grade == grade {
				list = append(list, found[i].Condition())
			}
		}
	}
	return list
}

// finding is the one of a detail, old or new.
func (s *State) finding(cause shedguard.Cause, detail shedguard.Detail) *Finding {
	for i := range s.found {
		if f := &s.findings[i]; f.Detail == detail && f.Cause == cause {
			return f
		}
	}
	if s.found == len(s.findings) {
		return nil
	}
	s.findings[s.found] = Finding{Cause: cause, Detail: detail}
	s.found++
	return &s.findings[s.found-1]
}

// healthy reports whether nothing above a notice was found.
func (s *State) healthy() bool {
	for i := range s.found {
		if s.findings[i].Grade > Notice {
			return false
		}
	}
	return true
}

const (
	percent   = 100
	seenOften = 10 // readings that differ, in a quarter of an hour
)

// judge applies the rules that look at levels.
func (c *Settings) judge(s *State) {
	u := &s.curve
	if u.plateau >= c.Full.JudgeWatts {
		s.find(&c.TooLong.Rule, shedguard.CauseChargeTooLong, shedguard.DetailLong, hours(u.total), c.TooLong.Limit.Hours(), "h")
	}
	if !c.sure(u) {
		return
	}
	switch u.phase {
	case PhaseConstantCurrent:
		rise := c.risen(u)
		s.find(&c.Unstable.Rule, shedguard.CausePowerUnstable, shedguard.DetailRise, rise*percent, c.Unstable.RiseShare*percent, "%")
		u.most = max(u.most, rise)
	case PhaseConstantVoltage, PhaseTrickle:
		c.judgeTaper(s)
	default:
	}
	c.compare(s)
}

// risen is by how much power rose in constant current, as a share.
func (c *Settings) risen(u *curve) float64 {
	return max(0, u.level/explained(u.ref, u.atRef, u.volts)-1)
}

func (c *Settings) judgeTaper(s *State) {
	u := &s.curve
	rise := (u.level - explained(u.lowest, u.lowVolts, u.volts)) / u.plateau
	if r := &c.Unstable; rise >= noticeShare*r.LateRiseShare && u.level-u.lowest >= c.Full.ChangeWatts {
		u.rising++
		if u.rising >= riseSlots {
			s.find(&r.Rule, shedguard.CausePowerUnstable, shedguard.DetailLateRise, rise*percent, r.LateRiseShare*percent, "%")
		}
	} else {
		u.rising = 0
	}
	// The longer it stands still, the worse: twice the time is major.
	r := &c.FloatTooHigh
	limit := max(r.LimitWatts, r.LimitShare*u.plateau)
	stood := float64(u.age-u.stalledAt) / float64(slots(r.After))
	if r.Enabled && u.level >= limit && stood >= 1 {
		s.find(&r.Rule, shedguard.CauseFloatTooHigh, shedguard.DetailStuck, u.level, limit, "W")
		if f := s.finding(shedguard.CauseFloatTooHigh, shedguard.DetailStuck); stood >= majorShare && f != nil {
			f.grade(&r.Rule, Major)
		}
	}
}

func hours(n int) float64 { return (time.Duration(n) * slotLen).Hours() }

// step looks for power that jumps.
func (c *Settings) step(s *State, before, beforeVolts float64) {
	u := &s.curve
	r := &c.Unstable
	if !c.sure(u) {
		return
	}
	if up := (u.level - explained(before, beforeVolts, u.volts)) / u.plateau; u.phase == PhaseConstantCurrent && up >= r.StepShare {
		s.find(&r.Rule, shedguard.CausePowerUnstable, shedguard.DetailStepUp, up*percent, r.StepShare*percent, "%")
	}
	down := before - explained(u.level, u.volts, beforeVolts)
	switch {
	case u.stepAt == 0:
		if down >= r.StepShare*u.plateau && u.level > thirdShare*u.plateau {
			u.stepFrom, u.stepTo, u.stepAt, u.stepSeen = before, u.level, u.age, s.frozen.changes
		}
	case math.Abs(u.level-u.stepTo) > c.KneeShare*u.plateau:
		// It goes on falling, or came back: begin again from here.
		u.stepAt = 0
		if u.level < u.stepTo && u.level > thirdShare*u.plateau && down >= r.StepShare*u.plateau {
			u.stepTo, u.stepAt, u.stepSeen = u.level, u.age, s.frozen.changes
		}
	case u.age-u.stepAt >= lastSlots && s.frozen.changes-u.stepSeen < seenOften:
		u.stepAt = 0 // read too seldom to tell a step from a taper
	case u.age-u.stepAt >= lastSlots:
		s.find(&r.Rule, shedguard.CausePowerUnstable, shedguard.DetailStepDown, (u.stepFrom-u.stepTo)/u.plateau*percent, r.StepShare*percent, "%")
		u.stepAt = 0
	}
}

// swings counts how often power turns round.
type swings struct {
	last  [2]float64 // the two readings before
	have  int
	up    bool
	begun bool
	top   float64 // the extreme since the last turn
	at    [2 * MaxSwings * 2]time.Time
	next  int
	n     int
}

// watch applies the rules that look at every reading.
func (c *Settings) watch(s *State) {
	u := &s.curve
	c.watchFrozen(s)
	r := &c.Unstable
	if !c.sure(u) {
		return
	}
	w := &s.swing
	// The middle of three, so that one sample is no swing.
	a, b, d := w.last[0], w.last[1], s.watts
	w.last[0], w.last[1] = b, d
	if w.have < 2 {
		w.have++
		return
	}
	m := max(min(a, b), min(max(a, b), d))
	size := r.SwingShare * u.plateau
	switch {
	case !w.begun:
		w.begun, w.top = true, m
		return
	case w.up == (m > w.top): // on in the same direction
		w.top = m
		return
	case math.Abs(m-w.top) < size:
		return
	}
	w.up, w.top = !w.up, m
	w.at[w.next] = s.at
	w.next = (w.next + 1) % len(w.at)
	w.n = min(w.n+1, len(w.at))
	// Two turns are one swing.
	count := 0
	for i := range w.n {
		if s.at.Sub(w.at[i]) <= r.Window {
			count++
		}
	}
	s.find(&r.Rule, shedguard.CausePowerUnstable, shedguard.DetailSwings, float64(count/2), float64(r.Swings), "")
}

// frozenTimes is how often as long as usual a reading may stay the same.
const frozenTimes = 20

func (c *Settings) watchFrozen(s *State) {
	z := &s.frozen
	if z.begun.IsZero() || s.watts != z.watts {
		if z.begun.IsZero() {
			z.begun = s.at
		} else {
			z.changes++
		}
		z.watts, z.since = s.watts, s.at
		return
	}
	still := s.at.Sub(z.since)
	if z.changes < 2 || !c.sure(&s.curve) || s.watts < c.Full.JudgeWatts {
		return
	}
	usual := z.since.Sub(z.begun) / time.Duration(z.changes)
	limit := max(c.Frozen.Limit, frozenTimes*usual)
	s.find(&c.Frozen.Rule, shedguard.CauseMeterImplausible, shedguard.DetailFrozen, still.Minutes(), limit.Minutes(), "min")
}
