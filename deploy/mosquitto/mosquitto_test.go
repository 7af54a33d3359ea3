// Package mosquitto_test runs the shipped settings in a real Mosquitto: they
// must let a gateway do its work and nothing else.
package mosquitto_test

import (
	"crypto/tls"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/certtest"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// client connects as name.
func client(t *testing.T, a *certtest.Authority, addr, name string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + addr).SetClientID(name).SetAutoReconnect(false).SetTLSConfig(a.ClientTLS(t, name)))
	done(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("mqtt: %v", token.Error())
	}
}

// broker runs the shipped settings with the certificates of a.
func broker(t *testing.T, a *certtest.Authority) *mosquittotest.Server {
	t.Helper()
	a.Server(t, "server")
	return mosquittotest.Start(t, mosquittotest.Shipped(t, ".", a.Dir())...)
}

func TestShippedSettingsKeepGatewaysApart(t *testing.T) {
	t.Parallel()
	a := certtest.New(t)
	server := broker(t, a)

	collector := client(t, a, server.Addr(), "shedcloud")
	got := make(chan string, 16)
	done(t, collector.Subscribe(shedguard.TopicPrefix+"#", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() }))
	north, south := client(t, a, server.Addr(), "north"), client(t, a, server.Addr(), "south")
	heard := make(chan string, 16)
	done(t, south.Subscribe(shedguard.Topic("south", shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }))
	south.Subscribe(shedguard.Topic("north", shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }).Wait()

	// What is forbidden first, what is allowed behind it: when the allowed has
	// come, the forbidden would have come before.
	for _, topic := range []string{shedguard.Topic("south", shedguard.ClassAlarm), shedguard.Topic("north", shedguard.ClassCommand)} {
		// The broker may end the connection over it: one of its own for each.
		if north.IsConnectionOpen() {
			north.Publish(topic, 1, false, "x").WaitTimeout(10 * time.Second)
			north.Disconnect(100)
		}
		north = client(t, a, server.Addr(), "north")
	}
	var want []string
	for _, topic := range []string{
		shedguard.Topic("north", shedguard.ClassStatus), shedguard.Topic("north", shedguard.ClassTelemetry),
		shedguard.Topic("north", shedguard.ClassAlarm), shedguard.Topic("north", shedguard.ClassEvent),
		shedguard.Topic("north", shedguard.ClassReply), shedguard.EvidenceTopic("north", "01JDEXAMP0E00000000000000A", 1),
	} {
		done(t, north.Publish(topic, 1, false, "x"))
		want = append(want, topic)
	}
	for _, topic := range want {
		if next := receive(t, got); next != topic {
			t.Fatalf("the collector got %s, want %s", next, topic)
		}
	}
	done(t, collector.Publish(shedguard.Topic("north", shedguard.ClassCommand), 1, false, "x"))
	done(t, collector.Publish(shedguard.Topic("south", shedguard.ClassCommand), 1, false, "x"))
	if topic := receive(t, heard); topic != shedguard.Topic("south", shedguard.ClassCommand) {
		t.Errorf("south heard %s", topic)
	}
}

func receive(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		return ""
	}
}

func TestShippedSettingsRefuseStrangers(t *testing.T) {
	t.Parallel()
	a := certtest.New(t)
	server := broker(t, a)
	strangers := map[string]*tls.Config{
		"a client without a certificate":     {RootCAs: a.Pool(), MinVersion: tls.VersionTLS12},
		"a certificate of another authority": certtest.New(t).ClientTLS(t, "north"),
	}
	for who, config := range strangers {
		config.RootCAs = a.Pool()
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + server.Addr()).SetClientID("north").SetTLSConfig(config))
		if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() == nil {
			t.Errorf("%s was let in", who)
		}
	}
}
