package vision_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
)

func TestTiles(t *testing.T) {
	rule := vision.TileRule{Max: 3, Aspect: 1.5}
	tests := map[string]struct {
		rule          vision.TileRule
		width, height int
		want          []vision.Rect // besides the whole
	}{
		"off":        {vision.TileRule{Aspect: 1.5}, 1920, 1080, nil},
		"one is off": {vision.TileRule{Max: 1, Aspect: 1.5}, 1920, 1080, nil},
		"square":     {rule, 1000, 1000, nil},
		"4:3":        {rule, 640, 480, nil},
		"16:9":       {rule, 1920, 1080, []vision.Rect{{X: 0, W: 0.5625, H: 1}, {X: 0.4375, W: 0.5625, H: 1}}},
		"upright":    {rule, 1080, 1920, []vision.Rect{{Y: 0, W: 1, H: 0.5625}, {Y: 0.4375, W: 1, H: 0.5625}}},
		"2:1":        {rule, 1000, 500, []vision.Rect{{X: 0, W: 0.5, H: 1}, {X: 0.5, W: 0.5, H: 1}}},
		"very wide":  {rule, 6000, 1000, []vision.Rect{{X: 0, W: 1.0 / 3, H: 1}, {X: 1.0 / 3, W: 1.0 / 3, H: 1}, {X: 2.0 / 3, W: 1.0 / 3, H: 1}}},
		"nothing":    {rule, 0, 0, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tt.rule.Tiles(tt.width, tt.height)
			if diff := cmp.Diff(append([]vision.Rect{vision.Whole()}, tt.want...), got, cmp.Comparer(near)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Tiles cover every point, stay inside, and are as many as allowed.
func TestTilesCoverAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := vision.TileRule{Max: rapid.IntRange(0, 8).Draw(t, "max"), Aspect: rapid.Float64Range(1, 3).Draw(t, "aspect")}
		tiles := rule.Tiles(rapid.IntRange(1, 4000).Draw(t, "width"), rapid.IntRange(1, 4000).Draw(t, "height"))
		if tiles[0] != vision.Whole() || len(tiles) > 1+rule.Max {
			t.Fatalf("%d tiles of at most %d", len(tiles), rule.Max)
		}
		x, y := rapid.Float64Range(0, 1).Draw(t, "x"), rapid.Float64Range(0, 1).Draw(t, "y")
		covered := len(tiles) == 1
		for _, r := range tiles[1:] {
			if r.X < 0 || r.Y < 0 || r.X+r.W > 1+1e-9 || r.Y+r.H > 1+1e-9 {
				t.Fatalf("tile outside: %+v", r)
			}
			grown := vision.Rect{X: r.X - 1e-9, Y: r.Y - 1e-9, W: r.W + 2e-9, H: r.H + 2e-9}
			covered = covered || grown.Contains(x, y)
		}
		if !covered {
			t.Fatalf("%g, %g is in none of %+v", x, y, tiles[1:])
		}
	})
}

func TestMerge(t *testing.T) {
	whole := grid("2.", "..")
	left, right := grid("..", ".9"), grid("..", "5.")
	got := vision.Merge([]vision.Part{
		{Rect: vision.Whole(), Heat: whole},
		{Rect: vision.Rect{W: 0.5, H: 1}, Heat: left},
		{Rect: vision.Rect{X: 0.5, W: 0.5, H: 1}, Heat: right},
	})
	want := grid("22..", ".95.")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(whole, vision.Merge([]vision.Part{{Rect: vision.Whole(), Heat: whole}})); diff != "" {
		t.Error("one whole part is not kept: ", diff)
	}
}

// What is hot in some part is as hot after merging, and nothing becomes hotter.
func TestMergeLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := vision.TileRule{Max: rapid.IntRange(2, 4).Draw(t, "max"), Aspect: 1}
		tiles := rule.Tiles(rapid.IntRange(200, 2000).Draw(t, "width"), 200)
		var parts []vision.Part
		var hottest float64
		for _, r := range tiles {
			h := vision.NewHeat(5, 5)
			col, row := rapid.IntRange(0, 4).Draw(t, "col"), rapid.IntRange(0, 4).Draw(t, "row")
			v := rapid.Float32Range(0, 1).Draw(t, "v")
			h.Cells[vision.Flame][row*5+col] = v
			hottest = max(hottest, float64(v))
			parts = append(parts, vision.Part{Rect: r, Heat: h})
		}
		merged := vision.Merge(parts)
		if err := merged.Check(); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := merged.Max(vision.Flame); got != hottest {
			t.Fatalf("hottest cell is %g after merging, was %g", got, hottest)
		}
	})
}
