package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/report"
	"github.com/shedguard/shedguard/vision/worker"
)

// costLine is what a worker costs that watches some cameras.
type costLine struct {
	Kind         string        `json:"kind"` // cameras
	What         string        `json:"what"`
	Cameras      int           `json:"cameras"`
	Seconds      vision.Number `json:"seconds"`
	Width        int           `json:"width,omitempty"` // of the pictures that were drawn
	Height       int           `json:"height,omitempty"`
	StreamFPS    float64       `json:"stream_fps,omitempty"` // that each camera sends
	FPS          float64       `json:"fps"`                  // that are wanted of each camera
	FramesPerS   vision.Number `json:"frames_per_s"`         // looked at, over all cameras
	JudgedPerS   vision.Number `json:"judged_per_s"`         // by the model
	LeftAway     vision.Number `json:"left_away"`            // by the gate, in parts of the frames
	CPUPercent   vision.Number `json:"cpu_percent"`          // user and system, of one core
	CPUFrameMS   vision.Number `json:"cpu_ms_frame"`
	Others       vision.Number `json:"others_cpu_percent"` // what other programs used meanwhile
	StartMB      vision.Number `json:"rss_start_mb"`
	EndMB        vision.Number `json:"rss_end_mb"`
	PeakMB       vision.Number `json:"rss_peak_mb"` // since the worker was started
	Model        string        `json:"model"`
	ModelVersion string        `json:"model_version"`
	OpenCV       string        `json:"opencv"`
	Arch         string        `json:"arch"`
	Cores        int           `json:"cores"`
	Processor    string        `json:"processor"`
}

// cast is which films a worker's cameras show.
type cast struct {
	what  string
	films []string
}

func casts() []cast {
	return []cast{
		{"1 idle", []string{filmIdle}},
		{"1 busy", []string{filmBusy}},
		{"1 burns", []string{filmBurns}},
		{"4 idle", []string{filmIdle, filmIdle, filmIdle, filmIdle}},
		{"4 mixed: 2 idle, 1 busy, 1 burns", []string{filmIdle, filmIdle, filmBusy, filmBurns}},
		{"4 busy", []string{filmBusy, filmBusy, filmBusy, filmBusy}},
	}
}

// cameras measures workers.
func (c *benchCmd) cameras(e *env) error {
	if c.For < time.Second || c.For > time.Hour || !(c.StreamFPS >= 1 && c.StreamFPS <= 60) || !(c.FPS >= 0.5 && c.FPS <= 25) {
		return usageError{fmt.Errorf("--for %s, --stream-fps %g, --fps %g: want 1s to 1h, 1 to 60, 0.5 to 25", c.For, c.StreamFPS, c.FPS)}
	}
	for _, url := range c.URL {
		if err := worker.CheckURL(url); err != nil {
			return usageError{fmt.Errorf("--url: %w", err)}
		}
	}
	if !opencv.Built {
		return opencv.ErrNotBuilt
	}
	_, settings, err := modelFlags{Model: c.Model, Threads: 1}.load()
	if err != nil {
		return err
	}
	var rows []costLine
	row := costLine{
		Kind: "cameras", FPS: c.FPS, Model: settings.Name, ModelVersion: settings.Version, OpenCV: opencv.Version(),
		Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Processor: processor(),
	}
	if len(c.URL) > 0 {
		row.What = "the given"
		if err := c.watch(e, c.URL, &row); err != nil {
			return err
		}
		rows = append(rows, row)
		return c.tell(e, rows)
	}
	row.Width, row.Height, row.StreamFPS = c.Width, c.Height, c.StreamFPS
	films, err := drawAll(e, c.Width, c.Height)
	if err != nil {
		return err
	}
	for _, cast := range casts() {
		row.What = cast.what
		if err := c.perform(e, films, cast.films, &row); err != nil {
			return fmt.Errorf("%s: %w", cast.what, err)
		}
		rows = append(rows, row)
	}
	return c.tell(e, rows)
}

// perform shows films to a worker and measures it.
func (c *benchCmd) perform(e *env, films map[string]*footage, cast []string, row *costLine) error {
	mux := http.NewServeMux()
	for i, name := range cast {
		f, shift := films[name], int64(i*7) // not all the same at the same time
		mux.Handle("/"+strconv.Itoa(i), &projector{
			every:   time.Duration(float64(time.Second) / c.StreamFPS),
			picture: func(n int64) []byte { return f.pictures[(n+shift)%int64(len(f.pictures))] },
		})
	}
	base, stop, err := serve(e.ctx, mux)
	if err != nil {
		return err
	}
	var urls []string
	for i := range cast {
		urls = append(urls, base+strconv.Itoa(i))
	}
	return errors.Join(c.watch(e, urls, row), stop())
}

// serve serves on a free port of this machine.
func serve(ctx context.Context, h http.Handler) (base string, stop func() error, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return "http://" + l.Addr().String() + "/", func() error {
		err := server.Close() // a stream has no end of its own
		if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return err
	}, nil
}

// watch runs this program as the gateway does, as a process of its own, and measures
// that process: what draws and serves the pictures is not in it.
func (c *benchCmd) watch(e *env, urls []string, row *costLine) (err error) {
	dir, err := os.MkdirTemp("", "shedguard-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := &worker.Config{
		StateDir: filepath.Join(dir, "state"), Threads: 1,
		Evidence: worker.Evidence{Dir: filepath.Join(dir, "evidence"), MaxMB: 64, MaxAge: time.Hour, Privacy: worker.PrivacyNone},
	}
	for i, url := range urls {
		cfg.Cameras = append(cfg.Cameras, worker.Camera{Name: "c" + strconv.Itoa(i+1), URL: url, FPS: c.FPS})
	}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "cameras.yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil { // addresses hold passwords
		return err
	}
	exe := c.Program
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return err
		}
	}
	args := []string{"run", "--config", path, "--log-level", "warn"}
	if c.Model != "" {
		args = append(args, "--model", c.Model)
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	child := exec.CommandContext(ctx, exe, args...) //nolint:gosec // this program
	var errs bytes.Buffer
	child.Stderr = &errs
	child.WaitDelay = 5 * time.Second
	input, err := child.StdinPipe()
	if err != nil {
		return err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	t := &tally{last: make(map[string]heard), first: make(map[string]heard)}
	read := make(chan struct{})
	go func() { defer close(read); t.read(output) }()
	err = c.follow(e, child.Process.Pid, len(urls), t, read, row)
	_ = input.Close() // ends it
	select {
	case <-read:
	case <-time.After(10 * time.Second):
		cancel()
		<-read
	}
	if werr := child.Wait(); err == nil {
		err = werr
	}
	if err != nil && errs.Len() > 0 {
		text := errs.String()
		err = fmt.Errorf("%w; it said: %s", err, text[max(0, len(text)-1000):])
	}
	return err
}

// tally is what a worker says of its cameras.
type tally struct {
	mu    sync.Mutex // guards the rest
	last  map[string]heard
	first map[string]heard // since begin
}

// heard is when a worker said something of a camera.
type heard struct {
	at time.Time
	report.Health
}

// read takes lines until there are no more.
func (t *tally) read(from io.Reader) {
	lines := report.NewReader(from)
	for {
		l, err := lines.Read()
		if errors.Is(err, report.ErrLine) {
			continue
		}
		if err != nil {
			return
		}
		if l.Health == nil {
			continue
		}
		h := heard{time.Now(), *l.Health}
		t.mu.Lock()
		t.last[h.Camera] = h
		if _, ok := t.first[h.Camera]; !ok {
			t.first[h.Camera] = h
		}
		t.mu.Unlock()
	}
}

// giving is how many cameras have given frames, and why one of the others has not.
func (t *tally) giving() (n int, trouble string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.last {
		if h := t.last[name]; h.Frames > 0 {
			n++
		} else if h.Error != "" {
			trouble = "; camera " + name + ": " + h.Error
		}
	}
	return n, trouble
}

// begin begins to count.
func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = make(map[string]heard)
}

// rates are the frames a second of all cameras since begin: between the first and the
// last that was said of each.
func (t *tally) rates() (frames, judged float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.first {
		from, to := t.first[name], t.last[name]
		if s := to.at.Sub(from.at).Seconds(); s > 0 {
			frames += float64(to.Frames-from.Frames) / s
			judged += float64(to.Judged-from.Judged) / s
		}
	}
	return frames, judged
}

// use is what has been used at a moment.
type use struct {
	at      time.Time
	cpu     time.Duration // of the worker
	own     time.Duration // of this process
	machine time.Duration // of everything
	rss     float64       // of the worker
}

func useOf(pid int) (u use, err error) {
	u.at, u.own = time.Now(), cpuTime()
	if u.cpu, err = cpuOf(pid); err != nil {
		return u, err
	}
	if u.machine, err = cpuOfAll(); err != nil {
		return u, err
	}
	u.rss, _, err = memoryOf(pid)
	return u, err
}

// follow measures a running worker.
func (c *benchCmd) follow(e *env, pid, cameras int, t *tally, ended <-chan struct{}, row *costLine) error {
	wait := func(d time.Duration) error {
		select {
		case <-e.ctx.Done():
			return errInterrupted
		case <-ended:
			return errors.New("the worker ended")
		case <-time.After(d):
			return nil
		}
	}
	began := time.Now()
	for {
		giving, trouble := t.giving()
		if giving == cameras {
			break
		}
		if time.Since(began) > c.Start {
			return fmt.Errorf("%d of %d cameras gave no frame within %s%s", cameras-giving, cameras, c.Start, trouble)
		}
		if err := wait(100 * time.Millisecond); err != nil {
			return err
		}
	}
	if err := wait(c.Settle); err != nil {
		return err
	}
	t.begin()
	from, err := useOf(pid)
	if err != nil {
		return err
	}
	p := newProgress(e.errs, "seconds of "+row.What, int(c.For.Seconds()))
	defer p.clear()
	for time.Since(from.at) < c.For {
		if err := wait(min(time.Second, c.For-time.Since(from.at))); err != nil {
			return err
		}
		p.step()
	}
	to, err := useOf(pid)
	if err != nil {
		return err
	}
	_, peak, err := memoryOf(pid)
	if err != nil {
		return err
	}
	frames, judged := t.rates()
	if frames == 0 {
		return fmt.Errorf("no frame was looked at within %s", c.For)
	}
	s := to.at.Sub(from.at).Seconds()
	cpu := (to.cpu - from.cpu).Seconds() / s
	row.Cameras, row.Seconds = cameras, vision.Number(s)
	row.FramesPerS, row.JudgedPerS = vision.Number(frames), vision.Number(judged)
	row.LeftAway = vision.Number(1 - judged/frames)
	row.CPUPercent = vision.Number(100 * cpu)
	row.CPUFrameMS = vision.Number(1000 * cpu / frames)
	row.Others = vision.Number(max(0, 100*((to.machine-from.machine)-(to.cpu-from.cpu)-(to.own-from.own)).Seconds()/s))
	row.StartMB, row.EndMB, row.PeakMB = vision.Number(from.rss), vision.Number(to.rss), vision.Number(peak)
	return nil
}

// cpuOf is the user and system time that all threads of a process have used: its
// clock, which Linux derives from its number.
func cpuOf(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuOfAll is what everything on the machine has used.
func cpuOfAll() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: %q", first)
	}
	sum := int64(0)
	for i, v := range f[1:8] {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}

// memoryOf is the resident memory of a process and its peak in MiB.
func memoryOf(pid int) (rss, peak float64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		into := map[string]*float64{"VmRSS:": &rss, "VmHWM:": &peak}[f[0]]
		if into == nil {
			continue
		}
		kb, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		*into = kb / 1024
	}
	if rss == 0 {
		return 0, 0, fmt.Errorf("memory of process %d: not told", pid)
	}
	return rss, peak, nil
}

// processor is what the kernel calls the machine's.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	found := ""
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			return strings.TrimSpace(value)
		case "Model", "Hardware": // of ARM boards
			found = strings.TrimSpace(value)
		default:
		}
	}
	return found
}

// tell writes the rows.
func (c *benchCmd) tell(e *env, rows []costLine) error {
	out := bufio.NewWriter(e.out)
	if c.JSON {
		lines := json.NewEncoder(out)
		for i := range rows {
			if err := lines.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	r := &rows[0]
	fmt.Fprintf(out, "%s %s, OpenCV %s, %s, %d cores, %s\n", r.Model, r.ModelVersion, r.OpenCV, r.Arch, r.Cores, r.Processor)
	fmt.Fprintf(out, "shedguard-vision run for %.0f s each, after %.0f s; %g frames/s wanted of each camera", c.For.Seconds(), c.Settle.Seconds(), r.FPS)
	if r.Width > 0 {
		fmt.Fprintf(out, ", motion JPEG of %d x %d at %g pictures/s", r.Width, r.Height, r.StreamFPS)
	}
	fmt.Fprint(out, "\n\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "cameras\tframes/s\tto the model/s\tleft away\tCPU of a core\tCPU a frame\tmemory MiB\tpeak\tother programs\t")
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f %%\t%.1f %%\t%.1f ms\t%.0f to %.0f\t%.0f\t%.0f %%\t\n", r.What, float64(r.FramesPerS), float64(r.JudgedPerS), 100*float64(r.LeftAway),
			float64(r.CPUPercent), float64(r.CPUFrameMS), float64(r.StartMB), float64(r.EndMB), float64(r.PeakMB), float64(r.Others))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(out, "\nCPU is the user and system time of the worker process with all its threads; 100 % is one core. Drawing and\n"+
		"serving the pictures is not in it. What other programs use meanwhile changes CPU a frame little; it does change\n"+
		"frames/s where there is too little left, and CPU of a core with it.\n")
	for i := range rows {
		if r := &rows[i]; float64(r.FramesPerS) < 0.9*r.FPS*float64(r.Cameras) {
			fmt.Fprintf(out, "%s: %.1f frames/s of %g that are wanted: this machine is too slow for these cameras, or too busy (other programs: %.0f %% of a core).\n",
				r.What, float64(r.FramesPerS), r.FPS*float64(r.Cameras), float64(r.Others))
		}
	}
	return out.Flush()
}
