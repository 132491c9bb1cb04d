// Package outputs finds a model's outputs, in it and in its variants, and takes their values from inferences, as what decodes and scores them
// wants them.
package outputs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/decode"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// Outputs are those of a float model that hold numbers, in the order in which the model names them.
type Outputs struct {
	Layers []int    // their places among the float model's layers
	Names  []string // by which the float model knows them
}

// Find gives the outputs of a float model. A model without any is an error of usage.
func Find(ref *model.Float) (*Outputs, error) {
	o := &Outputs{}
	for k, l := range ref.Layers {
		if l.Output && ref.Incomparable(l) == "" || slices.Contains(ref.Model.Outputs(), l.Name) && integers(ref.Types[l.Name].DType) {
			o.Layers = append(o.Layers, k)
		}
	}
	if len(o.Layers) == 0 {
		return nil, usage.Mark(errors.New("none of the model's outputs holds numbers"))
	}
	position := func(name string) int { return slices.Index(ref.Model.Outputs(), name) }
	slices.SortStableFunc(o.Layers, func(i, k int) int { return position(ref.Layers[i].Name) - position(ref.Layers[k].Name) })
	for _, k := range o.Layers {
		o.Names = append(o.Names, ref.Layers[k].Name)
	}
	return o, nil
}

func integers(d tensor.DType) bool { return !d.IsFloat() && d != tensor.String && d.Bits() > 0 }

// OpenFloat compiles a session's float model with its outputs alone. Who opens it closes it.
func (o *Outputs) OpenFloat(b *session.Session) (runner.Runner, error) {
	r, err := ort.New(b.ORT, b.Float.Model, ort.Options{Taps: o.Names, Arena: b.Arena, Types: b.Float.Types})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// of gives what each output is called in a variant.
func (o *Outputs) of(ref *model.Float, v *session.Variant) ([]string, error) {
	taps := make([]string, len(o.Layers))
	x := (*onnx.Index)(nil)
	if v.Model != nil {
		x = onnx.NewIndex(v.Model)
	}
	for n, k := range o.Layers {
		l := &v.Result.Layers[k]
		switch {
		case l.HasMetrics():
			taps[n] = v.Tap(ref.Layers[k], l)
		case x != nil && ref.Incomparable(ref.Layers[k]) != "": // integers are no layer to compare, but an output
			if _, made := x.Producer[ref.Layers[k].Name]; made {
				taps[n] = ref.Layers[k].Name
			}
		}
		if taps[n] == "" {
			return nil, fmt.Errorf("variant %s: it has no output %s: %s", v.Spec.Name, ref.Layers[k].Name, l.Reason)
		}
	}
	return taps, nil
}

// Collect takes an inference's outputs out of the runner's memory, under the float model's names; taps are what the runner calls them. It closes
// the inference. An output that the runner could not compute on this sample is a runner.ErrSample.
func (o *Outputs) Collect(ctx context.Context, f runner.Inference, taps []string) ([]decode.Output, error) {
	defer f.Close()
	got := map[string]tensor.Tensor{}
	for {
		batch, err := f.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, tap := range batch.Taps {
			if !slices.Contains(taps, tap.Name) {
				continue
			}
			if tap.Problem != "" {
				batch.Release()
				return nil, fmt.Errorf("%w: %s", runner.ErrSample, tap.Problem)
			}
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
		if len(got) == len(slices.Compact(slices.Sorted(slices.Values(taps)))) {
			break
		}
	}
	outputs := make([]decode.Output, len(taps))
	for i, tap := range taps {
		outputs[i] = decode.Output{Name: o.Names[i], Tensor: got[tap]}
	}
	return outputs, nil
}
