package confirm

import (
	"fmt"

	"github.com/shedguard/shedguard/vision"
)

// Point is a place in the picture, 0 to 1 from the upper left corner.
type Point struct {
	X float64 `json:"x" yaml:"x"`
	Y float64 `json:"y" yaml:"y"`
}

// Polygon is a part of the picture. It closes by itself.
type Polygon []Point

// Validate reports what is wrong with the polygon.
func (p Polygon) Validate() error {
	if len(p) < 3 {
		return fmt.Errorf("%d points: want at least 3", len(p))
	}
	for i, q := range p {
		if !(q.X >= 0 && q.X <= 1) || !(q.Y >= 0 && q.Y <= 1) { // NaN is refused too
			return fmt.Errorf("point %d: %g, %g: want 0 to 1", i, q.X, q.Y)
		}
	}
	return nil
}

// Has reports whether a point lies inside, by the even-odd rule.
func (p Polygon) Has(x, y float64) bool {
	in := false
	for i, a := range p {
		b := p[(i+len(p)-1)%len(p)]
		if (a.Y > y) != (b.Y > y) && x < (b.X-a.X)*(y-a.Y)/(b.Y-a.Y)+a.X {
			in = !in
		}
	}
	return in
}

// Regions are where a camera's picture is looked at: inside an include polygon,
// or everywhere where there is none, and in no exclude polygon.
type Regions struct {
	Include, Exclude []Polygon
}

// Validate reports the first fault.
func (r *Regions) Validate() error {
	for name, list := range map[string][]Polygon{"include": r.Include, "exclude": r.Exclude} {
		for i, p := range list {
			if err := p.Validate(); err != nil {
				return fmt.Errorf("%s[%d]: %w", name, i, err)
			}
		}
	}
	return nil
}

// Has reports whether the point is looked at.
func (r *Regions) Has(x, y float64) bool {
	in := len(r.Include) == 0
	for _, p := range r.Include {
		in = in || p.Has(x, y)
	}
	for _, p := range r.Exclude {
		in = in && !p.Has(x, y)
	}
	return in
}

// cells marks the cells of a grid whose middle is looked at.
func (r *Regions) cells(h *vision.Heat) []bool {
	out := make([]bool, h.Cols*h.Rows)
	for i := range out {
		out[i] = r.Has((float64(i%h.Cols)+0.5)/float64(h.Cols), (float64(i/h.Cols)+0.5)/float64(h.Rows))
	}
	return out
}
