package evidence_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision/evidence"
)

func picture(t testing.TB, shade uint8, noisy bool) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range img.Pix {
		img.Pix[i] = shade
		if noisy {
			img.Pix[i] = uint8(i*7919>>3) ^ shade
		}
	}
	img.SetGray(0, 0, color.Gray{Y: ^shade})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func t0() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func open(t testing.TB, dir string) *evidence.Store {
	t.Helper()
	s, err := evidence.Open(dir, evidence.Limits{Bytes: 4 << 20, ClipBytes: 1 << 20, Age: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRing(t *testing.T) {
	r := evidence.NewRing(2*time.Second, 1000)
	for i := range 40 {
		r.Add(evidence.Frame{At: t0().Add(time.Duration(i) * 200 * time.Millisecond), JPEG: make([]byte, 50)})
	}
	f := r.Frames()
	if n := len(f); n != 11 || f[n-1].At.Sub(f[0].At) != 2*time.Second {
		t.Errorf("%d frames over %s", n, f[n-1].At.Sub(f[0].At))
	}
	for range 3 { // bytes bind before time
		r.Add(evidence.Frame{At: t0().Add(8 * time.Second), JPEG: make([]byte, 400)})
	}
	if n := len(r.Frames()); n != 2 {
		t.Errorf("%d large frames", n)
	}
	r.Add(evidence.Frame{At: t0().Add(9 * time.Second), JPEG: make([]byte, 5000)})
	if n := len(r.Frames()); n != 1 {
		t.Errorf("%d frames, the newest larger than the ring", n)
	}
}

// chunks walks a RIFF file and returns what it holds, by name and size.
func chunks(t *testing.T, b []byte, depth int) (frames [][]byte, names []string) {
	t.Helper()
	for len(b) >= 8 {
		id, size := string(b[:4]), int(binary.LittleEndian.Uint32(b[4:]))
		if size > len(b)-8 {
			t.Fatalf("%s: %d bytes of %d", id, size, len(b)-8)
		}
		body := b[8 : 8+size]
		names = append(names, strings.Repeat(" ", depth)+id)
		switch id {
		case "RIFF", "LIST":
			f, n := chunks(t, body[4:], depth+1)
			frames, names = append(frames, f...), append(names, n...)
		case "00dc":
			frames = append(frames, body)
		}
		b = b[8+size+size&1:]
	}
	if len(b) != 0 {
		t.Fatalf("%d bytes are left", len(b))
	}
	return frames, names
}

func TestClip(t *testing.T) {
	s := open(t, t.TempDir())
	var before []evidence.Frame
	for i := range 5 {
		before = append(before, evidence.Frame{At: t0().Add(time.Duration(i) * 250 * time.Millisecond), JPEG: picture(t, uint8(i), false)})
	}
	c, err := s.Clip("c1", "01ABC", t0(), before)
	if err != nil {
		t.Fatal(err)
	}
	for i := 5; i < 9; i++ {
		if err := c.Add(evidence.Frame{At: t0().Add(time.Duration(i) * 250 * time.Millisecond), JPEG: picture(t, uint8(i), false)}); err != nil {
			t.Fatal(err)
		}
	}
	path, size, err := c.Close()
	if err != nil {
		t.Fatal(err)
	}
	if want := "20260102T030405.000-c1-01ABC.avi"; filepath.Base(path) != want {
		t.Errorf("it is called %s, want %s", filepath.Base(path), want)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != size {
		t.Errorf("%d bytes, told %d", len(b), size)
	}
	frames, names := chunks(t, b, 0)
	if len(frames) != 9 {
		t.Fatalf("%d frames in %v", len(frames), names)
	}
	for i, f := range frames {
		if !bytes.Equal(f, picture(t, uint8(i), false)) {
			t.Errorf("frame %d is another one", i)
		}
	}
	if micros := binary.LittleEndian.Uint32(b[32:]); micros != 250_000 {
		t.Errorf("%d µs a frame", micros)
	}
	// The index leads to each frame.
	idx := b[len(b)-9*16:]
	movi := bytes.Index(b, []byte("movi"))
	for i := range 9 {
		at := movi + int(binary.LittleEndian.Uint32(idx[16*i+8:]))
		if string(b[at:at+4]) != "00dc" {
			t.Errorf("entry %d of the index leads to %q", i, b[at:at+4])
		}
	}
}

func TestAClipIsBounded(t *testing.T) {
	s := open(t, t.TempDir())
	large := picture(t, 3, true)
	var before []evidence.Frame
	for i := range 3 * (1 << 20) / len(large) {
		before = append(before, evidence.Frame{At: t0().Add(time.Duration(i) * time.Millisecond), JPEG: large})
	}
	c, err := s.Clip("c1", "01ABC", t0(), before)
	if err != nil {
		t.Fatal(err)
	}
	if c.Full() {
		t.Error("what was before fills the clip alone")
	}
	for _, f := range before {
		if err := c.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	_, size, err := c.Close()
	if err != nil || !c.Full() || size > 1<<20 || size < 1<<19 {
		t.Errorf("%d bytes, full %t, %v", size, c.Full(), err)
	}
}

func TestWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	c, err := open(t, dir).Clip("c1", "01ABC", t0(), []evidence.Frame{{At: t0(), JPEG: picture(t, 1, false)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Drop() }()
	if n := count(t, dir); n != 1 {
		t.Fatalf("%d files", n)
	}
	open(t, dir)
	if n := count(t, dir); n != 0 {
		t.Errorf("%d files after the next start", n)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	file := func(name string, size int, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	file("a.jpg", 10, 25*time.Hour)
	file("b.avi", 2<<20, 3*time.Hour)
	file("c.avi", 2<<20, 2*time.Hour)
	file("d.avi", 1<<20, time.Hour)
	if gone, err := s.Prune(now); err != nil || gone != 2 {
		t.Errorf("%d went: %v", gone, err)
	}
	for name, want := range map[string]bool{"a.jpg": false, "b.avi": false, "c.avi": true, "d.avi": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	s := open(t, t.TempDir())
	for _, bad := range []string{"", "../x", "a/b", ".hidden", strings.Repeat("x", 64)} {
		if _, err := s.Snapshot(bad, "01ABC", evidence.Frame{At: t0(), JPEG: []byte{1}}); err == nil {
			t.Errorf("camera %q is taken", bad)
		}
		if _, err := s.Clip("c1", bad, t0(), nil); err == nil {
			t.Errorf("id %q is taken", bad)
		}
	}
	if _, err := s.Clip("c1", "01ABC", t0(), []evidence.Frame{{At: t0(), JPEG: []byte("no picture")}}); err == nil || !strings.Contains(err.Error(), "first frame") {
		t.Errorf("a clip of no picture: %v", err)
	}
	if _, err := evidence.Open(t.TempDir(), evidence.Limits{}); err == nil || !strings.Contains(err.Error(), "clip bytes: 0: want 1 MiB") || !strings.Contains(err.Error(), "age: 0s") {
		t.Errorf("no limits: %v", err)
	}
	path, err := s.Snapshot("c1", "01ABC", evidence.Frame{At: t0(), JPEG: []byte{1, 2}})
	if b, rerr := os.ReadFile(path); err != nil || rerr != nil || !bytes.Equal(b, []byte{1, 2}) {
		t.Errorf("snapshot: %v %v", err, rerr)
	}
}
