package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/report"
	"github.com/shedguard/shedguard/vision/worker"
)

const (
	hourFrames = 3600 * filmFPS
	// streamFrames is how many frames come over a connection, before the camera ends it
	// and is connected to anew.
	streamFrames = 1450
	// showFrames is how long the programme is: half an hour's frames and the whole of
	// them end at the same place in it.
	showFrames = 375
	// hourRise is by how much the highest memory of the last quarter may be above that
	// of the second.
	hourRise = 1.1
	// hourSlack is what two measurements of the same heap may differ by.
	hourSlack = 1 << 20
)

// hourLine is what becomes of a worker's memory while many frames pass through it.
type hourLine struct {
	Kind         string           `json:"kind"` // hour
	Frames       int64            `json:"frames"`
	Judged       int64            `json:"judged"` // by the model
	Played       vision.Number    `json:"played_s"`
	Took         vision.Number    `json:"took_s"`
	Streams      int64            `json:"streams"` // connections to the camera
	Told         int64            `json:"told"`    // sights
	Pictures     int64            `json:"pictures"`
	Clips        int64            `json:"clips"`
	Width        int              `json:"width"`
	Height       int              `json:"height"`
	QuarterMB    [4]vision.Number `json:"rss_quarter_mb"` // highest of each quarter
	Rise         vision.Number    `json:"rss_rise"`       // the last quarter in parts of the second
	GoBytes      [2]int64         `json:"go_heap_bytes"`  // after collection: at half time, at the end
	CBytes       [2]int64         `json:"c_heap_bytes"`   // 0 where the C library does not tell
	CPUFrameMS   vision.Number    `json:"cpu_ms_frame"`   // serving and measuring with it
	Model        string           `json:"model"`
	ModelVersion string           `json:"model_version"`
	OpenCV       string           `json:"opencv"`
	Arch         string           `json:"arch"`
	Processor    string           `json:"processor"`
}

// turns lets a worker have one picture at a time, so that it sees every one, and moves
// a played clock on with each. It measures between two pictures, when nothing is under
// way.
type turns struct {
	clock  atomic.Int64  // nanoseconds since 1970
	free   chan struct{} // holds one while no picture is out
	given  int64
	frames int64
	end    func()
	line   *hourLine
}

// now is the played clock.
func (t *turns) now() time.Time { return time.Unix(0, t.clock.Load()) }

// source is a camera whose pictures come in turns.
type source struct {
	worker.Source

	turns *turns
}

// Next implements worker.Source.
func (s source) Next(ctx context.Context) (worker.Picture, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.turns.free:
	}
	p, err := s.Source.Next(ctx)
	if err == nil {
		err = s.turns.measure()
	}
	if err != nil {
		s.turns.free <- struct{}{}
		return nil, err
	}
	s.turns.clock.Add(int64(time.Second / filmFPS))
	return turn{p, s.turns.free}, nil
}

// turn is a picture whose end lets the next one come.
type turn struct {
	worker.Picture

	free chan<- struct{}
}

// Close implements worker.Picture.
func (t turn) Close() error {
	err := t.Picture.Close()
	t.free <- struct{}{}
	return err
}

// measure looks at the memory before a picture is handed over, and ends the worker after
// the last one.
func (t *turns) measure() error {
	n := t.given
	t.given++
	half := 0
	switch n {
	case t.frames / 2:
	case t.frames:
		half = 1
		defer t.end()
	default:
		if n%25 != 0 {
			return nil
		}
		half = -1
	}
	if half >= 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.line.GoBytes[half], t.line.CBytes[half] = int64(m.HeapAlloc), opencv.HeapBytes()
	}
	rss, _, err := memoryOf(os.Getpid())
	if err != nil {
		return err
	}
	q := &t.line.QuarterMB[min(4*n/t.frames, 3)]
	*q = max(*q, vision.Number(rss))
	return nil
}

// hour puts frames through a worker inside this process.
func (c *benchCmd) hour(e *env) (err error) {
	if c.Frames == 0 {
		c.Frames = hourFrames
	}
	if c.Frames < 1 || c.Frames > 10_000_000 || c.Frames%(2*showFrames) != 0 {
		return usageError{fmt.Errorf("--frames %d: want a multiple of %d, 10 million at most", c.Frames, 2*showFrames)}
	}
	d, settings, err := modelFlags{Model: c.Model, Threads: 1}.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	films, err := drawAll(e, c.Width, c.Height)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "shedguard-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	frames := int64(c.Frames)
	line := &hourLine{
		Kind: "hour", Frames: frames, Width: c.Width, Height: c.Height, Played: vision.Number(float64(frames) / filmFPS),
		Model: settings.Name, ModelVersion: settings.Version, OpenCV: opencv.Version(), Arch: runtime.GOARCH, Processor: processor(),
	}
	camera := &projector{picture: func(n int64) []byte { return programme(films, n) }, most: min(frames/3, streamFrames)}
	base, stop, err := serve(e.ctx, camera)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	t := &turns{free: make(chan struct{}, 1), frames: frames, end: cancel, line: line}
	t.clock.Store(time.Now().UnixNano())
	t.free <- struct{}{}
	out, lines := io.Pipe()
	w, err := worker.New(worker.Options{
		Config: &worker.Config{
			StateDir: filepath.Join(dir, "state"), Threads: 1,
			Evidence: worker.Evidence{Dir: filepath.Join(dir, "evidence"), MaxMB: 64, MaxAge: time.Hour, Privacy: worker.PrivacyNone},
			Cameras:  []worker.Camera{{Name: "c1", URL: base, FPS: filmFPS}},
		},
		Settings: worker.DefaultSettings(confirm.Shipped(settings)), Grid: settings.Grid, Detector: judge{d},
		Open: func(ctx context.Context, url string) (worker.Source, error) {
			line.Streams++
			s, err := openCamera(ctx, url)
			if err != nil {
				return nil, err
			}
			return source{s, t}, nil
		},
		Hello: report.Hello{Version: version, Model: settings.Name}, Out: lines, Log: e.log, NewID: newID, Now: t.now,
	})
	if err != nil {
		return err
	}
	p := newProgress(e.errs, "frames", c.Frames)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		line.listen(out, p)
	}()
	began, used := time.Now(), cpuTime()
	err = errors.Join(w.Run(ctx), lines.Close())
	<-heard
	p.clear()
	line.Took = seconds(time.Since(began))
	line.CPUFrameMS = vision.Number((cpuTime() - used).Seconds() * 1000 / float64(frames))
	switch {
	case err != nil:
		return err
	case e.ctx.Err() != nil:
		return errInterrupted
	case t.given <= frames:
		return fmt.Errorf("the worker ended after %d frames", t.given)
	default:
	}
	line.Rise = line.QuarterMB[3] / line.QuarterMB[1]
	return errors.Join(c.tellHour(e, line), line.bars())
}

// programme is what the camera sees: a quiet while, people and headlights, a fire, and
// quiet again, 75 s of it over and over.
func programme(films map[string]*footage, n int64) []byte {
	f := films[filmIdle]
	switch k := n % showFrames; {
	case k >= 150 && k < 200:
		f = films[filmBusy]
	case k >= 200 && k < 300:
		f = films[filmBurns]
	default:
	}
	return f.pictures[n%int64(len(f.pictures))]
}

// listen counts what the worker says.
func (l *hourLine) listen(from io.Reader, p *progress) {
	lines := report.NewReader(from)
	told := make(map[string]bool)
	for {
		say, err := lines.Read()
		if errors.Is(err, report.ErrLine) {
			continue
		}
		if err != nil {
			return
		}
		switch {
		case say.Health != nil:
			l.Judged = say.Health.Judged
			for int64(p.done) < say.Health.Frames {
				p.step()
			}
		case say.Observation != nil:
			if !told[say.Observation.ID] {
				told[say.Observation.ID] = true
				l.Told++
			}
		case say.Evidence != nil && say.Evidence.Kind == report.Clip:
			l.Clips++
		case say.Evidence != nil:
			l.Pictures++
		}
	}
}

// bars tells what of the memory is not flat.
func (l *hourLine) bars() error {
	var errs []error
	if !(l.Rise <= hourRise) {
		errs = append(errs, fmt.Errorf("resident memory rose to %.2f of what it was: want %g at most", float64(l.Rise), hourRise))
	}
	for _, h := range []struct {
		what  string
		bytes [2]int64
	}{{"Go", l.GoBytes}, {"C", l.CBytes}} {
		if rise := h.bytes[1] - h.bytes[0]; rise > hourSlack {
			errs = append(errs, fmt.Errorf("%s memory in use rose by %d bytes in %d frames: want %d at most", h.what, rise, l.Frames/2, hourSlack))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("memory is not flat: %w", err)
	}
	return nil
}

func (c *benchCmd) tellHour(e *env, l *hourLine) error {
	if c.JSON {
		return json.NewEncoder(e.out).Encode(l)
	}
	out := bufio.NewWriter(e.out)
	fmt.Fprintf(out, "%s %s, OpenCV %s, %s, %s\n", l.Model, l.ModelVersion, l.OpenCV, l.Arch, l.Processor)
	fmt.Fprintf(out, "%d frames of %d x %d, %s at %d a second, played in %s, %.1f ms of processor time a frame\n",
		l.Frames, l.Width, l.Height, span(l.Played), filmFPS, span(l.Took), float64(l.CPUFrameMS))
	fmt.Fprintf(out, "%d to the model, %d sights, %d pictures, %d clips, %d connections to the camera\n\n", l.Judged, l.Told, l.Pictures, l.Clips, l.Streams)
	fmt.Fprintf(out, "resident, highest of each quarter: %.0f, %.0f, %.0f, %.0f MiB: the last is %.3f of the second\n",
		float64(l.QuarterMB[0]), float64(l.QuarterMB[1]), float64(l.QuarterMB[2]), float64(l.QuarterMB[3]), float64(l.Rise))
	fmt.Fprintf(out, "Go memory in use, after collection: %.2f MiB at half time, %.2f at the end\n", mebi(l.GoBytes[0]), mebi(l.GoBytes[1]))
	fmt.Fprintf(out, "C memory in use: %.2f MiB at half time, %.2f at the end\n", mebi(l.CBytes[0]), mebi(l.CBytes[1]))
	fmt.Fprint(out, "\nThis process draws and serves the pictures, too; --cameras measures a worker alone.\n")
	return out.Flush()
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func span(s vision.Number) time.Duration {
	return time.Duration(math.Round(float64(s))) * time.Second
}
