package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard/gateway/config"
)

func TestTune(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []config.Change
	}{
		"one value": {"limits: {overpower: {delay: 20s}}", []config.Change{{Path: "limits.overpower.delay", From: "5s", To: "20s"}}},
		"of each kind": {
			"rating_amps: 6\nlimits: {overcurrent: {enabled: false, severity: minor}}\nsession: {resumes_per_hour: 2}",
			[]config.Change{
				{Path: "rating_amps", From: "5", To: "6"},
				{Path: "limits.overcurrent.enabled", From: "true", To: "false"},
				{Path: "limits.overcurrent.severity", From: "critical", To: "minor"},
				{Path: "session.resumes_per_hour", From: "3", To: "2"},
			},
		},
		"as it is": {"limits: {overpower: {delay: 5s}}", nil},
		"profile behind a value": {
			"profile: outlet-10a\nlimits: {overpower: {limit_watts: 1000}}\nsession: {max_wh: 3000, max_watts: 1000}",
			[]config.Change{{Path: "profile", From: "outlet-5a", To: "outlet-10a"}, {Path: "rating_amps", From: "5", To: "10"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &parsed(t, small).Outlets[0]
			before := *o
			tuned, changes, err := o.Tune([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, changes); diff != "" {
				t.Error(diff)
			}
			if !reflect.DeepEqual(before, *o) {
				t.Error("the outlet itself was changed")
			}
			if (len(changes) == 0) != reflect.DeepEqual(o, tuned) {
				t.Error("differs in what is not listed")
			}
			if tuned.Number != o.Number || tuned.Meter != o.Meter || tuned.Relay != o.Relay {
				t.Errorf("%+v", tuned)
			}
		})
	}
}

func TestTuneRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []string
	}{
		"all at once": {
			"limits:\n  overpower: {limit_wats: 1, delay: 5}\n  nothing: {}\nrelay: {pin: 1}\nsession: {max_wh: 1}",
			[]string{
				"limits.overpower.limit_wats: unknown key: want perhaps limit_watts (line 2)",
				"limits.overpower.delay: 5: want a duration with its unit, 0s to 1m (line 2)",
				"limits.nothing: unknown key",
				"relay: keys and values: want left out: only rules are tuned, not how the outlet is built (line 4)",
				"session.max_wh: 1: want a number, 10 to 50000 (line 5)",
			},
		},
		"between values": {
			"limits:\n  overcurrent: {heating: 120s, cooling: 60s}\nsession: {no_load_watts: 50}",
			[]string{
				"limits.overcurrent.cooling: 1m0s: want 2m0s to 4h0m0s (line 2)",
				"session.no_load_watts: 50: want 0.1 to 15 (line 3)",
			},
		},
		"unknown profile": {"profile: outlet-1a", []string{"profile: outlet-1a: want one of direct-5a, outlet-10a, outlet-16a, outlet-5a"}},
		"null":            {"limits: null", []string{"limits: null"}},
		"a list":          {"- 1", []string{"a list: want keys and values"}},
		"empty":           {"", []string{"empty file"}},
		"start":           {"start: plug", []string{"start: plug: want left out"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parsed(t, small).Outlets[0].Tune([]byte(tt.text))
			if faults, ok := errors.AsType[config.Faults](err); !ok || len(faults) != len(tt.want) {
				t.Fatalf("%v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %q", err, want)
				}
			}
		})
	}
}

func TestLoadTuning(t *testing.T) {
	t.Parallel()
	o := &parsed(t, small).Outlets[0]
	path := filepath.Join(t.TempDir(), "limits.yaml")
	if _, _, err := o.LoadTuning(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(path, []byte("limits: {overpower: {delay: 30s}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	tuned, _, err := o.LoadTuning(path)
	if err != nil || tuned.Limits.Overpower.Delay != 30*time.Second {
		t.Errorf("%v, %v", tuned, err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# long\n", 50_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.LoadTuning(path); err == nil || !strings.Contains(err.Error(), "at most 262144") {
		t.Errorf("too long: %v", err)
	}
}
