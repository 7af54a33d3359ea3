package scene

import (
	"math"
	"time"
)

// perform draws what happens at t, far things first.
func (s *Scene) perform(t time.Duration) {
	for h, age := range s.now(t) {
		part := float32(age) / float32(h.For)
		switch h.Kind {
		case Neon:
			s.neon(t, h)
		case Sunset:
			s.sunset(part)
		case Headlights:
			s.headlights(part, h)
		default:
		}
	}
	for h, age := range s.now(t) {
		switch h.Kind {
		case Person:
			s.person(age, h, color{0.06, 0.07, 0.1})
		case RedCoat:
			s.person(age, h, color{0.7, 0.05, 0.06})
		default:
		}
	}
	for h, age := range s.now(t) {
		switch h.Kind {
		case Steam:
			s.plume(age, h, color{0.85, 0.86, 0.88}, 0.35, 0.9, 1.6)
		case Smoke:
			s.plume(age, h, smokePaint(h), 0.95*grown(age, 8*time.Second), grown(age, 25*time.Second), 0.55)
		default:
		}
	}
	for h, age := range s.now(t) {
		if h.Kind == Flame {
			s.flame(age, h)
		}
	}
}

// smokePaint is white, as from a venting battery, or black, as from burning
// plastics and rubber.
func smokePaint(h Happening) color {
	f := float32(hash(uint64(h.At), 5))
	if f > 0.65 {
		return color{0.06, 0.06, 0.065}
	}
	return color{0.72 + 0.4*f, 0.72 + 0.4*f, 0.73 + 0.42*f}
}

// grown rises from 0.15 to 1 within d.
func grown(age, d time.Duration) float32 {
	return 0.15 + 0.85*smooth(float32(age)/float32(d))
}

// source is where a fire starts: the bike nearest to the place in the script.
func (s *Scene) source(h Happening) (x, y float32) {
	best := s.bikes[0]
	for _, b := range s.bikes {
		if math.Abs(float64(b.x)-h.X) < math.Abs(float64(best.x)-h.X) {
			best = b
		}
	}
	return best.x, best.y - 0.3*best.size
}

// flame is noise that rises through a shape that narrows upwards, coloured by
// how dense it is.
func (s *Scene) flame(age time.Duration, h Happening) {
	x, y := s.source(h)
	sec := float32(age.Seconds())
	size := float32(h.Size) * grown(age, 15*time.Second)
	a := s.out.aspect()
	flicker := 0.85 + 0.3*(s.clouds.at(sec*0.9, 0.3)-0.5) + 0.25*(s.clouds.at(sec*3.1, 0.7)-0.5)
	// What it lights: the floor and the wall around it.
	s.out.glow(x, y, 2.6*size, color{1, 0.48, 0.14}, 0.5*flicker)
	s.out.glow(x, y-0.3*size, 1.2*size, color{1, 0.6, 0.25}, 0.55*flicker)
	tongues := [...]struct{ dx, tall, wide, phase float32 }{{0, 1, 0.33, 0}, {-0.2, 0.66, 0.24, 0.31}, {0.22, 0.74, 0.24, 0.63}, {0.05, 0.5, 0.42, 0.84}}
	for _, g := range tongues {
		tall := size * g.tall * (0.8 + 0.4*s.clouds.at(sec*0.7+g.phase, g.phase))
		wide := size * g.wide
		cx := x + g.dx*size/a
		s.out.within(rect{cx - 1.6*wide/a, y - 1.25*tall, cx + 1.6*wide/a, y + 0.06*size}, func(px, py int, u, v float32) {
			du, dv := (u-cx)*a/wide, (y-v)/tall // -1..1 across, 0 at the base, 1 at the tip
			n := 0.6*s.clouds.at(du*0.16+g.phase, -v*0.5/size*0.3+sec*0.55+g.phase) + 0.4*s.clouds.at(du*0.4+g.phase*3, -v*1.1/size*0.3+sec*1.05)
			du += (n - 0.5) * 2.2 * clamp(dv+0.15)
			body := float32(math.Sqrt(float64(clamp(1.12-dv)))) * (0.62 + 0.38*smooth((dv+0.1)*4))
			heat := (1-float32(math.Abs(float64(du)))/max(body, 0.05))*1.7 + (n-0.5)*2.1 - 0.95*dv
			if dv < 0 {
				heat += dv * 14
			}
			if heat <= 0 {
				return
			}
			s.out.blend(px, py, fireColor(heat), smooth(heat*1.8))
		})
	}
	// Sparks.
	for i := range 7 {
		life := float32(math.Mod(float64(sec)*0.7+hash(uint64(i), 9), 1))
		sx := x + (float32(hash(uint64(i), 10, uint64(sec*0.7)))-0.5)*size*0.8/a
		s.out.glow(sx, y-life*1.7*size, 0.006, color{1, 0.6, 0.2}, 1.5*(1-life))
	}
}

// fireColor runs from dark red over orange and yellow to white.
func fireColor(heat float32) color {
	return color{clamp(0.35+heat*1.3) * 1.25, clamp(heat*heat*0.85+heat*0.12) * 1.15, clamp((heat - 0.75) * 0.9)}
}

// plume is noise that rises, widens and thins out.
func (s *Scene) plume(age time.Duration, h Happening, paint color, dense, grown, speed float32) {
	x, y := s.source(h)
	if h.Kind == Steam { // out of the floor, wherever it is
		x, y = float32(h.X), 0.9
		dense *= smooth(float32(age)/1.5e9) * smooth(float32(h.For-age)/1.5e9)
	}
	sec, a := float32(age.Seconds()), s.out.aspect()
	tall := float32(h.Size) * grown
	lean := (float32(hash(uint64(h.At), 11)) - 0.5) * 0.8
	s.out.within(rect{x - 0.75*tall/a, y - 1.1*tall, x + 0.75*tall/a, y + 0.02}, func(px, py int, u, v float32) {
		up := (y - v) / tall
		if up < 0 {
			return
		}
		across := (u - x) * a / tall
		across -= lean*up*up + 0.12*up*(s.clouds.at(up*0.25-sec*0.04*speed, 0.2)-0.5)*4
		wide := 0.1 + 0.42*up
		n := 0.55*s.clouds.at(across*0.45+0.1, up*0.38+sec*0.085*speed/max(tall, 0.2)) + 0.45*s.clouds.at(across*1.1+0.6, up*0.9+sec*0.16*speed/max(tall, 0.2))
		d := (1 - across*across/(wide*wide)) * 1.25 * smooth(up*9) * clamp(1.15-up)
		if alpha := dense * clamp(d*(0.3+1.9*(n-0.25))); alpha > 0.004 {
			s.out.blend(px, py, paint.by(0.8+0.4*n), alpha)
		}
	})
}

// headlights pass the entrance, and their light sweeps the floor.
func (s *Scene) headlights(part float32, h Happening) {
	d := s.door
	way := part
	if h.X > 0.5 {
		way = 1 - part
	}
	u := d.x0 + way*(d.x1-d.x0)
	v := d.y1 - 0.08
	bright := smooth(part*5) * smooth((1-part)*5)
	for _, du := range []float32{-0.012, 0.012} {
		s.out.glow(u+du, v, 0.025, color{3, 2.9, 2.5}, bright)
		s.out.glow(u+du, v, 0.16, color{1, 0.95, 0.8}, 0.55*bright)
	}
	s.out.glow(u+0.05*(way-0.5), v+0.02, 0.012, color{2, 0.1, 0.05}, bright) // a tail lamp
	floor := rect{0, 0.64, 1, 1}
	beam := 0.15 + 0.8*way
	s.out.within(floor, func(px, py int, pu, _ float32) {
		if dx := (pu - beam) / 0.22; dx*dx < 1 {
			i := 3 * (py*s.w + px)
			l := 0.16 * bright * (1 - dx*dx)
			s.out.pix[i] += l
			s.out.pix[i+1] += 0.95 * l
			s.out.pix[i+2] += 0.8 * l
		}
	})
}

// neon is a sign outside that blinks.
func (s *Scene) neon(t time.Duration, h Happening) {
	beat := math.Mod(t.Seconds()*(0.5+h.X), 1)
	on := float32(1)
	if beat > 0.7 {
		on = 0.15
	}
	d := s.door
	x, y := d.x0+0.25*(d.x1-d.x0), d.y0+0.3*(d.y1-d.y0)
	for i := range 4 {
		p := color{2.2, 0.25, 0.12}
		if i%2 == 1 {
			p = color{2, 0.9, 0.15}
		}
		s.out.fill(rect{x + 0.035*float32(i), y, x + 0.035*float32(i) + 0.026, y + 0.05}, p.by(on))
	}
	s.out.glow(x+0.06, y+0.02, 0.22, color{1, 0.25, 0.1}, 0.4*on)
}

// sunset is a low sun in the entrance, orange light on the wall, and bars of it
// on the floor.
func (s *Scene) sunset(part float32) {
	strength := smooth(part*4) * smooth((1-part)*4)
	d := s.door
	s.out.within(d, func(x, y int, u, v float32) {
		if !d.has(u, v) {
			return
		}
		sky := (v - d.y0) / (d.y1 - d.y0)
		if sky > 0.78 {
			sky = 0.5
		}
		s.out.blend(x, y, color{0.9 + 0.3*sky, 0.35 + 0.35*sky, 0.15 + 0.05*sky}, 0.85*strength)
	})
	sun := d.y0 + (0.4+0.3*part)*(d.y1-d.y0)
	s.out.glow(d.x0+0.6*(d.x1-d.x0), sun, 0.05, color{3, 2.2, 0.9}, strength)
	s.out.glow(d.x0+0.6*(d.x1-d.x0), sun, 0.4, color{1, 0.5, 0.15}, 0.4*strength)
	s.out.within(rect{0, 0.14, 1, 1}, func(x, y int, u, v float32) {
		if d.has(u, v) {
			return
		}
		bar := math.Mod(float64(u*5+v*1.6), 1)
		f := float32(0.1)
		if bar > 0.55 && v > 0.3 {
			f = 0.34
		}
		i := 3 * (y*s.w + x)
		s.out.pix[i] *= 1 + 2.2*f*strength
		s.out.pix[i+1] *= 1 + 0.9*f*strength
		s.out.pix[i+2] *= 1 - 0.4*f*strength
	})
}

// person walks across the floor in a coat.
func (s *Scene) person(age time.Duration, h Happening, coat color) {
	part := float32(age) / float32(h.For)
	u := part*1.2 - 0.1
	if h.X > 0.5 {
		u = 1 - u
	}
	tall := max(float32(h.Size), 0.25)
	a := s.out.aspect()
	foot := 0.93 + 0.02*float32(math.Sin(age.Seconds()*7))*0.3
	step := float32(math.Sin(age.Seconds()*7)) * 0.09 * tall
	light := 0.55 + s.lampLight(u, 0.6, true)*0.5
	dark := color{0.05, 0.05, 0.06}.by(light)
	s.out.shade(u, foot, 0.2*tall/a, 0.03, 0.4)
	s.out.line(u, foot-0.45*tall, u+step/a, foot, 0.1*tall, dark)
	s.out.line(u, foot-0.45*tall, u-step/a, foot, 0.1*tall, dark)
	s.out.line(u, foot-0.75*tall, u, foot-0.45*tall, 0.24*tall, coat.by(light))
	s.out.line(u, foot-0.74*tall, u-1.3*step/a, foot-0.48*tall, 0.07*tall, coat.by(0.8*light))
	s.out.disc(u, foot-0.92*tall, 0.085*tall, func(x, y int, _ float32) { s.out.blend(x, y, color{0.5, 0.37, 0.3}.by(light), 1) })
	s.out.disc(u, foot-0.955*tall, 0.075*tall, func(x, y int, _ float32) { s.out.blend(x, y, dark, 1) })
}

// Truth is what can be seen at t.
func (s *Scene) Truth(t time.Duration) Truth {
	var out Truth
	a := float64(s.out.aspect())
	for h, age := range s.now(t) {
		switch h.Kind {
		case Flame:
			x, y := s.source(h)
			size := h.Size * float64(grown(age, 15*time.Second))
			out.Flame = Box{float64(x) - 0.5*size/a, float64(y) - size, float64(x) + 0.5*size/a, float64(y)}
		case Smoke:
			x, y := s.source(h)
			tall := h.Size * float64(grown(age, 25*time.Second))
			out.Smoke = Box{float64(x) - 0.5*tall/a, float64(y) - tall, float64(x) + 0.5*tall/a, float64(y)}
		case Covered, Black:
			out.Blind = true
		default:
		}
	}
	return out
}
