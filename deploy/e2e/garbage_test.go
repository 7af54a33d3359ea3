package e2e_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// publisher publishes what a test wants, as anybody.
type publisher struct {
	t *testing.T
	mqtt.Client
}

func newPublisher(t *testing.T, addr, id string) *publisher {
	t.Helper()
	p := &publisher{t, mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetAutoReconnect(false))}
	p.must(p.Connect())
	t.Cleanup(func() { p.Disconnect(50) })
	return p
}

func (p *publisher) must(token mqtt.Token) {
	p.t.Helper()
	if err := settled(token); err != nil {
		p.t.Fatal(err)
	}
}

func (p *publisher) say(topic string, payload []byte) {
	p.t.Helper()
	p.must(p.Publish(topic, 1, false, payload))
}

// One gateway's clock is a year ahead, and somebody says garbage on every
// topic: both are counted and told once, and nobody else is any the worse.
func TestWrongClockAndGarbage(t *testing.T) {
	t.Parallel()
	const (
		shed   = "victim"
		rounds = 20
		ahead  = 3 * rounds // lines a year ahead
	)
	server := mosquittotest.Start(t, "max_inflight_messages 1000", "max_queued_messages 0")
	cloud := startCollector(t, t.TempDir(), beside(server.Addr()))
	g := startGateway(t, t.TempDir(), shed, "mqtt://"+server.Addr(), "quiet")
	until(t, "the victim is online", func() bool { return cloud.shedState(t, shed) == "online" })

	vandal := newPublisher(t, server.Addr(), "vandal")
	wrong := newPublisher(t, server.Addr(), "wrong-clock")
	var done atomic.Int64
	base := time.Now().Add(-loadBatches * loadSpacing).Truncate(time.Millisecond)
	good := newFake(t, "good", server.Addr, base, &done)
	finished := make(chan error, 1)
	go func() { finished <- good.run(t.Context()) }()

	topics := map[string]string{shedguard.EvidenceTopic(shed, ulid.Make().String(), 1): "evidence is not valid"}
	for class, reason := range map[shedguard.Class]string{
		shedguard.ClassStatus: "status is not valid", shedguard.ClassTelemetry: "line is not valid line protocol", shedguard.ClassReply: "reply is not valid",
		shedguard.ClassAlarm: "event is not valid", shedguard.ClassEvent: "event is not valid",
		shedguard.ClassCommand: "", shedguard.ClassAck: "", shedguard.ClassConfig: "", // for the gateway to refuse
	} {
		topics[shedguard.Topic(shed, class)] = reason
	}
	want := map[string]float64{"time is too far ahead": ahead}
	for round := range rounds {
		for topic, reason := range topics {
			vandal.say(topic, fmt.Appendf(nil, "\x00\xff garbage %d {", round))
			if reason != "" {
				want[reason]++
			}
		}
		year := time.Now().AddDate(1, 0, 0)
		var lines []byte
		for i := range ahead / rounds {
			lines = fmt.Appendf(lines, "outlet,shed=wrong-clock,outlet=%d watts=1 %d000000\n", i+1, year.UnixMilli())
		}
		wrong.say(shedguard.Topic("wrong-clock", shedguard.ClassTelemetry), lines)
	}

	refused := func(reason string) float64 {
		return cloud.metrics(t)[fmt.Sprintf("shedcloud_ingest_refused_total{reason=%q}", reason)]
	}
	for reason, n := range want {
		until(t, fmt.Sprintf("%v are refused because %s", n, reason), func() bool { return refused(reason) >= n })
		if got := refused(reason); got != n {
			t.Errorf("%v refused because %s, want %v", got, reason, n)
		}
	}
	until(t, "the gateway has counted its garbage", func() bool { return g.metrics(t)["gateway_uplink_garbage_total"] >= 3*rounds })

	// Everything goes on.
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	until(t, "the good gateway's telemetry is stored", func() bool { return cloud.count(t, "good", "outlet_watts") >= loadBatches*loadOutlets })
	checkLoad(t, cloud, good)
	var reply struct {
		OK     bool
		Result shedguard.ShedState
	}
	if err := cloud.try(t, http.MethodPost, "/api/v1/sheds/"+shed+"/commands", map[string]any{"kind": shedguard.CommandGetState}, &reply); err != nil || !reply.OK {
		t.Errorf("get_state: %v, %+v", err, reply)
	}
	after := time.Now()
	until(t, "the victim's telemetry goes on", func() bool {
		return len(cloud.samples(t, shed, "volts", after, after.Add(within))) > 0
	})
	until(t, "the wrong clock is told", func() bool {
		found := cloud.find(t, "wrong-clock", shedguard.CauseClockUnsynced)
		return len(found) == 1 && found[0].State == "open"
	})
	if n := cloud.count(t, "wrong-clock", "outlet_watts"); n != 0 {
		t.Errorf("%d values from the future are stored", n)
	}
	if state := cloud.shedState(t, shed); state != "online" {
		t.Errorf("the victim is %s", state)
	}
	for _, s := range []string{shed, "good"} {
		if found := cloud.find(t, s, shedguard.CauseClockUnsynced); len(found) != 0 {
			t.Errorf("%s is blamed: %+v", s, found)
		}
	}
	if found := cloud.alarms(t, shed); len(found) != 0 {
		t.Errorf("alarms of the victim: %+v", found)
	}

	// Each was told once.
	told := make(map[string]int)
	for _, line := range cloud.logged(t, "refused a message") {
		told[fmt.Sprint(line["shed"], ": ", line["reason"])]++
	}
	for _, line := range g.logged(t, "uplink got a payload it cannot read, further ones are only counted") {
		told[fmt.Sprint("gateway: ", line["class"])]++
	}
	if len(told) != len(want)+3 {
		t.Errorf("told: %v, want each of %v and three classes of the gateway", told, want)
	}
	for what, n := range told {
		if n != 1 {
			t.Errorf("%s: logged %d times, want once", what, n)
		}
	}
	t.Logf("refused and counted: %v, by the gateway %v", want, g.metrics(t)["gateway_uplink_garbage_total"])
}
