// Package onnxtest is a network for tests whose answers can be worked out by hand.
package onnxtest
