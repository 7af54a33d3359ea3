package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	chips "github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/scan"
	"github.com/shedguard/shedguard/gateway/sim"
)

func TestScanSimGolden(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"sim.txt": nil, "sim.jsonl": {"--json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out, errs bytes.Buffer
			if code := run(t.Context(), append([]string{"scan", "--sim", "--state", dir}, args...), &out, &errs); code != exitDone {
				t.Fatalf("exit code %d, %s", code, errs.String())
			}
			golden(t, filepath.Join("testdata", "scan", name), out.Bytes())
		})
	}
}

// simConfig is the configuration of the simulated shed, as text.
func simConfig(t *testing.T, status string) []byte {
	t.Helper()
	text, err := sim.Config(sim.Settings{Shed: "s1", Broker: "mqtt://127.0.0.1:1883", Status: status, Dir: t.TempDir(), Profile: "outlet-10a"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestScanDifferencesGolden: a shed on which everything differs that can.
func TestScanDifferencesGolden(t *testing.T) {
	t.Parallel()
	for name, asJSON := range map[string]bool{"differences.txt": false, "differences.jsonl": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shed, err := sim.New(sim.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse(simConfig(t, "127.0.0.1:0"))
			if err != nil {
				t.Fatal(err)
			}
			shed.CutMeter(3, true)
			shed.Bus.NACK(0x71, true)
			shed.Bus.Attach(0x40, chips.NewINA226(0.001))
			shed.Bus.Attach(0x2B, chips.NewTMP102())
			cfg.Outlets[1].Meter.Chip = "adm1272"
			result, err := scan.Run(t.Context(), scan.Options{
				Lines: []scan.Line{{Name: sim.BusName, Bus: shed.Bus}}, Want: scan.Expect(cfg), Compare: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			result.Faults = append(result.Faults, scan.Fault{Bus: "side", Err: scan.ErrHung})
			var out bytes.Buffer
			err = (&scanCmd{JSON: asJSON}).report(&out, result, true)
			if err == nil || codeOf(err) != exitFailed || !strings.Contains(err.Error(), "18 differences") {
				t.Errorf("report: %v", err)
			}
			golden(t, filepath.Join("testdata", "scan", name), out.Bytes())
			if asJSON {
				for line := range bytes.Lines(out.Bytes()) {
					if !json.Valid(line) {
						t.Errorf("no JSON: %s", line)
					}
				}
			}
		})
	}
}

// lost is a writer that fails.
type lost struct{}

func (lost) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestScanTellsALostOutput(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		if err := (&scanCmd{JSON: asJSON}).report(lost{}, &scan.Result{}, true); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("json %v: %v", asJSON, err)
		}
	}
}

func TestScanUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing":      {},
		"two ways":     {"--sim", "--bus", "/dev/i2c-1"},
		"sim, no dir":  {"--sim"},
		"no file":      {"--config", filepath.Join(t.TempDir(), "none")},
		"unknown flag": {"--write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			if code := run(t.Context(), append([]string{"scan"}, args...), io.Discard, &errs); code != exitUsage || errs.Len() == 0 {
				t.Errorf("exit code %d, %q", code, errs.String())
			}
		})
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"scan", "--help"}, &out, io.Discard); code != exitDone || !strings.Contains(out.String(), "Stop the gateway first") {
		t.Errorf("help: exit code %d\n%s", code, out.String())
	}
}

// TestScanRefusesBesideAGateway: it opens no bus while one answers.
func TestScanRefusesBesideAGateway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer  int
		args    []string
		code    int
		message string
	}{
		"works":        {http.StatusOK, nil, exitUsage, errRunning.Error()},
		"stands still": {http.StatusServiceUnavailable, nil, exitUsage, errRunning.Error()},
		"other server": {http.StatusNotFound, nil, exitFailed, "open bus"},
		"forced":       {http.StatusOK, []string{"--force"}, exitFailed, "open bus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/healthz" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(test.answer)
			}))
			defer server.Close()
			path := filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(path, simConfig(t, server.Listener.Addr().String()), 0o600); err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			code := run(t.Context(), append([]string{"scan", "--config", path}, test.args...), io.Discard, &errs)
			if code != test.code || !strings.Contains(errs.String(), test.message) {
				t.Errorf("exit code %d, %s", code, errs.String())
			}
		})
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	for listen, want := range map[string]bool{
		"127.0.0.1:" + port: true, "0.0.0.0:" + port: true, ":" + port: true, "[::]:" + port: true,
		"127.0.0.1:0": false, "127.0.0.1": false, "": false, "127.0.0.1:1": false,
	} {
		if got := alive(t.Context(), listen); got != want {
			t.Errorf("%q: %v, want %v", listen, got, want)
		}
	}
}
