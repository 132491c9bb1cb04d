package ort

import (
	"context"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// Inline puts one branch in the place of every If whose condition is constant since the shapes of the inputs are fixed, also of those in
// the branch. The second value names the nodes that are gone.
func Inline(ctx context.Context, r Engine, m *onnx.Model) (*onnx.Model, []string, error) {
	var gone []string
	for {
		if !slices.ContainsFunc(m.Graph().GetNode(), func(n *onnxpb.NodeProto) bool { return n.GetOpType() == "If" }) {
			return m, gone, nil
		}
		folded, _, _, err := Fold(ctx, r, m)
		if err != nil {
			return nil, nil, err
		}
		values := onnx.NewIndex(folded).Initializer
		inlined, names := onnx.InlineIf(m, func(condition string) (bool, bool) {
			p := values[condition]
			if p == nil {
				return false, false
			}
			t, err := folded.Tensor(p)
			if err != nil || len(t.Raw) != 1 {
				return false, false
			}
			return t.Raw[0] != 0, true
		})
		if len(names) == 0 {
			return m, gone, nil
		}
		m, gone = inlined, append(gone, names...)
	}
}
