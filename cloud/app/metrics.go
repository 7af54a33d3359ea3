package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shedguard/shedguard/cloud/series/embedded"
)

// metrics turns the counters of the parts into metrics when they are asked for.
type metrics struct {
	app                                            *App
	connected, messages, points, values, refused   *prometheus.Desc
	retries, lost, connects, queue, stored         *prometheus.Desc
	series, clients, received, held, dropped, acls *prometheus.Desc
	told, pending, unrouted                        *prometheus.Desc
}

func newMetrics(a *App) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("shedcloud_"+name, help, labels, nil)
	}
	return &metrics{
		app:       a,
		connected: desc("ingest_connected", "1 while both sessions are connected to the broker."),
		messages:  desc("ingest_messages_total", "Messages received and dealt with."),
		points:    desc("ingest_points_total", "Lines of telemetry stored."),
		values:    desc("ingest_values_total", "Numbers in the stored lines."),
		refused:   desc("ingest_refused_total", "Payloads and lines that were refused, by reason.", "reason"),
		retries:   desc("ingest_retries_total", "Failed attempts to store."),
		lost:      desc("ingest_lost_total", "Dead letters the book did not take, acks that could not be sent, connections ended for overrun.", "what"),
		connects:  desc("ingest_connects_total", "Connections to the broker, first ones included."),
		queue:     desc("ingest_queue", "Messages in hand, not yet stored.", "lane"),
		stored:    desc("series_values_total", "Values offered to the series store, by outcome.", "outcome"),
		series:    desc("series_active", "Series in memory."),
		clients:   desc("broker_clients", "Clients connected to the embedded broker."),
		received:  desc("broker_messages_total", "Messages of the embedded broker, by direction.", "direction"),
		held:      desc("broker_held", "Publishes whose acknowledgement waits for room."),
		dropped:   desc("broker_dropped_total", "Messages lost to a full queue."),
		told:      desc("notify_messages_total", "Messages to people, by outcome: sent, attempt_failed, given_up.", "outcome"),
		pending:   desc("notify_pending", "Messages to people that wait to be sent."),
		unrouted:  desc("notify_unrouted_total", "Alarms that no route covers: nobody was told."),
		acls:      desc("broker_refused_total", "Publishes and subscriptions against the access rules."),
	}
}

// Describe sends the descriptions of all metrics.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.connected, m.messages, m.points, m.values, m.refused, m.retries, m.lost, m.connects, m.queue, m.stored, m.series,
		m.clients, m.received, m.held, m.dropped, m.acls, m.told, m.pending, m.unrouted,
	} {
		ch <- d
	}
}

// Collect sends the values of now.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	connected := 0.0
	if m.app.collector.Connected() {
		connected = 1
	}
	gauge(m.connected, connected)
	in := m.app.collector.Stats()
	counter(m.messages, in.Messages)
	counter(m.points, in.Points)
	counter(m.values, in.Values)
	for reason, n := range in.Refused {
		counter(m.refused, n, reason)
	}
	counter(m.retries, in.Retries)
	counter(m.lost, in.LettersLost, "dead_letter")
	counter(m.lost, in.AcksLost, "ack")
	counter(m.lost, in.Overruns, "connection")
	counter(m.connects, in.Connects)
	gauge(m.queue, float64(in.BookQueue), "book")
	gauge(m.queue, float64(in.SeriesQueue), "series")
	told := m.app.notify.Stats()
	counter(m.told, told.Sent, "sent")
	counter(m.told, told.Attempts, "attempt_failed")
	counter(m.told, told.Failed, "given_up")
	gauge(m.pending, float64(told.Pending))
	counter(m.unrouted, told.Unrouted)
	if own, ok := m.app.series.(*embedded.Store); ok {
		store := own.Stats()
		counter(m.stored, store.Stored, "stored")
		counter(m.stored, store.Refused, "refused")
		gauge(m.series, float64(store.Series))
	}
	if m.app.broker == nil {
		return
	}
	b := m.app.broker.Stats()
	gauge(m.clients, float64(b.Clients))
	counter(m.received, uint64(max(b.Received, 0)), "in")
	counter(m.received, uint64(max(b.Sent, 0)), "out")
	gauge(m.held, float64(b.Held))
	counter(m.dropped, uint64(max(b.Dropped, 0)))
	counter(m.acls, b.Refused)
}
