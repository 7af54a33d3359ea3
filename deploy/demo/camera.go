package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
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

// drawn is a camera whose pictures are drawn.
type drawn struct {
	url   string
	flame time.Time // when flames are first drawn
}

// evening is what goes on in front of the camera while nothing burns.
func evening() scene.Script { return scene.Quiet(sceneSeed, time.Hour) }

// film serves a drawn shed as a network camera would, until ctx ends.
func film(ctx context.Context, g *errgroup.Group, flameAfter time.Duration, script scene.Script) (*drawn, error) {
	s, err := scene.New(scene.Options{Width: sceneWidth, Height: sceneHeight, Seed: sceneSeed, Script: append(evening(), script...)})
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("camera: %w", err)
	}
	start := time.Now()
	server := &http.Server{Handler: scene.Stream(s, sceneFPS, start), ReadHeaderTimeout: 5 * time.Second}
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
	return &drawn{url: "http://" + l.Addr().String() + "/", flame: start.Add(flameAfter)}, nil
}

// eyes is the camera worker beside this program; empty where it was not built.
func eyes(beside string) string {
	if info, err := os.Stat(beside); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return beside
}
