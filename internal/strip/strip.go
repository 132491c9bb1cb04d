// Package strip is the use case of the command strip: the float twin of a quantized model, proved.
//
//  1. The model is read, raised from half precision if it has any, and its quantization is recognised.
//  2. The twin is made (floattwin).
//  3. Model and twin are loaded as their files are and run on a seeded random sample; how far their outputs are apart is said. A twin
//     that cannot be run is an error, and nothing is written.
package strip

import (
	"context"
	"fmt"
	"math"

	"quantcheck/internal/floattwin"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Spec says what is stripped.
type Spec struct {
	Model  string             // path of the quantized model
	Shapes map[string][]int64 // of inputs with open dimensions, for the trial run
}

// Result is the twin, and what was done.
type Result struct {
	Was     string            `json:"was"` // how the model was quantized
	Report  *floattwin.Report `json:"report"`
	Outputs []Output          `json:"outputs"`
	Notes   []string          `json:"notes"`

	Model   *onnx.Model    `json:"-"`
	Layers  []result.Layer `json:"-"` // the tensors that had encodings, for encodings.Write
	Variant result.Variant `json:"-"` // with those encodings
}

// Output is how far an output of the twin is from the quantized model's, on one seeded random sample.
type Output struct {
	Name  string   `json:"name"`
	SQNR  *float64 `json:"sqnr_db"` // nil: the outputs are equal, or not comparable
	Equal bool     `json:"equal"`
}

// String says it in words.
func (o Output) String() string {
	switch {
	case o.Equal:
		return o.Name + " is equal in both"
	case o.SQNR == nil:
		return o.Name + " is not compared"
	}
	return fmt.Sprintf("%s: SQNR of the quantized model %.1f dB on one random input; check measures it on samples", o.Name, *o.SQNR)
}

// Run makes the twin of a model and tries it.
func Run(ctx context.Context, r ort.Engine, spec Spec) (*Result, error) {
	m, file, err := model.Read(spec.Model)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if file.Quantized == nil {
		return nil, usage.Mark(fmt.Errorf("%s is not quantized: it has no QuantizeLinear, no integer operators and no integer weights, so there is nothing to strip", spec.Model))
	}
	s := &Result{Was: file.Quantized.String(), Outputs: []Output{}, Notes: append([]string{}, file.Notes...)}
	if s.Model, s.Report, err = floattwin.Make(m); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	s.encodings()
	return s, s.try(ctx, r, m, spec)
}

// encodings lists what the model's quantizers held, as a variant's.
func (s *Result) encodings() {
	s.Variant = result.Variant{Spec: variant.Spec{Kind: variant.File}, Inputs: map[string]result.Coding{}}
	inputs := map[string]bool{}
	for _, in := range s.Model.Inputs() {
		inputs[in.GetName()] = true
	}
	seen := map[string]bool{}
	for _, e := range s.Report.Encodings {
		switch {
		case seen[e.Tensor]:
		case inputs[e.Tensor]:
			s.Variant.Inputs[e.Tensor] = e.Encoding
		default:
			s.Layers = append(s.Layers, result.Layer{Name: e.Tensor})
			s.Variant.Layers = append(s.Variant.Layers, result.LayerResult{Status: result.Compared, Encoding: new(quant.Encoding)})
			*s.Variant.Layers[len(s.Variant.Layers)-1].Encoding = e.Encoding
		}
		seen[e.Tensor] = true
	}
	for _, p := range s.Report.Params {
		s.Variant.Params = append(s.Variant.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings})
	}
}

// try loads and runs both forms.
func (s *Result) try(ctx context.Context, r ort.Engine, m *onnx.Model, spec Spec) error {
	fixed, _, err := onnx.FixInputs(m, spec.Shapes)
	if err != nil {
		return usage.Mark(fmt.Errorf("%s: %w", spec.Model, err))
	}
	samples, err := model.Seeded(model.InputsOf(fixed), 1)
	if err != nil {
		return usage.Mark(err)
	}
	got, err := model.Trial(ctx, r, s.Model, samples[0])
	if err != nil {
		return err
	}
	if got == nil {
		s.Notes = append(s.Notes, "the twin holds over 1 GiB of weights: it was not loaded and run")
		return nil
	}
	was, err := ort.Once(ctx, r, m, samples[0])
	if err != nil {
		s.Notes = append(s.Notes, "the quantized model itself cannot be run, so the twin was not compared with it: "+err.Error())
		return nil //nolint:nilerr // a note says so
	}
	for _, name := range m.Outputs() {
		s.Outputs = append(s.Outputs, compared(name, got[name], was[name]))
	}
	return nil
}

// compared measures one output.
func compared(name string, twin, quantized tensor.Tensor) Output {
	o := Output{Name: name}
	a, ok := twin.AsFloat32()
	b, fits := quantized.AsFloat32()
	if !ok || !fits || len(a) != len(b) || len(a) == 0 {
		return o
	}
	pair, err := metric.Measure(a, b)
	if err != nil {
		return o
	}
	switch db := pair.Values(0)[metric.SQNR].V; {
	case math.IsInf(db, 1):
		o.Equal = true
	case !math.IsInf(db, -1):
		o.SQNR = &db
	}
	return o
}
