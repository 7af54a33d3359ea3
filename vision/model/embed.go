package model

import (
	_ "embed" // the model is part of the program
	"fmt"

	"github.com/shedguard/shedguard/vision"
)

//go:embed shedguard-fire.onnx
var onnx []byte

//go:embed model.json
var settings []byte

// ONNX is the network. It is shared and must not be changed.
func ONNX() []byte { return onnx }

// Settings are those that the network was measured with.
func Settings() (vision.Settings, error) {
	s, err := vision.ParseSettings(settings)
	if err != nil {
		return s, fmt.Errorf("model.json: %w", err)
	}
	return s, nil
}
