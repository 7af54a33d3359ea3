package evidence

import "time"

// Frame is one encoded picture.
type Frame struct {
	At   time.Time
	JPEG []byte
}

// Ring is the last frames of a camera. It is for one goroutine.
type Ring struct {
	keep   time.Duration
	most   int
	frames []Frame
	bytes  int
}

// NewRing keeps frames for a time, and never more than most bytes of them.
func NewRing(keep time.Duration, most int) *Ring { return &Ring{keep: keep, most: most} }

// Add takes a frame; the ring keeps its bytes.
func (r *Ring) Add(f Frame) {
	r.frames = append(r.frames, f)
	r.bytes += len(f.JPEG)
	n := 0
	for n < len(r.frames)-1 && (f.At.Sub(r.frames[n].At) > r.keep || r.bytes > r.most) {
		r.bytes -= len(r.frames[n].JPEG)
		r.frames[n] = Frame{}
		n++
	}
	r.frames = append(r.frames[:0], r.frames[n:]...)
}

// Frames is what the ring holds, oldest first. It is valid until the next Add.
func (r *Ring) Frames() []Frame { return r.frames }
