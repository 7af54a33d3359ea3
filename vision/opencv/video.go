//go:build opencv && cgo

package opencv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gocv.io/x/gocv"
)

// Video reads the frames of a file.
type Video struct {
	path    string
	capture *gocv.VideoCapture
	read    int
}

// OpenVideo opens a file that FFmpeg can read.
func OpenVideo(path string) (*Video, error) {
	if _, err := os.Stat(path); err != nil { // FFmpeg does not say why
		return nil, err
	}
	capture, err := gocv.VideoCaptureFileWithAPI(path, gocv.VideoCaptureFFmpeg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("video %s: not one that FFmpeg can read", path), capture.Close())
	}
	return &Video{path: path, capture: capture}, nil
}

// Close gives file and memory back.
func (v *Video) Close() error { return v.capture.Close() }

// FPS is the frames a second that the file claims, 0 when it does not.
func (v *Video) FPS() float64 {
	fps := v.capture.Get(gocv.VideoCaptureFPS)
	if !(fps > 0 && fps < 1000) {
		return 0
	}
	return fps
}

// Frames is how many frames the file claims to have, 0 when it does not.
func (v *Video) Frames() int { return max(int(v.capture.Get(gocv.VideoCaptureFrameCount)), 0) }

// Next is the next frame and its time since the beginning; io.EOF after the last.
// A file that yields nothing at all is an error.
func (v *Video) Next() (*Image, time.Duration, error) {
	img := &Image{mat: gocv.NewMat()}
	if !v.capture.Read(&img.mat) || img.mat.Empty() {
		err := io.EOF
		if v.read == 0 {
			err = fmt.Errorf("video %s: no frame could be decoded", v.path)
		}
		return nil, 0, errors.Join(err, img.Close())
	}
	at := time.Duration(v.capture.Get(gocv.VideoCapturePosMsec) * float64(time.Millisecond))
	if fps := v.FPS(); at <= 0 && fps > 0 { // some containers have no times
		at = time.Duration(float64(v.read) / fps * float64(time.Second))
	}
	v.read++
	return img, max(at, 0), nil
}

// VideoWriter writes frames into a file.
type VideoWriter struct {
	path          string
	writer        *gocv.VideoWriter
	width, height int
}

// NewVideoWriter makes a file of Motion JPEG (.avi), which needs no encoder with
// conditions.
func NewVideoWriter(path string, fps float64, width, height int) (*VideoWriter, error) {
	if !(fps > 0) || width < 1 || height < 1 {
		return nil, fmt.Errorf("video %s: %d x %d at %g frames/s cannot be written", path, width, height, fps)
	}
	w, err := gocv.VideoWriterFile(path, "MJPG", fps, width, height, true)
	if err != nil {
		return nil, fmt.Errorf("video %s: %w", path, err)
	}
	if !w.IsOpened() {
		return nil, errors.Join(fmt.Errorf("video %s: cannot be written", path), w.Close())
	}
	return &VideoWriter{path: path, writer: w, width: width, height: height}, nil
}

// Write adds a frame, which must have the size that was told.
func (w *VideoWriter) Write(img *Image) error {
	if width, height := img.Size(); width != w.width || height != w.height {
		return fmt.Errorf("video %s: frame of %d x %d, want %d x %d", w.path, width, height, w.width, w.height)
	}
	return w.writer.Write(img.mat)
}

// Close finishes the file.
func (w *VideoWriter) Close() error { return w.writer.Close() }
