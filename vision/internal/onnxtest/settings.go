package onnxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shedguard/shedguard/vision"
)

// Settings fit [ONNX]: the score of a picture is that of its hottest cell.
func Settings(tb testing.TB, width, height int) vision.Settings {
	tb.Helper()
	s, err := vision.ParseSettings(modelJSON(width, height))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Folder is a folder with the network and its model.json.
func Folder(tb testing.TB, width, height int) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, b := range map[string][]byte{"tiny.onnx": ONNX(width, height), "model.json": modelJSON(width, height)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func modelJSON(width, height int) []byte {
	return fmt.Appendf(nil, `{
  "name": "tiny", "version": "1",
  "input": {
    "name": "image", "width": %d, "height": %d, "color": "RGB", "scale": 0.00392156862745098,
    "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "stretch", "interpolation": "area"
  },
  "outputs": {"heat": "heat", "image_score": "image_score"},
  "classes": ["flame", "smoke"],
  "stride": 8,
  "score": {"image_share": 0},
  "thresholds": {"flame": 0.5, "smoke": 0.5},
  "boxes": {
    "flame": {"seed": 0.5, "grow": 0.3, "min_cells": 1},
    "smoke": {"seed": 0.5, "grow": 0.3, "min_cells": 1}
  },
  "tiles": {"max": 0, "aspect": 1}
}`, width, height)
}
