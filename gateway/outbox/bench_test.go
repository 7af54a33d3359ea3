package outbox_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
)

// BenchmarkPutAlarm is the way of one alarm to the disk, fsync included; with
// several writers they share it.
func BenchmarkPutAlarm(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		o := open(b, filepath.Join(b.TempDir(), "o.db"))
		for b.Loop() {
			if err := o.PutAlarm(b.Context(), raised(b, shedguard.SeverityMajor)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sixteen", func(b *testing.B) {
		b.ReportAllocs()
		o := open(b, filepath.Join(b.TempDir(), "o.db"))
		for b.Loop() {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if err := o.PutAlarm(b.Context(), raised(b, shedguard.SeverityMajor)); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// BenchmarkPutTelemetry is what the recorder pays for a batch of twelve
// outlets.
func BenchmarkPutTelemetry(b *testing.B) {
	b.ReportAllocs()
	o := open(b, filepath.Join(b.TempDir(), "o.db"))
	batch := lines(12)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if err := o.PutTelemetry(b.Context(), outbox.Telemetry{Synced: true, Lines: batch}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is the start with a week's backlog.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "o.db")
	o := open(b, path)
	batch := lines(60)
	for i := range 20_000 {
		putTelemetry(b, o, batch)
		telemetryAfter(b, o)
		if i%1000 == 0 {
			if err := o.Sync(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		o := open(b, path)
		if n := o.Stats().Telemetry; n < 1000 {
			b.Fatalf("%d records", n)
		}
		if err := o.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// telemetryAfter reads the newest record, so that the next batch is one of its
// own.
func telemetryAfter(tb testing.TB, o *outbox.Outbox) {
	tb.Helper()
	newest := o.NewestKey()
	if _, err := o.Telemetry(tb.Context(), newest-1, 1); err != nil {
		tb.Fatal(err)
	}
}
