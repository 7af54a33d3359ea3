package vision

import (
	"cmp"
	"math"
	"slices"
)

// ROCAUC is the area under the receiver operating characteristic: the chance that
// a positive scores higher than a negative, a tie counting half. It is NaN when
// either is missing.
func ROCAUC(positive, negative []float64) float64 {
	if len(positive) == 0 || len(negative) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(negative)
	slices.Sort(sorted)
	var wins float64
	for _, p := range positive {
		below, _ := slices.BinarySearch(sorted, p)
		upTo, _ := slices.BinarySearch(sorted, math.Nextafter(p, math.Inf(1)))
		wins += float64(below) + float64(upTo-below)/2
	}
	return wins / float64(len(positive)) / float64(len(negative))
}

// AveragePrecision is the mean precision over the positives as the threshold
// falls, without interpolation; equal scores are passed at once. It is NaN without
// positives.
func AveragePrecision(positive, negative []float64) float64 {
	if len(positive) == 0 {
		return math.NaN()
	}
	type scored struct {
		score    float64
		positive bool
	}
	all := make([]scored, 0, len(positive)+len(negative))
	for _, s := range positive {
		all = append(all, scored{s, true})
	}
	for _, s := range negative {
		all = append(all, scored{s, false})
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var sum float64
	hits := 0
	for i := 0; i < len(all); {
		gained, j := 0, i
		for ; j < len(all) && all[j].score == all[i].score; j++ {
			if all[j].positive {
				gained++
			}
		}
		hits += gained
		sum += float64(gained) * float64(hits) / float64(j)
		i = j
	}
	return sum / float64(len(positive))
}

// RecallAt is the share of positives found by the lowest threshold that lets at
// most the given share of negatives pass, and that threshold. It is NaN when
// either is missing.
func RecallAt(falsePositives float64, positive, negative []float64) (recall, threshold float64) {
	if len(positive) == 0 || len(negative) == 0 {
		return math.NaN(), math.NaN()
	}
	sorted := slices.Clone(negative)
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	// sorted[allowed] must not pass: the threshold lies just above it.
	allowed := int(math.Floor(falsePositives*float64(len(sorted)) + 1e-9))
	threshold = math.Inf(-1)
	if allowed < len(sorted) {
		threshold = math.Nextafter(sorted[allowed], math.Inf(1))
	}
	return share(positive, threshold), threshold
}

// share is the share of scores at or over a threshold.
func share(scores []float64, threshold float64) float64 {
	if len(scores) == 0 {
		return math.NaN()
	}
	n := 0
	for _, s := range scores {
		if s >= threshold {
			n++
		}
	}
	return float64(n) / float64(len(scores))
}

// FoundBoxes counts the labels that a box overlaps with at least the given IoU.
// A box serves one label, the one that it fits best among those left.
func FoundBoxes(labels []Rect, boxes []Rect, atLeast float64) int {
	type pair struct {
		iou        float64
		label, box int
	}
	var pairs []pair
	for i, l := range labels {
		for j, b := range boxes {
			if iou := l.IoU(b); iou >= atLeast && iou > 0 {
				pairs = append(pairs, pair{iou, i, j})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.iou, a.iou) })
	usedLabel, usedBox := make([]bool, len(labels)), make([]bool, len(boxes))
	n := 0
	for _, p := range pairs {
		if usedLabel[p.label] || usedBox[p.box] {
			continue
		}
		usedLabel[p.label], usedBox[p.box] = true, true
		n++
	}
	return n
}
