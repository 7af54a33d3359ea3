package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"time"
)

// headerBytes is the length of everything before the first frame of an AVI file:
// RIFF, the header list with one video stream, and the start of the frame list.
const headerBytes = 12 + 12 + 8 + 56 + 12 + 8 + 56 + 8 + 40 + 12

// aviWriter writes Motion JPEG into an AVI file (RIFF, one "vids" stream with an
// "idx1" index). The sizes and the frame rate are known at the end only, and the
// header is then written anew.
type aviWriter struct {
	out           io.WriteSeeker
	width, height int
	first, last   time.Time
	index         []entry
	size          int64 // of the file so far
	largest       int
}

type entry struct{ offset, size uint32 }

func newAVI(out io.WriteSeeker) *aviWriter { return &aviWriter{out: out, size: headerBytes} }

// room is what the file grows by with a frame of n bytes.
func room(n int) int64 { return int64(n + n&1 + 8 + 16) }

// total is the size of the file if it were closed now.
func (w *aviWriter) total() int64 { return w.size + int64(8+16*len(w.index)) }

func (w *aviWriter) add(f Frame) error {
	if len(w.index) == 0 {
		c, err := jpeg.DecodeConfig(bytes.NewReader(f.JPEG))
		if err != nil {
			return fmt.Errorf("first frame: %w", err)
		}
		w.width, w.height, w.first = c.Width, c.Height, f.At
		if err := w.header(); err != nil {
			return err
		}
	}
	chunk := binary.LittleEndian.AppendUint32([]byte("00dc"), uint32(len(f.JPEG)))
	chunk = append(chunk, f.JPEG...)
	if len(f.JPEG)&1 != 0 {
		chunk = append(chunk, 0)
	}
	if _, err := w.out.Write(chunk); err != nil {
		return err
	}
	// Offsets count from the word "movi".
	w.index = append(w.index, entry{uint32(w.size - headerBytes + 4), uint32(len(f.JPEG))})
	w.size += int64(len(chunk))
	w.last, w.largest = f.At, max(w.largest, len(f.JPEG))
	return nil
}

// close writes the index and the header with its sizes.
func (w *aviWriter) close() error {
	if len(w.index) == 0 {
		return errors.New("no frame")
	}
	idx := binary.LittleEndian.AppendUint32([]byte("idx1"), uint32(16*len(w.index)))
	for _, e := range w.index {
		idx = append(idx, "00dc"...)
		idx = binary.LittleEndian.AppendUint32(idx, 0x10) // each one is a key frame
		idx = binary.LittleEndian.AppendUint32(idx, e.offset)
		idx = binary.LittleEndian.AppendUint32(idx, e.size)
	}
	if _, err := w.out.Write(idx); err != nil {
		return err
	}
	if _, err := w.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return w.header()
}

func (w *aviWriter) header() error {
	n := uint32(len(w.index))
	micros := uint32(200_000)
	if n > 1 {
		micros = uint32(max(w.last.Sub(w.first).Microseconds()/int64(n-1), 1))
	}
	var b []byte
	word := func(vs ...uint32) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	begin := func(id string, size uint32, list string) {
		b = append(b, id...)
		word(size)
		b = append(b, list...)
	}
	width, height, largest := uint32(w.width), uint32(w.height), uint32(w.largest)
	begin("RIFF", uint32(w.total()-8), "AVI ")
	begin("LIST", 4+8+56+12+8+56+8+40, "hdrl")
	begin("avih", 56, "")
	word(micros, largest*1_000_000/max(micros, 1), 0, 0x10 /* has an index */, n, 0, 1, largest, width, height, 0, 0, 0, 0)
	begin("LIST", 4+8+56+8+40, "strl")
	begin("strh", 56, "vids")
	b = append(b, "MJPG"...)
	word(0, 0, 0, micros, 1_000_000, 0, n, largest, ^uint32(0), 0, 0, height<<16|width)
	begin("strf", 40, "")
	word(40, width, height, 24<<16|1)
	b = append(b, "MJPG"...)
	word(width*height*3, 0, 0, 0, 0)
	begin("LIST", uint32(w.size-headerBytes+4), "movi")
	if len(b) != headerBytes {
		return fmt.Errorf("header of %d bytes", len(b))
	}
	_, err := w.out.Write(b)
	return err
}
