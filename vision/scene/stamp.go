package scene

import (
	"fmt"
	"image"
	"time"
)

// digits are five rows of three pixels each, as cameras stamp them.
var digits = map[rune][5]uint8{ //nolint:gochecknoglobals // a font
	'0': {7, 5, 5, 5, 7}, '1': {2, 6, 2, 2, 7}, '2': {7, 1, 7, 4, 7}, '3': {7, 1, 7, 1, 7}, '4': {5, 5, 7, 1, 1},
	'5': {7, 4, 7, 1, 7}, '6': {7, 4, 7, 5, 7}, '7': {7, 1, 1, 1, 1}, '8': {7, 5, 7, 5, 7}, '9': {7, 5, 7, 1, 7}, ':': {0, 2, 0, 2, 0},
}

// stamp writes the time since the start into the corner.
func stamp(dst *image.RGBA, t time.Duration) {
	sec := int(t.Seconds())
	scale := max(1, dst.Rect.Dy()/160)
	x0, y0 := 4*scale, dst.Rect.Dy()-9*scale
	for _, r := range fmt.Sprintf("%02d:%02d:%02d", sec/3600, sec/60%60, sec%60) {
		for row, bits := range digits[r] {
			for col := range 3 {
				if bits>>(2-col)&1 == 0 {
					continue
				}
				for dy := range scale {
					for dx := range scale {
						i := dst.PixOffset(x0+col*scale+dx, y0+row*scale+dy)
						dst.Pix[i], dst.Pix[i+1], dst.Pix[i+2] = 235, 235, 235
					}
				}
			}
		}
		x0 += 4 * scale
	}
}
