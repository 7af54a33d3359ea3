package worker

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/shedguard/shedguard/vision/confirm"
)

// Config is a worker's configuration file.
type Config struct {
	StateDir string   `yaml:"state_dir"` // what is learned of each camera
	Evidence Evidence `yaml:"evidence"`
	Threads  int      `yaml:"threads"` // of the model
	Nice     int      `yaml:"nice"`    // 0 to 19
	Cameras  []Camera `yaml:"cameras"`
}

// Evidence is where pictures and clips go.
type Evidence struct {
	Dir     string        `yaml:"dir"`
	MaxMB   int           `yaml:"max_mb"`
	MaxAge  time.Duration `yaml:"max_age"`
	Privacy Privacy       `yaml:"privacy"`
}

// Privacy is what of a picture is made unrecognisable before it is kept.
type Privacy string

// The kinds of privacy.
const (
	PrivacyNone    Privacy = "none"
	PrivacyOutside Privacy = "outside" // all that is not around what was seen
)

// Camera is one camera.
type Camera struct {
	Name    string            `yaml:"name"`
	URL     string            `yaml:"url"` // rtsp://, http:// of motion JPEG, /dev/video0, or a file
	FPS     float64           `yaml:"fps"` // frames judged a second
	Learn   time.Duration     `yaml:"learn"`
	Include []confirm.Polygon `yaml:"include,omitempty"`
	Exclude []confirm.Polygon `yaml:"exclude,omitempty"`
}

// ParseConfig reads a configuration and reports every fault, each with its path,
// the value and what is allowed.
func ParseConfig(b []byte) (*Config, error) {
	var c Config
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("cameras: %s", yaml.FormatError(err, false, false)) // without the source: it has passwords
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("cameras: %w", err)
	}
	return &c, nil
}

var cameraName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.StateDir != "", "state_dir: required")
	check(c.Evidence.Dir != "", "evidence.dir: required")
	check(c.Evidence.MaxMB >= 64 && c.Evidence.MaxMB <= 1<<20, "evidence.max_mb: %d: want 64 to %d", c.Evidence.MaxMB, 1<<20)
	check(c.Evidence.MaxAge >= time.Hour && c.Evidence.MaxAge <= 366*24*time.Hour, "evidence.max_age: %v: want 1h to 8784h", c.Evidence.MaxAge)
	check(c.Evidence.Privacy == PrivacyNone || c.Evidence.Privacy == PrivacyOutside, "evidence.privacy: %q: want none or outside", c.Evidence.Privacy)
	check(c.Threads >= 1 && c.Threads <= 16, "threads: %d: want 1 to 16", c.Threads)
	check(c.Nice >= 0 && c.Nice <= 19, "nice: %d: want 0 to 19", c.Nice)
	check(len(c.Cameras) >= 1 && len(c.Cameras) <= 32, "cameras: %d: want 1 to 32", len(c.Cameras))
	names := make(map[string]bool)
	for i := range c.Cameras {
		cam := &c.Cameras[i]
		at := fmt.Sprintf("cameras[%d]", i)
		check(cameraName.MatchString(cam.Name), "%s.name: %q: want letters, digits, - and _", at, cam.Name)
		check(!names[cam.Name], "%s.name: %q: is another camera's", at, cam.Name)
		names[cam.Name] = true
		if err := CheckURL(cam.URL); err != nil {
			errs = append(errs, fmt.Errorf("%s.url: %w", at, err))
		}
		check(cam.FPS >= 0.5 && cam.FPS <= 25, "%s.fps: %g: want 0.5 to 25", at, cam.FPS)
		check(cam.Learn >= 0 && cam.Learn <= 30*24*time.Hour, "%s.learn: %v: want 0s to 720h", at, cam.Learn)
		regions := confirm.Regions{Include: cam.Include, Exclude: cam.Exclude}
		if err := regions.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s.%w", at, err))
		}
	}
	return errors.Join(errs...)
}

// CheckURL reports whether a camera can be there.
func CheckURL(s string) error {
	if strings.HasPrefix(s, "/") {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "rtsp" && u.Scheme != "rtsps" && u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q: want rtsp://, http:// (motion JPEG), /dev/videoN or the path of a file", Redact(s))
	}
	return nil
}

// Redact is a camera's address without its password, for logs. Some cameras have theirs
// in the query.
func Redact(s string) string {
	if strings.HasPrefix(s, "/") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "an address that cannot be read"
	}
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.Redacted()
}
