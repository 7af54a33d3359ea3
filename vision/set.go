package vision

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Judged is one labelled picture and what was seen in it.
type Judged struct {
	Prefix   string // of its file name: where it comes from
	Labels   []Label
	Labelled Labelled
	Sight    Sight
}

// Prefix is the part of a file name before its first underscore, by which pictures
// of one source are told; "" when there is none.
func Prefix(name string) string {
	before, _, found := strings.Cut(name, "_")
	if !found {
		return ""
	}
	return before
}

func (j Judged) has(c Class) bool {
	return slices.ContainsFunc(j.Labels, func(l Label) bool { return l.Class == c })
}

// positive and negative are what the labels say of a class; both are false where
// they do not speak of it.
func (j Judged) positive(c Class) bool { return j.Labelled[c] && j.has(c) }
func (j Judged) negative(c Class) bool { return j.Labelled[c] && !j.has(c) }

// shows and clean are the same for flame or smoke: a picture whose smoke was not
// labelled can be known to show one of them, but never to show neither.
func (j Judged) shows() bool { return j.positive(Flame) || j.positive(Smoke) }
func (j Judged) clean() bool { return j.negative(Flame) && j.negative(Smoke) }

// Measure is how well a class was told.
type Measure struct {
	Positives int `json:"positives"`
	Negatives int `json:"negatives"` // pictures without the class; for any: with neither
	Clean     int `json:"neither"`   // pictures with neither flame nor smoke

	ROCAUC           Number `json:"roc_auc"`            // positives against negatives
	AveragePrecision Number `json:"average_precision"`  // the same
	ROCAUCClean      Number `json:"roc_auc_neither"`    // positives against pictures with neither
	Recall1          Number `json:"recall_at_1pct_fpr"` // the same
	Recall5          Number `json:"recall_at_5pct_fpr"`
	Threshold1       Number `json:"threshold_at_1pct_fpr"`
	Threshold5       Number `json:"threshold_at_5pct_fpr"`

	Recall         Number `json:"recall_as_shipped"` // at the settings' own thresholds
	FalsePositives Number `json:"false_positives_as_shipped"`

	Boxes      int    `json:"boxes"` // labelled
	BoxRecall  Number `json:"box_recall_at_iou_0_3"`
	PointedAt  Number `json:"hottest_cell_in_box"` // share of positives
	boxesFound int
}

// Number is a float64 whose NaN, where there was nothing to measure, is null in JSON.
type Number float64

// MarshalJSON writes five decimals.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return []byte(strconv.FormatFloat(math.Round(f*1e5)/1e5, 'f', -1, 64)), nil
}

// UnmarshalJSON reads a number or null.
func (n *Number) UnmarshalJSON(b []byte) error {
	var f *float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if *n = Number(math.NaN()); f != nil {
		*n = Number(*f)
	}
	return nil
}

// Measures are one set's, by what was to be told.
type Measures struct {
	Flame Measure `json:"flame"`
	Smoke Measure `json:"smoke"`
	Any   Measure `json:"any"`
}

// Metrics are a set's measures as a whole and by file-name prefix.
type Metrics struct {
	Overall  Measures            `json:"overall"`
	ByPrefix map[string]Measures `json:"by_prefix"`
}

// boxIoU is how much a box and a label must overlap for the label to be found.
const boxIoU = 0.3

// Measure compares what was seen with what is labelled. A prefix that has only
// positives is measured against the negatives of the whole set, and the other way
// round; false positives of 1 % and 5 % are always those of the whole set.
func (s Settings) Measure(set []Judged) Metrics {
	m := Metrics{Overall: s.measures(set, set), ByPrefix: make(map[string]Measures)}
	groups := make(map[string][]Judged)
	for _, j := range set {
		groups[j.Prefix] = append(groups[j.Prefix], j)
	}
	for _, prefix := range slices.Sorted(maps.Keys(groups)) {
		m.ByPrefix[prefix] = s.measures(groups[prefix], set)
	}
	return m
}

func (s Settings) measures(group, all []Judged) Measures {
	of := func(c Class) question {
		return question{
			positive: func(j Judged) bool { return j.positive(c) },
			negative: func(j Judged) bool { return j.negative(c) },
			score:    func(j Judged) float64 { return j.Sight.Of(c) },
			classes:  []Class{c},
			over:     func(j Judged) bool { return j.Sight.Of(c) >= s.Alarm.Of(c) },
		}
	}
	anything := question{
		positive: Judged.shows,
		negative: Judged.clean,
		score:    func(j Judged) float64 { return j.Sight.Any() },
		classes:  Classes(),
		over: func(j Judged) bool {
			flame, smoke := j.Sight.Over(s.Alarm)
			return flame || smoke
		},
	}
	return Measures{Flame: of(Flame).measure(group, all), Smoke: of(Smoke).measure(group, all), Any: anything.measure(group, all)}
}

// question is what a measure asks of each picture.
type question struct {
	positive, negative, over func(Judged) bool
	score                    func(Judged) float64
	classes                  []Class
}

func (q question) scores(set []Judged, which func(Judged) bool) []float64 {
	var scores []float64
	for _, j := range set {
		if which(j) {
			scores = append(scores, q.score(j))
		}
	}
	return scores
}

func (q question) measure(group, all []Judged) Measure {
	positive, negative, clean := q.scores(group, q.positive), q.scores(group, q.negative), q.scores(group, Judged.clean)
	m := Measure{Positives: len(positive), Negatives: len(negative), Clean: len(clean)}

	allClean := q.scores(all, Judged.clean)
	r1, t1 := RecallAt(0.01, positive, allClean)
	r5, t5 := RecallAt(0.05, positive, allClean)
	m.Recall1, m.Threshold1, m.Recall5, m.Threshold5 = Number(r1), Number(t1), Number(r5), Number(t5)

	against := func(negative []float64, which func(Judged) bool) (p, n []float64) {
		p, n = positive, negative
		if len(p) == 0 && len(n) > 0 {
			p = q.scores(all, q.positive)
		}
		if len(n) == 0 && len(p) > 0 {
			n = q.scores(all, which)
		}
		return p, n
	}
	p, n := against(negative, q.negative)
	m.ROCAUC, m.AveragePrecision = Number(ROCAUC(p, n)), Number(AveragePrecision(p, n))
	p, n = against(clean, Judged.clean)
	m.ROCAUCClean = Number(ROCAUC(p, n))

	var over, falsely, pointed int
	for _, j := range group {
		switch {
		case q.positive(j):
			if q.over(j) {
				over++
			}
			if q.pointed(j) {
				pointed++
			}
		case j.clean() && q.over(j):
			falsely++
		}
		for _, c := range q.classes {
			if j.Labelled[c] {
				labels, boxes := j.rects(c)
				m.Boxes += len(labels)
				m.boxesFound += FoundBoxes(labels, boxes, boxIoU)
			}
		}
	}
	m.Recall, m.PointedAt = ratio(over, len(positive)), ratio(pointed, len(positive))
	m.FalsePositives = ratio(falsely, len(clean))
	m.BoxRecall = ratio(m.boxesFound, m.Boxes)
	return m
}

func ratio(n, of int) Number {
	if of == 0 {
		return Number(math.NaN())
	}
	return Number(float64(n) / float64(of))
}

// pointed tells whether the hottest cell of a class lies in a box of that class.
func (q question) pointed(j Judged) bool {
	for _, c := range q.classes {
		if !j.positive(c) || j.Sight.Heat.Cols == 0 {
			continue
		}
		_, col, row := j.Sight.Heat.Max(c)
		x, y := (float64(col)+0.5)/float64(j.Sight.Heat.Cols), (float64(row)+0.5)/float64(j.Sight.Heat.Rows)
		labels, _ := j.rects(c)
		if slices.ContainsFunc(labels, func(r Rect) bool { return r.Contains(x, y) }) {
			return true
		}
	}
	return false
}

func (j Judged) rects(c Class) (labels, boxes []Rect) {
	for _, l := range j.Labels {
		if l.Class == c {
			labels = append(labels, l.Rect)
		}
	}
	for _, b := range j.Sight.Boxes {
		if b.Class == c {
			boxes = append(boxes, b.Rect)
		}
	}
	return labels, boxes
}
