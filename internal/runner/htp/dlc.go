package htp

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"quantcheck/internal/onnx"
)

// WriteDLC writes a model as a DLC, without any SDK: the IR backend of Qualcomm's libraries keeps the graph that ONNX
// Runtime's provider builds in it, quantization included. The names of nodes and tensors are the model's. The error is a
// *RefusedError if an operator cannot be written.
func (e Engine) WriteDLC(ctx context.Context, m *onnx.Model) ([]byte, error) {
	dir, err := os.MkdirTemp("", "quantcheck-dlc-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m = named(raised(m))
	l := load{
		Library: e.Library, Provider: e.Kit.Provider(), External: externalDir(m), Outputs: m.Outputs(),
		Options: map[string]string{"backend_path": e.Kit.IR(), "dump_qnn_ir_dlc": "1", "dump_qnn_ir_dlc_dir": dir},
	}
	for _, in := range m.Inputs() {
		d, shape, _ := onnx.TypeOf(in)
		l.Inputs = append(l.Inputs, slot{Name: in.GetName(), DType: d, Shape: shape})
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
