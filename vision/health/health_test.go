package health_test

import (
	"image"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/scene"
)

// camera is a drawn shed, seen small and grey.
type camera struct {
	t     testing.TB
	scene *scene.Scene
	img   *image.RGBA
	grey  []uint8
	check *health.Check
	now   time.Time
	at    time.Duration // of the scene
}

const w, h = 320, 192

func hang(t testing.TB, script scene.Script) *camera {
	t.Helper()
	s, err := scene.New(scene.Options{Width: w, Height: h, Seed: 2, Script: script})
	if err != nil {
		t.Fatal(err)
	}
	c, err := health.New(health.DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	return &camera{t: t, scene: s, img: image.NewRGBA(image.Rect(0, 0, w, h)), grey: make([]uint8, health.Size), check: c, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// shoot draws the scene's next frame.
func (c *camera) shoot() {
	c.scene.Render(c.at, c.img)
	for y := range health.Height {
		for x := range health.Width {
			sum := 0
			for dy := range h / health.Height {
				for dx := range w / health.Width {
					i := c.img.PixOffset(x*w/health.Width+dx, y*h/health.Height+dy)
					sum += (int(c.img.Pix[i])*77 + int(c.img.Pix[i+1])*150 + int(c.img.Pix[i+2])*29) / 256
				}
			}
			c.grey[y*health.Width+x] = uint8(sum / (w / health.Width * h / health.Height))
		}
	}
}

// run watches for d and returns the faults in the order they were told, and when
// the first came.
func (c *camera) run(d time.Duration, change func([]uint8)) (told []health.Fault, first time.Duration) {
	c.t.Helper()
	const every = 500 * time.Millisecond
	for at := time.Duration(0); at < d; at += every {
		c.shoot()
		if change != nil {
			change(c.grey)
		}
		f, err := c.check.Next(c.grey, c.now)
		if err != nil {
			c.t.Fatal(err)
		}
		if f != health.None && (len(told) == 0 || told[len(told)-1] != f) {
			told = append(told, f)
			if len(told) == 1 {
				first = at
			}
		}
		c.now, c.at = c.now.Add(every), c.at+every
	}
	return told, first
}

func blur(grey []uint8) {
	for range 3 {
		from := append([]uint8(nil), grey...)
		for y := 1; y < health.Height-1; y++ {
			for x := 1; x < health.Width-1; x++ {
				sum := 0
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						sum += int(from[(y+dy)*health.Width+x+dx])
					}
				}
				grey[y*health.Width+x] = uint8(sum / 9)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	long := func(k scene.Kind) scene.Script {
		return scene.Script{{Kind: k, At: 0, For: time.Hour, X: 0.5}}
	}
	var kept []uint8
	for name, tt := range map[string]struct {
		script scene.Script
		change func([]uint8)
		want   health.Fault
		within time.Duration
	}{
		"black":   {long(scene.Black), nil, health.Black, 11 * time.Second},
		"covered": {long(scene.Covered), nil, health.Covered, 11 * time.Second},
		"moved":   {long(scene.Turned), nil, health.Moved, 21 * time.Second},
		"overexposed": {nil, func(g []uint8) {
			for i := range g {
				g[i] = uint8(min(255, int(g[i])+190))
			}
		}, health.Overexposed, 11 * time.Second},
		"defocused": {nil, blur, health.Defocused, 11 * time.Second},
		"frozen": {nil, func(g []uint8) {
			if kept == nil {
				kept = append(kept, g...)
			}
			copy(g, kept)
		}, health.Frozen, 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := hang(t, nil)
			if told, _ := c.run(time.Minute, nil); len(told) != 0 || !c.check.Known() {
				t.Fatalf("a good camera: %v", told)
			}
			good := c.scene
			if tt.script != nil {
				c.scene = hang(t, tt.script).scene
			}
			told, first := c.run(40*time.Second, tt.change)
			if len(told) != 1 || told[0] != tt.want || first > tt.within {
				t.Fatalf("told %v after %s, want %s within %s", told, first, tt.want, tt.within)
			}
			c.scene = good
			c.run(12*time.Second, nil)
			if f := c.check.Fault(); f != health.None {
				t.Errorf("it is still %s after it was well for 12 s", f)
			}
		})
	}
}

// TestAnEveningIsNoFault: people, lamps, the night mode, the sun and a shaking
// camera.
func TestAnEveningIsNoFault(t *testing.T) {
	c := hang(t, scene.Quiet(5, 10*time.Minute))
	if told, first := c.run(10*time.Minute, nil); len(told) != 0 {
		t.Errorf("told %v, the first after %s", told, first)
	}
}

func TestShortTroubleIsNotTold(t *testing.T) {
	c := hang(t, scene.Script{{Kind: scene.Covered, At: time.Minute, For: 8 * time.Second}, {Kind: scene.Black, At: 90 * time.Second, For: 8 * time.Second}})
	if told, _ := c.run(2*time.Minute, nil); len(told) != 0 {
		t.Errorf("told %v", told)
	}
}

func TestRefused(t *testing.T) {
	if _, err := health.New(health.Settings{}); err == nil || !strings.Contains(err.Error(), "frozen: 0s: want 1s to 10m") || !strings.Contains(err.Error(), "learn: 0s") {
		t.Errorf("New: %v", err)
	}
	c := hang(t, nil)
	if _, err := c.check.Next(make([]uint8, 7), c.now); err == nil || !strings.Contains(err.Error(), "7 grey pixels: want 80 x 48") {
		t.Errorf("Next: %v", err)
	}
}

func BenchmarkNext(b *testing.B) {
	c := hang(b, nil)
	c.run(40*time.Second, nil)
	b.ReportAllocs()
	for b.Loop() {
		c.now = c.now.Add(200 * time.Millisecond)
		c.grey[7]++
		if _, err := c.check.Next(c.grey, c.now); err != nil {
			b.Fatal(err)
		}
	}
}
