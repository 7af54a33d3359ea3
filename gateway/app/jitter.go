package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shedguard/shedguard/gateway/poll"
)

// jitter is the histogram of how regularly meters are read, for each bus.
type jitter struct {
	lines func() map[string]poll.Stats
	desc  *prometheus.Desc
}

func newJitter(lines func() map[string]poll.Stats) *jitter {
	return &jitter{lines, prometheus.NewDesc("gateway_bus_jitter_seconds", "How far the time between two reads of one meter was from its period.", []string{"bus"}, nil)}
}

// Describe implements prometheus.Collector.
func (j *jitter) Describe(ch chan<- *prometheus.Desc) { ch <- j.desc }

// Collect implements prometheus.Collector.
func (j *jitter) Collect(ch chan<- prometheus.Metric) {
	for bus, s := range j.lines() {
		buckets := make(map[float64]uint64)
		var n uint64
		for i, bound := range poll.JitterBounds() {
			n += s.Jitter[i]
			buckets[bound.Seconds()] = n
		}
		n += s.Jitter[poll.JitterClasses-1]
		m, err := prometheus.NewConstHistogram(j.desc, n, s.JitterSum.Seconds(), buckets, bus)
		if err != nil {
			m = prometheus.NewInvalidMetric(j.desc, err)
		}
		ch <- m
	}
}

// use is what became of the buses since it was last asked.
type use struct {
	at    time.Time
	lines map[string]poll.Stats
}

// since returns the share of time for which the busiest bus was in use, and
// below which jitter 99 of 100 samples on the worst bus were; ok is false the
// first time.
func (u *use) since(lines map[string]poll.Stats, now time.Time) (busy float64, jitter time.Duration, ok bool) {
	ok = !u.at.IsZero() && now.After(u.at)
	for bus, s := range lines {
		was := u.lines[bus]
		d := poll.Stats{}
		for i := range s.Jitter {
			d.Jitter[i] = s.Jitter[i] - was.Jitter[i]
		}
		jitter = max(jitter, d.Quantile(0.99))
		if ok {
			busy = max(busy, (s.Busy-was.Busy).Seconds()/now.Sub(u.at).Seconds())
		}
	}
	u.at, u.lines = now, lines
	return busy, jitter, ok
}
