package poll

import (
	"sync/atomic"
	"time"
)

// JitterBounds are the upper bounds of the classes of [Stats.Jitter], but for
// the last one, which has none.
func JitterBounds() [JitterClasses - 1]time.Duration {
	const ms = time.Millisecond
	return [...]time.Duration{ms / 4, ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 250 * ms, time.Second}
}

// JitterClasses is how many classes there are.
const JitterClasses = 12

// Stats are counts since New.
type Stats struct {
	Reads      uint64 // reads that were tried, of meters and thermometers
	Errors     uint64 // those that failed
	Skipped    uint64 // periods in which a failing or slow chip was not tried
	Late       uint64 // samples that began more than half a period after they were due
	Recoveries uint64 // rungs of the ladder that were tried
	Healed     uint64 // those after which the bus answered
	Failing    int    // chips whose last read failed
	Frozen     int    // meters whose words are frozen
	// Busy is how long reads took in all: its growth over a time is the use of
	// the bus in that time.
	Busy time.Duration
	// ReadMean and ReadMax are how long reads took; LateMean and LateMax how
	// long after they were due meters were read.
	ReadMean, ReadMax, LateMean, LateMax time.Duration
	// Jitter counts how far the time between two reads of one meter was from
	// its period, by the classes of JitterBounds; JitterSum is all of it.
	Jitter    [JitterClasses]uint64
	JitterSum time.Duration
	// Fault is what Line.Fault says, empty without one.
	Fault string
}

// Quantile is the bound below which the share q of all jitters is, zero without
// any. The last class has no bound: the one before it is returned for both.
func (s *Stats) Quantile(q float64) time.Duration {
	var n, sum uint64
	for _, k := range s.Jitter {
		n += k
	}
	if n == 0 {
		return 0
	}
	bounds := JitterBounds()
	for i, bound := range bounds {
		if sum += s.Jitter[i]; float64(sum) >= q*float64(n) {
			return bound
		}
	}
	return bounds[len(bounds)-1]
}

// counts are what Stats copies.
type counts struct {
	reads, errs, skipped, late, recoveries, heals atomic.Uint64
	readSum, readMax, lateSum, lateMax, jitterSum atomic.Int64
	samples                                       atomic.Uint64
	failed, stuck                                 atomic.Int64
	jitter                                        [JitterClasses]atomic.Uint64
	told                                          atomic.Pointer[string]
}

// timing books how long after it was due a sample began.
func (l *Line) timing(d, every time.Duration) {
	l.samples.Add(1)
	l.lateSum.Add(int64(d))
	atomicMax(&l.lateMax, int64(d))
	if d > every/2 {
		l.late.Add(1)
	}
}

// steady books how far the time since the read before is from the period.
func (l *Line) steady(t *task, began time.Time) {
	if t.meter.fails > 0 {
		t.began = time.Time{} // its retries have no period
		return
	}
	if !t.began.IsZero() {
		d := (began.Sub(t.began) - t.Every).Abs()
		l.jitterSum.Add(int64(d))
		l.jitter[class(d)].Add(1)
	}
	t.began = began
}

func class(d time.Duration) int {
	for i, bound := range JitterBounds() {
		if d <= bound {
			return i
		}
	}
	return JitterClasses - 1
}

// Stats returns the counts. Any goroutine may ask.
func (l *Line) Stats() Stats {
	s := Stats{
		Reads: l.reads.Load(), Errors: l.errs.Load(), Skipped: l.skipped.Load(), Late: l.late.Load(),
		Recoveries: l.recoveries.Load(), Healed: l.heals.Load(), Failing: int(l.failed.Load()), Frozen: int(l.stuck.Load()),
		Busy: time.Duration(l.readSum.Load()), JitterSum: time.Duration(l.jitterSum.Load()),
		ReadMax: time.Duration(l.readMax.Load()), LateMax: time.Duration(l.lateMax.Load()),
	}
	if s.Reads > 0 {
		s.ReadMean = time.Duration(uint64(s.Busy) / s.Reads)
	}
	if n := l.samples.Load(); n > 0 {
		s.LateMean = time.Duration(uint64(l.lateSum.Load()) / n)
	}
	for i := range s.Jitter {
		s.Jitter[i] = l.jitter[i].Load()
	}
	if text := l.told.Load(); text != nil {
		s.Fault = *text
	}
	return s
}

// atomicMax raises v to x; there is one writer.
func atomicMax(v *atomic.Int64, x int64) {
	if x > v.Load() {
		v.Store(x)
	}
}
