package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard/internal/niceness"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/capture"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/report"
	"github.com/shedguard/shedguard/vision/worker"
)

type runCmd struct {
	Config string `required:"" type:"existingfile" placeholder:"FILE" help:"What cameras there are, and where to keep what is learned and seen (the gateway writes it)."`
	Model  string `type:"existingdir" placeholder:"DIR" help:"Use the model in this folder (one .onnx file and model.json) instead of the one that is built in."`
}

// Help is shown by run --help.
func (runCmd) Help() string {
	return `Watches cameras until standard input is closed. Writes one JSON object a line on stdout: hello, health of each camera once a second, observation when flame or smoke is confirmed, evidence when a picture or clip was written.

The gateway starts this by itself; by hand:

  tail -f /dev/null | shedguard-vision run --config cameras.yaml`
}

// Run watches cameras.
func (c *runCmd) Run(e *env) error {
	b, err := os.ReadFile(c.Config)
	if err != nil {
		return usageError{err}
	}
	cfg, err := worker.ParseConfig(b)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", c.Config, err)}
	}
	if err := yield(cfg.Nice); err != nil {
		e.log.Warn("this process cannot stand back behind the guard", "err", err)
	}
	d, s, err := modelFlags{Model: c.Model, Threads: cfg.Threads}.open()
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Options{
		Config: cfg, Settings: worker.DefaultSettings(confirm.Shipped(s)), Grid: s.Grid, Detector: judge{d},
		Open: openCamera, Hello: report.Hello{Version: version, Model: s.Name + " " + s.Version},
		Out: e.out, In: e.in, Log: e.log, NewID: newID,
	})
	if err != nil {
		return errors.Join(err, d.Close())
	}
	err = w.Run(e.ctx)
	if errors.Is(err, worker.ErrWedged) {
		return err // what hangs may hold the detector's memory
	}
	return errors.Join(err, d.Close())
}

// yield puts the process behind the guard on the same box, whose niceness and whose
// protection from the kernel's killer it has inherited.
func yield(nice int) error {
	if err := niceness.Set(nice); err != nil {
		return err
	}
	return os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0o600)
}

func newID() string {
	return ulid.MustNew(ulid.Timestamp(time.Now()), rand.Reader).String()
}

// judge lets the detector see a worker's picture.
type judge struct{ *opencv.Detector }

// See implements worker.Detector.
func (j judge) See(p worker.Picture, part vision.Rect) (vision.Sight, error) {
	if t, ok := p.(turn); ok {
		p = t.Picture
	}
	var img *opencv.Image
	switch p := p.(type) {
	case frame:
		img = p.Image
	case still:
		var err error
		if img, err = p.Image(); err != nil {
			return vision.Sight{}, spoilt(err)
		}
	default:
		return vision.Sight{}, fmt.Errorf("a picture of %T", p)
	}
	if part == vision.Whole() {
		return j.Detector.See(img)
	}
	return j.SeePart(img, part)
}

// frame is a picture of OpenCV's.
type frame struct{ *opencv.Image }

// Mark implements worker.Picture.
func (f frame) Mark(boxes []vision.Box, line string, only bool) error {
	if only {
		if err := f.Veil(boxes); err != nil {
			return err
		}
	}
	f.Annotate(boxes, line)
	return nil
}

// still is a picture that came encoded.
type still struct{ *opencv.Still }

// Grey implements worker.Picture.
func (s still) Grey(dst []uint8, width, height int) error {
	return spoilt(s.Still.Grey(dst, width, height))
}

// JPEG implements worker.Picture.
func (s still) JPEG(quality int) ([]byte, error) {
	b, err := s.Still.JPEG(quality)
	return b, spoilt(err)
}

// Mark implements worker.Picture.
func (s still) Mark(boxes []vision.Box, line string, only bool) error {
	img, err := s.Draw()
	if err != nil {
		return spoilt(err)
	}
	return frame{img}.Mark(boxes, line, only)
}

// spoilt tells the worker that an error is the picture's.
func spoilt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", worker.ErrDamaged, err)
}

// openCamera opens whatever a camera's address leads to.
func openCamera(ctx context.Context, address string) (worker.Source, error) {
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		m, err := capture.OpenMJPEG(ctx, address)
		if err != nil {
			return nil, err
		}
		return mjpeg{m}, nil
	}
	l, err := opencv.OpenLive(ctx, address)
	if err != nil {
		return nil, err
	}
	return live{l}, nil
}

// mjpeg gives the pictures of a stream as they came: the worker finds out whether they
// are some.
type mjpeg struct{ *capture.MJPEG }

// Next implements worker.Source.
func (m mjpeg) Next(context.Context) (worker.Picture, error) {
	b, err := m.MJPEG.Next()
	if err != nil {
		return nil, err
	}
	return still{opencv.NewStill(b)}, nil
}

// live is a stream that OpenCV reads.
type live struct{ *opencv.Live }

// Next implements worker.Source.
func (l live) Next(context.Context) (worker.Picture, error) {
	img, err := l.Live.Next()
	if err != nil {
		return nil, err
	}
	return frame{img}, nil
}
