package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard/vision/scene"
)

const (
	sceneWidth, sceneHeight = 640, 360
	sceneFPS                = 10
	sceneSeed               = 3
	// checkFlameAfter is when flames are first drawn for a smoke run, and
	// demoSmokeAfter and demoFlameAfter when smoke and flames are for a person.
	checkFlameAfter = 30 * time.Second
	demoSmokeAfter  = 125 * time.Second
	demoFlameAfter  = 140 * time.Second
)

// drawn is a camera whose pictures are drawn. Its evening begins when somebody
// first looks: a slow start of the programs takes nothing from the quiet part.
type drawn struct {
	url        string
	scene      *scene.Scene
	flameAfter time.Duration // of the first picture with flames

	mu     sync.Mutex // guards the rest
	began  time.Time
	stream http.Handler
}

// newDrawn returns a camera before which the script happens.
func newDrawn(script scene.Script) (*drawn, error) {
	opts := scene.Options{Width: sceneWidth, Height: sceneHeight, Seed: sceneSeed, Script: append(evening(), script...)}
	s, err := scene.New(opts)
	if err != nil {
		return nil, err
	}
	d := &drawn{scene: s}
	for s.Truth(d.flameAfter).Flame.Empty() {
		if d.flameAfter += time.Second / sceneFPS; d.flameAfter > time.Hour {
			return nil, errors.New("camera: no flames within an hour")
		}
	}
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *drawn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.stream == nil {
		d.began = time.Now()
		d.stream = scene.Stream(d.scene, sceneFPS, d.began)
	}
	stream := d.stream
	d.mu.Unlock()
	stream.ServeHTTP(w, r)
}

// looked is when somebody first looked, and flame when flames are first drawn;
// false while nobody has looked.
func (d *drawn) looked() (began, flame time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began, d.began.Add(d.flameAfter), !d.began.IsZero()
}

// evening is what goes on in front of the camera while nothing burns.
func evening() scene.Script { return scene.Quiet(sceneSeed, time.Hour) }

// film serves a drawn shed as a network camera would, until ctx ends.
func film(ctx context.Context, g *errgroup.Group, script scene.Script) (*drawn, error) {
	d, err := newDrawn(script)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("camera: %w", err)
	}
	server := &http.Server{Handler: d, ReadHeaderTimeout: 5 * time.Second}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("camera: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close() // a stream has no end of its own
	})
	d.url = "http://" + l.Addr().String() + "/"
	return d, nil
}

// eyes is the camera worker beside this program; empty where it was not built.
func eyes(beside string) string {
	if info, err := os.Stat(beside); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return beside
}
