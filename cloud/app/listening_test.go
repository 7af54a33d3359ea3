package app_test

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/broker"
)

// While the link to the broker is broken nothing is known of any shed: none
// becomes silent for it. It takes as long as the shortest silence there is.
func TestBrokenLinkSilencesNoShed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := broker.Credentials{Username: "collector", Password: "a password of 24 bytes.."}
	outside, err := broker.Start(t.Context(), broker.Options{
		Path: filepath.Join(dir, "broker.db"), Plain: "127.0.0.1:0", Collector: own, TrustLoopback: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(own.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(filepath.Join(dir, "data"), t.Output())
	o.Config.Broker.Listen, o.Config.Broker.TrustLoopback = "", false
	o.Config.MQTT.URL, o.Config.MQTT.Username, o.Config.MQTT.PasswordFile = "tcp://"+outside.PlainAddr().String(), own.Username, secret
	o.Config.Presence.Silent = 20 * time.Second
	r := startWith(t, o)
	g := connect(t, outside.PlainAddr(), "shed-1")
	g.measure(t, 389.25)
	var s shed
	r.until(t, "measured", func() bool {
		r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s)
		return s.State == "online" && len(s.Live) == 1
	})
	if err := outside.Close(); err != nil {
		t.Error(err)
	}
	r.until(t, "ill", func() bool { status, _ := r.ask(t, http.MethodGet, "/healthz", "", nil); return status == 503 })
	var alarms struct{ Alarms []book.Alarm }
	for over := time.Now().Add(o.Config.Presence.Silent + 4*time.Second); time.Now().Before(over); {
		select {
		case <-t.Context().Done():
		case <-time.After(time.Second):
		}
		r.ask(t, http.MethodGet, "/api/v1/alarms", "", &alarms)
		r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s)
		for _, a := range alarms.Alarms {
			if a.Cause == shedguard.CauseGatewaySilent || a.Cause == shedguard.CauseGatewayOffline {
				t.Fatalf("alarm %s while nothing can be heard", a.Cause)
			}
		}
		if s.State != "online" {
			t.Fatalf("the shed is %s while nothing can be heard", s.State)
		}
	}
}
