package alarm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/protect"
)

func damping() *alarm.Damping {
	return &alarm.Damping{
		ReportAfter: 3 * time.Second, ClearAfter: 10 * time.Second,
		FlapCount: 4, FlapWindow: 10 * time.Minute, FlapCalm: 15 * time.Minute,
	}
}

func inhibit() []alarm.Inhibition {
	return []alarm.Inhibition{{
		Subject: "bus/main", Cause: shedguard.CauseBusFault,
		Hides: []shedguard.Cause{shedguard.CauseMeterStale}, Of: []string{"outlet/1", "outlet/2", "outlet/3", "outlet/10"},
	}}
}

func damped(t testing.TB) *shed {
	t.Helper()
	s := &shed{
		t: t, path: "/state/alarms.json", disk: newMemory(-1), clock: shedguard.ClockSynced, damping: damping(), inhibit: inhibit(),
		now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
	}
	s.restart()
	return s
}

// about tells the level of a subject.
func (s *shed) about(subject string, ds ...protect.Decision) {
	s.t.Helper()
	if err := s.book.Observe(s.t.Context(), alarm.Observation{Subject: subject, Decisions: ds, Judged: true}, s.now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shed) decision(cause shedguard.Cause, severity shedguard.Severity, action shedguard.Action) protect.Decision {
	return protect.Decision{
		Cause: cause, Severity: severity, Action: action, Value: 3, Limit: 3, Unit: "s", Since: s.now, At: s.now, Standing: true,
	}
}

func (s *shed) silent() protect.Decision {
	return s.decision(shedguard.CauseMeterStale, shedguard.SeverityMajor, shedguard.ActionSuspended)
}

func (s *shed) busFault() protect.Decision {
	return s.decision(shedguard.CauseBusFault, shedguard.SeverityCritical, shedguard.ActionNone)
}

// open is what is open: subject and cause.
func (s *shed) open() []string {
	var all []string
	for _, e := range s.book.Open() {
		all = append(all, e.Subject+" "+string(e.Alarm.Cause))
	}
	slices.Sort(all)
	return all
}

func (s *shed) find(subject string) shedguard.Alarm {
	s.t.Helper()
	for _, e := range s.book.Open() {
		if e.Subject == subject {
			return e.Alarm
		}
	}
	s.t.Fatalf("nothing open of %s: %v", subject, s.open())
	return shedguard.Alarm{}
}

func TestWhatOnlyReportsMustStand(t *testing.T) {
	t.Parallel()
	s := damped(t)
	unstable := s.decision(shedguard.CausePowerUnstable, shedguard.SeverityMinor, shedguard.ActionNone)
	for range 20 { // never for longer than 3 s
		s.observe("", unstable)
		s.pass(2900 * time.Millisecond)
		s.observe("")
		s.pass(time.Second)
	}
	s.want()
	s.observe("", unstable)
	s.pass(3 * time.Second)
	s.observe("", unstable)
	s.want("raised power_unstable")
	if a := s.last(); a.Since != unstable.Since {
		t.Errorf("since %v, want %v", a.Since, unstable.Since)
	}
	// Acting, critical and latched ones are told at once.
	critical := s.decision(shedguard.CauseOverTemperature, shedguard.SeverityCritical, shedguard.ActionNone)
	s.about("outlet/1", critical)
	s.want("raised over_temperature")
	s.about("outlet/2", s.silent())
	s.want("raised meter_stale")
}

func TestRaisedByItselfMustStandToo(t *testing.T) {
	t.Parallel()
	s := damped(t)
	low := alarm.Fault{Cause: shedguard.CauseStorageLow, Severity: shedguard.SeverityMajor}
	raise := func() {
		t.Helper()
		if err := s.book.Raise(t.Context(), "shed", low, s.now); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() {
		t.Helper()
		if err := s.book.Clear(t.Context(), "shed", low.Cause, "", s.now); err != nil {
			t.Fatal(err)
		}
	}
	raise()
	s.pass(2 * time.Second)
	gone()
	s.pass(2 * time.Second)
	raise()
	s.want()
	s.pass(3 * time.Second)
	raise()
	s.want("raised storage_low")
	gone()
	s.pass(9 * time.Second)
	gone()
	s.want()
	s.pass(time.Second)
	gone()
	s.want("cleared storage_low")
}

func TestABriefReturnIsOneAlarm(t *testing.T) {
	t.Parallel()
	s := damped(t)
	s.observe("", s.silent())
	id := s.last().ID
	s.want("raised meter_stale")
	s.pass(time.Minute)
	s.observe("")
	s.pass(9 * time.Second)
	s.save()
	s.want() // not gone for long enough
	s.observe("", s.silent())
	s.pass(time.Minute)
	s.observe("", s.silent())
	s.want()
	s.observe("")
	s.pass(10 * time.Second)
	s.save() // whoever comes by clears it
	s.want("cleared meter_stale")
	if s.last().ID != id {
		t.Errorf("cleared %s, raised %s", s.last().ID, id)
	}
}

func TestAResetClearsAtOnce(t *testing.T) {
	t.Parallel()
	s := damped(t)
	trip := s.decision(shedguard.CauseOvercurrent, shedguard.SeverityCritical, shedguard.ActionTripped)
	trip.Latched = true
	for range 10 {
		s.observe("", trip)
		s.want("raised overcurrent")
		s.observe("wang")
		s.want("cleared overcurrent")
		s.pass(time.Second)
	}
	s.observe("", trip)
	s.read = len(s.events)
	s.observe("") // a latch that is gone was reset, whoever did it
	s.want("cleared overcurrent")
}

func TestFlapping(t *testing.T) {
	t.Parallel()
	s := damped(t)
	flap := func() {
		s.observe("", s.silent())
		s.pass(5 * time.Second)
		s.observe("")
		s.pass(20 * time.Second)
		s.save()
	}
	for range 3 {
		flap()
		s.want("raised meter_stale", "cleared meter_stale")
	}
	flap()
	s.want("raised meter_stale") // the fourth: it flaps, and stays open
	if a := s.find("outlet/3"); a.Flaps != 4 || !strings.Contains(a.Text.EN, "It came 4 times") || !strings.Contains(a.Text.ZH, "反复出现 4 次") {
		t.Fatalf("alarm %+v", a)
	}
	id := s.find("outlet/3").ID
	for range 20 {
		flap()
	}
	if n := len(s.said()); n > 0 {
		t.Errorf("%d events of an alarm that flaps", n)
	}
	if a := s.find("outlet/3"); a.ID != id || a.Flaps != 24 {
		t.Errorf("alarm %+v", a)
	}
	s.pass(14 * time.Minute)
	s.save()
	s.want()
	s.pass(time.Minute)
	s.save()
	s.want("cleared meter_stale")
	flap() // and begins anew
	s.want("raised meter_stale", "cleared meter_stale")
}

func TestFlappingNeverHidesACriticalFault(t *testing.T) {
	t.Parallel()
	s := damped(t)
	failed := s.decision(shedguard.CauseRelayFailed, shedguard.SeverityCritical, shedguard.ActionNone)
	for range 4 {
		s.observe("", failed)
		s.pass(5 * time.Second)
		s.observe("")
		s.pass(30 * time.Second)
		s.save()
	}
	s.said()
	for range 5 {
		s.observe("", failed)
		s.want("updated relay_failed") // each time it comes
		s.pass(30 * time.Second)
		s.observe("")
		s.pass(30 * time.Second)
	}
	// What gets worse is said at once, flapping or not.
	s.about("outlet/1", s.silent())
	s.want("raised meter_stale")
	s.pass(time.Second)
	s.about("outlet/1", s.decision(shedguard.CauseMeterStale, shedguard.SeverityCritical, shedguard.ActionSuspended))
	s.want("updated meter_stale")
}

func TestFlapsOutliveARestart(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]time.Duration{"clock": 0, "clock set back": -100 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := damped(t)
			for range 4 {
				s.observe("", s.silent())
				s.pass(5 * time.Second)
				s.observe("")
				s.pass(30 * time.Second)
				s.save()
				s.now = s.now.Add(back)
				s.restart() // killed, nothing was said on the way out
				s.save()
			}
			if a := s.find("outlet/3"); a.Flaps != 4 {
				t.Errorf("%+v: want it to flap after four onsets in four boots", a)
			}
			// It still is the one alarm, and clears after the calm.
			s.said()
			s.observe("")
			s.pass(15 * time.Minute)
			s.save()
			s.want("cleared meter_stale")
		})
	}
}

func TestABusFaultStandsForItsOutlets(t *testing.T) {
	t.Parallel()
	s := damped(t)
	s.about("bus/main", s.busFault())
	s.want("raised bus_fault")
	s.pass(2 * time.Second)
	stale := s.silent()
	for _, n := range []string{"outlet/10", "outlet/2", "outlet/3"} {
		s.about(n, stale)
	}
	s.about("outlet/7", stale) // on another bus
	s.want("raised meter_stale")
	if got := s.open(); !slices.Equal(got, []string{"bus/main bus_fault", "outlet/7 meter_stale"}) {
		t.Fatalf("open: %v", got)
	}
	s.pass(10 * time.Second)
	s.about("bus/main", s.busFault())
	s.want("updated bus_fault")
	a := s.last()
	if !slices.Equal(a.Covers, []string{"outlet/10", "outlet/2", "outlet/3"}) ||
		!strings.Contains(a.Text.EN, "No measurements because of it: outlets 2, 3, 10.") || !strings.Contains(a.Text.ZH, "2、3、10 号插座") {
		t.Errorf("covers %v, text %q", a.Covers, a.Text)
	}
	s.restart() // killed
	if a := s.find("bus/main"); len(a.Covers) != 3 {
		t.Errorf("after a restart: %+v", a)
	}
	s.about("outlet/2", stale)
	s.about("outlet/7")
	s.pass(time.Minute)
	s.save()
	s.said()

	// The bus comes back, outlet 3 does not.
	s.about("bus/main")
	s.about("outlet/2")
	s.about("outlet/10")
	s.about("outlet/3", stale)
	s.want("updated bus_fault") // still open: a moment for its outlets
	if a := s.find("bus/main"); !slices.Equal(a.Covers, []string{"outlet/3"}) {
		t.Errorf("covers %v", a.Covers)
	}
	s.pass(10 * time.Second)
	s.about("outlet/3", stale)
	s.want("raised meter_stale", "cleared bus_fault")
	if got := s.open(); !slices.Equal(got, []string{"outlet/3 meter_stale"}) || s.find("outlet/3").Since != stale.Since {
		t.Errorf("open: %v, %+v", got, s.find("outlet/3"))
	}
}

func TestABusFaultThatComesLater(t *testing.T) {
	t.Parallel()
	s := damped(t)
	s.about("outlet/1", s.silent())
	s.want("raised meter_stale")
	id := s.last().ID
	s.about("bus/main", s.busFault())
	s.want("raised bus_fault")
	bus := s.last().ID
	s.about("outlet/1", s.silent())
	s.want("cleared meter_stale")
	if a := s.last(); a.ID != id || a.CoveredBy != bus || !strings.Contains(a.Text.EN, "part of the alarm that causes it") {
		t.Errorf("%+v", a)
	}
}

func TestWhatABusFaultDoesNotHide(t *testing.T) {
	t.Parallel()
	s := damped(t)
	minor := s.busFault()
	minor.Severity = shedguard.SeverityMinor
	s.about("bus/main", minor)
	s.pass(3 * time.Second)
	s.about("bus/main", minor)
	s.want("raised bus_fault")
	s.about("outlet/1", s.silent()) // more severe than what would stand for it
	s.want("raised meter_stale")
	s.about("bus/main", s.busFault())
	s.said()
	latched := s.silent()
	latched.Latched = true
	s.about("outlet/2", latched)
	s.want("raised meter_stale")
	s.about("outlet/3", s.decision(shedguard.CauseOverTemperature, shedguard.SeverityCritical, shedguard.ActionTripped))
	s.want("raised over_temperature")
}

// TestABusThatFlapsDoesNotHideForLong: its alarm is kept open, and what is
// really dead shows all the same.
func TestABusThatFlapsDoesNotHideForLong(t *testing.T) {
	t.Parallel()
	s := damped(t)
	for range 4 {
		s.about("bus/main", s.busFault())
		s.about("outlet/1", s.silent())
		s.pass(20 * time.Second)
		s.about("bus/main")
		s.pass(time.Second)
	}
	if a := s.find("bus/main"); a.Flaps < 4 {
		t.Fatalf("%+v", a)
	}
	s.said()
	s.pass(10 * time.Second)
	s.about("outlet/1", s.silent())
	s.want("raised meter_stale", "updated bus_fault")
	s.pass(10 * time.Second)
	s.save()
	if a := s.find("bus/main"); len(a.Covers) != 0 {
		t.Errorf("%+v", a)
	}
}

// TestDampingLaws: whatever comes and goes, and whenever the program is killed,
// what stands is open under one identity, and what is told in an hour is bounded.
func TestDampingLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s := damped(t)
		s.damping.FlapWindow, s.damping.FlapCalm = 2*time.Minute, 3*time.Minute
		type level struct {
			d     protect.Decision
			since time.Time
		}
		subjects := []string{"outlet/1", "outlet/2", "outlet/3", "bus/main"}
		stands := map[string]*level{}
		tell := func() {
			for _, subject := range subjects {
				if l := stands[subject]; l != nil {
					s.about(subject, l.d)
				} else {
					s.about(subject)
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(r, "acts") {
			subject := rapid.SampledFrom(subjects).Draw(r, "subject")
			switch rapid.IntRange(0, 5).Draw(r, "act") {
			case 0:
				s.restart()
			case 1, 2:
				delete(stands, subject)
			default:
				if stands[subject] != nil {
					break
				}
				d := s.silent()
				if subject == "bus/main" {
					d = s.busFault()
				}
				stands[subject] = &level{d, s.now}
			}
			tell()
			for range rapid.IntRange(1, 20).Draw(r, "seconds") {
				s.pass(time.Second)
				tell()
			}
			open := map[string]shedguard.Alarm{}
			for _, e := range s.book.Open() {
				if _, twice := open[e.Subject]; twice {
					r.Fatalf("%s is open twice", e.Subject)
				}
				open[e.Subject] = e.Alarm
			}
			for subject := range stands {
				_, told := open[subject]
				bus, covered := open["bus/main"]
				covered = covered && slices.Contains(bus.Covers, subject)
				if told == covered && subject != "bus/main" || !told && subject == "bus/main" {
					r.Fatalf("%s stands: told %t, covered %t", subject, told, covered)
				}
			}
		}
		// Everything ends, and the book with it.
		clear(stands)
		for range 200 { // s, longer than the calm
			s.pass(time.Second)
			tell()
		}
		if got := s.open(); len(got) != 0 {
			r.Fatalf("still open: %v", got)
		}
		raised := map[string][]time.Time{}
		balance := map[string]int{}
		for _, e := range s.events {
			a := s.alarm(e)
			switch e.Type {
			case shedguard.EventAlarmRaised:
				balance[a.ID]++
				raised[e.Subject] = append(raised[e.Subject], e.Time)
			case shedguard.EventAlarmCleared:
				balance[a.ID]--
			}
		}
		for id, n := range balance {
			if n != 0 {
				r.Fatalf("alarm %s was raised and cleared unevenly: %d", id, n)
			}
		}
		for i, at := range raised["bus/main"] { // nothing covers it
			if j := i + s.damping.FlapCount; j < len(raised["bus/main"]) && raised["bus/main"][j].Sub(at) < s.damping.FlapWindow {
				r.Fatalf("raised %d times within %v", s.damping.FlapCount+1, raised["bus/main"][j].Sub(at))
			}
		}
	})
}

// TestDampedCrashAtEachStep kills the book at every step while an alarm comes
// and goes: it is never lost, never doubled, and flaps in the end.
func TestDampedCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for at := 0; ; at++ {
		p := newPlay(t, -1)
		p.s.damping, p.s.inhibit = damping(), inhibit()
		p.s.restart()
		p.disk.steps = at
		stale := func(ds ...protect.Decision) {
			p.must(func() error {
				o := alarm.Observation{Subject: "outlet/3", Decisions: ds, Judged: true}
				return p.s.book.Observe(t.Context(), o, p.s.now)
			})
		}
		for range 5 {
			d := p.s.silent()
			stale(d)
			p.s.pass(15 * time.Second)
			stale(d)
			stale()
			p.s.pass(11 * time.Second)
			p.must(func() error { return p.s.book.Save(t.Context(), p.s.now) })
			stale() // as the guard tells after a restart
			p.s.pass(11 * time.Second)
			p.must(func() error { return p.s.book.Save(t.Context(), p.s.now) })
		}
		died := p.dead
		p.disk.steps = -1
		p.must(func() error { return p.s.book.Save(t.Context(), p.s.now) })
		open := map[string]bool{}
		for _, e := range p.s.events {
			a := p.s.alarm(e)
			switch e.Type {
			case shedguard.EventAlarmRaised:
				if len(open) > 0 || open[a.ID] {
					t.Fatalf("step %d: %s raised while %v is open", at, a.ID, open)
				}
				open[a.ID] = true
			case shedguard.EventAlarmCleared:
				if !open[a.ID] {
					t.Fatalf("step %d: %s cleared, open are %v", at, a.ID, open)
				}
				delete(open, a.ID)
			}
		}
		all := p.s.book.Open()
		if len(all) != 1 || !open[all[0].Alarm.ID] || all[0].Alarm.Flaps < 4 {
			t.Fatalf("step %d: open in the book %v, in the outbox %v", at, all, open)
		}
		if died == 0 {
			t.Logf("%d steps", at)
			return
		}
	}
}

func TestDampingIsChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(*alarm.Damping)
		want string
	}{
		"one is no flapping": {func(d *alarm.Damping) { d.FlapCount = 1 }, "flap count: 1: want 2 to 50"},
		"no window":          {func(d *alarm.Damping) { d.FlapWindow = 0 }, "flap window 0s"},
		"negative":           {func(d *alarm.Damping) { d.ClearAfter = -1 }, "clear after -1ns"},
		"calm too short":     {func(d *alarm.Damping) { d.FlapCalm = time.Second }, "calm 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := damping()
			tt.edit(d)
			_, err := alarm.Open(alarm.Options{Damping: d}, time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := alarm.Open(alarm.Options{Inhibit: []alarm.Inhibition{{}}}, time.Now()); err == nil || !strings.Contains(err.Error(), "inhibit[0]") {
		t.Error(fmt.Sprint(err))
	}
}

// TestOnsetsOfAClockThatWasAhead are forgotten after the window all the same.
func TestOnsetsOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	s := damped(t)
	for range 3 {
		s.observe("", s.silent())
		s.pass(5 * time.Second)
		s.observe("")
		s.pass(11 * time.Second)
		s.save()
	}
	s.now = s.now.Add(-100 * time.Hour)
	s.restart()
	s.save()
	s.pass(11 * time.Minute)
	s.observe("", s.silent())
	if a := s.find("outlet/3"); a.Flaps != 0 {
		t.Errorf("%+v: flaps by onsets older than the window", a)
	}
}
