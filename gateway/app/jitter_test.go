package app

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/shedguard/shedguard/gateway/poll"
)

func TestJitterHistogram(t *testing.T) {
	t.Parallel()
	s := poll.Stats{JitterSum: 3500 * time.Millisecond}
	s.Jitter[0], s.Jitter[4], s.Jitter[poll.JitterClasses-1] = 90, 8, 2
	c := newJitter(func() map[string]poll.Stats { return map[string]poll.Stats{"main": s} })
	const want = `
# HELP gateway_bus_jitter_seconds How far the time between two reads of one meter was from its period.
# TYPE gateway_bus_jitter_seconds histogram
gateway_bus_jitter_seconds_bucket{bus="main",le="0.00025"} 90
gateway_bus_jitter_seconds_bucket{bus="main",le="0.0005"} 90
gateway_bus_jitter_seconds_bucket{bus="main",le="0.001"} 90
gateway_bus_jitter_seconds_bucket{bus="main",le="0.002"} 90
gateway_bus_jitter_seconds_bucket{bus="main",le="0.005"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="0.01"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="0.02"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="0.05"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="0.1"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="0.25"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="1"} 98
gateway_bus_jitter_seconds_bucket{bus="main",le="+Inf"} 100
gateway_bus_jitter_seconds_sum{bus="main"} 3.5
gateway_bus_jitter_seconds_count{bus="main"} 100
`
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestUseOfTheBuses: of the busiest and the most irregular one, since the last
// time, not since the start.
func TestUseOfTheBuses(t *testing.T) {
	t.Parallel()
	stats := func(busy time.Duration, quick, late uint64) poll.Stats {
		s := poll.Stats{Busy: busy}
		s.Jitter[0], s.Jitter[5] = quick, late
		return s
	}
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	var u use
	if _, _, ok := u.since(map[string]poll.Stats{"a": stats(time.Second, 0, 100), "b": stats(0, 0, 0)}, at); ok {
		t.Error("the first time there is nothing to compare with")
	}
	busy, jitter, ok := u.since(map[string]poll.Stats{"a": stats(2*time.Second, 1000, 100), "b": stats(4*time.Second, 90, 10)}, at.Add(10*time.Second))
	if !ok || math.Abs(busy-0.4) > 1e-9 || jitter != 10*time.Millisecond {
		t.Errorf("use %g, p99 %s, %v; want 0.4 of bus b, and its 10 ms", busy, jitter, ok)
	}
	busy, jitter, ok = u.since(map[string]poll.Stats{"a": stats(2*time.Second, 2000, 100), "b": stats(4*time.Second, 190, 10)}, at.Add(20*time.Second))
	if !ok || busy != 0 || jitter != 250*time.Microsecond {
		t.Errorf("use %g, p99 %s, %v; want an idle bus and 0.25 ms", busy, jitter, ok)
	}
}
