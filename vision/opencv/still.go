//go:build opencv && cgo

package opencv

// #include "shim.h"
import "C"

import (
	"bytes"
	"fmt"
	"image"
	"runtime"
	"unsafe"
)

// keepBytes is up to which size a camera's own JPEG is kept as it is: fifty of them, ten
// seconds, come to the 8 MiB that a clip has for what was before.
const keepBytes = 160 << 10

// Still is a camera's picture that is decoded when it has to be: most are only glanced
// at.
type Still struct {
	data  []byte
	img   *Image // when it was decoded
	drawn bool   // its pixels may be others than the JPEG's
}

// NewStill takes a JPEG, PNG, WebP or BMP; the bytes are the Still's from then on.
func NewStill(data []byte) *Still { return &Still{data: data} }

// Close gives the memory back.
func (s *Still) Close() error {
	if s.img == nil {
		return nil
	}
	return s.img.Close()
}

// Draw is Image to be drawn into: JPEG gives what was drawn.
func (s *Still) Draw() (*Image, error) {
	s.drawn = true
	return s.Image()
}

// Image decodes the picture, if that has not been done. It is closed with the Still.
func (s *Still) Image() (*Image, error) {
	if s.img == nil {
		img, err := Decode(s.data)
		if err != nil {
			return nil, err
		}
		s.img = img
	}
	return s.img, nil
}

// Size is in pixels; 0 when it cannot be told.
func (s *Still) Size() (width, height int) {
	if s.img != nil {
		return s.img.Size()
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(s.data))
	if err != nil {
		return 0, 0
	}
	return head.Width, head.Height
}

// Grey averages the picture into width × height grey pixels, and finds out whether a
// JPEG is damaged, without decoding all of it.
func (s *Still) Grey(dst []uint8, width, height int) error {
	if len(dst) != width*height || len(dst) == 0 {
		return fmt.Errorf("grey: %d bytes for %d x %d", len(dst), width, height)
	}
	if s.img != nil || !plainJPEG(s.data) {
		img, err := s.Image()
		if err != nil {
			return err
		}
		return img.Grey(dst, width, height)
	}
	out := make([]uint8, len(dst)) // see Image.Grey
	text := C.sg_grey_jpeg(unsafe.Pointer(unsafe.SliceData(s.data)), C.size_t(len(s.data)), maxPixels, C.int(width), C.int(height), unsafe.Pointer(unsafe.SliceData(out)))
	runtime.KeepAlive(s.data)
	if err := taken(text); err != nil {
		return fmt.Errorf("picture: damaged jpeg: %w", err)
	}
	copy(dst, out)
	return nil
}

// JPEG is the picture as a file: the camera's own where that is small enough and nothing
// was drawn into it, else one of the quality, 1 to 100.
func (s *Still) JPEG(quality int) ([]byte, error) {
	if !s.drawn && len(s.data) <= keepBytes && plainJPEG(s.data) {
		return s.data, nil
	}
	img, err := s.Image()
	if err != nil {
		return nil, err
	}
	return img.JPEG(quality)
}

// plainJPEG reports whether the bytes are a JPEG whose pixels are as they are to be seen:
// without EXIF, which may say that they are to be turned.
func plainJPEG(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xd8")) && !bytes.Contains(data[:min(len(data), 64<<10)], []byte("Exif\x00\x00"))
}

// checkJPEG finds damage.
func checkJPEG(data []byte) error {
	var width, height C.int
	text := C.sg_jpeg_small(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), maxPixels, 1, 1, nil, &width, &height)
	runtime.KeepAlive(data)
	return taken(text)
}

// HeapBytes is what of C's memory is in use, 0 where the C library does not tell.
func HeapBytes() int64 { return int64(C.sg_heap_bytes()) }
