package alarm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// bootID is the id of the n-th boot.
func bootID(n int) string { return fmt.Sprintf("01JDBQ6N5XB4Y3M2T1S0R9%04d", n) }

// shed is a gateway's book under test, with an outbox that remembers.
type shed struct {
	t     testing.TB
	disk  alarm.Disk // nil: the machine's
	path  string
	boot  int
	begun time.Time
	now   time.Time
	clock shedguard.ClockQuality
	put   func(e shedguard.Event) error // nil: takes everything

	damping *alarm.Damping
	inhibit []alarm.Inhibition

	book   *alarm.Book
	events []shedguard.Event // as the outbox has them
	read   int               // how many of them said has told
}

func newShed(t testing.TB) *shed {
	t.Helper()
	s := &shed{
		t: t, path: filepath.Join(t.TempDir(), "alarms.json"), clock: shedguard.ClockSynced,
		now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
	}
	s.restart()
	return s
}

func (s *shed) restart() {
	s.t.Helper()
	s.boot++
	s.begun = s.now
	opts := alarm.Options{
		Path: s.path, Shed: "shed-7", BootID: bootID(s.boot), Outlets: []int{1, 2, 3}, Started: s.now,
		Put: s.take, Clock: func() shedguard.ClockQuality { return s.clock }, Log: slog.New(slog.DiscardHandler),
		Damping: s.damping, Inhibit: s.inhibit,
	}
	var err error
	if s.disk == nil {
		s.book, err = alarm.Open(opts, s.now)
	} else {
		s.book, err = alarm.OpenOn(opts, s.disk, s.now)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shed) take(_ context.Context, e shedguard.Event) error {
	if s.put != nil {
		if err := s.put(e); err != nil {
			return err
		}
	}
	if i := slices.IndexFunc(s.events, func(o shedguard.Event) bool { return o.ID == e.ID }); i >= 0 {
		if diff := cmp.Diff(s.events[i], e); diff != "" {
			s.t.Errorf("event %s came again and differs: %s", e.ID, diff)
		}
		return nil
	}
	s.events = append(s.events, e)
	return nil
}

func (s *shed) pass(d time.Duration) { s.now = s.now.Add(d) }

// observe tells the level of outlet 3.
func (s *shed) observe(by string, ds ...protect.Decision) {
	s.t.Helper()
	o := alarm.Observation{Subject: "outlet/3", Decisions: ds, Judged: true, By: by}
	if err := s.book.Observe(s.t.Context(), o, s.now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shed) save() {
	s.t.Helper()
	if err := s.book.Save(s.t.Context(), s.now); err != nil {
		s.t.Fatal(err)
	}
}

// said is what was put since the last call, one word and cause an event.
func (s *shed) said() []string {
	var words []string
	for _, e := range s.events[s.read:] {
		word := strings.TrimPrefix(e.Type, "shedguard.")
		if e.IsAlarm() {
			a := s.alarm(e)
			word = strings.TrimPrefix(word, "alarm.") + " " + string(a.Cause)
		}
		words = append(words, word)
	}
	s.read = len(s.events)
	return words
}

func (s *shed) want(words ...string) {
	s.t.Helper()
	if diff := cmp.Diff(words, s.said()); diff != "" {
		s.t.Errorf("said: %s", diff)
	}
}

func (s *shed) alarm(e shedguard.Event) shedguard.Alarm {
	s.t.Helper()
	a, err := e.Alarm()
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *shed) last() shedguard.Alarm {
	s.t.Helper()
	return s.alarm(s.events[len(s.events)-1])
}

// trip is a latched overcurrent of so many amps, decided now.
func (s *shed) trip(amps float64) protect.Decision {
	return protect.Decision{
		Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped,
		Value: amps, Limit: 10.5, Unit: "A", Since: s.now.Add(-20 * time.Second), At: s.now, Standing: true, Latched: true,
	}
}

func (s *shed) stale() protect.Decision {
	return protect.Decision{
		Cause: shedguard.CauseMeterStale, Severity: shedguard.SeverityMajor, Action: shedguard.ActionSuspended,
		Value: 3.1, Limit: 3, Unit: "s", Since: s.now.Add(-3 * time.Second), At: s.now, Standing: true,
	}
}

func TestLife(t *testing.T) {
	s := newShed(t)
	s.observe("")
	s.want()
	s.pass(time.Second)
	s.observe("", s.trip(25))
	s.want("raised overcurrent")
	raised := s.last()
	want := shedguard.Alarm{
		Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2, RaisedAt: s.now, Since: s.now.Add(-20 * time.Second),
		Value: 25, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Latched: true, Evidence: []string{},
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, MonoMS: 1000, BootID: bootID(1), Seq: 1},
	}
	if diff := cmp.Diff(want, raised, cmpopts.IgnoreFields(shedguard.Alarm{}, "ID", "Text")); diff != "" {
		t.Error(diff)
	}
	if e := s.events[0]; e.Subject != "outlet/3" || e.Source != "shedguard/shed-7" || !e.Time.Equal(s.now) || e.ID == raised.ID {
		t.Errorf("event %+v", e)
	}
	if !strings.Contains(raised.Text.ZH, "3 号插座") || !strings.Contains(raised.Text.EN, "25 A, limit 10.5 A") {
		t.Errorf("text %+v", raised.Text)
	}
	if got := s.book.Latched(3); !got.Has(shedguard.CauseOvercurrent) || s.book.Latched(2) != 0 {
		t.Errorf("latched %v", got)
	}

	same := s.trip(25)
	for range 100 { // a level is no change
		s.pass(time.Second)
		s.observe("", same)
	}
	s.want()

	s.observe("wang")
	s.want("cleared overcurrent")
	cleared := s.last()
	if cleared.ID != raised.ID || cleared.By != "wang" || cleared.Severity != shedguard.SeverityCleared || cleared.Level != 0 || cleared.Latched || cleared.Seq != 2 {
		t.Errorf("cleared %+v", cleared)
	}
	if len(s.book.Open()) != 0 || s.book.Latched(3) != 0 {
		t.Errorf("still open: %+v", s.book.Open())
	}
	s.observe("", s.trip(25))
	if s.want("raised overcurrent"); s.last().ID == raised.ID {
		t.Error("a new fault has the identity of an old one")
	}
}

func TestUpdates(t *testing.T) {
	s := newShed(t)
	level := s.trip(20)
	tell := func(after time.Duration, amps float64) {
		s.pass(after)
		level.Value = amps
		s.observe("", level)
	}
	tell(0, 20)
	s.want("raised overcurrent")
	tell(time.Minute, 21.04) // a tenth of the limit is 1.05
	s.want()
	tell(time.Second, 21.06)
	s.want("updated overcurrent")
	if a := s.last(); a.Value != 21.06 {
		t.Errorf("value %g", a.Value)
	}
	tell(5*time.Second, 30)
	tell(4*time.Second, 40)
	s.want() // one in ten seconds
	s.pass(time.Second)
	s.save() // what was held back is said without being told again
	s.want("updated overcurrent")
	if a := s.last(); a.Value != 40 || !a.Latched {
		t.Errorf("alarm %+v", a)
	}
	level.Severity, level.Action = shedguard.SeverityCritical, shedguard.ActionCutZone
	s.pass(time.Minute)
	s.observe("", level)
	s.want("updated overcurrent")
	if a := s.last(); a.Severity != shedguard.SeverityCritical || a.Level != 1 || a.Action != shedguard.ActionCutZone {
		t.Errorf("alarm %+v", a)
	}
	tell(0, 90)
	s.observe("li") // a clear at once
	s.want("cleared overcurrent")
}

func TestRestartKeepsIdentity(t *testing.T) {
	s := newShed(t)
	s.observe("", s.trip(25), s.stale())
	s.want("raised overcurrent", "raised meter_stale")
	before := s.book.Open()
	s.pass(time.Minute)
	s.restart()
	if s.book.Lost() {
		t.Fatal("lost")
	}
	if diff := cmp.Diff(before, s.book.Open()); diff != "" {
		t.Errorf("open alarms: %s", diff)
	}
	if !s.book.Latched(3).Has(shedguard.CauseOvercurrent) || s.book.Latched(3).Has(shedguard.CauseMeterStale) {
		t.Errorf("latched %v", s.book.Latched(3))
	}
	s.want()

	// Nothing was seen yet: that clears nothing.
	restored := protect.Decision{Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped, Latched: true}
	if err := s.book.Observe(t.Context(), alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{restored}}, s.now); err != nil {
		t.Fatal(err)
	}
	s.want()
	if a := s.book.Open()[0].Alarm; a.Value != 25 || a.Limit != 10.5 {
		t.Errorf("a restored latch took the numbers away: %+v", a)
	}
	s.observe("", restored) // the meter is back
	s.want("cleared meter_stale")
	s.observe("wang")
	s.want("cleared overcurrent")
	if a := s.last(); a.ID != before[0].Alarm.ID || a.BootID != bootID(2) || a.Seq != 2 {
		t.Errorf("cleared %+v", a)
	}
}

func TestRaiseAndClear(t *testing.T) {
	s := newShed(t)
	f := alarm.Fault{Cause: shedguard.CauseStorageLow, Severity: shedguard.SeverityWarning, Value: 4, Limit: 10, Unit: "%"}
	raise := func() {
		t.Helper()
		if err := s.book.Raise(t.Context(), "shed", f, s.now); err != nil {
			t.Fatal(err)
		}
	}
	raise()
	raise()
	s.want("raised storage_low")
	if a := s.last(); a.Action != shedguard.ActionNone || !a.Since.Equal(s.now) {
		t.Errorf("alarm %+v", a)
	}
	s.pass(time.Minute)
	f.Value = 2
	raise()
	s.want("updated storage_low")
	// A level of the same subject does not speak for it.
	if err := s.book.Observe(t.Context(), alarm.Observation{Subject: "shed", Judged: true}, s.now); err != nil {
		t.Fatal(err)
	}
	s.want()
	s.restart()
	raise()
	s.want()
	for range 2 {
		if err := s.book.Clear(t.Context(), "shed", shedguard.CauseStorageLow, "", s.now); err != nil {
			t.Fatal(err)
		}
	}
	s.want("cleared storage_low")
}

func TestRefused(t *testing.T) {
	s := newShed(t)
	good := alarm.Fault{Cause: shedguard.CauseBusFault, Severity: shedguard.SeverityMajor}
	tests := map[string]struct {
		subject string
		change  func(f *alarm.Fault)
		text    string
	}{
		"no subject":   {"", func(*alarm.Fault) {}, "subject"},
		"long subject": {strings.Repeat("x", 201), func(*alarm.Fault) {}, "subject"},
		"cause":        {"bus/main", func(f *alarm.Fault) { f.Cause = "Not A Cause" }, "cause"},
		"severity":     {"bus/main", func(f *alarm.Fault) { f.Severity = shedguard.SeverityCleared }, "severity"},
	}
	for name, tt := range tests {
		f := good
		tt.change(&f)
		if err := s.book.Raise(t.Context(), tt.subject, f, s.now); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.want()
	// One bad decision does not hide the others; a value that is no number does not hide the alarm.
	bad, odd := s.trip(1), s.stale()
	bad.Severity, odd.Value = 9, math.NaN()
	err := s.book.Observe(t.Context(), alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{bad, odd}, Judged: true}, s.now)
	if err == nil {
		t.Error("a decision without a severity was taken")
	}
	s.want("raised meter_stale")
	if _, err := alarm.Open(alarm.Options{}, s.now); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("options: %v, want five faults", err)
	}
}

func TestAcknowledge(t *testing.T) {
	s := newShed(t)
	s.observe("", s.trip(25))
	id := s.book.Open()[0].Alarm.ID
	s.said()
	for range 2 {
		if err := s.book.Acknowledge(t.Context(), id, "wang", s.now); err != nil {
			t.Fatal(err)
		}
	}
	s.want("acknowledged overcurrent")
	if a := s.last(); a.By != "wang" || a.Severity != shedguard.SeverityMajor {
		t.Errorf("alarm %+v", a)
	}
	s.restart()
	if e := s.book.Open()[0]; e.AcknowledgedBy != "wang" || e.Alarm.By != "" {
		t.Errorf("after a restart %+v", e)
	}
	if err := s.book.Acknowledge(t.Context(), bootID(9), "wang", s.now); !errors.Is(err, alarm.ErrNotOpen) {
		t.Errorf("unknown id: %v", err)
	}
	if err := s.book.Acknowledge(t.Context(), id, "", s.now); err == nil {
		t.Error("nobody acknowledged")
	}
}

func TestEmit(t *testing.T) {
	s := newShed(t)
	s.observe("", s.trip(25))
	s.pass(1500 * time.Millisecond)
	op := shedguard.RelayOperated{Outlet: 3, Why: "overcurrent", SampleToRelay: 480, Verified: true}
	if err := s.book.Emit(t.Context(), shedguard.EventRelayOperated, "outlet/3", s.now, &op); err != nil {
		t.Fatal(err)
	}
	s.want("raised overcurrent", "relay.operated")
	var got shedguard.RelayOperated
	if err := json.Unmarshal(s.events[1].Data, &got); err != nil {
		t.Fatal(err)
	}
	op.Stamp = shedguard.Stamp{Clock: shedguard.ClockSynced, MonoMS: 1500, BootID: bootID(1), Seq: 2}
	if diff := cmp.Diff(op, got); diff != "" {
		t.Error(diff)
	}
	if err := s.book.Emit(t.Context(), "relay.operated", "outlet/3", s.now, &op); err == nil {
		t.Error("a type that is none of ours was taken")
	}
	if err := s.book.Emit(t.Context(), shedguard.EventRelayOperated, "outlet/3", s.now, &op); err != nil || op.Seq != 3 {
		t.Errorf("%v, seq %d: a refused event must leave no gap", err, op.Seq)
	}
}

// TestClockSetLater: alarms go out at once; once the clock is right an update
// carries the right instants.
func TestClockSetLater(t *testing.T) {
	s := newShed(t)
	right := s.now
	s.now, s.clock = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), shedguard.ClockUnsynced
	s.restart()
	s.pass(5 * time.Second)
	s.observe("", s.trip(25))
	s.want("raised overcurrent")
	raised := s.last()
	if raised.Clock != shedguard.ClockUnsynced || raised.MonoMS != 5000 || raised.RaisedAt.Year() != 1970 {
		t.Errorf("raised %+v", raised)
	}
	// The clock steps while 30 s pass on the monotonic one. A time that a test
	// makes has no monotonic part, so the start moves with the step.
	s.pass(30 * time.Second)
	step := right.Sub(s.now)
	mono := s.now.Sub(s.begun)
	s.now = s.now.Add(step)
	s.reopenAt(s.now.Add(-mono))
	s.clock = shedguard.ClockSynced
	s.save()
	s.want("updated overcurrent")
	a := s.last()
	if want := right.Add(-30 * time.Second); !a.RaisedAt.Equal(want) || !a.Since.Equal(want.Add(-20*time.Second)) || a.Clock != shedguard.ClockSynced || a.ID != raised.ID {
		t.Errorf("raised at %v since %v, want %v; %+v", a.RaisedAt, a.Since, want, a)
	}
	s.pass(time.Minute)
	s.save()
	s.want()
}

// reopenAt reads the book again as the same boot, with another idea of when
// it began.
func (s *shed) reopenAt(started time.Time) {
	s.t.Helper()
	var err error
	s.book, err = alarm.Open(alarm.Options{
		Path: s.path, Shed: "shed-7", BootID: bootID(s.boot), Outlets: []int{1, 2, 3}, Started: started,
		Put: s.take, Clock: func() shedguard.ClockQuality { return s.clock }, Log: slog.New(slog.DiscardHandler),
	}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestLost(t *testing.T) {
	good := func(t *testing.T, s *shed) []byte {
		t.Helper()
		b, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tests := map[string]func(t *testing.T, s *shed){
		"truncated": func(t *testing.T, s *shed) { write(t, s.path, good(t, s)[:100]) },
		"empty":     func(t *testing.T, s *shed) { write(t, s.path, nil) },
		"one bit": func(t *testing.T, s *shed) {
			b := good(t, s)
			b[len(b)/3] ^= 4
			write(t, s.path, b)
		},
		"something behind": func(t *testing.T, s *shed) { write(t, s.path, append(good(t, s), '\n')) },
		"another version": func(t *testing.T, s *shed) {
			line, _, _ := strings.Cut(string(good(t, s)), "\n")
			write(t, s.path, alarm.Seal([]byte(strings.Replace(line, `"version":1`, `"version":2`, 1))))
		},
		"an alarm twice": func(t *testing.T, s *shed) {
			line, _, _ := strings.Cut(string(good(t, s)), "\n")
			i, j := strings.Index(line, `[{"subject"`)+1, strings.Index(line, `],"waiting"`)
			write(t, s.path, alarm.Seal([]byte(line[:j]+","+line[i:j]+line[j:])))
		},
		"a folder": func(t *testing.T, s *shed) {
			if err := errors.Join(os.Remove(s.path), os.Mkdir(s.path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShed(t)
			s.observe("", s.trip(25))
			s.said()
			damage(t, s)
			s.restart()
			if !s.book.Lost() {
				t.Fatal("not lost")
			}
			for outlet := 1; outlet <= 3; outlet++ {
				if got := s.book.Latched(outlet); got != protect.NewCauses(shedguard.CauseStateLost) {
					t.Errorf("outlet %d latched %v", outlet, got)
				}
			}
			aside, err := filepath.Glob(s.path + ".corrupt-*")
			if err != nil || len(aside) != 1 {
				t.Errorf("set aside: %v, %v", aside, err)
			}
			s.save()
			s.want("raised state_lost", "raised state_lost", "raised state_lost")

			s.restart() // the latch holds, with the same identity
			if s.book.Lost() || !s.book.Latched(3).Has(shedguard.CauseStateLost) {
				t.Errorf("after another restart: lost %t, latched %v", s.book.Lost(), s.book.Latched(3))
			}
			s.save()
			s.want()
			s.observe("wang") // outlet 3 was reset
			s.want("cleared state_lost")
			if s.book.Latched(3) != 0 || s.book.Latched(2) == 0 {
				t.Errorf("latched %v, %v", s.book.Latched(3), s.book.Latched(2))
			}
		})
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFirstStartIsNotLost(t *testing.T) {
	s := newShed(t)
	write(t, s.path+".tmp", []byte(`{"version":1,"al`)) // nor one whose first write was cut short
	s.restart()
	if s.book.Lost() || s.book.Latched(1) != 0 || len(s.book.Open()) != 0 {
		t.Error("a first start is taken for a lost file")
	}
	if k := s.book.Kept(1); k.Heat != protect.UnknownHeat || k.Session.Session != nil {
		t.Errorf("kept %+v", k)
	}
}

func TestKept(t *testing.T) {
	s := newShed(t)
	k := alarm.Kept{Heat: 0.625, Session: session.Record{Resumes: []float64{12}, Session: &session.Running{
		Session: shedguard.Session{ID: bootID(7), Outlet: 3, BegunAt: s.now, EnergyWh: 12.5, By: "plug", Phase: "charging"},
		AgeS:    600, Drawn: true, MaxWh: 3000, MaxMinutes: 600, MaxWatts: 1000,
	}}}
	if err := s.book.Keep(3, k); err != nil {
		t.Fatal(err)
	}
	s.save()
	s.restart()
	if diff := cmp.Diff(k, s.book.Kept(3)); diff != "" {
		t.Error(diff)
	}
	bad := k
	bad.Session.Resumes = []float64{math.Inf(1)}
	if err := s.book.Keep(3, bad); err == nil || !strings.Contains(err.Error(), "outlet 3") {
		t.Errorf("infinite: %v", err)
	}
	bad = k
	bad.Heat = math.NaN()
	if err := s.book.Keep(3, bad); err != nil || s.book.Kept(3).Heat != protect.UnknownHeat {
		t.Errorf("heat that is no number: %v, %g", err, s.book.Kept(3).Heat)
	}
}

// counting is a disk that counts what is written.
type counting struct {
	*memory
	writes int
}

func (c *counting) Write(name string, b []byte) error {
	c.writes++
	return c.memory.Write(name, b)
}

// TestWear: an idle shed is not written, a warming one every ten seconds, and
// an event costs one write before it is handed on.
func TestWear(t *testing.T) {
	s := newShed(t)
	d := &counting{memory: newMemory(-1)}
	s.disk = d
	s.restart()
	heat := 0.1
	for range 360 { // an hour of nothing
		s.pass(10 * time.Second)
		if err := s.book.Keep(1, alarm.Kept{Heat: heat}); err != nil {
			t.Fatal(err)
		}
		s.save()
	}
	if d.writes > 61 {
		t.Errorf("%d writes in an hour of nothing, want at most one a minute", d.writes)
	}
	d.writes = 0
	for range 6 {
		s.pass(10 * time.Second)
		heat += 0.02
		if err := s.book.Keep(1, alarm.Kept{Heat: heat}); err != nil {
			t.Fatal(err)
		}
		s.save()
	}
	if d.writes != 6 {
		t.Errorf("%d writes while warming for a minute, want 6", d.writes)
	}
	d.writes = 0
	s.observe("", s.trip(25))
	if d.writes != 1 {
		t.Errorf("%d writes for an alarm, want 1", d.writes)
	}
	s.save() // the file need not have the event any more
	s.save()
	if d.writes != 2 {
		t.Errorf("%d writes after the outbox took it, want 2", d.writes)
	}
}

func TestSessionIsOnDiskBeforeItsEvent(t *testing.T) {
	s := newShed(t)
	k := alarm.Kept{Heat: 0.1, Session: session.Record{Session: &session.Running{Session: shedguard.Session{ID: bootID(7), Outlet: 3}}}}
	if err := s.book.Keep(3, k); err != nil {
		t.Fatal(err)
	}
	s.put = func(shedguard.Event) error {
		b, err := os.ReadFile(s.path)
		if err != nil || !strings.Contains(string(b), bootID(7)) {
			t.Errorf("the session is not on disk: %v", err)
		}
		return nil
	}
	data := k.Session.Session.Session
	if err := s.book.Emit(t.Context(), shedguard.EventSessionBegun, "outlet/3", s.now, &data); err != nil {
		t.Fatal(err)
	}
	s.want("session.begun")
}

func TestOutboxThatRefuses(t *testing.T) {
	s := newShed(t)
	refused := errors.New("outbox is full")
	s.put = func(shedguard.Event) error { return refused }
	o := alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{s.trip(25)}, Judged: true}
	if err := s.book.Observe(t.Context(), o, s.now); !errors.Is(err, refused) {
		t.Fatalf("error %v", err)
	}
	op := shedguard.RelayOperated{Outlet: 3}
	if err := s.book.Emit(t.Context(), shedguard.EventRelayOperated, "outlet/3", s.now, &op); !errors.Is(err, refused) {
		t.Fatalf("error %v", err)
	}
	if s.book.Waiting() != 2 {
		t.Errorf("%d waiting, want 2", s.book.Waiting())
	}
	s.restart() // both outlast a crash
	s.put = nil
	s.save()
	s.want("raised overcurrent", "relay.operated")
	if s.book.Waiting() != 0 {
		t.Errorf("%d waiting", s.book.Waiting())
	}
}

// TestTooManyWait: an outbox that takes nothing for long costs events that are
// no alarms first, and each is counted.
func TestTooManyWait(t *testing.T) {
	s := newShed(t)
	s.disk = forgetful{}
	s.restart()
	s.put = func(shedguard.Event) error { return errors.New("no") }
	o := alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{s.trip(25)}, Judged: true}
	_ = s.book.Observe(t.Context(), o, s.now)
	for range alarm.MaxWaiting + 9 {
		_ = s.book.Emit(t.Context(), shedguard.EventRelayOperated, "outlet/3", s.now, &shedguard.RelayOperated{})
	}
	if s.book.Waiting() != alarm.MaxWaiting || s.book.Dropped() != 10 {
		t.Errorf("%d wait, %d dropped, want %d, 10", s.book.Waiting(), s.book.Dropped(), alarm.MaxWaiting)
	}
	s.put = func(e shedguard.Event) error {
		s.put = func(shedguard.Event) error { return errors.New("enough seen") }
		if e.Type != shedguard.EventAlarmRaised {
			t.Errorf("the oldest is %s, want the alarm", e.Type)
		}
		return nil
	}
	_ = s.book.Save(t.Context(), s.now)
}

// forgetful is a disk that can neither read nor write, at once.
type forgetful struct{}

func (forgetful) Read(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (forgetful) Write(string, []byte) error  { return errFull }
func (forgetful) Rename(string, string) error { return errFull }
func (forgetful) Sync(string) error           { return errFull }

// TestDiskFull: alarms go out although nothing can be written, the error is
// told, and the book writes again when it can.
func TestDiskFull(t *testing.T) {
	s := newShed(t)
	d := newMemory(-1)
	s.disk = d
	s.restart()
	d.full = true
	o := alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{s.trip(25)}, Judged: true}
	if err := s.book.Observe(t.Context(), o, s.now); !errors.Is(err, errFull) {
		t.Fatalf("error %v", err)
	}
	s.want("raised overcurrent")
	d.full = false
	s.save()
	s.restart()
	if !s.book.Latched(3).Has(shedguard.CauseOvercurrent) {
		t.Error("the latch did not reach the disk")
	}
	s.want()
}

func TestTurn(t *testing.T) {
	s := newShed(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.put = func(shedguard.Event) error {
		cancel()
		err := s.book.Save(ctx, s.now) // the turn is ours: this one cannot have it
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		return nil
	}
	s.observe("", s.trip(25))
	s.put = nil
	if err := s.book.Observe(ctx, alarm.Observation{Subject: "outlet/3", Judged: true}, s.now); err != nil {
		t.Errorf("a free turn is taken at shutdown too: %v", err)
	}
}

func FuzzFile(f *testing.F) {
	s := newShed(f)
	s.put = func(shedguard.Event) error { return errors.New("no") }
	_ = s.book.Keep(3, alarm.Kept{Heat: 0.5, Session: session.Record{Off: true, Session: &session.Running{}}})
	_ = s.book.Observe(f.Context(), alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{s.trip(25), s.stale()}, Judged: true}, s.now)
	b, err := os.ReadFile(s.path)
	if err != nil {
		f.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f.Add(b)
	f.Add([]byte(line))
	f.Add(b[:len(b)/2])
	f.Add([]byte(`{"version":1,"outlets":{"3":{"heat":1e308}}}`))
	f.Add([]byte(`{"version":1,"alarms":null,"waiting":[{}],"outlets":{"x":{}}}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, alarm.Seal(b)} {
			first, second, err := alarm.Again(b)
			if err == nil && string(first) != string(second) {
				t.Errorf("%q was written as %q, then as %q", b, first, second)
			}
		}
	})
}

func BenchmarkObserveUnchanged(b *testing.B) {
	s := newShed(b)
	o := alarm.Observation{Subject: "outlet/3", Decisions: []protect.Decision{s.trip(25)}, Judged: true}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.book.Observe(b.Context(), o, s.now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRaiseAndClear is two changes, each on disk before it is handed on.
func BenchmarkRaiseAndClear(b *testing.B) {
	s := newShed(b)
	s.put = func(shedguard.Event) error { s.events = nil; return nil }
	o := alarm.Observation{Subject: "outlet/3", Judged: true}
	for b.Loop() {
		for _, o.Decisions = range [][]protect.Decision{{s.trip(25)}, nil} {
			if err := s.book.Observe(b.Context(), o, s.now); err != nil {
				b.Fatal(err)
			}
		}
	}
}
