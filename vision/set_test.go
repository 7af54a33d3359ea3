package vision_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
)

func TestPrefix(t *testing.T) {
	for name, want := range map[string]string{"liu_00001.jpg": "liu", "a_b_c.jpg": "a", "x.jpg": "", "_x.jpg": ""} {
		if got := vision.Prefix(name); got != want {
			t.Errorf("Prefix(%q) = %q, want %q", name, got, want)
		}
	}
}

var (
	flameOnly = vision.Labelled{true, false}
	both      = vision.AllLabelled()
	flameBox  = vision.Label{Class: vision.Flame, Rect: vision.Rect{X: 0, Y: 0, W: 0.5, H: 0.5}}
	smokeBox  = vision.Label{Class: vision.Smoke, Rect: vision.Rect{X: 0.5, Y: 0.5, W: 0.5, H: 0.5}}
)

func judged(prefix string, labelled vision.Labelled, flame, smoke float64, labels ...vision.Label) vision.Judged {
	return vision.Judged{Prefix: prefix, Labelled: labelled, Labels: labels, Sight: vision.Sight{Scores: vision.Scores{Flame: flame, Smoke: smoke}}}
}

func TestMeasure(t *testing.T) {
	s := vision.Settings{Alarm: vision.Scores{Flame: 0.5, Smoke: 0.5}}
	hit := judged("web", both, 0.9, 0.3, flameBox, smokeBox)
	hit.Sight.Boxes = []vision.Box{{Class: vision.Flame, Rect: flameBox.Rect}, {Class: vision.Flame, Rect: smokeBox.Rect}}
	hit.Sight.Heat = grid("9.", "..")
	got := s.Measure([]vision.Judged{
		hit,
		judged("web", both, 0.4, 0.8, smokeBox),
		// News: smoke was not labelled. Its high smoke score is no false positive.
		judged("news", flameOnly, 0.7, 0.95, flameBox),
		// Nor can a picture whose smoke was not labelled show neither.
		judged("news", flameOnly, 0.1, 0.9),
		judged("street", both, 0.2, 0.1),
		judged("street", both, 0.6, 0.2),
	})

	flame := got.Overall.Flame
	equal(t, "flame positives", flame.Positives, 2)
	equal(t, "flame negatives", flame.Negatives, 4)
	equal(t, "flame neither", flame.Clean, 2)
	number(t, "flame ROC-AUC", flame.ROCAUC, 1)
	number(t, "flame recall as shipped", flame.Recall, 1)
	number(t, "flame false positives", flame.FalsePositives, 0.5)
	equal(t, "flame boxes", flame.Boxes, 2)
	number(t, "flame box recall", flame.BoxRecall, 0.5)
	number(t, "flame pointed at", flame.PointedAt, 0.5)

	smoke := got.Overall.Smoke
	equal(t, "smoke positives", smoke.Positives, 2)
	equal(t, "smoke negatives", smoke.Negatives, 2) // without the news
	number(t, "smoke ROC-AUC", smoke.ROCAUC, 1)
	number(t, "smoke recall as shipped", smoke.Recall, 0.5)
	number(t, "smoke box recall", smoke.BoxRecall, 0) // a flame box does not serve smoke

	anything := got.Overall.Any
	equal(t, "any positives", anything.Positives, 3)
	equal(t, "any negatives", anything.Negatives, 2)
	number(t, "any ROC-AUC", anything.ROCAUC, 1)
	number(t, "any recall at 1 %", anything.Recall1, 1)
	number(t, "any recall as shipped", anything.Recall, 1)
	equal(t, "any boxes", anything.Boxes, 4)

	street := got.ByPrefix["street"].Flame
	equal(t, "street positives", street.Positives, 0)
	number(t, "street against all positives", street.ROCAUC, 1)
	number(t, "street recall", street.Recall1, math.NaN())
	number(t, "street false positives", street.FalsePositives, 0.5)
	news := got.ByPrefix["news"]
	equal(t, "news smoke positives", news.Smoke.Positives+news.Smoke.Negatives, 0)
	number(t, "news smoke", news.Smoke.ROCAUC, math.NaN())
	number(t, "news flame false positives", news.Flame.FalsePositives, math.NaN())
}

func equal(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

func number(t *testing.T, what string, got vision.Number, want float64) {
	t.Helper()
	same(t, what, float64(got), want)
}

// Nothing that is measured depends on the order of the pictures, and every measure
// can be written as JSON.
func TestMeasureLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) vision.Judged {
			j := judged(
				rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "prefix"),
				vision.Labelled{rapid.Bool().Draw(t, "flame labelled"), rapid.Bool().Draw(t, "smoke labelled")},
				rapid.Float64Range(0, 1).Draw(t, "flame"), rapid.Float64Range(0, 1).Draw(t, "smoke"),
			)
			if rapid.Bool().Draw(t, "has flame") {
				j.Labels = append(j.Labels, flameBox)
			}
			if rapid.Bool().Draw(t, "has smoke") {
				j.Labels = append(j.Labels, smokeBox)
			}
			return j
		}), 0, 25).Draw(t, "set")
		s := vision.Settings{Alarm: vision.Scores{Flame: 0.5, Smoke: 0.5}}
		text := func(set []vision.Judged) string {
			b, err := json.Marshal(s.Measure(set))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if diff := cmp.Diff(text(set), text(rapid.Permutation(set).Draw(t, "shuffled"))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestNumberJSON(t *testing.T) {
	for n, want := range map[vision.Number]string{0: "0", 0.1234567: "0.12346", 1: "1", vision.Number(math.Inf(-1)): "null"} {
		if b, err := json.Marshal(n); err != nil || string(b) != want {
			t.Errorf("%g: %s, %v, want %s", float64(n), b, err, want)
		}
	}
	var n vision.Number
	if err := json.Unmarshal([]byte("null"), &n); err != nil || !math.IsNaN(float64(n)) {
		t.Errorf("null: %g, %v", float64(n), err)
	}
	if err := json.Unmarshal([]byte("0.5"), &n); err != nil || n != 0.5 {
		t.Errorf("0.5: %g, %v", float64(n), err)
	}
}
