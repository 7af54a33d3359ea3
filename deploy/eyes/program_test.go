//go:build opencv

package eyes_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/servertest"
	"github.com/shedguard/shedguard/vision/report"
)

const (
	// lostWithin is how long after its last frame a camera may be taken for good, and
	// backWithin how long it takes at most to watch one again that is good again, and
	// to tell that it is.
	lostWithin = 20 * time.Second
	backWithin = 30 * time.Second
	// startWithin bounds what nothing is measured by.
	startWithin = 60 * time.Second
	lookEvery   = 50 * time.Millisecond
)

func needs(t *testing.T) {
	t.Helper()
	if why != "" {
		servertest.Missing(t, why)
	}
}

// until waits until what holds, and says how long that took.
func until(t *testing.T, within time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > within {
			t.Fatalf("not within %s: %s", within, what)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("test ended: %s", what)
		case <-time.After(lookEvery):
		}
	}
	return time.Since(began)
}

// begin runs a program of bin until the test ends, with its log in a file, and says
// when it has ended.
func begin(t *testing.T, cmd *exec.Cmd) (log string, ended <-chan struct{}) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), filepath.Base(cmd.Path)+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stderr = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the tests look at what it said
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-done
		if t.Failed() {
			b, _ := os.ReadFile(f.Name()) // best effort: it only explains a failure
			t.Logf("log of %s:\n%s", cmd.Path, b[max(0, len(b)-16<<10):])
		}
	})
	return f.Name(), done
}

// worker is a camera worker without a gateway.
type worker struct {
	cmd   *exec.Cmd
	ended <-chan struct{}

	mu      sync.Mutex // guards the rest
	health  map[string]report.Health
	frame   map[string]time.Time // newest frame of each camera
	longest map[string]time.Duration
	sizes   map[string]image.Point // of the picture that was asked for last
	input   io.Writer
	asked   map[string]time.Time
}

// view is a camera of a worker.
type view struct{ name, url string }

// startWorker runs shedguard-vision for cameras of which it judges a frame a second.
func startWorker(t *testing.T, views ...view) *worker {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, "state_dir: %s/state\nevidence: {dir: %s/evidence, max_mb: 64, max_age: 24h, privacy: none}\nthreads: 1\nnice: 0\ncameras:\n", dir, dir)
	for _, v := range views {
		fmt.Fprintf(&text, "  - {name: %s, url: %q, fps: 1, learn: 24h}\n", v.name, v.url)
	}
	path := filepath.Join(dir, "cameras.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &worker{health: make(map[string]report.Health), frame: make(map[string]time.Time), longest: make(map[string]time.Duration), sizes: make(map[string]image.Point), asked: make(map[string]time.Time)}
	w.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "shedguard-vision"), "run", "--config", path)
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.input = in
	// A pipe of our own: Wait closes those of the command before they are read.
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Stdout = write
	_, w.ended = begin(t, w.cmd)
	_ = write.Close() // the worker holds its own
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := report.NewReader(out); ; {
			l, err := lines.Read()
			if err != nil {
				return
			}
			w.take(l, time.Now())
		}
	}()
	t.Cleanup(func() { // before begin's: it ends by itself when its input does
		_ = in.Close()
		select {
		case <-w.ended:
		case <-time.After(30 * time.Second):
			t.Error("the worker does not end with its input")
			_ = w.cmd.Process.Kill()
		}
		<-read
		if code := w.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the worker ended with %d", code)
		}
	})
	for _, v := range views {
		until(t, startWithin, "frames of "+v.name, func() bool { return !w.newest(v.name).IsZero() })
	}
	return w
}

func (w *worker) take(l report.Line, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := l.Evidence; e != nil {
		if b, err := os.ReadFile(e.Path); err == nil {
			if head, err := jpeg.DecodeConfig(bytes.NewReader(b)); err == nil {
				w.sizes[e.Camera] = image.Pt(head.Width, head.Height)
			}
		}
	}
	h := l.Health
	if h == nil {
		return
	}
	w.health[h.Camera] = *h
	if !h.Waiting {
		age := time.Duration(h.FrameAgeMS) * time.Millisecond
		w.frame[h.Camera] = now.Add(-age)
		w.longest[h.Camera] = max(w.longest[h.Camera], age)
	}
}

// newest is when the newest frame of a camera came; zero before the first.
func (w *worker) newest(camera string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frame[camera]
}

// trouble is why a camera gives no frames, as the worker says.
func (w *worker) trouble(camera string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.health[camera].Error
}

// oldest is the greatest age that a newest frame of a camera has had.
func (w *worker) oldest(camera string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.longest[camera]
}

// shows reports whether the newest picture of a camera has a size; it asks for another
// one meanwhile.
func (w *worker) shows(t *testing.T, camera string, width, height int) bool {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sizes[camera] == image.Pt(width, height) {
		return true
	}
	if time.Since(w.asked[camera]) < time.Second/2 {
		return false
	}
	w.asked[camera] = time.Now()
	if _, err := fmt.Fprintf(w.input, `{"snapshot":{"camera":%q,"id":"S"}}`+"\n", camera); err != nil {
		t.Fatal(err)
	}
	return false
}

// holdings is what a process holds.
type holdings struct {
	threads, files int
	memoryKiB      int
}

func held(t *testing.T, pid int) (h holdings) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(files)
	b, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSuffix(strings.TrimSpace(value), " kB")
		switch key {
		case "Threads":
			h.threads, err = strconv.Atoi(value)
		case "VmRSS":
			h.memoryKiB, err = strconv.Atoi(value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// heldBy is the resident memory of a process in KiB; 0 where nobody tells.
func heldBy(pid string) int {
	b, _ := os.ReadFile(filepath.Join("/proc", pid, "statm")) // without it: 0
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1]) // the kernel's own number
	return pages * (os.Getpagesize() >> 10)
}

// gateway is a shedguard with a camera worker, on a simulated shed.
type gateway struct {
	cmd   *exec.Cmd
	ended <-chan struct{}
	log   string
	base  string
}

// overloadAfter is how long an outlet of a gateway is used until it draws 2.5 times its
// rating.
const (
	overloadAfter = 12 * time.Second
	loadedOutlet  = 3
)

// startGateway runs shedguard with a camera. The worker is the program that
// standIn says.
func startGateway(t *testing.T, camera, standInDir string) *gateway {
	t.Helper()
	dir := t.TempDir()
	load := filepath.Join(dir, "load.csv")
	s := overloadAfter.Seconds()
	if err := os.WriteFile(load, fmt.Appendf(nil, "time_s,amps\n0,2\n%g,2\n%g,25\n%g,25\n", s, s+0.1, s+600), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	// The priority that deploy/systemd gives it, where that is allowed. Its worker has
	// one of its own.
	g.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "nice", "-n", "-10", filepath.Join(bin, "shedguard"), "--log-format", "json", "run",
		"--sim", "--state", filepath.Join(dir, "state"), "--broker", "mqtt://127.0.0.1:9", "--status", "127.0.0.1:0",
		"--speed", "1", "--play", load, "--play-outlet", strconv.Itoa(loadedOutlet), "--camera", camera, "--vision", exe)
	g.cmd.Env = append(os.Environ(), standInEnv+"="+standInDir)
	g.log, g.ended = begin(t, g.cmd)
	until(t, startWithin, "the gateway starts", func() bool {
		for _, line := range g.logged(t, "gateway started") {
			g.base = fmt.Sprintf("http://%v", line["status"])
		}
		return g.base != ""
	})
	return g
}

// logged are the lines of the log whose message is msg.
func (g *gateway) logged(t *testing.T, msg string) (lines []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			lines = append(lines, m)
		}
	}
	return lines
}

// workers are the processes of the camera worker, the newest last.
func (g *gateway) workers(t *testing.T) (pids []int) {
	t.Helper()
	for _, line := range g.logged(t, "camera worker started") {
		pid, ok := line["pid"].(float64)
		if !ok {
			t.Fatalf("pid: %v", line["pid"])
		}
		pids = append(pids, int(pid))
	}
	return pids
}

func (g *gateway) get(t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp
}

func (g *gateway) state(t *testing.T) (s shedguard.ShedState) {
	t.Helper()
	resp := g.get(t, "/api/v1/state")
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// metrics are the series of /metrics by name with labels.
func (g *gateway) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	resp := g.get(t, "/metrics")
	defer resp.Body.Close()
	m := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			m[name] = v
		}
	}
	return m
}

// alarm is the open alarm of a cause.
func (g *gateway) alarm(t *testing.T, cause shedguard.Cause) (found shedguard.Alarm, ok bool) {
	t.Helper()
	for _, a := range g.state(t).Alarms {
		if a.Cause == cause {
			return a, true
		}
	}
	return found, false
}
