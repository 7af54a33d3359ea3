package worker_test

import (
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/worker"
)

// wall is a picture with a sensor's noise and what stands in front of it.
type wall struct {
	rand  *rand.Rand
	light int
	spots []vision.Rect
}

func newWall() *wall { return &wall{rand: rand.New(rand.NewPCG(3, 4)), light: 90} }

func (w *wall) grey() *[health.Size]uint8 {
	var g [health.Size]uint8
	for i := range g {
		g[i] = uint8(w.light + w.rand.IntN(4))
		x, y := (float64(i%health.Width)+0.5)/health.Width, (float64(i/health.Width)+0.5)/health.Height
		for _, s := range w.spots {
			if s.Contains(x, y) {
				g[i] += 30
			}
		}
	}
	return &g
}

func none() iter.Seq[vision.Rect] { return func(func(vision.Rect) bool) {} }

const (
	frameTime = 200 * time.Millisecond
	idle      = 2 * time.Second
)

// watched is a gaze that has seen the wall for a while.
func watched(w *wall) (g *worker.Gaze, now time.Time) {
	g, now = &worker.Gaze{}, time.Unix(1000, 0)
	for range 50 {
		g.Worth(w.grey(), now, false, idle)
		now = now.Add(frameTime)
	}
	return g, now
}

func TestAStillPictureIsSeldomWorthALook(t *testing.T) {
	w := newWall()
	g, now := watched(w)
	worth := 0
	for range 100 {
		if g.Worth(w.grey(), now, false, idle) {
			worth++
		}
		now = now.Add(frameTime)
	}
	if worth != 10 {
		t.Errorf("%d of 100 frames in 20 s: want one in %s", worth, idle)
	}
	if !g.Worth(w.grey(), now, true, idle) {
		t.Error("not worth it although something is tracked")
	}
}

func TestATourGoesEverywhere(t *testing.T) {
	w := newWall()
	g, _ := watched(w)
	var seen []vision.Rect
	for range 25 {
		r, ok := g.Next(640, 360, none())
		if !ok {
			t.Fatal("no closer look")
		}
		seen = append(seen, r)
	}
	for y := 0.01; y < 1; y += 0.02 {
		for x := 0.01; x < 1; x += 0.02 {
			if !slices.ContainsFunc(seen, func(r vision.Rect) bool { return r.Contains(x, y) }) {
				t.Fatalf("%.2f, %.2f was never looked at", x, y)
			}
		}
	}
}

func TestWhatStandsOutIsLookedAt(t *testing.T) {
	small := vision.Rect{X: 0.7, Y: 0.6, W: 0.03, H: 0.04} // of the size of a flame that begins
	w := newWall()
	g, now := watched(w)
	w.spots = []vision.Rect{small}
	worth, there := 0, 0
	for range 10 { // two seconds
		if g.Worth(w.grey(), now, false, idle) {
			worth++
			if r, _ := g.Next(640, 360, none()); r.Contains(small.X+small.W/2, small.Y+small.H/2) {
				there++
			}
		}
		now = now.Add(frameTime)
	}
	if worth < 8 || there < worth-3 {
		t.Errorf("%d frames of 10 were worth a look, %d looked at the spot", worth, there)
	}

	// A second place has its turn, however large the first one is.
	large := vision.Rect{X: 0.1, Y: 0.3, W: 0.15, H: 0.6}
	w.spots = append(w.spots, large)
	atSmall, atLarge := 0, 0
	for range 30 {
		g.Worth(w.grey(), now, false, idle)
		r, _ := g.Next(640, 360, none())
		if r.Contains(small.X+small.W/2, small.Y+small.H/2) {
			atSmall++
		}
		if r.Intersect(large).Area() > 0 {
			atLarge++
		}
		now = now.Add(frameTime)
	}
	if atSmall < 6 || atLarge < 6 {
		t.Errorf("%d looks at the small place, %d at the large one", atSmall, atLarge)
	}

	// What has come to stay is usual after some minutes.
	for range 5 * 240 {
		g.Worth(w.grey(), now, false, idle)
		now = now.Add(frameTime)
	}
	worth = 0
	for range 100 {
		if g.Worth(w.grey(), now, false, idle) {
			worth++
		}
		now = now.Add(frameTime)
	}
	if worth > 12 {
		t.Errorf("%d of 100 frames are worth a look minutes after anything happened", worth)
	}
}

// TestAClockIsNoReasonToLook: what stands out all the time, in every camera's picture,
// does not keep the model busy for ever, and what begins beside it is seen at once.
func TestAClockIsNoReasonToLook(t *testing.T) {
	digit := vision.Rect{X: 0.1, Y: 0.93, W: 0.02, H: 0.04}
	w := newWall()
	g, now := watched(w)
	watch := func(frames int) (worth int) {
		for range frames {
			w.spots = w.spots[:0]
			if now.Unix()%2 == 0 { // another digit each second
				w.spots = append(w.spots, digit)
			}
			if g.Worth(w.grey(), now, false, idle) {
				worth++
			}
			now = now.Add(frameTime)
		}
		return worth
	}
	if n := watch(150); n < 130 {
		t.Errorf("%d of the first 150 frames were worth a look", n)
	}
	watch(5 * 150)
	if n := watch(300); n > 35 {
		t.Errorf("%d of 300 frames are worth a look, three minutes later", n)
	}
	w.spots = []vision.Rect{{X: 0.16, Y: 0.86, W: 0.03, H: 0.04}}
	for i := 0; ; i++ {
		if g.Worth(w.grey(), now, false, time.Hour) {
			break
		}
		if i == 3 {
			t.Fatal("what begins beside the clock is not seen")
		}
		now = now.Add(frameTime)
	}
	// A clock that is gone is forgotten.
	w.spots = nil
	for range 5 * 240 {
		g.Worth(w.grey(), now, false, idle)
		now = now.Add(frameTime)
	}
	if n := watch(50); n < 35 {
		t.Errorf("%d of 50 frames of a clock that comes anew were worth a look", n)
	}
}

func TestWhatIsFollowedIsLookedAtFirst(t *testing.T) {
	w := newWall()
	g, now := watched(w)
	one, two := vision.Rect{X: 0.2, Y: 0.7, W: 0.02, H: 0.02}, vision.Rect{X: 0.8, Y: 0.7, W: 0.02, H: 0.02}
	w.spots = []vision.Rect{{X: 0.45, Y: 0.1, W: 0.1, H: 0.1}}
	small := func(yield func(vision.Rect) bool) { _ = yield(one) && yield(two) }
	var atOne, atTwo, elsewhere int
	for range 48 {
		g.Worth(w.grey(), now, true, idle)
		switch r, _ := g.Next(1280, 720, small); {
		case r.Contains(one.X, one.Y):
			atOne++
		case r.Contains(two.X, two.Y):
			atTwo++
		default:
			elsewhere++
		}
		now = now.Add(frameTime)
	}
	if atOne < 12 || atTwo < 12 || elsewhere < 12 {
		t.Errorf("%d and %d looks at what is followed, %d elsewhere", atOne, atTwo, elsewhere)
	}
}

func TestWhatGoesOnOutsideTheRegionsWakesNobody(t *testing.T) {
	w := newWall()
	g, now := watched(w)
	street := confirm.Polygon{{X: 0, Y: 0}, {X: 0.3, Y: 0}, {X: 0.3, Y: 1}, {X: 0, Y: 1}}
	g.Limit(&confirm.Regions{Exclude: []confirm.Polygon{street}})
	for x, want := range map[float64]bool{0.1: false, 0.6: true} {
		w.spots = []vision.Rect{{X: x, Y: 0.5, W: 0.1, H: 0.1}}
		worth := 0
		for range 10 {
			if g.Worth(w.grey(), now, false, idle) {
				worth++
			}
			now = now.Add(frameTime)
		}
		if (worth > 5) != want {
			t.Errorf("at %g: %d of 10 frames are worth a look", x, worth)
		}
		w.spots = nil
		for range 1000 {
			g.Worth(w.grey(), now, false, idle)
			now = now.Add(frameTime)
		}
	}
}

func TestSwitchedLampsAreNoPlace(t *testing.T) {
	w := newWall()
	g, now := watched(w)
	w.light = 40
	if !g.Worth(w.grey(), now, false, idle) {
		t.Error("a picture that is another one is not worth a look")
	}
	for range 9 {
		now = now.Add(frameTime)
		if g.Worth(w.grey(), now, false, idle) {
			t.Error("the picture is worth a look after the lamps were switched")
		}
	}
}

func TestASmallPictureIsNotLookedAtCloser(t *testing.T) {
	for _, tt := range []struct {
		width, height int
		part          float64 // 0: none
	}{{160, 90, 0}, {0, 0, 0}, {320, 240, 0.4}, {640, 360, 0.2}, {1920, 1080, 0.2}, {720, 1280, 0.2}} {
		g, _ := watched(newWall())
		r, ok := g.Next(tt.width, tt.height, none())
		if ok != (tt.part > 0) || r.W != tt.part || r.H != tt.part {
			t.Errorf("%d x %d: %+v, %v: want %g", tt.width, tt.height, r, ok, tt.part)
		}
		if r.X < 0 || r.Y < 0 || r.X+r.W > 1 || r.Y+r.H > 1 {
			t.Errorf("%d x %d: %+v is not in the picture", tt.width, tt.height, r)
		}
	}
}

func BenchmarkGaze(b *testing.B) {
	w := newWall()
	g, now := watched(w)
	frames := []*[health.Size]uint8{w.grey(), w.grey(), w.grey(), w.grey()}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(frameTime)
		g.Worth(frames[i%len(frames)], now, false, idle)
		g.Next(1280, 720, none())
	}
}
