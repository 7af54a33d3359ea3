package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard/vision/scene"
)

// filmFPS is at how many pictures a second films are drawn.
const filmFPS = 5

// footage is a few seconds in front of a camera, drawn and encoded before anything is
// measured, and shown again and again.
type footage struct {
	name     string
	pictures [][]byte
}

// The films.
const (
	filmIdle  = "idle"
	filmBusy  = "busy"
	filmBurns = "burns"
)

// draw draws a film.
func draw(name string, width, height int, p *progress) (*footage, error) {
	f := &footage{name: name}
	const length = 10 * time.Second
	from, script := time.Duration(0), scene.Script(nil)
	switch name {
	case filmBusy: // somebody walks by and light moves, all the time
		script = scene.Script{
			{Kind: scene.Headlights, For: length, X: 0.2},
			{Kind: scene.Person, For: length, X: 0.2, Size: 0.4},
			{Kind: scene.RedCoat, For: length, X: 0.8, Size: 0.35},
			{Kind: scene.Neon, For: length, X: 0.5},
		}
	case filmBurns:
		from = 20 * time.Second // full-grown
		script = scene.Burning(0, time.Second, time.Minute, 0.5, 0.4)
	default: // sensor noise and the camera's clock
	}
	s, err := scene.New(scene.Options{Width: width, Height: height, Seed: 1, Script: script})
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for t := time.Duration(0); t < length; t += time.Second / filmFPS {
		s.Render(from+t, img)
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 80}); err != nil {
			return nil, err
		}
		f.pictures = append(f.pictures, buf.Bytes())
		p.step()
	}
	return f, nil
}

// drawAll draws each film once.
func drawAll(e *env, width, height int) (map[string]*footage, error) {
	films := make(map[string]*footage)
	p := newProgress(e.errs, "pictures drawn", 3*10*filmFPS)
	defer p.clear()
	for _, name := range []string{filmIdle, filmBusy, filmBurns} {
		if e.ctx.Err() != nil {
			return nil, errInterrupted
		}
		f, err := draw(name, width, height, p)
		if err != nil {
			return nil, err
		}
		films[name] = f
	}
	return films, nil
}

// projector serves pictures as a network camera does, as motion JPEG.
type projector struct {
	picture func(n int64) []byte // the n-th
	every   time.Duration        // between two of them; 0: as fast as they are taken
	most    int64                // pictures of a connection, 0: no end
	sent    atomic.Int64         // over all connections
}

// ServeHTTP implements http.Handler.
func (p *projector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	out := http.NewResponseController(w)
	var due <-chan time.Time
	if p.every > 0 {
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		due = tick.C
	}
	for n := int64(0); p.most == 0 || n < p.most; n++ {
		jpg := p.picture(p.sent.Load())
		if _, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(jpg), jpg); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		p.sent.Add(1)
		if due == nil {
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-due:
		}
	}
}
