package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/app"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
)

func TestCalibrateUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sim := []string{"--sim", "--state", dir}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":          {nil, "--config FILE or --sim"},
		"both":             {append(sim, "-c", "x"), "--config FILE or --sim"},
		"sim without dir":  {[]string{"--sim", "--outlet", "3"}, "--state DIR"},
		"no outlet":        {append(sim, "--zero"), "--outlet: required"},
		"two modes":        {append(sim, "--outlet", "3", "--zero", "--list"), "want one of"},
		"amps alone":       {append(sim, "--outlet", "3", "--amps", "4"), "--volts and --amps belong together"},
		"watts alone":      {append(sim, "--outlet", "3", "--watts", "4"), "--volts and --amps belong together"},
		"no time":          {append(sim, "--outlet", "3", "--zero", "--seconds", "1"), "--seconds 1: want 3 to 120"},
		"unknown outlet":   {append(sim, "--outlet", "13", "--zero"), "--outlet 13: the configuration has none"},
		"no configuration": {[]string{"-c", filepath.Join(dir, "none"), "--outlet", "3"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			if code := run(t.Context(), append([]string{"calibrate"}, tt.args...), io.Discard, &errs); code != exitUsage || !strings.Contains(errs.String(), tt.want) {
				t.Errorf("exit code %d, %q", code, errs.String())
			}
		})
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"calibrate", "--help"}, &out, io.Discard); code != exitDone || !strings.Contains(out.String(), "Stop the service first") {
		t.Errorf("help: %d\n%s", code, &out)
	}
}

// calibrateSim runs the command on a simulated shed.
func calibrateSim(t *testing.T, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"calibrate", "--sim", "--state", dir, "--seconds", "3"}, args...), &o, &e)
	return code, o.String(), e.String()
}

// TestCalibrateSim takes an outlet through all steps and looks whether the
// gateway then reads what the reference did.
func TestCalibrateSim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out, errs := calibrateSim(t, dir, "--outlet", "3", "--zero"); code != exitDone || !strings.Contains(out, "open outlet: ") {
		t.Fatalf("zero: exit code %d\n%s\n%s", code, out, errs)
	}
	if code, out, errs := calibrateSim(t, dir, "--outlet", "3", "--volts", "232", "--amps", "4.8", "--by", "tester"); code != exitDone || !strings.Contains(out, "known load: ") {
		t.Fatalf("load: exit code %d\n%s\n%s", code, out, errs)
	}
	path := filepath.Join(dir, app.CalibrationFile)
	records, err := calibration.Load(path)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	r := &records[0]
	// The simulated meter is right: 226 V less the cable, through 50 Ω.
	for name, tt := range map[string]struct{ got, want float64 }{
		"volts": {r.Volts.Gain, 232 / 225.46}, "amps": {r.Amps.Gain, 4.8 / 4.509}, "watts": {r.Watts.Gain, 232 * 4.8 / (225.46 * 4.509)},
	} {
		if math.Abs(tt.got/tt.want-1) > 0.005 {
			t.Errorf("%s: gain %g, want %g", name, tt.got, tt.want)
		}
	}
	if r.Loads() != 1 || r.Zero() == nil || r.Points[1].By != "tester" || r.Points[1].Samples < calibration.LeastSamples {
		t.Errorf("points %+v", r.Points)
	}

	// The same load again, with the correction in effect: nothing moves.
	if code, out, errs := calibrateSim(t, dir, "--outlet", "3", "--volts", "232", "--amps", "4.8"); code != exitDone {
		t.Fatalf("again: exit code %d\n%s\n%s", code, out, errs)
	}
	again, err := calibration.Load(path)
	if err != nil || math.Abs(again[0].Amps.Gain/r.Amps.Gain-1) > 0.005 || again[0].Loads() != 1 {
		t.Errorf("again: %+v, %v, was %+v", again[0].Amps, err, r.Amps)
	}

	code, out, errs := calibrateSim(t, dir, "--list")
	if code != exitDone || !strings.Contains(out, "outlet 3: acs37800 at left.2/0x60: ") || !strings.Contains(out, ", 1 load and the open outlet: applies") {
		t.Errorf("list: exit code %d\n%s\n%s", code, out, errs)
	}
	code, out, errs = calibrateSim(t, dir, "--outlet", "3", "--clear")
	if code != exitDone || !strings.Contains(out, "outlet 3: forgotten") {
		t.Errorf("clear: exit code %d\n%s\n%s", code, out, errs)
	}
	if _, out, _ = calibrateSim(t, dir, "--list"); out != "no outlet is calibrated\n" {
		t.Errorf("list: %q", out)
	}
}

// TestCalibrateAsks types the answers of a person, one of them wrong.
func TestCalibrateAsks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	c := &calibrateCmd{Outlet: 5, Seconds: 3, simFlags: simFlags{Sim: true, State: dir, Shed: "demo-1"}}
	in := strings.NewReader("s\n\nfour\n228 4.5\n\n228 -1\nq\n")
	err := c.Run(&env{ctx: t.Context(), in: in, out: &out, errs: &errs, log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, errGivenUp) {
		t.Errorf("given up where a reference is wanted: %v", err)
	}
	text := out.String()
	for _, want := range []string{
		"Unplug everything from outlet 5.", "Plug in a known load", `"four": want two or three numbers`, "known load: ", "volts = 1.0", "kept in ",
		"Plug in another load", `"-1": want a number above 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s\n%s\n%v", want, text, errs.String(), err)
		}
	}
	if strings.Contains(text, "open outlet: ") {
		t.Error("a step that was skipped was measured")
	}
	records, lerr := calibration.Load(filepath.Join(dir, app.CalibrationFile))
	if lerr != nil || len(records) != 1 || records[0].Outlet != 5 {
		t.Errorf("%+v, %v", records, lerr)
	}
}

// TestOneGatewayAtATime: who holds the state folder owns the buses.
func TestOneGatewayAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, locked, err := takeLock(dir)
	if err != nil || !locked {
		t.Fatal(err)
	}
	if code, _, errs := calibrateSim(t, dir, "--outlet", "3", "--zero"); code != exitUsage || !strings.Contains(errs, "systemctl stop shedguard") {
		t.Errorf("calibrate: exit code %d, %s", code, errs)
	}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"run", "--sim", "--state", dir, "--status", "127.0.0.1:0"}, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), "a gateway runs on this state folder") {
		t.Errorf("run: exit code %d, %s", code, errs.String())
	}
	if code, out, errs := calibrateSim(t, dir, "--list"); code != exitDone {
		t.Errorf("list needs no lock: exit code %d, %s%s", code, out, errs)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, locked, err = takeLock(dir)
	if err != nil || !locked {
		t.Fatalf("after release: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	// A lock that cannot be made keeps nobody from protecting.
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, locked, err := takeLock(filepath.Join(file, "state")); locked || err == nil || errors.Is(err, errTaken) {
		t.Errorf("no folder: locked %v, %v", locked, err)
	}
}

// TestCalibrationIsInEffect: a gateway that starts reads as the reference did,
// sets a damaged file aside, and starts in any case.
func TestCalibrationIsInEffect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, app.CalibrationFile)
	cfg, err := config.Parse(simConfig(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	o := &cfg.Outlets[2]
	r := calibration.New(o)
	if err := r.Add(calibration.Point{
		At: time.Now(), Samples: 100, Mean: calibration.Values{Volts: 200, Amps: 4, Watts: 800}, True: &calibration.Values{Volts: 220, Amps: 4.2, Watts: 924},
	}, o); err != nil {
		t.Fatal(err)
	}
	moved := calibration.New(&cfg.Outlets[3])
	moved.Outlet = 5 // of another outlet's meter
	if err := calibration.Save(path, []calibration.Record{*r, *moved}); err != nil {
		t.Fatal(err)
	}
	metrics, logs := metricsOfSim(t, dir)
	for _, want := range []string{"gateway_calibrated_outlets 1", "gateway_calibrations_refused 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	volts := regexp.MustCompile(`gateway_outlet_volts\{outlet="(3|4)"\} ([0-9.]+)`).FindAllStringSubmatch(metrics, -1)
	if len(volts) != 2 {
		t.Fatalf("volts of two outlets: %q", volts)
	}
	var v [2]float64
	for i := range v {
		if _, err := fmt.Sscan(volts[i][2], &v[i]); err != nil {
			t.Fatal(err)
		}
	}
	if math.Abs(v[0]/v[1]-1.1) > 0.005 {
		t.Errorf("%g V and %g V: want outlet 3 to read a tenth more", v[0], v[1])
	}
	if !strings.Contains(logs, "calibrated with another meter or wiring") {
		t.Errorf("the record of another meter is not told:\n%s", logs)
	}

	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	metrics, logs = metricsOfSim(t, dir)
	aside, err := filepath.Glob(path + ".bad-*")
	if err != nil || len(aside) != 1 || !strings.Contains(logs, "file is damaged") {
		t.Errorf("set aside: %q, %v\n%s", aside, err, logs)
	}
	if !strings.Contains(metrics, "gateway_calibrated_outlets 0") || !strings.Contains(metrics, "gateway_calibrations_refused 1") {
		t.Error("the metrics do not tell of a damaged file")
	}
	if code, out, _ := calibrateSim(t, dir, "--list"); code != exitDone || out != "no outlet is calibrated\n" {
		t.Errorf("list: %d %q", code, out)
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// metricsOfSim runs the gateway on the simulated shed until two meters were read.
func metricsOfSim(t *testing.T, dir string) (metrics, logs string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"run", "--sim", "--state", dir, "--status", "127.0.0.1:0", "--broker", "mqtt://127.0.0.1:1"}, io.Discard, &errs)
	}()
	address := regexp.MustCompile(`status=(127\.0\.0\.1:[0-9]+)`)
	deadline := time.Now().Add(30 * time.Second)
	for ; time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		at := address.FindStringSubmatch(errs.String())
		if at == nil {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at[1]+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if metrics = string(b); err == nil && strings.Contains(metrics, `gateway_outlet_volts{outlet="3"}`) && strings.Contains(metrics, `gateway_outlet_volts{outlet="4"}`) {
			break
		}
	}
	cancel()
	if code := <-done; code != exitDone {
		t.Errorf("run: exit code %d\n%s", code, errs.String())
	}
	return metrics, errs.String()
}

// TestCalibrateGolden: what a person reads.
func TestCalibrateGolden(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse(simConfig(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 9, 30, 0, 0, time.UTC)
	points := []calibration.Point{
		{At: at, Seconds: 10, Samples: 100, Mean: calibration.Values{Volts: 226.04, Amps: 0.0214, Watts: 0.6}, Spread: calibration.Values{Volts: 0.14, Amps: 0.0003, Watts: 0.2}},
		{At: at, By: "Wei", Seconds: 10, Samples: 100, Mean: calibration.Values{Volts: 225.41, Amps: 4.4127, Watts: 994.8}, Spread: calibration.Values{Volts: 0.15, Amps: 0.011, Watts: 2.4}, True: &calibration.Values{Volts: 229.8, Amps: 4.53, Watts: 1041}},
		{At: at.AddDate(0, 0, 1), By: "Wei", Seconds: 10, Samples: 99, Mean: calibration.Values{Volts: 225.9, Amps: 1.9571, Watts: 330.1}, Spread: calibration.Values{Volts: 0.16, Amps: 0.005, Watts: 1.1}, True: &calibration.Values{Volts: 230.2, Amps: 2.01}},
	}
	var out bytes.Buffer
	record := calibration.New(&cfg.Outlets[2])
	for i := range points {
		if err := record.Add(points[i], &cfg.Outlets[2]); err != nil {
			t.Fatal(err)
		}
		tellPoint(&out, &points[i])
		tellTrims(&out, record)
	}
	other := *record
	other.Outlet = 4
	gone := *record
	gone.Outlet = 99
	if err := list(&out, []calibration.Record{*record, other, gone}, cfg); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "calibrate", "report.txt"), out.Bytes())
	if err := list(lost{}, []calibration.Record{*record}, cfg); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a lost output: %v", err)
	}
}
