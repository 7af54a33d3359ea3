package watch_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/vision/report"
)

const playEnv = "SHEDGUARD_TEST_PLAY"

// TestMain plays a worker when it is started as one.
func TestMain(m *testing.M) {
	if part := os.Getenv(playEnv); part != "" {
		play(part)
		return
	}
	goleak.VerifyTestMain(m)
}

// play is a worker that behaves as its part says.
func play(part string) {
	out := report.NewWriter(os.Stdout)
	say := func() {
		_ = out.Write(report.Line{Health: &report.Health{Camera: "c1", FPS: 5}})
	}
	_ = out.Write(report.Line{Hello: &report.Hello{Version: "test", Cameras: []string{"c1"}}})
	switch part {
	case "good":
		in := bufio.NewScanner(os.Stdin)
		say()
		for in.Scan() {
			_ = out.Write(report.Line{Evidence: &report.Evidence{Camera: "c1", Observation: in.Text(), Kind: report.Snapshot, Path: "/x", At: time.Now()}})
		}
	case "crash":
		fmt.Fprintln(os.Stderr, "terminate called after throwing an instance of 'cv::Exception'")
		os.Exit(134)
	case "stall": // as one that is wedged in a library
		time.Sleep(time.Hour)
	case "deaf": // it lives, and does not end when it is asked to
		for {
			say()
			time.Sleep(20 * time.Millisecond)
		}
	case "garbage":
		for range 1000 {
			fmt.Println("[h264 @ 0x55] error while decoding MB 12 7")
			fmt.Fprintln(os.Stderr, strings.Repeat("x", 5000))
		}
		say()
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "memory":
		var held [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			held = append(held, b)
			say()
			time.Sleep(20 * time.Millisecond)
			if len(held) > 200 { // a worker that nobody stops must not take the machine
				os.Exit(9)
			}
		}
	}
}

// observed is a worker and what came of it.
type observed struct {
	*watch.Worker
	mu      sync.Mutex
	log     strings.Builder
	lines   []report.Line
	ended   []error
	changed chan struct{}
}

func (o *observed) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.Write(p)
}

func begin(t *testing.T, part string, change func(*watch.Worker)) *observed {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &observed{changed: make(chan struct{}, 10000)}
	limits := watch.DefaultLimits()
	limits.Stall, limits.KillAfter = 500*time.Millisecond, 200*time.Millisecond
	if part == "good" || part == "garbage" {
		limits.Stall = time.Minute
	}
	o.Worker = &watch.Worker{
		Name: "cameras", Command: []string{exe}, Env: []string{playEnv + "=" + part}, Limits: limits, Log: slog.New(slog.NewTextHandler(o, nil)),
		Line: func(l report.Line) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.lines = append(o.lines, l)
			o.changed <- struct{}{}
		},
		Restarted: func(why error, _ int) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ended = append(o.ended, why)
			o.changed <- struct{}{}
		},
	}
	if change != nil {
		change(o.Worker)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	return o
}

// until waits until what holds.
func (o *observed) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		o.mu.Lock()
		ok := holds()
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("%s: not within 30 s; the log says:\n%s", what, o.log.String())
		}
	}
}

func TestAWorkerIsAskedAndEnds(t *testing.T) {
	o := begin(t, "good", nil)
	if err := o.Ask([]byte("early")); err != nil && !errors.Is(err, watch.ErrNoWorker) {
		t.Error(err)
	}
	o.until(t, "hello and health", func() bool { return len(o.lines) >= 2 })
	if err := o.Ask([]byte("01JABC\n")); err != nil {
		t.Fatal(err)
	}
	o.until(t, "an answer", func() bool {
		last := o.lines[len(o.lines)-1].Evidence
		return last != nil && last.Observation == "01JABC"
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ended) != 0 {
		t.Errorf("it ended: %v", o.ended)
	}
}

func TestWhatEndsIsStartedAgain(t *testing.T) {
	for part, want := range map[string]string{
		"crash": "exit status 134", "stall": "it said nothing for 500ms", "memory": "it took too much memory: ",
	} {
		t.Run(part, func(t *testing.T) {
			o := begin(t, part, func(w *watch.Worker) { w.Limits.Memory = 120 << 20 })
			o.until(t, "two ends", func() bool { return len(o.ended) >= 2 })
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, err := range o.ended {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it ended: %v, want %s", err, want)
				}
			}
			if part == "crash" && !strings.Contains(o.log.String(), "cv::Exception") {
				t.Errorf("its last words are not in the log:\n%s", o.log.String())
			}
		})
	}
}

func TestOneThatAlwaysDiesIsStartedEverMoreSeldom(t *testing.T) {
	o := begin(t, "crash", func(w *watch.Worker) {
		w.Limits.Starts, w.Limits.Window, w.Limits.MostWait = 3, 300*time.Millisecond, time.Hour
	})
	began := time.Now()
	o.until(t, "five ends", func() bool { return len(o.ended) >= 5 })
	// Three at once, then after 1 s and 2 s.
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("five starts in %s", took)
	}
}

func TestADeafWorkerIsKilled(t *testing.T) {
	o := begin(t, "deaf", nil)
	o.until(t, "lines", func() bool { return len(o.lines) > 3 })
	// The cleanup of begin fails when it does not end.
}

func TestGarbageDoesNotFloodTheLog(t *testing.T) {
	o := begin(t, "garbage", nil)
	o.until(t, "the line after it", func() bool { return len(o.lines) >= 2 })
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := strings.Count(o.log.String(), "\n"); n > 200 {
		t.Errorf("%d lines of log for 2000 of garbage", n)
	}
	if n := strings.Count(o.log.String(), "line of camera worker not used"); n != 1 {
		t.Errorf("the same fault is logged %d times", n)
	}
}

func TestAProgramThatIsMissing(t *testing.T) {
	o := begin(t, "good", func(w *watch.Worker) { w.Command = []string{"/no/such/program"} })
	o.until(t, "a failed start", func() bool { return len(o.ended) > 0 })
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ended[0]; !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start /no/such/program") {
		t.Errorf("it ended: %v", err)
	}
}
