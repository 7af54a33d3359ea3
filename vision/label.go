package vision

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"
)

// Label is one labelled box.
type Label struct {
	Class Class
	Rect
}

// ParseLabels reads labels in YOLO form, one box a line: class (0 flame, 1 smoke),
// centre x, centre y, width, height as shares of the picture. No line means that
// there is neither. Every bad line is told.
func ParseLabels(r io.Reader) ([]Label, error) {
	var labels []Label
	var faults []error
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		l, err := parseLabel(words)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		labels = append(labels, l)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return labels, nil
}

func parseLabel(words []string) (Label, error) {
	if len(words) != 5 {
		return Label{}, fmt.Errorf("%d words: want class, x, y, width, height", len(words))
	}
	var l Label
	switch words[0] {
	case "0":
		l.Class = Flame
	case "1":
		l.Class = Smoke
	default:
		return Label{}, fmt.Errorf("class %.20q: want 0 (flame) or 1 (smoke)", words[0])
	}
	var v [4]float64
	for i, name := range [4]string{"x", "y", "width", "height"} {
		// A little over 1 is what rounding of a box at the edge leaves.
		x, err := strconv.ParseFloat(words[i+1], 64)
		if err != nil || !(x >= -0.001 && x <= 1.001) {
			return Label{}, fmt.Errorf("%s %.20q: want a number from 0 to 1", name, words[i+1])
		}
		v[i] = x
	}
	if v[2] <= 0 || v[3] <= 0 {
		return Label{}, errors.New("a box without width or height")
	}
	// Boxes that reach over the edge by rounding, or by a careless hand, are cut there.
	left, top := math.Max(v[0]-v[2]/2, 0), math.Max(v[1]-v[3]/2, 0)
	right, bottom := math.Min(v[0]+v[2]/2, 1), math.Min(v[1]+v[3]/2, 1)
	if right <= left || bottom <= top {
		return Label{}, errors.New("a box outside of the picture")
	}
	l.Rect = Rect{X: left, Y: top, W: right - left, H: bottom - top}
	return l, nil
}

// Labelled tells of which classes a picture's labels speak. A picture whose smoke
// was not labelled may show smoke.
type Labelled [numClasses]bool

// AllLabelled is the rule where nothing else is said.
func AllLabelled() Labelled { return Labelled{true, true} }

// ParseManifest reads a CSV with the columns path and classes_labelled and maps a
// picture's file name to what its labels speak of. classes_labelled holds fire (or
// flame) and smoke, comma between. Other columns are not looked at.
func ParseManifest(r io.Reader) (map[string]Labelled, error) {
	rows := csv.NewReader(r)
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("no head line: %w", err)
	}
	pathAt, classesAt := -1, -1
	for i, name := range head {
		switch strings.TrimPrefix(name, "\ufeff") {
		case "path":
			pathAt = i
		case "classes_labelled":
			classesAt = i
		}
	}
	if pathAt < 0 || classesAt < 0 {
		return nil, fmt.Errorf("columns %q: want path and classes_labelled among them", head)
	}
	manifest := make(map[string]Labelled)
	var faults []error
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // it names the line
			faults = append(faults, err)
			if !errors.Is(err, csv.ErrFieldCount) {
				break
			}
			continue
		}
		line, _ := rows.FieldPos(0)
		var l Labelled
		for word := range strings.SplitSeq(row[classesAt], ",") {
			switch strings.TrimSpace(word) {
			case "fire", "flame":
				l[Flame] = true
			case "smoke":
				l[Smoke] = true
			case "", "none":
			default:
				faults = append(faults, fmt.Errorf("line %d: classes_labelled: %.20q: want fire, smoke or both", line, word))
			}
		}
		manifest[path.Base(row[pathAt])] = l
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return manifest, nil
}
