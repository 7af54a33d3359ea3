//go:build opencv && cgo

package opencv

// #cgo pkg-config: opencv4 libavformat libavcodec libavutil libswscale
// #cgo LDFLAGS: -ljpeg
// #cgo CXXFLAGS: -std=c++11 -O3 -Wno-psabi
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"image"
	"runtime"
	"unsafe"

	"gocv.io/x/gocv"
)

// Built tells whether OpenCV is in this program.
const Built = true

// Version is that of OpenCV.
func Version() string { return gocv.OpenCVVersion() }

// SetThreads sets how many threads OpenCV uses in this process; 1 unless told.
func SetThreads(n int) { C.sg_set_threads(C.int(max(n, 1))) }

// Image is a picture of 8 bit BGR in OpenCV's memory.
type Image struct{ mat gocv.Mat }

// Decode makes an image of a JPEG, PNG, WebP or BMP, turned upright as its EXIF says.
func Decode(data []byte) (*Image, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	img := &Image{mat: gocv.NewMat()}
	text := C.sg_decode(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), unsafe.Pointer(img.mat.Ptr()))
	runtime.KeepAlive(data)
	if err := taken(text); err != nil {
		return nil, errors.Join(fmt.Errorf("picture: %w", err), img.Close())
	}
	return img, nil
}

// NewImage copies pixels: width × height × blue, green, red.
func NewImage(width, height int, bgr []byte) (*Image, error) {
	if width < 1 || height < 1 || width > maxPixels/height || len(bgr) != 3*width*height {
		return nil, fmt.Errorf("image of %d x %d pixels in %d bytes", width, height, len(bgr))
	}
	img := &Image{mat: gocv.NewMat()}
	text := C.sg_copy_pixels(unsafe.Pointer(img.mat.Ptr()), C.int(width), C.int(height), unsafe.Pointer(unsafe.SliceData(bgr)))
	runtime.KeepAlive(bgr)
	if err := taken(text); err != nil {
		return nil, errors.Join(fmt.Errorf("image: %w", err), img.Close())
	}
	return img, nil
}

// Close gives the memory back.
func (i *Image) Close() error { return i.mat.Close() }

// Size is in pixels.
func (i *Image) Size() (width, height int) { return i.mat.Cols(), i.mat.Rows() }

// JPEG is the image as a file; quality is 1 to 100.
func (i *Image) JPEG(quality int) ([]byte, error) {
	if i.mat.Empty() {
		return nil, errors.New("jpeg: empty image")
	}
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, i.mat, []int{gocv.IMWriteJpegQuality, min(max(quality, 1), 100)})
	if err != nil {
		return nil, fmt.Errorf("jpeg: %w", err)
	}
	defer buf.Close()
	if buf.Len() == 0 {
		return nil, errors.New("jpeg: nothing was written")
	}
	return append([]byte(nil), buf.GetBytes()...), nil
}

// part is a view of some of the image; it lives no longer than the image.
func (i *Image) part(r image.Rectangle) gocv.Mat { return i.mat.Region(r) }

// taken makes an error of a text from C and frees it.
func taken(text *C.char) error {
	if text == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(text))
	return errors.New(C.GoString(text))
}
