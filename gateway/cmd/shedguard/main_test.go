package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
)

// asProgram makes the test binary behave as the program, so that a test can
// kill it.
const asProgram = "SHEDGUARD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("shed: ''\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		code int
		out  string // in stdout
		errs string // in stderr
	}{
		"no arguments":         {nil, exitDone, "Usage: shedguard", ""},
		"help":                 {[]string{"run", "--help"}, exitDone, "--scenario", ""},
		"version":              {[]string{"version"}, exitDone, "shedguard dev", ""},
		"unknown command":      {[]string{"fly"}, exitUsage, "", "see shedguard --help"},
		"unknown flag":         {[]string{"run", "--fast"}, exitUsage, "", "--fast"},
		"neither sim nor cfg":  {[]string{"run"}, exitUsage, "", "--config FILE or --sim"},
		"both":                 {[]string{"run", "--sim", "-c", bad}, exitUsage, "", "--config FILE or --sim"},
		"unknown scenario":     {[]string{"run", "--sim", "--scenario", "flood", "--state", dir}, exitUsage, "", "overload"},
		"bad recording":        {[]string{"run", "--sim", "--state", dir, "--play", bad}, exitUsage, "", "recording"},
		"files, plain broker":  {[]string{"run", "--sim", "--state", dir, "--ca-file", bad}, exitUsage, "", "mqtts://"},
		"cert without its key": {[]string{"run", "--sim", "--state", dir, "--broker", "mqtts://127.0.0.1:1", "--cert-file", bad}, exitUsage, "", "uplink.key_file"},
		"no such cert file":    {[]string{"run", "--sim", "--state", dir, "--cert-file", filepath.Join(dir, "none")}, exitUsage, "", "--cert-file"},
		"bad configuration":    {[]string{"run", "-c", bad}, exitUsage, "", "shed"},
		"no configuration":     {[]string{"check", "-c", filepath.Join(dir, "none")}, exitUsage, "", "no such file"},
		"open without state":   {[]string{"open", "--sim"}, exitUsage, "", "--state"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := run(t.Context(), tt.args, &out, &errs)
			if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, tt.code, &out, &errs)
			}
		})
	}
}

// tenFaults has ten faults in eight places of a file.
const tenFaults = `
shed: "bad shed"
uplink: {broker: "http://broker"}
buses:
  - {name: main, path: /dev/i2c-1, khz: 4000}
relays:
  - {name: board, chip: mcp23018, bus: main, address: 0x20, active_low: maybe}
poll: {hz: 0}
colour: green
outlets:
  - number: 0
    profile: outlet-10a
    meter: {chip: acs37800, bus: man, address: 0x60}
    thermometer: {chip: tmp102, bus: main, address: 0x48}
    relay: {name: board, pin: 16}
`

func TestCheckListsEveryFault(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(tenFaults), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", path}, &out, &errs); code != exitUsage {
		t.Errorf("exit %d, want %d", code, exitUsage)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, want := range []string{
		`shed: .*bad shed.*want`, `uplink\.broker: .*http://broker.*want mqtts?://`, `buses\[0\]\.khz: 4000: want .*10 to 1000`,
		`relays\[0\]\.chip: .*mcp23018.*want .*mcp23017`, `relays\[0\]\.active_low: .*maybe.*want`, `poll\.hz: 0: want .*1 to 50`,
		`colour: .*want`, `outlets\[0\]\.number: 0: want .*1 to 256`, `outlets\[0\]\.meter\.bus: .*man.*want`, `outlets\[0\]\.relay\.pin: 16: want .*0 to 15`,
	} {
		found := false
		for _, l := range lines {
			found = found || regexp.MustCompile(want).MatchString(l)
		}
		if !found {
			t.Errorf("no line matches %s", want)
		}
	}
	if len(lines) != 10 || t.Failed() {
		t.Errorf("%d lines, want 10:\n%s", len(lines), out.String())
	}
}

// program starts this program as a process of its own.
func program(t *testing.T, args ...string) (*exec.Cmd, func() string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self, append([]string{"--log-format", "json"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // likewise
		_ = log.Close()
	})
	return cmd, func() string {
		b, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// statusAddr is where the program's page listens, from its log.
func statusAddr(t *testing.T, log func() string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		for line := range strings.Lines(log()) {
			var m struct{ Msg, Status string }
			if json.Unmarshal([]byte(line), &m) == nil && m.Msg == "gateway started" {
				return m.Status
			}
		}
	}
	t.Fatalf("the gateway did not start:\n%s", log())
	return ""
}

func state(t *testing.T, addr string) shedguard.ShedState {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/api/v1/state", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var s shedguard.ShedState
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return s
}

func await(t *testing.T, addr, what string, ok func(*shedguard.ShedState) bool) {
	t.Helper()
	deadline := time.Now().Add(80 * time.Second)
	for {
		s := state(t, addr)
		if ok(&s) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", what, s)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// outputs is the latch of the simulated board, whoever drives it: OLATA and
// OLATB of its register file.
func outputs(t *testing.T, dir string) uint16 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "board"))
	if err != nil {
		t.Fatal(err)
	}
	return (uint16(b[0x14]) | uint16(b[0x15])<<8) & 0x0FFF
}

func TestKillKeepsTheTripAndOpenOpens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"run", "--sim", "--state", dir, "--status", "127.0.0.1:0", "--broker", "mqtt://127.0.0.1:1"}
	cmd, log := program(t, append(args, "--scenario", "overload")...)
	addr := statusAddr(t, log)
	await(t, addr, "outlet 3 tripped, which is kept, others fed", func(s *shedguard.ShedState) bool {
		// What is logged is on disk; the page shows it a moment before.
		kept := slices.ContainsFunc(s.Alarms, func(a shedguard.Alarm) bool { return a.Latched && strings.Contains(log(), a.ID) })
		return s.Outlets[2].State == shedguard.StateTripped && s.Outlets[0].Closed && kept
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if outputs(t, dir) == 0 {
		t.Fatal("the board's outputs are open although its program was killed: the test shows nothing")
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"open", "--sim", "--state", dir}, &out, &errs); code != exitDone {
		t.Fatalf("open: exit %d: %s", code, &errs)
	}
	if got := outputs(t, dir); got != 0 {
		t.Fatalf("outputs %#x after open, want none", got)
	}

	cmd, log = program(t, append(args, "--scenario", "quiet")...)
	addr = statusAddr(t, log)
	await(t, addr, "outlets fed again, outlet 3 still tripped", func(s *shedguard.ShedState) bool {
		if o := s.Outlets[2]; o.Closed || o.State != shedguard.StateTripped {
			t.Fatalf("outlet 3 after the restart: %+v", o)
		}
		return s.Outlets[0].Closed && s.Outlets[1].Closed && s.Outlets[3].Closed
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("end on a signal: %v\n%s", err, log())
	}
	if got := outputs(t, dir); got != 0 {
		t.Errorf("outputs %#x after the end, want none", got)
	}
}

func TestOpenOpensDespiteAFaultInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf("shed: %q\nbuses: [{name: main, path: /dev/i2c-99, khz: 400}]\n", "S")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"open", "--config", path}, &out, &errs)
	// It came as far as the bus, which does not exist here.
	if code == exitDone || !strings.Contains(errs.String(), "/dev/i2c-99") {
		t.Errorf("exit %d: %s", code, &errs)
	}
}
