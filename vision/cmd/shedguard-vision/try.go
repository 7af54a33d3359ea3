package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/opencv"
)

type tryCmd struct {
	modelFlags

	Path string  `arg:"" placeholder:"FILE|DIR" help:"A picture (JPEG, PNG, WebP, BMP), a video, or a folder of them."`
	Out  string  `type:"path" placeholder:"DIR" help:"Write every picture and video with what was seen drawn on it into this folder."`
	FPS  float64 `name:"fps" default:"5" placeholder:"N" help:"Frames of a video that are looked at each second of it; 0 looks at all; ${default} unless given."`
}

// Help is shown by try --help.
func (tryCmd) Help() string {
	return `Writes one JSON object a frame on stdout:

  {"kind":"frame","path":…,"frame":0,"time_s":0,"width":…,"height":…,"flame":0.97,"smoke":0.02,"flame_seen":true,"smoke_seen":false,"boxes":[{"class":"flame","x":…,"y":…,"w":…,"h":…,"score":…,"cells":…}],"ms":…}

flame and smoke are scores from 0 to 1, the _seen words tell whether they reach the shipped thresholds, and boxes are given as shares of the picture. A file that cannot be read is told on stderr and as {"kind":"fault",…}; the others are still looked at, and the exit code is 1.`
}

// frameLine is what was seen in one frame.
type frameLine struct {
	Kind      string        `json:"kind"`
	Path      string        `json:"path"`
	Frame     int           `json:"frame"`
	TimeS     vision.Number `json:"time_s"`
	Width     int           `json:"width"`
	Height    int           `json:"height"`
	Flame     vision.Number `json:"flame"`
	Smoke     vision.Number `json:"smoke"`
	FlameSeen bool          `json:"flame_seen"`
	SmokeSeen bool          `json:"smoke_seen"`
	Boxes     []boxLine     `json:"boxes"`
	MS        vision.Number `json:"ms"` // to scale, infer and judge
}

type boxLine struct {
	Class vision.Class  `json:"class"`
	X     vision.Number `json:"x"`
	Y     vision.Number `json:"y"`
	W     vision.Number `json:"w"`
	H     vision.Number `json:"h"`
	Score vision.Number `json:"score"`
	Cells int           `json:"cells"`
}

// faultLine is a file that could not be looked at.
type faultLine struct {
	Kind  string `json:"kind"`
	Path  string `json:"path"`
	Error string `json:"error"`
}

func boxLines(boxes []vision.Box) []boxLine {
	lines := make([]boxLine, 0, len(boxes))
	for _, b := range boxes {
		lines = append(lines, boxLine{
			Class: b.Class, X: vision.Number(b.X), Y: vision.Number(b.Y), W: vision.Number(b.W), H: vision.Number(b.H),
			Score: vision.Number(b.Score), Cells: b.Cells,
		})
	}
	return lines
}

// Run looks at everything that was named.
func (c *tryCmd) Run(e *env) (err error) {
	if err := checkFPS(c.FPS); err != nil {
		return err
	}
	files, err := searchAny(c.Path)
	if err != nil {
		return usageError{err}
	}
	if err := c.checkOut(); err != nil {
		return usageError{err}
	}
	detector, settings, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, detector.Close()) }()

	out := bufio.NewWriter(e.out)
	t := &trial{
		tryCmd: c, env: e, detector: detector, settings: settings,
		out: out, lines: json.NewEncoder(out), progress: newProgress(e.errs, "frames", 0),
	}
	faults := 0
	for _, f := range files {
		if e.ctx.Err() != nil {
			break
		}
		if err := t.file(f); err != nil {
			if _, ok := errors.AsType[writeError](err); ok {
				return err
			}
			faults++
			t.progress.clear()
			e.log.Error("skipped", "path", f.path, "error", err)
			if err := t.write(faultLine{Kind: "fault", Path: f.path, Error: err.Error()}); err != nil {
				return err
			}
		}
	}
	t.progress.clear()
	if e.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if faults > 0 {
		return fmt.Errorf("%d of %d files could not be looked at", faults, len(files))
	}
	return nil
}

func checkFPS(fps float64) error {
	if !(fps >= 0 && fps <= 1000) {
		return usageError{fmt.Errorf("--fps %g: want 0 to 1000", fps)}
	}
	return nil
}

// checkOut makes sure that no input is written over.
func (c *tryCmd) checkOut() error {
	if c.Out == "" {
		return nil
	}
	in := c.Path
	if info, err := os.Stat(in); err == nil && !info.IsDir() {
		in = filepath.Dir(in)
	}
	absIn, err := filepath.Abs(in)
	if err != nil {
		return err
	}
	absOut, err := filepath.Abs(c.Out)
	if err != nil {
		return err
	}
	if resolved, err := filepath.EvalSymlinks(absOut); err == nil {
		absOut = resolved
	}
	if resolved, err := filepath.EvalSymlinks(absIn); err == nil {
		absIn = resolved
	}
	if rel, err := filepath.Rel(absIn, absOut); err == nil && rel == "." {
		return fmt.Errorf("--out %s: want another folder than that of the input, which would be written over", c.Out)
	}
	return os.MkdirAll(c.Out, 0o750)
}

// writeError is a failure of our own output: going on would lose results.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// trial is one run of try.
type trial struct {
	*tryCmd
	*env
	detector *opencv.Detector
	settings vision.Settings
	out      *bufio.Writer
	lines    *json.Encoder
	progress *progress
}

func (t *trial) write(line any) error {
	if err := t.lines.Encode(line); err != nil {
		return writeError{err}
	}
	if err := t.out.Flush(); err != nil {
		return writeError{err}
	}
	return nil
}

func (t *trial) file(f found) error {
	if f.kind == video {
		return t.video(f)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	img, err := opencv.Decode(data)
	if err != nil {
		return err
	}
	defer func() { _ = img.Close() }() // frees memory only
	if err := t.frame(f, img, 0, 0, filepath.Base(f.path)); err != nil || t.Out == "" {
		return err
	}
	jpeg, err := img.JPEG(92)
	if err != nil {
		return err
	}
	path, err := t.outPath(f, ".jpg", ".jpeg")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, jpeg, 0o600); err != nil { //nolint:gosec // the operator names the folder
		return writeError{err}
	}
	return nil
}

// outPath is where the drawn version of a file goes: the same name, with the wanted
// ending added where it has another.
func (t *trial) outPath(f found, endings ...string) (string, error) {
	path := filepath.Join(t.Out, f.rel)
	has := strings.ToLower(filepath.Ext(path))
	same := false
	for _, e := range endings {
		same = same || e == has
	}
	if !same {
		path += endings[0]
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", writeError{err}
	}
	return path, nil
}

// frame judges one frame, tells it, and draws on it when it is kept.
func (t *trial) frame(f found, img *opencv.Image, number int, at time.Duration, name string) error {
	began := time.Now()
	sight, err := t.detector.See(img)
	if err != nil {
		return err
	}
	took := time.Since(began)
	flame, smoke := sight.Over(t.settings.Alarm)
	width, height := img.Size()
	line := frameLine{
		Kind: "frame", Path: f.path, Frame: number, TimeS: vision.Number(at.Seconds()), Width: width, Height: height,
		Flame: vision.Number(sight.Flame), Smoke: vision.Number(sight.Smoke), FlameSeen: flame, SmokeSeen: smoke,
		Boxes: boxLines(sight.Boxes), MS: milliseconds(took),
	}
	if err := t.write(line); err != nil {
		return err
	}
	t.progress.step()
	if t.Out != "" {
		img.Annotate(sight.Boxes, fmt.Sprintf("%s  flame %.2f%s  smoke %.2f%s", name, sight.Flame, mark(flame), sight.Smoke, mark(smoke)))
	}
	return nil
}

// mark shows on a picture that a threshold was reached.
func mark(over bool) string {
	if over {
		return " !"
	}
	return ""
}

// video judges a video's frames. The drawn one holds those that were judged.
func (t *trial) video(f found) (err error) {
	var writer *opencv.VideoWriter
	defer func() {
		if writer != nil {
			err = errors.Join(err, writer.Close())
		}
	}()
	return eachFrame(t.env, f.path, t.FPS, func(v *opencv.Video, img *opencv.Image, number int, at time.Duration) error {
		if err := t.frame(f, img, number, at, fmt.Sprintf("%s  %s", filepath.Base(f.path), clock(at))); err != nil || t.Out == "" {
			return err
		}
		if writer == nil {
			path, err := t.outPath(f, ".avi")
			if err != nil {
				return err
			}
			width, height := img.Size()
			if writer, err = opencv.NewVideoWriter(path, drawnFPS(t.FPS, v.FPS()), width, height); err != nil {
				return writeError{err}
			}
		}
		return writer.Write(img)
	})
}

// drawnFPS makes the drawn video run as fast as the file.
func drawnFPS(wanted, file float64) float64 {
	if file == 0 {
		file = 25
	}
	if wanted == 0 {
		return file
	}
	return math.Min(wanted, file)
}

// eachFrame hands the frames of a video to f, at most so many a second of it.
func eachFrame(e *env, path string, fps float64, f func(v *opencv.Video, img *opencv.Image, number int, at time.Duration) error) (err error) {
	v, err := opencv.OpenVideo(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	due := time.Duration(0)
	for number := 0; ; number++ {
		img, at, err := v.Next()
		if errors.Is(err, io.EOF) || e.ctx.Err() != nil {
			if img != nil {
				err = img.Close()
				if err != nil {
					return err
				}
			}
			return nil
		}
		if err != nil {
			return err
		}
		// Half a frame of a fast camera is how far times may be off.
		if fps > 0 && at < due-4*time.Millisecond {
			if err := img.Close(); err != nil {
				return err
			}
			continue
		}
		if fps > 0 {
			step := time.Duration(float64(time.Second) / fps)
			due = max(due+step, at+step/2)
		}
		if err := errors.Join(f(v, img, number, at), img.Close()); err != nil {
			return err
		}
	}
}

func milliseconds(d time.Duration) vision.Number { return vision.Number(d.Seconds() * 1000) }

// clock is a time since the beginning as people read it.
func clock(at time.Duration) string {
	return fmt.Sprintf("%02d:%06.3f", int(at.Minutes()), math.Mod(at.Seconds(), 60))
}
