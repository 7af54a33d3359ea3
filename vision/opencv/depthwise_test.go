//go:build opencv && cgo

package opencv_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/internal/onnxtest"
	"github.com/shedguard/shedguard/vision/opencv"
)

// convolved is a depthwise convolution worked out the slow way, with what onnxtest puts
// behind it.
func convolved(pixels []float32, width, height, kernel, stride int, weights []float32, bias float32, follow []string) []float64 {
	var out []float64
	for y := 0; y < height; y += stride {
		for x := 0; x < width; x += stride {
			sum := float64(bias)
			for ky := range kernel {
				for kx := range kernel {
					at, row := x+kx-kernel/2, y+ky-kernel/2
					if at >= 0 && at < width && row >= 0 && row < height {
						sum += float64(pixels[row*width+at]) * float64(weights[ky*kernel+kx])
					}
				}
			}
			for _, op := range follow {
				switch op {
				case "Relu":
					sum = max(sum, 0)
				case "Clip":
					sum = min(max(sum, 0), 6)
				case "Sigmoid":
					sum = 1 / (1 + math.Exp(-sum))
				}
			}
			out = append(out, 1/(1+math.Exp(3-sum)))
		}
	}
	return out
}

// Our own convolution is the textbook's, whatever the size, the stride and the number
// of threads: widths that fill no vector, odd heights, one row, one column. So it is with
// any layers that OpenCV makes part of it, one or several, or offers in vain.
func TestDepthwise(t *testing.T) {
	defer opencv.SetThreads(1)
	rapid.Check(t, func(t *rapid.T) {
		kernel := rapid.SampledFrom([]int{3, 5}).Draw(t, "kernel")
		stride := rapid.IntRange(1, 2).Draw(t, "stride")
		width := stride * rapid.IntRange(1, 37).Draw(t, "width")
		height := stride * rapid.IntRange(1, 9).Draw(t, "height")
		opencv.SetThreads(rapid.IntRange(1, 3).Draw(t, "threads"))
		value := rapid.Float32Range(-0.5, 0.75)
		var weights [][]float32
		for range 3 {
			weights = append(weights, rapid.SliceOfN(value, kernel*kernel, kernel*kernel).Draw(t, "weights"))
		}
		bias := rapid.SliceOfN(rapid.Float32Range(-4, 8), 3, 3).Draw(t, "bias")
		follow := rapid.SliceOfN(rapid.SampledFrom([]string{"Relu", "Clip", "Sigmoid"}), 0, 3).Draw(t, "follow")
		bgr := rapid.SliceOfN(rapid.Byte(), 3*width*height, 3*width*height).Draw(t, "pixels")

		img, err := opencv.NewImage(width, height, bgr)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		s := vision.Settings{
			Stride:  stride,
			Input:   vision.Input{Name: "image", Width: width, Height: height, RGB: true, Scale: 1.0 / 255, Std: [3]float64{1, 1, 1}},
			Outputs: vision.Outputs{Heat: "heat", ImageScore: "image_score"},
		}
		d, err := opencv.NewDetector(onnxtest.Depthwise(width, height, kernel, stride, weights, bias, follow...), s)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		got, err := d.See(img)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range vision.Classes() {
			pixels := make([]float32, width*height)
			for i := range pixels {
				pixels[i] = float32(bgr[3*i+2-int(c)]) / 255 // red, then green
			}
			for i, want := range convolved(pixels, width, height, kernel, stride, weights[c], bias[c], follow) {
				if have := float64(got.Heat.Cells[c][i]); math.Abs(have-want) > 1e-5 {
					t.Fatalf("%s", fmt.Sprintf("%v: cell %d of %d x %d is %g, want %g", c, i, width/stride, height/stride, have, want))
				}
			}
		}
	})
}
