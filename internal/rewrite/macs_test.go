package rewrite

import (
	"testing"

	"quantcheck/internal/onnx/onnxpb"
)

func TestMACs(t *testing.T) {
	t.Parallel()
	shapes := func(of map[string][]int64) Shapes {
		return func(name string) ([]int64, bool) { s, ok := of[name]; return s, ok }
	}
	for _, c := range []struct {
		op     string
		shapes map[string][]int64
		want   int64
	}{
		{"LSTM", map[string][]int64{"x": {5, 2, 4}, "w": {1, 12, 4}, "r": {1, 12, 3}}, 5 * 2 * (12*4 + 12*3)},
		{"GRU", map[string][]int64{"x": {5, 2, 4}, "w": {2, 9, 4}, "r": {2, 9, 3}, "y": {5, 2, 2, 3}}, 5 * 2 * 2 * (9*4 + 9*3)},
		{"RNN", map[string][]int64{"x": {1, 1, 4}, "w": {1, 3, 4}, "r": {1, 3, 3}}, 12 + 9},
		{"RNN", map[string][]int64{"x": {1, 1, 4}, "w": {1, 3, 4}}, -1},
		{"RNN", map[string][]int64{"x": {-1, 1, 4}, "w": {1, 3, 4}, "r": {1, 3, 3}}, -1},
		{"MatMul", map[string][]int64{"x": {6, 4}, "w": {4, 3}, "y": {6, 3}}, 72},
		{"MatMul", map[string][]int64{"x": {6, 4}, "w": {4, 3}}, -1},
		{"Tanh", map[string][]int64{"x": {6}, "y": {6}}, 0},
	} {
		n := &onnxpb.NodeProto{OpType: &c.op, Input: []string{"x", "w", "r"}, Output: []string{"y"}}
		if got := MACs(n, shapes(c.shapes)); got != c.want {
			t.Errorf("%s of %v: %d, want %d", c.op, c.shapes, got, c.want)
		}
	}
}
