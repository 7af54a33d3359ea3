package presence_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bootA = "01JD0000000000000000000000"
	bootB = "01JE0000000000000000000000"
	own   = "01JF0000000000000000000000"
)

// fakeBook keeps what presence commits.
type fakeBook struct {
	mu     sync.Mutex
	events []shedguard.Event
	states []string
	ids    map[string]bool
	open   map[string]presence.Open
	fail   error
	lose   bool // commit, then report a failure
	deaf   bool
}

func newBook() *fakeBook { return &fakeBook{ids: map[string]bool{}, open: map[string]presence.Open{}} }

func (b *fakeBook) put(_ context.Context, e shedguard.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil && !b.lose {
		return b.fail
	}
	if err := e.Validate(); err != nil {
		return err
	}
	a, err := e.Alarm()
	if err != nil {
		return err
	}
	if !b.ids[e.ID] {
		b.ids[e.ID] = true
		b.events = append(b.events, e)
	}
	if e.Type == shedguard.EventAlarmCleared {
		delete(b.open, a.ID)
	} else {
		b.open[a.ID] = presence.Open{Shed: strings.TrimPrefix(e.Subject, "shed/"), Alarm: a}
	}
	return b.fail
}

func (b *fakeBook) set(_ context.Context, shed string, s presence.State, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states = append(b.states, shed+" "+string(s))
	return nil
}

func (b *fakeBook) list(context.Context) ([]presence.Open, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []presence.Open
	for _, o := range b.open {
		open = append(open, o)
	}
	return open, nil
}

func (b *fakeBook) with(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
}

// story is what was said since the last look: "raised gateway_offline".
func (b *fakeBook) story() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var s []string
	for i := range b.events {
		a, _ := b.events[i].Alarm()
		s = append(s, strings.TrimPrefix(b.events[i].Type, "shedguard.alarm.")+" "+string(a.Cause))
	}
	b.events = nil
	return s
}

func watch(t *testing.T, b *fakeBook) (w *presence.Watch, stop func()) {
	t.Helper()
	w, err := presence.New(presence.Options{
		BootID: own, Open: b.list, Put: b.put, Set: b.set,
		Listening: func() bool { b.mu.Lock(); defer b.mu.Unlock(); return !b.deaf },
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	synctest.Wait()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func says(state shedguard.GatewayState, boot string, conn uint64) shedguard.Status {
	return shedguard.Status{State: state, BootID: boot, Conn: conn, Clock: shedguard.ClockSynced, Since: time.Now().AddDate(-1, 0, 0)}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// pass lets time go by; it ends between two turns.
func pass(d time.Duration) { time.Sleep(d + 500*time.Millisecond); synctest.Wait() }

func TestWillRaisesAndReturnClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Telemetry("s", 12, 0, time.Now())
		same(t, "online", b.story())
		w.Status("s", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
		same(t, "will", b.story(), "raised gateway_offline")
		w.Status("s", says(shedguard.GatewayOffline, bootA, 1), true, time.Now())
		pass(time.Hour)
		same(t, "an hour away", b.story())
		if s, _ := w.State("s"); s != presence.StateOffline {
			t.Errorf("state %s, want offline", s)
		}
		w.Telemetry("s", 12, 0, time.Now()) // what was still on its way
		same(t, "late telemetry", b.story())
		w.Status("s", says(shedguard.GatewayOnline, bootA, 2), false, time.Now())
		same(t, "return", b.story(), "cleared gateway_offline")
		w.Status("s", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
		same(t, "will of the connection before", b.story())
		w.Status("s", says(shedguard.GatewayOnline, bootB, 1), false, time.Now())
		w.Status("s", says(shedguard.GatewayOffline, bootA, 2), false, time.Now())
		same(t, "will of the boot before", b.story())
		w.Status("s", says(shedguard.GatewayStopped, bootB, 1), false, time.Now())
		same(t, "stopped on purpose", b.story())
		pass(time.Hour)
		same(t, "stopped for an hour", b.story())
	})
}

func TestAlarmSaysWhatAPersonNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s-1", says(shedguard.GatewayOnline, bootA, 1), true, time.Now())
		pass(90 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.events) != 1 {
			t.Fatalf("%d events, want 1", len(b.events))
		}
		e := b.events[0]
		a, err := e.Alarm()
		if err != nil {
			t.Fatal(err)
		}
		if e.Source != "shedcloud" || e.Subject != "shed/s-1" || a.Severity != shedguard.SeverityMajor || a.Value < 89 || a.Limit != 90 || a.Unit != "s" ||
			a.Text.ZH == "" || a.Text.EN == "" || a.BootID != own || a.Seq != 1 || a.RaisedAt.Sub(a.Since) < 89*time.Second {
			t.Errorf("event %+v, alarm %+v", e, a)
		}
	})
}

func TestRetainedOnlineMustBeBorneOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("ghost", says(shedguard.GatewayOnline, bootA, 1), true, time.Now())
		w.Status("real", says(shedguard.GatewayOnline, bootB, 1), true, time.Now())
		if s, _ := w.State("ghost"); s != presence.StateUnknown {
			t.Errorf("state %s on a retained word, want unknown", s)
		}
		pass(80 * time.Second)
		w.Status("ghost", says(shedguard.GatewayOnline, bootA, 1), true, time.Now()) // reconnect of the collector: the same word
		w.Traffic("real", time.Now())
		w.Telemetry("real", 1, 0, time.Now())
		same(t, "80 s", b.story())
		pass(10 * time.Second)
		same(t, "90 s", b.story(), "raised gateway_offline")
		w.Traffic("ghost", time.Now())
		same(t, "it lives", b.story(), "cleared gateway_offline")
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		for range 20 {
			pass(10 * time.Second)
			w.Telemetry("s", 12, 0, time.Now())
			w.Traffic("s", time.Now())
		}
		same(t, "talking", b.story())
		for range 5 { // alarms and words are no telemetry
			pass(10 * time.Second)
			w.Traffic("s", time.Now())
			w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		}
		same(t, "50 s", b.story())
		pass(10 * time.Second)
		same(t, "60 s", b.story(), "raised gateway_silent")
		if s, _ := w.State("s"); s != presence.StateSilent {
			t.Errorf("state %s, want silent", s)
		}
		w.Telemetry("s", 1, 0, time.Now())
		same(t, "talks again", b.story(), "cleared gateway_silent")
		pass(70 * time.Second)
		same(t, "silent again", b.story(), "raised gateway_silent")
		w.Status("s", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
		got := b.story()
		slices.Sort(got)
		same(t, "offline takes its place", got, "cleared gateway_silent", "raised gateway_offline")
	})
}

func TestDeafCollectorJudgesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Telemetry("s", 1, 0, time.Now())
		b.with(func() { b.deaf = true })
		pass(time.Hour)
		same(t, "an hour without a broker", b.story())
		b.with(func() { b.deaf = false })
		pass(50 * time.Second)
		same(t, "50 s after", b.story())
		pass(15 * time.Second)
		same(t, "65 s after", b.story(), "raised gateway_silent")
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Telemetry("s", 0, 12, time.Now())
		pass(time.Second)
		same(t, "a year ahead", b.story(), "raised clock_unsynced")
		w.Telemetry("s", 12, 0, time.Now())
		pass(time.Second)
		same(t, "one good message", b.story())
		w.Telemetry("s", 6, 6, time.Now())
		for range 4 {
			pass(10 * time.Second)
			w.Telemetry("s", 12, 0, time.Now())
		}
		pass(time.Second)
		same(t, "good for 30 s", b.story(), "cleared clock_unsynced")
	})
}

func TestRestartNeitherLosesNorRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		w.Status("gone", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Status("back", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Status("gone", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
		w.Status("back", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
		same(t, "before", b.story(), "raised gateway_offline", "raised gateway_offline")
		stop()
		var ids []string
		b.with(func() {
			for id := range b.open {
				ids = append(ids, id)
			}
		})
		w, stop = watch(t, b)
		defer stop()
		w.Status("gone", says(shedguard.GatewayOffline, bootA, 1), true, time.Now())
		w.Status("back", says(shedguard.GatewayOnline, bootA, 2), true, time.Now())
		pass(30 * time.Second)
		same(t, "nothing is sure yet", b.story())
		w.Traffic("back", time.Now())
		same(t, "one is back", b.story(), "cleared gateway_offline")
		pass(time.Hour)
		b.with(func() {
			for id, o := range b.open {
				if o.Shed == "gone" && !slices.Contains(ids, id) {
					t.Errorf("alarm %s is new, want one of %v", id, ids)
				}
			}
		})
		same(t, "an hour later: only the one without telemetry", b.story(), "raised gateway_silent")
	})
}

func TestFailedCommitIsOfferedAgainWithTheSameID(t *testing.T) {
	for name, lose := range map[string]bool{"refused": false, "committed, answer lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook()
				b.fail, b.lose = errors.New("database is locked"), lose
				w, stop := watch(t, b)
				defer stop()
				w.Status("s", says(shedguard.GatewayOffline, bootA, 1), false, time.Now())
				pass(10 * time.Second)
				b.with(func() { b.fail = nil })
				pass(2 * time.Second)
				same(t, "once", b.story(), "raised gateway_offline")
			})
		})
	}
}

func TestStatesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		w, stop := watch(t, b)
		defer stop()
		w.Status("s", says(shedguard.GatewayOnline, bootA, 1), false, time.Now())
		w.Telemetry("s", 1, 0, time.Now())
		pass(70 * time.Second)
		w.Telemetry("s", 1, 0, time.Now())
		synctest.Wait()
		w.Status("s", says(shedguard.GatewayStopped, bootA, 1), false, time.Now())
		synctest.Wait()
		b.with(func() { same(t, "states", b.states, "s online", "s silent", "s online", "s stopped") })
	})
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := presence.New(presence.Options{Limits: presence.Limits{Silent: time.Millisecond}})
	if err == nil {
		t.Fatal("taken, want an error")
	}
	for _, part := range []string{"limits:", "boot id:", "log:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

// Whatever is seen in whatever order, an alarm is raised once, cleared once,
// and never both open twice.
func TestEveryAlarmHasOneLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 8), 1, 40).Draw(rt, "steps")
		conns := rapid.SliceOfN(rapid.Uint64Range(1, 3), len(steps), len(steps)).Draw(rt, "conns")
		synctest.Test(t, func(t *testing.T) {
			b := newBook()
			w, stop := watch(t, b)
			for i, step := range steps {
				now, boot := time.Now(), bootA
				if i > len(steps)/2 {
					boot = bootB
				}
				switch step {
				case 0, 1:
					w.Status("s", says(shedguard.GatewayOnline, boot, conns[i]), step == 1, now)
				case 2, 3:
					w.Status("s", says(shedguard.GatewayOffline, boot, conns[i]), step == 3, now)
				case 4:
					w.Status("s", says(shedguard.GatewayStopped, boot, conns[i]), false, now)
				case 5:
					w.Telemetry("s", 1, i%2, now)
				case 6:
					w.Traffic("s", now)
				case 7:
					pass(95 * time.Second)
				case 8:
					stop()
					w, stop = watch(t, b)
				}
				pass(time.Second)
			}
			stop()
			standing := map[shedguard.Cause]string{}
			for i := range b.events {
				a, err := b.events[i].Alarm()
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case b.events[i].Type == shedguard.EventAlarmRaised && standing[a.Cause] != "":
					t.Fatalf("%s raised twice in %v", a.Cause, steps)
				case b.events[i].Type == shedguard.EventAlarmRaised:
					standing[a.Cause] = a.ID
				case standing[a.Cause] != a.ID:
					t.Fatalf("%s cleared as %s, raised as %q", a.Cause, a.ID, standing[a.Cause])
				default:
					delete(standing, a.Cause)
				}
			}
			if standing[shedguard.CauseGatewayOffline] != "" && standing[shedguard.CauseGatewaySilent] != "" {
				t.Fatalf("offline and silent at once in %v", steps)
			}
		})
	})
}
