package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/app"
	"github.com/shedguard/shedguard/cloud/config"
)

func TestMain(m *testing.M) {
	// database/sql ends its opener a moment after Close returned.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

const password = "correct horse battery"

// running is a collector that works until its test ends.
type running struct {
	*app.App
	client *http.Client
	stop   func()
}

func options(dir string, w io.Writer) app.Options {
	c := config.Default()
	c.Data, c.HTTP.Listen, c.Broker.Listen, c.Broker.TrustLoopback = dir, "127.0.0.1:0", "127.0.0.1:0", true
	return app.Options{Config: c, Version: "test", AdminPassword: password, Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func start(t *testing.T, dir string) *running {
	t.Helper()
	return startWith(t, options(dir, t.Output()))
}

func startWith(t *testing.T, o app.Options) *running {
	t.Helper()
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{App: a, client: &http.Client{Jar: jar, Transport: &http.Transport{}}}
	ended := false
	r.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Run does not end")
		}
		r.client.CloseIdleConnections()
	}
	t.Cleanup(r.stop)
	r.until(t, "healthy", func() bool { status, _ := r.ask(t, http.MethodGet, "/healthz", "", nil); return status == 200 })
	if status, body := r.ask(t, http.MethodPost, "/api/v1/login", `{"user":"admin","password":"`+password+`"}`, nil); status != 204 {
		t.Fatalf("login: %d %s", status, body)
	}
	return r
}

// until waits for something that comes by itself.
func (r *running) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *running) ask(t *testing.T, method, path, body string, into any) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	return res.StatusCode, string(b)
}

// gateway is a gateway as the broker sees one.
type gateway struct {
	mqtt.Client
	shed, boot string
	acks       chan shedguard.Ack
}

func connect(t *testing.T, addr net.Addr, shed string) *gateway {
	t.Helper()
	g := &gateway{shed: shed, boot: ulid.Make().String(), acks: make(chan shedguard.Ack, 10)}
	status := func(s shedguard.GatewayState) []byte {
		b, err := json.Marshal(shedguard.Status{
			State: s, Since: time.Now(), BootID: g.boot, Conn: 1, Version: "v1", Clock: shedguard.ClockSynced,
			Outlets: []shedguard.OutletSummary{{Outlet: 3, State: shedguard.StateCharging}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	g.Client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://"+addr.String()).SetClientID(shed).SetAutoReconnect(false).
		SetBinaryWill(shedguard.Topic(shed, shedguard.ClassStatus), status(shedguard.GatewayOffline), 1, true))
	g.settle(t, g.Connect())
	t.Cleanup(func() { g.Disconnect(100) })
	g.settle(t, g.Subscribe(shedguard.Topic(shed, shedguard.ClassAck), 1, func(_ mqtt.Client, m mqtt.Message) {
		if a, err := shedguard.DecodeAck(m.Payload()); err == nil {
			g.acks <- a
		}
	}))
	g.settle(t, g.Subscribe(shedguard.Topic(shed, shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) {
		c, err := shedguard.DecodeCommand(m.Payload())
		r := shedguard.Reply{ID: c.ID, OK: true, Result: json.RawMessage(`{"by":"` + c.By + `"}`)}
		if err != nil || c.BootID != g.boot {
			r = shedguard.Reply{ID: c.ID, Error: shedguard.Refuse(shedguard.CodeWrongBoot, "boot %s: %v", c.BootID, err)}
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Error(err)
		}
		g.Publish(shedguard.Topic(shed, shedguard.ClassReply), 1, false, b)
	}))
	g.publish(t, shedguard.ClassStatus, true, status(shedguard.GatewayOnline))
	return g
}

func (g *gateway) settle(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("mqtt: %v", token.Error())
	}
}

func (g *gateway) publish(t *testing.T, class shedguard.Class, retained bool, payload []byte) {
	t.Helper()
	g.settle(t, g.Publish(shedguard.Topic(g.shed, class), 1, retained, payload))
}

func (g *gateway) alarm(t *testing.T, typ, alarmID string, seq uint64) shedguard.Event {
	t.Helper()
	now := time.Now()
	a := shedguard.Alarm{
		ID: alarmID, Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2, RaisedAt: now, Since: now, Value: 25, Limit: 10.5,
		Unit: "A", Action: shedguard.ActionTripped, Latched: true, Evidence: []string{}, Text: shedguard.Text{ZH: "过流", EN: "overcurrent"},
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: g.boot, Seq: seq},
	}
	e, err := shedguard.NewEvent(ulid.Make().String(), shedguard.Source(g.shed), typ, "outlet/3", now, a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	g.publish(t, shedguard.ClassAlarm, false, b)
	return e
}

type shed struct {
	State      string
	OpenAlarms int `json:"open_alarms"`
	Worst      string
	Live       []struct {
		Outlet int
		Watts  float64
	}
}

// From a gateway's message to what a person sees, commands and finds again
// after a restart.
func TestFromGatewayToPerson(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr().String()+"/api/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.Do(stream) //nolint:bodyclose // it is, at the end
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events := make(chan string, 1000)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				events <- kind
			}
		}
	}()
	seen := map[string]bool{}
	shown := func(kind string) {
		r.until(t, "shown on the stream: "+kind, func() bool {
			for len(events) > 0 {
				seen[<-events] = true
			}
			return seen[kind]
		})
	}

	g := connect(t, r.BrokerAddr(), "shed-1")
	var s shed
	r.until(t, "online", func() bool { r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s); return s.State == "online" })
	shown("shed")

	g.measure(t, 389.25)
	r.until(t, "measured", func() bool {
		r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s)
		return len(s.Live) == 1 && s.Live[0].Watts == 389.25
	})
	shown("outlets")
	var series struct {
		Series []struct{ Points [][4]float64 }
	}
	if status, body := r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1/series?field=watts&outlet=3", "", &series); status != 200 || len(series.Series) != 1 || len(series.Series[0].Points) != 1 {
		t.Errorf("series: %d %s", status, body)
	}

	r.until(t, "answered in PromQL", func() bool {
		_, body := r.ask(t, http.MethodGet, "/api/v1/prom/api/v1/query?query=outlet_watts", "", nil)
		return strings.Contains(body, `"389.25"`) && strings.Contains(body, `"outlet":"3"`)
	})

	alarmID := ulid.Make().String()
	e := g.alarm(t, shedguard.EventAlarmRaised, alarmID, 1)
	select {
	case a := <-g.acks:
		if len(a.IDs) != 1 || a.IDs[0] != e.ID {
			t.Errorf("ack %v, want %s", a.IDs, e.ID)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the alarm was not acknowledged to the gateway")
	}
	var a struct {
		Text         struct{ ZH string }
		State        string
		Acknowledged *struct{ By string }
	}
	if status, body := r.ask(t, http.MethodPost, "/api/v1/alarms/"+alarmID+"/acknowledge", `{"comment":"going"}`, &a); status != 200 || a.Acknowledged == nil || a.Acknowledged.By != "admin" {
		t.Errorf("acknowledge: %d %s", status, body)
	}
	shown("alarm")
	if status, body := r.ask(t, http.MethodPost, "/api/v1/sheds/shed-1/commands", `{"kind":"reset_trip","args":{"outlet":3}}`, nil); status != 200 || !strings.Contains(body, `"result":{"by":"admin"}`) {
		t.Errorf("command: %d %s", status, body)
	}
	shown("reply")
	if status, body := r.ask(t, http.MethodGet, "/metrics", "", nil); status != 200 || !strings.Contains(body, "shedcloud_ingest_points_total 1") || !strings.Contains(body, "shedcloud_ingest_connected 1") {
		t.Errorf("metrics: %d %s", status, body)
	}

	r.stop()
	for range events { // ended by the shutdown
	}
	r = start(t, dir)
	r.ask(t, http.MethodGet, "/api/v1/alarms/"+alarmID, "", &a)
	if a.State != "open" || a.Acknowledged == nil || a.Text.ZH != "过流" {
		t.Errorf("after a restart: %+v", a)
	}
	g = connect(t, r.BrokerAddr(), "shed-1")
	g.alarm(t, shedguard.EventAlarmCleared, alarmID, 1)
	r.until(t, "cleared", func() bool {
		r.ask(t, http.MethodGet, "/api/v1/alarms/"+alarmID, "", &a)
		return a.State == "cleared"
	})
	r.until(t, "none open", func() bool {
		r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s)
		return s.OpenAlarms == 0 && s.Worst == ""
	})
}

func TestNewRefuses(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]struct {
		change func(t *testing.T, o *app.Options)
		want   string
	}{
		"no log":             {func(_ *testing.T, o *app.Options) { o.Log = nil }, "log: required"},
		"bad config":         {func(_ *testing.T, o *app.Options) { o.Config.HTTP.Listen = "x" }, "http.listen"},
		"port in use":        {func(_ *testing.T, o *app.Options) { o.Config.HTTP.Listen = taken.Addr().String() }, "address already in use"},
		"broker port in use": {func(_ *testing.T, o *app.Options) { o.Config.Broker.Listen = taken.Addr().String() }, "address already in use"},
		"short password":     {func(_ *testing.T, o *app.Options) { o.AdminPassword = "short" }, "want 10 to 200"},
		"missing certificate": {func(_ *testing.T, o *app.Options) {
			o.Config.HTTP.CertFile, o.Config.HTTP.KeyFile = "none.pem", "none.pem"
		}, "certificate none.pem"},
		"damaged book": {func(t *testing.T, o *app.Options) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(o.Config.Data, "book.db"), bytes.Repeat([]byte("x"), 9000), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		"data is a file": {func(t *testing.T, o *app.Options) {
			t.Helper()
			o.Config.Data = filepath.Join(o.Config.Data, "file")
			if err := os.WriteFile(o.Config.Data, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "data folder"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir(), io.Discard)
			tt.change(t, &o)
			a, err := app.New(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
			if a != nil {
				t.Error("New returned an app and an error")
			}
		})
	}
}

// A collector whose broker is away serves what it has and says so.
func TestBrokerAway(t *testing.T) {
	o := options(t.TempDir(), t.Output())
	o.Config.Broker.Listen, o.Config.Broker.TrustLoopback, o.Config.MQTT.URL = "", false, "tcp://127.0.0.1:1"
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	r := &running{App: a, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if status, body := r.ask(t, http.MethodGet, "/healthz", "", nil); status != 503 || !strings.Contains(body, "not connected to the broker") {
		t.Errorf("health: %d %s", status, body)
	}
	if a.BrokerAddr() != nil {
		t.Error("a broker of its own")
	}
	if status, _ := r.ask(t, http.MethodGet, "/", "", nil); status != 404 {
		t.Errorf("page: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	fmt.Fprintln(t.Output(), "ended")
}
