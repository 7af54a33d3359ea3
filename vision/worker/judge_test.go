package worker_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/worker"
)

// spark is a flame that the whole picture is too coarse for.
func spark() vision.Rect { return vision.Rect{X: 0.62, Y: 0.55, W: 0.03, H: 0.05} }

// shortSighted sees the spark only when it is a tenth of what it looks at.
type shortSighted struct{ whole, closer int }

func (d *shortSighted) See(p worker.Picture, part vision.Rect) (vision.Sight, error) {
	if part == vision.Whole() {
		d.whole++
	} else {
		d.closer++
	}
	s := vision.Sight{Heat: vision.NewHeat(grid, grid), Scores: vision.Scores{Flame: 0.01, Smoke: 0.01}}
	pic, ok := p.(*picture)
	if !ok || !pic.burns || spark().W < 0.1*part.W {
		return s, nil
	}
	for i := range grid * grid {
		x, y := part.X+(float64(i%grid)+0.5)/grid*part.W, part.Y+(float64(i/grid)+0.5)/grid*part.H
		if spark().Contains(x, y) {
			s.Heat.Cells[vision.Flame][i], s.Flame = 0.9, 0.9
		}
	}
	return s, nil
}

func TestAJudgeFindsASmallFlame(t *testing.T) {
	for name, tt := range map[string]struct {
		width int
		told  bool
	}{"a picture of many pixels": {1280, true}, "a picture of few": {160, false}} {
		t.Run(name, func(t *testing.T) {
			d, s := &shortSighted{}, settings()
			j, err := worker.NewJudge(d, &s, 0, confirm.Regions{}, grid, grid)
			if err != nil {
				t.Fatal(err)
			}
			w := newWall()
			now := time.Unix(1000, 0)
			var lit time.Time
			told := time.Duration(-1)
			for n := range 200 {
				p := &picture{width: tt.width, burns: n >= 100}
				w.spots = nil
				if p.burns {
					if lit.IsZero() {
						lit = now
					}
					flicker := spark()
					flicker.H *= 0.5 + 0.5*w.rand.Float64()
					w.spots = []vision.Rect{flicker}
				}
				grey := *w.grey()
				v, err := j.Next(p, &grey, now)
				if err != nil {
					t.Fatal(err)
				}
				if len(v.Sights) > 0 && told < 0 {
					told = now.Sub(lit)
				}
				now = now.Add(frameTime)
			}
			if tt.told && (told < 0 || told > 3*time.Second) || !tt.told && told >= 0 {
				t.Errorf("told after %s, %d looks at the whole, %d closer ones", told, d.whole, d.closer)
			}
			if tt.told != (d.closer > 0) || tt.told && d.closer != d.whole {
				t.Errorf("%d looks at the whole, %d closer ones", d.whole, d.closer)
			}
		})
	}
}
