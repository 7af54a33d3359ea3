package guard_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/feeder"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/session"
)

// fedBy puts outlets of 10 A behind a feeder of 8000 and 9000 W.
func fedBy(o *guard.Options) {
	o.Stagger = 100 * time.Millisecond
	o.Feeder = &guard.Feeder{
		Limits:   &feeder.Limits{SoftWatts: 8000, HardWatts: 9000, Delay: 5 * time.Second, Settle: 10 * time.Second},
		Severity: shedguard.SeverityMajor,
	}
	for i := range o.Outlets {
		o.Outlets[i].RatedWatts = 2200
	}
}

func byCommand(o *guard.Options) {
	fedBy(o)
	for i := range o.Outlets {
		o.Outlets[i].Session.StartBy = session.StartCommand
	}
}

// draw sets what is plugged in at an outlet.
func (s *shed) draw(n int, watts float64) {
	s.sockets[n-1].set(func(o *socket) { o.amps = watts / 220 })
}

// loaded is a shed on whose first outlets sessions of so many watts run, begun
// one after the other.
func loaded(t *testing.T, n int, watts ...float64) (s *shed, stop func() error) {
	t.Helper()
	s = newShed(t, n, fedBy)
	stop = s.run(t)
	time.Sleep(20 * time.Second)
	for i, w := range watts {
		s.draw(i+1, w)
		time.Sleep(3 * time.Second)
	}
	time.Sleep(time.Minute)
	for i := range watts {
		if v := s.view(i + 1); !v.Running || !v.Closed {
			t.Fatalf("outlet %d: %+v, want a session", i+1, v)
		}
	}
	s.changes()
	return s, stop
}

func (s *shed) fed() []int {
	var all []int
	for n := range s.sockets {
		if s.closed(n + 1) {
			all = append(all, n+1)
		}
	}
	return all
}

func TestFeederShedsTheYoungestAndGivesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, stop := loaded(t, 6, 1500, 1500, 1500, 1500, 1500)
		all := func(watts float64) {
			for n := 1; n <= 5; n++ {
				s.draw(n, watts)
			}
		}
		all(1760) // 8800 W: between the limits
		time.Sleep(time.Minute)
		if got := s.fed(); len(got) != 6 {
			t.Fatalf("fed %v between the limits", got)
		}
		s.changes()
		all(1860) // 9300 W
		time.Sleep(4 * time.Second)
		if got := s.fed(); len(got) != 6 {
			t.Fatalf("fed %v before the delay", got)
		}
		time.Sleep(time.Second + 5*every) // read, added up, decided and cut in ticks of their own; which line is first is open
		if got := s.fed(); !slices.Equal(got, []int{1, 2, 3, 4, 6}) {
			t.Fatalf("fed %v, want outlet 5 open: its session is the youngest", got)
		}
		if v := s.view(5); v.State != shedguard.StateSuspended || !v.Running {
			t.Errorf("outlet 5: %s, session %t", v.State, v.Running)
		}
		got := s.changes()
		d := decided(got, "outlet/5", shedguard.CauseShedOverload)
		if d == nil || d.Value != 9300 || d.Limit != 9000 || d.Unit != "W" || d.Action != shedguard.ActionSuspended || d.Severity != shedguard.SeverityMajor || d.Latched {
			t.Errorf("decision of outlet 5: %+v", d)
		}
		if d := decided(got, "shed", shedguard.CauseShedOverload); d == nil || d.Action != shedguard.ActionSuspended || d.Limit != 9000 {
			t.Errorf("decision of the shed: %+v", d)
		}
		var why []string
		for _, c := range got {
			for _, op := range c.Operations {
				why = append(why, op.Why)
			}
		}
		if !slices.Equal(why, []string{"shed_overload"}) {
			t.Errorf("relay operations for %v", why)
		}
		time.Sleep(time.Second)
		v, ok := s.guard.Feeder()
		if !ok || v.Drawn != 7440 || v.Held != 1860 || v.Waiting != 0 || v.Shed != 1 || !v.Refusing {
			t.Errorf("feeder %+v", v)
		}
		if p := s.guard.FeederPeak(); p != 9300 || s.guard.FeederPeak() > 7440 {
			t.Errorf("peak %g W", p)
		}

		time.Sleep(20 * time.Minute) // 7440 + 1860 W do not fit below 8000 W
		if got := s.fed(); slices.Contains(got, 5) {
			t.Fatalf("fed %v without room", got)
		}
		s.draw(1, 500)               // 6080 + 1860 W do
		time.Sleep(25 * time.Second) // 10 s of room, 10 s of good readings
		if got := s.fed(); !slices.Contains(got, 5) {
			t.Errorf("fed %v, want outlet 5 back", got)
		}
		time.Sleep(time.Minute)
		if v := s.view(5); v.State != shedguard.StateCharging || v.Session.Reason != "" {
			t.Errorf("outlet 5: %s, %+v", v.State, v.Session)
		}
		got = s.changes()
		if c := got[len(got)-1]; decided([]guard.Change{c}, c.Subject, shedguard.CauseShedOverload) != nil {
			t.Errorf("last change %+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestFeederResumesAreCapped: what the feeder takes away comes back as often in
// an hour as anything else, and no more.
func TestFeederResumesAreCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, stop := loaded(t, 4, 1900, 1900, 1900, 1900)
		s.changes()
		for range 20 {
			for n := 1; n <= 4; n++ {
				s.draw(n, 2300) // 9200 W
			}
			time.Sleep(30 * time.Second)
			for n := 1; n <= 3; n++ {
				s.draw(n, 1000)
			}
			time.Sleep(90 * time.Second)
		}
		closings := 0
		for _, c := range s.changes() {
			for _, op := range c.Operations {
				if c.Outlet == 4 && op.Closed {
					closings++
				}
			}
		}
		if closings != 3 || s.closed(4) {
			t.Errorf("outlet 4 was closed %d times within 40 minutes, fed %t: want 3 and open", closings, s.closed(4))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFeederRefusesAStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 6, byCommand)
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		watts := 2000.0
		start := func(n int) error {
			return s.guard.Order(t.Context(), guard.Order{
				Kind: shedguard.CommandStart, Outlet: n, By: "test", SessionID: "01JD0000000000000000000001",
				Args: shedguard.StartArgs{Outlet: n, MaxWatts: &watts},
			})
		}
		for n := 1; n <= 4; n++ { // at once: each one's place counts for the next
			s.draw(n, 1900)
			if err := start(n); err != nil {
				t.Fatalf("start %d: %v", n, err)
			}
		}
		refused, ok := errors.AsType[*shedguard.ReplyError](start(5))
		if !ok || refused.Code != shedguard.CodeBusy || !strings.Contains(refused.Text, "8000 W") || !strings.Contains(refused.Text, "9000 W") {
			t.Fatalf("start 5: %v", refused)
		}
		if bad := s.guard.Order(t.Context(), guard.Order{Kind: shedguard.CommandStart, Outlet: 1, By: "test", SessionID: "01JD0000000000000000000001", Args: shedguard.StartArgs{Outlet: 1}}); !strings.Contains(bad.Error(), "a session runs") {
			t.Errorf("start of a session that runs: %v", bad)
		}
		time.Sleep(time.Minute)
		if got := s.fed(); !slices.Equal(got, []int{1, 2, 3, 4}) {
			t.Errorf("fed %v", got)
		}
		d := decided(s.changes(), "shed", shedguard.CauseShedOverload)
		if d == nil || d.Action != shedguard.ActionRefusedStart || d.Severity != shedguard.SeverityWarning || d.Limit != 8000 {
			t.Errorf("decision of the shed: %+v", d)
		}
		// They draw 7600 W: 400 W are left below the soft limit, and 1400 W below the hard one.
		watts = 1500
		if err := start(5); err == nil {
			t.Error("a session of 1500 W was started at 7600 W")
		}
		watts = 1300
		if err := start(5); err != nil {
			t.Errorf("a session of 1300 W was not started at 7600 W: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFeederLetsAPlugInWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, stop := loaded(t, 6, 2000, 2000, 2000, 2000) // the soft limit
		s.draw(6, 500)
		time.Sleep(time.Second)
		if s.closed(6) || !s.closed(5) {
			t.Fatalf("fed %v, want 6 open and 5, where nothing is plugged in, fed", s.fed())
		}
		if d := decided(s.changes(), "outlet/6", shedguard.CauseShedOverload); d == nil || d.Severity != shedguard.SeverityWarning || d.Limit != 8000 {
			t.Errorf("decision of outlet 6: %+v", d)
		}
		time.Sleep(10 * time.Minute)
		if s.closed(6) {
			t.Fatal("fed without room")
		}
		s.draw(1, 0) // unplugged; 6000 W are left, and outlet 6 may take its rated 2200 W of 8000 W
		time.Sleep(time.Minute)
		if s.closed(6) {
			t.Fatal("fed before there was room for its rated power")
		}
		s.draw(2, 1700)
		time.Sleep(25 * time.Second)
		if !s.closed(6) || s.view(6).State != shedguard.StateCharging {
			t.Errorf("outlet 6: %+v", s.view(6))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestFeederWithAStuckLine: one line hangs in a transaction. The other one adds
// up alone, with what it last knew of the first one's outlets.
func TestFeederWithAStuckLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, stop := loaded(t, 6, 1900, 1900, 1900, 1900)
		wedge := make(chan struct{})
		s.sockets[0].set(func(o *socket) { o.wedge = wedge }) // outlets 1, 3 and 5
		time.Sleep(time.Second)
		v, _ := s.guard.Feeder()
		if v.Drawn != 7600 || time.Since(v.At) > 2*every {
			t.Errorf("feeder %+v, %v ago: want 7600 W of now", v, time.Since(v.At))
		}
		close(wedge)
		s.sockets[0].set(func(o *socket) { o.wedge = nil })
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFeederIsChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(*guard.Options)
		want string
	}{
		"no limits":  {func(o *guard.Options) { o.Feeder.Limits = nil }, "feeder: limits: required"},
		"bad limits": {func(o *guard.Options) { o.Feeder.Limits.HardWatts = 1 }, "feeder: hard_watts: 1: want 100"},
		"no rating":  {func(o *guard.Options) { o.Outlets[1].RatedWatts = 0 }, "outlet 2: rated watts: 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := build(2, func(o *guard.Options) { fedBy(o); tt.edit(o) }); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// whole is the meter of a feeder that sees what the outlets draw, and a bit.
type whole struct {
	shed  *shed
	other atomic.Int64 // W that no outlet meters
	dead  atomic.Bool
}

func (w *whole) Read(r *shedguard.Reading) error {
	if w.dead.Load() {
		return errDead
	}
	watts := float64(w.other.Load())
	for _, o := range w.shed.sockets {
		if w.shed.closed(o.number) {
			o.set(func(o *socket) { watts += 220 * o.amps })
		}
	}
	r.Volts, r.Amps, r.Watts, r.PowerFactor = 220, watts/220, watts, 1
	r.Raw[0]++
	return nil
}

// TestFeederMeter: what no outlet meters counts; when the meter is silent the
// outlets are added up, and that is said.
func TestFeederMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &whole{}
		s := newShed(t, 6, func(o *guard.Options) {
			fedBy(o)
			l, err := poll.New(poll.Options{Name: "feeder", Points: []poll.Point{{Outlet: poll.Feeder, Meter: w, Every: every}}})
			if err != nil {
				t.Fatal(err)
			}
			o.Lines = append(o.Lines, l)
		})
		w.shed = s
		stop := s.run(t)
		time.Sleep(20 * time.Second)
		for n := 1; n <= 4; n++ {
			s.draw(n, 1900) // 7600 W
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Minute)
		if v, _ := s.guard.Feeder(); !v.Metered || v.Drawn != 7600 || v.Refusing {
			t.Fatalf("feeder %+v", v)
		}
		s.changes()
		w.other.Store(1500) // somebody plugs a heater in elsewhere: 9100 W
		time.Sleep(6 * time.Second)
		if got := s.fed(); !slices.Equal(got, []int{1, 2, 3, 5, 6}) {
			t.Errorf("fed %v, want the youngest session's outlet 4 open", got)
		}
		w.other.Store(0)
		time.Sleep(time.Minute)
		if got := s.fed(); len(got) != 6 {
			t.Errorf("fed %v, want outlet 4 back", got)
		}
		s.changes()
		w.dead.Store(true)
		time.Sleep(5 * time.Second)
		v, _ := s.guard.Feeder()
		d := decided(s.changes(), guard.FeederSubject, shedguard.CauseMeterStale)
		if v.Metered || v.Drawn != 7600 || d == nil || d.Action != shedguard.ActionNone || d.Limit != 3 {
			t.Errorf("feeder %+v, decision %+v", v, d)
		}
		w.dead.Store(false)
		time.Sleep(5 * time.Second)
		all := s.changes()
		i := slices.IndexFunc(all, func(c guard.Change) bool { return c.Subject == guard.FeederSubject && len(c.Decisions) == 0 })
		if v, _ := s.guard.Feeder(); i < 0 || !v.Metered {
			t.Errorf("the meter is back: %+v, told at %d", v, i)
		}
		if err := s.guard.Order(t.Context(), guard.Order{Kind: shedguard.CommandStop, Outlet: poll.Feeder}); err == nil {
			t.Error("an order to the feeder was accepted")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := build(2, func(o *guard.Options) {
		l, err := poll.New(poll.Options{Name: "feeder", Points: []poll.Point{{Outlet: poll.Feeder, Meter: &whole{}, Every: every}}})
		if err != nil {
			t.Fatal(err)
		}
		o.Lines = append(o.Lines, l)
	}); err == nil || !strings.Contains(err.Error(), "want limits for it") {
		t.Errorf("%v", err)
	}
}
