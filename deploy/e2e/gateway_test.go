package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// witness is a session that misses nothing of what a shed says in its alarm
// lane, restarts of the broker included.
type witness struct {
	mu   sync.Mutex
	seqs map[string]map[uint64]string // by boot: what has that number
	bad  []string
}

func watch(t *testing.T, addr, shed string) *witness {
	t.Helper()
	w := &witness{seqs: make(map[string]map[uint64]string)}
	filters := map[string]byte{shedguard.Topic(shed, shedguard.ClassAlarm): 1, shedguard.Topic(shed, shedguard.ClassEvent): 1}
	ready := make(chan error, 1)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("witness").SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).SetDefaultPublishHandler(w.see).
		SetOnConnectHandler(func(c mqtt.Client) {
			token := c.SubscribeMultiple(filters, nil)
			go func() {
				err := settled(token)
				select {
				case ready <- err:
				default: // a later connection: the broker has kept the subscription
				}
			}()
		}))
	if err := settled(c.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(50) })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *witness) see(_ mqtt.Client, m mqtt.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var e shedguard.Event
	var stamp shedguard.Stamp
	if err := json.Unmarshal(m.Payload(), &e); err != nil {
		w.bad = append(w.bad, err.Error())
		return
	}
	if err := json.Unmarshal(e.Data, &stamp); err != nil {
		w.bad = append(w.bad, err.Error())
		return
	}
	boot := w.seqs[stamp.BootID]
	if boot == nil {
		boot = make(map[uint64]string)
		w.seqs[stamp.BootID] = boot
	}
	if id := boot[stamp.Seq]; id != "" && id != e.ID {
		w.bad = append(w.bad, fmt.Sprintf("boot %s: two events have number %d", stamp.BootID, stamp.Seq))
	}
	boot[stamp.Seq] = e.ID
}

// check checks that every boot said 1, 2, 3 and so on.
func (w *witness) check(t *testing.T, boots int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seqs) != boots || len(w.bad) > 0 {
		t.Errorf("%d boots were heard, want %d; %q", len(w.seqs), boots, w.bad)
	}
	for boot, seqs := range w.seqs {
		last := slices.Max(slices.Collect(maps.Keys(seqs)))
		for n := uint64(1); n <= last; n++ {
			if seqs[n] == "" {
				t.Errorf("boot %s: number %d of %d is missing", boot, n, last)
			}
		}
		t.Logf("boot %s: %d events without a gap", boot, len(seqs))
	}
}

// A gateway that is killed with its link up and with its link down loses no
// alarm, doubles none, and keeps its trip; the collector tells that it is away.
func TestGatewayKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for two faults of the simulated shed, 10 s and more each")
	}
	const shed = "killed"
	server, dir := mosquittotest.Start(t), t.TempDir()
	broker := "mqtt://" + server.Addr()
	cloud := startCollector(t, t.TempDir(), beside(server.Addr()))
	heard := watch(t, server.Addr(), shed)

	g := startGateway(t, dir, shed, broker, "overload")
	trip := g.awaitTrip(t)
	g.awaitKept(t, &trip)
	g.kill() // the alarm may be on its way or not
	until(t, "the collector says that the gateway is away", func() bool {
		found := cloud.find(t, shed, shedguard.CauseGatewayOffline)
		return len(found) == 1 && found[0].State == "open"
	})
	if latch(t, dir) == 0 {
		t.Error("the board lost its outputs with the program: the test shows nothing")
	}

	g = startGateway(t, dir, shed, broker, "meter-dead")
	g.mustBeCut(t)
	mustHave(t, cloud, shed, &trip)
	until(t, "the collector says that the gateway is back", func() bool {
		found := cloud.find(t, shed, shedguard.CauseGatewayOffline)
		return len(found) == 1 && found[0].State == "cleared" && cloud.shedState(t, shed) == "online"
	})
	server.Stop()
	stale := g.awaitAlarm(t, shedguard.CauseMeterStale)
	if s := g.state(t); s.Uplink == "connected" {
		t.Error("the link is up: the test shows nothing")
	}
	g.mustBeCut(t)
	g.awaitKept(t, &stale)
	g.kill()

	g = startGateway(t, dir, shed, broker, "quiet")
	g.mustBeCut(t)
	until(t, "the meter is good again", func() bool {
		return !slices.ContainsFunc(g.state(t).Alarms, func(a shedguard.Alarm) bool { return a.Cause == shedguard.CauseMeterStale })
	})
	server.Restart()
	mustHave(t, cloud, shed, &trip)
	mustHave(t, cloud, shed, &stale)
	until(t, "the outbox empties", func() bool { return g.metrics(t)["gateway_outbox_alarm_records"] == 0 })
	until(t, "the collector says that the gateway is back", func() bool {
		return cloud.shedState(t, shed) == "online" && !slices.ContainsFunc(cloud.find(t, shed, shedguard.CauseGatewayOffline), func(a alarm) bool { return a.State == "open" })
	})
	g.mustBeCut(t)
	g.end(t, syscall.SIGTERM)
	until(t, "the collector says that the gateway was stopped", func() bool { return cloud.shedState(t, shed) == "stopped" })

	all := cloud.alarms(t, shed)
	for _, a := range all {
		switch shedguard.Cause(a.Cause) {
		case shedguard.CauseOvercurrent:
			if a.ID != trip.ID || a.State != "open" {
				t.Errorf("%+v: want %s open", a, trip.ID)
			}
		case shedguard.CauseMeterStale:
			if a.ID != stale.ID || a.State != "cleared" || !slices.Equal(cloud.history(t, a.ID), []string{"raised", "cleared"}) {
				t.Errorf("%+v, %q: want %s raised and cleared once", a, cloud.history(t, a.ID), stale.ID)
			}
		case shedguard.CauseGatewayOffline:
			if a.State != "cleared" {
				t.Errorf("%+v: want it cleared", a)
			}
		default:
			t.Errorf("unexpected alarm %+v", a)
		}
	}
	heard.check(t, 3)
}
