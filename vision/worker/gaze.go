package worker

import (
	"iter"
	"math"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/health"
)

const (
	// A closer look shows a part of a closerPart-th of the picture's width and height,
	// but of closerPixels at least: larger than it is, a picture shows nothing more. A
	// picture that would hardly be cut smaller is not looked at closer.
	closerPart   = 5
	closerPixels = 128
	closerMost   = 0.6
	// outstanding is by how many grey levels a pixel must differ from what it usually
	// is, and from the frame before for a place that is busy; noise adds to it.
	outstanding = 7
	// The picture is looked over in blocks of so many pixels of the grey copy. A block
	// stands out when its pixels, all together, did in stirred of the last second's frames:
	// one pixel all the time, or four at once.
	blockWidth, blockHeight = 4, 3
	blocksWide              = health.Width / blockWidth
	blocks                  = health.Size / (blockWidth * blockHeight)
	stirred                 = 0.06
	// everywhere is the share of a picture that changes when the lamps do, or the
	// camera is turned: then no place stands out, and what is usual begins anew.
	everywhere = 0.4
	// absorb is by how many grey levels a frame what is usual follows the picture: a
	// bike that was parked stands out for a minute or two, at 5 frames a second.
	absorb = 0.1
	// tourTurn is how many closer looks there are for one that goes to the next part of
	// the picture in turn, whatever goes on elsewhere; placeTurn how many of the others for
	// one that does not go to what is followed.
	tourTurn  = 8
	placeTurn = 3
	// A block that stands out for restless of the time, over restlessOver, is no reason to
	// look: it is the camera's clock, a lamp that blinks, leaves. (The last digit of a clock
	// changes with every fifth frame, and stands out for two thirds of the time.) What
	// begins to burn just there is seen with the next look, within idle, and followed then.
	restless     = 0.4
	restlessOver = 2 * time.Minute
)

// Gaze knows what a camera's picture usually looks like, and from that which frames
// are worth the model's time, and which part of them it is to see a second time, as if it
// were all of the picture: a flame of a fortieth of the picture's height is too small in
// the whole of it. It looks where something small is followed, at places that stand out,
// in turn, and else at one part after the other, so that the background of all is known.
// The zero Gaze has seen nothing.
type Gaze struct {
	begun  bool
	ignore [health.Size]bool // what goes on there is nobody's concern
	last   [health.Size]uint8
	usual  [health.Size]float32 // grey levels
	stir   [health.Size]float32 // share of the last frames in which a pixel stood out
	rest   [health.Size]float32 // 1 where it has just looked closer, falling to 0
	all    bool                 // the whole picture changed with the newest frame
	out    [blocks]float32      // share of the last restlessOver in which a block stood out
	at     time.Time            // of the newest frame
	judged time.Time            // the last frame that was worth it
	turn   int                  // closer looks so far
	tour   int                  // of them those at one part after the other
}

// Limit keeps the gaze from what goes on outside the regions.
func (g *Gaze) Limit(r *confirm.Regions) {
	for i := range g.ignore {
		g.ignore[i] = !r.Has((float64(i%health.Width)+0.5)/health.Width, (float64(i/health.Width)+0.5)/health.Height)
	}
}

// Worth takes every frame's grey copy and reports whether the model is to see the frame:
// something is tracked, a place stands out that does not always, the whole picture has
// changed, or the last one was idle ago.
func (g *Gaze) Worth(grey *[health.Size]uint8, at time.Time, tracking bool, idle time.Duration) bool {
	g.compare(grey)
	worth := g.busy(at) || g.all || tracking || g.judged.IsZero() || at.Sub(g.judged) >= idle
	if worth {
		g.judged = at
	}
	return worth
}

// busy reports whether a block stands out that does not always.
func (g *Gaze) busy(at time.Time) (yes bool) {
	share := float32(min(at.Sub(g.at).Seconds()/restlessOver.Seconds(), 0.1))
	if g.at.IsZero() || share < 0 {
		share = 0
	}
	g.at = at
	for i, stir := range g.stirs() {
		out := float32(0)
		if stir >= stirred {
			out = 1
			yes = yes || g.out[i] < restless
		}
		g.out[i] += (out - g.out[i]) * share
	}
	return yes
}

// stirs is how much each block has stood out lately.
func (g *Gaze) stirs() (stir [blocks]float32) {
	for i, s := range g.stir {
		stir[blockOf(i)] += s / (blockWidth * blockHeight)
	}
	return stir
}

// blockOf is the block that a pixel of the grey copy lies in.
func blockOf(pixel int) int {
	return pixel/health.Width/blockHeight*blocksWide + pixel%health.Width/blockWidth
}

// compare tells where a frame differs from what is usual.
func (g *Gaze) compare(grey *[health.Size]uint8) {
	var before, ever [256]int // how many pixels differ by so much
	for i, v := range grey {
		before[apart(v, g.last[i])]++
		ever[apart(v, level(g.usual[i]))]++
	}
	limit := outstanding + 2*median(&before)
	g.all = !g.begun || beyond(&before, limit) > everywhere*health.Size
	if g.all {
		g.begun, g.last = true, *grey
		for i, v := range grey {
			g.usual[i], g.stir[i] = float32(v), 0
		}
		return
	}
	limitEver := outstanding + 2*median(&ever)
	for i, v := range grey {
		g.stir[i] *= 0.8
		if !g.ignore[i] && (apart(v, g.last[i]) >= limit || apart(v, level(g.usual[i])) >= limitEver) {
			g.stir[i] += 0.2
		}
		g.usual[i] += min(max(float32(v)-g.usual[i], -absorb), absorb)
	}
	g.last = *grey
}

func level(v float32) uint8 { return uint8(v + 0.5) }

func apart(a, b uint8) int {
	d := int(a) - int(b)
	return max(d, -d)
}

// median is of as many differences as counts has.
func median(counts *[256]int) int {
	for d, n := 0, 0; ; d++ {
		if n += counts[d]; 2*n >= health.Size {
			return d
		}
	}
}

// beyond is how many differences are limit or more.
func beyond(counts *[256]int, limit int) float64 {
	n := 0
	for d := limit; d < len(counts); d++ {
		n += counts[d]
	}
	return float64(n)
}

// Next is where to look closer in a picture of a size in pixels. small is what only a
// closer look shows. It is false for a picture that is small itself.
func (g *Gaze) Next(width, height int, small iter.Seq[vision.Rect]) (vision.Rect, bool) {
	w := max(1.0/closerPart, closerPixels/float64(max(width, height, 1)))
	if w > closerMost {
		return vision.Rect{}, false
	}
	g.turn++
	at, ok := vision.Rect{}, false
	if g.turn%tourTurn != 0 {
		if g.turn%placeTurn != 0 {
			at, ok = g.followed(small)
		}
		if !ok {
			at, ok = g.place()
		}
		if !ok {
			at, ok = g.followed(small)
		}
	}
	r := vision.Rect{W: w, H: w}
	if ok {
		r.X, r.Y = at.X+at.W/2-w/2, at.Y+at.H/2-w/2
	} else {
		n := int(1/w + 0.999)
		r.X, r.Y = float64(g.tour%n)*(1-w)/float64(n-1), float64(g.tour/n%n)*(1-w)/float64(n-1)
		g.tour++
	}
	r.X, r.Y = min(max(r.X, 0), 1-w), min(max(r.Y, 0), 1-w)
	g.looked(r)
	return r, true
}

// followed is what is followed and was not looked at for longest.
func (g *Gaze) followed(small iter.Seq[vision.Rect]) (best vision.Rect, ok bool) {
	least := float32(0)
	for r := range small {
		rest := g.rest[int(min(max(r.Y+r.H/2, 0), 0.999)*health.Height)*health.Width+int(min(max(r.X+r.W/2, 0), 0.999)*health.Width)]
		if !ok || rest < least {
			best, least, ok = r, rest, true
		}
	}
	return best, ok
}

// place is where the picture stands out, if anywhere. Blocks that hang together are one
// thing, however large: of the things the one that was not looked at closer for longest
// has its turn, and of its blocks the one that was not.
func (g *Gaze) place() (vision.Rect, bool) {
	stir := g.stirs()
	var rest [blocks]float32
	for i, r := range g.rest {
		at := blockOf(i)
		rest[at] = max(rest[at], r)
	}
	var done [blocks]bool
	var stack [blocks]int
	best, least := -1, float32(math.MaxFloat32)
	for first := range blocks {
		if done[first] || stir[first] < stirred {
			continue
		}
		done[first] = true
		stack[0] = first
		latest, block := float32(0), first
		for n := 1; n > 0; {
			n--
			at := stack[n]
			latest = max(latest, rest[at])
			if rest[at]-stir[at]/10 < rest[block]-stir[block]/10 {
				block = at
			}
			for y := max(at/blocksWide-1, 0); y <= min(at/blocksWide+1, blocks/blocksWide-1); y++ {
				for x := max(at%blocksWide-1, 0); x <= min(at%blocksWide+1, blocksWide-1); x++ {
					if next := y*blocksWide + x; !done[next] && stir[next] >= stirred {
						done[next] = true
						stack[n] = next
						n++
					}
				}
			}
		}
		if latest < least {
			best, least = block, latest
		}
	}
	if best < 0 {
		return vision.Rect{}, false
	}
	const w, h = 1 / float64(blocksWide), blocksWide / float64(blocks)
	return vision.Rect{X: float64(best%blocksWide) * w, Y: float64(best/blocksWide) * h, W: w, H: h}, true
}

// looked notes a closer look.
func (g *Gaze) looked(r vision.Rect) {
	for i := range g.rest {
		g.rest[i] *= 0.7
	}
	for y := int(r.Y * health.Height); y < min(int((r.Y+r.H)*health.Height), health.Height); y++ {
		for x := int(r.X * health.Width); x < min(int((r.X+r.W)*health.Width), health.Width); x++ {
			g.rest[y*health.Width+x] = 1
		}
	}
}
