package status

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shedguard/shedguard"
)

// Metric is a number that is read when somebody asks for it.
type Metric struct {
	// Name without its prefix "gateway_", in base units: seconds, bytes, volts;
	// a counter ends with _total.
	Name string
	Help string
	// Counter is true for what only grows.
	Counter bool
	Labels  map[string]string
	Value   func() float64
}

// metricsHandler serves a registry of its own.
func metricsHandler(opts *Options) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	all := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newStateCollector(opts),
	}
	for _, m := range opts.Metrics {
		c, err := m.collector()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	for _, c := range append(all, opts.Collectors...) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("status: register metric: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	}), nil
}

func (m Metric) collector() (prometheus.Collector, error) {
	if m.Value == nil || m.Name == "" || m.Help == "" {
		return nil, fmt.Errorf("status: metric %q: name, help and value: required", m.Name)
	}
	value := func() (v float64) {
		defer func() {
			if recover() != nil { // see stateCollector.Collect
				v = math.NaN()
			}
		}()
		return m.Value()
	}
	opts := prometheus.Opts{Namespace: "gateway", Name: m.Name, Help: m.Help, ConstLabels: maps.Clone(m.Labels)}
	if m.Counter {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(opts), value), nil
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts), value), nil
}

// stateCollector turns one copy of the state into all its metrics, so that they
// belong together.
type stateCollector struct {
	opts *Options

	info, alive, tickAge, siren, connected, backlog, uptime, clock, alarms *prometheus.Desc
	outlet                                                                 []outletGauge
	state                                                                  *prometheus.Desc
}

type outletGauge struct {
	desc  *prometheus.Desc
	value func(*shedguard.OutletStatus) (float64, bool)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gateway_"+name, help, labels, nil)
}

func number(bit bool) float64 {
	if bit {
		return 1
	}
	return 0
}

func newStateCollector(opts *Options) *stateCollector {
	measured := func(value func(*shedguard.OutletStatus) float64) func(*shedguard.OutletStatus) (float64, bool) {
		return func(o *shedguard.OutletStatus) (float64, bool) {
			return value(o), o.Quality == shedguard.QualityGood || o.Quality == shedguard.QualitySuspect
		}
	}
	return &stateCollector{
		opts:      opts,
		info:      desc("info", "The gateway: 1, with its shed, version and boot.", "shed", "version", "boot_id"),
		alive:     desc("guard_alive", "1 while the guard completes its ticks in time."),
		tickAge:   desc("guard_last_tick_age_seconds", "Age of the guard's last completed tick; absent before the first one."),
		siren:     desc("siren_on", "1 while the siren is commanded on."),
		connected: desc("uplink_connected", "1 while the gateway is connected to its broker."),
		backlog:   desc("outbox_records", "Records that wait in the outbox."),
		uptime:    desc("uptime_seconds", "Time since the program started."),
		clock:     desc("clock_quality", "1 for the quality that the wall clock has.", "quality"),
		alarms:    desc("alarms_open", "Open alarms.", "severity"),
		state:     desc("outlet_state", "1 for the state that the outlet is in.", "outlet", "state"),
		outlet: []outletGauge{
			{desc("outlet_volts", "RMS voltage; absent while the meter is stale.", "outlet"), measured(func(o *shedguard.OutletStatus) float64 { return o.Volts })},
			{desc("outlet_amperes", "RMS current; absent while the meter is stale.", "outlet"), measured(func(o *shedguard.OutletStatus) float64 { return o.Amps })},
			{desc("outlet_watts", "Active power; absent while the meter is stale.", "outlet"), measured(func(o *shedguard.OutletStatus) float64 { return o.Watts })},
			{desc("outlet_power_factor", "Power factor, -1 to 1; absent while the meter is stale.", "outlet"), measured(func(o *shedguard.OutletStatus) float64 { return o.PowerFactor })},
			{desc("outlet_celsius", "Temperature; absent without a good reading.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) {
				if o.Celsius == nil {
					return 0, false
				}
				return *o.Celsius, true
			}},
			{desc("outlet_reading_age_seconds", "Age of the last reading; absent before the first one.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) { return float64(o.AgeMS) / 1000, o.AgeMS >= 0 }},
			{desc("outlet_quality", "Quality of the reading: 0 good, 1 suspect, 2 stale, 3 fault.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) { return float64(o.Quality), true }},
			{desc("outlet_relay_closed", "1 while the relay is commanded closed.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) { return number(o.Closed), true }},
			{desc("outlet_heat_ratio", "Heating image of the overcurrent rule; 1 trips.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) { return o.Heat, true }},
			{desc("outlet_latched", "1 while a cause holds the outlet open until a person resets it.", "outlet"), func(o *shedguard.OutletStatus) (float64, bool) { return number(len(o.Latched) > 0), true }},
		},
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.info, c.alive, c.tickAge, c.siren, c.connected, c.backlog, c.uptime, c.clock, c.alarms, c.state} {
		ch <- d
	}
	for _, g := range c.outlet {
		ch <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		ch <- m
	}
	// The registry collects on goroutines of its own: a panic there would end
	// the process, and the guard with it.
	defer func() {
		if r := recover(); r != nil {
			ch <- prometheus.NewInvalidMetric(c.info, fmt.Errorf("state: panic: %v", r))
		}
	}()
	now, last := time.Now(), c.opts.LastTick()
	s := c.opts.State()
	gauge(c.info, 1, s.Shed, s.Version, s.BootID)
	gauge(c.alive, number(alive(last, now) == nil))
	if !last.IsZero() {
		gauge(c.tickAge, now.Sub(last).Seconds())
	}
	gauge(c.siren, number(s.Siren))
	gauge(c.connected, number(s.Uplink == uplinkConnected))
	gauge(c.backlog, float64(s.Backlog))
	gauge(c.uptime, float64(s.UptimeMS)/1000)
	for _, q := range shedguard.ClockQualities() {
		gauge(c.clock, number(q == s.Clock), string(q))
	}
	open := map[shedguard.Severity]int{}
	for i := range s.Alarms {
		open[s.Alarms[i].Severity]++
	}
	for _, severity := range shedguard.Severities() {
		if severity != shedguard.SeverityCleared {
			gauge(c.alarms, float64(open[severity]), severity.String())
		}
	}
	seen := map[int]bool{} // a metric that comes twice would cost the whole answer
	for i := range s.Outlets {
		o := &s.Outlets[i]
		if seen[o.Outlet] {
			continue
		}
		seen[o.Outlet] = true
		n := strconv.Itoa(o.Outlet)
		for _, state := range shedguard.OutletStates() {
			gauge(c.state, number(state == o.State), n, state.String())
		}
		for _, g := range c.outlet {
			if v, ok := g.value(o); ok {
				gauge(g.desc, v, n)
			}
		}
	}
}

// sorted returns the alarms, the most urgent first.
func sorted(alarms []shedguard.Alarm) []shedguard.Alarm {
	return slices.SortedStableFunc(slices.Values(alarms), func(a, b shedguard.Alarm) int {
		if a.Severity != b.Severity {
			return int(a.Severity) - int(b.Severity)
		}
		return b.RaisedAt.Compare(a.RaisedAt)
	})
}
