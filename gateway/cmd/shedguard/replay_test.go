package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/replay"
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
		"whatif.txt":          {"overload.csv", "--what-if", filepath.Join(dir, "limits.yaml")},
		"whatif.jsonl":        {"overload.csv", "--what-if", filepath.Join(dir, "limits.yaml"), "--json"},
		"whatif-same.txt":     {"overload.csv", "--what-if", "outlet-10a"},
		"whatif-5a.txt":       {"overload.csv", "--what-if", "outlet-5a", "--reset-after", "20s"},
		"several.txt":         {"overload.csv", filepath.Join(dir, "tasmota.log"), filepath.Join(dir, "shelly.json")},
		"several.jsonl":       {"overload.csv", filepath.Join(dir, "tasmota.log"), "--json"},
		"several-whatif.txt":  {"overload.csv", filepath.Join(dir, "tasmota.log"), "--what-if", filepath.Join(dir, "limits.yaml")},
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
			if strings.HasSuffix(name, ".jsonl") && !strings.HasPrefix(name, "whatif") && !strings.HasPrefix(name, "several") {
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

// objects are the lines of a replay's JSON.
func objects(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"replay", "--json"}, args...), &out, &errs); code != exitDone {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var all []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
	return all
}

// TestWhatIfIsTwoReplays holds a comparison to what each of its settings says
// by itself.
func TestWhatIfIsTwoReplays(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"overload.csv", "tasmota.log", "shelly.json", "homeassistant.csv"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", "replay", file)
			compared := objects(t, path, "--what-if", "outlet-5a", "--reset-after", "20s")
			last := compared[len(compared)-1]
			at := 0.0
			for _, tt := range []struct{ setting, profile string }{{"profile", "outlet-10a"}, {"what_if", "outlet-5a"}} {
				var got []map[string]any
				for _, object := range compared[:len(compared)-1] {
					if object["setting"] == tt.setting {
						got = append(got, maps.Clone(object))
						delete(got[len(got)-1], "setting")
					}
				}
				summary, ok := last[tt.setting].(map[string]any)
				if !ok {
					t.Fatalf("the last line has no %s: %v", tt.setting, last)
				}
				want := objects(t, path, "--profile", tt.profile, "--reset-after", "20s")
				if diff := cmp.Diff(want, append(got, summary)); diff != "" {
					t.Errorf("%s: %s", tt.setting, diff)
				}
			}
			for i, object := range compared[:len(compared)-1] {
				now, ok := object["time_s"].(float64)
				if !ok || now < at {
					t.Errorf("line %d: %v after %gs", i+1, object["time_s"], at)
				}
				at = now
			}
			if last["kind"] != "summary" || last["setting"] != "both" || last["file"] != file {
				t.Errorf("last line: %v", last)
			}
		})
	}
}

func TestReplayFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.csv":    "time_s,amps,watts\n0,1,220\n1,1,220\n3601,1,220\n",
		"a.csv":    "time_s,amps,watts\n0,40,8800\n1,40,8800\n2,40,8800\n",
		"bad.csv":  "time_s,amps\n0,much\n",
		"notes.md": "no recording",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"replay", dir, "--what-if", "outlet-16a"}, &out, &errs); code != exitFailed {
		t.Errorf("exit %d with a file that cannot be read", code)
	}
	if !strings.Contains(errs.String(), `bad.csv: recording: line 2: amps "much"`) {
		t.Errorf("stderr: %s", &errs)
	}
	want := []string{"RECORDING", "a.csv", "b.csv", "bad.csv"}
	var got []string
	for line := range strings.Lines(out.String()) {
		if fields := strings.Fields(line); len(fields) > 0 && (fields[0] == "RECORDING" || strings.HasSuffix(fields[0], ".csv")) {
			got = append(got, fields[0])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, &out)
	}
	if text := out.String(); !strings.Contains(text, "cannot be read") || !strings.Contains(text, "Recordings 2, 1.0 hours") || strings.Contains(text, "notes.md") {
		t.Errorf("%s", text)
	}
	empty := t.TempDir()
	if code := run(t.Context(), []string{"replay", empty}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "want a file that ends in one of .csv") {
		t.Errorf("empty folder: exit %d: %s", code, &errs)
	}
}

func TestPair(t *testing.T) {
	t.Parallel()
	event := func(at float64, kind replay.Kind, cause shedguard.Cause) *replay.Event {
		return &replay.Event{TimeS: at, Kind: kind, Cause: cause}
	}
	begins := event(1, replay.KindSession, "")
	alarm, late := event(5, replay.KindAlarm, "overpower"), event(7, replay.KindAlarm, "overpower")
	heat := event(5, replay.KindAlarm, "overcurrent")
	tests := map[string]struct {
		a, b []*replay.Event
		want []row
	}{
		"nothing":      {nil, nil, nil},
		"the same":     {[]*replay.Event{begins, alarm}, []*replay.Event{begins, alarm}, []row{{begins, begins}, {alarm, alarm}}},
		"later":        {[]*replay.Event{begins, alarm}, []*replay.Event{begins, late}, []row{{begins, begins}, {alarm, nil}, {nil, late}}},
		"earlier":      {[]*replay.Event{late}, []*replay.Event{alarm}, []row{{nil, alarm}, {late, nil}}},
		"one only":     {nil, []*replay.Event{alarm}, []row{{nil, alarm}}},
		"another too":  {[]*replay.Event{alarm}, []*replay.Event{heat, alarm}, []row{{nil, heat}, {alarm, alarm}}},
		"of one cause": {[]*replay.Event{heat}, []*replay.Event{alarm}, []row{{heat, nil}, {nil, alarm}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, pair(tt.a, tt.b)); diff != "" {
				t.Error(diff)
			}
		})
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
		"help":            {[]string{"--help"}, exitDone, "--profile", ""},
		"no file":         {nil, exitUsage, "", "<file>"},
		"absent":          {[]string{filepath.Join(dir, "none.csv")}, exitUsage, "", "no such file"},
		"unknown profile": {[]string{good, "--profile", "outlet-1a"}, exitUsage, "", "want one of direct-5a, outlet-10a, outlet-16a, outlet-5a"},
		"unknown format":  {[]string{good, "--format", "excel"}, exitUsage, "", "tasmota"},
		"bad heat":        {[]string{good, "--heat", "2"}, exitUsage, "", "heat: 2: want 0 to below 1"},
		"what-if faults": {
			[]string{good, "--what-if", file("limits.yaml", "limits: {overpower: {limit_wats: 1, delay: 5}}\nrelay: {pin: 1}\n")},
			exitUsage, "", "limits.overpower.limit_wats: unknown key: want perhaps limit_watts (line 1)\n" +
				"limits.overpower.delay: 5: want a duration with its unit, 0s to 1m (line 1)\nrelay: keys and values: want left out",
		},
		"no what-if":       {[]string{good, "--what-if", filepath.Join(dir, "no.yaml")}, exitUsage, "", "read tuning: "},
		"plot of several":  {[]string{good, bad, "--plot", "out.png"}, exitUsage, "", "want one recording, not 2"},
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

// plotted replays the overload and returns the picture of it.
func plotted(t *testing.T, path string, args ...string) image.Image {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"replay", filepath.Join("testdata", "replay", "overload.csv"), "--plot", path}, args...)
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
	return img
}

func TestReplayPlot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "curve.png")
	img := plotted(t, path)
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

func TestReplayPlotOfTwo(t *testing.T) {
	t.Parallel()
	img := plotted(t, filepath.Join(t.TempDir(), "two.png"), "--what-if", filepath.Join("testdata", "replay", "limits.yaml"))
	// Both trips are marked, each in its colour, the second one to the right.
	red, teal := -1, -1
	for x := range img.Bounds().Dx() {
		for y := img.Bounds().Dy() / 4; y < img.Bounds().Dy()/3; y++ {
			switch r, g, b, _ := img.At(x, y).RGBA(); {
			case r>>8 == 0xc0 && g>>8 == 0x1c && b>>8 == 0x28:
				red = x
			case r>>8 == 0 && g>>8 == 0x5f && b>>8 == 0x60:
				teal = x
			}
		}
	}
	if red < 0 || teal <= red {
		t.Errorf("trip at %d, with the other rules at %d", red, teal)
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
