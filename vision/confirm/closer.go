package confirm

import "github.com/shedguard/shedguard/vision"

// The two ways in which the model sees a cell. Each has its own background: a
// lamp that is nothing in the whole picture may be something when it is large.
const (
	viewWhole = iota
	viewClose
	views
)

// rare bounds for how many frames a closer look stands: half a minute at 5 a
// second. Who looks at a cell every now and then learns as fast as who always does.
const rare = 150

// closer is the newest closer look, on the grid of the whole picture.
type closer struct {
	rect    vision.Rect
	heat    vision.Heat
	covered []bool
	since   []float32 // frames since a cell was covered, this one included
}

func newCloser(cols, rows int) closer {
	c := closer{heat: vision.NewHeat(cols, rows), covered: make([]bool, cols*rows), since: make([]float32, cols*rows)}
	for i := range c.since {
		c.since[i] = 1
	}
	return c
}

// take brings a closer look onto the grid: a cell is as hot as the hottest of the
// part's cells whose middle lies in it.
func (c *closer) take(l *Close) {
	for i, was := range c.covered {
		if was {
			c.since[i] = 0
		}
		c.since[i] = min(c.since[i]+1, rare)
	}
	clear(c.covered)
	c.rect = l.Rect
	if l.W <= 0 {
		return
	}
	for _, class := range vision.Classes() {
		clear(c.heat.Cells[class])
	}
	for row := range l.Heat.Rows {
		y := l.Y + (float64(row)+0.5)/float64(l.Heat.Rows)*l.H
		for col := range l.Heat.Cols {
			x := l.X + (float64(col)+0.5)/float64(l.Heat.Cols)*l.W
			at := min(int(y*float64(c.heat.Rows)), c.heat.Rows-1)*c.heat.Cols + min(int(x*float64(c.heat.Cols)), c.heat.Cols-1)
			c.covered[at] = true
			for _, class := range vision.Classes() {
				cell := &c.heat.Cells[class][at]
				*cell = max(*cell, l.Heat.At(class, col, row))
			}
		}
	}
}

// shows reports whether the middle of a box lies in the closer look.
func (c *closer) shows(b vision.Rect) bool {
	return c.rect.W > 0 && c.rect.Contains(b.X+b.W/2, b.Y+b.H/2)
}
