package main

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision/report"
	"github.com/shedguard/shedguard/vision/scene"
)

// cameras writes a configuration of one camera.
func cameras(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "cameras.yaml")
	text := fmt.Sprintf("state_dir: %s/state\nevidence: {dir: %s/evidence, max_mb: 64, max_age: 24h, privacy: none}\nthreads: 1\nnice: 0\ncameras:\n  - {name: c1, url: %q, fps: 5, learn: 0s}\n", dir, dir, url)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRun: a worker watches a camera until its input is closed.
func TestRun(t *testing.T) {
	needsOpenCV(t)
	s, err := scene.New(scene.Options{Width: 320, Height: 180, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	camera := httptest.NewServer(scene.Stream(s, 10, time.Now()))
	defer camera.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	in, input := io.Pipe()
	out, output := io.Pipe()
	var errs strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"run", "--config", cameras(t, camera.URL)}, in, output, &errs)
		_ = output.Close()
	}()
	lines := report.NewReader(out)
	hello, err := lines.Read()
	if err != nil || hello.Hello == nil || !strings.HasPrefix(hello.Hello.Model, "shedguard-fire ") {
		t.Fatalf("first line %+v, %v; stderr: %s", hello, err, errs.String())
	}
	asked, answered, judged := false, false, false
	for !answered || !judged {
		l, err := lines.Read()
		if err != nil {
			t.Fatalf("%v; stderr: %s", err, errs.String())
		}
		if h := l.Health; h != nil && h.FPS > 0 && h.FrameAgeMS < 5000 {
			judged = true
			if !asked {
				asked = true
				if _, err := io.WriteString(input, `{"snapshot":{"camera":"c1","id":"S1"}}`+"\n"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if e := l.Evidence; e != nil && e.Observation == "S1" {
			b, err := os.ReadFile(e.Path)
			if err != nil || len(b) < 1000 || string(b[:2]) != "\xff\xd8" {
				t.Errorf("the picture that was asked for: %d bytes, %v", len(b), err)
			}
			answered = true
		}
	}
	_ = input.Close()
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d: %s", c, errs.String())
	}
}

func TestRunRefuses(t *testing.T) {
	path := cameras(t, "ftp://somewhere")
	if code, _, errs := program(t, "run", "--config", path); code != exitUsage || !strings.Contains(errs, `cameras[0].url: "ftp://somewhere"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
