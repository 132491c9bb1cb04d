// Package judge gathers the outputs of a comparison for the verdicts of its variants, checks the gates of their parts, and has the causes found.
package judge

import (
	"cmp"
	"slices"

	"quantcheck/internal/cause"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/resume"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
	"quantcheck/internal/workpool"
)

// Judging gathers what the verdicts of the variants are made from. variants has the session's order.
type Judging struct {
	b        *session.Session
	shapes   verdict.Shapes
	plan     *verdict.Plan
	variants []*verdict.Gathered
}

// New plans how the float model's outputs are read, and makes places for what is measured of them on so many samples. The
// variants' layers must be matched.
func New(b *session.Session, samples int) (*Judging, error) {
	config, err := eval.ReadConfig(b.Options.Input.Eval)
	if err != nil {
		return nil, err
	}
	// Decisions are those of a user of the boxes, not of a benchmark.
	s, people := config.Decode, decode.SeedSettings()
	s.Confidence, s.IoU, s.Most = people.Confidence, people.IoU, people.Most
	s.BoxScale = cmp.Or(s.BoxScale, b.Float.BoxScale())
	for _, in := range b.Loader.Inputs {
		if width, height, err := b.Loader.Size(in); err == nil {
			s.Width, s.Height = width, height
			break
		}
	}
	j := &Judging{b: b, shapes: model.Shapes(b.Float.Types, b.Float.Index)}
	j.plan = verdict.New(b.Run.Layers, b.Float.Index, j.shapes, config.Decoder, s)
	for _, v := range b.Variants {
		encodings := map[int]*quant.Encoding{}
		for _, k := range j.plan.Layers() {
			if e := v.Result.Layers[k].Encoding; e != nil {
				encodings[k] = e
			}
		}
		j.variants = append(j.variants, j.plan.Gather(samples, encodings))
	}
	return j, nil
}

// Outputs are the outputs of one sample, by layer: of the float model and of the variants.
type Outputs struct {
	shapes map[int][]int64
	float  map[int][]float32
	of     map[*session.Variant]map[int][]float32
	bytes  int
}

// NewOutputs makes a place for one sample.
func NewOutputs() *Outputs {
	return &Outputs{map[int][]int64{}, map[int][]float32{}, map[*session.Variant]map[int][]float32{}, 0}
}

// Keep copies an output layer out of the runners' memory: of the float model, and of the variants that have values.
func (o *Outputs) Keep(layer int, ref tensor.Tensor, got map[*session.Variant]tensor.Tensor) {
	x, ok := ref.AsFloat32()
	if !ok {
		return
	}
	o.float[layer], o.shapes[layer] = slices.Clone(x), ref.Shape
	o.bytes += 4 * len(x)
	for v, t := range got {
		y, ok := t.AsFloat32()
		if !ok {
			continue
		}
		if o.of[v] == nil {
			o.of[v] = map[int][]float32{}
		}
		o.of[v][layer] = slices.Clone(y)
		o.bytes += 4 * len(y)
	}
}

// Sample compares the outputs of a sample beside the next inference.
func (j *Judging) Sample(pool *workpool.Pool, number int, o *Outputs) {
	j.record(number, o)
	float := j.plan.Outputs(o.float, o.shapes)
	j.plan.Float(float)
	for i, v := range j.b.Variants {
		if values, ok := o.of[v]; ok {
			pool.Do(o.bytes, func() { j.variants[i].Add(number, float, j.plan.Outputs(values, o.shapes)) })
		}
	}
}

// What is kept of the float model's outputs, for questions that come after the check.
const (
	recordedSamples = 4
	recordedBytes   = 16 << 20 // of one sample
)

// record keeps the float model's outputs on the first samples.
func (j *Judging) record(number int, o *Outputs) {
	bytes := 0
	for _, x := range o.float {
		bytes += 4 * len(x)
	}
	if number >= recordedSamples || bytes > recordedBytes {
		return
	}
	if j.b.Recorded == nil {
		j.b.Recorded = map[int]map[int]runner.Tap{}
	}
	j.b.Recorded[number] = map[int]runner.Tap{}
	for layer, x := range o.float {
		j.b.Recorded[number][layer] = runner.Tap{Tensor: tensor.Floats(x, o.shapes[layer]...)}
	}
}

// Conclude gives the variants' results their verdicts on so many samples.
func (j *Judging) Conclude(samples int) {
	for i, v := range j.b.Variants {
		v.Result.Verdict = j.variants[i].Conclude(samples)
		if v.Spec.Kind != variant.Half && !v.Half && !v.Hidden {
			v.Result.Verdict.Coverage = verdict.Cover(j.b.Float.Index, j.b.Run.Layers, v.Result.Layers, j.shapes)
		}
	}
}

// Clear forgets what was gathered.
func (j *Judging) Clear() {
	j.plan.Clear()
	for _, g := range j.variants {
		g.Clear()
	}
}

// Code writes the first n samples, or reads them back.
func (j *Judging) Code(x *resume.Coder, n int) {
	j.plan.Code(x)
	for _, g := range j.variants {
		if x.Err() == nil {
			g.Code(x, n)
		}
	}
}

// FindCauses says why the variants of a session are not float, after Summarize.
func FindCauses(b *session.Session) {
	x := onnx.NewIndex(b.Float.Base)
	for _, v := range b.Variants {
		if v.Result.Verdict != nil {
			v.Result.Verdict.Causes = cause.Find(&cause.Facts{Run: b.Run, Variant: v.Result, Model: b.Float.Base, Index: x})
		}
	}
}
