package scene_test

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision/scene"
)

const wide, high = 320, 180

func build(t testing.TB, seed uint64, script scene.Script) *scene.Scene {
	t.Helper()
	s, err := scene.New(scene.Options{Width: wide, Height: high, Seed: seed, Script: script})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func frame(s *scene.Scene, t time.Duration) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, wide, high))
	s.Render(t, img)
	return img
}

// difference is the mean difference of two pictures in parts of white, of the
// pixels in a box or outside it.
func difference(a, b *image.RGBA, box scene.Box, inside bool) float64 {
	sum, n := 0.0, 0
	for y := range high - 14 { // not the clock
		for x := range wide {
			u, v := float64(x)/wide, float64(y)/high
			if (u >= box.X0 && u < box.X1 && v >= box.Y0 && v < box.Y1) != inside {
				continue
			}
			i := a.PixOffset(x, y)
			for k := range 3 {
				d := int(a.Pix[i+k]) - int(b.Pix[i+k])
				sum += float64(max(d, -d)) / 255
				n++
			}
		}
	}
	return sum / float64(n)
}

func TestAnInstantLooksTheSameInWhateverOrder(t *testing.T) {
	script := append(scene.Quiet(3, 5*time.Minute), scene.Burning(time.Minute, 10*time.Second, time.Minute, 0.4, 0.3)...)
	one, other := build(t, 3, script), build(t, 3, script)
	want := frame(one, 90*time.Second)
	for _, at := range []time.Duration{0, 4 * time.Minute, 30 * time.Second} {
		frame(other, at)
	}
	if got := frame(other, 90*time.Second); !bytes.Equal(got.Pix, want.Pix) {
		t.Error("the picture depends on what was drawn before")
	}
	if got := frame(build(t, 4, script), 90*time.Second); bytes.Equal(got.Pix, want.Pix) {
		t.Error("another seed gives the same shed")
	}
}

func TestEveryKindIsSeen(t *testing.T) {
	const at = 19300 * time.Millisecond
	for _, kind := range scene.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			still := frame(build(t, 7, nil), at)
			script := scene.Script{{Kind: kind, At: 0, For: 30 * time.Second, X: 0.4, Size: 0.5}}
			s := build(t, 7, script)
			if d := difference(frame(s, at), still, scene.Box{X1: 1, Y1: 1}, true); d < 0.001 {
				t.Errorf("the picture differs by %.5f of white", d)
			}
			if d := difference(frame(s, 31*time.Second), frame(build(t, 7, nil), 31*time.Second), scene.Box{X1: 1, Y1: 1}, true); d != 0 {
				t.Errorf("afterwards it still differs by %.5f", d)
			}
		})
	}
}

func TestTruthIsWhereItBurns(t *testing.T) {
	s := build(t, 5, scene.Burning(10*time.Second, 20*time.Second, 2*time.Minute, 0.6, 0.3))
	for at, want := range map[time.Duration][2]bool{ // smoke, flame
		9 * time.Second: {false, false}, 20 * time.Second: {true, false}, 40 * time.Second: {true, true}, 140 * time.Second: {false, false},
	} {
		if got := s.Truth(at); got.Smoke.Empty() == want[0] || got.Flame.Empty() == want[1] {
			t.Errorf("truth at %s: %+v, want smoke and flame %v", at, got, want)
		}
	}
	box := s.Truth(time.Minute).Flame
	with, without := frame(s, time.Minute), frame(build(t, 5, scene.Burning(10*time.Second, 119*time.Second, 2*time.Minute, 0.6, 0.3)), time.Minute)
	if in, out := difference(with, without, box, true), difference(with, without, box, false); in < 5*out {
		t.Errorf("the flame changes its box by %.3f and the rest by %.3f", in, out)
	}
}

func TestQuietHasNoFireAndEverythingElse(t *testing.T) {
	script := scene.Quiet(1, 2*time.Hour)
	if err := script.Validate(); err != nil {
		t.Fatal(err)
	}
	seen := map[scene.Kind]int{}
	for _, h := range script {
		seen[h.Kind]++
	}
	for _, k := range []scene.Kind{scene.Headlights, scene.LampOff, scene.Neon, scene.Infrared, scene.Sunset, scene.Person, scene.RedCoat, scene.Steam, scene.Shake} {
		if seen[k] < 5 {
			t.Errorf("%s comes %d times in two hours", k, seen[k])
		}
	}
	if seen[scene.Flame]+seen[scene.Smoke] != 0 {
		t.Error("it burns")
	}
}

func TestWhatNewRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		opts scene.Options
		want string
	}{
		"too small":    {scene.Options{Width: 10, Height: 100}, "10 x 100 pixels: want 64 to 4096"},
		"unknown kind": {scene.Options{Width: 64, Height: 64, Script: scene.Script{{Kind: "rain", For: 1}}}, `script[0]: kind "rain"`},
		"no time":      {scene.Options{Width: 64, Height: 64, Script: scene.Script{{Kind: scene.Neon}}}, "script[0]: neon at 0s for 0s"},
		"outside":      {scene.Options{Width: 64, Height: 64, Script: scene.Script{{Kind: scene.Neon, For: 1, X: 2}}}, "neon at 2 of size 0: want 0 to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := scene.New(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStream(t *testing.T) {
	server := httptest.NewServer(scene.Stream(build(t, 1, nil), 20, time.Now()))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(res.Body, params["boundary"])
	var last []byte
	for i := range 3 {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		jpg, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(jpg))
		if err != nil || img.Bounds().Dx() != wide || img.Bounds().Dy() != high {
			t.Fatalf("picture %d: %v", i, err)
		}
		if bytes.Equal(jpg, last) {
			t.Errorf("picture %d is the one before", i)
		}
		last = jpg
	}
}

func BenchmarkRender(b *testing.B) {
	s, err := scene.New(scene.Options{Width: 640, Height: 360, Seed: 1, Script: append(scene.Quiet(1, time.Hour), scene.Burning(0, time.Second, time.Hour, 0.5, 0.3)...)})
	if err != nil {
		b.Fatal(err)
	}
	img := image.NewRGBA(image.Rect(0, 0, 640, 360))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Render(time.Duration(i)*200*time.Millisecond, img)
	}
}
