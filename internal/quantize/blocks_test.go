package quantize_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/quantize"
	"quantcheck/internal/session"
)

// Encodings per block are written as integers with their DequantizeLinear, or refused where the operator set has none.
func TestBlocksAreWrittenOrRefused(t *testing.T) {
	t.Parallel()
	for opset, refused := range map[int64]string{17: "operator set 17", 21: ""} {
		n := network{shape: []int64{1, 8}, opset: opset, constants: map[string][]int64{"w": {8, 2}}, nodes: []*onnxpb.NodeProto{node("MatMul", []string{"x", "w"}, "m"), node("Tanh", []string{"m"}, "y")}}
		dir := t.TempDir()
		model, list := n.write(t, dir)
		asked := filepath.Join(dir, "x.encodings")
		if err := os.WriteFile(asked, []byte(`{"version":"1.0.0","activation_encodings":[],"param_encodings":[{"name":"w","enc_type":"PER_BLOCK","dtype":"INT","bw":4,"is_sym":true,"scale":[0.25,0.5,0.125,0.75],"offset":[-8,-8,-8,-8],"block_size":4}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := quantize.Run(context.Background(), session.Engines{ORT: fixture.Runtime(t)}, quantize.Spec{Model: model, Name: "m", Calib: list, Recipe: "mine=" + asked, Input: dataset.Default(), MemoryMiB: 256}, progress.Silent{})
		if refused != "" {
			if err == nil || !strings.Contains(err.Error(), refused) {
				t.Errorf("set %d: %v", opset, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		divided := 0
		for _, n := range q.Model.Graph().GetNode() {
			if n.GetOpType() == "DequantizeLinear" && onnx.AttrInt(n, "block_size", 0) == 4 && onnx.AttrInt(n, "axis", 1) == 0 {
				divided++
			}
		}
		if params := q.Run.Variants[0].Params; divided != 1 || len(params) != 1 || params[0].Blocks == nil || params[0].Blocks.Size != 4 {
			t.Errorf("%d constants with blocks are written; %+v", divided, params)
		}
	}
}
