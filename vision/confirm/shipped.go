package confirm

import (
	"time"

	"github.com/shedguard/shedguard/vision"
)

const (
	// Persist is how long a camera alone must see without a break until its
	// pre-alarm becomes an alarm, unless the site says otherwise. It counts from
	// the first frame that showed flame or smoke: an alarm comes within the ten
	// seconds that a fire detector's path may take.
	Persist = 9 * time.Second
	// Break is how long a camera may see nothing within what still counts as
	// without a break.
	Break = 3 * time.Second
)

// Shipped is how a camera is judged with a model, unless somebody knows better.
// The model's thresholds are for single pictures; here several frames must agree, so
// that a picture counts from somewhat below them on. Learn is the camera's.
func Shipped(m vision.Settings) Settings {
	return Settings{
		Picture: vision.Scores{Flame: 0.8 * m.Alarm.Flame, Smoke: m.Alarm.Smoke},
		Cells:   m.Boxes,
		Margin:  1.5,
		K:       [classes]int{vision.Flame: 6, vision.Smoke: 10},
		N:       [classes]int{vision.Flame: 9, vision.Smoke: 12},
		Span:    [classes]time.Duration{vision.Flame: 1800 * time.Millisecond, vision.Smoke: 4 * time.Second},
		Alive:   [classes]float64{vision.Flame: 1.5, vision.Smoke: 1.05},
		Sure:    [classes]float64{vision.Flame: 0.8},
		Doubt:   2 * time.Second,
		Novel:   [classes]float64{vision.Flame: 0.25},
		Still:   [classes]float64{vision.Flame: 0.35, vision.Smoke: 0.6},
		Hold:    3 * time.Second,
	}
}
