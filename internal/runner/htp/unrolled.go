package htp

import (
	"fmt"
	"time"

	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

// What the compiler takes for recurrent layers, which it unrolls: every step is a copy of the cell with its weights. Processor time, measured with a
// bidirectional LSTM of 512 (ddddocr: 64 steps of 2.1 million weights, 19 s); the order is what counts.
const (
	perStep    = 100 * time.Millisecond
	perMillion = 100 * time.Millisecond // weights of all steps
)

// Unrolled says how many steps of recurrent layers the compiler unrolls in a model, and about how much processor time that takes each
// time the model is compiled. shape gives the shapes of tensors; a layer whose sequence has no known length counts as one step.
func Unrolled(m *onnx.Model, shape func(name string) ([]int64, bool)) (steps int64, each time.Duration) {
	for _, n := range m.Graph().GetNode() {
		op := n.GetOpType()
		if op != "LSTM" && op != "GRU" && op != "RNN" || len(n.GetInput()) < 3 {
			continue
		}
		directions, length := int64(1), int64(1)
		if onnx.AttrString(n, "direction", "forward") == "bidirectional" {
			directions = 2
		}
		if s, ok := shape(n.GetInput()[0]); ok && len(s) == 3 {
			length = max(s[onnx.AttrInt(n, "layout", 0)&1], 1)
		}
		weights := 0
		for _, name := range n.GetInput()[1:3] {
			if s, ok := shape(name); ok {
				if k, err := tensor.Count(s); err == nil {
					weights += k
				}
			}
		}
		steps += directions * length
		each += time.Duration(directions*length)*perStep + time.Duration(float64(length)*float64(weights)/1e6*float64(perMillion))
	}
	return steps, each
}

// worthSaying is from how long on a compilation is announced.
const worthSaying = 4 * time.Second

// Announced is what is said before a model is compiled so many times for the emulator, "" if that is short.
func Announced(m *onnx.Model, shape func(name string) ([]int64, bool), times int) string {
	steps, each := Unrolled(m, shape)
	if each < worthSaying {
		return ""
	}
	return fmt.Sprintf("%d recurrent steps: about %.0f s for each of %d graphs", steps, each.Seconds(), times)
}
