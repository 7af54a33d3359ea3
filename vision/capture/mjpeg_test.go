package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shedguard/shedguard/vision/capture"
	"github.com/shedguard/shedguard/vision/scene"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASceneIsRead(t *testing.T) {
	s, err := scene.New(scene.Options{Width: 320, Height: 180, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	camera := httptest.NewServer(scene.Stream(s, 20, time.Now()))
	defer camera.Close()
	m, err := capture.OpenMJPEG(t.Context(), camera.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b, err := m.Next()
		if err != nil {
			t.Fatal(err)
		}
		if img, err := jpeg.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Dx() != 320 {
			t.Fatalf("a picture: %v", err)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestBoundaryAndLength: two dashes in the boundary's name, a part without a length.
func TestBoundaryAndLength(t *testing.T) {
	camera := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", `multipart/x-mixed-replace; boundary="--odd"`)
		_, _ = fmt.Fprint(w, "--odd\r\nContent-Type: image/jpeg\r\n\r\nno length\r\n--odd\r\nContent-Length: 3\r\n\r\nabc\r\n--odd--\r\n")
	}))
	defer camera.Close()
	m, err := capture.OpenMJPEG(t.Context(), camera.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	for _, want := range []string{"no length", "abc"} {
		if b, err := m.Next(); err != nil || string(b) != want {
			t.Errorf("%q, %v, want %q", b, err, want)
		}
	}
	if _, err := m.Next(); err == nil {
		t.Error("no end")
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   string
	}{
		"a page":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }, `want multipart/x-mixed-replace`},
		"not found": {http.NotFound, "HTTP 404 Not Found"},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, capture.ErrRefused.Error() + ": HTTP 403 Forbidden"},
		"much to say": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", strings.Repeat("x", 32<<10))
		}, "headers exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			camera := httptest.NewServer(tt.handle)
			defer camera.Close()
			if _, err := capture.OpenMJPEG(t.Context(), camera.URL); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OpenMJPEG: %v, want %q", err, tt.want)
			}
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := capture.OpenMJPEG(t.Context(), gone.URL); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := capture.OpenMJPEG(t.Context(), "http://user:secret@[::1"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no address: %v", err)
	}
}

// TestOneThatSaysNothing: accepted, and then silence: after the request, or in
// the middle of a picture.
func TestOneThatSaysNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes as long as a silence, 10 s")
	}
	for name, begin := range map[string]string{
		"at once":                    "",
		"in the middle of a picture": "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n--b\r\nContent-Length: 100\r\n\r\nhalf",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = fmt.Fprint(conn, begin)
				_, _ = conn.Read(make([]byte, 1)) // until it is closed
				_ = conn.Close()
			}()
			m, err := capture.OpenMJPEG(t.Context(), "http://"+l.Addr().String())
			if err == nil {
				_, err = m.Next()
				_ = m.Close()
			}
			if !errors.Is(err, capture.ErrSilent) {
				t.Errorf("%v", err)
			}
			_ = l.Close()
			<-done
		})
	}
}

func TestTheContextEndsIt(t *testing.T) {
	s, err := scene.New(scene.Options{Width: 64, Height: 64, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	camera := httptest.NewServer(scene.Stream(s, 1, time.Now()))
	defer camera.Close()
	ctx, cancel := context.WithCancel(t.Context())
	m, err := capture.OpenMJPEG(ctx, camera.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	cancel()
	for err == nil {
		_, err = m.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v", err)
	}
}
