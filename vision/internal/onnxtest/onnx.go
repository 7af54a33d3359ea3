package onnxtest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ONNX is a network made by hand whose answers can be worked out: a cell of 8 × 8
// pixels is flame where it is red and smoke where it is blue, and the score of the
// picture is the mean of its cells. A grey cell is sigmoid(-10) of both, a red one is
// sigmoid(10) flame and sigmoid(-30) smoke. It takes RGB from 0 to 1.
func ONNX(width, height int) []byte {
	const cell = 8
	weights := make([]float32, 2*3*cell*cell) // output, input, row, column
	fill := func(output, input int, v float32) {
		from := (output*3 + input) * cell * cell
		for i := range cell * cell {
			weights[from+i] = v / (cell * cell)
		}
	}
	fill(0, 0, 20)
	fill(0, 2, -20)
	fill(1, 0, -20)
	fill(1, 2, 20)

	graph := message{}.
		sub(1, node("Conv", []string{"image", "weights", "bias"}, "logits", ints("kernel_shape", cell, cell), ints("strides", cell, cell), ints("pads", 0, 0, 0, 0), ints("dilations", 1, 1), integer("group", 1))).
		sub(1, node("Sigmoid", []string{"logits"}, "heat")).
		sub(1, node("GlobalAveragePool", []string{"heat"}, "image_score")).
		text(2, "tiny").
		sub(5, tensor("weights", weights, 2, 3, cell, cell)).
		sub(5, tensor("bias", []float32{-10, -10}, 2)).
		sub(11, value("image", 1, 3, height, width)).
		sub(12, value("heat", 1, 2, height/cell, width/cell)).
		sub(12, value("image_score", 1, 2, 1, 1))
	return message{}.number(1, 5).sub(7, graph).sub(8, message{}.text(1, "").number(2, 10))
}

// Depthwise is a network of one depthwise convolution over the three channels of an
// image and of layers that follow it one by one, Relu, Clip (0 to 6) or Sigmoid. From
// the result heat makes flame of the first and smoke of the second channel, less 3, and
// image_score the means. kernel is 3 or 5; weights has kernel × kernel values a channel.
// The image's width and height are multiples of the stride.
func Depthwise(width, height, kernel, stride int, weights [][]float32, bias []float32, follow ...string) []byte {
	k, s, p := uint64(kernel), uint64(stride), uint64(kernel/2)
	var all []float32
	for _, w := range weights {
		all = append(all, w...)
	}
	pick := []float32{1, 0, 0, 0, 1, 0} // output × input
	graph := message{}.
		sub(1, node("Conv", []string{"image", "weights", "bias"}, "filtered", ints("kernel_shape", k, k), ints("strides", s, s), ints("pads", p, p, p, p), ints("dilations", 1, 1), integer("group", 3)))
	last := "filtered"
	for i, op := range follow {
		var attributes []message
		if op == "Clip" {
			attributes = []message{float("min", 0), float("max", 6)}
		}
		next := fmt.Sprintf("followed-%d", i)
		graph = graph.sub(1, node(op, []string{last}, next, attributes...))
		last = next
	}
	graph = graph.
		sub(1, node("Conv", []string{last, "pick", "less"}, "logits", ints("kernel_shape", 1, 1), ints("strides", 1, 1), ints("pads", 0, 0, 0, 0), ints("dilations", 1, 1), integer("group", 1))).
		sub(1, node("Sigmoid", []string{"logits"}, "heat")).
		sub(1, node("GlobalAveragePool", []string{"heat"}, "image_score")).
		text(2, "depthwise").
		sub(5, tensor("weights", all, 3, 1, k, k)).
		sub(5, tensor("bias", bias, 3)).
		sub(5, tensor("pick", pick, 2, 3, 1, 1)).
		sub(5, tensor("less", []float32{-3, -3}, 2)).
		sub(11, value("image", 1, 3, height, width)).
		sub(12, value("heat", 1, 2, height/stride, width/stride)).
		sub(12, value("image_score", 1, 2, 1, 1))
	return message{}.number(1, 5).sub(7, graph).sub(8, message{}.text(1, "").number(2, 10))
}

// message is a protocol buffer; the numbers of the fields are those of onnx.proto.
type message []byte

func (m message) number(field int, v uint64) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), v)
}

func (m message) bytes(field int, b []byte) message {
	m = binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3|2), uint64(len(b)))
	return append(m, b...)
}

func (m message) text(field int, s string) message { return m.bytes(field, []byte(s)) }
func (m message) sub(field int, s message) message { return m.bytes(field, s) }

func node(op string, inputs []string, output string, attributes ...message) message {
	var m message
	for _, in := range inputs {
		m = m.text(1, in)
	}
	m = m.text(2, output).text(3, op+"-"+output).text(4, op)
	for _, a := range attributes {
		m = m.sub(5, a)
	}
	return m
}

func ints(name string, values ...uint64) message {
	m := message{}.text(1, name)
	for _, v := range values {
		m = m.number(8, v)
	}
	return m.number(20, 7)
}

func integer(name string, v uint64) message {
	return message{}.text(1, name).number(3, v).number(20, 2)
}

func float(name string, v float32) message {
	m := message{}.text(1, name)
	m = binary.LittleEndian.AppendUint32(binary.AppendUvarint(m, 2<<3|5), math.Float32bits(v))
	return m.number(20, 1)
}

func tensor(name string, values []float32, dims ...uint64) message {
	var m message
	for _, d := range dims {
		m = m.number(1, d)
	}
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return m.number(2, 1).text(8, name).bytes(9, raw)
}

func value(name string, dims ...int) message {
	var shape message
	for _, d := range dims {
		shape = shape.sub(1, message{}.number(1, uint64(d)))
	}
	return message{}.text(1, name).sub(2, message{}.sub(1, message{}.number(1, 1).sub(2, shape)))
}
