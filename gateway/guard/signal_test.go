package guard_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// heard is in how many tenths of a second the siren's output was on.
func (s *shed) heard(d time.Duration) (n int) {
	for range d / every {
		time.Sleep(every)
		if s.siren() {
			n++
		}
	}
	return n
}

func TestSignals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, nil)
		stop := s.run(t)
		time.Sleep(20*time.Second + every/2)
		s.guard.Signal(actuate.SignalUnsent)
		if n := s.heard(12 * time.Second); n != 0 || s.guard.Siren() {
			t.Errorf("the siren sounds for what is not critical")
		}
		s.guard.Signal(actuate.SignalUnsentCritical)
		time.Sleep(every)
		if n := s.heard(12 * time.Second); n != 15 {
			t.Errorf("on in %d of 120 tenths of a second, want three tones of 5", n)
		}
		s.guard.Silence()
		time.Sleep(every)
		if n := s.heard(12 * time.Second); n != 0 {
			t.Error("not silent")
		}
		s.guard.Signal(actuate.SignalUnsentCritical) // the same, told again
		if n := s.heard(12 * time.Second); n != 0 {
			t.Error("the silence did not hold")
		}
		s.guard.Alarmed() // a new critical alarm
		time.Sleep(every)
		if n := s.heard(12 * time.Second); n != 15 {
			t.Errorf("on in %d of 120 tenths of a second after a new alarm", n)
		}
		s.guard.Signal(actuate.SignalNone)
		time.Sleep(2 * every)
		if n := s.heard(12 * time.Second); n != 0 || s.guard.Siren() {
			t.Error("the siren goes on without a reason")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestSirenChangeIsTold: once for each change, however the siren pulses, and the
// guard waits for nobody who does not listen.
func TestSirenChangeIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, nil)
		stop := s.run(t)
		time.Sleep(20*time.Second + every/2)
		told := func(what string, want int, siren bool) {
			t.Helper()
			n := 0
			for range 12 * time.Second / every { // three tones and the breaks between
				time.Sleep(every)
				select {
				case <-s.guard.SirenChanged():
					n++
				default:
				}
			}
			if n != want || s.guard.Siren() != siren {
				t.Errorf("%s: told %d times, siren %t: want %d, %t", what, n, s.guard.Siren(), want, siren)
			}
		}
		told("nothing has happened", 0, false)
		s.guard.Signal(actuate.SignalUnsent)
		told("the lamp alone", 0, false)
		s.guard.Signal(actuate.SignalUnsentCritical)
		told("it sounds", 1, true)
		s.guard.Signal(actuate.SignalFire)
		told("it sounds for something worse", 0, true)
		s.guard.Silence()
		told("silenced", 1, false)
		s.guard.Alarmed()
		told("again", 1, true)

		ticks := s.guard.Stats().Ticks
		for range 10 { // on and off, and nobody listens
			s.guard.Silence()
			time.Sleep(2 * every)
			s.guard.Alarmed()
			time.Sleep(2 * every)
		}
		if done := s.guard.Stats().Ticks - ticks; done != 40 {
			t.Errorf("%d ticks in 40 periods", done)
		}
		told("what nobody heard is told once", 1, true)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFireSoundsWithoutABreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 2, func(o *guard.Options) { o.Outlets[1].Latched = protect.NewCauses(shedguard.CauseSmokeContact) })
		stop := s.run(t)
		s.guard.Signal(actuate.SignalUnsentCritical) // less urgent
		time.Sleep(time.Second)
		if n := s.heard(10 * time.Second); n != 100 {
			t.Errorf("on in %d of 100 tenths of a second", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLampTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShed(t, 1, nil)
		stop := s.run(t)
		time.Sleep(10 * time.Second)
		if !s.guard.TestLamp(t.Context(), 2*time.Second) {
			t.Error("the lamp's output was not written")
		}
		s.guard.Signal(actuate.SignalFire)
		time.Sleep(5 * time.Second)
		if !s.guard.TestLamp(t.Context(), 2*time.Second) {
			t.Error("a lamp that is lit for a fire is told as one that cannot be lit")
		}
		s.wire.Cut(true)
		time.Sleep(3 * time.Second)
		if s.guard.TestLamp(t.Context(), 2*time.Second) {
			t.Error("the lamp was lit on an expander that does not answer")
		}
		s.wire.Cut(false)
		time.Sleep(3 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestRelayWear: a relay closes a few times an hour, whoever asks for it, and
// over restarts; it opens whenever it must.
func TestRelayWear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		edit := func(o *guard.Options) {
			o.ClosingsPerHour = 4
			o.Outlets[0].Session.StartBy = session.StartCommand
			o.Outlets[0].Closings = []float64{60}
		}
		s := newShed(t, 1, edit)
		stop := s.run(t)
		time.Sleep(10 * time.Second)
		order := func(kind string) error {
			return s.guard.Order(t.Context(), guard.Order{
				Kind: kind, Outlet: 1, By: "test", SessionID: "01JD0000000000000000000001", Args: shedguard.StartArgs{Outlet: 1},
			})
		}
		for i := range 3 {
			if err := order(shedguard.CommandStart); err != nil {
				t.Fatalf("start %d: %v", i, err)
			}
			time.Sleep(5 * time.Second)
			if !s.closed(1) {
				t.Fatalf("not fed after start %d", i)
			}
			if err := order(shedguard.CommandStop); err != nil || s.closed(1) {
				t.Fatalf("stop %d: %v, fed %t", i, err, s.closed(1))
			}
			time.Sleep(5 * time.Second)
		}
		refused, ok := errors.AsType[*shedguard.ReplyError](order(shedguard.CommandStart))
		if !ok || refused.Code != shedguard.CodeBusy || !strings.Contains(refused.Text, "closed 4 times within an hour") {
			t.Fatalf("start: %v", refused)
		}
		all := s.changes()
		if got := all[len(all)-1].Closings; len(got) != 4 {
			t.Errorf("closings %v", got)
		}
		time.Sleep(59 * time.Minute) // the one before the start is older than an hour now
		if err := order(shedguard.CommandStart); err != nil {
			t.Errorf("start after an hour: %v", err)
		}
		time.Sleep(5 * time.Second)
		if !s.closed(1) {
			t.Error("not fed after an hour")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
