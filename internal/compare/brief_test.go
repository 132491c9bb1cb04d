package compare_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/compare"
	"quantcheck/internal/compare/brief"
	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// twoHeads writes a model with a head of parts of unlike range, and one of classes.
func twoHeads(t *testing.T) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	weights := func(name string, scale float64, dims ...int64) *onnxpb.TensorProto {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.NormFloat64() * scale * math.Exp(r.NormFloat64()))
		}
		return onnx.TensorProto(name, tensor.Floats(values, dims...))
	}
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String(out), Input: in, Output: []string{out}}
	}
	concat := node("Concat", "head", "boxes", "scores")
	concat.Attribute = []*onnxpb.AttributeProto{{Name: proto.String("axis"), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)}}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
		Name: proto.String("g"),
		Node: []*onnxpb.NodeProto{
			node("Conv", "a", "x", "w1"), node("Sigmoid", "s", "a"), node("Mul", "silu", "a", "s"),
			node("Conv", "boxes", "silu", "w2"), node("Conv", "c", "silu", "w3"), node("Sigmoid", "scores", "c"), concat,
			node("GlobalAveragePool", "pool", "silu"), node("Flatten", "flat", "pool"), node("MatMul", "logits", "flat", "w4"), node("Softmax", "classes", "logits"),
		},
		Initializer: []*onnxpb.TensorProto{weights("w1", 0.01, 8, 3, 1, 1), weights("w2", 8, 4, 8, 1, 1), weights("w3", 1, 3, 8, 1, 1), weights("w4", 2, 8, 5)},
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("head"), onnx.Untyped("classes")},
	}})
	model := filepath.Join(t.TempDir(), "m.onnx")
	if err == nil {
		err = os.WriteFile(model, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// TestAVerdictOfOutputsAloneIsThatOfACheck holds the cheap way to judge a variant against a whole check of the same few samples.
func TestAVerdictOfOutputsAloneIsThatOfACheck(t *testing.T) {
	t.Parallel()
	const few = 3
	calib := fixture.Pictures(t, 9)
	for i := range 4 { // others than those that are compared
		if err := os.Remove(filepath.Join(calib, string(rune('0'+i))+".png")); err != nil {
			t.Fatal(err)
		}
	}
	spec := result.CheckSpec{
		Sources: result.Sources{Model: twoHeads(t), Images: fixture.Pictures(t, 6), Calib: calib}, Variants: []string{"w8a8"}, Place: result.Place{Name: "m"}, Input: dataset.Default(),
		Bounds: result.Bounds{Threads: fixture.Threads, MemoryMiB: 512}, LocalSamples: 2,
	}
	engines := session.Engines{ORT: fixture.Runtime(t)}
	_, checked, err := compare.Check(t.Context(), engines, spec, progress.Silent{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := compare.Bench(t.Context(), engines, spec)
	if err != nil {
		t.Fatal(err)
	}
	recipes := []string{"w8a8", "w8a8,mse", "w8a8,mse-out", "w8a8,enhanced", "w8a8,percentile:99.9", "w4a8,per-tensor", "w8a16", "fp16"}
	var also []variant.Spec
	for _, text := range recipes {
		v, err := variant.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		also = append(also, v)
	}
	seen := map[string]bool{}
	for _, own := range []bool{false, true} {
		whole := spec
		whole.Limit, whole.Variants, whole.LocalSamples = few, recipes, 0
		if own {
			whole.Calib = ""
		}
		run, err := compare.Run(t.Context(), engines, whole, progress.Silent{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range also {
			want := *run.Variants[i].Verdict
			want.Causes = nil
			seen[fmt.Sprint(want.Parts)] = true
			if len(want.Parts) < 3 || len(want.Decisions) != 1 {
				t.Fatalf("%s is judged by %d parts and %d decisions", recipes[i], len(want.Parts), len(want.Decisions))
			}
			for name, bench := range map[string]*brief.Bench{"after a check": checked, "without one": fresh} {
				got, err := bench.Judge(t.Context(), brief.Question{Variant: v, Samples: few, Own: own, Also: also})
				if err != nil {
					t.Fatal(err)
				}
				if got.Samples != few || !reflect.DeepEqual(*got.Verdict, want) {
					t.Errorf("%s, calibrated on what is compared: %v, %s:\n%+v\n%+v in a check", recipes[i], own, name, *got.Verdict, want)
				}
			}
		}
	}
	if len(seen) < 2*len(recipes)-2 {
		t.Errorf("all are %v: the test shows little", seen)
	}
}
