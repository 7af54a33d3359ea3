package board_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/certtest"
	"github.com/shedguard/shedguard/internal/mosquittotest"
	"github.com/shedguard/shedguard/internal/programs"
)

const shed = "board-1"

// collector plays the cloud: it acknowledges every event and remembers it.
type collector struct {
	t      *testing.T
	client mqtt.Client

	mu      sync.Mutex
	events  []shedguard.Event
	status  *shedguard.Status
	replies map[string]shedguard.Reply
	lines   int
	volts   map[string]float64 // of each outlet, the last that came
	garbage []string
	news    chan struct{}
}

func newCollector(t *testing.T, ca *certtest.Authority, addr string) *collector {
	t.Helper()
	c := &collector{t: t, replies: make(map[string]shedguard.Reply), volts: make(map[string]float64), news: make(chan struct{}, 1)}
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + addr).SetClientID("shedcloud").
		SetTLSConfig(ca.ClientTLS(t, "shedcloud")).SetOrderMatters(false).SetAutoReconnect(false))
	settle(t, c.client.Connect())
	t.Cleanup(func() { c.client.Disconnect(100) })
	settle(t, c.client.Subscribe(shedguard.TopicPrefix+shed+"/#", 1, c.take))
	return c
}

func settle(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("mqtt: %v", token.Error())
	}
}

func (c *collector) take(client mqtt.Client, m mqtt.Message) {
	_, class, _, err := shedguard.ParseTopic(m.Topic())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
	case class == shedguard.ClassAlarm || class == shedguard.ClassEvent:
		var e shedguard.Event
		if err = json.Unmarshal(m.Payload(), &e); err == nil {
			if !slices.ContainsFunc(c.events, func(o shedguard.Event) bool { return o.ID == e.ID }) {
				c.events = append(c.events, e)
			}
			ack, _ := json.Marshal(shedguard.Ack{IDs: []string{e.ID}})
			client.Publish(shedguard.Topic(shed, shedguard.ClassAck), 1, false, ack)
		}
	case class == shedguard.ClassStatus:
		var s shedguard.Status
		if s, err = shedguard.DecodeStatus(m.Payload()); err == nil {
			c.status = &s
		}
	case class == shedguard.ClassReply:
		var r shedguard.Reply
		if r, err = shedguard.DecodeReply(m.Payload()); err == nil {
			c.replies[r.ID] = r
		}
	case class == shedguard.ClassTelemetry:
		var (
			r shedguard.LineReader
			p shedguard.Point
		)
		for line := range strings.Lines(string(m.Payload())) {
			if err = r.Parse([]byte(strings.TrimSuffix(line, "\n")), &p); err != nil {
				break
			}
			c.lines++
			for _, f := range p.Fields {
				if f.Key == "volts" && p.Measurement == shedguard.MeasurementOutlet {
					c.volts[p.Tag("outlet")] = f.Value
				}
			}
		}
	}
	if err != nil {
		c.garbage = append(c.garbage, fmt.Sprintf("%s: %v", m.Topic(), err))
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// await waits until ok holds of what was collected.
func (c *collector) await(within time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	began, limit := time.Now(), time.After(within)
	for {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return time.Since(began)
		}
		select {
		case <-c.news:
		case <-limit:
			c.mu.Lock()
			defer c.mu.Unlock()
			var seen []string
			for i := range c.events {
				seen = append(seen, c.events[i].Type+" "+c.events[i].Subject)
			}
			c.t.Fatalf("%s: not within %s; events: %q", what, within, seen)
		}
	}
}

// alarm is the last alarm event of that kind, or nil. The caller holds mu.
func (c *collector) alarm(typ, subject string, cause shedguard.Cause) *shedguard.Alarm {
	for i := len(c.events) - 1; i >= 0; i-- {
		e := &c.events[i]
		if e.Type != typ || e.Subject != subject {
			continue
		}
		if a, err := e.Alarm(); err == nil && a.Cause == cause {
			return &a
		}
	}
	return nil
}

// command sends a command and returns the reply.
func (c *collector) command(kind string, args any) shedguard.Reply {
	c.t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	boot := c.status.BootID
	c.mu.Unlock()
	cmd := shedguard.Command{
		ID: ulid.Make().String(), Kind: kind, Args: raw, By: "test", BootID: boot,
		// The emulated clock may be some seconds off.
		IssuedAt: time.Now().UTC(), ExpiresAt: time.Now().Add(2 * time.Minute).UTC(),
	}
	b, err := json.Marshal(cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	settle(c.t, c.client.Publish(shedguard.Topic(shed, shedguard.ClassCommand), 1, false, b))
	c.await(20*time.Second, "reply to "+kind, func() bool { _, ok := c.replies[cmd.ID]; return ok })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replies[cmd.ID]
}

// resetRefused wants a reset refused because its cause stands.
func (c *collector) resetRefused(outlet int) {
	c.t.Helper()
	r := c.command(shedguard.CommandResetTrip, shedguard.OutletArgs{Outlet: outlet})
	if r.OK || r.Error.Code != shedguard.CodeCauseStands {
		c.t.Fatalf("reset of outlet %d while its cause stands: %+v %v", outlet, r, r.Error)
	}
}

// reset resets an outlet once its cause has passed.
func (c *collector) reset(outlet int, within time.Duration) {
	c.t.Helper()
	for deadline := time.Now().Add(within); ; <-time.After(time.Second) {
		r := c.command(shedguard.CommandResetTrip, shedguard.OutletArgs{Outlet: outlet})
		if r.OK {
			return
		}
		if r.Error.Code != shedguard.CodeCauseStands || time.Now().After(deadline) {
			c.t.Fatalf("reset of outlet %d: %v", outlet, r.Error)
		}
	}
}

// TestGatewayOnAnEmulatedBoard boots the static ARM binary on a kernel and chips
// that are not of this project, and injects faults from outside.
func TestGatewayOnAnEmulatedBoard(t *testing.T) {
	fetched(t)
	ca := certtest.New(t)
	ca.Server(t, "server", net.IPv4(10, 0, 2, 2))
	cert, key := ca.Client(t, shed)
	broker := mosquittotest.Start(t, mosquittotest.Shipped(t, "../mosquitto", ca.Dir())...)
	_, port, err := net.SplitHostPort(broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "gateway.yaml")
	put(t, config, []byte(strings.ReplaceAll(string(read(t, "gateway.yaml")), "BROKER_PORT", port)))
	program := filepath.Join(dir, "shedguard")
	arm := programs.Build{
		Packages: []string{"../../gateway/cmd/shedguard"}, Flags: []string{"-ldflags", "-s -w"},
		Env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=7"},
	}
	if err := arm.Into(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	cloud := newCollector(t, ca, broker.Addr())
	booted := time.Now()
	m := boot(t, map[string]string{
		"bin/shedguard": program, "etc/shedguard/gateway.yaml": config,
		"etc/shedguard/ca.crt": ca.CAFile(), "etc/shedguard/board-1.crt": cert, "etc/shedguard/board-1.key": key,
	}, []string{
		"adm1272,bus=i2c-bus.0,address=0x10,id=meter1", "tmp105,bus=i2c-bus.0,address=0x48,id=socket1",
		"tmp105,bus=i2c-bus.0,address=0x49,id=socket2", "max7310,bus=i2c-bus.0,address=0x18,id=relays",
		"pca9548,bus=i2c-bus.0,address=0x70,id=mux", "adm1272,bus=i2c.0,address=0x11,id=meter2",
		"max34451,bus=i2c-bus.0,address=0x34,id=meter3",
	})
	for _, meter := range []string{"meter1", "meter2"} {
		m.set(meter, "vin", 48000) // mV
		m.set(meter, "iout", 0)    // mA
	}
	m.set("meter3", "vout[0]", 24000) // mV; QEMU lets nobody set its current
	for _, socket := range []string{"socket1", "socket2"} {
		m.set(socket, "temperature", 25000) // m°C
	}
	m.do("cont", nil)

	cloud.await(60*time.Second, "gateway online", func() bool { return cloud.status != nil && cloud.status.State == shedguard.GatewayOnline })
	online := time.Since(booted)
	m.awaitRelays(0b111, 0b111, 40*time.Second)
	t.Logf("power-on to MQTT over TLS %s, to all outlets fed %s (emulated)", online.Round(time.Millisecond), time.Since(booted).Round(time.Millisecond))

	// An overcurrent on outlet 2, behind the mux: 2.4 times its rating.
	injected := time.Now()
	m.set("meter2", "iout", 12000)
	m.awaitRelays(0b10, 0, 30*time.Second)
	cut := time.Since(injected)
	cloud.await(30*time.Second, "overcurrent", func() bool {
		a := cloud.alarm(shedguard.EventAlarmRaised, "outlet/2", shedguard.CauseOvercurrent)
		return a != nil && a.Latched && a.Value > 11.5 && a.Value < 12.5 && a.Action == shedguard.ActionTripped
	})
	told := time.Since(injected)
	if word, _ := m.relays(); word&0b101 != 0b101 {
		t.Errorf("relays %#x: outlet 1 or 3 was cut with outlet 2", word)
	}
	// The chip's current flows on although the relay is open: a welded contact.
	cloud.await(30*time.Second, "relay_welded", func() bool {
		return cloud.alarm(shedguard.EventAlarmRaised, "outlet/2", shedguard.CauseRelayWelded) != nil
	})
	m.awaitRelays(0x80, 0x80, 10*time.Second) // the siren
	cloud.resetRefused(2)
	m.set("meter2", "iout", 0)
	cloud.reset(2, 60*time.Second)
	m.awaitRelays(0b10, 0b10, 30*time.Second)
	cloud.await(20*time.Second, "cleared", func() bool {
		return cloud.alarm(shedguard.EventAlarmCleared, "outlet/2", shedguard.CauseOvercurrent) != nil
	})

	// What the monitor of 16 channels measures comes to the host: a step that
	// telemetry does not average away.
	m.set("meter3", "vout[0]", 31000)
	cloud.await(40*time.Second, "31 V of outlet 3", func() bool { return math.Abs(cloud.volts["3"]-31) < 0.01 })

	// A hot socket on outlet 1, while the network is away.
	m.link(false)
	hot := time.Now()
	m.set("socket1", "temperature", 80000)
	m.awaitRelays(0b01, 0, 30*time.Second)
	cutHot := time.Since(hot)
	m.link(true)
	cloud.await(120*time.Second, "over_temperature after the network is back", func() bool {
		a := cloud.alarm(shedguard.EventAlarmRaised, "outlet/1", shedguard.CauseOverTemperature)
		return a != nil && a.Value > 79 && a.Value < 81
	})
	cloud.resetRefused(1)
	m.set("socket1", "temperature", 30000)
	cloud.reset(1, 40*time.Second)
	m.awaitRelays(0b01, 0b01, 30*time.Second)

	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	if len(cloud.garbage) > 0 {
		t.Errorf("the gateway published what is not of the contract: %q", cloud.garbage)
	}
	if cloud.lines == 0 {
		t.Error("no telemetry came")
	}
	var relay []string
	for i := range cloud.events {
		var op shedguard.RelayOperated
		if cloud.events[i].Type == shedguard.EventRelayOperated && json.Unmarshal(cloud.events[i].Data, &op) == nil && op.SampleToRelay > 0 {
			relay = append(relay, fmt.Sprintf("outlet %d %s %d µs", op.Outlet, op.Why, op.SampleToRelay))
		}
	}
	t.Logf("emulated times: overcurrent to relay %s (the rule waits for heat), to the alarm on the host %s; hot socket to relay %s; sample to relay: %s; telemetry lines %d",
		cut.Round(time.Millisecond), told.Round(time.Millisecond), cutHot.Round(time.Millisecond), strings.Join(relay, ", "), cloud.lines)
}
