package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/shedguard/shedguard/vision/report"
)

// Limits bound what a worker may do to the box before it is killed.
type Limits struct {
	Stall     time.Duration // without a line
	Memory    int64         // bytes of resident memory
	Starts    int           // within Window, at once; more of them wait
	Window    time.Duration
	MostWait  time.Duration // between two starts of a worker that always dies
	KillAfter time.Duration // that it may take to end when it is asked to
}

// DefaultLimits are those of the fate table.
func DefaultLimits() Limits {
	return Limits{Stall: 10 * time.Second, Memory: 512 << 20, Starts: 5, Window: time.Minute, MostWait: 5 * time.Minute, KillAfter: 2 * time.Second}
}

// Worker keeps one worker process running: it is started again when it ends,
// and killed when it says nothing or eats the memory of the box.
type Worker struct {
	Name    string   // for logs and events: "cameras"
	Command []string // program and arguments
	Env     []string // added to the environment
	Limits  Limits
	// Line is called with what the worker says, Restarted after it has ended and
	// before it is started again. Both on the goroutine of Run; they must not block.
	Line      func(report.Line)
	Restarted func(why error, starts int)
	Log       *slog.Logger

	mu  sync.Mutex // guards ask
	ask io.Writer  // standard input of the process that runs
}

var (
	errStalled = errors.New("it said nothing")
	errMemory  = errors.New("it took too much memory")
)

// ErrNoWorker comes from Ask while no process runs.
var ErrNoWorker = errors.New("the camera worker is not running")

// Run keeps the process running until ctx ends, which is no error.
func (w *Worker) Run(ctx context.Context) error {
	var starts []time.Time
	wait := time.Second
	for n := 1; ; n++ {
		starts = append(starts, time.Now())
		began := time.Now()
		why := w.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		if why == nil {
			why = errors.New("it ended")
		}
		if w.Restarted != nil {
			w.Restarted(why, n)
		}
		if time.Since(began) >= w.Limits.Window { // it lived: begin anew
			starts, wait = nil, time.Second
		}
		pause := time.Duration(0)
		if len(starts) >= w.Limits.Starts {
			// The window is full: wait, and twice as long each time.
			starts = starts[len(starts)-w.Limits.Starts+1:]
			pause = max(wait, w.Limits.Window-time.Since(starts[0]))
			wait = min(2*max(wait, pause), w.Limits.MostWait)
			pause = min(pause, w.Limits.MostWait)
		}
		w.Log.Warn("camera worker ended", "worker", w.Name, "err", why, "starts", n, "retry_in", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Ask writes one line to the worker's standard input.
func (w *Worker) Ask(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ask == nil {
		return ErrNoWorker
	}
	if _, err := w.ask.Write(append(bytes.TrimSpace(line), '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrNoWorker, err)
	}
	return nil
}

// once runs one process to its end and says why it ended.
func (w *Worker) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, w.Command[0], w.Command[1:]...) //nolint:gosec // the command is the configuration's
	cmd.Env = append(os.Environ(), w.Env...)
	cmd.WaitDelay = time.Second // a child of a killed worker must not hold its pipes
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	// Closing standard input asks it to end; what does not is killed.
	var ending *time.Timer
	cmd.Cancel = func() error {
		if errors.Is(context.Cause(ctx), errStalled) || errors.Is(context.Cause(ctx), errMemory) {
			return cmd.Process.Kill()
		}
		ending = time.AfterFunc(w.Limits.KillAfter, func() { _ = cmd.Process.Kill() })
		return stdin.Close()
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", w.Command[0], err)
	}
	w.mu.Lock()
	w.ask = stdin
	w.mu.Unlock()
	w.Log.Info("camera worker started", "worker", w.Name, "pid", cmd.Process.Pid)

	lines := make(chan report.Line)
	var pipes sync.WaitGroup
	pipes.Go(func() { w.read(stdout, lines); close(lines) })
	pipes.Go(func() { w.relay(stderr) })

	silent := time.NewTimer(w.Limits.Stall)
	look := time.NewTicker(time.Second)
	defer silent.Stop()
	defer look.Stop()
	for open := true; open; {
		select {
		case l, ok := <-lines:
			if open = ok; ok {
				silent.Reset(w.Limits.Stall)
				w.Line(l)
			}
		case <-silent.C:
			cancel(fmt.Errorf("%w for %s", errStalled, w.Limits.Stall))
		case <-look.C:
			if rss := resident(cmd.Process.Pid); rss > w.Limits.Memory {
				cancel(fmt.Errorf("%w: %d MiB, at most %d MiB", errMemory, rss>>20, w.Limits.Memory>>20))
			}
		}
	}
	w.mu.Lock()
	w.ask = nil
	w.mu.Unlock()
	pipes.Wait()
	err = cmd.Wait()
	if ending != nil {
		ending.Stop()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// read passes the worker's lines on. What cannot be used is logged when it is
// another fault than the one before.
func (w *Worker) read(in io.Reader, out chan<- report.Line) {
	r := report.NewReader(in)
	last := ""
	for {
		l, err := r.Read()
		switch {
		case errors.Is(err, report.ErrLine):
			if text := err.Error(); text != last {
				last = text
				w.Log.Warn("line of camera worker not used", "worker", w.Name, "err", err)
			}
		case err != nil:
			return
		default:
			out <- l
		}
	}
}

const (
	maxLog  = 2048 // bytes of a line of a worker's log
	logRate = 20   // lines a second; what is more is counted
)

// relay passes the worker's log on, line by line: libraries below it write there
// as they like, so that lines are cut and more of them than a person can read are
// counted instead.
func (w *Worker) relay(in io.Reader) {
	r := bufio.NewReaderSize(in, maxLog)
	var second time.Time
	lines, skipped := 0, 0
	for {
		line, err := r.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if now := time.Now(); now.Sub(second) >= time.Second {
			if skipped > 0 {
				w.Log.Warn("camera worker says more than is kept", "worker", w.Name, "lines", skipped)
			}
			second, lines, skipped = now, 0, 0
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if lines++; lines <= logRate {
				w.Log.Info("camera worker", "worker", w.Name, "said", string(line))
			} else {
				skipped++
			}
		}
		for cut {
			_, err = r.ReadSlice('\n')
			cut = errors.Is(err, bufio.ErrBufferFull)
		}
		if err != nil {
			return
		}
	}
}

// resident is the memory of a process in bytes, 0 where nobody tells.
func resident(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
