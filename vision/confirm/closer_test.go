package confirm_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
)

// spark is too small for the model in the whole picture.
func spark() vision.Rect { return vision.Rect{X: 0.46, Y: 0.55, W: 0.05, H: 0.05} }

// peer plays d with a closer look at a part, which shows the flame if burns and the
// part has it; the whole picture never does. at chooses the part by frame.
func (s *stage) peer(d time.Duration, burns bool, at func(frame int) vision.Rect) (sights []confirm.Sight, first time.Duration) {
	s.t.Helper()
	first = -1
	begin := s.now
	for n := range int(d / every) {
		f := confirm.Frame{At: s.now, Heat: vision.NewHeat(cols, rows), Grey: make([]uint8, greyW*greyH), GreyW: greyW, GreyH: greyH}
		for i := range f.Grey {
			f.Grey[i] = 100 + uint8(s.rand.IntN(3))
			x, y := (float64(i%greyW)+0.5)/greyW, (float64(i/greyW)+0.5)/greyH
			if burns && spark().Contains(x, y) {
				f.Grey[i] += uint8(s.rand.IntN(60))
			}
		}
		if part := at(n); part.W > 0 {
			f.Close = confirm.Close{Rect: part, Heat: vision.NewHeat(cols, rows)}
			for i := range cols * rows {
				x, y := part.X+(float64(i%cols)+0.5)/cols*part.W, part.Y+(float64(i/cols)+0.5)/rows*part.H
				if burns && spark().Contains(x, y) {
					f.Close.Heat.Cells[vision.Flame][i] = 0.8
					f.Close.Scores.Flame = 0.8
				}
			}
		}
		var err error
		if sights, err = s.watch.Next(&f); err != nil {
			s.t.Fatal(err)
		}
		if len(sights) > 0 && first < 0 {
			first = f.At.Sub(begin)
		}
		s.now = s.now.Add(every)
	}
	return sights, first
}

func TestACloserLookShowsWhatIsSmall(t *testing.T) {
	here, elsewhere := vision.Rect{X: 0.4, Y: 0.45, W: 0.2, H: 0.2}, vision.Rect{X: 0, Y: 0, W: 0.2, H: 0.2}
	for name, tt := range map[string]struct {
		at         func(n int) vision.Rect
		seen, most time.Duration // most 0: never
	}{
		"always":          {func(int) vision.Rect { return here }, 1600 * time.Millisecond, 2 * time.Second},
		"two of three":    {func(n int) vision.Rect { return []vision.Rect{here, elsewhere, here}[n%3] }, 1600 * time.Millisecond, 2 * time.Second},
		"one of three":    {func(n int) vision.Rect { return []vision.Rect{here, elsewhere, {}}[n%3] }, 3 * time.Second, 3200 * time.Millisecond},
		"never":           {func(int) vision.Rect { return elsewhere }, 0, 0},
		"no closer look":  {func(int) vision.Rect { return vision.Rect{} }, 0, 0},
		"half of it only": {func(int) vision.Rect { return vision.Rect{X: 0.48, Y: 0.45, W: 0.2, H: 0.2} }, 1600 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, settings())
			s.peer(time.Minute, false, tt.at)
			_, first := s.peer(10*time.Second, true, tt.at)
			if tt.most == 0 {
				if first >= 0 {
					t.Fatalf("confirmed after %s what no look shows", first)
				}
				return
			}
			if first < tt.seen || first > tt.most {
				t.Fatalf("confirmed after %s: want %s to %s", first, tt.seen, tt.most)
			}
			small := slices.Collect(s.watch.Small())
			if len(small) != 1 || small[0].IoU(spark()) < 0.4 {
				t.Errorf("followed: %v", small)
			}
		})
	}
}

// A lamp that only a closer look takes for a flame is known after the first days,
// though it is looked at twice a minute only.
func TestACloserLookHasABackgroundOfItsOwn(t *testing.T) {
	s := settings()
	s.Learn = 10 * time.Minute
	here := vision.Rect{X: 0.4, Y: 0.45, W: 0.2, H: 0.2}
	st := set(t, s)
	st.peer(10*time.Minute+time.Second, true, func(n int) vision.Rect {
		if n%150 == 0 {
			return here
		}
		return vision.Rect{}
	})
	if st.watch.Shadow() {
		t.Fatal("still looking on")
	}
	if _, first := st.peer(10*time.Second, true, func(int) vision.Rect { return here }); first >= 0 {
		t.Errorf("the lamp is a flame after %s", first)
	}
	kept := st.watch.Save()
	st = set(t, s)
	if err := st.watch.Restore(kept); err != nil {
		t.Fatal(err)
	}
	if _, first := st.peer(10*time.Second, true, func(int) vision.Rect { return here }); first >= 0 {
		t.Errorf("after a restart the lamp is a flame after %s", first)
	}
}
