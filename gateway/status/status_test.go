package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/status"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample() shedguard.ShedState {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	celsius := 31.25
	outlet := func(n int, state shedguard.OutletState, q shedguard.Quality) shedguard.OutletStatus {
		return shedguard.OutletStatus{OutletSummary: shedguard.OutletSummary{Outlet: n, State: state, Quality: q}, AgeMS: 80, Volts: 221.44}
	}
	charging := outlet(1, shedguard.StateCharging, shedguard.QualityGood)
	charging.Amps, charging.Watts, charging.PowerFactor, charging.Closed, charging.Heat, charging.Celsius = 1.823, 389.1, 0.966, true, 0.12, &celsius
	charging.Session = &shedguard.Session{ID: "01JH0000000000000000000000", Outlet: 1, EnergyWh: 812.4}
	tripped := outlet(2, shedguard.StateTripped, shedguard.QualityGood)
	tripped.Latched = []shedguard.Cause{shedguard.CauseOvercurrent, "from_the_future"}
	stale := outlet(3, shedguard.StateFault, shedguard.QualityStale)
	stale.AgeMS = -1
	return shedguard.ShedState{
		Shed: "shed-1", Version: "1.2.3", At: at, Siren: true, Uplink: "connecting", Backlog: 42, UptimeMS: 3_723_000,
		Stamp:   shedguard.Stamp{Clock: shedguard.ClockHoldover, BootID: "01JH0000000000000000000001"},
		Outlets: []shedguard.OutletStatus{charging, tripped, stale},
		Alarms: []shedguard.Alarm{
			{Cause: "from_the_future", Severity: shedguard.SeverityWarning, RaisedAt: at},
			{Cause: shedguard.CauseMeterStale, Severity: shedguard.SeverityMajor, RaisedAt: at, Text: shedguard.Text{ZH: "3 号插座：电表无响应", EN: "outlet 3: meter silent"}},
			{Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityCritical, RaisedAt: at.Add(-time.Minute), Text: shedguard.Text{ZH: "2 号插座：过流 <b>", EN: "outlet 2: overcurrent <b>"}},
		},
	}
}

// serve runs a server and returns its address.
func serve(t *testing.T, opts status.Options) string {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.State == nil {
		opts.State = sample
	}
	if opts.LastTick == nil {
		opts.LastTick = time.Now
	}
	opts.Log = slog.New(slog.DiscardHandler)
	s, err := status.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	return do(t, http.MethodGet, url, nil, header...)
}

func do(t *testing.T, method, url string, body io.Reader, header ...string) (int, http.Header, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestHealth(t *testing.T) {
	var last atomic.Pointer[time.Time]
	last.Store(&time.Time{})
	url := serve(t, status.Options{LastTick: func() time.Time { return *last.Load() }})
	for _, tt := range []struct {
		age  time.Duration
		code int
		body string
	}{
		{-1, http.StatusServiceUnavailable, "has not completed a tick yet"},
		{0, http.StatusOK, "ok\n"},
		{time.Second, http.StatusOK, "ok\n"},
		{time.Minute, http.StatusServiceUnavailable, "last tick 1m0"},
	} {
		at := time.Time{}
		if tt.age >= 0 {
			at = time.Now().Add(-tt.age)
		}
		last.Store(&at)
		code, _, body := get(t, url+"/healthz")
		if code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("age %s: %d %q: want %d with %q", tt.age, code, body, tt.code, tt.body)
		}
	}
}

func TestState(t *testing.T) {
	url := serve(t, status.Options{})
	code, header, body := get(t, url+"/api/v1/state")
	if code != http.StatusOK || header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", code, header)
	}
	var got shedguard.ShedState
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestStateThatCannotBeEncoded(t *testing.T) {
	url := serve(t, status.Options{State: func() shedguard.ShedState {
		s := sample()
		s.Outlets[0].Volts = math.NaN()
		return s
	}})
	if code, _, body := get(t, url+"/api/v1/state"); code != http.StatusInternalServerError || strings.Contains(body, "NaN") {
		t.Errorf("%d %q: want a plain 500", code, body)
	}
	if code, _, _ := get(t, url+"/"); code != http.StatusOK {
		t.Errorf("the page gives %d", code)
	}
}

func TestRoutes(t *testing.T) {
	url := serve(t, status.Options{})
	for name, tt := range map[string]struct {
		method, path string
		code         int
	}{
		"unknown path":   {http.MethodGet, "/nothing", http.StatusNotFound},
		"below the page": {http.MethodGet, "/index.html", http.StatusNotFound},
		"post":           {http.MethodPost, "/api/v1/state", http.StatusMethodNotAllowed},
		"style":          {http.MethodGet, "/style.css", http.StatusOK},
		"head":           {http.MethodHead, "/healthz", http.StatusOK},
	} {
		if code, _, _ := do(t, tt.method, url+tt.path, strings.NewReader("")); code != tt.code {
			t.Errorf("%s: %d, want %d", name, code, tt.code)
		}
	}
}

func TestMetrics(t *testing.T) {
	var asked atomic.Int64
	url := serve(t, status.Options{Metrics: []status.Metric{
		{Name: "telemetry_dropped_total", Help: "Dropped.", Counter: true, Value: func() float64 { return 7 }},
		{Name: "bus_errors_total", Help: "Errors.", Counter: true, Labels: map[string]string{"bus": "main"}, Value: func() float64 { asked.Add(1); return 3 }},
		{Name: "queue_records", Help: "Depth.", Labels: map[string]string{"lane": "alarm"}, Value: func() float64 { panic("broken") }},
	}})
	code, _, body := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d\n%s", code, body)
	}
	for _, want := range []string{
		`gateway_info{boot_id="01JH0000000000000000000001",shed="shed-1",version="1.2.3"} 1`,
		"gateway_guard_alive 1",
		"gateway_telemetry_dropped_total 7",
		`gateway_bus_errors_total{bus="main"} 3`,
		`gateway_queue_records{lane="alarm"} NaN`,
		"gateway_outbox_records 42",
		"gateway_uplink_connected 0",
		"gateway_siren_on 1",
		`gateway_clock_quality{quality="holdover"} 1`,
		`gateway_clock_quality{quality="synced"} 0`,
		`gateway_alarms_open{severity="critical"} 1`,
		`gateway_outlet_watts{outlet="1"} 389.1`,
		`gateway_outlet_celsius{outlet="1"} 31.25`,
		`gateway_outlet_state{outlet="2",state="tripped"} 1`,
		`gateway_outlet_latched{outlet="2"} 1`,
		`gateway_outlet_quality{outlet="3"} 2`,
		"go_goroutines",
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	// A stale meter has no value: a graph must show a hole, not its last one.
	for _, gone := range []string{`gateway_outlet_volts{outlet="3"}`, `gateway_outlet_reading_age_seconds{outlet="3"}`, `gateway_outlet_celsius{outlet="2"}`} {
		if strings.Contains(body, gone) {
			t.Errorf("%q is there", gone)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("a value was asked for %d times, want once", asked.Load())
	}
}

// TestABrokenStateEndsNothing: the registry collects on its own goroutines.
func TestABrokenStateEndsNothing(t *testing.T) {
	for name, state := range map[string]func() shedguard.ShedState{
		"panics":       func() shedguard.ShedState { panic("broken") },
		"not UTF-8":    func() shedguard.ShedState { s := sample(); s.Version = "\xff"; return s },
		"outlet twice": func() shedguard.ShedState { s := sample(); s.Outlets = append(s.Outlets, s.Outlets...); return s },
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, status.Options{State: state})
			if code, _, body := get(t, url+"/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") {
				t.Errorf("%d: the other metrics are gone", code)
			}
			if code, _, _ := get(t, url+"/healthz"); code != http.StatusOK {
				t.Errorf("healthz %d", code)
			}
		})
	}
}

func TestPage(t *testing.T) {
	url := serve(t, status.Options{})
	for lang, header := range map[string]string{"zh": "zh-CN,zh;q=0.9,en;q=0.8", "en": "en-GB,en;q=0.9,zh;q=0.2"} {
		code, h, body := get(t, url+"/", "Accept-Language", header)
		if code != http.StatusOK || h.Get("Content-Language") != lang {
			t.Fatalf("%s: %d, %v", lang, code, h)
		}
		golden(t, "testdata/page."+lang+".html", body)
		if _, _, switched := get(t, url+"/?lang="+lang, "Accept-Language", "fr"); switched != body {
			t.Errorf("%s: the switch gives another page", lang)
		}
		// Nothing from elsewhere, no script; a name is text, never markup.
		if regexp.MustCompile(`https?://|//[a-z]|<script|<b>"`).MatchString(body) || !strings.Contains(body, "&lt;b&gt;") {
			t.Errorf("%s: not self-contained or not escaped", lang)
		}
	}
	if _, h, _ := get(t, url+"/"); h.Get("Content-Language") != "zh" {
		t.Errorf("no preference gives %q, want zh", h.Get("Content-Language"))
	}
}

func TestPageOfADeadGuard(t *testing.T) {
	url := serve(t, status.Options{
		LastTick: func() time.Time { return time.Now().Add(-time.Hour) },
		State:    func() shedguard.ShedState { return shedguard.ShedState{Shed: "s", Uplink: "off"} },
	})
	_, _, body := get(t, url+"/?lang=en")
	if !strings.Contains(body, "stopped") || !strings.Contains(body, "No alarms") {
		t.Errorf("page:\n%s", body)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func TestNewRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	log := slog.New(slog.DiscardHandler)
	full := status.Options{Listen: "127.0.0.1:0", State: sample, LastTick: time.Now, Log: log}
	for name, change := range map[string]func(*status.Options){
		"every address":    func(o *status.Options) { o.Listen = "0.0.0.0:0" },
		"no host":          func(o *status.Options) { o.Listen = ":0" },
		"a name":           func(o *status.Options) { o.Listen = "localhost:0" },
		"no port":          func(o *status.Options) { o.Listen = "127.0.0.1" },
		"port taken":       func(o *status.Options) { o.Listen = taken.Addr().String() },
		"no state":         func(o *status.Options) { o.State = nil },
		"no tick":          func(o *status.Options) { o.LastTick = nil },
		"no log":           func(o *status.Options) { o.Log = nil },
		"metric, no value": func(o *status.Options) { o.Metrics = []status.Metric{{Name: "a", Help: "b"}} },
		"metric twice": func(o *status.Options) {
			m := status.Metric{Name: "a", Help: "b", Value: func() float64 { return 0 }}
			o.Metrics = []status.Metric{m, m}
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := full
			change(&opts)
			s, err := status.New(t.Context(), opts)
			if err == nil {
				t.Errorf("no error; closed: %v", s.Close())
			}
		})
	}
	opts := full
	opts.Listen, opts.AllowRemote = "0.0.0.0:0", true
	s, err := status.New(t.Context(), opts)
	if err != nil {
		t.Fatalf("remote access that is allowed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRunReportsAListenerThatDies(t *testing.T) {
	s, err := status.New(t.Context(), status.Options{Listen: "127.0.0.1:0", State: sample, LastTick: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Run: %v", err)
	}
}
