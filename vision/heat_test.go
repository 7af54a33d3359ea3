package vision_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
)

// grid makes a heat of digits: 7 is 0.7, a dot is 0. Both classes get the same.
func grid(rows ...string) vision.Heat {
	h := vision.NewHeat(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, r := range row {
			if r == '.' {
				continue
			}
			for _, c := range vision.Classes() {
				h.Cells[c][y*h.Cols+x] = float32(r-'0') / 10
			}
		}
	}
	return h
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestBoxes(t *testing.T) {
	rule := vision.BoxRule{Seed: 0.6, Grow: 0.3, MinCells: 1}
	tests := map[string]struct {
		heat vision.Heat
		rule vision.BoxRule
		want []vision.Box
	}{
		"cold":              {grid("....", "...."), rule, nil},
		"one cell":          {grid("....", ".9.."), rule, []vision.Box{box(0.25, 0.5, 0.25, 0.5, 0.9, 1)}},
		"grows to the warm": {grid("....", "394."), rule, []vision.Box{box(0, 0.5, 0.75, 0.5, 0.9, 3)}},
		"by a corner":       {grid("9...", ".4.."), rule, []vision.Box{box(0, 0, 0.5, 1, 0.9, 2)}},
		"warm only":         {grid("5555", "5555"), rule, nil},
		"seed itself":       {grid("6...", "...."), rule, []vision.Box{box(0, 0, 0.25, 0.5, 0.6, 1)}},
		"two, hottest first": {grid("7..8", "7..8"), rule, []vision.Box{
			box(0.75, 0, 0.25, 1, 0.8, 2), box(0, 0, 0.25, 1, 0.7, 2),
		}},
		"no wrap at the edge": {grid("...9", "9..."), rule, []vision.Box{
			box(0.75, 0, 0.25, 0.5, 0.9, 1), box(0, 0.5, 0.25, 0.5, 0.9, 1),
		}},
		"two peaks, high saddle": {grid("9.7.", ".8.."), vision.BoxRule{Seed: 0.6, Grow: 0.3, Saddle: 0.9, MinCells: 1}, []vision.Box{box(0, 0, 0.75, 1, 0.9, 3)}},
		"two peaks, low saddle": {grid("9.7.", ".5.."), vision.BoxRule{Seed: 0.6, Grow: 0.3, Saddle: 0.9, MinCells: 1}, []vision.Box{
			box(0, 0, 0.5, 1, 0.9, 2), box(0.5, 0, 0.25, 0.5, 0.7, 1), // the saddle goes to the higher
		}},
		"warm rim":            {grid("4894", "4444"), vision.BoxRule{Seed: 0.6, Grow: 0.3, Edge: 0.7, MinCells: 1}, []vision.Box{box(0.25, 0, 0.5, 0.5, 0.9, 2)}},
		"too few without rim": {grid("4894", "4444"), vision.BoxRule{Seed: 0.6, Grow: 0.3, Edge: 0.7, MinCells: 3}, nil},
		"too few cells":       {grid("9...", "...."), vision.BoxRule{Seed: 0.6, Grow: 0.3, MinCells: 2}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.heat.Boxes(vision.Flame, tt.rule)
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(near)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func box(x, y, w, h, score float64, cells int) vision.Box {
	return vision.Box{Class: vision.Flame, Rect: vision.Rect{X: x, Y: y, W: w, H: h}, Score: score, Cells: cells}
}

// Whatever saddle and edge are, each box holds its own peak, no two peaks are the same
// cell, and nothing is boxed that would not be without them.
func TestBoxesSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeat(t)
		plain := vision.BoxRule{Seed: rapid.Float64Range(0.01, 1).Draw(t, "seed"), MinCells: 1}
		plain.Grow = plain.Seed * rapid.Float64Range(0.1, 1).Draw(t, "grow")
		rule := plain
		rule.Saddle, rule.Edge = rapid.Float64Range(0, 1).Draw(t, "saddle"), rapid.Float64Range(0, 1).Draw(t, "edge")
		whole, split := h.Boxes(vision.Flame, plain), h.Boxes(vision.Flame, rule)
		if (len(whole) == 0) != (len(split) == 0) || len(split) < len(whole) {
			t.Fatalf("%d boxes as they hang together, %d split", len(whole), len(split))
		}
		cells := func(boxes []vision.Box) (n int) {
			for _, b := range boxes {
				n += b.Cells
			}
			return n
		}
		if cells(split) > cells(whole) {
			t.Fatalf("%d cells as they hang together, %d split", cells(whole), cells(split))
		}
		last := 2.0
		for _, b := range split {
			if b.Score > last || b.Score < rule.Seed {
				t.Fatalf("scores %g after %g with seed %g", b.Score, last, rule.Seed)
			}
			last = b.Score
			if !slices.ContainsFunc(whole, func(w vision.Box) bool { return w.Intersect(b.Rect).Area() > b.Area()-1e-9 }) {
				t.Fatalf("%+v lies in none of %+v", b, whole)
			}
		}
	})
}

// Every hot cell lies in a box, boxes hold as many cells as they say, and no two
// share one.
func TestBoxesHoldEveryHotCell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeat(t)
		rule := vision.BoxRule{Seed: rapid.Float64Range(0.01, 1).Draw(t, "seed"), MinCells: 1}
		rule.Grow = rule.Seed * rapid.Float64Range(0.1, 1).Draw(t, "grow")
		boxes := h.Boxes(vision.Smoke, rule)
		cells := 0
		for _, b := range boxes {
			if b.X < 0 || b.Y < 0 || b.X+b.W > 1+1e-9 || b.Y+b.H > 1+1e-9 || b.W <= 0 || b.H <= 0 {
				t.Fatalf("box outside: %+v", b)
			}
			if b.Score < rule.Seed || b.Class != vision.Smoke {
				t.Fatalf("box %+v for %+v", b, rule)
			}
			cells += b.Cells
		}
		warm := 0
		for row := range h.Rows {
			for col := range h.Cols {
				v := float64(h.At(vision.Smoke, col, row))
				if v >= rule.Grow {
					warm++
				}
				x, y := (float64(col)+0.5)/float64(h.Cols), (float64(row)+0.5)/float64(h.Rows)
				if v >= rule.Seed && !slices.ContainsFunc(boxes, func(b vision.Box) bool { return b.Contains(x, y) }) {
					t.Fatalf("cell %d, %d of %g is in no box", col, row, v)
				}
			}
		}
		if cells > warm {
			t.Fatalf("%d cells in boxes, only %d are warm", cells, warm)
		}
	})
}

func drawHeat(t *rapid.T) vision.Heat {
	h := vision.NewHeat(rapid.IntRange(1, 12).Draw(t, "cols"), rapid.IntRange(1, 12).Draw(t, "rows"))
	for _, c := range vision.Classes() {
		for i := range h.Cells[c] {
			h.Cells[c][i] = rapid.Float32Range(0, 1).Draw(t, "cell")
		}
	}
	return h
}

func TestMax(t *testing.T) {
	if score, col, row := grid("151", "139").Max(vision.Smoke); !near(score, 0.9) || col != 2 || row != 1 {
		t.Errorf("Max = %g at %d, %d", score, col, row)
	}
}

func TestHeatCheck(t *testing.T) {
	if err := grid("09", "5.").Check(); err != nil {
		t.Error(err)
	}
	with := func(v float32) vision.Heat {
		h := grid("..", "..")
		h.Cells[vision.Smoke][3] = v
		return h
	}
	short := grid("..", "..")
	short.Cells[vision.Flame] = short.Cells[vision.Flame][:3]
	tests := map[string]struct {
		heat vision.Heat
		want string
	}{
		"NaN":   {with(float32(math.NaN())), "smoke: cell 1, 1 is NaN: want 0 to 1"},
		"above": {with(1.5), "smoke: cell 1, 1 is 1.5: want 0 to 1"},
		"below": {with(-0.5), "smoke: cell 1, 1 is -0.5: want 0 to 1"},
		"short": {short, "flame: 3 cells, want 2 x 2"},
		"none":  {vision.Heat{}, "0 x 0 cells: want at least one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.heat.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestIoU(t *testing.T) {
	a := vision.Rect{X: 0.2, Y: 0.2, W: 0.4, H: 0.4}
	tests := map[string]struct {
		b    vision.Rect
		want float64
	}{
		"itself":   {a, 1},
		"half":     {vision.Rect{X: 0.2, Y: 0.2, W: 0.4, H: 0.2}, 0.5},
		"third":    {vision.Rect{X: 0.4, Y: 0.2, W: 0.4, H: 0.4}, 1.0 / 3},
		"touching": {vision.Rect{X: 0.6, Y: 0.2, W: 0.4, H: 0.4}, 0},
		"apart":    {vision.Rect{X: 0.8, Y: 0.8, W: 0.1, H: 0.1}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, back := a.IoU(tt.b), tt.b.IoU(a); !near(got, tt.want) || got != back {
				t.Errorf("IoU = %g and %g, want %g", got, back, tt.want)
			}
		})
	}
}
