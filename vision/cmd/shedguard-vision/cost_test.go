package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/internal/onnxtest"
)

// programEnv makes the program of this test binary.
const programEnv = "SHEDGUARD_TEST_VISION"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestBenchCameras measures workers as processes of their own.
func TestBenchCameras(t *testing.T) {
	needsOpenCV(t)
	t.Setenv(programEnv, "1")
	code, out, errs := program(t, "bench", "--cameras", "--for", "3s", "--settle", "1s", "--width", "640", "--height", "360", "--json", "--model", onnxtest.Folder(t, 64, 32))
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d, %q", code, errs)
	}
	rows := make(map[string]costLine)
	for line := range strings.Lines(out) {
		var r costLine
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.FramesPerS <= 0 || r.JudgedPerS <= 0 || r.JudgedPerS > r.FramesPerS+0.001 || r.CPUPercent <= 0 || r.CPUFrameMS <= 0 || r.StartMB < 10 || r.PeakMB < r.StartMB || r.Processor == "" {
			t.Errorf("%+v", r)
		}
		rows[r.What] = r
	}
	if len(rows) != len(casts()) || rows["4 busy"].Cameras != 4 || rows["1 idle"].Cameras != 1 {
		t.Fatalf("%s", out)
	}
	// What moves is judged, and four cameras are more than one. (What an idle camera is
	// spared shows after a minute only, when its clock is known.)
	if busy := rows["1 busy"]; busy.LeftAway > 0.1 || rows["4 busy"].FramesPerS < 1.5*busy.FramesPerS {
		t.Errorf("busy %+v, four %+v", busy, rows["4 busy"])
	}
}

// TestBenchCamerasTells: why a camera gives nothing, without its password.
func TestBenchCamerasTells(t *testing.T) {
	needsOpenCV(t)
	t.Setenv(programEnv, "1")
	code, _, errs := program(t, "bench", "--cameras", "--start", "3s", "--url", "http://u:secret@127.0.0.1:1/", "--model", onnxtest.Folder(t, 64, 32))
	if code != exitFailed || !strings.Contains(errs, "1 of 1 cameras gave no frame within 3s; camera c1: ") || !strings.Contains(errs, "connection refused") || strings.Contains(errs, "secret") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestHour puts frames through everything that holds memory, which must not grow. It
// fails when each frame leaves a few thousand bytes behind, in Go or in C.
func TestHour(t *testing.T) {
	needsOpenCV(t)
	code, out, errs := program(t, "bench", "--hour", "--frames", "750", "--width", "640", "--height", "360", "--json", "--log-level", "error")
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d, %q; %s", code, errs, out)
	}
	var l hourLine
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	// All that can leak was there: frames left away and judged, sights, evidence, lost
	// connections.
	if l.Frames != 750 || l.Judged < 200 || l.Judged > 745 || l.Told < 2 || l.Pictures < 4 || l.Clips < 2 || l.Streams < 3 || l.CBytes[1] == 0 || l.GoBytes[1] == 0 {
		t.Errorf("%+v", l)
	}
}

func TestHourBars(t *testing.T) {
	flat := hourLine{Rise: 1.02, GoBytes: [2]int64{5 << 20, 5 << 20}, CBytes: [2]int64{20 << 20, 20<<20 + 1000}, Frames: 750}
	if err := flat.bars(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*hourLine){
		"resident memory rose to 1.20": func(l *hourLine) { l.Rise = 1.2 },
		"Go memory in use rose by":     func(l *hourLine) { l.GoBytes[1] += 2 << 20 },
		"C memory in use rose by":      func(l *hourLine) { l.CBytes[1] += 2 << 20 },
	} {
		l := flat
		change(&l)
		if err := l.bars(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestProcessorTime: the clock of a process is what the kernel counts of it.
func TestProcessorTime(t *testing.T) {
	from := cpuTime()
	for began := time.Now(); cpuTime()-from < 50*time.Millisecond && time.Since(began) < time.Minute; {
		_ = vision.NewHeat(8, 8)
	}
	a := cpuTime()
	b, err := cpuOf(os.Getpid())
	c := cpuTime()
	if slack := 20 * time.Millisecond; err != nil || b < a-slack || b > c+slack {
		t.Errorf("%s, %v: want %s to %s", b, err, a, c)
	}
	if all, err := cpuOfAll(); err != nil || all < b-time.Second {
		t.Errorf("of the machine: %s, %v", all, err)
	}
	if _, err := cpuOf(1 << 23); err == nil {
		t.Error("a process that is not there has a clock")
	}
	if rss, peak, err := memoryOf(os.Getpid()); err != nil || rss < 1 || peak < rss-1 {
		t.Errorf("memory %g, %g, %v", rss, peak, err)
	}
}
