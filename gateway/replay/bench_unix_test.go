//go:build unix

package replay_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFile reads and replays a file as the command does. Its samples/cpu-s
// are those of one core that does nothing else: other programs on the machine
// take from the time on the wall, not from the processor time of this one.
func BenchmarkFile(b *testing.B) {
	for name, every := range map[string]time.Duration{
		"1kHz": time.Millisecond, "50Hz": 20 * time.Millisecond, "10Hz": 100 * time.Millisecond, "1Hz": time.Second,
	} {
		b.Run(name, func(b *testing.B) {
			var text strings.Builder
			text.WriteString("time_s,volts,amps,watts\n")
			for i := range 200_000 {
				fmt.Fprintf(&text, "%.3f,220.%d,1.8%d,38%d.4\n", (time.Duration(i) * every).Seconds(), i%10, i%7, i%9)
			}
			opts := options(b, "outlet-10a")
			opts.Session.MaxMinutes = 1440
			opts.Session.MaxWh, opts.ResetAfter = 50_000, time.Minute // judged to the end
			b.ReportAllocs()
			b.SetBytes(int64(text.Len()))
			n, began := 0, processorTime(b)
			for b.Loop() {
				n += playText(b, opts, text.String()).Samples
			}
			b.ReportMetric(float64(n)/(processorTime(b)-began).Seconds(), "samples/cpu-s")
		})
	}
}

// processorTime is what this process has taken so far.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
