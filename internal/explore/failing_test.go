package explore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// lossy writes a model whose w8a8 is far from it, and pictures.
func lossy(t *testing.T) (path, images string) {
	t.Helper()
	dir := t.TempDir()
	path, images = filepath.Join(dir, "m.onnx"), fixture.Pictures(t, 6)
	weights := make([]float32, 4*3*3*3)
	for i := range weights {
		weights[i] = (float32(i%7) - 3) / 4096
	}
	node := func(op, name string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: []string{name}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"),
		Node: []*onnxpb.NodeProto{
			node("Conv", "c", "x", "w"), node("Sigmoid", "s", "c"), node("Mul", "m", "c", "s"), node("Exp", "e", "small"), node("Mul", "y", "e", "s"),
		},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats(weights, 4, 3, 3, 3)), onnx.TensorProto("k", tensor.Floats([]float32{0.5}))},
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	g.Node = append(g.Node[:3:3], append([]*onnxpb.NodeProto{node("Mul", "small", "m", "k")}, g.Node[3:]...)...)
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, images
}

func hasQuantizers(g *onnxpb.GraphProto) bool {
	for _, n := range g.GetNode() {
		if strings.Contains(n.GetOpType(), "QuantizeLinear") {
			return true
		}
	}
	return false
}

// explorationOn explores the model on an engine that fails on some quantized models, which are counted from 0 as they come, and on the
// float model if that is said.
func explorationOn(t *testing.T, fails func(quantized int) error, float error) (*Result, int, error) {
	t.Helper()
	path, images := lossy(t)
	seen, failed := map[string]int{}, 0
	var mu sync.Mutex
	engine := fixture.Failing(fixture.Runtime(t), func(g *onnxpb.GraphProto) error {
		if !hasQuantizers(g) {
			return float
		}
		mu.Lock()
		defer mu.Unlock()
		key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&onnxpb.GraphProto{Node: g.GetNode(), Initializer: g.GetInitializer()})
		if err != nil {
			return err
		}
		if _, known := seen[string(key)]; !known { // a model is compiled more than once
			seen[string(key)] = len(seen)
		}
		err = fails(seen[string(key)])
		if err != nil {
			failed++
		}
		return err
	})
	input := dataset.Default()
	spec := result.ExploreSpec{
		Target: 1, Seconds: 300, Scoring: result.Scoring{Task: result.Agreement, Data: images}, Sources: result.Sources{Model: path, Images: images},
		Variants: []string{"w8a8"}, Input: input, Bounds: result.Bounds{MemoryMiB: 256, Threads: 1}, Place: result.Place{Name: "m"},
	}
	engines := session.Engines{ORT: engine, HTP: func() (htp.Engine, error) { return htp.Engine{}, qnn.ErrUnavailable }}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	x, err := Run(ctx, engines, spec, eval.Usual(), nil, progress.Silent{})
	return x, failed, err
}

func TestACandidateThatCannotBeRunCountsAsFailed(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
	}{
		{"crash", &ort.CrashError{How: "signal: segmentation fault", Node: "c (Conv)"}},
		{"memory", &ort.MemoryError{Tensor: "m", Bytes: 1 << 40, Memory: 1 << 28}},
		{"time", &ort.SlowError{Limit: time.Second}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for name, fails := range map[string]func(int) bool{
				"every second": func(i int) bool { return i%2 == 1 },
				"all others":   func(i int) bool { return i > 0 },
			} {
				x, failed, err := explorationOn(t, func(i int) error {
					if fails(i) {
						return row.err
					}
					return nil
				}, nil)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				warned := 0
				for _, w := range x.Warnings {
					if strings.Contains(w, row.err.Error()) {
						warned++
					}
				}
				if failed == 0 || warned == 0 || len(x.Points) == 0 || x.Points[0].Scored.Share.V <= 0 {
					t.Errorf("%s: %d models failed, %d warnings of it, %d points: %q", name, failed, warned, len(x.Points), x.Warnings)
				}
				for _, p := range x.Points {
					if !p.Scored.Share.OK {
						t.Errorf("%s: the point %s has no score", name, p.Title)
					}
				}
			}
		})
	}
}

func TestAFloatModelThatCannotBeRunEndsAnExploration(t *testing.T) {
	crash := &ort.CrashError{How: "signal: aborted"}
	_, _, err := explorationOn(t, func(int) error { return nil }, crash)
	if !errors.Is(err, crash) {
		t.Errorf("%v", err)
	}
}
