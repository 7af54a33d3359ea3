package uplink_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/outbox"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// BenchmarkTelemetry is how fast a backlog of small batches leaves for a real
// Mosquitto; one operation is one batch with its PUBACK.
func BenchmarkTelemetry(b *testing.B) {
	server := mosquittotest.Start(b, "log_type none")
	opts := options(b, "mqtt://"+server.Addr())
	u, _ := run(b, opts)
	waitFor(b, "connection", u.Connected)
	line := []byte("outlet,shed=S1,outlet=3 volts=221.4,amps=1.82,amps_max=1.90,watts=389.1,pf=0.966,energy_wh=812.4,state=3i,quality=0i,n=100i 1732366800000000000\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var at uint64
	for b.Loop() {
		at = feed(b, opts.Outbox, at, line)
		if opts.Outbox.Stats().Telemetry > 1000 {
			waitFor(b, "room", func() bool { return opts.Outbox.Stats().Telemetry < 100 })
		}
	}
	waitFor(b, "delivery", func() bool { return opts.Outbox.Stats().Telemetry == 0 })
	b.ReportMetric(float64(u.Stats().Telemetry)/b.Elapsed().Seconds(), "batches/s")
}

// BenchmarkAlarm is the way of one alarm from the put (fsync included) to the
// broker's PUBACK.
func BenchmarkAlarm(b *testing.B) {
	server := mosquittotest.Start(b, "log_type none")
	opts := options(b, "mqtt://"+server.Addr())
	opts.RequireAck = false
	u, _ := run(b, opts)
	waitFor(b, "connection", u.Connected)
	measure := func(b *testing.B) {
		b.Helper()
		var took []time.Duration
		for b.Loop() {
			began := time.Now()
			put(b, opts.Outbox)
			for opts.Outbox.Stats().Alarms > 0 {
				time.Sleep(50 * time.Microsecond)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
	b.Run("idle", measure)
	b.Run("backlog", func(b *testing.B) {
		line := []byte("outlet,shed=S1,outlet=3 volts=221.4,amps=1.82,watts=389.1 1732366800000000000\n")
		var at uint64
		for range 20_000 {
			at = feed(b, opts.Outbox, at, line)
		}
		measure(b)
		b.ReportMetric(float64(opts.Outbox.Stats().Telemetry), "left")
	})
}

// feed is record for an outbox that is being emptied meanwhile.
func feed(b *testing.B, o *outbox.Outbox, after uint64, line []byte) uint64 {
	b.Helper()
	if err := o.PutTelemetry(b.Context(), outbox.Telemetry{Synced: true, Lines: line}); err != nil {
		b.Fatal(err)
	}
	rs, err := o.Telemetry(b.Context(), after, 1)
	if err != nil {
		b.Fatal(err)
	}
	if len(rs) > 0 { // else it is delivered already
		return rs[0].Key
	}
	return after
}
