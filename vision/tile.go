package vision

import "math"

// TileRule says when a picture is also looked at in parts. A model's input is
// nearly square: a wide picture that is squeezed into it loses half of its detail
// along one side, and with it the small flame far away.
type TileRule struct {
	Max    int     // parts at most, besides the whole; 0 looks at the whole only
	Aspect float64 // from this ratio of the longer to the shorter side on
}

// Tiles are the parts of a picture of width × height pixels that are looked at.
// The first is always the whole. The others are as high as the picture (or as
// wide, if it stands upright), square where they can be, of equal size, and
// cover all of it with equal overlaps.
func (r TileRule) Tiles(width, height int) []Rect {
	tiles := []Rect{Whole()}
	if r.Max < 2 || width < 1 || height < 1 {
		return tiles
	}
	long, short := float64(max(width, height)), float64(min(width, height))
	aspect := long / short
	if aspect < r.Aspect {
		return tiles
	}
	n := min(int(math.Ceil(aspect-1e-9)), r.Max)
	if n < 2 {
		return tiles
	}
	size := max(1/aspect, 1/float64(n)) // of the longer side
	for i := range n {
		at := (1 - size) * float64(i) / float64(n-1)
		if width >= height {
			tiles = append(tiles, Rect{X: at, W: size, H: 1})
		} else {
			tiles = append(tiles, Rect{Y: at, W: 1, H: size})
		}
	}
	return tiles
}

// Part is the cells of one tile.
type Part struct {
	Rect
	Heat
}

// Merge puts parts together on one grid whose cells are as fine as the finest
// part's. A cell is as hot as the hottest part says at its centre.
func Merge(parts []Part) Heat {
	if len(parts) == 1 && parts[0].Rect == Whole() {
		return parts[0].Heat
	}
	var cols, rows int
	for _, p := range parts {
		cols = max(cols, int(math.Round(float64(p.Cols)/p.W)))
		rows = max(rows, int(math.Round(float64(p.Rows)/p.H)))
	}
	merged := NewHeat(cols, rows)
	for row := range rows {
		y := (float64(row) + 0.5) / float64(rows)
		for col := range cols {
			x := (float64(col) + 0.5) / float64(cols)
			for _, p := range parts {
				if !p.Contains(x, y) {
					continue
				}
				pc := min(int((x-p.X)/p.W*float64(p.Cols)), p.Cols-1)
				pr := min(int((y-p.Y)/p.H*float64(p.Rows)), p.Rows-1)
				for c := range merged.Cells {
					at := row*cols + col
					merged.Cells[c][at] = max(merged.Cells[c][at], p.Cells[c][pr*p.Cols+pc])
				}
			}
		}
	}
	return merged
}
