package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/ingest"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/embedded"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

func TestOptionsAreChecked(t *testing.T) {
	_, err := ingest.New(ingest.Options{Broker: "localhost", Group: "a/b", Window: -1})
	if err == nil {
		t.Fatal("taken, want an error")
	}
	for _, part := range []string{"broker:", "client id:", "group:", "window:", "log:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestGarbageOnEveryTopicStopsNothing(t *testing.T) {
	server := mosquittotest.Start(t)
	b, s, w := newBook(), newStore(false), newWatch()
	log := &logBook{}
	c, _ := collect(t, ingest.Options{
		Broker: "tcp://" + server.Addr(), Book: b, Series: s, Watch: w, Log: slog.New(slog.NewTextHandler(log, nil)),
		Evidence: func(context.Context, string, string, int, []byte, time.Time) error { return nil },
	})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	garbage := [][]byte{{}, {0}, {0xff, 0xfe}, []byte("garbage"), []byte("{}"), []byte("null"), []byte(`{"specversion":"1.0"}`), make([]byte, 300<<10)}
	classes := append(shedguard.Classes(), shedguard.ClassEvidence+"/01JD0000000000000000000000/1")
	const rounds = 3
	for range rounds {
		for _, class := range classes {
			for _, bytes := range garbage {
				g.say(class, bytes)
			}
		}
	}
	g.wait(g.Publish("shedguard/v1/bad%20shed/alarm", 1, false, "garbage"))
	_, other := alarm(t, "shed-2") // right in itself, on the wrong topic
	g.say(shedguard.ClassAlarm, other)
	g.say(shedguard.ClassTelemetry, line("shed-2", 1, time.Now()))

	id, good := alarm(t, "shed-1")
	acked := g.acked()
	g.say(shedguard.ClassAlarm, good)
	g.say(shedguard.ClassStatus, status(t, shedguard.GatewayOnline))
	g.say(shedguard.ClassReply, encode(t, shedguard.Reply{ID: ulid.Make().String(), OK: true}))
	g.wait(g.Publish(shedguard.EvidenceTopic("shed-1", ulid.Make().String(), 0), 1, false, []byte{0xff, 0xd8, 0xff, 0xe0}))
	g.say(shedguard.ClassTelemetry, append([]byte("garbage in the first line\n"), line("shed-1", 1, time.Now())...))
	eventually(t, "good alarm is stored and acked", func() bool { return b.has(id) && acked(id) })
	eventually(t, "good line is stored", func() bool { n, _ := s.get(); return n == 1 })
	eventually(t, "good status and reply are stored", func() bool { _, st, re, _ := b.count(); return st == 1 && re == 1 })

	// Up: status, alarm, event, reply, telemetry and evidence with a topic of its own.
	const up = 6
	want := uint64(rounds*up*len(garbage) + 1 + 1 + 1 + 1)
	total := func() (n uint64) {
		for _, k := range c.Stats().Refused {
			n += k
		}
		return n
	}
	eventually(t, fmt.Sprintf("%d refusals", want), func() bool { return total() >= want })
	if got := total(); got != want {
		t.Errorf("%d refused, want %d: %v", got, want, c.Stats().Refused)
	}
	for reason, n := range c.Stats().Refused {
		if got := log.lines(`reason="` + reason + `"`); got == 0 || got > 2 { // two sheds
			t.Errorf("%q: refused %d times, logged %d times, want once", reason, n, got)
		}
	}
	eventually(t, "dead letters", func() bool { _, _, _, n := b.count(); return n > 10 })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.letters {
		if d.Reason == "" || d.Topic == "" || d.At.IsZero() || len(d.Payload) > 4096 {
			t.Errorf("dead letter %+v lacks something", d)
		}
	}
	if len(b.events) != 1 {
		t.Errorf("%d events stored, want 1", len(b.events))
	}
}

// A status with a suppression that cannot be is refused and kept, with all that is
// wrong; the next one counts. What an older gateway leaves out is nothing wrong.
func TestStatusWithSirenAndSuppression(t *testing.T) {
	server := mosquittotest.Start(t)
	b, w := newBook(), newWatch()
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: newStore(false), Watch: w})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	said := shedguard.Status{
		State: shedguard.GatewayOnline, Since: time.Now(), BootID: ulid.Make().String(), Conn: 1, Clock: shedguard.ClockSynced, Siren: true,
		Suppression: &shedguard.Suppression{Phase: "loaded", Zone: "bay-1", AlarmID: "7"},
	}
	bad := encode(t, said)
	g.say(shedguard.ClassStatus, bad)
	said.Suppression = &shedguard.Suppression{Phase: shedguard.SuppressionArmed, Zone: "bay-1", Until: time.Now().UTC().Truncate(time.Millisecond)}
	g.say(shedguard.ClassStatus, encode(t, said))
	g.say(shedguard.ClassStatus, status(t, shedguard.GatewayOnline)) // of an older gateway
	eventually(t, "two of three are kept", func() bool { _, n, _, letters := b.count(); return n == 2 && letters == 1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.statuses[0]; !got.Siren || got.Suppression == nil || *got.Suppression != *said.Suppression {
		t.Errorf("kept %+v, want %+v", got, said)
	}
	if got := b.statuses[1]; got.Siren || got.Suppression != nil {
		t.Errorf("kept %+v of an older gateway", got)
	}
	d := b.letters[0]
	for _, want := range []string{`suppression.phase: "loaded": want one of ["idle" "armed"`, `suppression.alarm_id: "7": want a ULID`} {
		if !strings.Contains(d.Reason, want) {
			t.Errorf("dead letter %q, want %q", d.Reason, want)
		}
	}
	if !bytes.Equal(d.Payload, bad) || d.Shed != "shed-1" {
		t.Errorf("dead letter of %s: %s", d.Shed, d.Payload)
	}
}

func TestAlarmPassesUnacknowledgedTelemetry(t *testing.T) {
	// The broker's window is 20: without a session of its own the alarm would wait.
	server := mosquittotest.Start(t, "max_inflight_messages 20")
	b, s := newBook(), newStore(true)
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: s})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	acked := g.acked()
	now := time.Now()
	for i := range 25 {
		g.say(shedguard.ClassTelemetry, line("shed-1", 1, now.Add(-time.Duration(i)*time.Second)))
	}
	eventually(t, "store is asked", func() bool { _, calls := s.get(); return calls == 1 })
	id, payload := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	eventually(t, "alarm is stored and acked", func() bool { return b.has(id) && acked(id) })
	if n, _ := s.get(); n != 0 || c.Stats().Points != 0 {
		t.Errorf("%d points stored while the store was shut", n)
	}
	close(s.shut)
	eventually(t, "telemetry is stored", func() bool { n, _ := s.get(); return n == 25 })
}

func open(tb testing.TB) *embedded.Store {
	tb.Helper()
	s, err := embedded.Open(embedded.Options{Dir: tb.TempDir(), Log: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func count(tb testing.TB, s *embedded.Store, shed string) int {
	tb.Helper()
	now := time.Now()
	got, err := s.Range(tb.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": shed}, From: now.Add(-9 * 24 * time.Hour), To: now.Add(time.Hour), Points: 1})
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, r := range got {
		n += r.Buckets[0].Count
	}
	return n
}

func TestKilledBetweenReceiveAndStore(t *testing.T) {
	server := mosquittotest.Start(t)
	link := newProxy(t, server.Addr())
	b, shut := newBook(), newStore(true)
	b.fail = func(string) error { return errors.New("disk is full") }
	first, stop := collect(t, ingest.Options{Broker: "tcp://" + link.ln.Addr().String(), Book: b, Series: shut})
	eventually(t, "first collector connects", first.Connected)
	g := connect(t, server.Addr(), "shed-1")
	now := time.Now()
	for i := range 5 {
		g.say(shedguard.ClassTelemetry, line("shed-1", 1, now.Add(-time.Duration(i)*time.Second)))
	}
	id, payload := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	eventually(t, "both stores are asked", func() bool { _, calls := shut.get(); return calls > 0 && first.Stats().Retries > 0 })
	link.ln.Close() // the machine is gone: nothing is said to the broker
	link.cut()
	stop()

	good, kept := newBook(), open(t)
	second, stop := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: good, Series: kept})
	eventually(t, "alarm comes again", func() bool { return good.has(id) })
	eventually(t, "telemetry comes again", func() bool { return count(t, kept, "shed-1") == 5 })
	eventually(t, "all is dealt with", func() bool { return second.Stats().Messages == 6 })
	stop()

	after := newBook()
	third, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: after, Series: kept})
	eventually(t, "third collector connects", third.Connected)
	last, payload := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	g.say(shedguard.ClassTelemetry, line("shed-1", 2, now))
	eventually(t, "new alarm", func() bool { return after.has(last) })
	eventually(t, "new telemetry", func() bool { return count(t, kept, "shed-1") == 6 })
	if n := third.Stats().Messages; n != 2 || after.has(id) {
		t.Errorf("third collector got %d messages, want the 2 new ones alone", n)
	}
}

func TestBrokerRestart(t *testing.T) {
	server := mosquittotest.Start(t)
	b, s := newBook(), newStore(false)
	s.setBroken(true)
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: s})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	g.say(shedguard.ClassTelemetry, line("shed-1", 1, time.Now()))
	eventually(t, "store is asked", func() bool { return c.Stats().Retries > 0 })
	server.Stop()
	eventually(t, "collector sees the loss", func() bool { return !c.Connected() })
	server.Restart()
	eventually(t, "collector connects again", c.Connected)
	g = connect(t, server.Addr(), "shed-2")
	acked := g.acked()
	id, payload := alarm(t, "shed-2")
	g.say(shedguard.ClassAlarm, payload)
	g.say(shedguard.ClassTelemetry, line("shed-2", 2, time.Now()))
	eventually(t, "alarm after the restart", func() bool { return acked(id) })
	s.setBroken(false)
	eventually(t, "telemetry of before and after", func() bool { n, _ := s.get(); return n == 2 })
}

func TestClockAYearAheadHarmsNobodyElse(t *testing.T) {
	server := mosquittotest.Start(t)
	b, s, w := newBook(), open(t), newWatch()
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: s, Watch: w})
	eventually(t, "collector connects", c.Connected)
	ahead, good := connect(t, server.Addr(), "ahead"), connect(t, server.Addr(), "good")
	now := time.Now()
	var mixed []byte
	mixed = append(mixed, line("ahead", 1, now.AddDate(1, 0, 0))...)
	mixed = append(mixed, line("ahead", 2, now)...)
	mixed = append(mixed, line("ahead", 3, now.AddDate(0, 0, -9))...)
	ahead.say(shedguard.ClassTelemetry, mixed)
	for i := range 10 {
		good.say(shedguard.ClassTelemetry, line("good", i, now.Add(-time.Duration(i)*17*time.Hour)))
	}
	eventually(t, "good shed's lines", func() bool { return count(t, s, "good") == 10 })
	eventually(t, "the one good line of the other", func() bool { return count(t, s, "ahead") == 1 })
	eventually(t, "watcher is told", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.untimely["ahead"] == 2 && w.good["ahead"] == 1 && w.good["good"] == 10 && w.untimely["good"] == 0
	})
	refused := c.Stats().Refused
	if refused[ingest.ReasonAhead] != 1 || refused[ingest.ReasonBehind] != 1 {
		t.Errorf("refused %v, want one ahead and one behind", refused)
	}
}

func TestEventIsAckedAfterItsCommit(t *testing.T) {
	server := mosquittotest.Start(t)
	b := newBook()
	id, payload := alarm(t, "shed-1")
	failed := 0
	b.fail = func(what string) error {
		if what == id && failed < 3 {
			failed++
			return errors.New("database is locked")
		}
		return nil
	}
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: newStore(false)})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	acked := g.acked()
	next, following := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	g.say(shedguard.ClassAlarm, following)
	eventually(t, "both are acked", func() bool { return acked(id) && acked(next) })
	b.mu.Lock()
	if failed != 3 || !slices.Equal(b.order, []string{id, next}) {
		t.Errorf("order %v after %d failures, want %v", b.order, failed, []string{id, next})
	}
	b.mu.Unlock()
	g.say(shedguard.ClassAlarm, payload) // sent again: acked again, stored once
	eventually(t, "repetition is put", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.events[id] == 2
	})
}

func TestPoisonIsSetAside(t *testing.T) {
	server := mosquittotest.Start(t)
	b := newBook()
	id, payload := alarm(t, "shed-1")
	b.fail = func(what string) error {
		if what == id {
			return errors.New("constraint failed")
		}
		return nil
	}
	c, _ := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: newStore(false)})
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	next, following := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	g.say(shedguard.ClassAlarm, following)
	eventually(t, "the one behind it", func() bool { return b.has(next) })
	if _, _, _, letters := b.count(); letters != 1 || c.Stats().Refused[ingest.ReasonBook] != 1 {
		t.Errorf("%d dead letters, refused %v, want 1", letters, c.Stats().Refused)
	}
}

func command(kind string, expires time.Duration) shedguard.Command {
	now := time.Now().UTC()
	return shedguard.Command{ID: ulid.Make().String(), Kind: kind, Args: []byte(`{"outlet":3}`), IssuedAt: now, ExpiresAt: now.Add(expires), By: "test"}
}

func TestCommandWaitsForItsReply(t *testing.T) {
	server := mosquittotest.Start(t)
	b := newBook()
	c, stop := collect(t, ingest.Options{Broker: "tcp://" + server.Addr(), Book: b, Series: newStore(false)})
	if _, err := c.Command(t.Context(), "shed-1", shedguard.Command{}); err == nil {
		t.Error("an empty command was sent")
	}
	eventually(t, "collector connects", c.Connected)
	g := connect(t, server.Addr(), "shed-1")
	g.wait(g.Subscribe(shedguard.Topic("shed-1", shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) {
		cmd, err := shedguard.DecodeCommand(m.Payload())
		if err != nil {
			t.Errorf("command: %v", err)
		}
		r := shedguard.Reply{ID: cmd.ID, OK: true}
		if cmd.Kind == shedguard.CommandResetTrip {
			r = shedguard.Reply{ID: cmd.ID, Error: shedguard.Refuse(shedguard.CodeCauseStands, "41 A on outlet 3")}
		}
		g.Publish(shedguard.Topic("shed-1", shedguard.ClassReply), 1, false, encode(t, r))
	}))
	if r, err := c.Command(t.Context(), "shed-1", command(shedguard.CommandStop, time.Minute)); err != nil || !r.OK {
		t.Errorf("stop: %+v, %v", r, err)
	}
	if r, err := c.Command(t.Context(), "shed-1", command(shedguard.CommandResetTrip, time.Minute)); err != nil || r.OK || r.Error.Code != shedguard.CodeCauseStands {
		t.Errorf("reset: %+v, %v", r, err)
	}
	if _, err := c.Command(t.Context(), "nobody", command(shedguard.CommandStop, 50*time.Millisecond)); !errors.Is(err, ingest.ErrNoReply) {
		t.Errorf("nobody there: %v, want %v", err, ingest.ErrNoReply)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Command(ended, "nobody", command(shedguard.CommandStop, time.Minute)); !errors.Is(err, context.Canceled) {
		t.Errorf("caller left: %v", err)
	}
	eventually(t, "replies are kept", func() bool { _, _, n, _ := b.count(); return n == 2 })
	stop()
	if _, err := c.Command(t.Context(), "shed-1", command(shedguard.CommandStop, time.Minute)); !errors.Is(err, ingest.ErrNotConnected) {
		t.Errorf("after the end: %v, want %v", err, ingest.ErrNotConnected)
	}
}

// What gateways send after the broker's restart and before the collector is
// back is kept for it. With a shared subscription Mosquitto would not.
func TestTelemetryOutlivesARestartOfTheBroker(t *testing.T) {
	server := mosquittotest.Start(t)
	with := func(s *fakeStore) ingest.Options {
		return ingest.Options{Broker: "tcp://" + server.Addr(), ClientID: "shedcloud", Book: newBook(), Series: s}
	}
	first, stop := collect(t, with(newStore(false)))
	eventually(t, "collector connects", first.Connected)
	stop()
	server.Restart()
	g := connect(t, server.Addr(), "shed-1")
	for i := range 5 {
		g.say(shedguard.ClassTelemetry, line("shed-1", i, time.Now()))
	}
	s := newStore(false)
	collect(t, with(s))
	eventually(t, "telemetry comes", func() bool { n, _ := s.get(); return n == 5 })
}
