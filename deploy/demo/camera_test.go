package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision/scene"
)

func TestEveningBeginsWhenLookedAt(t *testing.T) {
	t.Parallel()
	d, err := newDrawn(scene.Burning(20*time.Second, 5*time.Second, time.Minute, 0.45, 0.4))
	if err != nil {
		t.Fatal(err)
	}
	if d.flameAfter < 25*time.Second || d.flameAfter > 27*time.Second {
		t.Errorf("flames after %v, want soon after 25s", d.flameAfter)
	}
	if _, flame, ok := d.looked(); ok {
		t.Errorf("flames at %v before anybody has looked", flame)
	}
	srv := httptest.NewServer(d)
	defer srv.Close()
	var first time.Time
	for range 2 { // a second look begins nothing anew
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		began, flame, ok := d.looked()
		if !ok || flame.Sub(began) != d.flameAfter {
			t.Errorf("looked %t, from %v to flames at %v: want %v", ok, began, flame, d.flameAfter)
		}
		if first.IsZero() {
			first = flame
		}
		if !flame.Equal(first) {
			t.Errorf("flames at %v, then at %v", first, flame)
		}
	}
}

func TestCameraWantsFlames(t *testing.T) {
	t.Parallel()
	if _, err := newDrawn(nil); err == nil {
		t.Error("a camera that never shows flames is taken")
	}
	if _, err := newDrawn(scene.Script{{Kind: scene.Flame, For: time.Minute, X: 2}}); err == nil {
		t.Error("flames beside the picture are taken")
	}
}

func TestEyes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shedguard-vision")
	if got := eyes(path); got != "" {
		t.Errorf("nothing built: %q", got)
	}
	if got := eyes(filepath.Dir(path)); got != "" {
		t.Errorf("a folder: %q", got)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := eyes(path); got != path {
		t.Errorf("%q, want %q", got, path)
	}
}
