package protect

import (
	"math/bits"
	"strings"

	"github.com/shedguard/shedguard"
)

// index numbers the causes that can hold an outlet open, most urgent first.
type index uint8

const (
	shortCircuit index = iota
	relayWelded
	overTemperature
	overcurrent
	overpower
	stateLost
	meterStale
	count
)

func (i index) cause() shedguard.Cause {
	switch i {
	case shortCircuit:
		return shedguard.CauseShortCircuit
	case relayWelded:
		return shedguard.CauseRelayWelded
	case overTemperature:
		return shedguard.CauseOverTemperature
	case overcurrent:
		return shedguard.CauseOvercurrent
	case overpower:
		return shedguard.CauseOverpower
	case stateLost:
		return shedguard.CauseStateLost
	case meterStale:
		return shedguard.CauseMeterStale
	default:
		return ""
	}
}

// action is what holding the outlet open for the cause amounts to.
func (i index) action() shedguard.Action {
	switch i {
	case relayWelded:
		return shedguard.ActionSiren
	case meterStale:
		return shedguard.ActionSuspended
	default:
		return shedguard.ActionTripped
	}
}

// Causes is a set of the causes that this package keeps for an outlet: those
// its rules decide, and state_lost, which it only holds. The bits are for
// memory; on disk and on the wire causes are words.
type Causes uint32

// NewCauses is the set of the given causes. A cause that this package does
// not keep is left out.
func NewCauses(cs ...shedguard.Cause) Causes {
	var set Causes
	for _, c := range cs {
		set = set.With(c)
	}
	return set
}

// All is the set of every cause that this package keeps.
func All() Causes { return 1<<count - 1 }

// With is the set with c added. A cause that this package does not keep
// changes nothing.
func (s Causes) With(c shedguard.Cause) Causes {
	for i := range count {
		if i.cause() == c {
			return s | 1<<i
		}
	}
	return s
}

// Has reports whether c is in the set.
func (s Causes) Has(c shedguard.Cause) bool {
	return c != "" && s&NewCauses(c) != 0
}

// List is the causes of the set, most urgent first; nil when it is empty.
func (s Causes) List() []shedguard.Cause {
	if s&All() == 0 {
		return nil
	}
	list := make([]shedguard.Cause, 0, bits.OnesCount32(uint32(s)))
	for i := range count {
		if s&(1<<i) != 0 {
			list = append(list, i.cause())
		}
	}
	return list
}

func (s Causes) String() string {
	words := make([]string, 0, count)
	for _, c := range s.List() {
		words = append(words, string(c))
	}
	return "[" + strings.Join(words, " ") + "]"
}
