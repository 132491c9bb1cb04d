package optimize

import (
	"math"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// MostRanging is how many samples say at most what ranges channels have.
const MostRanging = 32

// spansOf measures the channels of a model's tensors on samples, each tensor once; nil without samples.
func (o *optimizer) spansOf(m *onnx.Model) func(tensors []string) (map[string]rewrite.Span, error) {
	if o.ranging == nil {
		return nil
	}
	known := map[string]rewrite.Span{}
	x := onnx.NewIndex(m)
	return func(tensors []string) (map[string]rewrite.Span, error) {
		missing := slices.DeleteFunc(slices.Clone(tensors), func(name string) bool {
			_, there := known[name]
			_, made := x.Producer[name]
			return there || !made
		})
		if len(missing) == 0 {
			return known, nil
		}
		r, err := ort.New(o.engines.ORT, m, ort.Options{Taps: missing, SegmentBytes: 64 << 20})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		for _, source := range o.ranging.Sources {
			s, err := o.loader.Load(source)
			if err != nil {
				return nil, usage.Mark(err)
			}
			if err := o.measure(r, s, known); err != nil {
				return nil, err
			}
		}
		return known, nil
	}
}

func (o *optimizer) measure(r *ort.Runner, s *dataset.Sample, known map[string]rewrite.Span) error {
	f := r.Start(runner.Sample{Inputs: s.Inputs})
	defer f.Close()
	for range r.Segments() {
		b, err := f.Next(o.ctx)
		if err != nil {
			return err
		}
		for _, tap := range b.Taps {
			if span, ok := widen(known[tap.Name], tap.Tensor); ok {
				known[tap.Name] = span
			}
		}
		b.Release()
	}
	return nil
}

// widen takes a tensor's channels (axis 1) into a span; ok is false if it has none, or others than before. Values that are not finite
// do not count.
func widen(span rewrite.Span, t tensor.Tensor) (wider rewrite.Span, ok bool) {
	values, float := t.AsFloat32()
	if !float || len(t.Shape) < 2 || len(values) == 0 {
		return span, false
	}
	channels := int(t.Shape[1])
	if span.Low == nil {
		span = rewrite.Span{Low: slices.Repeat([]float64{math.Inf(1)}, channels), High: slices.Repeat([]float64{math.Inf(-1)}, channels)}
	}
	if len(span.Low) != channels {
		return span, false
	}
	each := len(values) / int(t.Shape[0]) / channels
	for i, v := range values {
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			c := i / each % channels
			span.Low[c], span.High[c] = min(span.Low[c], f), max(span.High[c], f)
		}
	}
	return span, true
}
