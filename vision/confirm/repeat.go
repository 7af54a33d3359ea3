package confirm

import (
	"math"

	"github.com/shedguard/shedguard/vision"
)

const (
	pastFrames = 40 // that are compared: eight seconds at 5 a second
	pastPixels = 64 // of the grey copy that are compared at most
	// A flame of fewer grey pixels may look the same twice by chance, as may the
	// first few frames of any.
	leastPixels = 6
	leastFrames = 6
	// settled is how many frames the mean of a track's novelty goes back.
	settled = 8
)

// past is what a place looked like in the last frames. A flame never looks the same
// twice; a sign that blinks does at every beat.
type past struct {
	place   vision.Rect
	at      [pastPixels]int // of the grey copy
	pixels  int
	frames  [pastFrames][pastPixels]uint8
	n       int // frames so far
	novelty float64
}

// begin starts anew with a place.
func (p *past) begin(place vision.Rect, w, h int) {
	p.place, p.n, p.pixels, p.novelty = place, 0, 0, 1
	x0, x1 := span(place.X, place.W, w)
	y0, y1 := span(place.Y, place.H, h)
	step := 1
	for ((x1-x0+step-1)/step)*((y1-y0+step-1)/step) > pastPixels {
		step++
	}
	for y := y0; y < y1; y += step {
		for x := x0; x < x1; x += step {
			p.at[p.pixels] = y*w + x
			p.pixels++
		}
	}
}

// span is the pixels of n that a part covers.
func span(at, size float64, n int) (from, to int) {
	return max(0, int(at*float64(n))), min(n, int(math.Ceil((at+size)*float64(n))))
}

// take compares a frame with the ones before. Novelty is the distance to the one most
// like it, in parts of the mean distance to all: near 0 for what repeats itself, near 1
// for noise, and about a half for what moves on from frame to frame.
func (p *past) take(grey []uint8) {
	slot := &p.frames[p.n%pastFrames]
	var now [pastPixels]uint8
	for i := range p.pixels {
		now[i] = grey[p.at[i]]
	}
	known := min(p.n, pastFrames)
	least, sum := math.MaxFloat64, 0.0
	for k := range known {
		d := 0
		for i, v := range p.frames[k][:p.pixels] {
			d += max(int(v)-int(now[i]), int(now[i])-int(v))
		}
		least = min(least, float64(d))
		sum += float64(d)
	}
	*slot = now
	p.n++
	if known < leastFrames-1 || sum == 0 {
		return
	}
	f := 1 / float64(min(p.n-leastFrames+1, settled))
	p.novelty += (least*float64(known)/sum - p.novelty) * f
}

// repeats reports whether a place keeps looking as it did before.
func (p *past) repeats(limit float64) bool {
	return p.pixels >= leastPixels && p.n >= leastFrames && p.novelty < limit
}
