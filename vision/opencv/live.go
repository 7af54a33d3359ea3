//go:build opencv && cgo

package opencv

// #include <stdlib.h>
// #include "shim.h"
// #include "stream.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"gocv.io/x/gocv"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/capture"
)

// LiveTimeout is how long a camera may take to answer.
const LiveTimeout = 8 * time.Second

// Live reads a camera as its frames come: RTSP over TCP, a V4L2 device, or a file at
// its own speed. A device may hang in spite of its time-out: see the package's caveats.
type Live struct {
	live unsafe.Pointer // cv::VideoCapture* of a device or a file
	pace *pace          // of a file
	read int

	mu     sync.Mutex // guards that stream is there while it is stopped
	stream *C.sg_stream
	detach func() bool // from the context
}

// pace hands out frames of a file when they are due.
type pace struct {
	begun time.Time
	every time.Duration
}

var videoDevice = regexp.MustCompile(`^/dev/video([0-9]{1,2})$`)

// OpenLive opens a camera. Opening and reading it by RTSP end with ctx. The error never
// tells the address, which may hold a password.
func OpenLive(ctx context.Context, address string) (*Live, error) {
	if !strings.HasPrefix(address, "/") {
		return openStream(ctx, address)
	}
	device := -1
	if m := videoDevice.FindStringSubmatch(address); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		device = n
	} else if _, err := os.Stat(address); err != nil { // FFmpeg does not say why
		return nil, err
	}
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	l := &Live{}
	if err := taken(C.sg_open_live(text, C.int(device), C.int(LiveTimeout.Milliseconds()), &l.live)); err != nil {
		return nil, fmt.Errorf("camera: %w within %s", err, LiveTimeout)
	}
	if device < 0 {
		l.pace = &pace{begun: time.Now(), every: time.Second / 25}
		if v, err := OpenVideo(address); err == nil {
			if fps := v.FPS(); fps > 0 {
				l.pace.every = time.Duration(float64(time.Second) / fps)
			}
			if err := v.Close(); err != nil {
				return nil, errors.Join(err, l.Close())
			}
		}
	}
	return l, nil
}

func openStream(ctx context.Context, address string) (*Live, error) {
	l := &Live{stream: C.sg_stream_new()}
	if l.stream == nil {
		return nil, errors.New("camera: out of memory")
	}
	l.detach = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stream != nil {
			C.sg_stream_stop(l.stream)
		}
	})
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	if err := taken(C.sg_stream_open(l.stream, text, C.int(LiveTimeout.Milliseconds()))); err != nil {
		if strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "403") { // FFmpeg's text of the status
			err = fmt.Errorf("%w: %w", capture.ErrRefused, err)
		}
		return nil, errors.Join(fmt.Errorf("camera: open: %w", err), l.Close())
	}
	return l, nil
}

// Next returns the next frame, io.EOF at the end of a file, and an error when a
// camera gives no more.
func (l *Live) Next() (*Image, error) {
	img := &Image{mat: gocv.NewMat()}
	if l.stream != nil {
		if err := taken(C.sg_stream_read(l.stream, C.int(LiveTimeout.Milliseconds()), unsafe.Pointer(img.mat.Ptr()))); err != nil {
			return nil, errors.Join(fmt.Errorf("camera: %w", err), img.Close())
		}
		return img, nil
	}
	asked := time.Now()
	if err := taken(C.sg_read_live(l.live, unsafe.Pointer(img.mat.Ptr()))); err != nil {
		return nil, errors.Join(fmt.Errorf("camera: %w", err), img.Close())
	}
	// What comes after a silence may be from before it: it would pass for a picture
	// of now.
	late := l.pace == nil && time.Since(asked) >= LiveTimeout
	if img.mat.Empty() || late {
		err := io.EOF
		if l.pace == nil {
			err = fmt.Errorf("camera: no frame within %s", LiveTimeout)
		}
		return nil, errors.Join(err, img.Close())
	}
	l.read++
	if l.pace != nil {
		time.Sleep(time.Until(l.pace.begun.Add(time.Duration(l.read) * l.pace.every)))
	}
	return img, nil
}

// Close ends the stream.
func (l *Live) Close() error {
	if l.stream != nil {
		l.detach()
		l.mu.Lock()
		s := l.stream
		l.stream = nil
		l.mu.Unlock()
		C.sg_stream_close(s)
	}
	if l.live == nil {
		return nil
	}
	err := taken(C.sg_close_live(l.live))
	l.live = nil
	return err
}

// Grey averages the image into width × height grey pixels.
func (i *Image) Grey(dst []uint8, width, height int) error {
	if len(dst) != width*height || len(dst) == 0 || i.mat.Empty() {
		return fmt.Errorf("grey: %d bytes for %d x %d", len(dst), width, height)
	}
	// dst may be a part of something with pointers: what C sees must be memory of
	// its own.
	out := make([]uint8, len(dst))
	if err := taken(C.sg_grey(unsafe.Pointer(i.mat.Ptr()), C.int(width), C.int(height), unsafe.Pointer(unsafe.SliceData(out)))); err != nil {
		return err
	}
	copy(dst, out)
	return nil
}

// Veil makes all that is not in or near a box unrecognisable: blocks of a 24th of the
// picture.
func (i *Image) Veil(boxes []vision.Box) error {
	width, height := i.Size()
	keep := make([]C.int, 0, 4*len(boxes))
	for _, b := range boxes {
		x0, y0 := (b.X-b.W/4)*float64(width), (b.Y-b.H/4)*float64(height)
		keep = append(keep, C.int(math.Round(x0)), C.int(math.Round(y0)),
			C.int(math.Round(1.5*b.W*float64(width))), C.int(math.Round(1.5*b.H*float64(height))))
	}
	err := taken(C.sg_veil(unsafe.Pointer(i.mat.Ptr()), unsafe.SliceData(keep), C.int(len(boxes))))
	runtime.KeepAlive(keep)
	return err
}
