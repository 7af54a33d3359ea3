package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/embedded"
	"github.com/shedguard/shedguard/cloud/series/influx"
	"github.com/shedguard/shedguard/cloud/series/promapi"
)

// store is a series store with its counters.
type store interface {
	series.Store
	Metrics() prometheus.Gatherer
}

// openSeries opens the series store that the configuration names.
func openSeries(c *config.Config, log *slog.Logger) (store, error) {
	if c.Series.Kind == config.SeriesInflux {
		return openInflux(c, log)
	}
	s, err := embedded.Open(embedded.Options{
		Dir: filepath.Join(c.Data, "series"), Retention: c.Keep.Telemetry, MaxBytes: c.Keep.TelemetryMB << 20, Log: log,
	})
	if err != nil { // a nil store in an interface would not be nil
		return nil, fmt.Errorf("series: %w", err)
	}
	return s, nil
}

func openInflux(c *config.Config, log *slog.Logger) (store, error) {
	o := influx.Options{
		URL: c.Series.URL, ReadURL: c.Series.ReadURL, Language: influx.Language(c.Series.Language), Org: c.Series.Org, Bucket: c.Series.Bucket,
		Dir: filepath.Join(c.Data, "series-queue"), QueueBytes: c.Series.QueueMB << 20, Settle: c.Series.Settle, Log: log,
	}
	var err error
	if c.Series.TokenFile != "" {
		if o.Token, err = readSecret(c.Series.TokenFile); err != nil {
			return nil, fmt.Errorf("series: token: %w", err)
		}
	}
	if c.Series.CAFile != "" {
		if o.TLS, err = tlsConfig("", "", c.Series.CAFile); err != nil {
			return nil, fmt.Errorf("series: %w", err)
		}
	}
	s, err := influx.Open(o)
	if err != nil {
		return nil, fmt.Errorf("series: %w", err)
	}
	return s, nil
}

// promTimeout is less than what the server takes to write an answer.
const promTimeout = 20 * time.Second

// prom answers PromQL from the store in a folder; nil with a database on
// another machine, which answers by itself. Every user may see every shed, and
// so may a token.
func (a *App) prom() (http.Handler, error) {
	own, ok := a.series.(*embedded.Store)
	if !ok {
		return nil, nil //nolint:nilnil // the API knows what no handler means
	}
	return promapi.New(promapi.Options{
		Store: own, Timeout: promTimeout, Log: a.opts.Log.With("part", "prom"),
		Sheds: func(*http.Request) ([]string, bool) { return nil, true },
	})
}

// checkSeries asks a database on another machine whether it keeps points as
// it must; nil where there is nothing to ask.
func (a *App) checkSeries(ctx context.Context) error {
	if s, ok := a.series.(interface{ Check(context.Context) error }); ok {
		return s.Check(ctx)
	}
	return nil
}
