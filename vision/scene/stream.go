package scene

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"sync"
	"time"
)

// Stream serves a scene as motion JPEG (multipart/x-mixed-replace), fps
// pictures a second, the first one at start. Several clients may look at once.
// A client that falls behind loses pictures, not time.
func Stream(s *Scene, fps int, start time.Time) http.Handler {
	st := &stream{scene: s, every: time.Second / time.Duration(max(fps, 1)), start: start, img: image.NewRGBA(image.Rect(0, 0, s.w, s.h))}
	return st
}

type stream struct {
	scene *Scene
	every time.Duration
	start time.Time

	mu   sync.Mutex // guards the rest and the scene
	img  *image.RGBA
	slot int64 // of jpg
	jpg  []byte
}

// picture is the newest picture, encoded once for all clients.
func (s *stream) picture(now time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := int64(now.Sub(s.start) / s.every)
	if s.jpg != nil && slot == s.slot {
		return s.jpg, nil
	}
	s.scene.Render(time.Duration(slot)*s.every, s.img)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, s.img, &jpeg.Options{Quality: 80}); err != nil {
		return nil, fmt.Errorf("scene: encode: %w", err)
	}
	s.slot, s.jpg = slot, buf.Bytes()
	return s.jpg, nil
}

// ServeHTTP implements http.Handler.
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		jpg, err := s.picture(time.Now())
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(jpg), jpg); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
