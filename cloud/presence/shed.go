package presence

import (
	"slices"
	"time"

	"github.com/shedguard/shedguard"
)

// pastBoots is how many boots before the present one are remembered.
const pastBoots = 16

// clockSettles is how long no impossible time may come until a clock counts as
// right again.
const clockSettles = 30 * time.Second

// word is what is known of a fault.
type word uint8

const (
	unsaid word = iota // leave an open alarm as it is
	stands
	over
)

// verdict is what is to be said of one shed.
type verdict struct {
	state                  State
	since                  time.Time
	offline, silent, clock fault
}

// fault is one cause with what is said about it.
type fault struct {
	word  word
	since time.Time // when it began
	value float64   // seconds
	limit float64
}

// shed is what was seen of one gateway. It is pure: every method is told the
// time.
type shed struct {
	boot   string
	conn   uint64
	past   []string
	told   shedguard.GatewayState // the last status that counted, "" for none
	toldAt time.Time
	trial  bool // told is a retained online that nothing has borne out yet
	failed bool // … and the wait for it is over

	heard     time.Time // any message of its own
	telemetry time.Time // the last that was stored
	untimely  time.Time // the last impossible time
	timely    time.Time // the last message without one

	state State
	since time.Time
}

// status takes a status and reports whether it counts.
func (s *shed) status(st *shedguard.Status, retained bool, at time.Time) bool {
	online := st.State == shedguard.GatewayOnline
	if st.BootID == s.boot {
		ended := s.told != shedguard.GatewayOnline
		if st.Conn < s.conn || st.Conn == s.conn && ended && st.State != s.told {
			return false
		}
	} else {
		if slices.Contains(s.past, st.BootID) || (!online && !retained && st.BootID < s.boot) {
			return false
		}
		if s.boot != "" {
			s.past = append(s.past, s.boot)
			s.past = s.past[max(0, len(s.past)-pastBoots):]
		}
	}
	again := st.BootID == s.boot && st.Conn == s.conn && st.State == s.told
	doubted := s.trial || s.failed
	s.boot, s.conn, s.told = st.BootID, st.Conn, st.State
	switch {
	case !online:
		s.trial, s.failed = false, false
	case !retained:
		s.trial, s.failed = false, false
		s.heard = at
	case !again:
		s.trial, s.failed = true, false
	}
	if !again || doubted && !s.trial && !s.failed {
		s.toldAt = at
	}
	return true
}

// traffic takes any message that the gateway itself sent.
func (s *shed) traffic(at time.Time) {
	s.heard = at
	if s.told == shedguard.GatewayOnline && (s.trial || s.failed) {
		s.trial, s.failed = false, false
		s.toldAt = at
	}
}

// lines takes the outcome of a telemetry message.
func (s *shed) lines(good, untimely int, at time.Time) {
	if good > 0 {
		s.telemetry = at
	}
	if untimely > 0 {
		s.untimely = at
	} else if good > 0 {
		s.timely = at
	}
}

// judge says how the shed stands. listening is since when the collector hears
// everything that gateways say.
func (s *shed) judge(l *Limits, now, listening time.Time) verdict {
	v := verdict{state: StateUnknown, since: s.since}
	switch s.told {
	case shedguard.GatewayOffline:
		v.state = StateOffline
		v.offline = fault{word: stands, since: s.toldAt}
		v.silent.word = over
	case shedguard.GatewayStopped:
		v.state = StateStopped
		v.offline.word, v.silent.word = over, over
	case shedguard.GatewayOnline:
		if wait := now.Sub(latest(s.toldAt, listening)); s.trial && wait >= l.Trust {
			s.trial, s.failed = false, true
		}
		switch {
		case s.failed:
			v.state = StateOffline
			from := latest(s.toldAt, s.heard)
			v.offline = fault{word: stands, since: from, value: now.Sub(from).Seconds(), limit: l.Trust.Seconds()}
			v.silent.word = over
		case !s.trial:
			v.state = StateOnline
			v.offline.word = over
			s.judgeSilence(&v, l, now, listening)
		}
	default:
		if !s.heard.IsZero() { // it talks and never said who it is
			v.state = StateOnline
			s.judgeSilence(&v, l, now, listening)
		}
	}
	switch {
	case !s.untimely.IsZero() && (s.timely.Before(s.untimely) || s.timely.Sub(s.untimely) < clockSettles):
		v.clock = fault{word: stands, since: s.untimely}
	case !s.timely.IsZero():
		v.clock.word = over
	}
	if v.state != s.state {
		s.state, s.since = v.state, now
		v.since = now
	}
	return v
}

func (s *shed) judgeSilence(v *verdict, l *Limits, now, listening time.Time) {
	from := latest(s.telemetry, s.toldAt, listening)
	if quiet := now.Sub(from); quiet >= l.Silent {
		v.state = StateSilent
		v.silent = fault{word: stands, since: from, value: quiet.Seconds(), limit: l.Silent.Seconds()}
	} else if !s.telemetry.IsZero() && now.Sub(s.telemetry) < l.Silent {
		v.silent.word = over
	}
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}
