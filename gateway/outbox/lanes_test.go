package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
)

func options(change ...func(*outbox.Options)) outbox.Options {
	opts := outbox.Options{BootID: boot, FlushEvery: time.Hour, Log: discard()}
	for _, c := range change {
		c(&opts)
	}
	return opts
}

func putTelemetry(tb testing.TB, o *outbox.Outbox, b []byte) {
	tb.Helper()
	if err := o.PutTelemetry(context.Background(), outbox.Telemetry{Synced: true, Lines: b}); err != nil {
		tb.Fatal(err)
	}
}

func TestTelemetryThatWaitsIsJoined(t *testing.T) {
	o := open(t, filepath.Join(t.TempDir(), "o.db"))
	putTelemetry(t, o, lines(1))
	putTelemetry(t, o, lines(2))
	rs := telemetry(t, o)
	if len(rs) != 1 || !bytes.Equal(rs[0].Payload, append(lines(1), lines(2)...)) {
		t.Fatalf("%d records, want one with all lines", len(rs))
	}
	putTelemetry(t, o, lines(3)) // the first record was read, it may be on its way
	if rs := telemetry(t, o); len(rs) != 2 || !bytes.Equal(rs[1].Payload, lines(3)) {
		t.Fatalf("%d records, want the second apart", len(rs))
	}
}

func TestTelemetryIsCommittedWithTheBeat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	synctest.Test(t, func(t *testing.T) {
		o, err := outbox.Open(path, options(func(o *outbox.Options) { o.FlushEvery = 5 * time.Second }))
		if err != nil {
			t.Fatal(err)
		}
		putTelemetry(t, o, lines(1))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := onDisk(t, path); n != 1 {
			t.Errorf("%d records on disk after a beat, want 1", n)
		}
		rs := telemetry(t, o)
		o.Delivered(rs[0].Key)
		putTelemetry(t, o, lines(2))
		o.Delivered(telemetry(t, o)[0].Key)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := onDisk(t, path); n != 0 {
			t.Errorf("%d records on disk after delivery, want 0", n)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestBoundDropsOldestTelemetryAndCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	small := func(o *outbox.Options) { o.MaxTelemetryBytes = 100_000 }
	o := open(t, path, small)
	e := raised(t, shedguard.SeverityMajor)
	if err := o.PutAlarm(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	batch := bytes.Repeat(lines(1), 400) // over half of what may be joined
	for i := range 20 {
		putTelemetry(t, o, append(fmt.Appendf(nil, "n,shed=S1 i=%d 1732366800000000000\n", i), batch...))
		if i%3 == 0 {
			if err := o.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := o.Stats()
	if s.TelemetryBytes > 100_000 || s.DroppedTelemetry == 0 || s.Telemetry+int(s.DroppedTelemetry) != 20 {
		t.Errorf("stats %+v: want 20 records kept or counted in 100 kB", s)
	}
	rs := telemetry(t, o)
	if last := string(rs[len(rs)-1].Payload); !strings.HasPrefix(last, "n,shed=S1 i=19 ") {
		t.Errorf("the newest record is %.20q", last)
	}
	if len(alarms(t, o)) != 1 {
		t.Error("the alarm went")
	}
	_ = o.Close()
	o = open(t, path, small)
	if again := o.Stats(); again.DroppedTelemetry != s.DroppedTelemetry || again.DroppedBytes != s.DroppedBytes || again.Telemetry != s.Telemetry {
		t.Errorf("after restart %+v, want %+v", again, s)
	}
}

func TestOtherEventsAreBoundedAlarmsAreNot(t *testing.T) {
	o := open(t, filepath.Join(t.TempDir(), "o.db"), func(o *outbox.Options) { o.MaxOtherBytes = 5000 })
	var want []string
	for range 30 {
		a, e := raised(t, shedguard.SeverityWarning), event(t, shedguard.EventSessionPhase, map[string]string{"phase": strings.Repeat("x", 200)})
		want = append(want, a.ID)
		for _, e := range []shedguard.Event{a, e} {
			if err := o.PutAlarm(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	rs := alarms(t, o)
	var got []string
	for _, r := range rs {
		if r.Class == shedguard.ClassAlarm {
			got = append(got, r.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d alarms, want all %d", len(got), len(want))
	}
	if s := o.Stats(); s.DroppedEvents == 0 || int(s.DroppedEvents)+len(rs) != 60 {
		t.Errorf("stats %+v with %d records", s, len(rs))
	}
}

func TestUnsyncedTelemetry(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "o.db")
	lost, earlier := ulid.Make().String(), ulid.Make().String()
	o := open(t, path)
	put := func(boot string, b string) {
		t.Helper()
		if err := o.PutTelemetry(ctx, outbox.Telemetry{BootID: boot, Lines: []byte(b)}); err != nil {
			t.Fatal(err)
		}
	}
	put(lost, "outlet,shed=S1 watts=1 5000000000\n")
	put(earlier, "outlet,shed=S1 watts=2 6000000000\n")
	put(boot, "outlet,shed=S1 watts=3 7000000000\nbroken\n")
	if rs := telemetry(t, o); len(rs) != 0 {
		t.Fatalf("%d records go out without a clock", len(rs))
	}
	if s := o.Stats(); s.Waiting != 3 {
		t.Errorf("%d records wait, want 3", s.Waiting)
	}
	start := time.UnixMilli(1732366800000)
	if err := o.SetClock(earlier, start); err != nil {
		t.Fatal(err)
	}
	_ = o.Close()
	o = open(t, path)
	if rs := telemetry(t, o); len(rs) != 1 || string(rs[0].Payload) != "outlet,shed=S1 watts=2 1732366806000000000\n" {
		t.Fatalf("the earlier boot's record after restart: %v", rs)
	}
	if err := o.SetClock(boot, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	rs := telemetry(t, o)
	if len(rs) != 2 || string(rs[1].Payload) != "outlet,shed=S1 watts=3 1732366867000000000\n" {
		t.Fatalf("records once the clock is known: %v", rs)
	}
	if s := o.Stats(); s.DroppedTelemetry != 1 || s.Waiting != 0 || s.BadRecords != 1 {
		t.Errorf("stats %+v: want the lost boot's record dropped and the broken line counted", s)
	}
	for _, bad := range []time.Time{{}, time.UnixMilli(0)} {
		if o.SetClock(boot, bad) == nil {
			t.Errorf("clock %v was taken", bad)
		}
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	var disk outbox.Disk
	o, err := outbox.OpenOn(path, options(), &disk)
	if err != nil {
		t.Fatal(err)
	}
	before := raised(t, shedguard.SeverityMajor)
	if err := o.PutAlarm(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	disk.Fail(syscall.ENOSPC)
	e := raised(t, shedguard.SeverityCritical)
	for range 2 { // putting it again changes nothing while the disk is full
		err = o.PutAlarm(t.Context(), e)
		if !errors.Is(err, outbox.ErrMemoryOnly) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("put on a full disk: %v, want memory only and no space", err)
		}
	}
	if s := o.Stats(); s.MemoryOnly != 1 || s.DiskError == "" {
		t.Errorf("stats %+v: want it said", s)
	}
	if rs := alarms(t, o); len(rs) != 2 || rs[1].ID != e.ID || !bytes.Contains(rs[1].Payload, []byte(e.ID)) {
		t.Fatalf("alarm lane %v: want both to be delivered", ids(rs))
	}
	putTelemetry(t, o, lines(1))
	if err := o.Sync(t.Context()); err == nil {
		t.Error("sync of a full disk says nothing")
	}
	if len(telemetry(t, o)) != 1 {
		t.Error("telemetry in memory is gone")
	}
	// Memory is bounded: oldest first, counted.
	big := bytes.Repeat(lines(1), 1000)
	for range 200 {
		putTelemetry(t, o, big[:len(big)-len(big)%len(lines(1))])
	}
	if s := o.Stats(); s.DroppedTelemetry == 0 || s.TelemetryBytes > 5<<20 {
		t.Errorf("stats %+v: want memory bounded", s)
	}
	disk.Fail(nil)
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := o.Stats(); s.MemoryOnly != 0 || s.DiskError != "" {
		t.Errorf("stats %+v after the disk came back", s)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, path)
	if got := ids(alarms(t, o)); !slices.Equal(got, []string{before.ID, e.ID}) {
		t.Errorf("after restart %v", got)
	}
}

func TestFullDiskCostsTelemetryBeforeAlarms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	o, err := outbox.OpenSmall(path, options(), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	batch := bytes.Repeat(lines(1), 500)
	for range 100 {
		putTelemetry(t, o, batch)
		_ = o.Sync(t.Context()) // refused in the end
	}
	var want []string
	for range 300 {
		e := raised(t, shedguard.SeverityMajor)
		want = append(want, e.ID)
		if err := o.PutAlarm(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(alarms(t, o)); !slices.Equal(got, want) {
		t.Errorf("%d alarms, want %d on disk", len(got), len(want))
	}
	if s := o.Stats(); s.MemoryOnly != 0 || s.DroppedTelemetry == 0 {
		t.Errorf("stats %+v: want telemetry dropped and every alarm on disk", s)
	}
}

func TestNoFolder(t *testing.T) {
	o, err := outbox.Open("/proc/nowhere/o.db", options())
	if err != nil {
		t.Fatalf("start refused: %v", err)
	}
	defer func() { _ = o.Close() }()
	e := raised(t, shedguard.SeverityMajor)
	if err := o.PutAlarm(t.Context(), e); !errors.Is(err, outbox.ErrMemoryOnly) {
		t.Errorf("put: %v, want memory only", err)
	}
	if got := ids(alarms(t, o)); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("alarm lane %v", got)
	}
}

func TestRefusedForEver(t *testing.T) {
	o := open(t, filepath.Join(t.TempDir(), "o.db"))
	long := raised(t, shedguard.SeverityMajor)
	long.Data = []byte(`"` + strings.Repeat("x", shedguard.MaxEventBytes) + `"`)
	if err := o.PutAlarm(t.Context(), long); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("long event: %v", err)
	}
	if err := o.PutAlarm(t.Context(), shedguard.Event{}); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("empty event: %v", err)
	}
	if err := o.PutTelemetry(t.Context(), outbox.Telemetry{Synced: true, Lines: []byte("half a line")}); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("half a line: %v", err)
	}
	if s := o.Stats(); s.SetAside != 3 || s.Alarms != 0 || s.Telemetry != 0 {
		t.Errorf("stats %+v", s)
	}
	for range 300 { // what is set aside is bounded, too
		_ = o.PutTelemetry(t.Context(), outbox.Telemetry{Synced: true, Lines: []byte("x")})
	}
	if s := o.Stats(); s.SetAside != 303 || s.DiskError != "" {
		t.Errorf("stats %+v", s)
	}
}

func TestConcurrentPutsShareACommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	o := open(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if err := o.PutAlarm(context.Background(), raised(t, shedguard.SeverityMajor)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rs := alarms(t, o)
	if len(rs) != 200 || !slices.IsSortedFunc(rs, func(a, b outbox.Record) int { return int(a.Key) - int(b.Key) }) {
		t.Errorf("%d records", len(rs))
	}
	_ = o.Close()
	if err := o.PutAlarm(context.Background(), raised(t, shedguard.SeverityMajor)); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
	if err := o.PutTelemetry(context.Background(), outbox.Telemetry{Synced: true, Lines: lines(1)}); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("telemetry after close: %v", err)
	}
}

func TestUnsentIsTheWorstThatWaits(t *testing.T) {
	o := open(t, filepath.Join(t.TempDir(), "o.db"))
	put := func(e shedguard.Event) string {
		t.Helper()
		if err := o.PutAlarm(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	put(event(t, shedguard.EventAlarmCleared, map[string]any{"severity": "critical"}))
	put(event(t, shedguard.EventSessionBegun, map[string]any{}))
	if _, _, ok := o.Unsent(); ok {
		t.Error("an alarm that cleared calls for the siren")
	}
	put(raised(t, shedguard.SeverityMinor))
	worst := put(raised(t, shedguard.SeverityCritical))
	if s, _, ok := o.Unsent(); !ok || s != shedguard.SeverityCritical {
		t.Errorf("unsent %v, %v", s, ok)
	}
	o.Acked(worst)
	for _, r := range alarms(t, o) {
		o.Sent(r.Key)
	}
	if _, _, ok := o.Unsent(); ok {
		t.Error("everything was sent")
	}
}

// The outbox against a plain list: whatever is put, acknowledged, delivered,
// flushed and reopened in whatever order, nothing is lost or invented.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprintf("%d.db", n))
		o, err := outbox.Open(path, options())
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = o.Close() }()
		var wantIDs []string
		var wantLines []string
		counter := 0
		readLines := func() (keys []uint64, got []string) {
			rs, err := o.Telemetry(context.Background(), 0, 1<<20)
			if err != nil {
				rt.Fatal(err)
			}
			for _, r := range rs {
				keys = append(keys, r.Key)
				got = append(got, strings.SplitAfter(strings.TrimSuffix(string(r.Payload), "\n"), "\n")...)
				got[len(got)-1] += "\n"
			}
			return keys, got
		}
		rt.Repeat(map[string]func(*rapid.T){
			"alarm": func(rt *rapid.T) {
				e := raised(t, shedguard.SeverityMajor)
				if err := o.PutAlarm(context.Background(), e); err != nil {
					rt.Fatal(err)
				}
				wantIDs = append(wantIDs, e.ID)
			},
			"again": func(rt *rapid.T) {
				if len(wantIDs) == 0 {
					rt.Skip()
				}
				e := raised(t, shedguard.SeverityMajor)
				e.ID = rapid.SampledFrom(wantIDs).Draw(rt, "id")
				if err := o.PutAlarm(context.Background(), e); err != nil {
					rt.Fatal(err)
				}
			},
			"ack": func(rt *rapid.T) {
				if len(wantIDs) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(wantIDs)-1).Draw(rt, "i")
				o.Acked(wantIDs[i], "unknown")
				wantIDs = slices.Delete(wantIDs, i, i+1)
			},
			"telemetry": func(rt *rapid.T) {
				counter++
				line := fmt.Sprintf("m,shed=S1 i=%d 1732366800000000000\n", counter)
				if err := o.PutTelemetry(context.Background(), outbox.Telemetry{Synced: true, Lines: []byte(line)}); err != nil {
					rt.Fatal(err)
				}
				wantLines = append(wantLines, line)
			},
			"deliver": func(rt *rapid.T) {
				rs, err := o.Telemetry(context.Background(), 0, 1<<20)
				if err != nil {
					rt.Fatal(err)
				}
				if len(rs) == 0 {
					rt.Skip()
				}
				r := rs[rapid.IntRange(0, len(rs)-1).Draw(rt, "i")]
				o.Delivered(r.Key)
				wantLines = slices.DeleteFunc(wantLines, func(l string) bool { return bytes.Contains(r.Payload, []byte(l)) })
			},
			"sync": func(rt *rapid.T) {
				if err := o.Sync(context.Background()); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if err := o.Close(); err != nil {
					rt.Fatal(err)
				}
				if o, err = outbox.Open(path, options()); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				rs, err := o.Alarms(context.Background(), 0, 1<<20)
				if err != nil {
					rt.Fatal(err)
				}
				if got := ids(rs); !slices.Equal(got, wantIDs) {
					rt.Fatalf("alarm lane %v, want %v", got, wantIDs)
				}
				if _, got := readLines(); !slices.Equal(got, wantLines) {
					rt.Fatalf("telemetry %q, want %q", got, wantLines)
				}
			},
		})
	})
}

// While the link is up the flash sees nothing: what is delivered before its
// commit is never written.
func TestDeliveredInTimeIsNeverWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	o := open(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		putTelemetry(t, o, lines(12))
		for _, r := range telemetry(t, o) {
			o.Delivered(r.Key)
		}
		if err := o.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was written")
	}
}
