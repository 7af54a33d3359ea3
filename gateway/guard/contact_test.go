package guard

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/protect"
)

// smokePin is where the contact of the tests is: to ground, closed at rest.
const smokePin = 12

func smokeContact() Contact {
	return Contact{
		Zone: "bay-1", Pin: actuate.Pin{Pin: smokePin, ActiveLow: true}, NormallyClosed: true, Debounce: 300 * time.Millisecond,
		Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutZone, Outlets: []int{1, 2, 3, 4, 5, 6},
	}
}

// smoky is a shed with a smoke detector, whose guard ticks by hand.
type smoky struct {
	*board
	told []Change
}

func newSmoky(t *testing.T, c Contact) *smoky {
	t.Helper()
	s := &smoky{board: newBoard(t, 50*time.Millisecond, func(o *Options) {
		o.Contacts, o.Stagger = []Contact{c}, 0
		for i := range o.Outlets {
			o.Outlets[i].Session.SelfCheck = 0
		}
	})}
	for _, m := range s.meters {
		m.Set(220, 0, 0) // nothing is plugged in
	}
	s.run(500 * time.Millisecond)
	for _, o := range s.line.outlets {
		if !o.in.Closed {
			t.Fatalf("outlet %d was not fed", o.number)
		}
	}
	return s
}

func (s *smoky) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Until(s.line.poll.Next()))
		s.guard.Tick()
		s.told = append(s.told, drain(s.guard)...)
	}
}

// open lists the outlets that are open.
func (s *smoky) open() []int {
	var list []int
	for _, o := range s.line.outlets {
		if s.relays.Outputs()&(1<<(o.number-1)) == 0 {
			list = append(list, o.number)
		}
	}
	return list
}

// last is the last that was told of a subject.
func (s *smoky) last(subject string) *Change {
	for i := range slices.Backward(s.told) {
		if s.told[i].Subject == subject {
			return &s.told[i]
		}
	}
	return nil
}

func TestSmokeContactCutsItsZone(t *testing.T) {
	s := newSmoky(t, smokeContact())
	s.relays.SetPulls(1 << smokePin) // opens for a moment
	s.run(150 * time.Millisecond)
	s.relays.SetPulls(0)
	s.run(400 * time.Millisecond)
	if got := s.open(); len(got) > 0 {
		t.Fatalf("a contact that bounced opened %v", got)
	}

	s.relays.SetPulls(1 << smokePin) // smoke, or a broken wire
	s.run(time.Second)
	if got := s.open(); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6}) {
		t.Fatalf("open: %v, want the zone", got)
	}
	zone := s.last("zone/bay-1")
	if zone == nil || len(zone.Decisions) != 1 {
		t.Fatalf("told of the zone: %+v", zone)
	}
	if d := zone.Decisions[0]; d.Cause != shedguard.CauseSmokeContact || d.Grade != shedguard.GradeAlarm || d.Action != shedguard.ActionCutZone || d.Severity != shedguard.SeverityCritical {
		t.Errorf("%+v", d)
	}
	smoke := protect.NewCauses(shedguard.CauseSmokeContact)
	if c := s.last("outlet/3"); c == nil || c.Latched != smoke || c.Operations != nil && c.Operations[0].Why != string(shedguard.CauseSmokeContact) {
		t.Errorf("outlet 3: %+v", c)
	}
	reset := func() error {
		return s.guard.obey(s.line, s.line.byNo[3], &Order{Kind: shedguard.CommandResetTrip, Outlet: 3}, time.Now())
	}
	if err := reset(); err == nil || !strings.Contains(err.Error(), "smoke_contact stands") {
		t.Errorf("reset in the smoke: %v", err)
	}

	s.relays.SetPulls(0)
	s.run(time.Second)
	if zone := s.last("zone/bay-1"); len(zone.Decisions) != 0 || !zone.Judged {
		t.Errorf("the zone after it: %+v", zone.Decisions)
	}
	if !s.guard.Siren() {
		t.Error("silent while its outlets are latched for smoke")
	}
	if got := s.open(); len(got) != 6 {
		t.Errorf("fed again without a person: open %v", got)
	}
	if err := reset(); err != nil {
		t.Errorf("reset: %v", err)
	}
	s.line.byNo[3].settings.ResumeAfter = 0
	s.run(500 * time.Millisecond)
	if got := s.open(); slices.Contains(got, 3) || len(got) != 5 {
		t.Errorf("after the reset of outlet 3: open %v", got)
	}
}

func TestSmokeContactThatOnlyReports(t *testing.T) {
	c := smokeContact()
	c.Action, c.NormallyClosed = shedguard.ActionNone, false // closes for smoke; the pin is low
	s := newSmoky(t, c)
	s.run(time.Second)
	if zone := s.last("zone/bay-1"); zone == nil || len(zone.Decisions) != 1 || zone.Decisions[0].Action != shedguard.ActionNone {
		t.Fatalf("told of the zone: %+v", zone)
	}
	if got := s.open(); len(got) > 0 || s.guard.Siren() {
		t.Errorf("open: %v, siren %t", got, s.guard.Siren())
	}
}

// TestSmokeContactSounds: one that cuts sounds the siren without a break, though
// no outlet has had a sample since, and again after a silence. One that only
// reports does not sound by itself.
func TestSmokeContactSounds(t *testing.T) {
	t.Parallel()
	for action, sounds := range map[shedguard.Action]bool{
		shedguard.ActionNone: false, shedguard.ActionCutZone: true, shedguard.ActionCutShed: true,
	} {
		c := smokeContact()
		c.Action = action
		s := newSmoky(t, c)
		g, now := s.guard, time.Now()
		tick := func(d time.Duration) { // of what the first line does, without a sample
			for end := now.Add(d); now.Before(end); {
				now = now.Add(contactEvery)
				g.lookAtContacts(now)
				g.tend(s.line, now)
			}
		}
		tick(time.Second)
		if g.Siren() || s.line.signal != actuate.SignalNone {
			t.Errorf("%s: %v at rest", action, s.line.signal)
		}
		g.Silence() // of something before
		s.relays.SetPulls(1 << smokePin)
		tick(200 * time.Millisecond)
		if g.Siren() {
			t.Errorf("%s: sounds within the debounce", action)
		}
		tick(300 * time.Millisecond)
		want := actuate.SignalNone
		if sounds {
			want = actuate.SignalFire
		}
		if g.Siren() != sounds || s.line.signal != want || s.line.sounds[0] != sounds {
			t.Errorf("%s: siren %t, signal %v, output %t", action, g.Siren(), s.line.signal, s.line.sounds[0])
		}
		g.Silence()
		tick(5 * time.Second)
		if g.Siren() || s.line.signal != want {
			t.Errorf("%s: silenced, and siren %t, signal %v", action, g.Siren(), s.line.signal)
		}
		s.relays.SetPulls(0)
		tick(time.Second)
		s.relays.SetPulls(1 << smokePin)
		tick(time.Second)
		if g.Siren() != sounds {
			t.Errorf("%s: smoke again after a silence, and siren %t", action, g.Siren())
		}
		s.relays.SetPulls(0)
		tick(time.Second)
		if g.Siren() || s.line.signal != actuate.SignalNone {
			t.Errorf("%s: %v after it has passed", action, s.line.signal)
		}
	}
}

func TestBlindSmokeContactIsTold(t *testing.T) {
	s := newSmoky(t, smokeContact())
	g := s.guard
	now := time.Now()
	g.contacts[0].read = now.Add(-contactBlind - time.Second)
	g.contacts[0].Expander = 7 // there is none
	g.lookAtContacts(now.Add(contactEvery))
	s.told = append(s.told, drain(g)...)
	if c := s.last("contact/bay-1"); c == nil || len(c.Decisions) != 1 || c.Decisions[0].Cause != shedguard.CauseBusFault || c.Err == nil {
		t.Errorf("%+v", c)
	}
	if got := s.open(); len(got) > 0 {
		t.Errorf("open: %v", got)
	}
}

func TestImposeIsPerSource(t *testing.T) {
	b := newBoard(t, 50*time.Millisecond)
	g, o := b.guard, b.line.byNo[2]
	fire := protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutShed, Latch: true}
	door := protect.Condition{Cause: shedguard.CauseDoorOpen, Severity: shedguard.SeverityWarning}
	held := func() protect.Causes {
		var set protect.Causes
		for _, c := range g.conditions(o) {
			set = set.With(c.Cause)
		}
		return set
	}
	g.Impose("a", []int{1, 2, 99}, []protect.Condition{fire})
	g.Impose("b", []int{2}, []protect.Condition{door})
	if got := held(); got != protect.NewCauses(shedguard.CauseFire, shedguard.CauseDoorOpen) {
		t.Errorf("%v", got)
	}
	g.Impose("a", []int{2}, nil)
	if got := held(); got != protect.NewCauses(shedguard.CauseDoorOpen) {
		t.Errorf("%v", got)
	}
	if n := testing.AllocsPerRun(100, func() { g.conditions(o) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestContactsAreChecked(t *testing.T) {
	bad := Contact{Debounce: time.Hour, Action: shedguard.ActionTripped, Outlets: []int{99}}
	err := bad.validate()
	for _, want := range []string{"zone: required", "debounce: 1h0m0s", "severity: cleared", `action: "tripped"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want in it %q", err, want)
		}
	}
}
