package rewrite

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

// facts is what is known of the graph before a pass. It never changes.
type facts struct {
	m      *onnx.Model
	x      *onnx.Index
	shapes Shapes
	float  func(tensor string) bool
	types  func(name string) (tensor.DType, bool) // nil: none is known
	seen   map[string]*view                       // views of tensors, whoever uses what lies between
}

// constant decodes a float32 initializer that is no graph input.
func (f *facts) constant(name string) (tensor.Tensor, bool, error) {
	p := f.x.Initializer[name]
	if p == nil || f.x.Input[name] || tensor.DType(p.GetDataType()) != tensor.Float32 {
		return tensor.Tensor{}, false, nil
	}
	t, err := f.m.Tensor(p)
	return t, err == nil, err
}

// ints decodes an integer initializer, or the value of a Constant.
func (f *facts) ints(name string) ([]int64, bool, error) {
	p := f.x.Initializer[name]
	if k, made := f.x.Producer[name]; made && f.x.Nodes[k].GetOpType() == "Constant" && f.x.Nodes[k].GetDomain() == "" && len(f.x.Nodes[k].GetAttribute()) == 1 {
		p = constantValue(f.x.Nodes[k].GetAttribute()[0])
	}
	if p == nil || f.x.Input[name] {
		return nil, false, nil
	}
	t, err := f.m.Tensor(p)
	if err != nil {
		return nil, false, err
	}
	v, ok := t.Ints()
	return v, ok, nil
}
