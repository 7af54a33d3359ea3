package vision

// Scores are 0 to 1 for the whole of a picture.
type Scores struct {
	Flame float64 `json:"flame"`
	Smoke float64 `json:"smoke"`
}

// Of is the score of one class.
func (s Scores) Of(c Class) float64 {
	if c == Smoke {
		return s.Smoke
	}
	return s.Flame
}

// Any is the score that there is flame or smoke.
func (s Scores) Any() float64 { return max(s.Flame, s.Smoke) }

// Sight is what was seen in one picture.
type Sight struct {
	Scores
	Heat  Heat
	Boxes []Box
}

// Over tells which class is at or over its threshold.
func (s Sight) Over(alarm Scores) (flame, smoke bool) {
	return s.Flame >= alarm.Flame, s.Smoke >= alarm.Smoke
}

// Output is what the model said of one tile.
type Output struct {
	Part
	Image [2]float64 // the model's own scores of the tile; not used where it has none
}

// Judge makes a sight of what the model said of all tiles: the grids are merged,
// and a picture's score is that of its highest tile.
func (s Settings) Judge(outputs []Output) Sight {
	var sight Sight
	parts := make([]Part, len(outputs))
	for i, o := range outputs {
		parts[i] = o.Part
		sight.Flame = max(sight.Flame, s.Score.Score(Flame, o.Heat, o.Image))
		sight.Smoke = max(sight.Smoke, s.Score.Score(Smoke, o.Heat, o.Image))
	}
	sight.Heat = Merge(parts)
	sight.Boxes = s.boxes(sight.Heat)
	return sight
}
