package align

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// leftovers finds layers that a converter made superfluous: those that only move their input's values, which the DLC's own
// order of axes did away with, and those that compute what another one computes too.
func (a *aligner) leftovers() {
	for _, name := range a.Layers {
		p, made := a.Index.Producer[name]
		if !made || a.Constant(name) {
			continue
		}
		n := a.Index.Nodes[p]
		if _, here := a.out.Pairs[name]; here {
			continue
		}
		var pair Pairing
		if other, ok := a.anyTwin(n, name); ok {
			pair = a.out.Pairs[other]
			pair.Rule = Duplicate
		} else if pair, ok = a.moved(n); !ok {
			continue
		}
		a.out.Pairs[name] = pair
		a.out.Counts[pair.Rule]++
	}
}

// does describes what an output of a node is: operator, attributes, inputs with the values of constants.
func (f Float) does(n *onnxpb.NodeProto, output int) string {
	h := sha256.New()
	fmt.Fprintln(h, n.GetOpType(), n.GetDomain(), output, len(n.GetInput()))
	deterministic := proto.MarshalOptions{Deterministic: true}
	for _, in := range n.GetInput() {
		if t := f.Index.Initializer[in]; t != nil {
			values := proto.CloneOf(t)
			values.Name = nil
			b, _ := deterministic.Marshal(values) // what does not marshal is no twin of anything
			fmt.Fprintf(h, "%x\n", sha256.Sum256(b))
			continue
		}
		fmt.Fprintf(h, "%q\n", in)
	}
	for _, attribute := range n.GetAttribute() {
		b, _ := deterministic.Marshal(attribute)
		fmt.Fprintf(h, "%x\n", b)
	}
	return string(h.Sum(nil))
}

// anyTwin finds a paired layer that is made by the same operator of the same inputs.
func (a *aligner) anyTwin(n *onnxpb.NodeProto, name string) (string, bool) {
	k := slices.Index(n.GetOutput(), name)
	for _, in := range onnx.Uses(n) {
		if a.Index.Initializer[in] != nil {
			continue
		}
		want := a.does(n, k)
		for _, c := range a.Index.Consumers[in] {
			other := a.Index.Nodes[c]
			if other == n || other.GetOpType() != n.GetOpType() || k >= len(other.GetOutput()) {
				continue
			}
			if p := a.out.Pairs[other.GetOutput()[k]]; p.Tensor != "" && a.does(other, k) == want {
				return other.GetOutput()[k], true
			}
		}
		return "", false // all twins take the first input too
	}
	return "", false
}

// moved pairs a layer that only moves data with the tensor of its input, in the order that makes its values of it.
func (a *aligner) moved(n *onnxpb.NodeProto) (Pairing, bool) {
	if len(n.GetInput()) == 0 {
		return Pairing{}, false
	}
	from := n.GetInput()[0]
	source, ok := a.out.Pairs[from]
	if !ok {
		source, ok = a.out.Inputs[from]
	}
	shape, known := a.Shape(from)
	if !ok || source.Tensor == "" || source.Unknown != "" || !known {
		return Pairing{}, false
	}
	p := Pairing{Tensor: source.Tensor, Rule: Moved}
	switch n.GetOpType() {
	case "Identity", "Dropout":
		p.Layout = source.Layout
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		// In the model's own order a new shape leaves the values where they are.
		if source.Layout != nil && !slices.IsSorted(effective(source.Layout, shape)) {
			return Pairing{}, false
		}
	case "Transpose":
		order := onnx.Attr(n, "perm").GetInts()
		if len(order) != len(shape) {
			return Pairing{}, false
		}
		at := make([]int, len(order)) // axis of the input → axis of the layer
		for i, axis := range order {
			at[axis] = i
		}
		for i := range order {
			axis := i
			if source.Layout != nil {
				axis = source.Layout[i]
			}
			p.Layout = append(p.Layout, at[axis])
		}
		if slices.IsSorted(p.Layout) {
			p.Layout = nil
		}
	default:
		return Pairing{}, false
	}
	return p, true
}
