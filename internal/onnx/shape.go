package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/onnx/onnxpb"
)

// FixInputs gives a copy of the model whose inputs have fixed shapes: those that are asked for by name (the name ""
// means the only input), else the model's own, in which a dimension with a name is the same in all inputs. What is open then is taken from
// hints, shapes of samples by input, as far as they fit. An open first dimension becomes 1. What else is open is an error that
// says what to give. The second value names the inputs whose batch dimension was set to 1.
func FixInputs(m *Model, shapes map[string][]int64, hints ...map[string][]int64) (*Model, []string, error) {
	inputs := m.Inputs()
	if s, ok := shapes[""]; ok {
		if len(inputs) != 1 {
			return nil, nil, fmt.Errorf("the model has %d inputs (%s); name the one whose shape you give", len(inputs), strings.Join(names(inputs), ", "))
		}
		shapes = map[string][]int64{inputs[0].GetName(): s}
	}
	for name := range shapes {
		if !slices.Contains(names(inputs), name) {
			return nil, nil, fmt.Errorf("the model has no input %q; it has %s", name, strings.Join(names(inputs), ", "))
		}
	}
	b := binding{dims: map[string]bound{}}
	for _, in := range inputs {
		if err := b.given(in, shapes); err != nil {
			return nil, nil, err
		}
	}
	for _, hint := range hints {
		for _, in := range inputs {
			b.hinted(in, shapes, hint)
		}
	}
	batched := b.batches(inputs, shapes)
	var open []*onnxpb.ValueInfoProto
	fixed := make([]*onnxpb.ValueInfoProto, 0, len(inputs))
	for _, in := range inputs {
		d, _, _ := TypeOf(in)
		want, given := shapes[in.GetName()]
		if !given {
			want = b.shape(in)
		}
		if want == nil || slices.ContainsFunc(want, func(d int64) bool { return d < 0 }) {
			open = append(open, in)
			continue
		}
		fixed = append(fixed, ValueInfo(in.GetName(), d, want))
	}
	if len(open) > 0 {
		return nil, nil, b.missing(open, len(inputs))
	}
	g := m.Graph()
	outputs := make([]*onnxpb.ValueInfoProto, 0, len(g.GetOutput()))
	for _, out := range g.GetOutput() {
		outputs = append(outputs, Untyped(out.GetName()))
	}
	c := m.With(&onnxpb.GraphProto{
		Name: g.Name, Node: g.GetNode(), Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer(),
		Input: fixed, Output: outputs,
	})
	c.SHA256 = m.SHA256
	return c, batched, nil
}

// Untyped names a graph output and leaves its type to be inferred.
func Untyped(name string) *onnxpb.ValueInfoProto { return &onnxpb.ValueInfoProto{Name: &name} }

// ShapeText writes a declared shape as people read it, symbolic dimensions by their names.
func ShapeText(v *onnxpb.ValueInfoProto) string {
	var dims []string
	for _, d := range v.GetType().GetTensorType().GetShape().GetDim() {
		switch x := d.GetValue().(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			dims = append(dims, strconv.FormatInt(x.DimValue, 10))
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			dims = append(dims, x.DimParam)
		default:
			dims = append(dims, "?")
		}
	}
	return "[" + strings.Join(dims, ",") + "]"
}

func names(values []*onnxpb.ValueInfoProto) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.GetName()
	}
	return out
}
