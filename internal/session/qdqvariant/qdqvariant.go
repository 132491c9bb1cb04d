// Package qdqvariant builds the variants that are ONNX models: of a recipe, in half precision, or from a ready file with quantizers.
package qdqvariant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/model"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// FromRecipe quantizes the float model with the encodings of a calibration.
type FromRecipe struct{}

// Read implements session.Builder.
func (FromRecipe) Read(context.Context, *session.Session, *session.Variant) error { return nil }

// Build implements session.Builder.
func (FromRecipe) Build(b *session.Session, v *session.Variant, stats *calib.Statistics) error {
	constants, _ := v.Source.(Constants)
	made, err := qdq.BuildFixed(b.Float.Base, b.Float.Placement, v.Spec, stats.Activation, constants)
	if err != nil {
		return err
	}
	TakeBuilt(b, v, made, b.Float.Placement, b.Float.Folded)
	if v.Spec.Heal {
		v.Healed, err = onGrid(b.Float.Base, made, constants, v.Spec)
	}
	return err
}

// FromHalf rounds the float model to half precision.
type FromHalf struct{}

// Read implements session.Builder.
func (FromHalf) Read(context.Context, *session.Session, *session.Variant) error { return nil }

// Build implements session.Builder.
func (FromHalf) Build(b *session.Session, v *session.Variant, _ *calib.Statistics) error {
	made, err := qdq.BuildHalf(b.Float.Base, b.Float.Placement)
	if err == nil {
		TakeBuilt(b, v, made, b.Float.Placement, b.Float.Folded)
	}
	return err
}

// TakeBuilt makes a variant of a model that was made here, with quantizers where place says; folded are the tensors that it does not have.
func TakeBuilt(b *session.Session, v *session.Variant, made *qdq.Built, place *qdq.Placement, folded map[string]string) {
	v.Result.Spec.Choices, v.Written = made.Choices, true
	for _, in := range b.Run.Model.Inputs {
		if e, ok := made.Encodings[in.Name]; ok {
			v.Result.Inputs[in.Name] = e
		}
	}
	for _, w := range made.Warnings {
		b.Run.Warnings = append(b.Run.Warnings, v.Spec.Name+": "+w)
	}
	var simulation *onnx.Index
	take(b, v, built{made.Model, made.Floats, made.Params, func(layer string) align.Match {
		if b.Float.Types[layer].DType != tensor.Float32 {
			if simulation == nil {
				simulation = onnx.NewIndex(made.Model)
			}
			return align.Wide(layer, simulation, made)
		}
		return align.Built(layer, place, made, folded)
	}})
}

// AsFloat takes the float model as it is: the emulator computes it in half precision.
type AsFloat struct{}

// Read implements session.Builder.
func (AsFloat) Read(context.Context, *session.Session, *session.Variant) error { return nil }

// Build implements session.Builder.
func (AsFloat) Build(b *session.Session, v *session.Variant, _ *calib.Statistics) error {
	take(b, v, built{model: b.Float.Model, match: func(layer string) align.Match { return align.Match{Status: result.Compared, Tap: layer} }})
	return nil
}

// FromFile takes a ready QDQ model.
type FromFile struct{}

// Read implements session.Builder.
func (FromFile) Read(ctx context.Context, b *session.Session, v *session.Variant) error {
	m, err := modelfile.Load(v.Spec.File)
	if err != nil {
		return usage.Mark(fmt.Errorf("variant %s: %w", v.Spec.Name, err))
	}
	if m, err = b.Float.OneOf(ctx, b.ORT, m); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	shapes := map[string][]int64{}
	for _, in := range b.Run.Model.Inputs {
		shapes[in.Name] = in.Shape
	}
	if m, _, err = onnx.FixInputs(m, shapes); err == nil {
		for _, in := range m.Inputs() {
			if _, known := shapes[in.GetName()]; !known {
				err = fmt.Errorf("it has an input %q, which the float model does not have", in.GetName())
			}
		}
	}
	if err != nil {
		return usage.Mark(fmt.Errorf("variant %s does not fit the float model: %w", v.Spec.Name, err))
	}
	types := map[string]tensor.DType{}
	for _, in := range b.Run.Model.Inputs {
		types[in.Name] = in.DType
	}
	if v.Model, _, _, err = ort.Fold(ctx, b.ORT, onnx.WithInputTypes(m, types)); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	v.Half = len(onnx.FindHalves(m).Types) > 0 && !slices.ContainsFunc(v.Model.Graph().GetNode(), func(n *onnxpb.NodeProto) bool { return model.Quantizer(n.GetOpType()) })
	if was := floattwin.Find(m); was != nil {
		v.Hidden = slices.ContainsFunc(was.Kinds, func(k floattwin.Kind) bool { return k != floattwin.QDQ })
	}
	return nil
}

// Build implements session.Builder.
func (FromFile) Build(b *session.Session, v *session.Variant, _ *calib.Statistics) error {
	found, err := qdq.Read(v.Model)
	if err != nil {
		return err
	}
	v.Result.Inputs = found.Inputs
	take(b, v, built{v.Model, found.Floats(b.Float.Model), found.Params, func(layer string) align.Match {
		m := align.Ready(layer, b.Float.Index, found)
		if v.Half && m.Status == result.NotQuantized {
			m.Reason = "the file is in half precision"
		}
		if v.Hidden && m.Status == result.NotQuantized {
			m.Reason = "its integers have no encodings that are listed: they are the operators' own"
		}
		return m
	}})
	return nil
}

// built is what a Builder says of a model.
type built struct {
	model  *onnx.Model
	floats map[string]*onnxpb.TensorProto
	params []qdq.ParamEncoding
	match  func(layer string) align.Match
}

// floats are the float originals of a model's constants.
type floats map[string]*onnxpb.TensorProto

// take makes a variant of a model that was built: its constants' encodings and its layers' matches.
func take(b *session.Session, v *session.Variant, m built) {
	v.Model, v.Source = m.model, floats(m.floats)
	rv := v.Result
	for _, p := range m.params {
		rv.Params = append(rv.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings, Blocks: p.Blocks})
	}
	slices.SortStableFunc(rv.Params, func(a, b result.Param) int { return strings.Compare(a.Tensor, b.Tensor) })
	rv.Params = slices.CompactFunc(rv.Params, func(a, b result.Param) bool { return a.Tensor == b.Tensor }) // one of two uses stands for both
	for k, l := range b.Float.Layers {
		if reason := b.Float.Incomparable(l); reason != "" {
			rv.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: reason}
			continue
		}
		m := m.match(l.Name)
		rv.Layers[k] = result.LayerResult{Status: m.Status, Reason: m.Reason, Tap: m.Tap, Encoding: m.Encoding}
	}
}

// Isolator takes a variant apart that a Builder of this package built.
func Isolator(b *session.Session, v *session.Variant) *qdq.Isolator {
	var layers []qdq.LayerTap
	for k, l := range v.Result.Layers {
		if l.Status == result.Compared && b.Float.Types[b.Float.Layers[k].Name].DType == tensor.Float32 {
			tap := qdq.LayerTap{Layer: b.Float.Layers[k].Name, Tap: l.Tap}
			if bounds, ok := qdq.ClampOf(b.Float.Index, tap.Layer); ok {
				tap.Clamp = &bounds
			}
			layers = append(layers, tap)
		}
	}
	constants, _ := v.Source.(floats)
	return qdq.NewIsolator(v.Model, layers, constants, b.Float.Types)
}
