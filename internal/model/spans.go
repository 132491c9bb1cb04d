package model

import (
	"context"
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// MostRanging is how many samples say at most what ranges the tensors have that a pass asks for.
const MostRanging = 32

// EachInput calls use with the inputs of one sample after the other.
type EachInput func(use func(inputs map[string]tensor.Tensor) error) error

// Spans gives a function that measures the channels of a model's tensors on samples, each tensor once. Inputs of the model count as
// tensors of it. What is not there, or holds no floats, is left out.
func Spans(ctx context.Context, r ort.Engine, m *onnx.Model, each EachInput) func(tensors []string) (map[string]rewrite.Span, error) {
	known := map[string]rewrite.Span{}
	x := onnx.NewIndex(m)
	return func(tensors []string) (map[string]rewrite.Span, error) {
		var taps, inputs []string
		for _, name := range tensors {
			_, there := known[name]
			_, made := x.Producer[name]
			switch {
			case there:
			case made:
				taps = append(taps, name)
			case x.Input[name]:
				inputs = append(inputs, name)
			}
		}
		if len(taps)+len(inputs) == 0 {
			return known, nil
		}
		var run *ort.Runner
		if len(taps) > 0 {
			var err error
			if run, err = ort.New(r, m, ort.Options{Taps: taps, SegmentBytes: 64 << 20}); err != nil {
				return nil, err
			}
			defer run.Close()
		}
		err := each(func(sample map[string]tensor.Tensor) error {
			for _, name := range inputs {
				take(known, name, sample[name])
			}
			if run == nil {
				return nil
			}
			return measure(ctx, run, sample, known)
		})
		return known, err
	}
}

func measure(ctx context.Context, r *ort.Runner, sample map[string]tensor.Tensor, known map[string]rewrite.Span) error {
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	for range r.Segments() {
		b, err := f.Next(ctx)
		if err != nil {
			return err
		}
		for _, tap := range b.Taps {
			take(known, tap.Name, tap.Tensor)
		}
		b.Release()
	}
	return nil
}

func take(known map[string]rewrite.Span, name string, t tensor.Tensor) {
	if span, ok := widen(known[name], t); ok {
		known[name] = span
	}
}

// widen takes a tensor's channels (axis 1; a vector or a number is one) into a span; ok is false if it holds no floats, or has other
// channels than before. Values that are not finite do not count.
func widen(span rewrite.Span, t tensor.Tensor) (wider rewrite.Span, ok bool) {
	values, float := t.AsFloat32()
	if !float || len(values) == 0 {
		return span, false
	}
	channels, each := 1, len(values)
	if len(t.Shape) > 1 {
		channels = int(t.Shape[1])
		each = len(values) / int(t.Shape[0]) / channels
	}
	if span.Low == nil {
		span = rewrite.Span{Low: slices.Repeat([]float64{math.Inf(1)}, channels), High: slices.Repeat([]float64{math.Inf(-1)}, channels)}
	}
	if len(span.Low) != channels {
		return span, false
	}
	for i, v := range values {
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			c := i / each % channels
			span.Low[c], span.High[c] = min(span.Low[c], f), max(span.High[c], f)
		}
	}
	return span, true
}
