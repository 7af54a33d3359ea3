package replay_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/session"
	"github.com/shedguard/shedguard/gateway/sim"
)

// shed makes the readings of one outlet that is used by healthy vehicles, one
// after the other, with what happens to healthy vehicles: the meter's noise and
// glitches, mains that drift and sag, plugs that come late and leave early.
type shed struct {
	r     *rand.Rand
	p     *replay.Player
	batch []recording.Sample
	at    time.Duration
	base  float64 // V of the mains

	bike    *sim.Bike
	noise   float64
	sagTill time.Duration
	sag     float64
	pulse   float64 // of some lead-acid chargers, a share

	sags    int // alarms of the supply
	hours   float64
	charges int
	// What the gateway decided, by the end of the session.
	ends map[string]int
	told []string // alarms
}

func (s *shed) between(a, b float64) float64 { return a + s.r.Float64()*(b-a) }

func (s *shed) span(a, b time.Duration) time.Duration {
	return time.Duration(s.between(float64(a), float64(b)))
}

// chance is true once in so many calls, on average.
func (s *shed) chance(n float64) bool { return s.r.Float64()*n < 1 }

// second is one reading.
func (s *shed) second(volts float64, d sim.Draw) {
	watts := d.Watts
	if watts > 0 {
		watts = max(0, watts*(1+s.noise*s.r.NormFloat64())+0.1*s.r.NormFloat64())
	}
	if s.chance(3 * 3600) { // a glitch of the meter
		watts += s.between(50, 900)
	}
	nan := math.NaN()
	s.batch = append(s.batch, recording.Sample{At: s.at, Volts: volts, Amps: d.Amps, Watts: watts, PeakAmps: nan, PeakWatts: nan})
	s.at += time.Second
	if len(s.batch) == cap(s.batch) {
		s.p.Feed(s.batch)
		s.batch = s.batch[:0]
	}
}

// mains is the voltage now: a day's drift, noise, and sags.
func (s *shed) mains() float64 {
	if s.at >= s.sagTill {
		s.sag = 0
		if s.chance(3 * 3600) {
			s.sag, s.sagTill = s.between(0.03, 0.2), s.at+s.span(time.Second, 10*time.Minute)
		}
	}
	drift := 0.03 * math.Sin(2*math.Pi*s.at.Hours()/24)
	return s.base * (1 + drift - s.sag + 0.002*s.r.NormFloat64())
}

// nothing is an outlet with nothing, or with a charger without a battery.
func (s *shed) nothing(d time.Duration, idle float64) {
	for end := s.at + d; s.at < end; {
		v := s.mains()
		s.second(v, sim.Draw{Watts: idle, Amps: idle / v})
	}
}

// charge lets the bike charge for d, or until it has ended and half an hour has
// passed.
func (s *shed) charge(d time.Duration) {
	ended := time.Duration(0)
	for end := s.at + d; s.at < end; {
		v := s.mains()
		draw := s.bike.Draw(time.Second, v)
		if s.pulse > 0 && s.at/time.Second%2 == 0 {
			draw.Watts *= 1 - s.pulse
		}
		if draw.Watts > 20 {
			s.hours += 1. / 3600
		}
		s.second(v, draw)
		if s.bike.Ended() {
			if ended += time.Second; ended >= 30*time.Minute {
				return
			}
		}
	}
}

// vehicle is one that comes, charges, and goes.
func (s *shed) vehicle() {
	s.charges++
	s.bike = sim.RandomBike(s.r)
	s.noise, s.pulse = s.between(0.001, 0.01), 0
	if s.bike.Chemistry == sim.LeadAcid && s.chance(8) {
		s.pulse = s.between(0.02, 0.08)
	}
	if s.chance(3) { // the charger first, the battery later
		s.nothing(s.span(10*time.Second, 20*time.Minute), s.bike.IdleWatts)
	}
	d := 16 * time.Hour
	if s.chance(3) { // gone before it is full
		d = s.span(5*time.Minute, 5*time.Hour)
	}
	for {
		part := d
		interrupted := s.chance(3)
		if interrupted {
			part = min(d, s.span(5*time.Minute, 4*time.Hour))
		}
		s.charge(part)
		d -= part
		if !interrupted || s.bike.Ended() || d <= 0 {
			break
		}
		if s.chance(2) { // the battery's plug is pulled and put back
			s.nothing(s.span(5*time.Second, 4*time.Minute), s.bike.IdleWatts)
		} else { // the mains fail
			s.bike.Off()
			for range int(s.between(5, 1200)) {
				s.second(0, sim.Draw{})
			}
		}
	}
	s.nothing(s.span(6*time.Minute, 30*time.Minute), 0)
}

// TestFalseAlarms counts the alarms of a great many healthy charges.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	f, err := allFleets()
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range f.told {
		t.Log(told)
	}
	rate := float64(len(f.told)) / f.hours * 1000
	t.Logf("%d charges, %.0f h, %d alarms: %.2f in 1,000 h, and %d of the supply; sessions ended %v", f.charges, f.hours, len(f.told), rate, f.sags, f.ends)
	if f.ends[session.PhaseFull] < f.charges/2 {
		t.Errorf("%d of %d charges were found full", f.ends[session.PhaseFull], f.charges)
	}
	for _, phase := range []string{session.PhaseTripped, session.PhaseIdle, session.PhaseLimitWatts, session.PhaseLimitMinutes} {
		if f.ends[phase] > 0 {
			t.Errorf("%d sessions ended %s", f.ends[phase], phase)
		}
	}
	if rate >= 1 {
		t.Errorf("%.2f false alarms in 1,000 charging hours, want less than 1", rate)
	}
	if vehiclesEach() < vehicles {
		t.Skip("only a few of the charges were run: the rest is said of all of them")
	}
	if f.hours < 3000 {
		t.Errorf("%.0f h: with fewer than 3,000 none says little", f.hours)
	}
	inDocs(t, "false alarms", fmt.Sprintf("| charges | hours of charging | found full | alarms of mains that did fail or sag | false alarms | in 1,000 h |\n|--:|--:|--:|--:|--:|--:|\n| %d | %.0f | %d | %d | %d | %.2f |\n",
		f.charges, f.hours, f.ends[session.PhaseFull], f.sags, len(f.told), rate))
}

// fleets are outlets with seeds of their own, and the vehicles that each sees.
const (
	fleets   = 8
	vehicles = 120
)

// vehiclesEach is how many are run: all, unless time is short.
func vehiclesEach() int {
	if testing.Short() || raced {
		return vehicles / 12
	}
	return vehicles
}

// allFleets runs the fleets, and sums them up.
func allFleets() (*shed, error) {
	n := vehiclesEach()
	o, err := replay.ProfileOutlet("outlet-10a")
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	var sheds [fleets]*shed
	for i := range fleets {
		s := &shed{r: rand.New(rand.NewPCG(uint64(i), 20261128)), ends: map[string]int{}, batch: make([]recording.Sample, 0, 4096)}
		s.base = s.between(215, 235)
		s.p, err = replay.New(replay.Options{
			Limits: o.ProtectLimits(), Session: o.SessionSettings(), Charge: o.ChargeSettings(), ResetAfter: time.Minute,
			Emit: func(e *replay.Event) {
				switch {
				case e.Kind == replay.KindAlarm && e.Cause == shedguard.CauseUndervoltage:
					s.sags++ // true: the mains did fail, or sag below the limit
				case e.Kind == replay.KindAlarm:
					s.told = append(s.told, fmt.Sprintf("outlet %d at %s, charge %d, %+v: %s", i, time.Duration(e.TimeS)*time.Second, s.charges, *s.bike, e.Text))
				case e.Kind == replay.KindSession && e.Reason != "":
					s.ends[e.Phase]++
				}
			},
		})
		if err != nil {
			return nil, err
		}
		sheds[i] = s
		wg.Go(func() {
			for range n {
				s.vehicle()
			}
			s.p.Feed(s.batch)
			if _, err := s.p.Finish(); err != nil {
				s.told = append(s.told, err.Error())
			}
		})
	}
	wg.Wait()
	sum := &shed{ends: map[string]int{}}
	for _, s := range sheds {
		sum.hours += s.hours
		sum.charges += s.charges
		sum.sags += s.sags
		sum.told = append(sum.told, s.told...)
		for phase, n := range s.ends {
			sum.ends[phase] += n
		}
	}
	return sum, nil
}
