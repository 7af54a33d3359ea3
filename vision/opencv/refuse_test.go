package opencv_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/shedguard/shedguard/vision/opencv"
)

// jpegOf is a picture of one colour.
func jpegOf(tb testing.TB, width, height int, c color.Color) []byte {
	tb.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, c)
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 95}); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// Bad pictures are refused with a reason, with OpenCV and without.
func TestDecodeRefuses(t *testing.T) {
	good := jpegOf(t, 64, 48, color.White)
	var buf bytes.Buffer
	if err := png.Encode(&buf, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	// A head that claims 60000 x 60000 pixels: OpenCV would throw.
	huge := bytes.Clone(buf.Bytes())
	binary.BigEndian.PutUint32(huge[16:], 60000)
	binary.BigEndian.PutUint32(huge[20:], 60000)
	damaged := bytes.Clone(buf.Bytes())
	damaged[len(damaged)-14] ^= 1 // checksum of the pixels
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":    {nil, "empty"},
		"text":     {[]byte("not a picture"), "no picture (JPEG, PNG, WebP, BMP)"},
		"cut off":  {good[:len(good)-30], "damaged jpeg: "},
		"damaged":  {damaged, "damaged png: png: invalid format: invalid checksum"},
		"head":     {good[:60], "unexpected EOF"},
		"too huge": {fixCRC(huge), "png of 60000 x 60000 pixels: want 1 to 50 million"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			img, err := opencv.Decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) || img != nil {
				t.Errorf("Decode: %v, %v, want %q", img, err, tt.want)
			}
		})
	}
}

// fixCRC makes the checksum of a PNG's head right after it was changed.
func fixCRC(png []byte) []byte {
	binary.BigEndian.PutUint32(png[29:], crc32.ChecksumIEEE(png[12:29]))
	return png
}
