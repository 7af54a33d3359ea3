package opencv

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // its head, to see the size before OpenCV reserves memory
	"image/png"

	_ "golang.org/x/image/bmp" // its head
	_ "golang.org/x/image/webp"
)

// ErrNotBuilt is returned by a program that was built without OpenCV.
var ErrNotBuilt = errors.New("this program was built without OpenCV: install libopencv-dev (Debian 12), then make build")

// maxPixels is the largest picture that is decoded: 50 megapixels, 150 MB in memory.
// A header may claim any size.
const maxPixels = 50_000_000

// check refuses what is no picture, what is too large, and a JPEG or PNG that is
// damaged or cut off: OpenCV would fill the rest of it with grey and call it good, and
// broken blocks can have any colour, that of flame too. That is what decoding a PNG twice,
// and a JPEG once and an eighth, is for.
func check(data []byte) error {
	if len(data) == 0 {
		return errors.New("empty")
	}
	head, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("no picture (JPEG, PNG, WebP, BMP): %w", err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPixels/head.Height {
		return fmt.Errorf("%s of %d x %d pixels: want 1 to %d million", format, head.Width, head.Height, maxPixels/1_000_000)
	}
	switch format {
	case "jpeg":
		err = checkJPEG(data)
	case "png":
		_, err = png.Decode(bytes.NewReader(data))
		if _, ok := errors.AsType[png.UnsupportedError](err); ok {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("damaged %s: %w", format, err)
	}
	return nil
}
