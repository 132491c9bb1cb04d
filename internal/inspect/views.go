package inspect

import (
	"context"
	"fmt"

	"quantcheck/internal/dlc"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// ViewDLC views a DLC or a listing of one; weights are not read. The file is for use to look further, if it is not nil,
// and is closed after it.
func ViewDLC(path string, use func(*View, *dlc.File) error) (*View, error) {
	f, err := OpenDLC(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v := DLC(path, f)
	if use != nil {
		err = use(v, f)
	}
	return v, err
}

// ViewONNX views an ONNX model with its constants folded; shapes are for inputs with open dimensions.
func ViewONNX(ctx context.Context, r ort.Engine, path string, shapes map[string][]int64) (*View, error) {
	m, err := modelfile.Load(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	was := floattwin.Find(m)
	producer, version := m.Proto.GetProducerName(), m.Proto.GetProducerVersion()
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	m, gone, err := ort.Inline(ctx, r, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m, _, types, err := ort.Fold(ctx, r, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v, err := ONNX(path, m, func(name string) (tensor.DType, []int64, bool) {
		t, ok := types[name]
		return t.DType, t.Shape, ok && t.Tensor
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v.Converter, v.Version = producer, version
	if was != nil {
		v.Quantized = was.String()
	}
	if len(gone) > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d If nodes have a constant condition under these input shapes: the branch that is taken is in their place, as converters do", len(gone)))
	}
	if outer, inner := onnx.Branching(m.Graph().GetNode()...); outer > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d nodes of control flow (If, Loop, Scan) hold %d operators in their bodies: no recipe quantizes these, and the HTP has no such operators", outer, inner))
	}
	return v, nil
}

// Makers names the node that makes each tensor of a DLC.
func Makers(view *View) map[string]string {
	maker := map[string]string{}
	for _, l := range view.Layers {
		for _, out := range l.Outputs {
			maker[out.Name] = l.Name
		}
	}
	return maker
}
