package notify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
)

// A plan over ten thousand open alarms that everybody was told of.
func BenchmarkPlan(b *testing.B) {
	w := newWorld(b, settings())
	for n := range 10_000 {
		w.raise(n+1, "north-1", fmt.Sprintf("outlet/%d", n%256+1), shedguard.SeverityMajor)
	}
	for range 3 {
		w.step()
		w.now = w.now.Add(time.Minute)
	}
	st := w.state()
	b.ReportAllocs()
	for b.Loop() {
		w.policy.Plan(&st, w.now)
	}
}
