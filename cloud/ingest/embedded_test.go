package ingest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/broker"
	"github.com/shedguard/shedguard/cloud/ingest"
)

// The collector and the embedded broker together: a collector that ends with
// everything unstored, and a broker that restarts, lose nothing.
func TestEmbeddedBroker(t *testing.T) {
	who := broker.Credentials{Username: "shedcloud", Password: "0123456789abcdef"}
	opts := broker.Options{Path: filepath.Join(t.TempDir(), "broker.db"), Plain: "127.0.0.1:0", Collector: who, TrustLoopback: true, Log: quiet()}
	run := func() *broker.Broker {
		b, err := broker.Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		opts.Plain = b.PlainAddr().String()
		return b
	}
	server := run()
	with := func(b *fakeBook, s *fakeStore) ingest.Options {
		return ingest.Options{Broker: "tcp://" + opts.Plain, ClientID: "shedcloud", Username: who.Username, Password: who.Password, Book: b, Series: s}
	}
	shut := newStore(true)
	first, stop := collect(t, with(newBook(), shut))
	eventually(t, "collector connects", first.Connected)
	g := connect(t, opts.Plain, "shed-1")
	now := time.Now()
	for i := range 5 {
		g.say(shedguard.ClassTelemetry, line("shed-1", i, now))
	}
	eventually(t, "store is asked", func() bool { _, calls := shut.get(); return calls > 0 })
	stop()
	g.Disconnect(50)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	run()
	b, s := newBook(), newStore(false)
	second, _ := collect(t, with(b, s))
	eventually(t, "telemetry comes again", func() bool { n, _ := s.get(); return n == 5 })
	eventually(t, "collector connects", second.Connected)
	g = connect(t, opts.Plain, "shed-1")
	acked := g.acked()
	id, payload := alarm(t, "shed-1")
	g.say(shedguard.ClassAlarm, payload)
	eventually(t, "alarm is stored and acked", func() bool { return b.has(id) && acked(id) })
}
