package ingest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series/embedded"
)

func TestTimeWindow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		at             time.Time
		good, untimely int
	}{
		"now":              {now, 1, 0},
		"at the far end":   {now.Add(MaxAhead), 1, 0},
		"ahead":            {now.Add(MaxAhead + time.Millisecond), 0, 1},
		"at the near end":  {now.Add(-MaxBehind), 1, 0},
		"behind":           {now.Add(-MaxBehind - time.Millisecond), 0, 1},
		"a year ahead":     {now.AddDate(1, 0, 0), 0, 1},
		"never set, 1970":  {time.UnixMilli(12345), 0, 1},
		"as far as it can": {time.UnixMilli(9223372036854), 0, 1},
	} {
		var b batch
		good, untimely := b.add("s", fmt.Appendf(nil, "outlet,shed=s watts=1 %d", tt.at.UnixMilli()*1_000_000), now)
		if good != tt.good || untimely != tt.untimely {
			t.Errorf("%s: %d good, %d untimely, want %d and %d", name, good, untimely, tt.good, tt.untimely)
		}
	}
}

func TestHandIsBounded(t *testing.T) {
	l := newLink(&Options{ClientID: "c", Log: slog.New(slog.DiscardHandler)}, "book", "a")
	n := 0
	for l.take(fakeMessage{payload: make([]byte, 1<<20)}) {
		n++
	}
	if n != 64 || l.overruns.Load() != 1 {
		t.Errorf("took %d MiB, %d overruns, want 64 and 1", n, l.overruns.Load())
	}
	l.done(<-l.queue)
	if !l.take(fakeMessage{payload: make([]byte, 1<<20)}) {
		t.Error("no room after one was dealt with")
	}
}

type fakeMessage struct{ payload []byte }

func (fakeMessage) Duplicate() bool   { return false }
func (fakeMessage) Qos() byte         { return 1 }
func (fakeMessage) Retained() bool    { return false }
func (fakeMessage) Topic() string     { return "shedguard/v1/s/telemetry" }
func (fakeMessage) MessageID() uint16 { return 1 }
func (m fakeMessage) Payload() []byte { return m.payload }
func (fakeMessage) Ack()              {}

// FuzzTelemetry holds that whatever comes is taken or refused as a whole line,
// and that what is taken is of the topic's shed and inside the window.
func FuzzTelemetry(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Add(fmt.Appendf(nil, "outlet,shed=s,outlet=3 volts=221.4,state=3i %d\n\n#\r\ngarbage\n", now.UnixNano()))
	f.Add(fmt.Appendf(nil, "outlet,shed=t watts=1 %d", now.UnixNano()))
	f.Add([]byte("outlet,shed=s watts=NaN 1"))
	f.Add([]byte("\n\n"))
	f.Add([]byte{0, 0xff})
	var b batch
	f.Fuzz(func(t *testing.T, payload []byte) {
		b.reset()
		good, _ := b.add("s", payload, now)
		if good != len(b.filled()) {
			t.Fatalf("%d good, %d in the batch", good, len(b.filled()))
		}
		if good == 0 && len(b.bad) == 0 {
			t.Fatal("neither taken nor refused")
		}
		for _, p := range b.filled() {
			if p.Tag("shed") != "s" || p.Time.Sub(now) > MaxAhead || now.Sub(p.Time) > MaxBehind {
				t.Fatalf("took %+v", p)
			}
			if _, err := shedguard.AppendLine(nil, &p); err != nil {
				t.Fatalf("took what cannot be written again: %v", err)
			}
		}
	})
}

// FuzzEvent holds that what is taken is of the topic's shed and, as an alarm,
// valid.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"01JD0000000000000000000000","source":"shedguard/s","type":"shedguard.relay.operated","time":"2026-03-01T12:00:00Z","data":{}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"01JD0000000000000000000000","source":"shedguard/t","type":"shedguard.alarm.raised","time":"2026-03-01T12:00:00Z","data":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := decodeEvent("s", payload)
		if err != nil {
			return
		}
		if e.Shed() != "s" || !shedguard.ValidID(e.ID) || !json.Valid(e.Data) {
			t.Fatalf("took %+v", e)
		}
		if _, err := e.Alarm(); e.IsAlarm() && err != nil {
			t.Fatalf("took a bad alarm: %v", err)
		}
	})
}

// telemetry is one message of a shed: 12 outlets, 10 numbers each.
func telemetry(shed string, at time.Time) []byte {
	var b []byte
	for outlet := range 12 {
		b = fmt.Appendf(b, "outlet,shed=%s,outlet=%d volts=221.4,amps=1.82,amps_max=1.90,watts=389.1,pf=0.966,hz=50.0,energy_wh=812.4,state=3i,quality=0i,n=100i %d\n",
			shed, outlet+1, at.UnixMilli()*1_000_000)
	}
	return b
}

// BenchmarkPayloadToSeries measures the collector without the broker: payload
// to checked points to the store's write-ahead log, 100 messages a batch.
func BenchmarkPayloadToSeries(b *testing.B) {
	s, err := embedded.Open(embedded.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	at := time.Now().Add(-7 * 24 * time.Hour)
	now := time.Now()
	sheds := make([]string, 100)
	payloads := make([][]byte, 100)
	for i := range sheds {
		sheds[i] = fmt.Sprint("shed-", i)
		payloads[i] = telemetry(sheds[i], at)
	}
	var bt batch
	values := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		at = at.Add(time.Second)
		stamp := fmt.Appendf(nil, "%d", at.UnixMilli()*1_000_000)
		for _, p := range payloads { // the stamps are all of one length: rewritten in place
			for end := len(p); end > 0; {
				copy(p[end-1-len(stamp):], stamp)
				next := end - 1
				for next > 0 && p[next-1] != '\n' {
					next--
				}
				end = next
			}
		}
		b.StartTimer()
		bt.reset()
		for i := range payloads {
			bt.add(sheds[i], payloads[i], now)
		}
		if err := s.Append(b.Context(), bt.filled()); err != nil {
			b.Fatal(err)
		}
		values += bt.values
	}
	if want := b.N * 100 * 12 * 10; values != want {
		b.Fatalf("%d values stored, want %d", values, want)
	}
	b.ReportMetric(float64(values)/b.Elapsed().Seconds(), "values/s")
}
