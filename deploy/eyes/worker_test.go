//go:build opencv

package eyes_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/internal/rtsptest"
	"github.com/shedguard/shedguard/vision/report"
)

// standInEnv makes a camera worker of this test program. Its value is a folder with
// the file "part", which says what the next worker is.
const standInEnv = "SHEDGUARD_TEST_STAND_IN"

// The parts.
const (
	partReal = "real" // shedguard-vision
	partDies = "dies" // killed by the kernel, again and again
	partHang = "hang" // stands still from its start, as one that is deep in a library
	partEats = "eats" // takes ever more memory
)

// lives is how long a worker lives that dies: it is started again so seldom that the
// supervisor does not lose its patience before a camera is lost.
const lives = 10 * time.Second

// standIn is a worker.
func standIn(dir string) {
	part, err := os.ReadFile(filepath.Join(dir, "part"))
	if err == nil {
		err = play(dir, string(part))
	}
	fmt.Fprintln(os.Stderr, "stand-in:", err)
	os.Exit(1)
}

func play(dir, part string) error {
	self := os.Getpid()
	out, began := report.NewWriter(os.Stdout), time.Now()
	say := func() error { // that it lives, and has not seen a frame
		age := time.Since(began).Milliseconds()
		return out.Write(report.Line{Health: &report.Health{Camera: "c1", FrameAgeMS: age, Waiting: true}})
	}
	switch part {
	case partReal:
		program, err := os.Readlink(filepath.Join(dir, "real"))
		if err != nil {
			return err
		}
		return syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
	case partDies:
		for time.Since(began) < lives {
			if err := say(); err != nil {
				return err
			}
			<-time.After(time.Second)
		}
		return syscall.Kill(self, syscall.SIGKILL)
	case partHang:
		return errors.Join(syscall.Kill(self, syscall.SIGSTOP), errors.New("went on"))
	case partEats:
		var eaten [][]byte
		for time.Since(began) < 2*lives { // nobody stops it: the machine must live
			// 512 MiB are reached as lives ends. The race detector eats too.
			for float64(heldBy("self")) < (512<<10)*time.Since(began).Seconds()/lives.Seconds() {
				b := make([]byte, 4<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				eaten = append(eaten, b)
			}
			if err := say(); err != nil {
				return err
			}
			<-time.After(100 * time.Millisecond)
		}
		return fmt.Errorf("nobody stopped it at %d MiB", len(eaten)*4)
	default:
		return fmt.Errorf("no such part: %q", part)
	}
}

// TestWorkerFaults: whatever becomes of the camera worker, the guard keeps its time and
// cuts an overload meanwhile, the camera is lost in time, and comes back in time.
func TestWorkerFaults(t *testing.T) {
	needs(t)
	t.Parallel()
	camera := rtsptest.Start(t, rtsptest.H264)
	tests := map[string]struct {
		part   string         // of the workers after the first
		signal syscall.Signal // for the first one
		reason string         // why it was started again; empty: the camera is at fault
	}{
		"killed again and again": {partDies, syscall.SIGKILL, "signal: killed"},
		"wedged":                 {partHang, syscall.SIGSTOP, "it said nothing for 10s"},
		"eats memory":            {partEats, syscall.SIGKILL, "it took too much memory: "},
		"killed once":            {partReal, syscall.SIGKILL, "signal: killed"},
		"camera hangs":           {part: partReal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := rtsptest.StartRelay(t, camera.Addr())
			dir := t.TempDir()
			cast := func(part string) {
				if err := os.WriteFile(filepath.Join(dir, "part.new"), []byte(part), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(dir, "part.new"), filepath.Join(dir, "part")); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(filepath.Join(bin, "shedguard-vision"), filepath.Join(dir, "real")); err != nil {
				t.Fatal(err)
			}
			cast(partReal)
			g := startGateway(t, relay.URL(), dir)
			watches := func() bool { return relay.Packets() >= 20 } // two seconds of frames
			until(t, startWithin, "the camera is watched", watches)
			if a, ok := g.alarm(t, shedguard.CauseOvercurrent); ok {
				t.Fatalf("the overload came before the fault: %+v", a)
			}

			cast(tt.part)
			pids := g.workers(t)
			accepted := relay.Accepted()
			back := func() bool { return relay.Accepted() > accepted && watches() }
			lost := func() bool {
				_, ok := g.alarm(t, shedguard.CauseCameraLost)
				return ok
			}
			began := time.Now()
			if tt.reason == "" {
				relay.Set(rtsptest.Mute)
			} else if err := syscall.Kill(pids[len(pids)-1], tt.signal); err != nil {
				t.Fatal(err)
			}
			if tt.part == partReal && tt.reason != "" {
				took := until(t, backWithin, "another worker watches the camera", back)
				if lost() {
					t.Error("camera_lost")
				}
				t.Logf("back after %.1f s", took.Seconds())
				g.awaitTrip(t)
			} else {
				took := until(t, lostWithin, "camera_lost", lost)
				trip := g.awaitTrip(t)
				if trip.Before(began) {
					t.Errorf("the overload was cut %s before the fault", began.Sub(trip))
				}
				cast(partReal)
				relay.Set(rtsptest.Clear)
				healed := time.Now()
				until(t, backWithin, "a worker watches the camera", back)
				again := time.Since(healed)
				until(t, backWithin, "camera_lost is cleared", func() bool { return !lost() })
				t.Logf("camera_lost after %.1f s, overload cut after %.1f s; after the end of the fault: back after %.1f s, cleared after %.1f s; %d starts",
					took.Seconds(), trip.Sub(began).Seconds(), again.Seconds(), time.Since(healed).Seconds(), len(g.workers(t)))
			}

			reasons := 0
			for _, line := range g.logged(t, "camera worker ended") {
				if why, _ := line["err"].(string); tt.reason != "" && strings.Contains(why, tt.reason) {
					reasons++
				}
			}
			if (reasons == 0) != (tt.reason == "") || tt.reason == "" && len(g.workers(t)) != 1 {
				t.Errorf("no worker ended because %q: %v", tt.reason, g.logged(t, "camera worker ended"))
			}
			checkGuard(t, g)
		})
	}
}

// awaitTrip waits until the overload is cut, and says when it was.
func (g *gateway) awaitTrip(t *testing.T) time.Time {
	t.Helper()
	var at time.Time
	until(t, startWithin, "the overload is cut", func() bool {
		a, ok := g.alarm(t, shedguard.CauseOvercurrent)
		at = a.RaisedAt
		o := g.state(t).Outlets[loadedOutlet-1]
		return ok && !o.Closed && slices.Contains(o.Latched, shedguard.CauseOvercurrent)
	})
	return at
}

// checkGuard: it runs and never missed its deadline, at which the process would have
// ended.
func checkGuard(t *testing.T, g *gateway) {
	t.Helper()
	select {
	case <-g.ended:
		t.Fatal("the gateway ended")
	default:
	}
	m := g.metrics(t)
	slowest := time.Duration(m["gateway_guard_tick_max_seconds"] * float64(time.Second))
	if m["gateway_guard_alive"] != 1 || m["gateway_guard_ticks_total"] < 100 || slowest <= 0 || slowest >= actuate.DeadlineLimit {
		t.Errorf("alive %g, %g ticks, the longest took %s", m["gateway_guard_alive"], m["gateway_guard_ticks_total"], slowest)
	}
	if n := m["gateway_samples_dropped_total"] + m["gateway_changes_missed_total"] + m["gateway_part_restarts_total"]; n != 0 {
		t.Errorf("%g samples or changes lost or parts restarted", n)
	}
	t.Logf("guard: %g ticks, the longest %s, %g of %g samples late, sample to relay %s", m["gateway_guard_ticks_total"], slowest,
		m[`gateway_bus_late_total{bus="sim"}`], m[`gateway_bus_reads_total{bus="sim"}`], time.Duration(m["gateway_sample_to_relay_max_seconds"]*float64(time.Second)))
}
