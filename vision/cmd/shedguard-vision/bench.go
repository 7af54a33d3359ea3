package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"runtime"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/scene"
)

type benchCmd struct {
	Model  string `type:"existingdir" placeholder:"DIR" help:"Use the model in this folder instead of the one that is built in."`
	Frames int    `placeholder:"N" help:"Frames that are measured for each row, 60 unless given; of --hour, 18000 unless given."`
	Width  int    `default:"1280" placeholder:"PIXELS" help:"Width of a frame; ${default} unless given."`
	Height int    `default:"720" placeholder:"PIXELS" help:"Height of a frame; ${default} unless given."`
	JSON   bool   `name:"json" help:"Write one JSON object a line."`

	Cameras   bool          `xor:"what" help:"Measure what the whole worker costs: processor and memory with one idle camera, a busy one, one that sees a fire, and four."`
	Hour      bool          `xor:"what" help:"Put an hour of frames through a worker, as fast as they are judged, and fail unless its memory stays flat."`
	For       time.Duration `default:"20s" placeholder:"TIME" help:"How long each worker of --cameras is measured; ${default} unless given."`
	Settle    time.Duration `default:"150s" placeholder:"TIME" help:"How long --cameras are watched before it counts: until then memory is reserved and the worker gets to know what always moves; ${default} unless given."`
	Start     time.Duration `default:"1m" placeholder:"TIME" help:"How long the first pictures of --cameras may take; ${default} unless given."`
	FPS       float64       `name:"fps" default:"5" placeholder:"N" help:"Frames of each of --cameras that are looked at in a second; ${default} unless given."`
	StreamFPS float64       `name:"stream-fps" default:"5" placeholder:"N" help:"Pictures that each of --cameras sends in a second; ${default} unless given."`
	URL       []string      `name:"url" placeholder:"URL" help:"Measure --cameras with a camera of one's own instead of drawn ones; may be given several times."`
	Program   string        `type:"existingfile" placeholder:"FILE" help:"Measure --cameras with another build of this program."`
}

// Help is shown by bench --help.
func (benchCmd) Help() string {
	return `Without flags: how long one frame takes to be decoded and judged.

With --cameras: what a worker costs that watches cameras, to choose a box by. The cameras are drawn sheds, served as motion JPEG on 127.0.0.1; or one's own:

  shedguard-vision bench --cameras --url rtsp://user:password@10.0.0.5/stream2

With --hour: whether memory stays flat over 18000 frames: quiet, busy and burning ones, with evidence and lost connections.`
}

// errInterrupted ends a measurement.
var errInterrupted = errors.New("interrupted")

// benchLine is one row: a frame is decoded from JPEG, then scaled, inferred and judged.
type benchLine struct {
	Kind         string        `json:"kind"`
	Threads      int           `json:"threads"`
	Frames       int           `json:"frames"`
	Width        int           `json:"width"`
	Height       int           `json:"height"`
	DecodeMS     vision.Number `json:"decode_ms_median"`
	SeeMS        vision.Number `json:"see_ms_median"`
	SeeP95MS     vision.Number `json:"see_ms_p95"`
	TotalMS      vision.Number `json:"frame_ms_median"` // both
	TotalP95MS   vision.Number `json:"frame_ms_p95"`
	SeeCPUMS     vision.Number `json:"see_cpu_ms_median"` // over all threads: other programs of the machine change it less
	PerSecond    vision.Number `json:"frames_per_s"`
	PerCore      vision.Number `json:"frames_per_s_per_core"`
	Model        string        `json:"model"`
	ModelVersion string        `json:"model_version"`
	OpenCV       string        `json:"opencv"`
	Arch         string        `json:"arch"`
}

const warmUpFrames = 5

// Run measures.
func (c *benchCmd) Run(e *env) error {
	if c.Width < 64 || c.Width > 4096 || c.Height < 64 || c.Height > 4096 {
		return usageError{fmt.Errorf("%d x %d: want frames of 64 to 4096 pixels a side", c.Width, c.Height)}
	}
	switch {
	case c.Cameras:
		return c.cameras(e)
	case c.Hour:
		return c.hour(e)
	default:
	}
	return c.frame(e)
}

// frame measures single frames with one thread and with two.
func (c *benchCmd) frame(e *env) error {
	if c.Frames == 0 {
		c.Frames = 60
	}
	if c.Frames < 1 || c.Frames > 100_000 {
		return usageError{fmt.Errorf("--frames %d: want 1 to 100000", c.Frames)}
	}
	var rows []benchLine
	for threads := 1; threads <= 2; threads++ {
		row, err := c.measure(e, threads)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	out := bufio.NewWriter(e.out)
	if c.JSON {
		lines := json.NewEncoder(out)
		for _, r := range rows {
			if err := lines.Encode(r); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	r := rows[0]
	fmt.Fprintf(out, "%s %s, OpenCV %s, %s, %d frames of %d x %d after %d to warm up\n\n",
		r.Model, r.ModelVersion, r.OpenCV, r.Arch, r.Frames, r.Width, r.Height, warmUpFrames)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "threads\tdecode ms\tsee ms\tp95\tsee CPU ms\tframe ms\tp95\tframes/s\tper core\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", r.Threads, float64(r.DecodeMS), float64(r.SeeMS), float64(r.SeeP95MS), float64(r.SeeCPUMS),
			float64(r.TotalMS), float64(r.TotalP95MS), float64(r.PerSecond), float64(r.PerCore))
	}
	return errors.Join(t.Flush(), out.Flush())
}

func (c *benchCmd) measure(e *env, threads int) (row benchLine, err error) {
	flags := modelFlags{Model: c.Model, Threads: threads}
	detector, settings, err := flags.open()
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, detector.Close()) }()
	frame, err := shed(c.Width, c.Height)
	if err != nil {
		return row, err
	}
	var decode, see, total, cpu []time.Duration
	p := newProgress(e.errs, fmt.Sprintf("frames with %d threads", threads), c.Frames+warmUpFrames)
	defer p.clear()
	for i := range c.Frames + warmUpFrames {
		if e.ctx.Err() != nil {
			return row, errInterrupted
		}
		began := time.Now()
		img, err := opencv.Decode(frame)
		if err != nil {
			return row, err
		}
		decoded, used := time.Now(), cpuTime()
		_, err = detector.See(img)
		seen := time.Now()
		used = cpuTime() - used
		if err := errors.Join(err, img.Close()); err != nil {
			return row, err
		}
		if i >= warmUpFrames {
			decode, see, total = append(decode, decoded.Sub(began)), append(see, seen.Sub(decoded)), append(total, seen.Sub(began))
			cpu = append(cpu, used)
		}
		p.step()
	}
	row = benchLine{
		Kind: "bench", Threads: threads, Frames: c.Frames, Width: c.Width, Height: c.Height,
		Model: settings.Name, ModelVersion: settings.Version, OpenCV: opencv.Version(), Arch: runtime.GOARCH,
	}
	median, _ := quantiles(decode)
	row.DecodeMS = milliseconds(median)
	median, p95 := quantiles(see)
	row.SeeMS, row.SeeP95MS = milliseconds(median), milliseconds(p95)
	median, _ = quantiles(cpu)
	row.SeeCPUMS = milliseconds(median)
	median, p95 = quantiles(total)
	row.TotalMS, row.TotalP95MS = milliseconds(median), milliseconds(p95)
	row.PerSecond = vision.Number(1 / median.Seconds())
	row.PerCore = row.PerSecond / vision.Number(threads)
	return row, nil
}

// cpuTime is what all threads of this process have used.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// shed is the picture of a drawn shed on fire: as busy as a camera's, and every box has
// to be found.
func shed(width, height int) ([]byte, error) {
	s, err := scene.New(scene.Options{Width: width, Height: height, Seed: 1, Script: scene.Burning(0, time.Second, time.Minute, 0.5, 0.6)})
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	s.Render(30*time.Second, img)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 85}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
