package flow

import (
	"context"
	"fmt"

	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// InspectDLC views a DLC or a listing of one; weights are not read. The file is for use to look further, if it is not nil,
// and is closed after it.
func InspectDLC(path string, use func(*inspect.View, *dlc.File) error) (*inspect.View, error) {
	f, err := openContainer(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v := inspect.DLC(path, f)
	if use != nil {
		err = use(v, f)
	}
	return v, err
}

// InspectONNX views an ONNX model with its constants folded; shapes are for inputs with open dimensions.
func InspectONNX(ctx context.Context, engines Engines, path string, shapes map[string][]int64) (*inspect.View, error) {
	m, err := onnx.Load(path)
	if err != nil {
		return nil, usage(err)
	}
	producer, version := m.Proto.GetProducerName(), m.Proto.GetProducerVersion()
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, usage(fmt.Errorf("%s: %w", path, err))
	}
	m, _, types, err := ort.Fold(ctx, engines.ORT, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v, err := inspect.ONNX(path, m, func(name string) (tensor.DType, []int64, bool) {
		t, ok := types[name]
		return t.DType, t.Shape, ok && t.Tensor
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v.Converter, v.Version = producer, version
	return v, nil
}
