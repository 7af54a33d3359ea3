package vision_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard/vision"
)

const goodSettings = "testdata/model.json"

func TestParseSettings(t *testing.T) {
	b, err := os.ReadFile(goodSettings)
	if err != nil {
		t.Fatal(err)
	}
	got, err := vision.ParseSettings(b)
	if err != nil {
		t.Fatal(err)
	}
	want := vision.Settings{
		Name: "example", Version: "2", Stride: 8,
		Input: vision.Input{
			Name: "image", Width: 320, Height: 256, RGB: true, Scale: 0.00392156862745098,
			Std: [3]float64{1, 1, 1}, Area: true,
		},
		Outputs: vision.Outputs{Heat: "heat", ImageScore: "image_score"},
		Score:   vision.ScoreRule{ImageShare: 0.5},
		Alarm:   vision.Scores{Flame: 0.6, Smoke: 0.7},
		Boxes: [2]vision.BoxRule{
			vision.Flame: {Seed: 0.5, Grow: 0.3, MinCells: 1},
			vision.Smoke: {Seed: 0.4, Grow: 0.2, Saddle: 0.9, Edge: 0.6, MinCells: 3},
		},
		Tiles: vision.TileRule{Max: 2, Aspect: 1.6},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if cols, rows := got.Grid(); cols != 40 || rows != 32 {
		t.Errorf("grid of %d x %d", cols, rows)
	}
}

func TestParseSettingsTellsEveryFault(t *testing.T) {
	b, err := os.ReadFile(goodSettings)
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	change := func(pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(good, pairs[i]) {
				t.Fatalf("%s is not in %s", pairs[i], goodSettings)
			}
		}
		return strings.NewReplacer(pairs...).Replace(good)
	}
	tests := map[string]struct {
		text string
		want []string
	}{
		"no JSON": {"{", []string{"no JSON object: unexpected EOF"}},
		"null":    {"null", []string{"null: want a JSON object"}},
		"more":    {good + "{}", []string{"something follows after the JSON object"}},
		"empty":   {"{}", nil},
		"wrong types": {`{"name":1,"version":"","stride":"8","input":[],"outputs":null,"classes":{},"score":{},"thresholds":{"flame":1,"smoke":-1},"boxes":0,"tiles":{"max":1.5,"aspect":1}}`, []string{
			"name: 1: want text", `version: "": want text`, `stride: "8": want a number from 1 to 64`, "input: []: want an object",
			"outputs: null: want an object", `classes: {}: want ["flame","smoke"]`, "score.image_share: missing: want a number from 0 to 1",
			"thresholds.flame: 1: want a number from 0.001 to 0.999", "thresholds.smoke: -1: want a number from 0.001 to 0.999",
			"boxes: 0: want an object", "tiles.max: 1.5: want a whole number",
		}},
		"order of the classes": {change(`"flame", "smoke"`, `"smoke", "flame"`), []string{`classes: ["smoke","flame"]: want ["flame","smoke"]`}},
		"stride":               {change(`"stride": 8`, `"stride": 7`), []string{"stride: 7: want a divisor of the input's width and height, 320 x 256"}},
		"words": {change(`"RGB"`, `"YUV"`, `"area"`, `"cubic"`, `"stretch"`, `"crop"`), []string{
			`input.color: "YUV": want RGB or BGR`, `input.interpolation: "cubic": want linear or area`, `input.resize: "crop": want stretch`,
		}},
		"lists": {change(`"std": [1, 1, 1]`, `"std": [1, 1, 0]`, `"mean": [0, 0, 0]`, `"mean": [0]`), []string{
			"input.mean: [0]: want 3 numbers from -255 to 255", "input.std: [1, 1, 0]: want 3 numbers from 0.001 to 255",
		}},
		"unknown": {change(`"smoke": 0.7`, `"smoke": 0.7, "steam": 0.5`, `"name": "example"`, `"name": "example", "colour": 1`), []string{
			"thresholds.steam: not known; known here are flame, smoke",
			"colour: not known; known here are boxes, classes, input, name, outputs, score, stride, thresholds, tiles, version",
		}},
		"grow over seed": {change(`"grow": 0.3`, `"grow": 0.8`), []string{"boxes.flame.grow: 0.8: want at most seed, 0.5"}},
		"no image score": {change(`, "image_score": "image_score"`, ``), []string{"score.image_share: 0.5: want 0 for a model without an image_score output"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := vision.ParseSettings([]byte(tt.text))
			if name == "empty" { // everything is missing, by name
				for _, word := range []string{"name", "version", "stride", "input", "outputs", "classes", "score", "thresholds", "boxes", "tiles"} {
					if err == nil || !strings.Contains(err.Error(), word+": missing") {
						t.Errorf("%s is not told to be missing: %v", word, err)
					}
				}
				return
			}
			faults(t, err, tt.want)
		})
	}
}

func FuzzParseSettings(f *testing.F) {
	b, err := os.ReadFile(goodSettings)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"input":{"width":1e400}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := vision.ParseSettings(b)
		if err != nil {
			return
		}
		if cols, rows := s.Grid(); cols < 1 || rows < 1 || cols*s.Stride != s.Input.Width {
			t.Errorf("grid of %d x %d for %d x %d", cols, rows, s.Input.Width, s.Input.Height)
		}
		for _, c := range vision.Classes() {
			if !(s.Alarm.Of(c) > 0 && s.Alarm.Of(c) < 1) {
				t.Errorf("threshold %g", s.Alarm.Of(c))
			}
		}
	})
}

// The score of a picture is its highest tile's.
func TestJudge(t *testing.T) {
	s := vision.Settings{Score: vision.ScoreRule{ImageShare: 0.25}}
	s.Boxes[vision.Flame] = vision.BoxRule{Seed: 0.5, Grow: 0.5, MinCells: 1}
	s.Boxes[vision.Smoke] = vision.BoxRule{Seed: 0.95, Grow: 0.95, MinCells: 1}
	got := s.Judge([]vision.Output{
		{Part: vision.Part{Rect: vision.Whole(), Heat: grid("2.", "..")}, Image: [2]float64{0.4, 0.1}},
		{Part: vision.Part{Rect: vision.Rect{W: 0.5, H: 1}, Heat: grid("..", "..")}, Image: [2]float64{0, 0.9}},
		{Part: vision.Part{Rect: vision.Rect{X: 0.5, W: 0.5, H: 1}, Heat: grid(".8", "..")}, Image: [2]float64{0, 0}},
	})
	if want := 0.75 * 0.8; !near(got.Flame, want) {
		t.Errorf("flame %g, want %g", got.Flame, want)
	}
	if want := 0.75 * 0.8; !near(got.Smoke, want) {
		t.Errorf("smoke %g, want %g", got.Smoke, want)
	}
	want := []vision.Box{box(0.75, 0, 0.25, 0.5, 0.8, 1)}
	if diff := cmp.Diff(want, got.Boxes, cmp.Comparer(near)); diff != "" {
		t.Error(diff)
	}
	if flame, smoke := got.Over(vision.Scores{Flame: 0.6, Smoke: 0.61}); flame != (got.Flame >= 0.6) || smoke {
		t.Errorf("over: %v, %v", flame, smoke)
	}
}
