package confirm_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
)

// A new sign is nothing that the background knows, is taken for a flame by the model,
// stays where it is and is anything but still. But it repeats itself.
func TestASignThatRepeatsItselfIsNoFlame(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	faces := make([][]uint8, 10) // what the sign, or the flame, looks like
	for i := range faces {
		faces[i] = make([]uint8, greyW*greyH)
		for k := range faces[i] {
			faces[i][k] = uint8(r.IntN(70))
		}
	}
	for name, tt := range map[string]struct {
		face      func(n int) []uint8
		confirmed bool // after ten seconds
	}{
		"a sign that blinks":               {func(n int) []uint8 { return faces[n/3%2] }, false},
		"a sign whose letters run":         {func(n int) []uint8 { return faces[n%len(faces)] }, false},
		"a sign whose letters run, slowly": {func(n int) []uint8 { return faces[n/2%len(faces)] }, false},
		"a flame": {func(int) []uint8 {
			f := make([]uint8, greyW*greyH)
			for k := range f {
				f[k] = uint8(r.IntN(70))
			}
			return f
		}, true},
		"a flame that moves on slowly": {func(n int) []uint8 {
			f := make([]uint8, greyW*greyH)
			a, b := faces[n/4%7], faces[n/4*3%10]
			for k := range f {
				f[k] = uint8((int(a[k])*(4-n%4)+int(b[(k+n)%len(b)])*(n%4))/4) + uint8(r.IntN(12))
			}
			return f
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.Novel[vision.Flame] = confirm.Shipped(vision.Settings{}).Novel[vision.Flame]
			st := set(t, s)
			st.play(20 * time.Second)
			var sights []confirm.Sight
			for n := range 50 {
				f := confirm.Frame{At: st.now, Scores: vision.Scores{Flame: 0.9}, Heat: vision.NewHeat(cols, rows), Grey: make([]uint8, greyW*greyH), GreyW: greyW, GreyH: greyH}
				for i := range cols * rows {
					if place().Contains((float64(i%cols)+0.5)/cols, (float64(i/cols)+0.5)/rows) {
						f.Heat.Cells[vision.Flame][i] = 0.9
					}
				}
				face := tt.face(n)
				for i := range f.Grey {
					f.Grey[i] = 100 + uint8(r.IntN(3))
					if place().Contains((float64(i%greyW)+0.5)/greyW, (float64(i/greyW)+0.5)/greyH) {
						f.Grey[i] += face[i]
					}
				}
				var err error
				if sights, err = st.watch.Next(&f); err != nil {
					t.Fatal(err)
				}
				st.now = st.now.Add(every)
			}
			if (len(sights) > 0) != tt.confirmed {
				t.Errorf("confirmed: %v", sights)
			}
		})
	}
}
