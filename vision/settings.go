package vision

import (
	"errors"
	"slices"
)

// Settings are what a model.json says: how a picture becomes the model's input
// and what follows from its output. They belong to one model and change with it.
type Settings struct {
	Name    string
	Version string

	Input   Input
	Outputs Outputs
	Stride  int // pixels of the input a cell is wide and high
	Score   ScoreRule
	Alarm   Scores              // from these scores of a picture on, the class counts as seen
	Boxes   [numClasses]BoxRule // which cells make a box
	Tiles   TileRule
}

// Input is what the model wants of a picture: one tensor 1 × 3 × Height × Width
// of float32, (pixel × Scale - Mean) / Std by channel. The picture is stretched to it.
type Input struct {
	Name          string
	Width, Height int
	RGB           bool // else BGR
	Scale         float64
	Mean, Std     [3]float64 // in the order of the tensor's channels
	Area          bool       // scales by averaging pixels; else bilinear
}

// Outputs are the names of the model's outputs.
type Outputs struct {
	Heat       string // 1 × 2 × rows × columns, 0 to 1, flame before smoke
	ImageScore string // 1 × 2, 0 to 1; empty when the model has none
}

// ScoreRule is how a picture's score follows from the model's outputs: ImageShare of
// the model's own score of the picture and the rest of its hottest cell.
type ScoreRule struct {
	ImageShare float64
}

// Score is the score of one class of one picture.
func (r ScoreRule) Score(c Class, h Heat, image [2]float64) float64 {
	hottest, _, _ := h.Max(c)
	return r.ImageShare*image[c] + (1-r.ImageShare)*hottest
}

// Grid is the number of cells that the model yields.
func (s Settings) Grid() (cols, rows int) {
	return s.Input.Width / s.Stride, s.Input.Height / s.Stride
}

// Boxes are all boxes of a grid, the hottest first within their class.
func (s Settings) boxes(h Heat) []Box {
	var boxes []Box
	for _, c := range Classes() {
		boxes = append(boxes, h.Boxes(c, s.Boxes[c])...)
	}
	return boxes
}

// ParseSettings reads a model.json. Everything in it must be known, and all that is
// needed must be there; every fault is told.
func ParseSettings(b []byte) (Settings, error) {
	o, err := parseObject(b)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Name: o.text("name"), Version: o.text("version"), Stride: o.integer("stride", 1, 64)}
	s.input(o.sub("input"))
	s.outputs(o.sub("outputs"))

	if o.has("classes") {
		// The order of the channels is part of the code: a model with another one
		// would call smoke flame.
		if want, got := `["flame","smoke"]`, compact(o.raw("classes")); got != want {
			o.faultf("classes", "%.60s: want %s", got, want)
		}
	} else {
		o.raw("classes")
		o.faultf("classes", `missing: want ["flame","smoke"]`)
	}

	s.score(o.sub("score"))
	thresholds := o.sub("thresholds")
	s.Alarm = Scores{Flame: thresholds.number("flame", 0.001, 0.999), Smoke: thresholds.number("smoke", 0.001, 0.999)}
	thresholds.done()

	boxes := o.sub("boxes")
	for _, c := range Classes() {
		rule := boxes.sub(c.String())
		s.Boxes[c] = BoxRule{Seed: rule.number("seed", 0.001, 0.999), Grow: rule.number("grow", 0.001, 0.999), MinCells: rule.integer("min_cells", 1, 1000)}
		if rule.has("saddle") { // without, all that hangs together is one box
			s.Boxes[c].Saddle = rule.number("saddle", 0, 1)
		}
		if rule.has("edge") {
			s.Boxes[c].Edge = rule.number("edge", 0, 1)
		}
		if s.Boxes[c].Seed > 0 && s.Boxes[c].Grow > s.Boxes[c].Seed {
			rule.faultf("grow", "%g: want at most seed, %g", s.Boxes[c].Grow, s.Boxes[c].Seed)
		}
		rule.done()
	}
	boxes.done()

	tiles := o.sub("tiles")
	s.Tiles = TileRule{Max: tiles.integer("max", 0, 8), Aspect: tiles.number("aspect", 1, 10)}
	tiles.done()

	if s.Stride > 0 && (s.Input.Width%s.Stride != 0 || s.Input.Height%s.Stride != 0) {
		o.faultf("stride", "%d: want a divisor of the input's width and height, %d x %d", s.Stride, s.Input.Width, s.Input.Height)
	}
	o.done()
	if len(*o.faults) > 0 {
		return Settings{}, errors.Join(*o.faults...)
	}
	return s, nil
}

func compact(raw []byte) string {
	return string(slices.DeleteFunc(slices.Clone(raw), func(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }))
}

func (s *Settings) input(o object) {
	s.Input = Input{
		Name:   o.text("name"),
		Width:  o.integer("width", 32, 2048),
		Height: o.integer("height", 32, 2048),
		RGB:    o.word("color", "RGB", "BGR") == "RGB",
		Scale:  o.number("scale", 1e-6, 1),
		Area:   o.word("interpolation", "linear", "area") == "area",
		Mean:   [3]float64(o.numbers("mean", 3, -255, 255)),
		Std:    [3]float64(o.numbers("std", 3, 1e-3, 255)),
	}
	o.word("resize", "stretch") // to width x height, whatever the aspect
	o.done()
}

func (s *Settings) outputs(o object) {
	s.Outputs.Heat = o.text("heat")
	if o.has("image_score") {
		s.Outputs.ImageScore = o.text("image_score")
	}
	o.done()
}

func (s *Settings) score(o object) {
	s.Score = ScoreRule{ImageShare: o.number("image_share", 0, 1)}
	if s.Score.ImageShare > 0 && s.Outputs.ImageScore == "" {
		o.faultf("image_share", "%g: want 0 for a model without an image_score output", s.Score.ImageShare)
	}
	o.done()
}
