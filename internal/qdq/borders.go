package qdq

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/variant"
)

// Where activations of 8 and of 16 bits meet, a device wants an operator's inputs and output of one width. The operator
// computes in the widest of them; what is narrower is converted before it, what it makes is converted behind it:
//
//	x (8) ─► Q ─► DQ ─► Q16 ─► DQ16 ─┐
//	y (16) ─► Q16 ─► DQ16 ───────────┴─► Add ─► Q16 ─► DQ16 ─► Q ─► DQ ─► z (8)
//
// The HTP takes other forms too, for more than twice the time. An operator that only moves or joins data has the width of
// what it makes.

const (
	convertedSuffix = "_Convert_Output" // a tensor in another width, before an operator
	unconverted     = "_Convert_Input"  // what an operator made in a wider one
)

// finer is how many steps of 16 bits one of 8 bits is: what is converted to 16 bits keeps its value.
const finer = 256

// widen gives the 16-bit encoding that holds all values of one of 8 bits.
func widen(e quant.Encoding) quant.Encoding {
	if e.Symmetric {
		return quant.FromScale(16, true, e.Scale/finer, e.Offset*finer)
	}
	return quant.FromScale(16, false, e.Scale/finer, e.Offset*finer)
}

// findWidths says for every node in which width it computes: 0 if that is not known.
func (a *actEncodings) findWidths() {
	a.widths = make([]int, len(a.x.Nodes))
	root := make([]int, len(a.x.Nodes)) // the last node of those that are fused with it
	for i := len(a.x.Nodes) - 1; i >= 0; i-- {
		n := a.x.Nodes[i]
		root[i] = i
		if len(n.GetOutput()) == 0 {
			continue
		}
		place := a.p.Tensors[n.GetOutput()[0]]
		if k, ok := a.x.SoleConsumer(n.GetOutput()[0]); ok && place.Role == Fused {
			root[i] = root[k]
		} else if e, ok := a.encoding(n.GetOutput()[0]); ok {
			a.widths[i] = e.Bits
		}
		if place.Role == Union || place.Role == Shares || a.widths[root[i]] == 0 {
			continue
		}
		for _, in := range n.GetInput() {
			if e, ok := a.encoding(in); ok && a.p.Tensors[in].Role != Fused {
				a.widths[root[i]] = max(a.widths[root[i]], e.Bits)
			}
		}
	}
	for i := range root {
		if a.widths[i] = a.widths[root[i]]; a.half[i] {
			a.widths[i] = 0
			continue
		}
		for _, out := range a.x.Nodes[i].GetOutput() {
			if e, ok := a.inner[out]; ok && e.Bits < a.widths[i] {
				a.inner[out] = widen(e)
			}
		}
	}
}

// actBits is the width in which a node computes.
func (a *actEncodings) actBits(node int) int {
	if w := a.widths[node]; w != 0 {
		return w
	}
	return a.spec.ActBits
}

// taken is the encoding in which a node takes an activation.
func (a *actEncodings) taken(node int, name string) (quant.Encoding, bool) {
	e, ok := a.encoding(name)
	if w := a.widths[node]; !ok || w == 0 || w == e.Bits {
		return e, ok
	} else if w > e.Bits {
		return widen(e), true
	}
	return a.encoding(a.x.Nodes[node].GetOutput()[0]) // it joins its inputs
}

// convert gives the tensor that a node takes for an activation: to, which carries its quantized values, or those in the
// node's width.
func (b *builder) convert(node int, name, to string) string {
	have, ok := b.acts.encoding(name)
	if !ok || b.spec.Engine == variant.CPU {
		return to
	}
	want, _ := b.acts.taken(node, name)
	if want == have {
		return to
	}
	key := conversion{name, want}
	if _, done := b.converted[key]; !done {
		b.converted[key] = b.unique(name + convertedSuffix)
		b.round(b.converted[key], to, b.converted[key], want)
	}
	return b.converted[key]
}

type conversion struct {
	tensor string
	to     quant.Encoding
}

// pair adds the quantizer of an activation, behind that of its operator's width where the operator computes in a wider
// one.
func (b *builder) pair(name, from, to string) {
	e, _ := b.acts.encoding(name)
	if p, made := b.x.Producer[name]; made && b.acts.widths[p] > e.Bits && b.spec.Engine != variant.CPU {
		wide := b.unique(name + unconverted)
		b.round(wide, from, wide, fixed(b.x, name, widen(e)))
		from = wide
	}
	b.round(name, from, to, e)
}

// fixed is the 16-bit encoding that the HTP gives what some operators make, whatever its range; else e. With another one
// its Sigmoid is hundreds of steps off.
func fixed(x *onnx.Index, name string, e quant.Encoding) quant.Encoding {
	p, made := x.Producer[name]
	if !made {
		return e
	}
	switch x.Nodes[p].GetOpType() {
	case "Sigmoid":
		return quant.FromScale(16, false, 1.0/65536, 0)
	case "Tanh":
		return quant.FromScale(16, false, 1.0/32768, -32768)
	}
	return e
}
