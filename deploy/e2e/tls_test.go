package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/certtest"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// The whole way with the shipped settings of Mosquitto: certificates on every
// side. A certificate of another authority gets nowhere, one of another shed
// has no say.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	const shed = "north"
	own, other := certtest.New(t), certtest.New(t)
	own.Server(t, "server")
	server := mosquittotest.Start(t, mosquittotest.Shipped(t, filepath.Join("..", "mosquitto"), own.Dir())...)
	broker := "mqtts://" + server.Addr()
	cert, key := own.Client(t, "shedcloud")
	cloud := startCollector(t, t.TempDir(), fmt.Sprintf("mqtt: {url: 'ssl://%s', ca_file: %q, cert_file: %q, key_file: %q}\n", server.Addr(), own.CAFile(), cert, key))
	with := func(shed, scenario string, signer *certtest.Authority, name string) *gateway {
		cert, key := signer.Client(t, name)
		return startGateway(t, t.TempDir(), shed, broker, scenario, "--ca-file", own.CAFile(), "--cert-file", cert, "--key-file", key)
	}
	g := with(shed, "overload", own, shed)
	stranger := with("south", "quiet", other, "south")
	impostor := with("east", "quiet", own, "west")

	until(t, "the shed is online", func() bool { return cloud.shedState(t, shed) == "online" })
	var reply struct {
		OK     bool
		Result shedguard.ShedState
	}
	if err := cloud.try(t, http.MethodPost, "/api/v1/sheds/"+shed+"/commands", map[string]any{"kind": shedguard.CommandGetState}, &reply); err != nil {
		t.Fatal(err)
	}
	if !reply.OK || reply.Result.Shed != shed || len(reply.Result.Outlets) != 12 {
		t.Errorf("get_state: %+v", reply)
	}
	trip := g.awaitTrip(t)
	mustHave(t, cloud, shed, &trip)
	until(t, "the outbox empties", func() bool { return g.metrics(t)["gateway_outbox_alarm_records"] == 0 })
	until(t, "telemetry", func() bool {
		var s struct{ Live []struct{ Outlet int } }
		cloud.get(t, "/api/v1/sheds/"+shed, &s)
		return len(s.Live) == 12
	})

	for _, g := range []*gateway{stranger, impostor} {
		until(t, "it has tried twice in vain, and kept what nobody took", func() bool {
			m := g.metrics(t)
			return m["gateway_uplink_attempts_total"] >= 2 && m["gateway_outbox_alarm_records"] > 0
		})
		if len(g.logged(t, "uplink has no connection")) == 0 {
			t.Error("it does not say so")
		}
		if s := g.state(t); !s.Outlets[0].Closed {
			t.Errorf("%s: outlet 1 is not fed", s.Shed)
		}
	}
	if n := stranger.metrics(t)["gateway_uplink_connects_total"]; n != 0 {
		t.Errorf("the stranger was let in %v times", n)
	}
	if n := impostor.metrics(t)["gateway_uplink_acked_total"]; n != 0 {
		t.Errorf("%v events of the impostor were taken", n)
	}
	for _, shed := range []string{"south", "east", "west"} {
		if s := cloud.shedState(t, shed); s != "" {
			t.Errorf("the collector knows of %s: %s", shed, s)
		}
	}
}
