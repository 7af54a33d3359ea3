package actuate

import (
	"fmt"
	"time"
)

// MaxClosings bounds a Wear's limit.
const MaxClosings = 120

// Wear bounds how often a relay closes within an hour: its contacts bear a
// certain number of operations. Opening is never bounded. The zero Wear bounds
// nothing. It is not safe for concurrent use.
type Wear struct {
	limit int
	at    [MaxClosings]time.Time // the last closings, in any order
}

// NewWear returns a bound of so many closings an hour. Ago is how long ago the
// closings of an earlier run of the program were, in seconds.
func NewWear(limit int, ago []float64, now time.Time) (Wear, error) {
	if limit < 1 || limit > MaxClosings {
		return Wear{}, fmt.Errorf("closings per hour: %d: want 1 to %d", limit, MaxClosings)
	}
	w := Wear{limit: limit}
	for _, s := range ago {
		if s >= 0 && s < time.Hour.Seconds() {
			w.Closed(now.Add(-time.Duration(s * float64(time.Second))))
		}
	}
	return w, nil
}

// Closed counts a closing.
func (w *Wear) Closed(at time.Time) {
	if w.limit > 0 {
		w.at[w.oldest()] = at
	}
}

// Wait is how long the relay must stay open; 0 when it may close now.
func (w *Wear) Wait(now time.Time) time.Duration {
	if w.limit == 0 {
		return 0
	}
	at := w.at[w.oldest()]
	if at.IsZero() {
		return 0
	}
	return max(0, time.Hour-now.Sub(at))
}

func (w *Wear) oldest() int {
	oldest := 0
	for i := range w.limit {
		if w.at[i].Before(w.at[oldest]) {
			oldest = i
		}
	}
	return oldest
}

// Ago is how long ago the closings of the last hour were, in seconds, to be kept
// over a restart.
func (w *Wear) Ago(now time.Time) []float64 {
	var ago []float64
	for _, at := range w.at[:w.limit] {
		if d := now.Sub(at); !at.IsZero() && d < time.Hour {
			ago = append(ago, max(0, d.Seconds()))
		}
	}
	return ago
}
