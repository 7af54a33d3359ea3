package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what came out with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (written anew by -update):\n%s", path, diff)
	}
}

func TestReplayGolden(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "replay")
	tests := map[string][]string{
		"overload.jsonl":      {"overload.csv", "--json"},
		"overload-5a.jsonl":   {"overload.csv", "--json", "--profile", "outlet-5a", "--reset-after", "20s"},
		"overload.txt":        {"overload.csv"},
		"tasmota.jsonl":       {"tasmota.log", "--json"},
		"shelly.jsonl":        {"shelly.json", "--json", "--meter-stale"},
		"homeassistant.jsonl": {"homeassistant.csv", "--json", "--format", "homeassistant"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args = append([]string{"replay", filepath.Join(dir, args[0])}, args[1:]...)
			var out, errs bytes.Buffer
			if code := run(t.Context(), args, &out, &errs); code != exitDone || errs.Len() > 0 {
				t.Fatalf("exit %d: %s", code, &errs)
			}
			golden(t, filepath.Join(dir, name), out.Bytes())
			if strings.HasSuffix(name, ".jsonl") {
				checkLines(t, out.Bytes())
			}
		})
	}
}

// checkLines holds the output to what other programs rely on: every line has
// the agreed keys, the last one is the summary.
func checkLines(t *testing.T, out []byte) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	for i, line := range lines {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		kind := object["kind"]
		if (i == len(lines)-1) != (kind == "summary") {
			t.Errorf("line %d of %d is a %v", i+1, len(lines), kind)
		}
		keys := []string{"time_s", "kind", "cause", "action", "text"}
		switch kind {
		case "alarm", "decision", "phase", "session":
		case "summary":
			keys = []string{
				"file", "samples", "duration_s", "energy_wh", "peak_watts", "peak_amps", "alarms", "trips",
				"first_trip_s", "sessions", "not_judged", "text",
			}
		default:
			t.Errorf("line %d: kind %v", i+1, kind)
		}
		for _, key := range keys {
			if _, ok := object[key]; !ok {
				t.Errorf("line %d has no %q: %s", i+1, key, line)
			}
		}
	}
}

func TestReplayExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := filepath.Join("testdata", "replay", "overload.csv")
	bad := file("bad.csv", "time_s,amps\n0,1\n1,much\n")
	tests := map[string]struct {
		args []string
		code int
		out  string
		errs string
	}{
		"help":             {[]string{"--help"}, exitDone, "--profile", ""},
		"no file":          {nil, exitUsage, "", "<file>"},
		"absent":           {[]string{filepath.Join(dir, "none.csv")}, exitUsage, "", "no such file"},
		"unknown profile":  {[]string{good, "--profile", "outlet-1a"}, exitUsage, "", "want one of outlet-10a, outlet-16a, outlet-5a"},
		"unknown format":   {[]string{good, "--format", "excel"}, exitUsage, "", "tasmota"},
		"bad heat":         {[]string{good, "--heat", "2"}, exitUsage, "", "heat: 2: want 0 to below 1"},
		"bad plot":         {[]string{good, "--plot", "out.svg"}, exitUsage, "", "ends in .png"},
		"bad cell":         {[]string{bad}, exitFailed, "", `line 3: amps "much": want a finite number or nothing`},
		"other format":     {[]string{good, "--format", "shelly"}, exitFailed, "", "line 1: columns"},
		"not a recording":  {[]string{filepath.Join("testdata", "replay", "overload.txt")}, exitFailed, "", "want a CSV header with time_s"},
		"no samples":       {[]string{file("empty.csv", "time_s,amps\n")}, exitFailed, "", "no samples"},
		"no outlet":        {[]string{good, "-c", file("gateway.yaml", "shed: ''\n")}, exitUsage, "", "shed"},
		"nothing to draw":  {[]string{file("volts.csv", "time_s,volts\n0,220\n1,221\n"), "--plot", filepath.Join(dir, "none.png")}, exitFailed, "nothing was judged", "neither power nor current"},
		"plot in no place": {[]string{good, "--plot", filepath.Join(dir, "nowhere", "x.png")}, exitFailed, "Result", "draw"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"replay"}, tt.args...), &out, &errs)
			if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s\nwant %q, %q", code, tt.code, &out, &errs, tt.out, tt.errs)
			}
		})
	}
}

func TestReplayPlot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "curve.png")
	var out, errs bytes.Buffer
	args := []string{"replay", filepath.Join("testdata", "replay", "overload.csv"), "--plot", path}
	if code := run(t.Context(), args, &out, &errs); code != exitDone {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() < 1000 || b.Dy() < 500 {
		t.Errorf("the picture is %v", b)
	}
	// The trip is marked in its colour, and nowhere without one.
	marked := 0
	for x := range img.Bounds().Dx() {
		if r, g, b, _ := img.At(x, img.Bounds().Dy()/4).RGBA(); r>>8 == 0xc0 && g>>8 == 0x1c && b>>8 == 0x28 {
			marked++
		}
	}
	if marked < 1 || marked > 60 {
		t.Errorf("%d pixels of the trip's colour on a line through the picture", marked)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestProgressShowsOnATerminalOnly(t *testing.T) {
	t.Parallel()
	var shown bytes.Buffer
	p := &progress{Reader: strings.NewReader(strings.Repeat("x", 100)), w: &shown, total: 200, next: time.Now().Add(-time.Second)}
	if _, err := p.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	p.done()
	if got := shown.String(); !strings.Contains(got, "50 %") || !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("%q", got)
	}
	f, err := os.Open(filepath.Join("testdata", "replay", "overload.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if p := newProgress(&shown, f); p.w != nil {
		t.Error("shown to what is no terminal")
	}
}
