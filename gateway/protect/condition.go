package protect

import (
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

// Condition is what something other than the rules of this package found to
// stand now: the charging curve, the shed's feeder, the smoke contact of the
// zone. It is told with every step for as long as it stands.
type Condition struct {
	Cause    shedguard.Cause
	Detail   shedguard.Detail // what of the cause was seen, if it has several faces
	Severity shedguard.Severity
	// Action is what is to be done about it: none and refused_start only report
	// it, every other one holds the outlet open.
	Action shedguard.Action
	Value  float64
	Limit  float64
	Unit   string
	Since  time.Time // zero: since it is told
	// Latch holds the outlet open until a reset, even after the condition has
	// passed. A condition that only reports never latches.
	Latch bool
}

// conditions takes over what stands by the word of others.
func (s *State) conditions(list []Condition, now time.Time) {
	if len(list) == 0 && s.told == 0 {
		return
	}
	var told Causes
	for n := range list {
		c := &list[n]
		i, ok := find(c.Cause)
		if !ok {
			continue
		}
		s.tell(i, c, told.has(i), now)
		told.add(i)
	}
	over := s.told &^ told
	s.told = told
	s.drop(over &^ s.stands &^ s.latched)
}

// tell holds one condition. Of two with the same cause in one step the
// stronger counts.
func (s *State) tell(i index, c *Condition, again bool, now time.Time) {
	d, acts := &s.held[i], opens(c.Action)
	latch := acts && c.Latch
	stronger := acts && !s.acting.has(i) || latch && !s.latched.has(i)
	since := c.Since
	if since.IsZero() || since.After(now) {
		since = now
	}
	switch {
	case !s.set.has(i):
		*d = Decision{Cause: i.cause(), Action: action(c), Since: since, At: now}
	case d.At.IsZero(): // a latch of an earlier boot, and now it stands again
		d.Since, d.At = since, now
		if latch {
			d.Action = c.Action
		}
	case stronger:
		d.Action, d.At = c.Action, now
	case again || s.stands.has(i): // the stronger one, or a rule of this package, said it already
		return
	case !s.latched.has(i):
		d.Action = action(c)
	}
	d.Detail, d.Severity = c.Detail, severity(c.Severity)
	d.Value, d.Limit, d.Unit = finite(c.Value), finite(c.Limit), c.Unit
	d.Latched = d.Latched || latch
	s.set.add(i)
	s.latched.put(i, d.Latched)
	s.acting.put(i, d.Latched || opens(d.Action))
}

func action(c *Condition) shedguard.Action {
	if c.Action == "" {
		return shedguard.ActionNone
	}
	return c.Action
}

// severity is s, or major when it is none: an alarm without a severity could
// not be sent.
func severity(s shedguard.Severity) shedguard.Severity {
	if s < shedguard.SeverityCritical || s > shedguard.SeverityWarning {
		return shedguard.SeverityMajor
	}
	return s
}

// finite is v, or 0 when it is no number: such an alarm could not be sent.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
