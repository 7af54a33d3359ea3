package scene

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"time"
)

// Options describe a scene.
type Options struct {
	Width, Height int    // of the picture in pixels, 64 to 4096
	Seed          uint64 // of the shed and of everything that looks random
	Script        Script
}

// Scene is a shed and what happens in it. Its methods are for one goroutine.
type Scene struct {
	opts   Options
	w, h   int
	clouds *noise // for flame, smoke and steam
	grain  *noise // for surfaces
	specks *noise // of the sensor, in light
	shed   [2]*canvas
	out    *canvas
	lamps  []spot
	bikes  []bike
	door   rect // where one sees outside
}

// Truth is what can be seen at an instant.
type Truth struct {
	Flame, Smoke Box // zero when there is none
	Blind        bool
}

// Box is a rectangle in parts of the picture, 0 to 1.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Empty reports whether there is nothing in the box.
func (b Box) Empty() bool { return b.X1 <= b.X0 || b.Y1 <= b.Y0 }

type (
	rect  struct{ x0, y0, x1, y1 float32 } // in parts of the picture
	spot  struct{ x, y float32 }
	color [3]float32
	bike  struct {
		x, y, size float32
		paint      color
	}
)

// canvas is a picture in light: 0 is none, 1 is white.
type canvas struct {
	w, h int
	pix  []float32 // red, green, blue of each pixel
}

func newCanvas(w, h int) *canvas { return &canvas{w: w, h: h, pix: make([]float32, 3*w*h)} }

// New returns a scene with its shed drawn.
func New(opts Options) (*Scene, error) {
	if opts.Width < 64 || opts.Width > 4096 || opts.Height < 64 || opts.Height > 4096 {
		return nil, fmt.Errorf("scene: %d x %d pixels: want 64 to 4096 each", opts.Width, opts.Height)
	}
	if err := opts.Script.Validate(); err != nil {
		return nil, fmt.Errorf("scene: %w", err)
	}
	s := &Scene{
		opts: opts, w: opts.Width, h: opts.Height, clouds: newNoise(opts.Seed*2 + 1), grain: newNoise(opts.Seed*2 + 2), specks: newSpecks(opts.Seed),
		out: newCanvas(opts.Width, opts.Height),
	}
	r := rand.New(rand.NewPCG(opts.Seed, 2))
	left := float32(0.02)
	if r.IntN(2) == 1 {
		left = 0.7
	}
	s.door = rect{left, 0.2 + 0.06*r.Float32(), left + 0.28, 0.62}
	for i := range 3 {
		s.lamps = append(s.lamps, spot{0.2 + 0.3*float32(i) + 0.05*r.Float32(), 0.06 + 0.03*r.Float32()})
	}
	paints := []color{{0.5, 0.06, 0.05}, {0.08, 0.12, 0.35}, {0.06, 0.06, 0.07}, {0.55, 0.55, 0.52}, {0.1, 0.3, 0.14}, {0.6, 0.3, 0.05}, {0.3, 0.05, 0.2}}
	n := 6 + r.IntN(3)
	for i := range n {
		s.bikes = append(s.bikes, bike{
			x: (float32(i)+0.5+0.3*(r.Float32()-0.5))/float32(n)*0.96 + 0.02, y: 0.72 + 0.12*r.Float32(),
			size: 0.2 + 0.05*r.Float32(), paint: paints[r.IntN(len(paints))],
		})
	}
	s.shed[0], s.shed[1] = s.build(true), s.build(false)
	return s, nil
}

// build draws what never moves, by the light of the lamps or without it.
func (s *Scene) build(lit bool) *canvas {
	c := newCanvas(s.w, s.h)
	warm, level := color{1, 0.96, 0.88}, float32(1)
	if !lit {
		warm, level = color{0.75, 0.85, 1}, 0.28
	}
	for y := range s.h {
		v := float32(y) / float32(s.h)
		for x := range s.w {
			u := float32(x) / float32(s.w)
			var p color
			switch {
			case v < 0.14: // roof, with beams
				beam := float32(math.Abs(math.Mod(float64(u*7), 1) - 0.5))
				p = color{0.2, 0.2, 0.21}
				if beam < 0.06 {
					p = color{0.12, 0.12, 0.13}
				}
			case v < 0.64: // a wall of corrugated metal
				wave := 0.5 + 0.5*float32(math.Sin(float64(u)*260))
				p = color{0.38 + 0.07*wave, 0.42 + 0.07*wave, 0.43 + 0.07*wave}
			default: // concrete, with painted lines
				depth := (v - 0.64) / 0.36
				g := s.grain.at(u*2, depth*2)
				p = color{0.3 + 0.14*g, 0.3 + 0.13*g, 0.29 + 0.12*g}
				line := math.Mod(float64((u-0.5)/(0.5+depth)+4)*6, 1)
				if line < 0.035 {
					p = color{0.62, 0.55, 0.2}
				}
			}
			stain := 0.85 + 0.3*s.grain.at(u*1.3+0.37, v*1.3)
			light := level * (0.35 + s.lampLight(u, v, lit))
			for i := range p {
				p[i] *= warm[i] * light * stain
			}
			if s.door.has(u, v) { // night sky, a street and some windows
				sky := (v - s.door.y0) / (s.door.y1 - s.door.y0)
				p = color{0.03 + 0.03*sky, 0.04 + 0.03*sky, 0.08}
				if sky > 0.78 {
					p = color{0.09, 0.09, 0.1}
				} else if cell := hash(s.opts.Seed, uint64(u*60), uint64(v*40)); sky > 0.25 && cell > 0.86 {
					p = color{0.45, 0.38, 0.2}
				}
			}
			c.set(x, y, p)
		}
	}
	for i := range 10 { // outlet boxes with their lights
		u := 0.05 + 0.095*float32(i)
		box := rect{u, 0.47, u + 0.035, 0.55}
		if s.door.has(u+0.02, 0.5) {
			continue
		}
		c.fill(box, color{0.75, 0.76, 0.78}.by(level*0.8))
		led := color{0.1, 0.9, 0.2}
		if hash(s.opts.Seed, 77, uint64(i)) > 0.7 {
			led = color{0.95, 0.1, 0.08}
		}
		c.glow(u+0.0175, 0.49, 0.008, led, 1)
	}
	for _, b := range s.bikes {
		s.park(c, b, level*(0.6+s.lampLight(b.x, b.y, lit)))
	}
	if lit {
		for _, l := range s.lamps {
			c.fill(rect{l.x - 0.07, l.y - 0.008, l.x + 0.07, l.y + 0.008}, color{1.6, 1.58, 1.5})
			c.glow(l.x, l.y, 0.16, color{1, 0.97, 0.9}, 0.35)
		}
	}
	return c
}

func (s *Scene) lampLight(u, v float32, lit bool) float32 {
	if !lit {
		return 0.3
	}
	sum := float32(0)
	for _, l := range s.lamps {
		dx, dy := u-l.x, (v-l.y)*0.7
		sum += 0.09 / (0.09 + dx*dx + dy*dy)
	}
	return 0.55 * sum
}

// park draws an e-bike from its side.
func (s *Scene) park(c *canvas, b bike, light float32) {
	a := float32(s.w) / float32(s.h)
	unit := b.size
	at := func(dx, dy float32) (float32, float32) { return b.x + dx*unit/a, b.y - dy*unit }
	dark := color{0.05, 0.05, 0.055}.by(light)
	paint := b.paint.by(light)
	c.shade(b.x, b.y+0.02, 0.55*unit/a, 0.09*unit, 0.55)
	for _, dx := range []float32{-0.42, 0.42} {
		x, y := at(dx, 0.18)
		c.ring(x, y, 0.19*unit, 0.035*unit, dark)
		c.ring(x, y, 0.045*unit, 0.03*unit, color{0.4, 0.4, 0.42}.by(light))
	}
	line := func(x0, y0, x1, y1, wide float32, p color) {
		ax, ay := at(x0, y0)
		bx, by := at(x1, y1)
		c.line(ax, ay, bx, by, wide*unit, p)
	}
	line(-0.42, 0.2, 0.1, 0.26, 0.09, paint)
	line(0.1, 0.26, 0.34, 0.62, 0.1, paint)
	line(0.42, 0.18, 0.3, 0.82, 0.035, color{0.5, 0.5, 0.52}.by(light))
	line(0.2, 0.84, 0.36, 0.8, 0.03, dark)
	line(-0.36, 0.48, -0.02, 0.5, 0.1, dark) // saddle
	line(-0.3, 0.3, -0.06, 0.32, 0.16, paint.by(0.7))
	line(-0.2, 0.3, -0.2, 0.5, 0.05, dark)
	x, y := at(0.36, 0.72)
	c.glow(x, y, 0.02*unit, color{0.8, 0.8, 0.78}, 0.5*light)
}

func (c color) by(f float32) color { return color{c[0] * f, c[1] * f, c[2] * f} }

func (r rect) has(u, v float32) bool { return u >= r.x0 && u < r.x1 && v >= r.y0 && v < r.y1 }

func (c *canvas) set(x, y int, p color) {
	i := 3 * (y*c.w + x)
	c.pix[i], c.pix[i+1], c.pix[i+2] = p[0], p[1], p[2]
}

// blend puts p over a pixel.
func (c *canvas) blend(x, y int, p color, alpha float32) {
	i := 3 * (y*c.w + x)
	for k := range p {
		c.pix[i+k] += (p[k] - c.pix[i+k]) * alpha
	}
}

// within calls f for the pixels of a rectangle that are in the picture, with
// their place in parts of the picture.
func (c *canvas) within(r rect, f func(x, y int, u, v float32)) {
	w, h := float32(c.w), float32(c.h)
	x0, x1 := max(0, int(r.x0*w)), min(c.w, int(r.x1*w)+1)
	y0, y1 := max(0, int(r.y0*h)), min(c.h, int(r.y1*h)+1)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			f(x, y, (float32(x)+0.5)/w, (float32(y)+0.5)/h)
		}
	}
}

func (c *canvas) fill(r rect, p color) {
	c.within(r, func(x, y int, u, v float32) {
		if r.has(u, v) {
			c.set(x, y, p)
		}
	})
}

func (c *canvas) aspect() float32 { return float32(c.w) / float32(c.h) }

// disc covers the pixels around a point, radius in parts of the height.
func (c *canvas) disc(u, v, radius float32, f func(x, y int, distance float32)) {
	a := c.aspect()
	c.within(rect{u - radius/a, v - radius, u + radius/a, v + radius}, func(x, y int, pu, pv float32) {
		if d := float32(math.Hypot(float64((pu-u)*a), float64(pv-v))); d < radius {
			f(x, y, d)
		}
	})
}

// glow adds light that fades to nothing at the radius.
func (c *canvas) glow(u, v, radius float32, p color, strength float32) {
	c.disc(u, v, radius, func(x, y int, d float32) {
		f := 1 - d/radius
		i := 3 * (y*c.w + x)
		for k := range p {
			c.pix[i+k] += p[k] * strength * f * f
		}
	})
}

// shade darkens an ellipse.
func (c *canvas) shade(u, v, ru, rv, depth float32) {
	c.within(rect{u - ru, v - rv, u + ru, v + rv}, func(x, y int, pu, pv float32) {
		dx, dy := (pu-u)/ru, (pv-v)/rv
		if d := dx*dx + dy*dy; d < 1 {
			c.blend(x, y, color{}, depth*(1-d))
		}
	})
}

func (c *canvas) ring(u, v, radius, wide float32, p color) {
	c.disc(u, v, radius+wide, func(x, y int, d float32) {
		if d > radius-wide {
			c.blend(x, y, p, 1)
		}
	})
}

// line draws a stroke with round ends; wide in parts of the height.
func (c *canvas) line(u0, v0, u1, v1, wide float32, p color) {
	a, half := c.aspect(), wide/2
	lx, ly := (u1-u0)*a, v1-v0
	length := lx*lx + ly*ly
	box := rect{min(u0, u1) - half/a, min(v0, v1) - half, max(u0, u1) + half/a, max(v0, v1) + half}
	c.within(box, func(x, y int, u, v float32) {
		px, py := (u-u0)*a, v-v0
		f := clamp((px*lx + py*ly) / max(length, 1e-9))
		if dx, dy := px-f*lx, py-f*ly; dx*dx+dy*dy < half*half {
			c.blend(x, y, p, 1)
		}
	})
}

// Render draws the picture of the instant t after the start into dst, which
// must be of the scene's size.
func (s *Scene) Render(t time.Duration, dst *image.RGBA) {
	lit, infrared, shake, turned := true, false, float32(0), float32(0)
	covered, black := false, false
	for h, age := range s.now(t) {
		switch h.Kind {
		case LampOff:
			lit = false
		case Infrared:
			infrared = true
		case Shake:
			shake = 1
		case Turned:
			turned = 0.22 + 0.2*float32(h.X)
		case Covered:
			covered = age > 0
		case Black:
			black = true
		default:
		}
	}
	base := s.shed[0]
	if !lit || infrared {
		base = s.shed[1]
	}
	copy(s.out.pix, base.pix)
	s.perform(t)
	tone := tone{infrared: infrared, covered: covered, black: black, gain: 1}
	if infrared {
		tone.gain = 1.9
	}
	if shake > 0 {
		sec := t.Seconds()
		tone.dx = int(math.Round(float64(s.w) * 0.015 * math.Sin(sec*37) * math.Sin(sec*5.1)))
		tone.dy = int(math.Round(float64(s.h) * 0.02 * math.Sin(sec*31+1) * math.Sin(sec*4.3)))
	}
	tone.dx += int(turned * float32(s.w))
	s.develop(t, dst, tone)
}

// now yields what happens at t, and for how long it has.
func (s *Scene) now(t time.Duration) func(yield func(Happening, time.Duration) bool) {
	return func(yield func(Happening, time.Duration) bool) {
		for _, h := range s.opts.Script {
			if age := t - h.At; age >= 0 && age < h.For && !yield(h, age) {
				return
			}
		}
	}
}

// tone is what the camera makes of the light.
type tone struct {
	infrared, covered, black bool
	gain                     float32
	dx, dy                   int
}

// develop turns light into a picture: exposure, sensor noise, lens and clock.
func (s *Scene) develop(t time.Duration, dst *image.RGBA, c tone) {
	frame := uint64(t / (10 * time.Millisecond))
	nx, ny := int(hash(s.opts.Seed, frame, 3)*noiseSize), int(hash(s.opts.Seed, frame, 4)*noiseSize)
	for y := range s.h {
		sy := min(max(y+c.dy, 0), s.h-1)
		v := float32(y)/float32(s.h) - 0.5
		row := dst.Pix[y*dst.Stride : y*dst.Stride+4*s.w]
		for x := range s.w {
			sx := min(max(x+c.dx, 0), s.w-1)
			i := 3 * (sy*s.w + sx)
			r, g, b := s.out.pix[i], s.out.pix[i+1], s.out.pix[i+2]
			u := float32(x)/float32(s.w) - 0.5
			lens := c.gain * (1 - 0.45*(u*u+v*v))
			// A cheap sensor: the same tile of specks, thrown anew each frame.
			speck := s.specks[(y+ny)&(noiseSize-1)*noiseSize+(x+nx)&(noiseSize-1)]
			if c.infrared {
				l := 0.5*r + 0.35*g + 0.15*b
				r, g, b = l, l, l
			}
			if c.covered {
				r, g, b, speck = 0.08+0.05*r, 0.075+0.05*r, 0.07+0.05*r, speck*0.4 // smoothed where it is dark
			}
			if c.black {
				r, g, b, speck = 0.004, 0.004, 0.005, speck*0.2
			}
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = level(r*lens+speck), level(g*lens+speck), level(b*lens+speck), 255
		}
	}
	stamp(dst, t)
}

// level is the pixel value of a light: a shoulder instead of a hard clip, and
// the gamma of a display.
func level(x float32) uint8 {
	if x <= 0 {
		return 0
	}
	if x > 0.8 {
		x = 0.8 + 0.2*(1-1/(1+(x-0.8)*3))
	}
	return uint8(255 * float32(math.Sqrt(float64(min(x, 1)))))
}
