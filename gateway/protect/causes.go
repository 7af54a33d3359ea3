package protect

import (
	"math/bits"
	"strings"

	"github.com/shedguard/shedguard"
)

// index numbers the causes that can concern an outlet, most urgent first.
type index uint8

const (
	fire index = iota
	shortCircuit
	residualCurrent
	relayWelded
	smokeContact
	flameSeen
	smokeSeen
	temperatureRise
	overTemperature
	overcurrent
	overpower
	floatTooHigh
	powerUnstable
	chargeTooLong
	overvoltage
	undervoltage
	shedOverload
	doorOpen
	busFault
	stateLost
	meterImplausible
	meterStale
	count
)

// words are the causes by their index.
func words() [count]shedguard.Cause {
	return [count]shedguard.Cause{
		fire:             shedguard.CauseFire,
		shortCircuit:     shedguard.CauseShortCircuit,
		residualCurrent:  shedguard.CauseResidualCurrent,
		relayWelded:      shedguard.CauseRelayWelded,
		smokeContact:     shedguard.CauseSmokeContact,
		flameSeen:        shedguard.CauseFlameSeen,
		smokeSeen:        shedguard.CauseSmokeSeen,
		temperatureRise:  shedguard.CauseTemperatureRise,
		overTemperature:  shedguard.CauseOverTemperature,
		overcurrent:      shedguard.CauseOvercurrent,
		overpower:        shedguard.CauseOverpower,
		floatTooHigh:     shedguard.CauseFloatTooHigh,
		powerUnstable:    shedguard.CausePowerUnstable,
		chargeTooLong:    shedguard.CauseChargeTooLong,
		overvoltage:      shedguard.CauseOvervoltage,
		undervoltage:     shedguard.CauseUndervoltage,
		shedOverload:     shedguard.CauseShedOverload,
		doorOpen:         shedguard.CauseDoorOpen,
		busFault:         shedguard.CauseBusFault,
		stateLost:        shedguard.CauseStateLost,
		meterImplausible: shedguard.CauseMeterImplausible,
		meterStale:       shedguard.CauseMeterStale,
	}
}

func (i index) cause() shedguard.Cause { return words()[i] }

// find is the index of a cause; false when this package does not keep it.
func find(c shedguard.Cause) (index, bool) {
	for i, word := range words() {
		if word == c {
			return index(i), true
		}
	}
	return 0, false
}

// tripped is what a latch for the cause amounts to.
func (i index) tripped() shedguard.Action {
	if i == relayWelded {
		return shedguard.ActionSiren // opening was tried already
	}
	return shedguard.ActionTripped
}

// opens reports whether the action holds an outlet open. To sound the siren is
// what is done about an outlet that was told to open and does not.
func opens(a shedguard.Action) bool {
	switch a {
	case shedguard.ActionSuspended, shedguard.ActionTripped, shedguard.ActionCutZone, shedguard.ActionCutShed, shedguard.ActionSiren:
		return true
	default:
		return false
	}
}

// Causes is a set of the causes that can concern an outlet: those that the
// rules of this package decide, and those that it holds for others, see
// [Condition]. The bits are for memory; on disk and on the wire causes are
// words.
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
	if i, ok := find(c); ok {
		return s | i.bit()
	}
	return s
}

// Has reports whether c is in the set.
func (s Causes) Has(c shedguard.Cause) bool {
	i, ok := find(c)
	return ok && s.has(i)
}

// List is the causes of the set, most urgent first; nil when it is empty.
func (s Causes) List() []shedguard.Cause {
	if s&All() == 0 {
		return nil
	}
	list := make([]shedguard.Cause, 0, bits.OnesCount32(uint32(s)))
	for i := range count {
		if s.has(i) {
			list = append(list, i.cause())
		}
	}
	return list
}

func (s Causes) String() string {
	all := make([]string, 0, count)
	for _, c := range s.List() {
		all = append(all, string(c))
	}
	return "[" + strings.Join(all, " ") + "]"
}

func (i index) bit() Causes       { return 1 << i }
func (s Causes) has(i index) bool { return s&i.bit() != 0 }
func (s *Causes) add(i index)     { *s |= i.bit() }
func (s *Causes) remove(i index)  { *s &^= i.bit() }
func (s *Causes) put(i index, in bool) {
	if in {
		s.add(i)
	} else {
		s.remove(i)
	}
}
