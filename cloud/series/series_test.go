package series_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/cloud/series"
)

func TestStepCoversTheSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := time.UnixMilli(rapid.Int64Range(1, 1<<41).Draw(t, "from"))
		q := series.Query{From: from, To: from.Add(time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "span")) * time.Millisecond), Points: rapid.IntRange(1, series.MaxPoints).Draw(t, "points")}
		step := q.Step()
		if step < time.Millisecond || step%time.Millisecond != 0 {
			t.Fatalf("step %v: want whole milliseconds", step)
		}
		if buckets := (q.To.Sub(q.From) + step - 1) / step; buckets > time.Duration(q.Points) {
			t.Fatalf("%d buckets of %v: want at most %d", buckets, step, q.Points)
		}
	})
}
