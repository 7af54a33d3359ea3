package vision_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
)

func TestROCAUC(t *testing.T) {
	tests := map[string]struct {
		positive, negative []float64
		want               float64
	}{
		"all right":   {[]float64{0.8, 0.9}, []float64{0.1, 0.2}, 1},
		"all wrong":   {[]float64{0.1, 0.2}, []float64{0.8, 0.9}, 0},
		"all equal":   {[]float64{0.5, 0.5}, []float64{0.5}, 0.5},
		"three of 4":  {[]float64{0.3, 0.9}, []float64{0.2, 0.4}, 0.75},
		"tie is half": {[]float64{0.4, 0.9}, []float64{0.2, 0.4}, 0.875},
		"no positive": {nil, []float64{0.5}, math.NaN()},
		"no negative": {[]float64{0.5}, nil, math.NaN()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { same(t, "ROCAUC", vision.ROCAUC(tt.positive, tt.negative), tt.want) })
	}
}

func same(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !near(got, want) && !(math.IsNaN(got) && math.IsNaN(want)) {
		t.Errorf("%s = %g, want %g", what, got, want)
	}
}

func TestAveragePrecision(t *testing.T) {
	tests := map[string]struct {
		positive, negative []float64
		want               float64
	}{
		"all right":    {[]float64{0.8, 0.9}, []float64{0.1, 0.2}, 1},
		"alternating":  {[]float64{0.9, 0.7}, []float64{0.8, 0.6}, (1 + 2.0/3) / 2},
		"last":         {[]float64{0.1}, []float64{0.8, 0.9}, 1.0 / 3},
		"tie":          {[]float64{0.5}, []float64{0.5}, 0.5},
		"tie of three": {[]float64{0.5, 0.5, 0.4}, []float64{0.5}, (2*2.0/3 + 3.0/4) / 3},
		"no negative":  {[]float64{0.5}, nil, 1},
		"no positive":  {nil, []float64{0.5}, math.NaN()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			same(t, "AveragePrecision", vision.AveragePrecision(tt.positive, tt.negative), tt.want)
		})
	}
}

func TestRecallAt(t *testing.T) {
	negative := make([]float64, 100) // 0.00 to 0.99
	for i := range negative {
		negative[i] = float64(i) / 100
	}
	positive := []float64{0.5, 0.955, 0.985, 0.995, 1}
	tests := map[string]struct {
		share, want float64
	}{
		"none may pass": {0, 0.4},
		"one may":       {0.01, 0.6},
		"five may":      {0.05, 0.8},
		"half may":      {0.5, 1},
		"all may":       {1, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := vision.RecallAt(tt.share, positive, negative)
			same(t, "RecallAt", got, tt.want)
		})
	}
	if got, threshold := vision.RecallAt(0.05, nil, negative); !math.IsNaN(got) || !math.IsNaN(threshold) {
		t.Errorf("without positives %g at %g", got, threshold)
	}
	// Negatives that share one score cannot be let through in part.
	if got, _ := vision.RecallAt(0.5, []float64{0.3, 0.2}, []float64{0.3, 0.3, 0.3, 0.1}); got != 0 {
		t.Errorf("three of four negatives pass for a recall of %g", got)
	}
}

func drawScores(name string) func(*rapid.T) []float64 {
	return func(t *rapid.T) []float64 {
		// Few distinct values, so that there are ties.
		steps := rapid.SliceOfN(rapid.IntRange(0, 12), 1, 40).Draw(t, name)
		scores := make([]float64, len(steps))
		for i, s := range steps {
			scores[i] = float64(s) / 12
		}
		return scores
	}
}

// The laws that any ranking obeys, whatever the scores.
func TestMetricsLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		positive, negative := drawScores("positive")(t), drawScores("negative")(t)

		auc := vision.ROCAUC(positive, negative)
		var pairs float64
		for _, p := range positive {
			for _, n := range negative {
				switch {
				case p > n:
					pairs++
				case p == n:
					pairs += 0.5
				}
			}
		}
		if want := pairs / float64(len(positive)*len(negative)); !near(auc, want) {
			t.Fatalf("ROCAUC %g, by pairs %g", auc, want)
		}
		if back := vision.ROCAUC(negative, positive); !near(auc+back, 1) {
			t.Fatalf("ROCAUC %g and the other way %g do not make 1", auc, back)
		}

		// Only the order counts.
		bent := func(s []float64) []float64 {
			out := slices.Clone(s)
			for i := range out {
				out[i] = math.Exp(3*out[i]) - 7
			}
			return out
		}
		if got := vision.ROCAUC(bent(positive), bent(negative)); !near(got, auc) {
			t.Fatalf("ROCAUC %g after bending, %g before", got, auc)
		}
		ap := vision.AveragePrecision(positive, negative)
		if got := vision.AveragePrecision(bent(positive), bent(negative)); !near(got, ap) || ap <= 0 || ap > 1+1e-9 {
			t.Fatalf("average precision %g after bending, %g before", got, ap)
		}

		var before float64
		for _, allowed := range []float64{0, 0.01, 0.05, 0.2, 0.5, 1} {
			recall, threshold := vision.RecallAt(allowed, positive, negative)
			if recall < before || recall > 1 {
				t.Fatalf("recall %g at %g, %g before", recall, allowed, before)
			}
			before = recall
			pass := func(s []float64) (n int) {
				for _, v := range s {
					if v >= threshold {
						n++
					}
				}
				return n
			}
			if float64(pass(negative)) > allowed*float64(len(negative))+1e-9 {
				t.Fatalf("%d of %d negatives pass at %g", pass(negative), len(negative), allowed)
			}
			if got := float64(pass(positive)) / float64(len(positive)); !near(got, recall) {
				t.Fatalf("recall %g, at its own threshold %g", recall, got)
			}
		}
		if before != 1 {
			t.Fatalf("recall %g when all negatives may pass", before)
		}
	})
}

func TestFoundBoxes(t *testing.T) {
	a := vision.Rect{X: 0, Y: 0, W: 0.4, H: 0.4}
	b := vision.Rect{X: 0.5, Y: 0.5, W: 0.4, H: 0.4}
	shifted := vision.Rect{X: 0.1, Y: 0, W: 0.4, H: 0.4} // IoU 0.6 with a
	tests := map[string]struct {
		labels, boxes []vision.Rect
		want          int
	}{
		"none":               {nil, nil, 0},
		"both":               {[]vision.Rect{a, b}, []vision.Rect{b, a}, 2},
		"one box serves one": {[]vision.Rect{a, shifted}, []vision.Rect{a}, 1},
		"one label is one":   {[]vision.Rect{a}, []vision.Rect{a, shifted}, 1},
		"best first":         {[]vision.Rect{a, shifted}, []vision.Rect{shifted, a}, 2},
		"too far":            {[]vision.Rect{a}, []vision.Rect{b}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := vision.FoundBoxes(tt.labels, tt.boxes, 0.3); got != tt.want {
				t.Errorf("FoundBoxes = %d, want %d", got, tt.want)
			}
		})
	}
	if got := vision.FoundBoxes([]vision.Rect{a}, []vision.Rect{shifted}, 0.61); got != 0 {
		t.Error("IoU 0.6 passes for 0.61")
	}
}
