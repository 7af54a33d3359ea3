package confirm

import (
	"slices"

	"github.com/shedguard/shedguard/vision"
)

// kept is how many of the highest scores of a class are remembered.
const kept = 50

// peaks are the highest scores of frames in which nothing was confirmed.
type peaks struct {
	top    []float64 // ascending
	frames uint64
}

func (p *peaks) take(score float64, quiet bool) {
	if !quiet {
		return
	}
	p.frames++
	if len(p.top) == kept {
		if score <= p.top[0] {
			return
		}
		p.top = p.top[1:]
	}
	at, _ := slices.BinarySearch(p.top, score)
	p.top = slices.Insert(p.top, at, score)
}

// Proposal is the score of a picture that only the highest few of the site's own
// quiet frames reach: a threshold for it. It is false before an hour of frames
// at 5 a second.
func (w *Watch) Proposal() (vision.Scores, bool) {
	var out vision.Scores
	for _, c := range vision.Classes() {
		p := &w.peak[c]
		if p.frames < 18000 {
			return vision.Scores{}, false
		}
		v := p.top[0]
		if c == vision.Flame {
			out.Flame = v
		} else {
			out.Smoke = v
		}
	}
	return out, true
}
