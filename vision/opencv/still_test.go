//go:build opencv && cgo

package opencv_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/opencv"
)

// speckled is a JPEG of noise with a bright upper left corner.
func speckled(tb testing.TB, width, height, quality int) []byte {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := 40 + r.IntN(60)
			if x < width/3 && y < height/3 {
				v += 120
			}
			img.SetRGBA(x, y, color.RGBA{R: uint8(v), G: uint8(v / 2), B: uint8(255 - v), A: 255})
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// turned adds EXIF that says that the picture lies on its side.
func turned(jpg []byte) []byte {
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00" + "\x01\x00" + "\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + "\x00\x00\x00\x00"
	head := append([]byte("\xff\xd8\xff\xe1"), byte((len(exif)+2)>>8), byte(len(exif)+2))
	return append(append(head, exif...), jpg[2:]...)
}

// A glance shows what a decoded picture shows, whatever its size and however it lies.
func TestStillGrey(t *testing.T) {
	for name, data := range map[string][]byte{
		"an eighth": speckled(t, 1280, 720, 80), "a quarter": speckled(t, 640, 360, 80), "a half": speckled(t, 322, 182, 80),
		"as it is": speckled(t, 100, 60, 80), "smaller": speckled(t, 40, 24, 80), "on its side": turned(speckled(t, 1280, 720, 80)),
	} {
		t.Run(name, func(t *testing.T) {
			const w, h = 80, 48
			img, err := opencv.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			s := opencv.NewStill(data)
			defer s.Close()
			width, height := s.Size()
			if wantW, wantH := img.Size(); name != "on its side" && (width != wantW || height != wantH) {
				t.Errorf("%d x %d: want %d x %d", width, height, wantW, wantH)
			}
			var want, got [w * h]uint8
			if err := img.Grey(want[:], w, h); err != nil {
				t.Fatal(err)
			}
			if err := s.Grey(got[:], w, h); err != nil {
				t.Fatal(err)
			}
			sum, most := 0, 0
			for i := range got {
				d := int(got[i]) - int(want[i])
				sum, most = sum+d, max(most, d, -d)
			}
			if mean := float64(sum) / (w * h); most > 12 || mean < -1 || mean > 1 {
				t.Errorf("differs by %d at most, by %.2f in the mean", most, mean)
			}
		})
	}
}

func TestStillJPEG(t *testing.T) {
	data := speckled(t, 320, 180, 80)
	s := opencv.NewStill(data)
	defer s.Close()
	if _, err := s.Image(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.JPEG(10); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v: want the camera's own %d", len(got), err, len(data))
	}
	img, err := s.Draw()
	if err != nil {
		t.Fatal(err)
	}
	img.Annotate([]vision.Box{{Rect: vision.Rect{X: 0.2, Y: 0.2, W: 0.5, H: 0.5}}}, "c1")
	if got, err := s.JPEG(75); err != nil || bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v: want what was drawn", len(got), err)
	}

	large := speckled(t, 1280, 720, 95)
	s = opencv.NewStill(large)
	defer s.Close()
	if got, err := s.JPEG(50); err != nil || len(got) > len(large)/2 {
		t.Errorf("%d bytes of %d, %v: want it encoded anew", len(got), len(large), err)
	}
}

// Damage is found by a glance, wherever it is, and is no picture afterwards either.
func TestStillDamaged(t *testing.T) {
	good := speckled(t, 640, 360, 80)
	hole := bytes.Clone(good)
	copy(hole[len(hole)/2:], bytes.Repeat([]byte{0xff, 0x01}, 32))
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("not a picture"), "cut off": good[:len(good)-30], "half": good[:len(good)/2], "hole": hole,
		"two bytes": []byte("\xff\xd8"), "head": good[:60],
	} {
		t.Run(name, func(t *testing.T) {
			s := opencv.NewStill(data)
			defer s.Close()
			var grey [80 * 48]uint8
			if err := s.Grey(grey[:], 80, 48); err == nil || err.Error() == "" {
				t.Errorf("a glance: %v", err)
			}
			if img, err := s.Image(); err == nil || img != nil {
				t.Errorf("decoded: %v, %v", img, err)
			}
		})
	}
	// Bytes too many are no damage.
	s := opencv.NewStill(append(bytes.Clone(good), 0, 0, 1, 2))
	defer s.Close()
	var grey [80 * 48]uint8
	if err := s.Grey(grey[:], 80, 48); err != nil {
		t.Errorf("bytes after the end: %v", err)
	}
	// A head that claims more than memory has.
	huge := bytes.Clone(good)
	at := bytes.Index(huge, []byte("\xff\xc0"))
	copy(huge[at+5:], "\x9c\x40\x9c\x40")
	if err := opencv.NewStill(huge).Grey(grey[:], 80, 48); err == nil || !strings.Contains(err.Error(), "40000 x 40000 pixels") {
		t.Errorf("too large: %v", err)
	}
	if err := opencv.NewStill(good).Grey(grey[:5], 80, 48); err == nil {
		t.Error("five bytes for 80 x 48 pixels")
	}
}

// FuzzStill: whatever comes, a glance gives an error or a picture.
func FuzzStill(f *testing.F) {
	good := speckled(f, 40, 24, 80)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(turned(good))
	f.Add([]byte("\xff\xd8\xff\xc0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := opencv.NewStill(data)
		var grey [80 * 48]uint8
		_ = s.Grey(grey[:], 80, 48) // either is well
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkStillGrey(b *testing.B) {
	data := speckled(b, 1280, 720, 80)
	var grey [80 * 48]uint8
	b.ReportAllocs()
	for b.Loop() {
		if err := opencv.NewStill(data).Grey(grey[:], 80, 48); err != nil {
			b.Fatal(err)
		}
	}
}
