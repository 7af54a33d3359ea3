package actuate_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/gateway/actuate"
)

func TestWear(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	w, err := actuate.NewWear(3, []float64{3000, 4000, -1}, now) // the second is older than an hour
	if err != nil {
		t.Fatal(err)
	}
	if d := w.Wait(now); d != 0 {
		t.Errorf("wait %v", d)
	}
	w.Closed(now)
	w.Closed(now.Add(time.Minute))
	now = now.Add(2 * time.Minute)
	if d := w.Wait(now); d != 480*time.Second { // the first one was 3120 s ago
		t.Errorf("wait %v, want 8m0s", d)
	}
	if got := w.Ago(now); len(got) != 3 || slices.Max(got) != 3120 || slices.Min(got) != 60 {
		t.Errorf("ago %v", got)
	}
	again, err := actuate.NewWear(3, w.Ago(now), now)
	if err != nil || again.Wait(now) != w.Wait(now) {
		t.Errorf("after a restart: wait %v, %v", again.Wait(now), err)
	}
	if d := w.Wait(now.Add(481 * time.Second)); d != 0 {
		t.Errorf("wait %v an hour after the first", d)
	}
	var none actuate.Wear
	none.Closed(now)
	if none.Wait(now) != 0 || none.Ago(now) != nil {
		t.Error("the zero Wear bounds something")
	}
	for _, limit := range []int{0, -1, actuate.MaxClosings + 1} {
		if _, err := actuate.NewWear(limit, nil, now); err == nil {
			t.Errorf("%d closings per hour were accepted", limit)
		}
	}
}

// TestWearLaw: no hour holds more closings than allowed, over restarts too, and
// a relay that may close is not kept waiting.
func TestWearLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		now := time.Unix(1_700_000_000, 0)
		w, err := actuate.NewWear(limit, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		var closed []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				if w, err = actuate.NewWear(limit, w.Ago(now), now); err != nil {
					t.Fatal(err)
				}
			}
			in := 0
			for _, at := range closed {
				if now.Sub(at) < time.Hour {
					in++
				}
			}
			wait := w.Wait(now)
			if (in >= limit) != (wait > 0) {
				t.Fatalf("%d closings in the last hour of %d, wait %v", in, limit, wait)
			}
			if wait == 0 {
				w.Closed(now)
				closed = append(closed, now)
			}
		}
	})
}
