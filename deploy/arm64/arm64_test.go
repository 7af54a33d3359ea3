package arm64_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/model"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/scene"
)

// line is what of a line of `try` must be equal.
type line struct {
	Path  string       `json:"path"`
	Flame float64      `json:"flame"`
	Smoke float64      `json:"smoke"`
	Boxes []vision.Box `json:"boxes"`
}

// near is how far results of two processors may be apart: they round in another order.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-3 }

func TestARM64SeesTheSame(t *testing.T) {
	root := os.Getenv("SHEDGUARD_ARM64_ROOT")
	if root == "" {
		t.Skip("run by make arm64-vision, which unpacks an arm64 system first")
	}
	if !opencv.Built {
		t.Fatal("built without the tag opencv: nothing to compare with")
	}
	program, err := filepath.Abs("../../build/arm64/shedguard-vision")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	want := pictures(t, dir)

	cmd := exec.CommandContext(t.Context(), "qemu-aarch64-static", "-L", filepath.Join(root, "root"), program, "try", dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var got []line
	for dec := json.NewDecoder(&out); dec.More(); {
		var l line
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if len(got) != len(want) {
		t.Fatalf("%d pictures, want %d", len(got), len(want))
	}
	highest, lowest := 0.0, 1.0
	for i, w := range want {
		g := got[i]
		t.Logf("%s: flame %.5f here, %.5f on arm64; smoke %.5f, %.5f; %d boxes", filepath.Base(w.Path), w.Flame, g.Flame, w.Smoke, g.Smoke, len(w.Boxes))
		if g.Path != w.Path || !near(g.Flame, w.Flame) || !near(g.Smoke, w.Smoke) {
			t.Errorf("%+v, want %+v", g, w)
		}
		if !slices.EqualFunc(g.Boxes, w.Boxes, func(a, b vision.Box) bool {
			return a.Class == b.Class && near(a.X, b.X) && near(a.Y, b.Y) && near(a.W, b.W) && near(a.H, b.H) && near(a.Score, b.Score)
		}) {
			t.Errorf("boxes %+v, want %+v", g.Boxes, w.Boxes)
		}
		highest, lowest = max(highest, w.Flame), min(lowest, w.Flame)
	}
	if highest-lowest < 0.01 {
		t.Errorf("the pictures all score %g: equal results say nothing", highest)
	}
}

// pictures draws a shed that is quiet and one that burns, and judges them here.
func pictures(t *testing.T, dir string) []line {
	t.Helper()
	settings, err := model.Settings()
	if err != nil {
		t.Fatal(err)
	}
	detector, err := opencv.NewDetector(model.ONNX(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer detector.Close()
	const width, height = 640, 360
	shed, err := scene.New(scene.Options{Width: width, Height: height, Seed: 7, Script: scene.Burning(10*time.Second, 10*time.Second, time.Minute, 0.5, 0.6)})
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for i, at := range []time.Duration{time.Second, 40 * time.Second, 55 * time.Second} {
		img := image.NewRGBA(image.Rect(0, 0, width, height))
		shed.Render(at, img)
		var buf bytes.Buffer
		if err := png.Encode(&buf, img); err != nil {
			t.Fatal(err)
		}
		l := line{Path: filepath.Join(dir, string(rune('a'+i))+".png")}
		if err := os.WriteFile(l.Path, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		picture, err := opencv.Decode(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		sight, err := detector.See(picture)
		if err != nil {
			t.Fatal(err)
		}
		if err := picture.Close(); err != nil {
			t.Fatal(err)
		}
		l.Flame, l.Smoke, l.Boxes = sight.Flame, sight.Smoke, sight.Boxes
		lines = append(lines, l)
	}
	return lines
}
