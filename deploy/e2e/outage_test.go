package e2e_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// mustHave checks that the book has the gateway's alarm once, with the
// gateway's own time, and that it was raised once.
func mustHave(t *testing.T, c *collector, shed string, want *shedguard.Alarm) {
	t.Helper()
	var found []alarm
	until(t, "the alarm is in the API", func() bool {
		found = c.find(t, shed, want.Cause)
		return len(found) > 0
	})
	if len(found) != 1 || found[0].ID != want.ID || !found[0].RaisedAt.Equal(want.RaisedAt) {
		t.Fatalf("alarms %+v, want one %s raised at %s", found, want.ID, want.RaisedAt)
	}
	raised := 0
	for _, kind := range c.history(t, want.ID) {
		if kind == "raised" {
			raised++
		}
	}
	if raised != 1 {
		t.Errorf("alarm %s was raised %d times", want.ID, raised)
	}
}

// An overload while the broker is away is cut at once, and told afterwards.
func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	const shed = "outage"
	mqtt := mosquittotest.Start(t)
	cloud := startCollector(t, t.TempDir(), beside(mqtt.Addr()))
	g := startGateway(t, t.TempDir(), shed, "mqtt://"+mqtt.Addr(), "overload")
	until(t, "the shed is online", func() bool { return cloud.shedState(t, shed) == "online" })
	began := time.Now()

	mqtt.Stop()
	trip := g.awaitTrip(t)
	if s := g.state(t); s.Uplink == "connected" || s.Backlog == 0 {
		t.Fatalf("uplink %s, %d records waiting: the alarm was not raised in an outage", s.Uplink, s.Backlog)
	}
	// The incident is recorded sample by sample; some of it must be behind us.
	until(t, "telemetry of the time after the trip", func() bool { return time.Since(trip.RaisedAt) > 3*time.Second })
	ended := time.Now()
	if found := cloud.find(t, shed, trip.Cause); len(found) > 0 {
		t.Fatalf("the alarm is in the API during the outage: %+v", found)
	}
	mqtt.Restart()

	mustHave(t, cloud, shed, &trip)
	until(t, "the outbox empties", func() bool { return g.metrics(t)["gateway_outbox_alarm_records"] == 0 })
	until(t, "telemetry from after the outage", func() bool {
		return len(cloud.samples(t, shed, "volts", ended, time.Now())) == 12
	})
	// What is older was stored before.
	stored := cloud.samples(t, shed, "volts", began, time.Now())
	for _, outlet := range outlets(stored) {
		// A window of 10 s has one line at least.
		noHole(t, "outlet", stored[outlet], began, ended, 11*time.Second)
	}
	// The incident's samples come ten a second; a busy machine may be late.
	noHole(t, "incident", stored[faultOutlet], trip.RaisedAt.Add(-5*time.Second), trip.RaisedAt.Add(2*time.Second), time.Second)
	m := g.metrics(t)
	for _, lost := range []string{"gateway_outbox_dropped_telemetry_total", "gateway_telemetry_lines_dropped_total", "gateway_events_dropped_total", "gateway_outbox_dropped_events_total"} {
		if v, ok := m[lost]; !ok || v != 0 {
			t.Errorf("%s is %v (%v), want 0", lost, v, ok)
		}
	}
}

// The broker's word is not the collector's: what only the broker has stays in
// the gateway's outbox.
func TestCollectorAway(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		again string // configuration of the collector that comes
		long  bool
	}{
		"the same comes back": {"", false},
		// The broker keeps nothing for one that it never saw: the gateway must
		// send again.
		"another comes": {", client_id: another", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.long && testing.Short() {
				t.Skip("the gateway waits 30 s for an ack")
			}
			const shed = "away"
			mqtt, dir := mosquittotest.Start(t), t.TempDir()
			cloud := startCollector(t, dir, beside(mqtt.Addr()))
			g := startGateway(t, t.TempDir(), shed, "mqtt://"+mqtt.Addr(), "overload")
			until(t, "the shed is online and its outbox empty", func() bool {
				return cloud.shedState(t, shed) == "online" && g.metrics(t)["gateway_outbox_alarm_records"] == 0
			})
			cloud.kill()

			trip := g.awaitTrip(t)
			var m map[string]float64
			until(t, "the broker has acknowledged the alarm", func() bool {
				m = g.metrics(t)
				return m["gateway_alarm_puback_seconds"] > 0
			})
			if m["gateway_outbox_alarm_records"] == 0 {
				t.Fatal("the outbox let go of an alarm that no collector has")
			}

			config := beside(mqtt.Addr())
			if tt.again != "" {
				config = "mqtt: {url: 'tcp://" + mqtt.Addr() + "'" + tt.again + "}\n"
			}
			cloud = startCollector(t, dir, config)
			mustHave(t, cloud, shed, &trip)
			until(t, "the outbox empties", func() bool { return g.metrics(t)["gateway_outbox_alarm_records"] == 0 })
			mustHave(t, cloud, shed, &trip)
			if resent := g.metrics(t)["gateway_uplink_resent_total"]; tt.long && resent == 0 {
				t.Error("nothing was sent again: how did the alarm come?")
			}
		})
	}
}
