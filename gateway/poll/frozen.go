package poll

import (
	"fmt"
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	// frozenLeast is the shortest time after which words count as frozen.
	frozenLeast = 5 * time.Second
	// restVolts is the voltage from which an outlet counts as live at rest.
	restVolts = 50.0
	// frozenReads is how many reads must have given the same words as well:
	// a meter that is read once a second may be read twice in one conversion.
	frozenReads = 5
)

// Frozen says when the register words of a meter count as frozen: all of them
// the same to the last bit, in every read for After, while more than AboveAmps
// flows.
//
// How long After must be depends on what one bit of the meter is worth. The
// words that are compared hold at least volts and amperes. A mains meter of
// 16 bits sees the mains move by tens of its steps from one window to the next:
// two equal words in a row are rare, fifty do not happen. A meter of direct
// current with 12 bits may honestly rest in the middle of a step of 15 mV for a
// while, and needs a minute or more.
type Frozen struct {
	After     time.Duration // 5 s or more
	AboveAmps float64       // A
	// AtRestAfter is for when no such current flows, on a live outlet: a mains
	// meter that froze at rest would not see the load that comes next. It is zero
	// for direct current, whose words may rest without a load.
	AtRestAfter time.Duration
}

// after is how long words may stay the same at this reading; ok is false for
// as long as they like.
func (f *Frozen) after(r *shedguard.Reading) (d time.Duration, ok bool) {
	switch {
	case math.Abs(r.Amps) > f.AboveAmps:
		return f.After, true
	case math.Abs(r.Volts) > restVolts:
		return f.AtRestAfter, f.AtRestAfter > 0
	default:
		return 0, false
	}
}

// freeze is what is remembered of a meter's words.
type freeze struct {
	words [3]uint32
	since time.Time // of the first read with these words
	reads int       // with these words
	err   error     // while they count as frozen
}

// melt judges the words of a reading that just came: the error is that they are
// frozen. Words that are all zero are those of a meter that has none.
func (l *Line) melt(t *task, r *shedguard.Reading, at time.Time) error {
	f := &t.frozen
	if t.Frozen == nil || r.Raw == ([3]uint32{}) {
		return nil
	}
	if r.Raw != f.words || f.since.IsZero() {
		if f.err != nil {
			l.stuck.Add(-1)
		}
		*f = freeze{words: r.Raw, since: at, reads: 1}
		return nil
	}
	f.reads++
	after, ok := t.Frozen.after(r)
	if f.err == nil && f.reads >= frozenReads && ok && at.Sub(f.since) >= after {
		l.stuck.Add(1)
		f.err = fmt.Errorf("outlet %d: meter: %w: %#08x for %s at %.3g A", t.Outlet, ErrFrozen, f.words, at.Sub(f.since).Round(time.Second), r.Amps)
	}
	return f.err
}
