// Package model is the network that sees flame and smoke, with the settings that it
// was measured with: shedguard-fire.onnx and model.json. MODEL_CARD.md says what it
// was made from, how well it does, and what it must not be used for.
package model
