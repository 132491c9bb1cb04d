package onnx

import (
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/onnx/onnxpb"
)

// Dropped is what went from a model with outputs that nobody wants.
type Dropped struct {
	Outputs, Inputs []string // inputs that only they needed
	Nodes           int
}

// KeepOutputs gives the model with some of its outputs, in the model's order, without what only the others need: operators, constants and
// inputs. The error names an output that the model does not have.
func KeepOutputs(m *Model, names []string) (*Model, *Dropped, error) {
	g := m.Graph()
	for _, name := range names {
		if !slices.Contains(m.Outputs(), name) {
			return nil, nil, fmt.Errorf("the model has no output %q; it has %s", name, strings.Join(m.Outputs(), ", "))
		}
	}
	d := &Dropped{}
	wanted := map[string]bool{}
	after := &onnxpb.GraphProto{Name: g.Name, ValueInfo: g.GetValueInfo(), Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer()}
	for _, out := range g.GetOutput() {
		if slices.Contains(names, out.GetName()) {
			after.Output = append(after.Output, out)
			wanted[out.GetName()] = true
		} else {
			d.Outputs = append(d.Outputs, out.GetName())
		}
	}
	needed := make([]bool, len(g.GetNode()))
	before := map[string]bool{} // what was read at all
	for i := len(g.GetNode()) - 1; i >= 0; i-- {
		n := g.GetNode()[i]
		needed[i] = slices.ContainsFunc(n.GetOutput(), func(out string) bool { return out != "" && wanted[out] })
		for _, in := range Uses(n) {
			before[in] = true
			wanted[in] = wanted[in] || needed[i]
		}
	}
	var nodes []*onnxpb.NodeProto
	for i, n := range g.GetNode() {
		if needed[i] {
			nodes = append(nodes, n)
		} else {
			d.Nodes++
		}
	}
	constant := map[string]bool{} // older models list them among the inputs
	for _, t := range g.GetInitializer() {
		constant[t.GetName()] = true
	}
	for _, in := range g.GetInput() {
		if before[in.GetName()] && !wanted[in.GetName()] {
			if !constant[in.GetName()] {
				d.Inputs = append(d.Inputs, in.GetName())
			}
			continue
		}
		after.Input = append(after.Input, in)
	}
	kept := Rebuild(m.With(after), nodes)
	kept.SHA256 = m.SHA256
	return kept, d, nil
}
