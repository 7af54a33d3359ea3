package worker

import (
	"time"

	"github.com/shedguard/shedguard/vision/health"
)

// Gate keeps frames from the model that show nothing new. The zero Gate has seen
// none.
type Gate struct {
	judged   [health.Size]uint8 // of the last frame that the model saw
	judgedAt time.Time
}

// Worthwhile reports whether the model is to see a frame: something is tracked, the
// picture has changed, or the last one was idle ago.
func (g *Gate) Worthwhile(grey *[health.Size]uint8, at time.Time, tracking bool, idle time.Duration) bool {
	return g.judgedAt.IsZero() || tracking || at.Sub(g.judgedAt) >= idle || changed(grey, &g.judged)
}

// Judged notes that the model saw a frame.
func (g *Gate) Judged(grey *[health.Size]uint8, at time.Time) { g.judged, g.judgedAt = *grey, at }

// changed reports whether a part of the picture differs from the last one that was
// judged: a fifth of a percent of its pixels, by more than a sensor's noise. A
// flame of a hundredth of the picture's width changes more than that within a
// second.
func changed(a, b *[health.Size]uint8) bool {
	n := 0
	for i := range a {
		if d := int(a[i]) - int(b[i]); d > 8 || d < -8 {
			if n++; n > health.Size/500 {
				return true
			}
		}
	}
	return false
}
