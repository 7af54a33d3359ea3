package vision_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard/vision"
)

func TestParseLabels(t *testing.T) {
	tests := map[string]struct {
		text string
		want []vision.Label
		err  []string
	}{
		"empty":       {text: ""},
		"blank lines": {text: "\n  \n"},
		"two": {text: "0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.5 0.5\r\n", want: []vision.Label{
			{Class: vision.Flame, Rect: vision.Rect{X: 0.4, Y: 0.3, W: 0.2, H: 0.4}},
			{Class: vision.Smoke, Rect: vision.Rect{X: 0, Y: 0, W: 0.5, H: 0.5}},
		}},
		"over the edge": {text: "0 0.1 0.95 0.4 0.2", want: []vision.Label{
			{Class: vision.Flame, Rect: vision.Rect{X: 0, Y: 0.85, W: 0.3, H: 0.15}},
		}},
		"rounded": {text: "0 1.000001 0.5 0.2 1.000001", want: []vision.Label{
			{Class: vision.Flame, Rect: vision.Rect{X: 0.9, Y: 0, W: 0.1, H: 1}},
		}},
		"every fault": {text: "2 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n0 0.5 0.5\n0 x 0.5 0.1 0.1\n0 0.5 1.5 0.1 0.1\n0 0.5 0.5 NaN 0.1\n0 0.5 0.5 0 0.1\nfire 0.5 0.5 0.1 0.1\n", err: []string{
			`line 1: class "2": want 0 (flame) or 1 (smoke)`,
			`line 3: 3 words: want class, x, y, width, height`,
			`line 4: x "x": want a number from 0 to 1`,
			`line 5: y "1.5": want a number from 0 to 1`,
			`line 6: width "NaN": want a number from 0 to 1`,
			`line 7: a box without width or height`,
			`line 8: class "fire": want 0 (flame) or 1 (smoke)`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := vision.ParseLabels(strings.NewReader(tt.text))
			faults(t, err, tt.err)
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(near)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// faults compares the lines of an error.
func faults(t *testing.T, err error, want []string) {
	t.Helper()
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults: %s", diff)
	}
}

func FuzzParseLabels(f *testing.F) {
	f.Add("0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.5 0.5\n")
	f.Add("0 1 1 1e-300 1\n")
	f.Add("0 0x1p-2 .5 1_0 +1\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := vision.ParseLabels(strings.NewReader(text))
		if err != nil && labels != nil {
			t.Error("labels beside an error")
		}
		for _, l := range labels {
			if !(l.X >= 0 && l.Y >= 0 && l.W > 0 && l.H > 0 && l.X+l.W <= 1+1e-9 && l.Y+l.H <= 1+1e-9) {
				t.Errorf("box outside of the picture: %+v", l)
			}
		}
	})
}

func TestParseManifest(t *testing.T) {
	tests := map[string]struct {
		text string
		want map[string]vision.Labelled
		err  []string
	}{
		"usual": {
			text: "path,label,classes_labelled\nimages/a_1.jpg,l,\"fire,smoke\"\nimages/b_1.jpg,l,fire\nc_1.jpg,l,smoke\nd_1.jpg,l,none\n",
			want: map[string]vision.Labelled{"a_1.jpg": {true, true}, "b_1.jpg": {true, false}, "c_1.jpg": {false, true}, "d_1.jpg": {false, false}},
		},
		"byte order mark": {text: "\ufeffpath,classes_labelled\na.jpg,flame\n", want: map[string]vision.Labelled{"a.jpg": {true, false}}},
		"no column":       {text: "path,label\n", err: []string{`columns ["path" "label"]: want path and classes_labelled among them`}},
		"empty":           {text: "", err: []string{"no head line: EOF"}},
		"every fault": {text: "path,classes_labelled\na.jpg,fog\nb.jpg\nc.jpg,steam\n", err: []string{
			`line 2: classes_labelled: "fog": want fire, smoke or both`,
			`record on line 3: wrong number of fields`,
			`line 4: classes_labelled: "steam": want fire, smoke or both`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := vision.ParseManifest(strings.NewReader(tt.text))
			faults(t, err, tt.err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add("path,classes_labelled\nimages/a_1.jpg,\"fire,smoke\"\n")
	f.Add("classes_labelled,path\n\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := vision.ParseManifest(strings.NewReader(text)); err != nil && m != nil {
			t.Error("a manifest beside an error")
		}
	})
}
