package confirm_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
)

const (
	cols, rows = 20, 20
	greyW      = 40
	greyH      = 40
	every      = 200 * time.Millisecond
)

func settings() confirm.Settings {
	rule := vision.BoxRule{Seed: 0.5, Grow: 0.3, MinCells: 1}
	return confirm.Settings{
		Picture: vision.Scores{Flame: 0.5, Smoke: 0.5}, Cells: [2]vision.BoxRule{rule, rule}, Margin: 1.5,
		K: [2]int{6, 6}, N: [2]int{10, 10}, Span: [2]time.Duration{1600 * time.Millisecond, 1600 * time.Millisecond}, Alive: [2]float64{1.5, 0}, Still: [2]float64{0.35, 0.6}, Hold: 3 * time.Second,
	}
}

// stage is a camera in front of which things happen.
type stage struct {
	t     testing.TB
	watch *confirm.Watch
	now   time.Time
	rand  *rand.Rand
	acts  []act
}

// act is something that the model takes for flame or smoke.
type act struct {
	class    vision.Class
	score    float32
	box      vision.Rect
	flicker  uint8         // grey levels that it changes from frame to frame
	drift    float64       // of the picture's width a second
	from, to time.Duration // since the stage was set up; to 0: for ever
}

func set(t testing.TB, s confirm.Settings, acts ...act) *stage {
	t.Helper()
	w, err := confirm.New(s, confirm.Regions{}, cols, rows)
	if err != nil {
		t.Fatal(err)
	}
	return &stage{t: t, watch: w, now: time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(1, 1)), acts: acts}
}

// play runs for d and returns the sights of the last frame and when the first
// one came.
func (s *stage) play(d time.Duration) (sights []confirm.Sight, first time.Duration) {
	s.t.Helper()
	first = -1
	begin := s.now
	for at := time.Duration(0); at < d; at += every {
		f := confirm.Frame{At: s.now, Heat: vision.NewHeat(cols, rows), Grey: make([]uint8, greyW*greyH), GreyW: greyW, GreyH: greyH}
		for c := range f.Heat.Cells {
			for i := range f.Heat.Cells[c] {
				f.Heat.Cells[c][i] = 0.01 + 0.02*s.rand.Float32()
			}
		}
		for i := range f.Grey {
			f.Grey[i] = 100 + uint8(s.rand.IntN(3))
		}
		for _, a := range s.acts {
			if at < a.from || a.to > 0 && at >= a.to {
				continue
			}
			x := a.box.X + a.drift*(at-a.from).Seconds()
			for row := range rows {
				for col := range cols {
					if (vision.Rect{X: x, Y: a.box.Y, W: a.box.W, H: a.box.H}).Contains((float64(col)+0.5)/cols, (float64(row)+0.5)/rows) {
						f.Heat.Cells[a.class][row*cols+col] = a.score
					}
				}
			}
			for y := range greyH {
				for gx := range greyW {
					if a.flicker > 0 && (vision.Rect{X: x, Y: a.box.Y, W: a.box.W, H: a.box.H}).Contains((float64(gx)+0.5)/greyW, (float64(y)+0.5)/greyH) {
						f.Grey[y*greyW+gx] += uint8(s.rand.IntN(int(a.flicker)))
					}
				}
			}
			if a.class == vision.Flame {
				f.Scores.Flame = max(f.Scores.Flame, float64(a.score))
			} else {
				f.Scores.Smoke = max(f.Scores.Smoke, float64(a.score))
			}
		}
		var err error
		if sights, err = s.watch.Next(&f); err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(every)
		if len(sights) > 0 && first < 0 {
			first = f.At.Sub(begin)
		}
	}
	return sights, first
}

func place() vision.Rect { return vision.Rect{X: 0.4, Y: 0.5, W: 0.15, H: 0.2} }

func TestAFlameIsConfirmedWithinSeconds(t *testing.T) {
	s := set(t, settings())
	s.play(time.Minute)
	s.acts = []act{{class: vision.Flame, score: 0.9, box: place(), flicker: 60}}
	sights, first := s.play(5 * time.Second)
	if len(sights) != 1 || first < 1600*time.Millisecond || first > 2*time.Second {
		t.Fatalf("%d sights, the first after %s", len(sights), first)
	}
	got := sights[0]
	if got.Class != vision.Flame || got.Shadow || got.Box.IoU(place()) < 0.8 || math.Abs(got.Score-0.9) > 0.01 {
		t.Errorf("%+v", got)
	}
	if since := s.now.Sub(got.Since); since != 5*time.Second {
		t.Errorf("since %s ago", since)
	}
	s.acts = nil
	if sights, _ := s.play(2 * time.Second); len(sights) != 1 {
		t.Error("gone within its hold")
	}
	if sights, _ := s.play(2 * time.Second); len(sights) != 0 {
		t.Error("still there")
	}
}

// What the model is less sure of must be there for longer.
func TestDoubtTakesTime(t *testing.T) {
	sure := settings()
	sure.Sure[vision.Flame], sure.Doubt = 0.8, 2*time.Second
	for score, want := range map[float32]time.Duration{0.95: 1600 * time.Millisecond, 0.81: 1600 * time.Millisecond, 0.7: 3600 * time.Millisecond, 0.6: 5600 * time.Millisecond} {
		s := set(t, sure)
		s.play(20 * time.Second)
		s.acts = []act{{class: vision.Flame, score: score, box: place(), flicker: 60}}
		if _, first := s.play(8 * time.Second); first < want || first > want+every {
			t.Errorf("a score of %g is confirmed after %s: want %s", score, first, want)
		}
	}
}

// Smoke that comes and goes is steam, or nothing; each class has its own K of N.
func TestHowManyFramesOfAClass(t *testing.T) {
	many := settings()
	many.K[vision.Smoke], many.N[vision.Smoke] = 10, 12
	for name, tt := range map[string]struct {
		class  vision.Class
		gaps   bool // of three frames one shows nothing
		wanted bool
	}{
		"flame with gaps": {vision.Flame, true, true}, "smoke with gaps": {vision.Smoke, true, false}, "smoke": {vision.Smoke, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, many)
			s.play(20 * time.Second)
			confirmed := false
			for n := range 40 {
				s.acts = nil
				if !tt.gaps || n%3 != 0 {
					s.acts = []act{{class: tt.class, score: 0.9, box: place(), flicker: 60}}
				}
				sights, _ := s.play(every)
				confirmed = confirmed || len(sights) > 0
			}
			if confirmed != tt.wanted {
				t.Errorf("confirmed: %v", confirmed)
			}
		})
	}
}

// A fire that fills the picture makes all of it restless.
func TestAFireThatFillsThePicture(t *testing.T) {
	for name, box := range map[string]vision.Rect{"most of it": {X: 0.1, Y: 0.1, W: 0.8, H: 0.85}, "all of it": {W: 1, H: 1}} {
		t.Run(name, func(t *testing.T) {
			s := set(t, settings())
			s.play(20 * time.Second)
			s.acts = []act{{class: vision.Flame, score: 0.9, box: box, flicker: 60}}
			if sights, first := s.play(5 * time.Second); len(sights) != 1 || first > 2*time.Second {
				t.Errorf("%d sights, the first after %s", len(sights), first)
			}
		})
	}
}

func TestWhatIsNoFire(t *testing.T) {
	for name, a := range map[string]act{
		"a single frame":       {class: vision.Flame, score: 0.95, box: place(), flicker: 60, to: every},
		"one second":           {class: vision.Flame, score: 0.95, box: place(), flicker: 60, to: time.Second},
		"a lamp that is still": {class: vision.Flame, score: 0.95, box: place()},
		"headlights that pass": {class: vision.Flame, score: 0.95, box: vision.Rect{X: 0.05, Y: 0.5, W: 0.1, H: 0.1}, flicker: 60, drift: 0.1},
		"a coat that walks":    {class: vision.Flame, score: 0.95, box: vision.Rect{X: 0, Y: 0.4, W: 0.15, H: 0.3}, flicker: 60, drift: 0.05},
		"below the threshold":  {class: vision.Flame, score: 0.45, box: place(), flicker: 60},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, settings())
			s.play(10 * time.Second)
			s.acts = []act{a}
			if _, first := s.play(15 * time.Second); first >= 0 {
				t.Errorf("confirmed after %s", first)
			}
		})
	}
}

// TestWhatIsAlwaysThereDoesNotCount: a neon sign flickers and stays; persistence
// is no evidence against it.
func TestWhatIsAlwaysThereDoesNotCount(t *testing.T) {
	neon := act{class: vision.Flame, score: 0.9, box: vision.Rect{X: 0.1, Y: 0.1, W: 0.2, H: 0.1}, flicker: 90}
	c := settings()
	c.Learn = 20 * time.Minute
	s := set(t, c, neon)
	if sights, _ := s.play(time.Minute); len(sights) != 1 || !sights[0].Shadow {
		t.Errorf("at first: %+v", sights)
	}
	s.play(20 * time.Minute)
	if sights, first := s.play(10 * time.Minute); first >= 0 {
		t.Fatalf("the sign is a fire: %+v", sights)
	}
	// A flame elsewhere is one, though the picture has scored high all along.
	s.acts = append(s.acts, act{class: vision.Flame, score: 0.8, box: place(), flicker: 60})
	sights, first := s.play(4 * time.Second)
	if first < 0 || first > 2500*time.Millisecond || sights[0].Box.IoU(place()) < 0.8 {
		t.Errorf("the flame beside the sign: %v after %s", sights, first)
	}
}

func TestANewWatchOnlyLooksOn(t *testing.T) {
	c := settings()
	c.Learn = time.Minute
	s := set(t, c, act{class: vision.Smoke, score: 0.9, box: place()})
	sights, _ := s.play(10 * time.Second)
	if len(sights) != 1 || !sights[0].Shadow {
		t.Errorf("%+v", sights)
	}
	s.play(55 * time.Second)
	if s.watch.Shadow() {
		t.Error("still looks on after a minute")
	}
}

func TestAFireDoesNotBecomeScenery(t *testing.T) {
	s := set(t, settings())
	s.play(time.Minute)
	s.acts = []act{{class: vision.Flame, score: 0.95, box: place(), flicker: 60}}
	if sights, _ := s.play(2 * time.Hour); len(sights) != 1 {
		t.Errorf("%d sights after two hours of fire", len(sights))
	}
}

func TestKeptAndRestored(t *testing.T) {
	neon := act{class: vision.Flame, score: 0.9, box: vision.Rect{X: 0.1, Y: 0.1, W: 0.2, H: 0.1}, flicker: 90}
	c := settings()
	c.Learn = 10 * time.Minute
	s := set(t, c, neon)
	s.play(25 * time.Minute)
	kept := s.watch.Save()

	next := set(t, c, neon)
	next.now = s.now
	if err := next.watch.Restore(kept); err != nil {
		t.Fatal(err)
	}
	if next.watch.Shadow() || next.watch.Learned() != s.watch.Learned().Truncate(time.Second) {
		t.Errorf("learned %s, want %s", next.watch.Learned(), s.watch.Learned())
	}
	if !bytes.Equal(next.watch.Save(), kept) {
		t.Error("saved again it is another one")
	}
	if _, first := next.play(10 * time.Second); first >= 0 {
		t.Error("the sign was forgotten")
	}
	next.watch.Forget()
	if !next.watch.Shadow() {
		t.Error("a camera that was moved knows its place")
	}
	for name, damage := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut":       func(b []byte) []byte { return b[:len(b)-40] },
		"one bit":   func(b []byte) []byte { b[200] ^= 4; return b },
		"other":     func(b []byte) []byte { return append([]byte("x"), b...) },
		"its end":   func(b []byte) []byte { return append(b[:len(b)-4], "x s\n"...) },
		"too large": func(b []byte) []byte { return append(b, b...) },
	} {
		if name == "too large" {
			continue // what follows the end is not read
		}
		if err := next.watch.Restore(damage(bytes.Clone(kept))); !errors.Is(err, confirm.ErrKept) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !next.watch.Shadow() {
		t.Error("a refused file changed the watch")
	}
}

func TestRegions(t *testing.T) {
	left := confirm.Polygon{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}
	for name, tt := range map[string]struct {
		regions confirm.Regions
		x       float64
		want    bool
	}{
		"included":         {confirm.Regions{Include: []confirm.Polygon{left}}, 0.2, true},
		"not included":     {confirm.Regions{Include: []confirm.Polygon{left}}, 0.7, false},
		"excluded":         {confirm.Regions{Exclude: []confirm.Polygon{left}}, 0.2, false},
		"beside excluded":  {confirm.Regions{Exclude: []confirm.Polygon{left}}, 0.7, true},
		"no regions":       {confirm.Regions{}, 0.7, true},
		"exclusion counts": {confirm.Regions{Include: []confirm.Polygon{left}, Exclude: []confirm.Polygon{left[:3]}}, 0.45, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := confirm.New(settings(), tt.regions, cols, rows)
			if err != nil {
				t.Fatal(err)
			}
			s := set(t, settings())
			s.watch = w
			s.acts = []act{{class: vision.Flame, score: 0.9, box: vision.Rect{X: tt.x, Y: 0.1, W: 0.1, H: 0.15}, flicker: 60}}
			if _, first := s.play(4 * time.Second); first >= 0 != tt.want {
				t.Errorf("confirmed after %s", first)
			}
		})
	}
}

func TestWhatNewRefuses(t *testing.T) {
	bad := settings()
	bad.K[0], bad.Margin, bad.Cells[1].Grow = 11, math.NaN(), 0.9
	for name, tt := range map[string]struct {
		settings confirm.Settings
		regions  confirm.Regions
		cols     int
		want     []string
	}{
		"settings":     {bad, confirm.Regions{}, cols, []string{"k.flame: 11: want 2 to 10", "margin: NaN", "cells.smoke.grow: 0.9: want 0.001 to 0.5"}},
		"a line":       {settings(), confirm.Regions{Include: []confirm.Polygon{{{0, 0}, {1, 1}}}}, cols, []string{"include[0]: 2 points: want at least 3"}},
		"outside":      {settings(), confirm.Regions{Exclude: []confirm.Polygon{{{0, 0}, {2, 0}, {0, 1}}}}, cols, []string{"exclude[0]: point 1: 2, 0: want 0 to 1"}},
		"nothing left": {settings(), confirm.Regions{Exclude: []confirm.Polygon{{{0, 0}, {1, 0}, {1, 1}, {0, 1}}}}, cols, []string{"leave nothing to look at"}},
		"no cells":     {settings(), confirm.Regions{}, 0, []string{"0 x 20 cells"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := confirm.New(tt.settings, tt.regions, tt.cols, rows)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("New: %v, want %q", err, want)
				}
			}
		})
	}
	s := set(t, settings())
	if _, err := s.watch.Next(&confirm.Frame{At: s.now, Heat: vision.NewHeat(3, 3)}); err == nil {
		t.Error("a grid of another size is taken")
	}
}

func TestProposal(t *testing.T) {
	s := set(t, settings(), act{class: vision.Flame, score: 0.37, box: place()})
	if _, ok := s.watch.Proposal(); ok {
		t.Error("a proposal out of nothing")
	}
	s.play(61 * time.Minute)
	if p, ok := s.watch.Proposal(); !ok || math.Abs(p.Flame-0.37) > 0.001 || p.Smoke != 0 {
		t.Errorf("%+v, %t", p, ok)
	}
}

// TestLaws: fewer than K frames within N never make a sight, and a sight always
// has a box within the picture.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := settings()
		c.Alive = [2]float64{}
		w, err := confirm.New(c, confirm.Regions{}, cols, rows)
		if err != nil {
			rt.Fatal(err)
		}
		now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
		var shown []bool
		for range rapid.IntRange(1, 60).Draw(rt, "frames") {
			f := confirm.Frame{At: now, Heat: vision.NewHeat(cols, rows)}
			show := rapid.Bool().Draw(rt, "shows")
			if show {
				f.Heat.Cells[vision.Flame][rapid.IntRange(0, cols*rows-1).Draw(rt, "cell")] = 0.99
				f.Scores.Flame = 0.99
			}
			shown = append(shown, show)
			sights, err := w.Next(&f)
			if err != nil {
				rt.Fatal(err)
			}
			hits := 0
			for _, s := range shown { // of all frames so far: an upper bound
				if s {
					hits++
				}
			}
			for _, s := range sights {
				if hits < c.K[vision.Flame] {
					rt.Fatalf("confirmed by %d frames", hits)
				}
				if s.Box.X < 0 || s.Box.Y < 0 || s.Box.X+s.Box.W > 1.0001 || s.Box.Y+s.Box.H > 1.0001 || s.Seen.Before(s.Since) {
					rt.Fatalf("%+v", s)
				}
			}
			now = now.Add(every)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	w, err := confirm.New(settings(), confirm.Regions{}, 40, 40)
	if err != nil {
		b.Fatal(err)
	}
	f := confirm.Frame{At: time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC), Heat: vision.NewHeat(40, 40), Grey: make([]uint8, 80*45), GreyW: 80, GreyH: 45}
	b.ReportAllocs()
	for b.Loop() {
		f.At = f.At.Add(every)
		if _, err := w.Next(&f); err != nil {
			b.Fatal(err)
		}
	}
}
