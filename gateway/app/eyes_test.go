package app_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/app"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/sim"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/report"
)

// playEnv makes a worker of this test program. Its value is a folder: while a file
// "burns" is in it, the camera sees flame.
const playEnv = "SHEDGUARD_TEST_EYES"

// playWorker is a camera worker that sees what a test tells it.
func playWorker(dir string) {
	out := report.NewWriter(os.Stdout)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 1)
		for {
			if _, err := os.Stdin.Read(b); err != nil {
				return
			}
		}
	}()
	say := func(l report.Line) {
		if err := out.Write(l); err != nil {
			os.Exit(1)
		}
	}
	say(report.Line{Hello: &report.Hello{Version: "test", Cameras: []string{"c1"}}})
	const id = "01KAQ5W2ZB0000000000000001"
	var since time.Time
	for {
		say(report.Line{Health: &report.Health{Camera: "c1", FPS: 5, FrameAgeMS: 100, Flame: 0.02}})
		_, err := os.Stat(filepath.Join(dir, "burns"))
		switch burns := err == nil; {
		case burns && since.IsZero():
			since = time.Now()
			path := filepath.Join(dir, "shot.jpg")
			if err := os.WriteFile(path, []byte("\xff\xd8picture"), 0o600); err != nil {
				os.Exit(1)
			}
			say(report.Line{Evidence: &report.Evidence{Camera: "c1", Observation: id, Kind: report.Snapshot, Path: path, Bytes: 9, At: since}})
			fallthrough
		case burns:
			say(report.Line{Observation: &report.Observation{Camera: "c1", ID: id, State: report.Seen, Class: vision.Flame, Since: since, At: time.Now(), Score: 0.9}})
		case !since.IsZero():
			say(report.Line{Observation: &report.Observation{Camera: "c1", ID: id, State: report.Gone, Class: vision.Flame, Since: since, At: time.Now()}})
			since = time.Time{}
		}
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// eyed is a box with one camera over the zone of the fault outlet.
func eyed(t *testing.T) (b *box, zone []int, burn func(bool)) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv(playEnv, dir)
	b, _ = start(t, boxOptions{edit: func(c *config.Config) {
		name := c.Outlets[sim.FaultOutlet-1].Zone
		c.Cameras = []config.Camera{{Name: "c1", URL: "/dev/video0", Zones: []string{name}}}
		c.Vision.Program = exe
		for i := range c.Outlets {
			if c.Outlets[i].Zone == name {
				zone = append(zone, c.Outlets[i].Number)
			}
		}
	}})
	b.await(t, 60*time.Second, "all fed", func(s *shedguard.ShedState) bool {
		return !slices.ContainsFunc(s.Outlets, func(o shedguard.OutletStatus) bool { return !o.Closed })
	})
	return b, zone, func(on bool) {
		path := filepath.Join(dir, "burns")
		if on {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func grade(s *shedguard.ShedState, cause shedguard.Cause) shedguard.Grade {
	for i := range s.Alarms {
		if s.Alarms[i].Cause == cause {
			return s.Alarms[i].Grade
		}
	}
	return ""
}

// TestCameraAndHeat: a camera alone cuts nothing; with a hot outlet it cuts the zone,
// until a person resets it.
func TestCameraAndHeat(t *testing.T) {
	b, zone, burn := eyed(t)
	burn(true)
	b.await(t, 20*time.Second, "pre-alarm", func(s *shedguard.ShedState) bool {
		return grade(s, shedguard.CauseFlameSeen) == shedguard.GradePreAlarm && !s.Siren
	})
	s := b.await(t, 30*time.Second, "alarm", func(s *shedguard.ShedState) bool {
		return grade(s, shedguard.CauseFlameSeen) == shedguard.GradeAlarm && s.Siren
	})
	for _, o := range s.Outlets {
		if !o.Closed {
			t.Fatalf("outlet %d is cut by one camera", o.Outlet)
		}
	}
	b.shed.Warm(sim.FaultOutlet, 90)
	s = b.await(t, 60*time.Second, "fire", func(s *shedguard.ShedState) bool {
		for _, n := range zone {
			if o := s.Outlets[n-1]; o.Closed || !slices.Contains(o.Latched, shedguard.CauseFire) {
				return false
			}
		}
		return grade(s, shedguard.CauseFire) == shedguard.GradeFire && s.Siren
	})
	for _, o := range s.Outlets {
		if inZone := slices.Contains(zone, o.Outlet); o.Closed == inZone {
			t.Errorf("outlet %d of the zone %t is closed %t", o.Outlet, inZone, o.Closed)
		}
	}
	b.await(t, 20*time.Second, "pictures noted", func(s *shedguard.ShedState) bool {
		return slices.ContainsFunc(s.Alarms, func(a shedguard.Alarm) bool { return a.Cause == shedguard.CauseFlameSeen && len(a.Evidence) == 1 })
	})
	spooled, err := filepath.Glob(filepath.Join(b.dir, "*", "pictures", "*.jpg"))
	if err != nil || len(spooled) == 0 {
		spooled, err = filepath.Glob(filepath.Join(b.dir, "pictures", "*.jpg"))
	}
	if err != nil || len(spooled) == 0 {
		t.Errorf("no picture waits for the collector: %v", err)
	}

	// It stands: no reset. Then it is over, and a person resets each outlet.
	reset := func(n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return b.Order(ctx, guard.Order{Kind: shedguard.CommandResetTrip, Outlet: n, By: "test"})
	}
	if err := reset(zone[1]); err == nil || !strings.Contains(err.Error(), string(shedguard.CodeCauseStands)) {
		t.Errorf("reset while it burns: %v", err)
	}
	burn(false)
	b.shed.Warm(sim.FaultOutlet, 25)
	within := time.Now().Add(90 * time.Second)
	for _, n := range zone {
		for {
			err := reset(n)
			if err == nil {
				break
			}
			if refused, ok := errors.AsType[*shedguard.ReplyError](err); !ok || refused.Code != shedguard.CodeCauseStands || time.Now().After(within) {
				t.Fatalf("reset of outlet %d: %v", n, err)
			}
			<-time.After(200 * time.Millisecond)
		}
	}
	b.await(t, 60*time.Second, "over", func(s *shedguard.ShedState) bool {
		return grade(s, shedguard.CauseFire) == "" && grade(s, shedguard.CauseFlameSeen) == "" // the siren still tells of what could not be sent
	})
}

// TestLinesThatFindNoRoomAreCounted: the worker is not held up, and it is told.
func TestLinesThatFindNoRoomAreCounted(t *testing.T) {
	t.Parallel()
	for lines, want := range map[int]float64{4: 0, 5: 1, 11: 7} {
		m := app.Unheard(4, lines)
		if len(m) != 1 || m[0].Name != "camera_lines_missed_total" || !m[0].Counter || m[0].Value() != want {
			t.Errorf("%d lines, room for 4: %+v, want %g missed", lines, m, want)
		}
	}
}

// TestAWorkerThatCannotBeStarted: the shed is protected, and the camera is lost.
func TestAWorkerThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{edit: func(c *config.Config) {
		c.Cameras = []config.Camera{{Name: "c1", URL: "/dev/video0", Zones: []string{c.Outlets[0].Zone}}}
		c.Vision.Program = "/no/such/program"
	}})
	b.await(t, 60*time.Second, "camera_lost, outlets fed", func(s *shedguard.ShedState) bool {
		return alarmed(shedguard.CauseCameraLost)(s) && s.Outlets[0].Closed
	})
	res, err := http.Get("http://" + b.StatusAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "\ngateway_camera_lines_missed_total 0\n") {
		t.Errorf("/metrics without the lines of the camera worker that were missed: %v", err)
	}
}
