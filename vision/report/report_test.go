package report_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/report"
)

func at() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC) }

func lines() []report.Line {
	return []report.Line{
		{Hello: &report.Hello{Version: "1", Model: "m 2", Cameras: []string{"c1"}}},
		{Health: &report.Health{Camera: "c1", FrameAgeMS: 120, FPS: 5, Flame: 0.03, Fault: "frozen", Proposal: &vision.Scores{Flame: 0.4, Smoke: 0.5}}},
		{Observation: &report.Observation{Camera: "c1", ID: "01J", State: report.Seen, Class: vision.Smoke, Since: at(), At: at(), Score: 0.9, Growth: 1.2, Boxes: []vision.Box{{Class: vision.Smoke, Rect: vision.Rect{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}, Score: 0.9, Cells: 3}}}},
		{Evidence: &report.Evidence{Camera: "c1", Observation: "01J", Kind: report.Clip, Path: "/x.avi", Bytes: 9, At: at()}},
	}
}

func TestRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	w := report.NewWriter(&buf)
	for _, l := range lines() {
		if err := w.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(buf.String(), "\n"); got != 4 || !strings.HasPrefix(buf.String(), `{"type":"hello","version":"1"`) {
		t.Errorf("%d lines:\n%s", got, buf.String())
	}
	r := report.NewReader(&buf)
	for i, want := range lines() {
		got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("line %d: %s", i, diff)
		}
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := w.Write(report.Line{}); err == nil {
		t.Error("an empty line is written")
	}
}

// TestWhatCannotBeUsedIsSkipped: after each damaged line the next one is read.
func TestWhatCannotBeUsedIsSkipped(t *testing.T) {
	var good bytes.Buffer
	if err := report.NewWriter(&good).Write(lines()[0]); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ line, want string }{
		"no JSON":     {"Segmentation fault", "invalid character"},
		"no type":     {"{}", "type: missing"},
		"no camera":   {`{"type":"health","flame":0}`, "health: camera: required"},
		"score":       {`{"type":"health","camera":"c","flame":2}`, "flame: 2: want 0 to 1"},
		"class":       {`{"type":"observation","camera":"c","class":"steam"}`, `class "steam"`},
		"state":       {`{"type":"observation","camera":"c","class":"flame","state":"x"}`, `state: "x": want "seen" or "gone"`},
		"box":         {`{"type":"observation","camera":"c","class":"flame","state":"seen","id":"1","since":"2026-01-02T03:04:05Z","at":"2026-01-02T03:04:05Z","boxes":[{"class":"flame","x":0.9,"y":0,"w":0.3,"h":0.1}]}`, "boxes[0]: 0.9, 0, 0.3, 0.1"},
		"kind":        {`{"type":"evidence","camera":"c","kind":"song"}`, `kind: "song"`},
		"no cameras":  {`{"type":"hello"}`, "cameras: want at least one"},
		"longer than": {`{"type":"` + strings.Repeat("x", 3*report.MaxLine) + `"}`, "longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := report.NewReader(strings.NewReader(tt.line + "\n" + `{"type":"of a newer worker"}` + "\n" + good.String()))
			if _, err := r.Read(); !errors.Is(err, report.ErrLine) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read: %v, want %q", err, tt.want)
			}
			if l, err := r.Read(); err != nil || l.Hello == nil {
				t.Errorf("the line after it: %+v, %v", l, err)
			}
		})
	}
	r := report.NewReader(strings.NewReader(`{"type":"hello","cameras":["c"]}`))
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("half a line: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	var buf bytes.Buffer
	for _, l := range lines() {
		if err := report.NewWriter(&buf).Write(l); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(buf.Bytes())
	f.Add([]byte("{}\n\n{\"type\":\"health\"}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := report.NewReader(bytes.NewReader(in))
		for {
			l, err := r.Read()
			if errors.Is(err, report.ErrLine) {
				continue
			}
			if err != nil {
				return
			}
			var again bytes.Buffer
			if err := report.NewWriter(&again).Write(l); err != nil {
				t.Fatal(err)
			}
			back, err := report.NewReader(&again).Read()
			if err != nil {
				t.Fatalf("what was written cannot be read: %v\n%s", err, again.String())
			}
			if diff := cmp.Diff(l, back); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func ExampleWriter() {
	w := report.NewWriter(os.Stdout)
	_ = w.Write(report.Line{Health: &report.Health{Camera: "c1", FrameAgeMS: 180, FPS: 5}})
	// Output: {"type":"health","camera":"c1","frame_age_ms":180,"fps":5,"fault":"","error":"","flame":0,"smoke":0,"judge_ms":0,"shadow":false,"learned_s":0,"frames":0,"judged":0}
}
