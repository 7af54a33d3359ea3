package confirm

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/shedguard/shedguard/vision"
)

const (
	maxTracks = 16 // of a camera; what begins beyond them is not followed
	maxOf     = 32
)

// Settings are how a camera is judged.
type Settings struct {
	// Picture is the score of a whole picture from which its cells can count.
	Picture vision.Scores
	// Cells is which cells of a grid hang together as a region, by class.
	Cells [classes]vision.BoxRule
	// Margin is how far a cell must rise above its background, in log odds.
	Margin float64
	// K of the last N frames that could must show a region before it is confirmed, by
	// class.
	K, N [classes]int
	// Span is how long it must have been there at least, by class.
	Span [classes]time.Duration
	// Sure is the mean score from which Span is enough, by class; for each tenth below it
	// takes Doubt longer.
	Sure  [classes]float64
	Doubt time.Duration
	// Alive is how much the region must change from frame to frame, in
	// multiples of how much the picture changes everywhere, by class.
	Alive [classes]float64
	// Still is how far the middle of a region may move within Span, in parts of
	// its own width, by class.
	Still [classes]float64
	// Novel is how much a region must differ from all that it looked like before, in
	// parts of how much it does on average, by class; 0: that is not asked.
	Novel [classes]float64
	// Hold is how long a confirmed sight goes on without being seen.
	Hold time.Duration
	// Learn is how long a new watch only looks on.
	Learn time.Duration
}

// Validate reports what is wrong with the settings, every fault at once.
func (s *Settings) Validate() error {
	var errs []error
	number := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) {
			errs = append(errs, fmt.Errorf("%s: %g: want %g to %g", name, v, low, high))
		}
	}
	span := func(name string, v, low, high time.Duration) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %v: want %v to %v", name, v, low, high))
		}
	}
	for _, c := range vision.Classes() {
		number("picture."+c.String(), s.Picture.Of(c), 0.001, 0.999)
		number("cells."+c.String()+".seed", s.Cells[c].Seed, 0.001, 0.999)
		number("cells."+c.String()+".grow", s.Cells[c].Grow, 0.001, s.Cells[c].Seed)
		number("alive."+c.String(), s.Alive[c], 0, 20)
		number("still."+c.String(), s.Still[c], 0.05, 10)
		span("span."+c.String(), s.Span[c], 200*time.Millisecond, 30*time.Second)
		number("n."+c.String(), float64(s.N[c]), 2, maxOf)
		number("k."+c.String(), float64(s.K[c]), 2, float64(s.N[c]))
		number("sure."+c.String(), s.Sure[c], 0, 0.999)
		number("novel."+c.String(), s.Novel[c], 0, 0.9)
	}
	number("margin", s.Margin, 0, 10)
	span("doubt", s.Doubt, 0, 30*time.Second)
	span("hold", s.Hold, 200*time.Millisecond, time.Minute)
	span("learn", s.Learn, 0, 30*24*time.Hour)
	return errors.Join(errs...)
}

// Frame is one picture as the model and a small grey copy show it.
type Frame struct {
	At     time.Time // wall clock: its hour chooses the background
	Scores vision.Scores
	Heat   vision.Heat
	// Close is a part of the picture that the model saw larger. Its W is 0 where
	// there is none.
	Close Close
	// Grey is the picture in a few grey pixels, row by row; always of one size.
	// It may be empty where nobody can make it: then nothing counts as dead.
	Grey         []uint8
	GreyW, GreyH int
}

// Close is a part of a picture as the model sees it when that is all of the
// picture: what is small in the whole is large enough there.
type Close struct {
	vision.Rect
	Scores vision.Scores
	Heat   vision.Heat // over the part
}

// Sight is flame or smoke that was confirmed and is still there.
type Sight struct {
	ID     uint64 // of its track; never used again by the same watch
	Class  vision.Class
	Since  time.Time // the first frame that showed it
	Seen   time.Time // the last one
	Box    vision.Rect
	Score  float64 // of the hottest cell, mean of the frames that show it
	Growth float64 // area now, in parts of what it was when it was confirmed
	Shadow bool    // the watch only looks on
}

// Watch follows one camera.
type Watch struct {
	settings Settings
	looked   []bool
	back     [views]*Background
	closer   closer
	learned  time.Duration // how long it has looked so far
	last     time.Time
	id       uint64
	tracks   []*track
	fresh    [classes]vision.Heat // scores of the cells that are new
	large    []bool               // cells of a seed that the whole picture shows, of the class at hand
	busy     [classes][]bool      // cells under a confirmed track: not learned
	grey     []uint8              // of the frame before
	greyW    int
	greyH    int
	change   []float32 // by grey pixel
	noise    float64   // median change of the picture where nothing is to be seen
	peak     [classes]peaks
}

// track is a region that is there from frame to frame.
type track struct {
	id        uint64
	class     vision.Class
	hits      uint64 // newest frame in bit 0, of those that could show it
	small     bool   // only a closer look shows it
	due       bool   // this frame could show it
	first     time.Time
	last      time.Time
	box       vision.Rect
	score     float64
	alive     float64
	n         int
	places    []place // of the frames within Span that show it
	confirmed bool
	area      float64 // when it was confirmed
	past      past
}

type place struct {
	at   time.Time
	x, y float64
	wide float64
}

// New returns a watch over a grid of cols by rows cells.
func New(s Settings, r Regions, cols, rows int) (*Watch, error) {
	if err := errors.Join(s.Validate(), r.Validate()); err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	if cols < 1 || rows < 1 || cols*rows > 1<<16 {
		return nil, fmt.Errorf("confirm: %d x %d cells: want 1 to %d in all", cols, rows, 1<<16)
	}
	w := &Watch{settings: s, closer: newCloser(cols, rows)}
	for v := range w.back {
		w.back[v] = NewBackground(cols, rows)
	}
	grid := vision.NewHeat(cols, rows)
	w.looked, w.large = r.cells(&grid), make([]bool, cols*rows)
	if !slices.Contains(w.looked, true) {
		return nil, errors.New("confirm: the include and exclude polygons leave nothing to look at")
	}
	for _, c := range vision.Classes() {
		w.fresh[c] = vision.NewHeat(cols, rows)
		w.busy[c] = make([]bool, cols*rows)
	}
	return w, nil
}

// Shadow reports whether the watch only looks on yet.
func (w *Watch) Shadow() bool { return w.learned < w.settings.Learn }

// Learned is how long the watch has looked.
func (w *Watch) Learned() time.Duration { return w.learned }

// Next takes a frame and returns what is confirmed now, the oldest first. The
// slice is the caller's.
func (w *Watch) Next(f *Frame) ([]Sight, error) {
	if grid := &w.closer.heat; f.Heat.Cols != grid.Cols || f.Heat.Rows != grid.Rows {
		return nil, fmt.Errorf("confirm: a grid of %d x %d cells: want %d x %d", f.Heat.Cols, f.Heat.Rows, grid.Cols, grid.Rows)
	}
	if !w.last.IsZero() {
		if d := f.At.Sub(w.last); d > 0 {
			w.learned += min(d, 5*time.Second) // a camera that was away did not look
		}
	}
	w.last = f.At
	w.move(f)
	w.closer.take(&f.Close)
	hour := f.At.Hour()
	for _, c := range vision.Classes() {
		w.follow(f, c, hour)
	}
	w.learn(f, hour)

	var sights []Sight
	for _, t := range w.tracks {
		if t.confirmed {
			sights = append(sights, Sight{
				ID: t.id, Class: t.class, Since: t.first, Seen: t.last, Box: t.box, Score: t.score,
				Growth: t.box.Area() / t.area, Shadow: w.Shadow(),
			})
		}
	}
	return sights, nil
}

// Calm takes the time of a frame that was not judged because nothing in it had
// changed: the tracks grow old, and a quiet hour is learned of.
func (w *Watch) Calm(at time.Time) {
	if !w.last.IsZero() && at.After(w.last) {
		w.learned += min(at.Sub(w.last), 5*time.Second)
	}
	w.last = at
	w.tracks = slices.DeleteFunc(w.tracks, func(t *track) bool { return at.Sub(t.last) > w.settings.Hold })
}

// Tracking reports whether anything is followed now: then every frame counts.
func (w *Watch) Tracking() bool { return len(w.tracks) > 0 }

// Small yields where something is followed that only a closer look shows.
func (w *Watch) Small() iter.Seq[vision.Rect] {
	return func(yield func(vision.Rect) bool) {
		for _, t := range w.tracks {
			if t.small && !yield(t.box) {
				return
			}
		}
	}
}

// follow finds the regions of a class in a frame and continues their tracks.
func (w *Watch) follow(f *Frame, c vision.Class, hour int) {
	s, grid := &w.settings, &w.fresh[c]
	clear(grid.Cells[c])
	clear(w.large)
	risen := f.Scores.Of(c) >= s.Picture.Of(c) && w.rise(c, hour, viewWhole, &f.Heat)
	if f.Close.W > 0 && f.Close.Scores.Of(c) >= s.Picture.Of(c) {
		risen = w.rise(c, hour, viewClose, &w.closer.heat) || risen
	}
	var boxes []vision.Box
	if risen {
		boxes = grid.Boxes(c, s.Cells[c])
	}
	for _, t := range w.tracks {
		if t.class == c && (!t.small || w.closer.shows(t.box)) {
			t.hits <<= 1
			t.due = true
		}
	}
	cw, ch := 1/float64(grid.Cols), 1/float64(grid.Rows)
	for i := range boxes {
		b := &boxes[i]
		t := w.near(c, b.Rect, cw, ch)
		if t == nil {
			if len(w.tracks) == maxTracks {
				continue
			}
			w.id++
			t = &track{id: w.id, class: c, first: f.At}
			w.tracks = append(w.tracks, t)
		}
		if !t.due { // the whole picture shows it after all
			t.hits <<= 1
		}
		t.small = !w.isLarge(b.Rect)
		t.take(b, grid, w.stir(b.Rect), f.At, s.Span[c])
		if w.noise >= 0 && s.Novel[c] > 0 && (t.n == 1 || b.Area() > 2*t.past.place.Area()) {
			t.past.begin(b.Rect, w.greyW, w.greyH)
		}
	}
	w.tracks = slices.DeleteFunc(w.tracks, func(t *track) bool {
		if t.class != c {
			return false
		}
		t.due = false
		if t.confirmed && t.past.n >= pastFrames/2 && t.past.repeats(s.Novel[c]/2) {
			t.confirmed = false // it has begun to repeat itself
		}
		return f.At.Sub(t.last) > s.Hold || !t.confirmed && t.hits&(1<<s.N[c]-1) == 0
	})
	for _, t := range w.tracks {
		if t.class == c && t.past.pixels > 0 && w.noise >= 0 {
			t.past.take(w.grey)
		}
		if t.class == c && !t.confirmed && w.convincing(t) {
			t.confirmed, t.area = true, max(t.box.Area(), cw*ch)
		}
	}
	w.peak[c].take(max(f.Scores.Of(c), f.Close.Scores.Of(c)), !w.open(c))
}

// rise puts the cells into the grid of what is new whose score rises above their
// background in a view, and reports whether there are any.
func (w *Watch) rise(c vision.Class, hour, view int, heat *vision.Heat) (risen bool) {
	s, into := &w.settings, w.fresh[c].Cells[c]
	level, margin := w.back[view].cells(hour, c), float32(s.Margin)
	for i, score := range heat.Cells[c] {
		if !w.looked[i] || view == viewClose && !w.closer.covered[i] || logit(score) < level[i]+margin {
			continue
		}
		into[i], risen = max(into[i], score), true
		if view == viewWhole && float64(score) >= s.Cells[c].Seed {
			w.large[i] = true
		}
	}
	return risen
}

// isLarge reports whether the whole picture shows what is in a box.
func (w *Watch) isLarge(b vision.Rect) bool {
	grid := &w.closer.heat
	for i, large := range w.large {
		if large && b.Contains((float64(i%grid.Cols)+0.5)/float64(grid.Cols), (float64(i/grid.Cols)+0.5)/float64(grid.Rows)) {
			return true
		}
	}
	return false
}

// near is the track of a class that a box continues: it overlaps, or lies within
// one cell of it.
func (w *Watch) near(c vision.Class, b vision.Rect, cw, ch float64) *track {
	wide := vision.Rect{X: b.X - cw, Y: b.Y - ch, W: b.W + 2*cw, H: b.H + 2*ch}
	var best *track
	most := 0.0
	for _, t := range w.tracks {
		if t.class != c || t.last.Equal(w.last) { // it has its region of this frame
			continue
		}
		if a := wide.Intersect(t.box).Area(); a > most {
			best, most = t, a
		}
	}
	return best
}

// take adds a frame's region to a track.
func (t *track) take(b *vision.Box, grid *vision.Heat, stir float64, at time.Time, span time.Duration) {
	t.hits |= 1
	t.last, t.box = at, b.Rect
	t.n++
	f := 1 / float64(min(t.n, 10))
	t.score += (b.Score - t.score) * f
	t.alive += (stir - t.alive) * f
	x, y := middle(b, grid)
	t.places = append(slices.DeleteFunc(t.places, func(p place) bool { return at.Sub(p.at) > span+span/2 }), place{at, x, y, b.W})
}

// middle is the middle of a box's cells, weighted by their scores.
func middle(b *vision.Box, grid *vision.Heat) (x, y float64) {
	sum := 0.0
	for row := int(b.Y*float64(grid.Rows) + 0.5); row < grid.Rows && float64(row)+0.5 < (b.Y+b.H)*float64(grid.Rows); row++ {
		for col := int(b.X*float64(grid.Cols) + 0.5); col < grid.Cols && float64(col)+0.5 < (b.X+b.W)*float64(grid.Cols); col++ {
			v := float64(grid.At(b.Class, col, row))
			x += v * (float64(col) + 0.5)
			y += v * (float64(row) + 0.5)
			sum += v
		}
	}
	if sum == 0 {
		return b.X + b.W/2, b.Y + b.H/2
	}
	return x / sum / float64(grid.Cols), y / sum / float64(grid.Rows)
}

// convincing reports whether a track is worth a sight.
func (w *Watch) convincing(t *track) bool {
	s := &w.settings
	if !t.last.Equal(w.last) || ones(t.hits&(1<<s.N[t.class]-1)) < s.K[t.class] {
		return false
	}
	span := s.Span[t.class]
	if doubt := s.Sure[t.class] - t.score; doubt > 0 {
		span += time.Duration(10 * doubt * float64(s.Doubt))
	}
	return t.last.Sub(t.first) >= span && (w.noise < 0 || t.alive >= s.Alive[t.class]) &&
		!t.past.repeats(s.Novel[t.class]) && t.moved() <= s.Still[t.class]
}

// moved is how far the middle of a track went over its places, in parts of its
// width. Smoke drifts upwards by itself: only
// what it does sidewards counts, for flame as well.
func (t *track) moved() float64 {
	n := len(t.places)
	third := max(1, n/3)
	var from, to, wide float64
	for i := range third {
		from += t.places[i].x
		to += t.places[n-1-i].x
	}
	for _, p := range t.places {
		wide += p.wide
	}
	// The middles of the two thirds lie two thirds of the way apart.
	return 1.5 * math.Abs(to-from) / float64(third) / (wide / float64(n))
}

func ones(x uint64) int {
	n := 0
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

// open reports whether a sight of the class is confirmed.
func (w *Watch) open(c vision.Class) bool {
	return slices.ContainsFunc(w.tracks, func(t *track) bool { return t.class == c && t.confirmed })
}

// learn lets the background take the frame, but not under what is confirmed, with
// a margin of one cell. A watch that only looks on learns everything.
func (w *Watch) learn(f *Frame, hour int) {
	for _, c := range vision.Classes() {
		clear(w.busy[c])
	}
	if !w.Shadow() {
		for _, t := range w.tracks {
			if !t.confirmed {
				continue
			}
			h := &f.Heat
			for row := max(0, int(t.box.Y*float64(h.Rows))-1); row < h.Rows && float64(row) <= (t.box.Y+t.box.H)*float64(h.Rows); row++ {
				for col := max(0, int(t.box.X*float64(h.Cols))-1); col < h.Cols && float64(col) <= (t.box.X+t.box.W)*float64(h.Cols); col++ {
					for _, c := range vision.Classes() {
						w.busy[c][row*h.Cols+col] = true
					}
				}
			}
		}
	}
	w.back[viewWhole].learn(hour, &f.Heat, &w.busy, nil)
	if f.Close.W <= 0 {
		return
	}
	for i, covered := range w.closer.covered {
		if !covered {
			for _, c := range vision.Classes() {
				w.busy[c][i] = true
			}
		}
	}
	w.back[viewClose].learn(hour, &w.closer.heat, &w.busy, w.closer.since)
}

// move measures how the picture changed since the frame before, and how much of that
// is its usual restlessness.
func (w *Watch) move(f *Frame) {
	n := f.GreyW * f.GreyH
	if n == 0 || len(f.Grey) != n {
		w.noise = -1
		return
	}
	if len(w.grey) != n {
		w.grey, w.change = slices.Clone(f.Grey), make([]float32, n)
		w.greyW, w.greyH = f.GreyW, f.GreyH
		w.noise = 0
		return
	}
	var counts [256]int
	rest := 0
	for i, v := range f.Grey {
		d := int(v) - int(w.grey[i])
		d = max(d, -d)
		w.change[i] = float32(d)
		if !w.hot(f, i) {
			counts[d]++
			rest++
		}
	}
	copy(w.grey, f.Grey)
	w.noise = 0
	if 10*rest < n { // fire all over it: nothing is left to compare with
		return
	}
	sum := 0
	for d, k := range counts {
		if sum += k; 2*sum >= rest {
			w.noise = float64(d)
			return
		}
	}
}

// hot reports whether a grey pixel lies in a cell that may show flame or smoke: such a
// one tells nothing of how restless the picture is without them.
func (w *Watch) hot(f *Frame, i int) bool {
	cell := i/f.GreyW*f.Heat.Rows/f.GreyH*f.Heat.Cols + i%f.GreyW*f.Heat.Cols/f.GreyW
	for _, c := range vision.Classes() {
		if float64(f.Heat.Cells[c][cell]) >= w.settings.Cells[c].Grow {
			return true
		}
	}
	return false
}

// stir is how much the picture changed in a part of it, in multiples of how much
// it did everywhere; at least one grey level counts as noise.
func (w *Watch) stir(r vision.Rect) float64 {
	if w.noise < 0 || w.greyW == 0 {
		return 0
	}
	x0, x1 := span(r.X, r.W, w.greyW)
	y0, y1 := span(r.Y, r.H, w.greyH)
	sum, n := 0.0, 0
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			sum += float64(w.change[y*w.greyW+x])
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n) / max(w.noise, 1)
}

// Save is what must outlive a restart: the backgrounds and how long they were
// learned.
func (w *Watch) Save() []byte {
	var kept []byte
	for _, b := range w.back {
		kept = append(kept, b.save()...)
	}
	return append(kept, fmt.Sprintf("learned %d s\n", int64(w.learned/time.Second))...)
}

// Restore takes what Save wrote. On an error, [ErrKept], the watch is as it was.
func (w *Watch) Restore(kept []byte) error {
	var back [views]*Background
	for v := range back {
		size := w.back[v].size()
		if len(kept) < size {
			return fmt.Errorf("%w: %d bytes of a background: want %d for %d x %d cells", ErrKept, len(kept), size, w.back[v].cols, w.back[v].rows)
		}
		back[v] = NewBackground(w.back[v].cols, w.back[v].rows)
		if err := back[v].restore(kept[:size]); err != nil {
			return err
		}
		kept = kept[size:]
	}
	var sec int64
	if _, err := fmt.Sscanf(string(kept), "learned %d s\n", &sec); err != nil || sec < 0 || sec > 1e9 {
		return fmt.Errorf("%w: its end is not \"learned … s\"", ErrKept)
	}
	w.back, w.learned = back, time.Duration(sec)*time.Second
	return nil
}

// Forget begins anew: the camera was moved.
func (w *Watch) Forget() {
	for v, b := range w.back {
		w.back[v] = NewBackground(b.cols, b.rows)
	}
	w.learned, w.tracks, w.grey = 0, nil, nil
	w.peak = [classes]peaks{}
}
