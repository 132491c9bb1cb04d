package model

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// BoxScale is what a detector's boxes are multiplied by to be in pixels, as its metadata say; 0 if they say nothing.
func (ref *Float) BoxScale() float64 {
	by, err := strconv.ParseFloat(ref.Model.Property(rewrite.BoxScaleKey), 64)
	if err != nil || !(by > 0) || math.IsInf(by, 0) {
		return 0
	}
	return by
}

// ClampMasks puts the smallest values that shut a place of a Softmax in the place of huge and infinite ones, in the float model and in the
// base of its variants, as the pass clamp-masks does: no encoding holds such a value beside scores. What the least value is comes from the
// samples, and on them the outputs have to stay. It gives a sentence for each constant that was changed, with its value and the clamp; none if
// there is no such constant. A model whose outputs would move stays as it is, which the sentence says.
func (ref *Float) ClampMasks(ctx context.Context, r ort.Engine, each EachInput) ([]string, error) {
	p, err := rewrite.Find(rewrite.ClampMasks)
	if err != nil {
		return nil, err
	}
	env := Environment(ctx, r, ref.Model, ref.Types)
	env.Spans = Spans(ctx, r, ref.Model, each)
	done, err := p.Run(ref.Model, env)
	if err != nil || len(done.Changes) == 0 {
		return nil, err
	}
	if err := onnx.Check(done.Model); err != nil {
		return nil, err
	}
	moved, err := moves(ctx, r, ref.Model, done.Model, each)
	if err != nil {
		return nil, err
	}
	var said []string
	for _, change := range done.Changes {
		if moved > p.Tolerance {
			said = append(said, fmt.Sprintf("a constant that shuts places of a Softmax keeps its huge values, which no encoding holds: %s would move an output by %.2g of its greatest magnitude", change, moved))
		} else {
			said = append(said, "a constant that shuts places of a Softmax gets the smallest value that shuts them as well: "+change)
		}
	}
	if moved > p.Tolerance {
		return said, nil
	}
	ref.Model, ref.Index = done.Model, onnx.NewIndex(done.Model)
	if ref.Base, ref.Folded, err = rewrite.FoldBatchNorm(ref.Model); err != nil {
		return nil, err
	}
	ref.Placement = qdq.Find(ref.Base, func(name string) bool { return ref.Types[name].DType == tensor.Float32 })
	return said, nil
}

// moves is how far the outputs of two models are apart on samples.
func moves(ctx context.Context, r ort.Engine, a, b *onnx.Model, each EachInput) (float64, error) {
	x := onnx.NewIndex(a)
	taps := slices.DeleteFunc(a.Outputs(), func(name string) bool { _, made := x.Producer[name]; return !made })
	var runs []*ort.Runner
	for _, m := range []*onnx.Model{a, b} {
		run, err := ort.New(r, m, ort.Options{Taps: taps, SegmentBytes: 64 << 20})
		if err != nil {
			return 0, err
		}
		defer run.Close()
		runs = append(runs, run)
	}
	worst := 0.0
	err := each(func(inputs map[string]tensor.Tensor) error {
		var outputs []map[string]tensor.Tensor
		for _, run := range runs {
			got, err := infer(ctx, run, inputs)
			if err != nil {
				return err
			}
			outputs = append(outputs, got)
		}
		worst = math.Max(worst, Furthest(outputs[:1], outputs[1:]))
		return nil
	})
	return worst, err
}

// infer gives the tapped tensors of one inference.
func infer(ctx context.Context, r *ort.Runner, inputs map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	got := map[string]tensor.Tensor{}
	f := r.Start(runner.Sample{Inputs: inputs})
	defer f.Close()
	for range r.Segments() {
		b, err := f.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, tap := range b.Taps {
			got[tap.Name] = tap.Tensor.Clone()
		}
		b.Release()
	}
	return got, nil
}

// Furthest is the greatest difference of any output on any sample, against its greatest magnitude there.
func Furthest(a, b []map[string]tensor.Tensor) float64 {
	worst := 0.0
	for i := range a {
		for name, x := range a[i] {
			y, there := b[i][name]
			p, ok := x.AsFloat32()
			q, also := y.AsFloat32()
			if !there || ok != also || len(p) != len(q) || !slices.Equal(x.Shape, y.Shape) {
				return math.Inf(1)
			}
			scale, d := 0.0, 0.0
			for e := range p {
				if math.IsNaN(float64(p[e])) != math.IsNaN(float64(q[e])) {
					return math.Inf(1)
				}
				if p[e] == q[e] || math.IsNaN(float64(p[e])) {
					continue
				}
				d = math.Max(d, math.Abs(float64(p[e])-float64(q[e])))
				if math.IsInf(d, 0) {
					return d
				}
			}
			for _, v := range p {
				if f := math.Abs(float64(v)); !math.IsNaN(f) && !math.IsInf(f, 0) {
					scale = math.Max(scale, f)
				}
			}
			if d > 0 {
				worst = math.Max(worst, d/math.Max(scale, 1e-12))
			}
		}
	}
	return worst
}
