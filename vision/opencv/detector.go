//go:build opencv && cgo

package opencv

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"image"
	"math"
	"runtime"
	"unsafe"

	"gocv.io/x/gocv"

	"github.com/shedguard/shedguard/vision"
)

// Detector judges images with one model.
type Detector struct {
	settings   vision.Settings
	net        unsafe.Pointer // cv::dnn::Net*
	table      [3 * 256]float32
	order      [3]C.int
	input      *C.char
	heat       *C.char
	imageScore *C.char // nil when the model has none
	scaled     gocv.Mat
}

// NewDetector loads a model in ONNX form and runs it once, so that a model that does
// not fit its settings is told now and not at the first fire.
func NewDetector(onnx []byte, s vision.Settings) (*Detector, error) {
	if len(onnx) == 0 {
		return nil, errors.New("model: empty")
	}
	var net unsafe.Pointer
	text := C.sg_read_net(unsafe.Pointer(unsafe.SliceData(onnx)), C.size_t(len(onnx)), &net)
	runtime.KeepAlive(onnx)
	if err := taken(text); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	d := &Detector{
		settings: s,
		net:      net,
		order:    [3]C.int{0, 1, 2},
		input:    C.CString(s.Input.Name),
		heat:     C.CString(s.Outputs.Heat),
		scaled:   gocv.NewMat(),
	}
	if s.Input.RGB {
		d.order = [3]C.int{2, 1, 0}
	}
	if s.Outputs.ImageScore != "" {
		d.imageScore = C.CString(s.Outputs.ImageScore)
	}
	for c := range 3 {
		for v := range 256 {
			d.table[256*c+v] = float32((float64(v)*s.Input.Scale - s.Input.Mean[c]) / s.Input.Std[c])
		}
	}
	grey := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(128, 128, 128, 0), s.Input.Height, s.Input.Width, gocv.MatTypeCV8UC3)
	defer func() { _ = grey.Close() }() // frees memory only
	if _, err := d.forward(grey); err != nil {
		return nil, errors.Join(fmt.Errorf("model: %w", err), d.Close())
	}
	return d, nil
}

// Close gives the memory back.
func (d *Detector) Close() error {
	if d.net == nil {
		return nil
	}
	C.sg_close_net(d.net)
	d.net = nil
	for _, s := range []*C.char{d.input, d.heat, d.imageScore} {
		C.free(unsafe.Pointer(s))
	}
	return d.scaled.Close()
}

// See judges an image: whole, and in tiles where the settings ask for them.
func (d *Detector) See(img *Image) (vision.Sight, error) {
	width, height := img.Size()
	if width < 1 || height < 1 {
		return vision.Sight{}, errors.New("empty image")
	}
	var outputs []vision.Output
	for _, tile := range d.settings.Tiles.Tiles(width, height) {
		o, err := d.tile(img, tile, width, height)
		if err != nil {
			return vision.Sight{}, err
		}
		outputs = append(outputs, o)
	}
	return d.settings.Judge(outputs), nil
}

// SeePart judges a part of an image as if it were all of it: the grid and the boxes
// are in parts of the part.
func (d *Detector) SeePart(img *Image, part vision.Rect) (vision.Sight, error) {
	width, height := img.Size()
	if width < 1 || height < 1 {
		return vision.Sight{}, errors.New("empty image")
	}
	if part.X < 0 || part.Y < 0 || part.X+part.W > 1+1e-9 || part.Y+part.H > 1+1e-9 || part.W*float64(width) < 1 || part.H*float64(height) < 1 {
		return vision.Sight{}, fmt.Errorf("part %+v of an image of %d x %d pixels", part, width, height)
	}
	o, err := d.tile(img, part, width, height)
	if err != nil {
		return vision.Sight{}, err
	}
	o.Rect = vision.Whole()
	return d.settings.Judge([]vision.Output{o}), nil
}

func (d *Detector) tile(img *Image, tile vision.Rect, width, height int) (vision.Output, error) {
	at := image.Rect(
		int(math.Round(tile.X*float64(width))), int(math.Round(tile.Y*float64(height))),
		int(math.Round((tile.X+tile.W)*float64(width))), int(math.Round((tile.Y+tile.H)*float64(height))),
	).Intersect(image.Rect(0, 0, width, height))
	part := img.part(at)
	defer func() { _ = part.Close() }() // frees memory only

	in := d.settings.Input
	how := gocv.InterpolationLinear
	if in.Area {
		how = gocv.InterpolationArea
	}
	gocv.Resize(part, &d.scaled, image.Pt(in.Width, in.Height), 0, 0, how)
	o, err := d.forward(d.scaled)
	if err != nil {
		return vision.Output{}, err
	}
	o.Rect = tile
	return o, nil
}

// forward runs the network over a picture that has the size of its input.
func (d *Detector) forward(picture gocv.Mat) (vision.Output, error) {
	var o vision.Output
	cols, rows := d.settings.Grid()
	both := make([]float32, 2*cols*rows)
	var score [2]float32

	outputs := [2]C.sg_output{{name: d.heat, count: C.size_t(len(both))}, {name: d.imageScore, count: 2}}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&both[0])
	pin.Pin(&score)
	outputs[0].into, outputs[1].into = (*C.float)(&both[0]), (*C.float)(&score[0])
	count := 1
	if d.imageScore != nil {
		count = 2
	}
	if err := taken(C.sg_forward(d.net, unsafe.Pointer(picture.Ptr()), d.input, (*C.float)(&d.table[0]), &d.order[0], &outputs[0], C.int(count))); err != nil {
		return o, fmt.Errorf("inference: %w", err)
	}
	o.Heat = vision.Heat{Cols: cols, Rows: rows}
	o.Cells[vision.Flame], o.Cells[vision.Smoke] = both[:cols*rows:cols*rows], both[cols*rows:]
	if err := o.Check(); err != nil {
		return o, fmt.Errorf("inference: %w", err)
	}
	for c, v := range score {
		if !(v >= 0 && v <= 1) {
			return o, fmt.Errorf("inference: %s score %g: want 0 to 1", vision.Class(c), v)
		}
		o.Image[c] = float64(v)
	}
	return o, nil
}
