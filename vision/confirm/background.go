package confirm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/shedguard/shedguard/vision"
)

const (
	hours   = 24
	classes = 2
	// quiet is the log odds that a cell starts from: hardly ever fire.
	quiet = -4
	// usual is the quantile that a background follows.
	usual = 0.98
	// fastStep and slowStep are how far a background rises a frame at most, in
	// log odds: while the watch is young, and afterwards. At 5 frames a second
	// a steady light of 4 log odds is learned in two minutes, or in twenty: both
	// are long against the seconds in which a fire is confirmed. It falls
	// (1 - usual) / usual times as fast.
	fastStep = 0.007
	slowStep = 0.0007
	// youth is how many frames a background is young: half an hour.
	youth = 9000
)

// Background is what each cell of a camera's picture usually scores, by the hour
// of the day.
type Background struct {
	cols, rows int
	level      []float32 // log odds by hour, class, cell
	frames     [hours]uint32
}

// NewBackground knows nothing yet.
func NewBackground(cols, rows int) *Background {
	b := &Background{cols: cols, rows: rows, level: make([]float32, hours*classes*cols*rows)}
	for i := range b.level {
		b.level[i] = quiet
	}
	return b
}

// cells is the level of every cell of a class at an hour.
func (b *Background) cells(hour int, c vision.Class) []float32 {
	n := b.cols * b.rows
	at := (hour*classes + int(c)) * n
	return b.level[at : at+n]
}

// learn moves the levels of an hour towards a frame: up where the frame is above,
// down by less where it is below, so that the level settles at the quantile usual.
// Cells for which skip is true are left alone; with stands, a cell's score stands for
// as many frames.
func (b *Background) learn(hour int, heat *vision.Heat, skip *[classes][]bool, stands []float32) {
	rise := float32(slowStep)
	if b.total() < youth {
		rise = fastStep
	}
	if b.frames[hour] == 0 { // begin where the hour before stands
		b.inherit(hour)
	}
	fall := rise * (1 - usual) / usual
	b.frames[hour]++
	for _, c := range vision.Classes() {
		level := b.cells(hour, c)
		for i, score := range heat.Cells[c] {
			if skip[c][i] {
				continue
			}
			x, n := logit(score), float32(1)
			if stands != nil {
				n = stands[i]
			}
			if x > level[i] {
				level[i] = min(level[i]+n*rise, x)
			} else {
				level[i] = max(level[i]-n*fall, x)
			}
		}
	}
}

// total is how many frames were learned.
func (b *Background) total() int {
	n := 0
	for _, f := range b.frames {
		n += int(f)
	}
	return n
}

// inherit copies the levels of the latest hour that knows something.
func (b *Background) inherit(hour int) {
	for back := 1; back < hours; back++ {
		if from := (hour - back + hours) % hours; b.frames[from] > 0 {
			for _, c := range vision.Classes() {
				copy(b.cells(hour, c), b.cells(from, c))
			}
			return
		}
	}
}

// magic begins a kept background; its last digit is the version of the form.
const magic = "shedguard-background-2\n"

// ErrKept comes from Restore for a file that is damaged or of another camera
// grid. The caller sets the file aside and begins anew.
var ErrKept = errors.New("kept background cannot be used")

// save is the background as bytes, with a checksum.
func (b *Background) save() []byte {
	var buf bytes.Buffer
	buf.WriteString(magic)
	put := func(v any) {
		_ = binary.Write(&buf, binary.LittleEndian, v) // a buffer takes everything
	}
	put(uint32(b.cols))
	put(uint32(b.rows))
	put(b.frames)
	for _, v := range b.level { // a sixteenth of a log odd is enough
		put(int16(math.Round(float64(v) * 16)))
	}
	put(crc32.ChecksumIEEE(buf.Bytes()))
	return buf.Bytes()
}

// size is how many bytes save writes.
func (b *Background) size() int { return len(magic) + 8 + 4*hours + 2*len(b.level) + 4 }

// restore reads what save wrote.
func (b *Background) restore(kept []byte) error {
	want := b.size()
	switch {
	case len(kept) < len(magic)+8 || string(kept[:len(magic)]) != magic:
		return fmt.Errorf("%w: it does not begin with %q", ErrKept, magic)
	case len(kept) != want:
		return fmt.Errorf("%w: %d bytes: want %d for %d x %d cells", ErrKept, len(kept), want, b.cols, b.rows)
	}
	sum := binary.LittleEndian.Uint32(kept[len(kept)-4:])
	if got := crc32.ChecksumIEEE(kept[:len(kept)-4]); got != sum {
		return fmt.Errorf("%w: checksum %08x, want %08x", ErrKept, got, sum)
	}
	at := kept[len(magic):]
	cols, rows := binary.LittleEndian.Uint32(at), binary.LittleEndian.Uint32(at[4:])
	if int(cols) != b.cols || int(rows) != b.rows {
		return fmt.Errorf("%w: %d x %d cells: want %d x %d", ErrKept, cols, rows, b.cols, b.rows)
	}
	at = at[8:]
	for i := range b.frames {
		b.frames[i] = binary.LittleEndian.Uint32(at[4*i:])
	}
	at = at[4*hours:]
	for i := range b.level {
		b.level[i] = float32(int16(binary.LittleEndian.Uint16(at[2*i:]))) / 16
	}
	return nil
}

// logit undoes the sigmoid, bounded so that a score of 0 or 1 stays finite.
func logit(p float32) float32 {
	const eps = 1e-4
	p = min(max(p, eps), 1-eps)
	return float32(math.Log(float64(p / (1 - p))))
}
