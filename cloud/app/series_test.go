package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/app"
	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/internal/victoriatest"
)

// measure publishes one value of an outlet.
func (g *gateway) measure(t *testing.T, watts float64) {
	t.Helper()
	line, err := shedguard.AppendLine(nil, &shedguard.Point{
		Measurement: shedguard.MeasurementOutlet, Tags: []shedguard.Tag{{Key: "shed", Value: g.shed}, {Key: "outlet", Value: "3"}},
		Fields: []shedguard.Field{{Key: "watts", Value: watts}}, Time: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.publish(t, shedguard.ClassTelemetry, false, line)
}

// Telemetry goes to a VictoriaMetrics and is read there, over its outage too.
func TestSeriesElsewhere(t *testing.T) {
	t.Parallel()
	vm := victoriatest.Start(t)
	o := options(t.TempDir(), t.Output())
	o.Config.Series.Kind, o.Config.Series.URL = config.SeriesInflux, vm.URL()
	r := startWith(t, o)
	g := connect(t, r.BrokerAddr(), "shed-1")
	last := func(want float64) func() bool {
		return func() bool {
			var s shed
			r.ask(t, http.MethodGet, "/api/v1/sheds/shed-1", "", &s)
			return len(s.Live) == 1 && s.Live[0].Watts == want
		}
	}
	g.measure(t, 389.25)
	r.until(t, "stored and read", last(389.25))
	vm.Kill()
	g.measure(t, 412.5)
	r.until(t, "in the queue", func() bool {
		_, body := r.ask(t, http.MethodGet, "/metrics", "", nil)
		return strings.Contains(body, "shedcloud_ingest_points_total 2")
	})
	vm.Restart()
	r.until(t, "sent after the outage", last(412.5))
	if status, body := r.ask(t, http.MethodGet, "/api/v1/prom/query?query=outlet_watts", "", nil); status != 404 || !strings.Contains(body, "ask that one") {
		t.Errorf("PromQL: %d %s", status, body)
	}
	if _, body := r.ask(t, http.MethodGet, "/metrics", "", nil); !strings.Contains(body, `shedcloud_series_remote_values_total{outcome="queued"} 2`) {
		t.Error("metrics do not count what was queued")
	}
}

// A store that cannot be used is said at the start.
func TestSeriesElsewhereRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*config.Series)
		want   string
	}{
		"no token": {func(s *config.Series) { s.TokenFile = "none" }, "series: token: open none"},
		"no CA":    {func(s *config.Series) { s.CAFile = "none.pem" }, "series: authority: open none.pem"},
		"no name":  {func(s *config.Series) { s.Language = config.LanguageFlux }, "series.bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir(), t.Output())
			o.Config.Series.Kind, o.Config.Series.URL = config.SeriesInflux, "http://127.0.0.1:1/"
			tt.change(&o.Config.Series)
			if _, err := app.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
		})
	}
}
