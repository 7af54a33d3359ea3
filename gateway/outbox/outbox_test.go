package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var boot = ulid.Make().String()

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(tb testing.TB, path string, change ...func(*outbox.Options)) *outbox.Outbox {
	tb.Helper()
	opts := outbox.Options{BootID: boot, FlushEvery: time.Hour, Log: discard()}
	for _, c := range change {
		c(&opts)
	}
	o, err := outbox.Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = o.Close() })
	return o
}

func event(tb testing.TB, typ string, data any) shedguard.Event {
	tb.Helper()
	e, err := shedguard.NewEvent(ulid.Make().String(), shedguard.Source("S1"), typ, "outlet/3", time.Now(), data)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func raised(tb testing.TB, s shedguard.Severity) shedguard.Event {
	tb.Helper()
	return event(tb, shedguard.EventAlarmRaised, map[string]any{"severity": s})
}

func lines(n int) []byte {
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, "outlet,shed=S1,outlet=3 watts=%d 1732366800%03d000000\n", i, i%1000)
	}
	return b
}

func ids(rs []outbox.Record) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.ID)
	}
	return out
}

func alarms(tb testing.TB, o *outbox.Outbox) []outbox.Record {
	tb.Helper()
	rs, err := o.Alarms(context.Background(), 0, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

func telemetry(tb testing.TB, o *outbox.Outbox) []outbox.Record {
	tb.Helper()
	rs, err := o.Telemetry(context.Background(), 0, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

func TestSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "outbox.db")
	o := open(t, path)
	first, second := raised(t, shedguard.SeverityCritical), event(t, shedguard.EventRelayOperated, map[string]int{"outlet": 3})
	for _, e := range []shedguard.Event{first, second, first} {
		if err := o.PutAlarm(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	want := lines(3)
	if err := o.PutTelemetry(t.Context(), outbox.Telemetry{Synced: true, Lines: want}); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, path)
	got := alarms(t, o)
	if s := fmt.Sprint(ids(got)); s != fmt.Sprint([]string{first.ID, second.ID}) {
		t.Fatalf("alarm lane after restart %s", s)
	}
	if got[0].Class != shedguard.ClassAlarm || got[1].Class != shedguard.ClassEvent {
		t.Errorf("classes %s, %s", got[0].Class, got[1].Class)
	}
	if sev, _, ok := o.Unsent(); !ok || sev != shedguard.SeverityCritical {
		t.Errorf("unsent %v, %v", sev, ok)
	}
	tele := telemetry(t, o)
	if len(tele) != 1 || !bytes.Equal(tele[0].Payload, want) {
		t.Fatalf("telemetry after restart: %v", tele)
	}
	o.Acked(first.ID, second.ID)
	o.Delivered(tele[0].Key)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, path)
	if n, m := len(alarms(t, o)), len(telemetry(t, o)); n != 0 || m != 0 {
		t.Errorf("%d alarms and %d batches after delivery", n, m)
	}
}
