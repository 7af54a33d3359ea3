package fire

import (
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
)

// Sense is a kind of evidence. Two of different kinds do not fail together.
type Sense uint8

// The senses.
const (
	Camera Sense = iota
	SmokeContact
	Heat       // a thermometer
	Electrical // a meter
	senses
)

func (s Sense) String() string {
	switch s {
	case Camera:
		return "camera"
	case SmokeContact:
		return "smoke_contact"
	case Heat:
		return "heat"
	case Electrical:
		return "electrical"
	default:
		return fmt.Sprintf("sense(%d)", uint8(s))
	}
}

// SenseOf is the sense behind a cause, or false for a cause that says nothing
// of fire.
func SenseOf(c shedguard.Cause) (Sense, bool) {
	switch c {
	case shedguard.CauseFlameSeen, shedguard.CauseSmokeSeen:
		return Camera, true
	case shedguard.CauseSmokeContact:
		return SmokeContact, true
	case shedguard.CauseOverTemperature, shedguard.CauseTemperatureRise:
		return Heat, true
	case shedguard.CauseOvercurrent, shedguard.CauseShortCircuit, shedguard.CauseResidualCurrent:
		return Electrical, true
	default:
		return 0, false
	}
}

// Sign is something that stands now and speaks for fire in the zone.
type Sign struct {
	Subject string          // where it was seen: "camera/c1", "outlet/3"
	Cause   shedguard.Cause // one that has a sense
	Since   time.Time       // when its source first saw it; zero: now
	// Shadow is true for a camera that only watches yet: it is told, and counts
	// for nothing.
	Shadow bool
}

// Settings are how a zone is judged.
type Settings struct {
	// Persist is how long a camera alone must see without a break to make an
	// alarm of a pre-alarm.
	Persist time.Duration
	// Within is how far two senses may lie apart to speak of the same fire.
	Within time.Duration
	// Break is how long a camera may see nothing within what still counts as
	// without a break: flames flicker, people walk by.
	Break time.Duration
	// Cut is what a fire cuts: ActionTripped for the outlets that gave a sign,
	// ActionCutZone or ActionCutShed.
	Cut shedguard.Action
}

// Validate reports what is wrong with the settings.
func (c *Settings) Validate() error {
	span := func(name string, v, low, high time.Duration) error {
		if v < low || v > high {
			return fmt.Errorf("%s: %v: want %v to %v", name, v, low, high)
		}
		return nil
	}
	if err := span("persist", c.Persist, time.Second, 5*time.Minute); err != nil {
		return err
	}
	if err := span("within", c.Within, time.Second, 10*time.Minute); err != nil {
		return err
	}
	if err := span("break", c.Break, 0, c.Persist); err != nil {
		return err
	}
	switch c.Cut {
	case shedguard.ActionTripped, shedguard.ActionCutZone, shedguard.ActionCutShed:
		return nil
	default:
		return fmt.Errorf("cut: %q: want %q, %q or %q", c.Cut, shedguard.ActionTripped, shedguard.ActionCutZone, shedguard.ActionCutShed)
	}
}

// State is what is remembered of one zone. The zero State is a zone in which
// nothing was seen.
type State struct {
	spoke [senses]stretch
	fire  Verdict // that stays until a reset; its Grade is empty while there is none
}

// stretch is a time in which a sense spoke.
type stretch struct {
	from, to time.Time
	sign     Sign // the first of it
}

// Verdict is how a zone stands.
type Verdict struct {
	Grade    shedguard.Grade
	Severity shedguard.Severity
	Action   shedguard.Action // what is to be cut; none, or siren where only that sounds
	Siren    bool
	Since    time.Time // when the first of the signs that count began
	Signs    [senses]Sign
	n        uint8
}

// List is the signs that led to the verdict, at most one a sense.
func (v *Verdict) List() []Sign { return v.Signs[:v.n] }

// Fire reports whether a fire stands in the zone.
func (s *State) Fire() bool { return s.fire.Grade == shedguard.GradeFire }

// Next takes the state one step further. Signs is everything that stands now,
// in any order.
func (c *Settings) Next(s *State, signs []Sign, now time.Time) Verdict {
	var shadow *Sign
	var standing [senses]bool
	for i := range signs {
		sense, ok := SenseOf(signs[i].Cause)
		if !ok {
			continue
		}
		if signs[i].Shadow {
			if shadow == nil {
				shadow = &signs[i]
			}
			continue
		}
		if standing[sense] {
			continue
		}
		standing[sense] = true
		s.hear(sense, signs[i], c.Break, now)
	}
	if s.Fire() {
		return s.fire
	}

	v := Verdict{Grade: shedguard.GradeNone, Action: shedguard.ActionNone}
	for i := range senses {
		if p := &s.spoke[i]; !p.to.IsZero() && now.Sub(p.to) <= c.Within {
			v.Signs[v.n] = p.sign
			v.n++
			if v.Since.IsZero() || p.from.Before(v.Since) {
				v.Since = p.from
			}
		}
	}
	camera, contact := &s.spoke[Camera], &s.spoke[SmokeContact]
	recent := func(p *stretch) bool { return !p.to.IsZero() && now.Sub(p.to) <= c.Within }
	switch {
	case v.n >= 2 && (recent(camera) || recent(contact)) && (standing[Camera] || standing[SmokeContact] || standing[Heat] || standing[Electrical]):
		v.Grade, v.Severity, v.Action, v.Siren = shedguard.GradeFire, shedguard.SeverityCritical, c.Cut, true
		s.fire = v
	case standing[SmokeContact]:
		v.only(contact)
		v.Grade, v.Severity, v.Action, v.Siren = shedguard.GradeAlarm, shedguard.SeverityCritical, shedguard.ActionCutZone, true
	case c.sees(camera, now) && camera.to.Sub(camera.from) >= c.Persist:
		v.only(camera)
		v.Grade, v.Severity, v.Action, v.Siren = shedguard.GradeAlarm, shedguard.SeverityCritical, shedguard.ActionSiren, true
	case c.sees(camera, now):
		v.only(camera)
		v.Grade, v.Severity = shedguard.GradePreAlarm, shedguard.SeverityMajor
	case shadow != nil:
		v.Signs, v.n, v.Since = [senses]Sign{*shadow}, 1, now
		v.Grade, v.Severity = shedguard.GradeNotice, shedguard.SeverityWarning
	default:
		v = Verdict{Grade: shedguard.GradeNone, Action: shedguard.ActionNone}
	}
	return v
}

// hear notes that a sense speaks now.
func (s *State) hear(sense Sense, sign Sign, most time.Duration, now time.Time) {
	p := &s.spoke[sense]
	if p.to.IsZero() || now.Sub(p.to) > most {
		p.from, p.sign = now, sign
		if !sign.Since.IsZero() && sign.Since.Before(now) {
			p.from = sign.Since
		}
	}
	p.to = now
}

// sees reports whether the camera sees something, or has until just now.
func (c *Settings) sees(p *stretch, now time.Time) bool {
	return !p.to.IsZero() && now.Sub(p.to) <= c.Break
}

// only makes one sense's sign the whole reason.
func (v *Verdict) only(p *stretch) {
	v.Signs, v.n, v.Since = [senses]Sign{p.sign}, 1, p.from
}

// Reset forgets a fire and all signs. The caller has asked whether a cause
// still stands.
func (s *State) Reset() { *s = State{} }
