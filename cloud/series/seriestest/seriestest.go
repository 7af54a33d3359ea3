package seriestest

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
)

// Run checks that the stores that open makes keep the contract of
// series.Store. Each part of the suite gets an empty store; the suite closes
// it.
func Run(t *testing.T, open func(t *testing.T) series.Store) {
	t.Helper()
	for name, check := range map[string]func(t *testing.T, s series.Store){
		"one bucket":        oneBucket,
		"gaps stay gaps":    gaps,
		"tags select":       tagsSelect,
		"repeats count one": repeats,
		"backfill":          backfill,
		"bad never spoils":  badNeverSpoils,
		"latest":            latest,
		"bad queries":       badQueries,
		"many writers":      manyWriters,
		"ended context":     endedContext,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			check(t, s)
		})
	}
}

// start is a whole minute some hours ago, so that no store refuses it for its
// time.
func start() time.Time { return time.Now().UTC().Add(-6 * time.Hour).Truncate(time.Minute) }

func outlet(shed string, n int, at time.Time, fields ...shedguard.Field) shedguard.Point {
	return shedguard.Point{
		Measurement: shedguard.MeasurementOutlet,
		Tags:        []shedguard.Tag{{Key: "shed", Value: shed}, {Key: "outlet", Value: fmt.Sprint(n)}},
		Fields:      fields, Time: at,
	}
}

func watts(v float64) shedguard.Field { return shedguard.Field{Key: "watts", Value: v} }

func put(t *testing.T, s series.Store, points ...shedguard.Point) {
	t.Helper()
	if err := s.Append(t.Context(), points); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func ask(t *testing.T, s series.Store, q series.Query) []series.Series {
	t.Helper()
	q.Measurement, q.Field = shedguard.MeasurementOutlet, "watts"
	got, err := s.Range(t.Context(), q)
	if err != nil {
		t.Fatalf("Range: %v", err)
	}
	return got
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answer differs (-want +got):\n%s", d)
	}
}

func named(shed string, n int) map[string]string {
	return map[string]string{"shed": shed, "outlet": fmt.Sprint(n)}
}

func oneBucket(t *testing.T, s series.Store) {
	at := start()
	put(t, s, outlet("a", 1, at, watts(10)), outlet("a", 1, at.Add(time.Second), watts(40)), outlet("a", 1, at.Add(2*time.Second), watts(25)))
	got := ask(t, s, series.Query{From: at, To: at.Add(time.Minute), Points: 1})
	same(t, got, []series.Series{{Tags: named("a", 1), Buckets: []series.Bucket{{At: at, Min: 10, Mean: 25, Max: 40, Count: 3}}}})
}

func gaps(t *testing.T, s series.Store) {
	at := start()
	put(t, s, outlet("a", 1, at, watts(1)), outlet("a", 1, at.Add(29*time.Second), watts(2)), outlet("a", 1, at.Add(60*time.Second), watts(3)))
	got := ask(t, s, series.Query{From: at, To: at.Add(time.Minute), Points: 6})
	same(t, got, []series.Series{{Tags: named("a", 1), Buckets: []series.Bucket{
		{At: at, Min: 1, Mean: 1, Max: 1, Count: 1},
		{At: at.Add(20 * time.Second), Min: 2, Mean: 2, Max: 2, Count: 1}, // the value at To is not part of the span
	}}})
}

func tagsSelect(t *testing.T, s series.Store) {
	at := start()
	put(t, s, outlet("a", 1, at, watts(1)), outlet("a", 2, at, watts(2)), outlet("b", 1, at, watts(3)), outlet("a", 1, at, shedguard.Field{Key: "volts", Value: 230}))
	span := series.Query{From: at, To: at.Add(time.Second), Points: 1}
	for name, tt := range map[string]struct {
		tags map[string]string
		want []map[string]string
	}{
		"all":      {nil, []map[string]string{named("a", 1), named("b", 1), named("a", 2)}},
		"one shed": {map[string]string{"shed": "a"}, []map[string]string{named("a", 1), named("a", 2)}},
		"one":      {named("b", 1), []map[string]string{named("b", 1)}},
		"none":     {named("c", 1), nil},
	} {
		span.Tags = tt.tags
		seen := map[string]int{}
		for _, g := range ask(t, s, span) {
			seen[fmt.Sprint(g.Tags)]++
		}
		want := map[string]int{}
		for _, w := range tt.want {
			want[fmt.Sprint(w)]++
		}
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func repeats(t *testing.T, s series.Store) {
	at := start()
	var batch []shedguard.Point
	for i := range 100 {
		batch = append(batch, outlet("a", 1, at.Add(time.Duration(i)*time.Second), watts(float64(i))))
	}
	for range 3 {
		put(t, s, batch...)
	}
	put(t, s, batch[10:20]...)
	put(t, s, outlet("a", 1, at.Add(200*time.Second), watts(200)))
	put(t, s, batch[50:]...)
	got := ask(t, s, series.Query{From: at, To: at.Add(100 * time.Second), Points: 1})
	same(t, got, []series.Series{{Tags: named("a", 1), Buckets: []series.Bucket{{At: at, Min: 0, Mean: 49.5, Max: 99, Count: 100}}}})
}

func backfill(t *testing.T, s series.Store) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	old := now.Add(-8*24*time.Hour + time.Hour)
	put(t, s, outlet("a", 1, now, watts(1)))
	put(t, s, outlet("a", 1, old, watts(2)), outlet("b", 1, old.Add(time.Minute), watts(4)))
	put(t, s, outlet("a", 1, old.Add(-time.Second), watts(3)))
	got := ask(t, s, series.Query{From: old.Add(-time.Second), To: now.Add(time.Millisecond), Points: 1, Tags: map[string]string{"shed": "a"}})
	same(t, got, []series.Series{{Tags: named("a", 1), Buckets: []series.Bucket{{At: old.Add(-time.Second), Min: 1, Mean: 2, Max: 3, Count: 3}}}})
}

func badNeverSpoils(t *testing.T, s series.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	put(t, s, outlet("good", 1, now, watts(1)))
	put(
		t, s,
		outlet("ahead", 1, now.AddDate(1, 0, 0), watts(9)),      // its clock is a year ahead
		outlet("old", 1, now.AddDate(-1, 0, 0), watts(9)),       // beyond every window
		outlet("good", 1, now, watts(2)),                        // contradicts what is there
		outlet("nan", 1, now, watts(math.NaN()), watts(9)),      // not a number
		outlet("good", 1, now.Add(time.Second), watts(3)),       // good
		outlet("good", 2, now.Add(-7*24*time.Hour), watts(4)),   // good backfill
		outlet("good", 3, now.Add(-time.Millisecond), watts(5)), // good
	)
	put(t, s, outlet("good", 1, now.Add(2*time.Second), watts(5)))
	got := ask(t, s, series.Query{From: now, To: now.Add(time.Minute), Points: 1, Tags: named("good", 1)})
	same(t, got, []series.Series{{Tags: named("good", 1), Buckets: []series.Bucket{{At: now, Min: 1, Mean: 3, Max: 5, Count: 3}}}})
	for _, n := range []int{2, 3} {
		if got := ask(t, s, series.Query{From: now.Add(-8 * 24 * time.Hour), To: now, Points: 1, Tags: named("good", n)}); len(got) != 1 {
			t.Errorf("outlet %d: %v, want one series", n, got)
		}
	}
}

func latest(t *testing.T, s series.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	put(
		t, s,
		outlet("a", 1, now.Add(-2*time.Second), watts(1), shedguard.Field{Key: "volts", Value: 230}),
		outlet("a", 1, now.Add(-time.Second), watts(2)),
		outlet("a", 2, now.Add(-time.Hour), watts(3)),
		outlet("b", 1, now.Add(-time.Second), watts(4)),
		shedguard.Point{Measurement: "climate", Tags: []shedguard.Tag{{Key: "shed", Value: "a"}}, Fields: []shedguard.Field{{Key: "celsius", Value: 20}}, Time: now},
	)
	got, err := s.Latest(t.Context(), shedguard.MeasurementOutlet, map[string]string{"shed": "a"}, time.Minute)
	if err != nil {
		t.Fatalf("Latest: %v", err)
	}
	seen := map[string]series.Latest{}
	for _, l := range got {
		seen[l.Field] = l
	}
	if len(got) != len(seen) {
		t.Errorf("a field came twice: %v", got)
	}
	same(t, seen, map[string]series.Latest{
		"watts": {Field: "watts", Tags: named("a", 1), Value: 2, At: now.Add(-time.Second)},
		"volts": {Field: "volts", Tags: named("a", 1), Value: 230, At: now.Add(-2 * time.Second)},
	})
}

func badQueries(t *testing.T, s series.Store) {
	at := start()
	for name, q := range map[string]series.Query{
		"no field":        {Measurement: "outlet", From: at, To: at.Add(1)},
		"no measurement":  {Field: "watts", From: at, To: at.Add(1)},
		"empty span":      {Measurement: "outlet", Field: "watts", From: at, To: at},
		"backwards":       {Measurement: "outlet", Field: "watts", From: at.Add(1), To: at},
		"too many points": {Measurement: "outlet", Field: "watts", From: at, To: at.Add(1), Points: series.MaxPoints + 1},
	} {
		if got, err := s.Range(t.Context(), q); err == nil {
			t.Errorf("%s: answered %v, want an error", name, got)
		}
	}
	if _, err := s.Latest(t.Context(), "", nil, time.Minute); err == nil {
		t.Error("Latest without a measurement: want an error")
	}
}

func manyWriters(t *testing.T, s series.Store) {
	at := start()
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 50 {
				p := outlet(fmt.Sprint("s", w%4), 1, at.Add(time.Duration(i)*time.Second), watts(float64(i)))
				if err := s.Append(t.Context(), []shedguard.Point{p}); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	writers.Wait()
	for w := range 4 {
		got := ask(t, s, series.Query{From: at, To: at.Add(time.Hour), Points: 1, Tags: map[string]string{"shed": fmt.Sprint("s", w)}})
		if len(got) != 1 || got[0].Buckets[0].Count != 50 {
			t.Errorf("s%d: %v, want 50 values", w, got)
		}
	}
}

func endedContext(t *testing.T, s series.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, []shedguard.Point{outlet("a", 1, start(), watts(1))}); err == nil {
		t.Error("Append after the context ended: want an error")
	}
}
