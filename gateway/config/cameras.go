package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/fire"
	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/worker"
)

// Camera is a camera that overlooks a part of the shed.
type Camera struct {
	Name         string   `yaml:"name" kind:"name" doc:"Name of the camera, as alarms and the page say it."`
	URL          string   `yaml:"url" kind:"camera" doc:"Where its pictures are: rtsp://host/path, http://host/path of motion JPEG, /dev/video0, or a file; without user and password."`
	Username     string   `yaml:"username,omitempty" doc:"User of a camera that asks for one, by digest or basic authentication."`
	PasswordFile string   `yaml:"password_file,omitempty" kind:"file" doc:"File that holds the password of username, readable by its owner only."`
	Zones        []string `yaml:"zones" least:"1" doc:"Fire zones that it overlooks, as outlets name them."`
	Include      []Region `yaml:"include,omitempty" doc:"Parts of the picture that are looked at; all of it when left out."`
	Exclude      []Region `yaml:"exclude,omitempty" doc:"Parts of the picture that are not looked at, as a street or a window."`
}

// Region is a polygon in a camera's picture.
type Region struct {
	Points []Point `yaml:"points" least:"3" doc:"Corners, in order; the polygon closes by itself."`
}

// Point is a place in a picture.
type Point struct {
	X float64 `yaml:"x" min:"0" max:"1" doc:"Across, 0 left to 1 right."`
	Y float64 `yaml:"y" min:"0" max:"1" doc:"Down, 0 top to 1 bottom."`
}

// Vision says how cameras are watched.
type Vision struct {
	Program  string         `yaml:"program" kind:"file" doc:"The camera worker, shedguard-vision."`
	FPS      float64        `yaml:"fps" min:"0.5" max:"25" doc:"Frames of each camera that are judged in a second."`
	Learn    time.Duration  `yaml:"learn" min:"0s" max:"720h" doc:"How long a new camera only looks on: it learns what is always there, and raises nothing above a notice."`
	Threads  int            `yaml:"threads" min:"1" max:"16" doc:"Processor threads of the model."`
	Nice     int            `yaml:"nice" min:"0" max:"19" doc:"Niceness of the worker: the guard comes first."`
	MemoryMB int            `yaml:"memory_mb" min:"128" max:"8192" doc:"Memory in MiB at which the worker is ended and started again."`
	Evidence VisionEvidence `yaml:"evidence" doc:"Pictures and clips of incidents."`
}

// VisionEvidence says what of incidents is kept.
type VisionEvidence struct {
	MaxMB   int           `yaml:"max_mb" min:"64" max:"1048576" doc:"Most that pictures and clips may take on disk in MiB; the oldest go first."`
	MaxAge  time.Duration `yaml:"max_age" min:"1h" max:"8784h" doc:"How long they are kept."`
	Privacy string        `yaml:"privacy" enum:"none,outside" doc:"outside: all that is not around what was seen is made unrecognisable in pictures, and no clips are kept."`
}

// Fire says when the senses of a zone make a fire, and what that cuts.
type Fire struct {
	Persist time.Duration `yaml:"persist" min:"1s" max:"5m" doc:"How long a camera alone must see flame or smoke to make an alarm of a pre-alarm."`
	Within  time.Duration `yaml:"within" min:"1s" max:"10m" doc:"How far two senses may lie apart to speak of the same fire."`
	Cut     string        `yaml:"cut" enum:"outlet,zone,shed" doc:"What a fire cuts: the outlets that gave a sign, their zone, or the shed."`
}

// validCamera reports whether a camera's address can be used.
func validCamera(s string) bool {
	if strings.HasPrefix(s, "/") {
		return !strings.ContainsRune(s, 0)
	}
	u, err := url.Parse(s)
	return err == nil && u.User == nil && worker.CheckURL(s) == nil
}

// cameras finds what is wrong with cameras and zones together.
func (c *checker) cameras(cfg *Config) {
	zones := map[string]bool{}
	for i := range cfg.Outlets {
		zones[cfg.Outlets[i].Zone] = cfg.Outlets[i].Zone != ""
	}
	unique := c.unique("name")
	for i := range cfg.Cameras {
		cam := &cfg.Cameras[i]
		at := "cameras[" + strconv.Itoa(i) + "]"
		unique(at+".name", cam.Name)
		for j, z := range cam.Zones {
			if z != "" && !zones[z] {
				c.fault(fmt.Sprintf("%s.zones[%d]", at, j), show(z), "a zone that an outlet names")
			}
		}
		switch {
		case cam.PasswordFile != "" && cam.Username == "":
			c.fault(at+".username", "", "the user of password_file")
		case cam.Username != "" && strings.HasPrefix(cam.URL, "/"):
			c.fault(at+".username", show(cam.Username), "no user for a device or a file")
		}
	}
}

// Zones are the fire zones and their outlets, in the order of their names.
func (c *Config) Zones() []watch.Zone {
	byName := map[string]*watch.Zone{}
	for i := range c.Outlets {
		o := &c.Outlets[i]
		if o.Zone == "" {
			continue
		}
		if byName[o.Zone] == nil {
			byName[o.Zone] = &watch.Zone{Name: o.Zone}
		}
		byName[o.Zone].Outlets = append(byName[o.Zone].Outlets, o.Number)
	}
	var all []watch.Zone
	for _, z := range byName {
		all = append(all, *z)
	}
	slices.SortFunc(all, func(a, b watch.Zone) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Overlooked are the cameras and their zones.
func (c *Config) Overlooked() []watch.Camera {
	var all []watch.Camera
	for i := range c.Cameras {
		all = append(all, watch.Camera{Name: c.Cameras[i].Name, Zones: c.Cameras[i].Zones})
	}
	return all
}

// FireSettings is what the senses of a zone are judged by.
func (c *Config) FireSettings() fire.Settings {
	cut := map[string]shedguard.Action{"outlet": shedguard.ActionTripped, "zone": shedguard.ActionCutZone, "shed": shedguard.ActionCutShed}
	// Flames flicker and people walk by: a third of the time to persist is no break.
	return fire.Settings{Persist: c.Fire.Persist, Within: c.Fire.Within, Break: c.Fire.Persist / 3, Cut: cut[c.Fire.Cut]}
}

// Worker is the configuration of the camera worker. Password reads a password file.
func (c *Config) Worker(stateDir, evidenceDir string, password func(path string) (string, error)) (*worker.Config, error) {
	w := &worker.Config{
		StateDir: stateDir, Threads: c.Vision.Threads, Nice: c.Vision.Nice,
		Evidence: worker.Evidence{
			Dir: evidenceDir, MaxMB: c.Vision.Evidence.MaxMB, MaxAge: c.Vision.Evidence.MaxAge, Privacy: worker.Privacy(c.Vision.Evidence.Privacy),
		},
	}
	for i := range c.Cameras {
		cam := &c.Cameras[i]
		address := cam.URL
		if cam.Username != "" {
			u, err := url.Parse(address)
			if err != nil {
				return nil, fmt.Errorf("camera %s: %w", cam.Name, err)
			}
			u.User = url.User(cam.Username)
			if cam.PasswordFile != "" {
				secret, err := password(cam.PasswordFile)
				if err != nil {
					return nil, fmt.Errorf("camera %s: %w", cam.Name, err)
				}
				u.User = url.UserPassword(cam.Username, secret)
			}
			address = u.String()
		}
		w.Cameras = append(w.Cameras, worker.Camera{
			Name: cam.Name, URL: address, FPS: c.Vision.FPS, Learn: c.Vision.Learn,
			Include: polygons(cam.Include), Exclude: polygons(cam.Exclude),
		})
	}
	return w, nil
}

func polygons(regions []Region) []confirm.Polygon {
	var all []confirm.Polygon
	for _, r := range regions {
		var p confirm.Polygon
		for _, q := range r.Points {
			p = append(p, confirm.Point{X: q.X, Y: q.Y})
		}
		all = append(all, p)
	}
	return all
}
