package vision

import (
	"cmp"
	"slices"
)

// Rect is a part of a picture: 0 to 1 from the upper left corner, whatever the
// picture's size in pixels.
type Rect struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
	W float64 `json:"w"`
	H float64 `json:"h"`
}

// Whole is all of a picture.
func Whole() Rect { return Rect{W: 1, H: 1} }

// Area is the share of the picture.
func (r Rect) Area() float64 { return r.W * r.H }

// Intersect is what both cover; its area is 0 when they do not meet.
func (r Rect) Intersect(o Rect) Rect {
	x, y := max(r.X, o.X), max(r.Y, o.Y)
	w, h := min(r.X+r.W, o.X+o.W)-x, min(r.Y+r.H, o.Y+o.H)-y
	if w <= 0 || h <= 0 {
		return Rect{}
	}
	return Rect{X: x, Y: y, W: w, H: h}
}

// IoU is the area that both cover as a share of what either covers.
func (r Rect) IoU(o Rect) float64 {
	both := r.Intersect(o).Area()
	if both == 0 {
		return 0
	}
	return both / (r.Area() + o.Area() - both)
}

// Contains tells whether a point lies inside.
func (r Rect) Contains(x, y float64) bool {
	return x >= r.X && x <= r.X+r.W && y >= r.Y && y <= r.Y+r.H
}

// Box is where something was seen.
type Box struct {
	Class Class `json:"class"`
	Rect
	Score float64 `json:"score"` // of its hottest cell
	Cells int     `json:"cells"`
}

// BoxRule says which cells make a box: those of at least Grow that hang together
// with one of at least Seed. Touching by a corner counts. Boxes of fewer than
// MinCells cells are dropped.
type BoxRule struct {
	Seed, Grow float64
	MinCells   int
}

// Boxes are the groups of connected cells of a class, the hottest first.
func (h Heat) Boxes(c Class, rule BoxRule) []Box {
	var boxes []Box
	cells := h.Cells[c]
	seen := make([]bool, len(cells))
	var stack []int
	for i := range cells {
		if seen[i] || !(float64(cells[i]) >= rule.Grow) {
			continue
		}
		left, right, top, bottom := h.Cols, -1, h.Rows, -1
		count, hottest := 0, float32(0)
		seen[i] = true
		stack = append(stack[:0], i)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			col, row := at%h.Cols, at/h.Cols
			left, right = min(left, col), max(right, col)
			top, bottom = min(top, row), max(bottom, row)
			count++
			hottest = max(hottest, cells[at])
			for y := max(row-1, 0); y <= min(row+1, h.Rows-1); y++ {
				for x := max(col-1, 0); x <= min(col+1, h.Cols-1); x++ {
					if n := y*h.Cols + x; !seen[n] && float64(cells[n]) >= rule.Grow {
						seen[n] = true
						stack = append(stack, n)
					}
				}
			}
		}
		if float64(hottest) < rule.Seed || count < rule.MinCells {
			continue
		}
		cw, ch := 1/float64(h.Cols), 1/float64(h.Rows)
		boxes = append(boxes, Box{
			Class: c,
			Rect:  Rect{X: float64(left) * cw, Y: float64(top) * ch, W: float64(right-left+1) * cw, H: float64(bottom-top+1) * ch},
			Score: float64(hottest),
			Cells: count,
		})
	}
	slices.SortStableFunc(boxes, func(a, b Box) int { return cmp.Compare(b.Score, a.Score) })
	return boxes
}
