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

// BoxRule says which cells make a box: those of at least Grow that hang together with
// one of at least Seed. Touching by a corner counts. Boxes of fewer than MinCells cells
// are dropped.
//
// A model is unsure around what it sees, and warm cells join flames that are apart.
// Two peaks are one box only when the cells between them stay at Saddle × the lower
// peak or above, and a box ends where cells fall below Edge × its peak. With 0 for both,
// all that hangs together is one box.
type BoxRule struct {
	Seed, Grow   float64
	Saddle, Edge float64
	MinCells     int
}

// Boxes are the groups of cells of a class, the hottest first.
//
// Cells are taken from the hottest down, as if water fell: a cell without a hotter
// neighbour begins a basin, others join the highest basin they touch, and basins
// become one where the cell between them is high enough.
func (h Heat) Boxes(c Class, rule BoxRule) []Box {
	cells := h.Cells[c]
	var order []int
	for i, v := range cells {
		if float64(v) >= rule.Grow {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cells[b], cells[a]) })

	b := basins{of: make([]int, len(cells))}
	for _, at := range order {
		score := float64(cells[at])
		highest, near := -1, [8]int{}
		n := 0
		col, row := at%h.Cols, at/h.Cols
		for y := max(row-1, 0); y <= min(row+1, h.Rows-1); y++ {
			for x := max(col-1, 0); x <= min(col+1, h.Cols-1); x++ {
				if basin, ok := b.at(y*h.Cols + x); ok {
					near[n] = basin
					n++
					if highest < 0 || b.peak[basin] > b.peak[highest] {
						highest = basin
					}
				}
			}
		}
		if highest < 0 {
			b.begin(at, score)
			continue
		}
		b.of[at] = highest + 1
		for _, basin := range near[:n] {
			if lower := b.root(basin); lower != highest && score >= rule.Saddle*b.peak[lower] {
				b.parent[lower] = highest
			}
		}
	}
	return b.boxes(h, c, rule, order)
}

// basins are groups of cells, numbered from 0; several may have become one.
type basins struct {
	of     []int // of each cell, one more than its number; 0 is none yet
	parent []int // the basin that it is part of now, or itself
	peak   []float64
}

func (b *basins) begin(at int, peak float64) {
	b.of[at] = len(b.parent) + 1
	b.parent = append(b.parent, len(b.parent))
	b.peak = append(b.peak, peak)
}

func (b *basins) root(basin int) int {
	for b.parent[basin] != basin {
		b.parent[basin] = b.parent[b.parent[basin]]
		basin = b.parent[basin]
	}
	return basin
}

func (b *basins) at(cell int) (int, bool) {
	if b.of[cell] == 0 {
		return 0, false
	}
	return b.root(b.of[cell] - 1), true
}

// boxes are the basins that the rule lets stand, the hottest first.
func (b *basins) boxes(h Heat, c Class, rule BoxRule, order []int) []Box {
	type extent struct{ left, right, top, bottom, cells int }
	extents := make([]extent, len(b.parent))
	for _, at := range order {
		basin, _ := b.at(at)
		if b.peak[basin] < rule.Seed || float64(h.Cells[c][at]) < rule.Edge*b.peak[basin] {
			continue
		}
		col, row := at%h.Cols, at/h.Cols
		e := &extents[basin]
		if e.cells == 0 {
			*e = extent{left: col, right: col, top: row, bottom: row}
		}
		e.left, e.right = min(e.left, col), max(e.right, col)
		e.top, e.bottom = min(e.top, row), max(e.bottom, row)
		e.cells++
	}
	var boxes []Box
	cw, ch := 1/float64(h.Cols), 1/float64(h.Rows)
	for basin, e := range extents { // basins begin in the order of their peaks
		if e.cells == 0 || e.cells < rule.MinCells {
			continue
		}
		boxes = append(boxes, Box{
			Class: c,
			Rect: Rect{
				X: float64(e.left) * cw, Y: float64(e.top) * ch,
				W: float64(e.right-e.left+1) * cw, H: float64(e.bottom-e.top+1) * ch,
			},
			Score: b.peak[basin],
			Cells: e.cells,
		})
	}
	return boxes
}
