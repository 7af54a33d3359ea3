//go:build !(opencv && cgo)

package opencv

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"time"

	"github.com/shedguard/shedguard/vision"
)

// Built tells whether OpenCV is in this program.
const Built = false

// Version is that of OpenCV.
func Version() string { return "none" }

// SetThreads has no effect.
func SetThreads(int) {}

// Image cannot be made without OpenCV.
type Image struct{}

// Decode returns [ErrNotBuilt], or what is wrong with the picture.
func Decode(data []byte) (*Image, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	return nil, ErrNotBuilt
}

func checkJPEG(data []byte) error {
	_, err := jpeg.Decode(bytes.NewReader(data))
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return nil // OpenCV knows more kinds
	}
	return err
}

// HeapBytes is 0.
func HeapBytes() int64 { return 0 }

// Still cannot be decoded without OpenCV.
type Still struct{}

// NewStill returns a picture that cannot be decoded.
func NewStill([]byte) *Still { return &Still{} }

// Close does nothing.
func (*Still) Close() error { return nil }

// Image returns [ErrNotBuilt].
func (*Still) Image() (*Image, error) { return nil, ErrNotBuilt }

// Size is 0.
func (*Still) Size() (width, height int) { return 0, 0 }

// Draw returns [ErrNotBuilt].
func (*Still) Draw() (*Image, error) { return nil, ErrNotBuilt }

// Grey returns [ErrNotBuilt].
func (*Still) Grey([]uint8, int, int) error { return ErrNotBuilt }

// JPEG returns [ErrNotBuilt].
func (*Still) JPEG(int) ([]byte, error) { return nil, ErrNotBuilt }

// NewImage returns [ErrNotBuilt].
func NewImage(_, _ int, _ []byte) (*Image, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (*Image) Close() error { return nil }

// Size is 0.
func (*Image) Size() (width, height int) { return 0, 0 }

// JPEG returns [ErrNotBuilt].
func (*Image) JPEG(int) ([]byte, error) { return nil, ErrNotBuilt }

// Annotate does nothing.
func (*Image) Annotate([]vision.Box, string) {}

// Detector cannot be made without OpenCV.
type Detector struct{}

// NewDetector returns [ErrNotBuilt].
func NewDetector([]byte, vision.Settings) (*Detector, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (*Detector) Close() error { return nil }

// See returns [ErrNotBuilt].
func (*Detector) See(*Image) (vision.Sight, error) { return vision.Sight{}, ErrNotBuilt }

// SeePart returns [ErrNotBuilt].
func (*Detector) SeePart(*Image, vision.Rect) (vision.Sight, error) {
	return vision.Sight{}, ErrNotBuilt
}

// Video cannot be opened without OpenCV.
type Video struct{}

// OpenVideo returns [ErrNotBuilt].
func OpenVideo(string) (*Video, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (*Video) Close() error { return nil }

// FPS is 0.
func (*Video) FPS() float64 { return 0 }

// Frames is 0.
func (*Video) Frames() int { return 0 }

// Next returns [ErrNotBuilt].
func (*Video) Next() (*Image, time.Duration, error) { return nil, 0, ErrNotBuilt }

// VideoWriter cannot be made without OpenCV.
type VideoWriter struct{}

// NewVideoWriter returns [ErrNotBuilt].
func NewVideoWriter(string, float64, int, int) (*VideoWriter, error) { return nil, ErrNotBuilt }

// Write returns [ErrNotBuilt].
func (*VideoWriter) Write(*Image) error { return ErrNotBuilt }

// Close does nothing.
func (*VideoWriter) Close() error { return nil }

// LiveTimeout is how long a camera may take to answer.
const LiveTimeout = 8 * time.Second

// Live cannot be opened without OpenCV.
type Live struct{}

// OpenLive returns [ErrNotBuilt].
func OpenLive(context.Context, string) (*Live, error) { return nil, ErrNotBuilt }

// Next returns [ErrNotBuilt].
func (*Live) Next() (*Image, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (*Live) Close() error { return nil }

// Grey returns [ErrNotBuilt].
func (*Image) Grey([]uint8, int, int) error { return ErrNotBuilt }

// Veil returns [ErrNotBuilt].
func (*Image) Veil([]vision.Box) error { return ErrNotBuilt }
