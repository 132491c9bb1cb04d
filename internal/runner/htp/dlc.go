package htp

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/scratch"
)

// WriteDLC writes a model as a DLC, without any SDK: the IR backend of Qualcomm's libraries keeps the graph that ONNX
// Runtime's provider builds in it, quantization included. The names of nodes and tensors are the model's; inputs and outputs
// that are quantized are integers, as SNPE's are. The error is a *RefusedError if an operator cannot be written.
func (e Engine) WriteDLC(ctx context.Context, m *onnx.Model) ([]byte, error) {
	dir, err := scratch.Folder("", "dlc")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	form, err := taken(m)
	if err != nil {
		return nil, err
	}
	b, err := qdq.Integers(form, m.Outputs())
	if err != nil {
		return nil, err
	}
	m = ownNames(b)
	l := load{
		Library: e.Library, Provider: e.Kit.Provider(), External: externalDir(m), Inputs: slots(m), Outputs: m.Outputs(),
		Options: map[string]string{"backend_path": e.Kit.IR(), "dump_qnn_ir_dlc": "1", "dump_qnn_ir_dlc_dir": dir},
	}
	data, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	s, err := openSession(ctx, l, data)
	if err != nil {
		return nil, err
	}
	s.close()
	found, err := filepath.Glob(filepath.Join(dir, "*.dlc"))
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, errors.New("the IR backend wrote no DLC")
	case 1:
		return os.ReadFile(found[0])
	}
	return nil, errors.New("the model was divided into several graphs, which one DLC does not hold")
}

// ownNames gives a boundary graph's integers the names of the tensors that they carry, where these are free.
func ownNames(b *qdq.Boundary) *onnx.Model {
	x := onnx.NewIndex(b.Model)
	rename := map[string]string{}
	for _, p := range slices.Concat(b.Inputs, b.Outputs) {
		_, made := x.Producer[p.Tensor]
		if p.Name != p.Tensor && !made && !x.Input[p.Tensor] && x.Initializer[p.Tensor] == nil {
			rename[p.Name] = p.Tensor
		}
	}
	to := func(names []string) []string {
		list := slices.Clone(names)
		for i, n := range list {
			if r, ok := rename[n]; ok {
				list[i] = r
			}
		}
		return list
	}
	var nodes []*onnxpb.NodeProto
	for _, n := range x.Nodes {
		c := proto.CloneOf(n)
		c.Input, c.Output = to(n.GetInput()), to(n.GetOutput())
		nodes = append(nodes, c)
	}
	g := b.Model.Graph()
	after := &onnxpb.GraphProto{Name: g.Name, Node: nodes, Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer()}
	for _, in := range g.GetInput() {
		d, shape, _ := onnx.TypeOf(in)
		after.Input = append(after.Input, onnx.ValueInfo(to([]string{in.GetName()})[0], d, shape))
	}
	for _, out := range g.GetOutput() {
		after.Output = append(after.Output, onnx.Untyped(to([]string{out.GetName()})[0]))
	}
	return b.Model.With(after)
}
