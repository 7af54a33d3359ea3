package worker

import (
	"fmt"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/health"
)

// Judge takes one camera's pictures from their grey copies over the model, which sees what is worth
// its time whole and once closer, to what is confirmed. It is for one
// goroutine.
type Judge struct {
	Watch    *confirm.Watch
	detector Detector
	idle     time.Duration
	gaze     Gaze
}

// Verdict is what a Judge makes of a picture.
type Verdict struct {
	Judged bool          // the model saw it
	Scores vision.Scores // the higher ones of the whole and of the closer look
	Sights []confirm.Sight
}

// NewJudge returns a judge for a camera whose model yields a grid of cols x rows.
func NewJudge(d Detector, s *Settings, learn time.Duration, r confirm.Regions, cols, rows int) (*Judge, error) {
	c := s.Confirm
	c.Learn = learn
	watch, err := confirm.New(c, r, cols, rows)
	if err != nil {
		return nil, err
	}
	j := &Judge{Watch: watch, detector: d, idle: s.Idle}
	j.gaze.Limit(&r)
	return j, nil
}

// Next judges the picture of the moment at; grey is its grey copy.
func (j *Judge) Next(p Picture, grey *[health.Size]uint8, at time.Time) (Verdict, error) {
	if !j.gaze.Worth(grey, at, j.Watch.Tracking(), j.idle) {
		j.Watch.Calm(at)
		return Verdict{}, nil
	}
	whole, err := j.detector.See(p, vision.Whole())
	if err != nil {
		return Verdict{}, err
	}
	f := confirm.Frame{At: at, Scores: whole.Scores, Heat: whole.Heat, Grey: grey[:], GreyW: health.Width, GreyH: health.Height}
	v := Verdict{Judged: true, Scores: whole.Scores}
	width, height := p.Size()
	if part, ok := j.gaze.Next(width, height, j.Watch.Small()); ok {
		near, err := j.detector.See(p, part)
		if err != nil {
			return Verdict{}, fmt.Errorf("closer look: %w", err)
		}
		f.Close = confirm.Close{Rect: part, Scores: near.Scores, Heat: near.Heat}
		v.Scores = vision.Scores{Flame: max(whole.Flame, near.Flame), Smoke: max(whole.Smoke, near.Smoke)}
	}
	v.Sights, err = j.Watch.Next(&f)
	return v, err
}
