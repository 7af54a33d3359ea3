package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shedguard/shedguard/vision/internal/onnxtest"
	"github.com/shedguard/shedguard/vision/opencv"
)

// program runs shedguard-vision and returns its exit code and what it wrote.
func program(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func needsOpenCV(t *testing.T) {
	t.Helper()
	if !opencv.Built {
		t.Skip("built without OpenCV: make vision-test")
	}
}

var (
	grey = color.RGBA{R: 128, G: 128, B: 128, A: 255}
	red  = color.RGBA{R: 255, A: 255}
	blue = color.RGBA{B: 255, A: 255}
)

// paint writes a picture of 64 x 32 pixels whose upper left quarter has a colour.
func paint(t *testing.T, path string, c color.Color) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 32))
	for y := range 32 {
		for x := range 64 {
			img.Set(x, y, grey)
			if x < 32 && y < 16 {
				img.Set(x, y, c)
			}
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	write(t, path, buf.Bytes())
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// film writes a video of 4 s at 10 frames/s that turns red after 2 s.
func film(t *testing.T, path string) {
	t.Helper()
	w, err := opencv.NewVideoWriter(path, 10, 64, 32)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		pixels := bytes.Repeat([]byte{128}, 3*64*32)
		if i >= 20 {
			pixels = bytes.Repeat([]byte{0, 0, 255}, 64*32)
		}
		img, err := opencv.NewImage(64, 32, pixels)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(img); err != nil {
			t.Fatal(err)
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

func TestUsage(t *testing.T) {
	empty := t.TempDir()
	dir := t.TempDir()
	paint(t, filepath.Join(dir, "a_1.png"), red)
	half := t.TempDir()
	write(t, filepath.Join(half, "model.json"), []byte("{}"))
	write(t, filepath.Join(half, "x.onnx"), []byte("x"))
	badManifest := t.TempDir()
	paint(t, filepath.Join(badManifest, "images", "a_1.png"), red)
	write(t, filepath.Join(badManifest, "manifest.csv"), []byte("path,licence\n"))
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"help":              {[]string{"--help"}, exitDone, ""},
		"no words":          {nil, exitDone, ""},
		"unknown":           {[]string{"look"}, exitUsage, "unexpected argument look"},
		"try nothing":       {[]string{"try"}, exitUsage, `expected "<path>"`},
		"try missing":       {[]string{"try", filepath.Join(empty, "x.jpg")}, exitUsage, "no such file"},
		"try empty":         {[]string{"try", empty}, exitUsage, empty + ": no pictures or videos in it"},
		"try over input":    {[]string{"try", dir, "--out", dir}, exitUsage, "which would be written over"},
		"try fps":           {[]string{"try", dir, "--fps=-1"}, exitUsage, "--fps -1: want 0 to 1000"},
		"try threads":       {[]string{"try", dir, "--threads", "0"}, exitUsage, "--threads 0: want 1 to 64"},
		"model empty":       {[]string{"try", dir, "--model", empty}, exitUsage, "0 files .onnx: want one"},
		"model faults":      {[]string{"try", dir, "--model", half}, exitUsage, "model.json: name: missing"},
		"evaluate nothing":  {[]string{"evaluate"}, exitUsage, "nothing to evaluate: want --images and --labels, --videos or --reel"},
		"evaluate half":     {[]string{"evaluate", "--images", dir}, exitUsage, "--images and --labels: want both or neither"},
		"evaluate reel":     {[]string{"evaluate", "--reel", "5s"}, exitUsage, "--reel 5s: want 1m to 100h"},
		"evaluate empty":    {[]string{"evaluate", "--images", empty, "--labels", empty}, exitUsage, empty + ": no pictures in it"},
		"evaluate limit":    {[]string{"evaluate", "--images", dir, "--labels", dir, "--limit=-1"}, exitUsage, "--limit -1"},
		"evaluate videos":   {[]string{"evaluate", "--images", dir, "--labels", dir, "--videos", empty}, exitUsage, empty + ": no videos in it"},
		"evaluate manifest": {[]string{"evaluate", "--images", filepath.Join(badManifest, "images"), "--labels", dir}, exitUsage, "want path and classes_labelled"},
		"bench size":        {[]string{"bench", "--width", "1"}, exitUsage, "64 to 4096 pixels"},
		"bench rates":       {[]string{"bench", "--cameras", "--fps", "100"}, exitUsage, "--fps 100: want 1s to 1h, 1 to 60, 0.5 to 25"},
		"bench url":         {[]string{"bench", "--cameras", "--url", "ftp://x"}, exitUsage, `--url: "ftp://x": want rtsp://`},
		"bench hour":        {[]string{"bench", "--hour", "--frames", "100"}, exitUsage, "--frames 100: want a multiple of 750"},
		"bench both":        {[]string{"bench", "--hour", "--cameras"}, exitUsage, "can't be used together"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, errs := program(t, tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit %d, want %d; %q, want %q", code, tt.code, errs, tt.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"try", "--help"}, {"evaluate", "--help"}, {"bench", "--help"}} {
		code, out, errs := program(t, args...)
		if code != exitDone || errs != "" || !strings.Contains(out, "Usage: shedguard-vision") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := program(t, "version")
	if code != exitDone || !strings.HasPrefix(out, "shedguard-vision dev go1.") || !strings.Contains(out, "OpenCV "+opencv.Version()) {
		t.Errorf("exit %d, %q", code, out)
	}
}

// Without OpenCV the program says what to do.
func TestNotBuilt(t *testing.T) {
	if opencv.Built {
		t.Skip("built with OpenCV")
	}
	dir := t.TempDir()
	paint(t, filepath.Join(dir, "a_1.png"), red)
	code, out, errs := program(t, "try", dir)
	if code != exitFailed || out != "" || !strings.Contains(errs, "install libopencv-dev (Debian 12), then make build") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestTry(t *testing.T) {
	needsOpenCV(t)
	in, out, model := t.TempDir(), filepath.Join(t.TempDir(), "seen"), onnxtest.Folder(t, 64, 32)
	paint(t, filepath.Join(in, "a_1.png"), red)
	paint(t, filepath.Join(in, "more", "b_1.png"), grey)
	write(t, filepath.Join(in, "notes.txt"), []byte("not for us"))
	film(t, filepath.Join(in, "reel.avi"))

	code, text, errs := program(t, "try", in, "--out", out, "--model", model)
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d, %q", code, errs)
	}
	seen := lines(t, text)
	if len(seen) != 2+20 { // 4 s at 5 frames/s
		t.Fatalf("%d lines", len(seen))
	}
	first := seen[0]
	delete(first, "ms")
	want := map[string]any{
		"kind": "frame", "path": filepath.Join(in, "a_1.png"), "frame": 0.0, "time_s": 0.0, "width": 64.0, "height": 32.0,
		"flame": 0.99995, "smoke": 0.00005, "flame_seen": true, "smoke_seen": false,
		"boxes": []any{map[string]any{"class": "flame", "x": 0.0, "y": 0.0, "w": 0.5, "h": 0.5, "score": 0.99995, "cells": 8.0}},
	}
	if a, b := jsonText(t, want), jsonText(t, first); a != b {
		t.Errorf("%s, want %s", b, a)
	}
	if seen[1]["flame_seen"] != false || len(seen[1]["boxes"].([]any)) != 0 { //nolint:errcheck // the test ends
		t.Errorf("grey: %v", seen[1])
	}
	for i, frame := range seen[2:] {
		if at := frame["time_s"].(float64); at != float64(i)/5 || frame["frame"].(float64) != float64(2*i) || frame["flame_seen"] != (at >= 2) { //nolint:errcheck // the test ends
			t.Errorf("frame %d: %v", i, frame)
		}
	}

	// What was drawn can be looked at again; the inputs are as they were.
	for _, name := range []string{"a_1.png.jpg", "more/b_1.png.jpg", "reel.avi"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	if code, text, errs := program(t, "try", filepath.Join(out, "reel.avi"), "--model", model, "--fps", "0"); code != exitDone || strings.Count(text, "\n") != 20 {
		t.Errorf("the drawn video: exit %d, %d frames, %q", code, strings.Count(text, "\n"), errs)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// One bad file is told, counted, and does not end the run.
func TestTryGoesOn(t *testing.T) {
	needsOpenCV(t)
	in := t.TempDir()
	write(t, filepath.Join(in, "a_1.jpg"), []byte("no picture"))
	write(t, filepath.Join(in, "a_2.mp4"), []byte("no video"))
	write(t, filepath.Join(in, "a_3.jpg"), nil)
	paint(t, filepath.Join(in, "b_1.png"), blue)
	code, out, errs := program(t, "--log-format", "json", "try", in, "--model", onnxtest.Folder(t, 64, 32))
	if code != exitFailed || !strings.HasSuffix(errs, "shedguard-vision: 3 of 4 files could not be looked at\n") {
		t.Errorf("exit %d, %q", code, errs)
	}
	all := lines(t, out)
	if len(all) != 4 || all[0]["kind"] != "fault" || all[2]["error"] != "empty" || all[3]["smoke_seen"] != true {
		t.Errorf("%v", all)
	}
	for _, name := range []string{"a_1.jpg", "a_2.mp4", "a_3.jpg"} {
		if !strings.Contains(errs, name) {
			t.Errorf("%s is not told", name)
		}
	}
}

func TestInterrupted(t *testing.T) {
	needsOpenCV(t)
	in := t.TempDir()
	paint(t, filepath.Join(in, "a_1.png"), red)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"try", in}, {"evaluate", "--images", in, "--labels", in, "--json"}, {"bench"}} {
		var out, errs bytes.Buffer
		if code := run(ctx, append(args, "--model", onnxtest.Folder(t, 64, 32)), strings.NewReader(""), &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%v: exit %d, %q", args, code, errs.String())
		}
	}
}

// labelled is a folder of pictures as evaluate wants it.
func labelled(t *testing.T) (images, labels string) {
	t.Helper()
	dir := t.TempDir()
	images, labels = filepath.Join(dir, "images"), filepath.Join(dir, "labels")
	add := func(name string, c color.Color, label string) {
		paint(t, filepath.Join(images, name+".png"), c)
		write(t, filepath.Join(labels, name+".txt"), []byte(label))
	}
	add("web_1", red, "0 0.25 0.25 0.5 0.5\n")
	add("web_2", blue, "1 0.25 0.25 0.5 0.5\n")
	add("web_3", grey, "0 0.25 0.25 0.5 0.5\n") // missed
	add("news_1", blue, "0 0.9 0.9 0.1 0.1\n")  // smoke was not labelled
	add("street_1", grey, "")
	add("street_2", red, "") // a false positive
	write(t, filepath.Join(dir, "manifest.csv"), []byte("path,classes_labelled\nimages/news_1.png,fire\nimages/web_1.png,\"fire,smoke\"\n"))
	return images, labels
}

func TestEvaluate(t *testing.T) {
	needsOpenCV(t)
	images, labels := labelled(t)
	videos, scores := t.TempDir(), filepath.Join(t.TempDir(), "scores.csv")
	film(t, filepath.Join(videos, "reel.avi"))
	args := []string{"evaluate", "--images", images, "--labels", labels, "--videos", videos, "--scores", scores, "--model", onnxtest.Folder(t, 64, 32)}
	code, out, errs := program(t, append(slices.Clone(args), "--json")...)
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d, %q", code, errs)
	}
	all := lines(t, out)
	if len(all) != 6+1+1+1 {
		t.Fatalf("%d lines: %s", len(all), out)
	}
	if got := jsonText(t, all[6]); got != `{"any":{"first_over_s":2,"max_score":0.99995,"share_over":0.5},"flame":{"first_over_s":2,"max_score":0.99995,"share_over":0.5},"frames":20,"kind":"video","path":"`+
		filepath.Join(videos, "reel.avi")+`","seconds":3.8,"smoke":{"first_over_s":null,"max_score":0.00005,"share_over":0}}` {
		t.Error(got)
	}

	var s summaryLine
	if err := json.Unmarshal([]byte(strings.Split(strings.TrimSpace(out), "\n")[8]), &s); err != nil {
		t.Fatal(err)
	}
	if s.Kind != "summary" || s.Pictures != 6 || s.Videos != 1 || s.Faults != 0 || s.Model != "tiny" {
		t.Errorf("%+v", s)
	}
	// Flame: one positive is over all three negatives but tied with street_2; news_1
	// and web_3 are below or tied.
	f := s.Overall.Flame
	if f.Positives != 3 || f.Negatives != 3 || f.Clean != 2 || f.Boxes != 3 || near(float64(f.BoxRecall), 1.0/3) != true || f.FalsePositives != 0.5 {
		t.Errorf("flame %+v", f)
	}
	if sm := s.Overall.Smoke; sm.Positives != 1 || sm.Negatives != 4 || sm.ROCAUC != 1 || sm.BoxRecall != 1 || sm.Recall != 1 {
		t.Errorf("smoke %+v", sm)
	}
	if a := s.Overall.Any; a.Positives != 4 || a.Negatives != 2 {
		t.Errorf("any %+v", a)
	}
	if got := len(s.ByPrefix); got != 3 {
		t.Errorf("%d prefixes", got)
	}

	b, err := os.ReadFile(scores)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 7 || strings.Join(rows[0], ",") != "path,flame,smoke" || strings.Join(rows[1], ",") != filepath.Join(images, "news_1.png")+",0.000045,0.999955" {
		t.Errorf("%q", rows)
	}

	code, out, _ = program(t, args...)
	if code != exitDone || !strings.Contains(out, "ROC-AUC") || !strings.Contains(out, "street_ any") || !strings.Contains(out, "reel.avi") {
		t.Errorf("exit %d, %s", code, out)
	}
}

func near(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }

// Bad pictures and bad labels are told with their place, counted, and the rest is
// still measured.
func TestEvaluateGoesOn(t *testing.T) {
	needsOpenCV(t)
	images, labels := labelled(t)
	write(t, filepath.Join(images, "bad_1.jpg"), []byte("no picture"))
	write(t, filepath.Join(labels, "bad_1.txt"), nil)
	paint(t, filepath.Join(images, "bad_2.png"), grey)
	write(t, filepath.Join(labels, "bad_2.txt"), []byte("0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n"))
	paint(t, filepath.Join(images, "bad_3.png"), grey) // without labels
	code, out, errs := program(t, "evaluate", "--images", images, "--labels", labels, "--json", "--model", onnxtest.Folder(t, 64, 32))
	if code != exitFailed || !strings.HasSuffix(errs, "3 of 9 files could not be judged\n") {
		t.Errorf("exit %d, %q", code, errs)
	}
	for _, want := range []string{
		"no picture (JPEG, PNG, WebP, BMP)",
		filepath.Join(labels, "bad_2.txt") + `: line 2: class \"7\": want 0 (flame) or 1 (smoke)`,
		filepath.Join(labels, "bad_3.txt") + ": no such file",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not told in %s", want, errs)
		}
	}
	all := lines(t, out)
	last := all[len(all)-1]
	if last["kind"] != "summary" || last["faults"] != 3.0 || last["pictures"] != 6.0 {
		t.Errorf("%v", last)
	}
}

func TestEvaluateLimit(t *testing.T) {
	needsOpenCV(t)
	images, labels := labelled(t)
	_, out, _ := program(t, "evaluate", "--images", images, "--labels", labels, "--limit", "2", "--json", "--model", onnxtest.Folder(t, 64, 32))
	all := lines(t, out)
	if len(all) != 3 || all[0]["path"] != filepath.Join(images, "news_1.png") || all[1]["path"] != filepath.Join(images, "web_1.png") {
		t.Errorf("%s", out)
	}
}

func TestBench(t *testing.T) {
	needsOpenCV(t)
	code, out, errs := program(t, "bench", "--frames", "3", "--width", "64", "--height", "64", "--json", "--model", onnxtest.Folder(t, 64, 32))
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d, %q", code, errs)
	}
	all := lines(t, out)
	if len(all) != 2 || all[0]["threads"] != 1.0 || all[1]["threads"] != 2.0 {
		t.Fatalf("%s", out)
	}
	for _, row := range all {
		for _, key := range []string{"see_ms_median", "see_ms_p95", "frame_ms_median", "frames_per_s", "frames_per_s_per_core"} {
			if v, ok := row[key].(float64); !ok || v <= 0 {
				t.Errorf("%s: %v", key, row[key])
			}
		}
	}
}
