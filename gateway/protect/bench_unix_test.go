//go:build unix

package protect_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkNext is one step with every rule on. Its cpu-ns/op are processor time,
// which other programs on the machine do not stretch.
func BenchmarkNext(b *testing.B) {
	for name, amps := range map[string]float64{"quiet": 2, "every rule deciding": 42} {
		b.Run(name, func(b *testing.B) {
			o := worst()
			if amps < 10 {
				o = newBench(limits(), 0.5, 0)
			}
			o.in.Closed = amps < 10
			b.ReportAllocs()
			before := processor(b)
			for b.Loop() {
				o.now = o.now.Add(100 * time.Millisecond)
				o.in.Celsius, o.in.CelsiusAt = 2*amps, o.now
				o.in.Reading, o.in.Fresh = reading(o.now, amps), true
				o.in.Reading.ResidualAmps, o.in.Reading.HasResidual = amps/1000, true
				v := o.step()
				if v.MustOpen() != (amps > 10) {
					b.Fatal(causes(v))
				}
			}
			b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// processor is what this process has taken so far.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
