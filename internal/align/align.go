// Package align says which tensor of a variant belongs to which layer of the float model.
package align

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// Match is what became of one layer.
type Match struct {
	Status   result.Status
	Reason   string
	Tap      string // the variant's tensor to compare, "" if there is none
	Encoding *quant.Encoding
}

// Built matches a layer with a simulation that was built from the float model itself. folded names the tensors that
// batch normalization folding has removed.
func Built(layer string, p *qdq.Placement, b *qdq.Built, folded map[string]string) Match {
	if into, ok := folded[layer]; ok {
		return Match{Status: result.Fused, Reason: "folded into " + into}
	}
	place, ok := p.Tensors[layer]
	if !ok {
		return Match{Status: result.NotComparable, Reason: "the variant's graph does not have it"}
	}
	if place.Role == qdq.Fused {
		return Match{Status: result.Fused, Reason: "fused into " + place.Of}
	}
	if reason, float := b.Float[layer]; float {
		return Match{Status: result.NotQuantized, Reason: reason, Tap: b.Taps[layer]}
	}
	m := Match{Status: result.Compared, Tap: b.Taps[layer]}
	if e, ok := b.Encodings[layer]; ok {
		m.Encoding = &e
	}
	return m
}

// Wide matches a layer of another float type than float32, as float64, which has no quantizer, with the tensor of its name in a simulation;
// simulation indexes that. A Cast of a quantized tensor has its encoding.
func Wide(layer string, simulation *onnx.Index, b *qdq.Built) Match {
	p, ok := simulation.Producer[layer]
	if !ok {
		return Match{Status: result.NotComparable, Reason: "the variant's graph does not have it"}
	}
	n := simulation.Nodes[p]
	if n.GetOpType() == "Cast" {
		for name, tap := range b.Taps {
			if _, float := b.Float[name]; float || tap != n.GetInput()[0] {
				continue
			}
			m := Match{Status: result.Compared, Tap: layer}
			if e, ok := b.Encodings[name]; ok {
				m.Encoding = &e
			}
			return m
		}
	}
	return Match{Status: result.NotQuantized, Reason: "its type has no quantizers", Tap: layer}
}

// Ready matches a layer with a QDQ model that was made elsewhere, by these rules in turn: the tensor behind the
// quantizer of the layer's name, unless its range is that of the activation behind it; the tensor of that name without a quantizer,
// whose data may be moved from a quantized one; the operator behind the layer, if the layer is fused into it.
func Ready(layer string, float *onnx.Index, f *qdq.Found) Match {
	if tap, ok := f.Taps[layer]; ok {
		if into, clamped := Clamped(float, layer, func(name string) (quant.Encoding, bool) { e, ok := f.Encodings[name]; return e, ok }); clamped {
			return Match{Status: result.Fused, Reason: CarriesEncodingOf(into)}
		}
		m := Match{Status: result.Compared, Tap: tap}
		if e, ok := f.Encodings[layer]; ok {
			m.Encoding = &e
		}
		return m
	}
	into, fused := fusedInto(layer, float, f)
	_, there := f.Index.Producer[layer]
	switch {
	case fused:
		return Match{Status: result.Fused, Reason: "fused into " + into}
	case there:
		if source, ok := movedFrom(layer, f); ok {
			m := Match{Status: result.Compared, Tap: layer}
			if e, ok := f.Encodings[source]; ok {
				m.Encoding = &e
			}
			return m
		}
		return Match{Status: result.NotQuantized, Reason: "no quantizer behind it", Tap: layer}
	}
	return Match{Status: result.NotComparable, Reason: "the variant has no tensor of this name"}
}

// fusedInto finds the next tensor on the way from a layer without a quantizer that has one, over operators that are
// fused with their predecessors.
func fusedInto(layer string, float *onnx.Index, f *qdq.Found) (string, bool) {
	k, sole := float.SoleConsumer(layer)
	if !sole || len(float.Nodes[k].GetOutput()) == 0 {
		return "", false
	}
	behind := []string{"Relu", "Clip", "BatchNormalization"}
	if p, made := float.Producer[layer]; made && float.Nodes[p].GetOpType() == "MatMul" {
		behind = append(behind, "Add")
	}
	if !slices.Contains(behind, float.Nodes[k].GetOpType()) {
		return "", false
	}
	into := float.Nodes[k].GetOutput()[0]
	if _, quantized := f.Taps[into]; quantized {
		return into, true
	}
	return fusedInto(into, float, f)
}

// CarriesEncodingOf is the reason of a layer that is Clamped.
func CarriesEncodingOf(into string) string {
	return "fused into " + into + ", whose range its encoding has"
}

// movedFrom follows operators that only move data back to a dequantized tensor; an activation moves data if the encoding before it
// clamps as it does.
func movedFrom(name string, f *qdq.Found) (string, bool) {
	for range f.Index.Nodes {
		p, ok := f.Index.Producer[name]
		if !ok {
			return "", false
		}
		n := f.Index.Nodes[p]
		if n.GetOpType() == "DequantizeLinear" {
			return name, true
		}
		if len(n.GetInput()) == 0 {
			return "", false
		}
		if bounds, activation := qdq.ClampOf(f.Index, name); activation {
			source, ok := movedFrom(n.GetInput()[0], f)
			e, has := f.Encodings[source]
			return source, ok && has && bounds.Replaces(e)
		}
		if !qdq.Moves(n.GetOpType()) {
			return "", false
		}
		name = n.GetInput()[0]
	}
	return "", false
}
