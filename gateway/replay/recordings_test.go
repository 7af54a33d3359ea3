package replay_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/session"
)

// docsMu is held by the test that looks at the docs: several do.
var docsMu sync.Mutex

var update = flag.Bool("update", false, "write the table of docs/REPLAY.md anew")

// recordings is the folder of real recordings, which are no part of the
// repository; the test is skipped where it is absent.
func recordings(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("SHEDGUARD_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "charging-data")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v; set SHEDGUARD_SHARED to the folder that holds charging-data", err)
	}
	return dir
}

// samplesOf are all samples of a file.
func samplesOf(t *testing.T, path string) []recording.Sample {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rec, err := recording.Open(f, recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all []recording.Sample
	for {
		var s recording.Sample
		if err := rec.Next(&s); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

func playFile(t *testing.T, path, profile string) replay.Summary {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sum := play(t, options(t, profile), f)
	sum.File = filepath.Base(path)
	return sum
}

// TestWhatShouldHold is what is known of the recordings, as far as there are
// rules for it. Full charge is not judged yet.
func TestWhatShouldHold(t *testing.T) {
	t.Parallel()
	dir := recordings(t)
	const nothing = ""
	tests := map[string]struct {
		file, profile string
		trip          shedguard.Cause
		peakAmps      float64 // 0: not looked at
		sessions      int     // -1: not looked at
	}{
		"overload staircase, 5 A":                 {"lab_main3_train.csv", "outlet-5a", shedguard.CauseOverpower, 32.09, -1},
		"overload staircase, 10 A":                {"lab_main3_train.csv", "outlet-10a", shedguard.CauseOverpower, 32.09, -1},
		"kettle in the lab, 5 A":                  {"lab_kettle_train.csv", "outlet-5a", shedguard.CauseOverpower, 8.89, -1},
		"kettle at home, 5 A":                     {"kettle_2011-12-01.csv", "outlet-5a", shedguard.CauseOverpower, 0, -1},
		"hair dryer, 5 A":                         {"hairdryer_2011-12-11.csv", "outlet-5a", shedguard.CauseOverpower, 0, -1},
		"vacuum's inrush, 10 A: in the peak only": {"lab_vacuum_train.csv", "outlet-10a", nothing, 12.46, -1},
		"fridge's inrush, 5 A: in the peak only":  {"fridge_98C08A_2011-08-10.csv", "outlet-5a", nothing, 1145.0 / 220, -1},
		"laptop":                                  {"laptop_5AE2CA_2012-01-21.csv", "outlet-10a", nothing, 0, -1},
		"laptop, apple":                           {"laptop_macbook_2013-05-10.csv", "outlet-10a", nothing, 0, -1},
		"laptop, RMS":                             {"rms_laptop_1.csv", "outlet-10a", nothing, 0, -1},
		"laptop, waveform":                        {"wave_laptop_1.csv", "outlet-10a", nothing, 0, -1},
		"phone charger":                           {"phone_charger_D337C9_2012-01-21.csv", "outlet-10a", nothing, 0, 0},
		"induction cooker, RMS":                   {"rms_induction_cooker_5.csv", "outlet-10a", nothing, 0, -1},
		"induction cooker, waveform":              {"wave_induction_cooker_5.csv", "outlet-10a", nothing, 0, -1},
		"e-bike, whole charge":                    {"ebike_lectric_battery_1_full.csv", "outlet-10a", nothing, 0, 1},
		"e-bike, whole charge, 5 A":               {"ebike_lectric_battery_1_full.csv", "outlet-5a", nothing, 0, 1},
		"e-bike, top-up":                          {"ebike_rad_battery_2_full.csv", "outlet-5a", nothing, 0, 1},
		"e-bike, cut off":                         {"ebike_rad_battery_1_nominal.csv", "outlet-5a", nothing, 0, 1},
		"nothing plugged in":                      {"ebike_battery_spare_1_full.csv", "outlet-5a", nothing, 0, 0},
		"idle chargers":                           {"ebike_idle_chargers_snapshot.csv", "outlet-5a", nothing, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := playFile(t, filepath.Join(dir, tt.file), tt.profile)
			if got.FirstTrip != tt.trip || tt.trip == nothing && len(got.Alarms) > 0 {
				t.Errorf("first trip %q, alarms %v, want %q", got.FirstTrip, got.Alarms, tt.trip)
			}
			if tt.peakAmps != 0 && math.Abs(got.PeakAmps-tt.peakAmps) > 1e-6 {
				t.Errorf("peak %g A, want %g A", got.PeakAmps, tt.peakAmps)
			}
			if tt.sessions >= 0 && len(got.Sessions) != tt.sessions {
				t.Errorf("%d sessions, want %d", len(got.Sessions), tt.sessions)
			}
		})
	}
}

// TestFullIsFound: the cut comes after the taper and not before, and nearly
// nothing is missed.
func TestFullIsFound(t *testing.T) {
	t.Parallel()
	dir := recordings(t)
	tests := map[string]struct {
		phases   []string // in their order
		fullS    [2]float64
		missedWh float64 // at most
	}{
		"ebike_lectric_battery_1_full.csv": {[]string{"inrush", "constant_current", "constant_voltage", "trickle"}, [2]float64{11865, 13690}, 3},
		"ebike_rad_battery_2_full.csv":     {[]string{"inrush", "constant_current", "constant_voltage", "trickle"}, [2]float64{3353, 5494}, 1.5},
		"ebike_rad_battery_1_nominal.csv":  {[]string{"inrush", "constant_current", "constant_voltage"}, [2]float64{}, 0},
	}
	for file, tt := range tests {
		for _, profile := range replay.Profiles() {
			got := run(t, options(t, profile), samplesOf(t, filepath.Join(dir, file)))
			var phases []string
			for _, e := range got.kinds(replay.KindPhase) {
				if e.TimeS >= 2 { // of the session
					phases = append(phases, e.Phase)
				}
			}
			if diff := cmp.Diff(tt.phases, phases); diff != "" {
				t.Errorf("%s, %s: phases %s", file, profile, diff)
			}
			if len(got.Summary.Sessions) != 1 {
				t.Fatalf("%s, %s: %d sessions", file, profile, len(got.Summary.Sessions))
			}
			s := got.Summary.Sessions[0]
			if tt.fullS[1] == 0 {
				if s.EndedS != nil {
					t.Errorf("%s, %s: ended %s at %g", file, profile, s.Phase, *s.EndedS)
				}
				continue
			}
			if s.Phase != session.PhaseFull || s.Reason != session.ReasonOther || s.EndedS == nil || *s.EndedS < tt.fullS[0] || *s.EndedS > tt.fullS[1] {
				t.Errorf("%s, %s: %+v, want full within %v", file, profile, s, tt.fullS)
			}
			if missed := got.Summary.EnergyWh - s.EnergyWh; missed < 0 || missed > tt.missedWh {
				t.Errorf("%s, %s: %.2f Wh missed, want at most %g", file, profile, missed, tt.missedWh)
			}
			if got.Summary.State != shedguard.StateFull || len(got.Summary.Alarms) != 0 {
				t.Errorf("%s, %s: %s, alarms %v", file, profile, got.Summary.State, got.Summary.Alarms)
			}
		}
	}
}

// TestIdlePowers: the idle powers that were recorded are told apart, each for
// two hours.
func TestIdlePowers(t *testing.T) {
	t.Parallel()
	tests := map[float64]struct{ phase, text string }{
		0:    {"nothing", "Nothing is plugged in (0 W)."},
		0.7:  {"idle_charger", "A charger without a battery is plugged in (0.7 W)."},
		4.2:  {"full_battery", "A full battery, or a small device, is plugged in (4.2 W)."},
		15.5: {"idle_load", "What is plugged in does not charge: a steady 15.5 W."},
	}
	for watts, tt := range tests {
		got := run(t, options(t, "outlet-10a"), rows(time.Minute, level(120, watts/220)...))
		phases := got.kinds(replay.KindPhase)
		if len(phases) == 0 {
			t.Fatalf("%g W: nothing is told", watts)
		}
		last := phases[len(phases)-1]
		if last.Phase != tt.phase || last.Text != tt.text || len(got.Summary.Alarms) != 0 {
			t.Errorf("%g W: %q, %q, alarms %v", watts, last.Phase, last.Text, got.Summary.Alarms)
		}
		if sessions := len(got.Summary.Sessions); sessions > 0 != (watts > 15) {
			t.Errorf("%g W: %d sessions", watts, sessions)
		}
		if watts > 15 && got.Summary.Sessions[0].Phase != session.PhaseIdle {
			t.Errorf("%g W: session %+v", watts, got.Summary.Sessions[0])
		}
	}
}

// TestOverloadWithoutOverpower shows that the staircase and the kettle trip a
// 5 A outlet by their current too.
func TestOverloadWithoutOverpower(t *testing.T) {
	t.Parallel()
	dir := recordings(t)
	for file, want := range map[string]shedguard.Cause{
		"lab_main3_train.csv": shedguard.CauseOvercurrent, "lab_kettle_train.csv": shedguard.CauseOvercurrent,
	} {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		opts := options(t, "outlet-5a")
		opts.Limits.Overpower.Enabled, opts.Session.MaxWatts = false, 20_000
		if got := play(t, opts, f); got.FirstTrip != want {
			t.Errorf("%s: %q, want %s", file, got.FirstTrip, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// kindOf says in our words what a recording is, by the beginning of its name.
func kindOf(file string) string {
	for _, k := range [...]struct{ prefix, kind string }{
		{"dc_", "charge of a 4S pack, measured on the DC side"},
		{"ebike_battery_spare", "socket with nothing in it"},
		{"ebike_idle", "idle e-bike chargers"},
		{"ebike_lectric", "e-bike, whole charge"},
		{"ebike_rad_battery_1", "e-bike, charge that was cut off"},
		{"ebike_rad_battery_2", "e-bike, top-up"},
		{"fridge", "fridge, a day"},
		{"hairdryer", "hair dryer, a day"},
		{"kettle", "kettle, a day"},
		{"lab_kettle", "kettle"},
		{"lab_main3", "kettle, vacuum cleaner and water heater on one feed"},
		{"lab_vacuum", "vacuum cleaner"},
		{"laptop", "laptop charger, a day"},
		{"microwave", "microwave oven, a day"},
		{"phone", "phone charger, 15 hours"},
		{"psp", "games console charger, a day"},
		{"vacuum", "vacuum cleaner, a day"},
		{"washer", "washing machine, a day"},
		{"rms_", "three seconds, RMS of each cycle"},
		{"wave_", "three seconds, waveform"},
	} {
		if strings.HasPrefix(file, k.prefix) {
			return k.kind
		}
	}
	return "recording"
}

// said is what the rules said of a recording, in a table's cell.
func said(s *replay.Summary) string {
	var parts []string
	if s.FirstTripS != nil {
		parts = append(parts, fmt.Sprintf("**%s** at %s", s.FirstTrip, replay.Span(s.FirstTripS, s.TimeS-s.DurationS)))
	} else if len(s.Alarms) == 0 {
		parts = append(parts, "nothing")
	}
	switch n := len(s.Sessions); {
	case n == 1:
		one := s.Sessions[0]
		text := fmt.Sprintf("session %.1f Wh, %s", one.EnergyWh, one.Phase)
		if one.Phase == session.PhaseFull {
			text += fmt.Sprintf(" after %s, %.1f Wh missed", replay.Span(one.EndedS, s.TimeS-s.DurationS), s.EnergyWh-one.EnergyWh)
		}
		parts = append(parts, text)
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d sessions", n))
	}
	return strings.Join(parts, "; ")
}

// TestTableOfTheDocs replays every recording and holds the table of the docs to
// what came out; -update writes it.
func TestTableOfTheDocs(t *testing.T) {
	t.Parallel()
	dir := recordings(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d recordings, %v", dir, len(files), err)
	}
	var table strings.Builder
	table.WriteString("| recording | what it is | length | energy | peak | outlet-5a | outlet-10a |\n|---|---|--:|--:|--:|---|---|\n")
	for _, path := range files {
		if filepath.Base(path) == "manifest.csv" {
			continue
		}
		five, ten := playFile(t, path, "outlet-5a"), playFile(t, path, "outlet-10a")
		for _, s := range []*replay.Summary{&five, &ten} {
			if s.Samples == 0 || s.JudgedS > s.DurationS+1e-6 || math.IsNaN(s.EnergyWh) || math.IsInf(s.EnergyWh, 0) {
				t.Errorf("%s: impossible: %+v", s.File, s)
			}
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %.1f Wh | %.0f W, %.2f A | %s | %s |\n",
			five.File, kindOf(five.File), replay.Round(time.Duration(five.DurationS*1e9)), five.EnergyWh, five.PeakWatts, five.PeakAmps, said(&five), said(&ten))
	}

	inDocs(t, "table", table.String())
}

// inDocs holds a table of docs/REPLAY.md to what came out; -update writes it.
func inDocs(t *testing.T, name, table string) {
	t.Helper()
	docsMu.Lock()
	defer docsMu.Unlock()
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	docs := filepath.Join("..", "..", "docs", "REPLAY.md")
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(text, []byte(begin))
	old, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s: want the marks %q and %q", docs, begin, end)
	}
	if *update {
		if err := os.WriteFile(docs, slices.Concat(head, []byte(begin+table+end), tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(old), table); diff != "" {
		t.Errorf("%s is not what the rules say; go test ./gateway/replay -run %s -update writes it anew:\n%s", docs, t.Name(), diff)
	}
}

// FuzzReplay replays whatever can be read.
func FuzzReplay(f *testing.F) {
	f.Add("time_s,amps\n0,1\n1,40\n2,40\n", false)
	f.Add("time_s,volts,watts\n-1,0,5\n0,,1e6\n86400,220,3\n", true)
	f.Add("entity_id,state,last_changed\nsensor.a_power,96,2026-05-01T08:00:00.000Z\nsensor.a_power,unavailable,2026-05-01T08:00:01.000Z\n", true)
	f.Fuzz(func(t *testing.T, text string, stale bool) {
		if strings.Count(text, "\n") > 20 {
			return // each line may stand for an hour
		}
		rec, err := recording.Open(strings.NewReader(text), recording.Options{})
		if err != nil {
			return
		}
		var samples []recording.Sample
		for {
			var s recording.Sample
			if err = rec.Next(&s); err != nil {
				break
			}
			samples = append(samples, s)
		}
		if len(samples) == 0 {
			return
		}
		opts := options(t, "outlet-10a")
		opts.MeterStale = stale
		last := math.Inf(-1)
		opts.Emit = func(e *replay.Event) {
			if e.TimeS < last {
				t.Fatalf("%s at %gs comes after %gs", e.Kind, e.TimeS, last)
			}
			last = e.TimeS
		}
		p, err := replay.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		p.Feed(samples)
		sum, err := p.Finish()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{sum.EnergyWh, sum.PeakAmps, sum.PeakWatts, sum.PeakHeat, sum.JudgedS} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%+v", sum)
			}
		}
	})
}
