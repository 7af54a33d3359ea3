//go:build opencv && cgo

package opencv_test

import (
	"fmt"
	"image/color"
	"log"
	"testing"

	"github.com/shedguard/shedguard/vision/internal/onnxtest"
	"github.com/shedguard/shedguard/vision/opencv"
)

func ExampleDetector() {
	// In the program: settings, err := model.Settings(), and model.ONNX().
	var tb testing.B
	settings := onnxtest.Settings(&tb, 64, 32)
	detector, err := opencv.NewDetector(onnxtest.ONNX(64, 32), settings)
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()

	img, err := opencv.Decode(jpegOf(&tb, 640, 480, color.RGBA{R: 255, A: 255}))
	if err != nil {
		log.Fatal(err)
	}
	defer img.Close()

	sight, err := detector.See(img)
	if err != nil {
		log.Fatal(err)
	}
	flame, smoke := sight.Over(settings.Alarm)
	fmt.Printf("flame %.2f %t, smoke %.2f %t, %d box\n", sight.Flame, flame, sight.Smoke, smoke, len(sight.Boxes))
	// Output: flame 1.00 true, smoke 0.00 false, 1 box
}
