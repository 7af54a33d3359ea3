package influx

import "github.com/prometheus/client_golang/prometheus"

// collector turns Stats into metrics when it is asked for them.
type collector struct {
	stats                                       func() Stats
	values, series, lines, retries, resent      *prometheus.Desc
	full, waiting, oldest, bytes, damaged, torn *prometheus.Desc
}

func newCollector(stats func() Stats) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("shedcloud_series_"+name, help, labels, nil)
	}
	return &collector{
		stats:   stats,
		values:  desc("remote_values_total", "Values offered to the remote series store, by outcome.", "outcome"),
		series:  desc("remote_series", "Series seen since the start."),
		lines:   desc("remote_lines_total", "Lines sent to the database, by its answer; repeats included.", "answer"),
		retries: desc("remote_retries_total", "Failed requests to the database."),
		resent:  desc("remote_resent_total", "Times that everything unsettled was sent again."),
		full:    desc("queue_full_total", "Appends that found the queue full."),
		waiting: desc("queue_points", "Points not yet sent."),
		oldest:  desc("queue_oldest_seconds", "Age of the oldest point not yet sent."),
		bytes:   desc("queue_bytes", "Size of the queue on the disk."),
		damaged: desc("queue_damaged_bytes_total", "Bytes of the queue that could not be read."),
		torn:    desc("queue_torn_bytes", "Bytes cut from the queue at the start."),
	}
}

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.values, c.series, c.lines, c.retries, c.resent, c.full, c.waiting, c.oldest, c.bytes, c.damaged, c.torn} {
		ch <- d
	}
}

// Collect sends the values of now.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter(c.values, s.Queued, "queued")
	counter(c.values, s.Refused-min(s.RefusedSeries, s.Refused), "refused")
	counter(c.values, s.RefusedSeries, "refused_series")
	counter(c.lines, s.Sent, "stored")
	counter(c.lines, s.RefusedLines, "refused")
	counter(c.retries, s.Retries)
	counter(c.resent, s.Resent)
	counter(c.full, s.Full)
	counter(c.damaged, uint64(max(s.DamagedBytes, 0)))
	gauge(c.series, float64(s.Series))
	gauge(c.waiting, float64(s.Waiting))
	gauge(c.oldest, s.Oldest.Seconds())
	gauge(c.bytes, float64(s.QueueBytes))
	gauge(c.torn, float64(s.TornBytes))
}
