package sim

import (
	"fmt"
	"time"
)

// FaultOutlet is the outlet on which a scenario's fault happens.
const FaultOutlet = 3

// In the scenario check this outlet, of the second zone, runs hot after so long.
const (
	CheckHotOutlet = 9
	CheckHotAfter  = 36 * time.Second
)

// faultAfter is when a scenario's fault begins.
const faultAfter = 10 * time.Second

// fedBefore is how long an outlet is fed before its fault, and feedingPatience
// how long the fault waits for that.
const (
	fedBefore       = 2 * time.Second
	feedingPatience = time.Minute
)

// removedAfter is how long after it lost its supply a faulty load is pulled
// out, as a person would who comes to look; a reset then finds a sound outlet.
const removedAfter = 2 * time.Second

// hotBefore is the temperature of a socket that was hot before, in °C.
const hotBefore = 62.0

const (
	// smokeAfter is how long a socket that burns is hot before it smokes: its rise
	// is told within 7 s while it is fed, and smoke cuts it.
	smokeAfter = 15 * time.Second
	// airedAfter is how long after the fault somebody has aired the zone.
	airedAfter = time.Minute
)

// faultyMains is how long the supply is at fault.
const faultyMains = 20 * time.Second

// later is what follows a fault, so long after it began: that may be late, see
// feedingPatience.
type later struct {
	after time.Duration
	do    func(*Shed)
}

// Scenarios lists the names that [NewScript] knows.
func Scenarios() []string {
	return []string{"quiet", "overload", "short", "hot", "rise", "welded", "overvoltage", "undervoltage", "smoke", "fire", "meter-dead", "bus-hang", "check", "demo"}
}

// NewScript is the script of a scenario: everyday charging in every outlet, and
// the scenario's fault. ratingAmps is the rating of the outlets.
func NewScript(name string, ratingAmps float64) (Script, error) {
	fault := func(begin time.Duration, outlet int, brk func(*Shed), then ...later) Script {
		done, fed, begun := false, time.Duration(0), time.Duration(0)
		return func(s *Shed, since time.Duration) {
			if fed == 0 && s.Look(outlet).Fed {
				fed = since
			}
			// Outlets are fed one after the other: a fault needs one that is.
			ripe := fed > 0 && since >= fed+fedBefore || since >= begin+feedingPatience
			if !done && since >= begin && ripe {
				done, begun = true, since
				brk(s)
			}
			for done && len(then) > 0 && since >= begun+then[0].after {
				then[0].do(s)
				then = then[1:]
			}
			if done && s.faulty(outlet) && s.Look(outlet).Dark >= removedAfter {
				s.Plug(outlet, nil)
			}
		}
	}
	soundMains := later{faultyMains, func(s *Shed) { s.Mains(0) }}
	aired := later{airedAfter, func(s *Shed) { s.Smoke(0, false) }} // by somebody
	// multiple is a load of that many times the rating at the mains' voltage.
	multiple := func(n float64) func(*Shed) {
		return func(s *Shed) { s.Plug(FaultOutlet, &Resistor{Ohms: mainsVolts / (n * ratingAmps)}) }
	}
	switch name {
	case "quiet":
		return life(), nil
	case "overload":
		// A warm outlet: it carries 80 % of its rating until the fault.
		return both(life(), warm(0.8*ratingAmps), fault(faultAfter, FaultOutlet, multiple(2.5))), nil
	case "short":
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, multiple(6))), nil
	case "hot":
		// A socket that was hot before: it comes to the limit of its temperature
		// slower than to that of its rise.
		return both(life(), warm(0.5*ratingAmps), once(func(s *Shed) { s.Warm(FaultOutlet, hotBefore) }),
			fault(faultAfter, FaultOutlet, func(s *Shed) { s.Heat(FaultOutlet, 120) })), nil
	case "rise":
		return both(life(), warm(0.5*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Heat(FaultOutlet, 400) })), nil
	case "overvoltage": // a neutral that is lost, and found again
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Mains(300) }, soundMains)), nil
	case "undervoltage":
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Mains(150) }, soundMains)), nil
	case "welded":
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) {
			s.Weld(FaultOutlet, true)
			multiple(2.5)(s)
		})), nil
	case "smoke": // in the zone of the outlet, until somebody has aired it
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Smoke(0, true) }, aired)), nil
	case "fire": // a battery that burns: its socket is hot, and then there is smoke
		return both(life(), warm(0.5*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Heat(FaultOutlet, 400) },
			later{smokeAfter, func(s *Shed) { s.Smoke(0, true) }}, aired)), nil
	case "check": // an overload, and later a hot socket in the zone that the camera overlooks
		return both(life(), warm(0.8*ratingAmps), fault(faultAfter, FaultOutlet, multiple(2.5)),
			fault(CheckHotAfter, CheckHotOutlet, func(s *Shed) { s.Heat(CheckHotOutlet, 400) })), nil
	case "meter-dead":
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.CutMeter(FaultOutlet, true) })), nil
	case "bus-hang":
		return both(life(), warm(0.3*ratingAmps), fault(faultAfter, FaultOutlet, func(s *Shed) { s.Bus.Hold(true) })), nil
	case "demo":
		return both(
			life(),
			warm(0.5*ratingAmps),
			fault(30*time.Second, FaultOutlet, multiple(2.5)),
			fault(75*time.Second, 7, func(s *Shed) { s.CutMeter(7, true) }, later{30 * time.Second, func(s *Shed) { s.CutMeter(7, false) }}),
			fault(150*time.Second, 10, func(s *Shed) { s.Heat(10, 400) }),
		), nil
	default:
		return nil, fmt.Errorf("scenario %q: want one of %q", name, Scenarios())
	}
}

// faulty reports whether the load in an outlet is a fault rather than a charger.
func (s *Shed) faulty(outlet int) (is bool) {
	s.with(outlet, func(o *socket) { _, is = o.load.(*Resistor) })
	return is
}

func both(scripts ...Script) Script {
	return func(s *Shed, since time.Duration) {
		for _, script := range scripts {
			script(s, since)
		}
	}
}

// once does something as the shed is switched on.
func once(do func(*Shed)) Script {
	done := false
	return func(s *Shed, _ time.Duration) {
		if !done {
			done = true
			do(s)
		}
	}
}

// warm keeps a steady charger in the fault's outlet until something else is
// plugged in there.
func warm(amps float64) Script {
	done := false
	return func(s *Shed, _ time.Duration) {
		if !done {
			done = true
			s.Plug(FaultOutlet, &Charger{
				Watts: amps * mainsVolts * 0.95, PowerFactor: 0.95,
				ConstantFor: 1000 * time.Hour, Taper: time.Hour, Trickle: 4.2,
			})
		}
	}
}

// life is everyday charging: chargers of several kinds come at random to every
// outlet but the fault's, stay until a while after they are full, and leave.
func life() Script {
	var (
		leave [Outlets]time.Duration // when the socket is free again, or taken
		begun bool
	)
	return func(s *Shed, since time.Duration) {
		for i := range leave {
			outlet := i + 1
			if outlet == FaultOutlet || since < leave[i] {
				continue
			}
			switch taken := s.Look(outlet).Loaded; {
			case !taken && (begun || s.random() < 0.7):
				s.Plug(outlet, s.newCharger())
				leave[i] = since + time.Duration((120+600*s.random())*float64(time.Second))
			case taken:
				s.Plug(outlet, nil)
				leave[i] = since + time.Duration((15+90*s.random())*float64(time.Second))
			default:
				leave[i] = since + time.Duration((5+60*s.random())*float64(time.Second))
			}
		}
		begun = true
	}
}

// newCharger is one of the chargers that come to a shed: 36 to 72 V, lithium
// and lead-acid, 85 to 400 W at the mains.
func (s *Shed) newCharger() *Charger {
	return &Charger{
		Watts:       85 + 315*s.random(),
		Rise:        0.02 + 0.05*s.random(),
		PowerFactor: 0.58 + 0.38*s.random(),
		ConstantFor: time.Duration((0.3 + 2.5*s.random()) * float64(time.Hour)),
		Taper:       time.Duration((15 + 25*s.random()) * float64(time.Minute)),
		Trickle:     1 + 4*s.random(),
	}
}
