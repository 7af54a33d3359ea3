package vision

import "fmt"

// Heat is a grid of cells over a picture, row by row, with a score from 0 to 1
// for each class. Cell (0, 0) is the upper left corner.
type Heat struct {
	Cols, Rows int
	Cells      [numClasses][]float32
}

// NewHeat is a cold grid.
func NewHeat(cols, rows int) Heat {
	h := Heat{Cols: cols, Rows: rows}
	for c := range h.Cells {
		h.Cells[c] = make([]float32, cols*rows)
	}
	return h
}

// Check tells what is wrong with a grid that came from outside: a model that
// yields NaN must be noticed, for no threshold would ever be passed again.
func (h Heat) Check() error {
	if h.Cols < 1 || h.Rows < 1 {
		return fmt.Errorf("heat: %d x %d cells: want at least one", h.Cols, h.Rows)
	}
	for _, c := range Classes() {
		if len(h.Cells[c]) != h.Cols*h.Rows {
			return fmt.Errorf("heat: %s: %d cells, want %d x %d", c, len(h.Cells[c]), h.Cols, h.Rows)
		}
		for i, v := range h.Cells[c] {
			if !(v >= 0 && v <= 1) { // also NaN
				return fmt.Errorf("heat: %s: cell %d, %d is %g: want 0 to 1", c, i%h.Cols, i/h.Cols, v)
			}
		}
	}
	return nil
}

// At is one cell's score.
func (h Heat) At(c Class, col, row int) float32 { return h.Cells[c][row*h.Cols+col] }

// Max is the highest score of a class and the cell that has it.
func (h Heat) Max(c Class) (score float64, col, row int) {
	best := 0
	for i, v := range h.Cells[c] {
		if v > h.Cells[c][best] {
			best = i
		}
	}
	return float64(h.Cells[c][best]), best % h.Cols, best / h.Cols
}
