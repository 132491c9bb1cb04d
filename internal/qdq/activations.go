package qdq

import (
	"runtime"
	"sync"
	"sync/atomic"

	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/variant"
)

// actEncodings knows how a graph's activations are quantized: the encoding of each, and the width in which an operator takes it.
type actEncodings struct {
	x     *onnx.Index
	p     *Placement
	spec  variant.Spec
	built *Built // takes the encodings, and the tensors that stay float

	exact  map[string]Given          // encodings that were given, and are taken as they are
	inner  map[string]quant.Encoding // tensors within fused operators, which need one on a device; those that were chosen float
	widths []int                     // per node: in which it computes, 0 if that is not known
	half   []bool                    // per node: it computes in half precision among quantized ones
}

func (a *actEncodings) encodeActivations(activation func(string) (quant.Encoding, bool)) {
	activation = a.beside(activation)
	for _, name := range a.p.Order {
		place := a.p.Tensors[name]
		var e quant.Encoding
		var ok bool
		reason := "no finite value was seen in calibration"
		switch place.Role {
		case Own:
			if e, ok = activation(name); ok && e.Bits == 16 && len(a.exact[name].Encodings) == 0 {
				e = fixed(a.x, name, e)
			}
		case Shares:
			if e, ok = a.encoding(place.Of); !ok {
				reason = a.built.Float[place.Of]
			}
		case Union:
			if e, ok = a.union(name, place.Joins, activation); !ok {
				e, ok = activation(name)
			}
		case Fused:
			continue
		case None:
			reason = place.Reason
		}
		switch {
		case !ok:
			a.built.Float[name] = reason
		case a.spec.Choices[name].Float:
			a.inner[name], a.built.Float[name] = e, floatReason
		default:
			a.built.Encodings[name] = e
		}
	}
}

// beside asks for the encodings of all tensors that have their own, on all processors: some calibrators search long.
func (a *actEncodings) beside(activation func(string) (quant.Encoding, bool)) func(string) (quant.Encoding, bool) {
	type answer struct {
		e  quant.Encoding
		ok bool
	}
	var names []string
	for _, name := range a.p.Order {
		if a.p.Tensors[name].Role == Own {
			names = append(names, name)
		}
	}
	answers := make([]answer, len(names))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		all.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= len(names) {
					return
				}
				answers[k].e, answers[k].ok = activation(names[k])
			}
		})
	}
	all.Wait()
	known := map[string]answer{}
	for k, name := range names {
		known[name] = answers[k]
	}
	return func(name string) (quant.Encoding, bool) {
		if k, there := known[name]; there {
			return k.e, k.ok
		}
		return activation(name)
	}
}

// encoding is that of an activation that is rounded.
func (a *actEncodings) encoding(name string) (quant.Encoding, bool) {
	if e, ok := a.built.Encodings[name]; ok {
		return e, true
	}
	e, ok := a.inner[name]
	return e, ok
}

// everywhere gives encodings to the tensors within fused operators. A device takes no float tensor between two operators:
// what it fuses is recognized by equal encodings. Before an activation that only clamps, the encoding behind it clamps
// the same values, so that what is rounded twice is what is rounded once.
func (a *actEncodings) everywhere() {
	for _, n := range a.x.Nodes {
		for _, out := range n.GetOutput() {
			place, ok := a.p.Tensors[out]
			if !ok || place.Role != Fused || a.spec.Choices[out].Float {
				continue
			}
			for place.Role == Fused {
				out, place = place.Of, a.p.Tensors[place.Of]
			}
			if e, ok := a.built.Encodings[out]; ok {
				a.inner[n.GetOutput()[0]] = e
			}
		}
	}
}

// union is the encoding of all joined ranges; ok is false if one of them is not known.
func (a *actEncodings) union(name string, joins []string, activation func(string) (quant.Encoding, bool)) (quant.Encoding, bool) {
	var r quant.Range
	for _, join := range joins {
		e, ok := a.built.Encodings[join]
		if !ok {
			if e, ok = activation(join); !ok {
				return quant.Encoding{}, false
			}
		}
		r.Add(e.Min, e.Max)
	}
	v := a.spec.For(name)
	return quant.MinMax(r, v.ActBits, v.Calibrator == variant.Symmetric), r.Seen
}
