package scene

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is something that happens in front of the camera.
type Kind string

// What can happen. All but Smoke and Flame are no fire.
const (
	Headlights Kind = "headlights" // a vehicle passes the entrance
	LampOff    Kind = "lamp_off"   // the lamps are switched off
	Neon       Kind = "neon"       // a red sign blinks outside
	Infrared   Kind = "infrared"   // the camera is in its monochrome night mode
	Sunset     Kind = "sunset"     // low sun shines in
	Person     Kind = "person"     // somebody in a dark coat walks by
	RedCoat    Kind = "red_coat"   // somebody in a red coat walks by
	Steam      Kind = "steam"      // white steam rises and dissolves
	Shake      Kind = "shake"      // the camera shakes
	Turned     Kind = "turned"     // the camera points elsewhere
	Covered    Kind = "covered"    // something hangs in front of the lens
	Black      Kind = "black"      // no light at all
	Smoke      Kind = "smoke"
	Flame      Kind = "flame"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{Headlights, LampOff, Neon, Infrared, Sunset, Person, RedCoat, Steam, Shake, Turned, Covered, Black, Smoke, Flame}
}

// Happening is one thing that happens.
type Happening struct {
	Kind Kind
	At   time.Duration // since the start of the scene
	For  time.Duration
	X    float64 // place across the picture, 0 to 1, where the kind has one
	Size float64 // in parts of the picture's height, what it grows to, where the kind has one
}

// Script is what happens in a scene, in any order.
type Script []Happening

// Validate reports the first fault of the script.
func (s Script) Validate() error {
	for i, h := range s {
		switch {
		case !slices.Contains(Kinds(), h.Kind):
			return fmt.Errorf("script[%d]: kind %q: want one of %q", i, h.Kind, Kinds())
		case h.At < 0 || h.For <= 0:
			return fmt.Errorf("script[%d]: %s at %s for %s: want 0 or later, and some time", i, h.Kind, h.At, h.For)
		case !(h.X >= 0 && h.X <= 1) || !(h.Size >= 0 && h.Size <= 1):
			return fmt.Errorf("script[%d]: %s at %g of size %g: want 0 to 1", i, h.Kind, h.X, h.Size)
		}
	}
	return nil
}

// Quiet scripts a time in which nothing burns: every kind that is no fire and
// leaves the camera useful, again and again, at times drawn from the seed.
func Quiet(seed uint64, length time.Duration) Script {
	r := rand.New(rand.NewPCG(seed, 1))
	var s Script
	each := func(kind Kind, pause, least, most time.Duration, size float64) {
		for at := time.Duration(r.Float64() * float64(pause)); at < length; {
			h := Happening{Kind: kind, At: at, For: least + time.Duration(r.Float64()*float64(most-least)), X: r.Float64(), Size: size * (0.6 + 0.8*r.Float64())}
			s = append(s, h)
			at += h.For + pause/2 + time.Duration(r.Float64()*float64(pause))
		}
	}
	each(Headlights, 40*time.Second, 4*time.Second, 10*time.Second, 0)
	each(Person, 50*time.Second, 8*time.Second, 20*time.Second, 0.4)
	each(RedCoat, 70*time.Second, 8*time.Second, 25*time.Second, 0.4)
	each(LampOff, 150*time.Second, 20*time.Second, 90*time.Second, 0)
	each(Neon, 200*time.Second, 60*time.Second, 300*time.Second, 0)
	each(Steam, 120*time.Second, 5*time.Second, 20*time.Second, 0.18)
	each(Shake, 180*time.Second, 2*time.Second, 8*time.Second, 0)
	each(Sunset, 400*time.Second, 60*time.Second, 240*time.Second, 0)
	each(Infrared, 300*time.Second, 60*time.Second, 240*time.Second, 0)
	return s
}

// Burning scripts smoke from at on, and flame a while later, out of the bike
// nearest to x.
func Burning(at, smoulder, length time.Duration, x, size float64) Script {
	return Script{
		{Kind: Smoke, At: at, For: length, X: x, Size: min(1, 2.2*size)},
		{Kind: Flame, At: at + smoulder, For: length - smoulder, X: x, Size: size},
	}
}
