//go:build opencv && cgo

package opencv_test

import (
	"bytes"
	"errors"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/internal/onnxtest"
	"github.com/shedguard/shedguard/vision/opencv"
)

func newDetector(tb testing.TB, s vision.Settings) *opencv.Detector {
	tb.Helper()
	d, err := opencv.NewDetector(onnxtest.ONNX(s.Input.Width, s.Input.Height), s)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// painted is a grey image with a patch of one colour.
func painted(tb testing.TB, width, height int, patch vision.Rect, red, green, blue byte) *opencv.Image {
	tb.Helper()
	bgr := bytes.Repeat([]byte{128}, 3*width*height)
	for y := int(patch.Y * float64(height)); y < int((patch.Y+patch.H)*float64(height)); y++ {
		for x := int(patch.X * float64(width)); x < int((patch.X+patch.W)*float64(width)); x++ {
			copy(bgr[3*(y*width+x):], []byte{blue, green, red})
		}
	}
	img, err := opencv.NewImage(width, height, bgr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := img.Close(); err != nil {
			tb.Error(err)
		}
	})
	return img
}

func see(tb testing.TB, d *opencv.Detector, img *opencv.Image) vision.Sight {
	tb.Helper()
	s, err := d.See(img)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-5 }

var sigmoid10 = 1 / (1 + math.Exp(-10))

// What is red is flame and what is blue is smoke: the order of the channels, the
// scaling, the order of the outputs and the place of a box are right.
func TestSee(t *testing.T) {
	patch := vision.Rect{X: 0.5, Y: 0.25, W: 0.25, H: 0.5}
	for _, size := range []struct{ width, height int }{{64, 32}, {128, 64}, {640, 320}} {
		d := newDetector(t, onnxtest.Settings(t, 64, 32))
		flame := see(t, d, painted(t, size.width, size.height, patch, 255, 0, 0))
		if !near(flame.Flame, sigmoid10) || flame.Smoke > 0.001 {
			t.Errorf("%v: red patch: flame %g, smoke %g", size, flame.Flame, flame.Smoke)
		}
		smoke := see(t, d, painted(t, size.width, size.height, patch, 0, 0, 255))
		if !near(smoke.Smoke, sigmoid10) || smoke.Flame > 0.001 {
			t.Errorf("%v: blue patch: flame %g, smoke %g", size, smoke.Flame, smoke.Smoke)
		}
		if len(flame.Boxes) != 1 || flame.Boxes[0].Class != vision.Flame || flame.Boxes[0].Rect != patch || flame.Boxes[0].Cells != 4 {
			t.Errorf("%v: boxes %+v, want one at %+v", size, flame.Boxes, patch)
		}
		if len(smoke.Boxes) != 1 || smoke.Boxes[0].Class != vision.Smoke {
			t.Errorf("%v: boxes %+v, want one of smoke", size, smoke.Boxes)
		}
		grey := see(t, d, painted(t, size.width, size.height, vision.Rect{}, 0, 0, 0))
		if !near(grey.Flame, 1-sigmoid10) || !near(grey.Smoke, 1-sigmoid10) || len(grey.Boxes) != 0 {
			t.Errorf("%v: grey: %+v, %+v", size, grey.Scores, grey.Boxes)
		}
	}
}

func TestSeeBGR(t *testing.T) {
	s := onnxtest.Settings(t, 64, 32)
	s.Input.RGB = false
	if got := see(t, newDetector(t, s), painted(t, 64, 32, vision.Whole(), 255, 0, 0)); !near(got.Smoke, sigmoid10) {
		t.Errorf("a network of BGR sees red as %+v", got.Scores)
	}
}

func TestSeeNormalised(t *testing.T) {
	// (pixel/255 - 0.5) / 0.25 of red: 2, -2, -2, so that flame is 20·2 + 20·2 - 10.
	s := onnxtest.Settings(t, 64, 32)
	s.Input.Mean, s.Input.Std = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.25, 0.25, 0.25}
	s.Outputs.ImageScore = ""
	got := see(t, newDetector(t, s), painted(t, 64, 32, vision.Whole(), 140, 0, 140))
	if !near(got.Flame, 1-sigmoid10) { // red and blue cancel out
		t.Errorf("%+v", got.Scores)
	}
	want := 1 / (1 + math.Exp(-(20*(140.0/255-0.5)/0.25 - 20*(128.0/255-0.5)/0.25 - 10)))
	if got := see(t, newDetector(t, s), painted(t, 64, 32, vision.Whole(), 140, 0, 128)); !near(got.Flame, want) {
		t.Errorf("flame %g, want %g", got.Flame, want)
	}
}

// The score of the picture comes from its own output as far as it has a share.
func TestSeeImageScore(t *testing.T) {
	s := onnxtest.Settings(t, 64, 32)
	s.Score.ImageShare = 0.75
	mean := (sigmoid10 + 3*(1-sigmoid10)) / 4 // one quarter of the cells is red
	want := 0.75*mean + 0.25*sigmoid10
	if got := see(t, newDetector(t, s), painted(t, 64, 32, vision.Rect{W: 0.5, H: 0.5}, 255, 0, 0)); !near(got.Flame, want) {
		t.Errorf("flame %g, want %g", got.Flame, want)
	}
}

// A patch that is lost in the whole of a wide picture is seen in a tile, at the same
// place.
func TestSeeTiles(t *testing.T) {
	wide := painted(t, 512, 64, vision.Rect{X: 0.75, Y: 0.5, W: 1.0 / 64, H: 1.0 / 8}, 255, 0, 0) // 8 × 8 pixels
	s := onnxtest.Settings(t, 64, 64)
	whole := see(t, newDetector(t, s), wide)
	s.Tiles = vision.TileRule{Max: 8, Aspect: 1.5}
	tiled := see(t, newDetector(t, s), wide)
	if whole.Flame > 0.01 || !near(tiled.Flame, sigmoid10) {
		t.Errorf("flame %g as a whole and %g in tiles", whole.Flame, tiled.Flame)
	}
	want := vision.Rect{X: 0.75, Y: 0.5, W: 1.0 / 64, H: 1.0 / 8}
	if len(tiled.Boxes) != 1 || tiled.Boxes[0].Rect != want {
		t.Errorf("boxes %+v, want one at %+v", tiled.Boxes, want)
	}
}

// A model that cannot be loaded, or that does not fit its settings, is an error and
// not the end of the process.
func TestNewDetectorRefuses(t *testing.T) {
	good := onnxtest.ONNX(64, 32)
	with := func(change func(*vision.Settings)) vision.Settings {
		s := onnxtest.Settings(t, 64, 32)
		change(&s)
		return s
	}
	tests := map[string]struct {
		onnx     []byte
		settings vision.Settings
	}{
		"empty":        {nil, onnxtest.Settings(t, 64, 32)},
		"text":         {[]byte("this is no model at all"), onnxtest.Settings(t, 64, 32)},
		"cut off":      {good[:len(good)/2], onnxtest.Settings(t, 64, 32)},
		"other stride": {good, with(func(s *vision.Settings) { s.Stride = 16 })},
		"other output": {good, with(func(s *vision.Settings) { s.Outputs.Heat = "warmth" })},
		"other score":  {good, with(func(s *vision.Settings) { s.Outputs.ImageScore = "heat" })},
		"not 0 to 1":   {good, with(func(s *vision.Settings) { s.Outputs.Heat = "logits" })},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := opencv.NewDetector(tt.onnx, tt.settings)
			if err == nil || d != nil || !strings.HasPrefix(err.Error(), "model: ") {
				t.Fatalf("NewDetector: %v, %v", d, err)
			}
			t.Log(err)
		})
	}
}

func TestSeeRefusesEmpty(t *testing.T) {
	d := newDetector(t, onnxtest.Settings(t, 64, 32))
	if _, err := opencv.NewImage(0, 0, nil); err == nil {
		t.Error("an image without pixels")
	}
	if _, err := opencv.NewImage(4, 4, make([]byte, 47)); err == nil {
		t.Error("an image with too few bytes")
	}
	img := painted(t, 1, 1, vision.Whole(), 255, 0, 0)
	if got := see(t, d, img); !near(got.Flame, sigmoid10) {
		t.Errorf("one red pixel: %+v", got.Scores)
	}
}

func TestDecode(t *testing.T) {
	img, err := opencv.Decode(jpegOf(t, 96, 48, color.RGBA{R: 255, A: 255}))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if w, h := img.Size(); w != 96 || h != 48 {
		t.Errorf("%d x %d", w, h)
	}
	if got := see(t, newDetector(t, onnxtest.Settings(t, 64, 32)), img); got.Flame < 0.99 {
		t.Errorf("a red JPEG: %+v", got.Scores)
	}
	again, err := img.JPEG(90)
	if err != nil {
		t.Fatal(err)
	}
	back, err := opencv.Decode(again)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if w, h := back.Size(); w != 96 || h != 48 {
		t.Errorf("%d x %d after encoding", w, h)
	}
}

// Whatever bytes come, the process lives.
func FuzzDecode(f *testing.F) {
	good := jpegOf(f, 40, 24, color.RGBA{R: 200, G: 90, A: 255})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("BM"))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := opencv.Decode(data)
		if err != nil {
			if img != nil {
				t.Error("an image beside an error")
			}
			return
		}
		if w, h := img.Size(); w < 1 || h < 1 {
			t.Errorf("%d x %d", w, h)
		}
		if err := img.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Every byte of a JPEG is damaged in turn: an error or a picture, never the end.
func TestDecodeDamaged(t *testing.T) {
	good := jpegOf(t, 40, 24, color.RGBA{R: 200, G: 90, A: 255})
	refused := 0
	for i := range good {
		for _, v := range []byte{0, 0xff, good[i] ^ 0x55} {
			bad := bytes.Clone(good)
			bad[i] = v
			img, err := opencv.Decode(bad)
			if err != nil {
				refused++
				continue
			}
			if err := img.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// Boxes and letters are drawn, inside the image, and the rest stays as it was.
func TestAnnotate(t *testing.T) {
	img := painted(t, 320, 240, vision.Rect{}, 0, 0, 0)
	before, err := img.JPEG(100)
	if err != nil {
		t.Fatal(err)
	}
	img.Annotate(nil, "")
	same, err := img.JPEG(100)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, same) {
		t.Error("nothing to draw, and something was drawn")
	}
	img.Annotate([]vision.Box{
		{Class: vision.Flame, Rect: vision.Rect{X: 0.5, Y: 0.5, W: 0.25, H: 0.25}, Score: 0.9},
		{Class: vision.Smoke, Rect: vision.Rect{X: -1, Y: 0.9, W: 5, H: 5}, Score: 0.5}, // over every edge
	}, strings.Repeat("very long ", 40))
	after, err := img.JPEG(100)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, after) {
		t.Error("nothing was drawn")
	}
}

// A video that was written is read again, frame by frame, with its times.
func TestVideo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reel.avi")
	w, err := opencv.NewVideoWriter(path, 10, 64, 32)
	if err != nil {
		t.Fatal(err)
	}
	const frames = 12
	for i := range frames {
		var patch vision.Rect
		if i >= 6 {
			patch = vision.Whole()
		}
		if err := w.Write(painted(t, 64, 32, patch, 255, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(painted(t, 32, 32, vision.Rect{}, 0, 0, 0)); err == nil {
		t.Error("a frame of another size was taken")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	v, err := opencv.OpenVideo(path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if v.FPS() != 10 || v.Frames() != frames {
		t.Errorf("%g frames/s, %d frames", v.FPS(), v.Frames())
	}
	d := newDetector(t, onnxtest.Settings(t, 64, 32))
	n := 0
	for ; ; n++ {
		img, at, err := v.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Duration(n) * 100 * time.Millisecond; (at - want).Abs() > 20*time.Millisecond {
			t.Errorf("frame %d at %s, want %s", n, at, want)
		}
		if got := see(t, d, img); (got.Flame > 0.9) != (n >= 6) {
			t.Errorf("frame %d: %+v", n, got.Scores)
		}
		if err := img.Close(); err != nil {
			t.Error(err)
		}
	}
	if n != frames {
		t.Errorf("%d frames, want %d", n, frames)
	}
}

func TestOpenVideoRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.mp4")
	if err := os.WriteFile(text, []byte("this is no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, filepath.Join(dir, "missing.mp4"), filepath.Join(dir, "frame%03d.jpg")} {
		if v, err := opencv.OpenVideo(path); err == nil || v != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("OpenVideo(%s): %v", path, err)
		}
	}
	if _, err := opencv.NewVideoWriter(filepath.Join(dir, "none", "x.avi"), 10, 64, 32); err == nil {
		t.Error("a file in a folder that is not there")
	}
	if _, err := opencv.NewVideoWriter(filepath.Join(dir, "x.avi"), 0, 64, 32); err == nil {
		t.Error("0 frames/s")
	}
}

// Several detectors work at once, each in its goroutine, and do not mix.
func TestSeeConcurrently(t *testing.T) {
	red, blue := painted(t, 64, 32, vision.Whole(), 255, 0, 0), painted(t, 64, 32, vision.Whole(), 0, 0, 255)
	var all sync.WaitGroup
	for i := range 4 {
		d := newDetector(t, onnxtest.Settings(t, 64, 32))
		img, want := red, vision.Flame
		if i%2 == 1 {
			img, want = blue, vision.Smoke
		}
		all.Go(func() {
			for range 50 {
				s, err := d.See(img)
				if err != nil || !near(s.Of(want), sigmoid10) {
					t.Errorf("%v: %+v, %v", want, s.Scores, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// Memory outside of Go does not grow by the frame: a leak of one picture a frame
// would be 190 MB here, the smallest one seen in such bindings 2 MB.
func TestNoLeak(t *testing.T) {
	d := newDetector(t, onnxtest.Settings(t, 64, 32))
	jpeg := jpegOf(t, 320, 200, color.RGBA{R: 255, A: 255})
	round := func(n int) {
		for range n {
			img, err := opencv.Decode(jpeg)
			if err != nil {
				t.Fatal(err)
			}
			s := see(t, d, img)
			img.Annotate(s.Boxes, "leak")
			if _, err := img.JPEG(80); err != nil {
				t.Fatal(err)
			}
			if err := img.Close(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
	}
	round(300)
	before := resident(t)
	round(1000)
	if grown := resident(t) - before; grown > 20<<20 {
		t.Errorf("memory grew by %d KiB in 1000 frames", grown>>10)
	}
}

// resident is the memory that the process holds, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	fields := strings.Fields(string(b))
	pages := 0
	for _, c := range fields[1] {
		pages = 10*pages + int(c-'0')
	}
	return pages * os.Getpagesize()
}

func BenchmarkSee(b *testing.B) {
	d := newDetector(b, onnxtest.Settings(b, 256, 256))
	img := painted(b, 1280, 720, vision.Rect{W: 0.5, H: 0.5}, 255, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		see(b, d, img)
	}
}
