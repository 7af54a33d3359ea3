package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
)

const watched = small + `
cameras:
  - {name: c1, url: "rtsp://10.0.0.5/stream", username: viewer, password_file: /etc/shedguard/c1.password, zones: [bay-1], exclude: [{points: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 0.1}]}]}
  - {name: c2, url: /dev/video0, zones: [bay-1]}
`

func TestCameras(t *testing.T) {
	c := parsed(t, strings.Replace(watched, "number: 1,", "number: 1, zone: bay-1,", 1))
	if z := c.Zones(); len(z) != 1 || z[0].Name != "bay-1" || len(z[0].Outlets) != 1 {
		t.Fatalf("zones %+v", z)
	}
	if f := c.FireSettings(); f.Persist != 9*time.Second || f.Within != time.Minute || f.Cut != shedguard.ActionCutZone || f.Validate() != nil {
		t.Errorf("fire %+v", f)
	}
	w, err := c.Worker("/s", "/e", func(path string) (string, error) {
		if path != "/etc/shedguard/c1.password" {
			t.Errorf("asked for %s", path)
		}
		return "p/w", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Cameras[0].URL; got != "rtsp://viewer:p%2Fw@10.0.0.5/stream" {
		t.Errorf("address %s", got)
	}
	if len(w.Cameras) != 2 || w.Cameras[0].Learn != 72*time.Hour || len(w.Cameras[0].Exclude[0]) != 3 || w.Cameras[1].URL != "/dev/video0" || w.Threads != 1 {
		t.Errorf("%+v", w)
	}
	failed := errors.New("unreadable")
	if _, err := c.Worker("/s", "/e", func(string) (string, error) { return "", failed }); !errors.Is(err, failed) || !strings.HasPrefix(err.Error(), "camera c1: ") {
		t.Errorf("without its password: %v", err)
	}
}

func TestCamerasAreChecked(t *testing.T) {
	text := strings.Replace(watched, "number: 1,", "number: 1, zone: bay-1,", 1)
	for name, tt := range map[string]struct{ from, to, want string }{
		"no zone of an outlet": {"zones: [bay-1], exclude", "zones: [bay-9], exclude", `cameras[0].zones[0]: bay-9`},
		"no zone":              {"zones: [bay-1], exclude", "zones: [], exclude", "cameras[0].zones: empty list"},
		"same name":            {"name: c2", "name: c1", `cameras[1].name: c1`},
		"secret in the file":   {"rtsp://10.0.0.5", "rtsp://u:p@10.0.0.5", "cameras[0].url: "},
		"no camera":            {"rtsp://10.0.0.5/stream", "gopher://10.0.0.5", "cameras[0].url: "},
		"no user":              {"username: viewer, ", "", "cameras[0].username: "},
		"user of a device":     {"url: /dev/video0", "url: /dev/video0, username: x", "cameras[1].username: "},
		"a line":               {"{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 0.1}", "{x: 0, y: 0}, {x: 1, y: 0}", "cameras[0].exclude[0].points"},
		"outside":              {"{x: 1, y: 0.1}", "{x: 1, y: 1.1}", "cameras[0].exclude[0].points[2].y: 1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(strings.Replace(text, tt.from, tt.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse: %v, want %s", err, tt.want)
			}
		})
	}
}
