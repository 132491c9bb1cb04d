package session

import (
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/variant"
)

// Variant is one variant of a session: what it is made from, what is said of it, and what gives its tensors. Session.Build and
// Session.Prepare fill it, Session.Close closes it.
type Variant struct {
	Spec   variant.Spec
	maker  maker           // found when the variant is built
	Result *result.Variant // in the session's run; nil before the variant is built. What is measured is put into it while samples run

	Model     *onnx.Model                    // nil: a DLC's
	Contained *DLCVariant                    // nil: it is no DLC's
	floats    map[string]*onnxpb.TensorProto // float originals of the model's constants
	written   bool                           // the model was made here, so that it can be handed over

	Runner    runner.Runner     // gives the tensors of Tap
	Entrances map[string]string // tensor of Runner that the first operator gets → graph input
	Alone     *Isolated         // nil: local errors are not asked for
}

// Of makes variants of what was asked for.
func Of(specs []variant.Spec) []*Variant {
	list := make([]*Variant, len(specs))
	for i, s := range specs {
		list[i] = &Variant{Spec: s}
	}
	return list
}

// Specs lists what the variants are made from.
func (b *Session) Specs() []variant.Spec {
	list := make([]variant.Spec, len(b.Variants))
	for i, v := range b.Variants {
		list[i] = v.Spec
	}
	return list
}

func (v *Variant) close() {
	if v.Runner != nil {
		v.Runner.Close()
	}
	if v.Contained != nil {
		v.Contained.File.Close()
	}
	v.Alone.close()
}

// Tap is the name under which the variant's runner gives a layer: the variant's own tensor, or, since two layers can be one tensor of a
// DLC in different orders, the layer's.
func (v *Variant) Tap(layer result.Layer, of *result.LayerResult) string {
	if v.Contained != nil {
		return layer.Name
	}
	return of.Tap
}

// built is what a Builder says of a model.
type built struct {
	model  *onnx.Model
	floats map[string]*onnxpb.TensorProto
	params []qdq.ParamEncoding
	match  func(layer string) align.Match
}

// take makes a variant of a model that was built: its constants' encodings and its layers' matches.
func (b *Session) take(v *Variant, m built) {
	v.Model, v.floats = m.model, m.floats
	rv := v.Result
	for _, p := range m.params {
		rv.Params = append(rv.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings})
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

// Isolator takes a variant apart.
func (b *Session) Isolator(v *Variant) *qdq.Isolator {
	var layers []qdq.LayerTap
	for k, l := range v.Result.Layers {
		if l.Status == result.Compared {
			layers = append(layers, qdq.LayerTap{Layer: b.Float.Layers[k].Name, Tap: l.Tap})
		}
	}
	return qdq.NewIsolator(v.Model, layers, v.floats, b.Float.Types)
}
