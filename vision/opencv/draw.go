//go:build opencv && cgo

package opencv

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"gocv.io/x/gocv"

	"github.com/shedguard/shedguard/vision"
)

// Annotate draws boxes with their class and score, and a line of text along the
// lower edge. Letters are dark on a bright field or bright on a dark one, so that
// they are read on a white flame as well as at night; sizes follow the image's.
// OpenCV's own font has ASCII letters only.
func (i *Image) Annotate(boxes []vision.Box, line string) {
	width, height := i.Size()
	short := float64(min(width, height))
	scale := math.Min(math.Max(short/600, 0.4), 3)
	thick := max(int(math.Round(short/300)), 1)

	for _, b := range slices.Backward(boxes) { // the hottest last, on top
		paint := color.RGBA{R: 255, G: 64, A: 255}
		if b.Class == vision.Smoke {
			paint = color.RGBA{G: 160, B: 255, A: 255}
		}
		at := image.Rect(
			int(b.X*float64(width)), int(b.Y*float64(height)),
			int(math.Round((b.X+b.W)*float64(width)))-1, int(math.Round((b.Y+b.H)*float64(height)))-1,
		)
		gocv.Rectangle(&i.mat, at, paint, thick+1)
		i.label(fmt.Sprintf("%s %.2f", b.Class, b.Score), at.Min, scale, paint, color.RGBA{A: 255})
	}
	if line != "" {
		i.label(line, image.Pt(0, height), scale, color.RGBA{A: 255}, color.RGBA{R: 255, G: 255, B: 255, A: 255})
	}
}

// label writes text on a filled field that stands on a point, or inside the image
// where there is no room.
func (i *Image) label(text string, at image.Point, scale float64, field, letters color.RGBA) {
	width, height := i.Size()
	const font = gocv.FontHersheySimplex
	thick := max(int(math.Round(scale*1.5)), 1)
	size, base := gocv.GetTextSizeWithBaseline(text, font, scale, thick)
	pad := max(int(4*scale), 2)
	w, h := size.X+2*pad, size.Y+base+2*pad
	x := max(min(at.X, width-w), 0)
	y := max(min(at.Y-h, height-h), 0)
	gocv.Rectangle(&i.mat, image.Rect(x, y, x+w, y+h), field, -1)
	gocv.PutTextWithParams(&i.mat, text, image.Pt(x+pad, y+pad+size.Y), font, scale, letters, thick, gocv.LineAA, false)
}
