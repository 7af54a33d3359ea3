package vision_test

import (
	"fmt"
	"strings"

	"github.com/shedguard/shedguard/vision"
)

// Connected cells make a box; it must have one cell that is hot enough.
func ExampleHeat_Boxes() {
	h := vision.NewHeat(4, 4)
	h.Cells[vision.Flame] = []float32{
		0, 0, 0, 0,
		0, 0, 0.9, 0.4,
		0, 0, 0.5, 0.1,
		0.4, 0, 0, 0,
	}
	for _, b := range h.Boxes(vision.Flame, vision.BoxRule{Seed: 0.6, Grow: 0.3, MinCells: 1}) {
		fmt.Printf("%s %.1f at x %.2f y %.2f, %.2f wide, %.2f high\n", b.Class, b.Score, b.X, b.Y, b.W, b.H)
	}
	// Output: flame 0.9 at x 0.50 y 0.25, 0.50 wide, 0.50 high
}

// A wide picture is looked at as a whole and in two halves that overlap.
func ExampleTileRule_Tiles() {
	rule := vision.TileRule{Max: 2, Aspect: 1.5}
	for _, r := range rule.Tiles(1920, 1080) {
		fmt.Printf("from %.4f to %.4f\n", r.X, r.X+r.W)
	}
	// Output:
	// from 0.0000 to 1.0000
	// from 0.0000 to 0.5625
	// from 0.4375 to 1.0000
}

// Every bad line of a label file is told.
func ExampleParseLabels() {
	_, err := vision.ParseLabels(strings.NewReader("0 0.5 0.5 0.2 0.4\n3 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.2\n"))
	fmt.Println(err)
	// Output:
	// line 2: class "3": want 0 (flame) or 1 (smoke)
	// line 3: 4 words: want class, x, y, width, height
}

func ExampleRecallAt() {
	fires, quiet := []float64{0.9, 0.8, 0.4}, []float64{0.1, 0.2, 0.3, 0.5}
	recall, _ := vision.RecallAt(0, fires, quiet)
	fmt.Printf("%.2f of the fires score higher than everything quiet\n", recall)
	// Output: 0.67 of the fires score higher than everything quiet
}
