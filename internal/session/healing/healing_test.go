package healing_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// network has a Conv, a depthwise one, a grouped one with strides, a ConvTranspose, two branches that join, a MatMul with a bias of its own and
// a Gemm, whose inputs correlate.
func network() (*onnxpb.ModelProto, []int64) {
	rng := rand.New(rand.NewPCG(5, 6))
	shape := []int64{1, 3, 12, 12}
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, shape)}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, nil)}}
	constant := func(name string, dims ...int64) {
		n, _ := tensor.Count(dims)
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()/2) / 2)
		}
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, tensor.Floats(v, dims...)))
	}
	add := func(op, out string, inputs []string, attributes ...*onnxpb.AttributeProto) {
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(out + "_node"), Input: inputs, Output: []string{out}, Attribute: attributes})
	}
	ints := func(name string, values ...int64) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: proto.String(name), Ints: values, Type: onnxpb.AttributeProto_INTS.Enum()}
	}
	constant("w1", 8, 3, 3, 3)
	constant("b1", 8)
	constant("w2", 8, 1, 3, 3)
	constant("b2", 8)
	constant("w3", 8, 4, 2, 2)
	constant("b3", 8)
	constant("w4", 8, 4, 2, 2)
	constant("b4", 4)
	constant("w5", 8, 4, 1, 1)
	constant("b5", 4)
	constant("w6", 12, 6)
	constant("b6", 6)
	constant("w7", 5, 6)
	constant("b7", 5)
	g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String("flat"), Dims: []int64{2}, DataType: proto.Int32(7), Int64Data: []int64{48, 12}})
	add("Conv", "c1", []string{"x", "w1", "b1"}, ints("pads", 1, 1, 1, 1))
	add("Relu", "r1", []string{"c1"})
	add("Conv", "c2", []string{"r1", "w2", "b2"}, ints("pads", 1, 1, 1, 1), onnx.IntAttr("group", 8))
	add("Sigmoid", "s2", []string{"c2"})
	add("Mul", "m2", []string{"c2", "s2"})
	add("Conv", "c3", []string{"m2", "w3", "b3"}, ints("strides", 2, 2), onnx.IntAttr("group", 2))
	add("ConvTranspose", "c4", []string{"c3", "w4", "b4"}, ints("strides", 2, 2))
	add("ReduceMean", "mean", []string{"r1"}, ints("axes", 1), onnx.IntAttr("keepdims", 1))
	add("Add", "a4", []string{"c4", "mean"})
	add("Reshape", "f", []string{"a4", "flat"})
	add("MatMul", "p6", []string{"f", "w6"})
	add("Add", "a6", []string{"p6", "b6"})
	add("Relu", "r6", []string{"a6"})
	add("Gemm", "y", []string{"r6", "w7", "b7"}, onnx.IntAttr("transB", 1))
	return &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}}, shape
}

// write writes the network and samples of smooth noise.
func write(t *testing.T, samples int) (model, list string) {
	t.Helper()
	dir := t.TempDir()
	m, shape := network()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(model, data, 0o644); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var lines []string
	for i := range samples {
		v := make([]float32, 3*12*12)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
			if j > 12 {
				v[j] += 0.5*v[j-1] + 0.4*v[j-12]
			}
		}
		name := fmt.Sprintf("x%d.npy", i)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := tensor.WriteNpy(f, tensor.Floats(v, shape...)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, name)
	}
	list = filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return model, list
}

// build prepares recipes on the samples of a list.
func build(ctx context.Context, t *testing.T, model, list string, memory int, report progress.Reporter, recipes ...string) (*session.Session, *dataset.Set, error) {
	t.Helper()
	specs, err := variant.ParseAll(recipes)
	if err != nil {
		t.Fatal(err)
	}
	b, err := session.Open(ctx, fixture.Runtime(t), session.Options{Command: "check", Name: "m", Model: model, Input: dataset.Default(), SamplePath: list, MemoryMiB: memory}, specs, report, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	set, err := session.Samples(list, 0, b.Loader)
	if err != nil {
		t.Fatal(err)
	}
	return b, set, prepare.Build(ctx, b, set, b.Loader)
}

// loss is the part of the float output's power that a variant's model loses, on the samples from number from on.
func loss(t *testing.T, b *session.Session, set *dataset.Set, m *onnx.Model, from int) float64 {
	t.Helper()
	wrong, power := 0.0, 0.0
	for _, source := range set.Sources[from:] {
		s, err := b.Loader.Load(source)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := ort.Once(context.Background(), b.ORT, b.Float.Model, s.Inputs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ort.Once(context.Background(), b.ORT, m, s.Inputs)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range ref["y"].F32 {
			d := float64(v - got["y"].F32[i])
			wrong, power = wrong+d*d, power+float64(v)*float64(v)
		}
	}
	return wrong / power
}

func TestHealedWeightsLoseLess(t *testing.T) {
	t.Parallel()
	model, list := write(t, 12)
	for _, recipe := range []string{"w4a16", "w4a8", "w8a8", "w8a16", "w4a8,per-tensor", "w4a16,small8:100", "w4a8,bias8"} {
		b, set, err := build(context.Background(), t, model, list, 512, progress.Silent{}, recipe, recipe+",heal")
		if err != nil {
			t.Fatal(err)
		}
		plain, healed := loss(t, b, set, b.Variants[0].Model, 0), loss(t, b, set, b.Variants[1].Model, 0)
		limit := plain
		if strings.HasPrefix(recipe, "w4") && !strings.Contains(recipe, "bias8") {
			limit = plain / 2
		}
		if healed >= limit {
			t.Errorf("%s loses %.3g, healed %.3g", recipe, plain, healed)
		}
		h := b.Variants[1].Result.Healing
		if len(h.Layers) != 6 || h.Samples != 12 { // MatMul, too
			t.Errorf("%s: %+v", recipe, h)
		}
		for _, l := range h.Layers {
			if l.After > l.Before*(1+1e-9) || l.Kept > l.Channels || l.Weights == 0 {
				t.Errorf("%s: %+v", recipe, l)
			}
		}
		for k, e := range b.Run.Variants[0].Layers { // activations keep the encodings of the recipe
			if other := b.Run.Variants[1].Layers[k]; !reflect.DeepEqual(e, other) {
				t.Errorf("%s: layer %d is %+v, healed %+v", recipe, k, e, other)
			}
		}
	}
}

// The weights do not depend on how many processors there are, nor on the run.
func TestAModelIsHealedInOneWayOnly(t *testing.T) {
	model, list := write(t, 5)
	var first []byte
	for _, processors := range []int{1, 3} {
		before := runtime.GOMAXPROCS(processors)
		b, _, err := build(context.Background(), t, model, list, 512, progress.Silent{}, "w4a8,heal")
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		data, err := b.Variants[0].Model.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		} else if string(first) != string(data) {
			t.Errorf("with %d processors other weights were found", processors)
		}
	}
}

// One sample is enough: there is no cross-validation then.
func TestOneSampleIsEnough(t *testing.T) {
	t.Parallel()
	model, list := write(t, 1)
	b, _, err := build(context.Background(), t, model, list, 512, progress.Silent{}, "w4a8,heal")
	if err != nil || b.Variants[0].Result.Healing.Samples != 1 {
		t.Errorf("%v, %+v", err, b.Run.Warnings)
	}
}

// cancelling ends a context when a phase begins.
type cancelling struct {
	progress.Silent
	cancel context.CancelFunc
}

func (c cancelling) Phase(title string, _ int) {
	if strings.Contains(title, "healing") {
		c.cancel()
	}
}

func TestHealingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	model, list := write(t, 3)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, _, err := build(ctx, t, model, list, 512, cancelling{cancel: cancel}, "w4a8,heal"); err == nil {
		t.Error("it went on")
	}
}

// What --memory does not allow is left as the recipe has it, and named.
func TestLittleMemoryHealsLess(t *testing.T) {
	t.Parallel()
	model, list := write(t, 60)
	b, _, err := build(context.Background(), t, model, list, 1, progress.Silent{}, "w4a8,heal")
	if err != nil {
		t.Fatal(err)
	}
	whole, _, err := build(context.Background(), t, model, list, 512, progress.Silent{}, "w4a8,heal")
	if err != nil {
		t.Fatal(err)
	}
	few, all := b.Variants[0].Result.Healing, whole.Variants[0].Result.Healing
	said := strings.Join(b.Run.Warnings, "\n")
	if few.Samples == all.Samples && len(few.Layers) == len(all.Layers) || !strings.Contains(said, "--memory") {
		t.Errorf("%d samples, %d layers, of %d and %d: %s", few.Samples, len(few.Layers), all.Samples, len(all.Layers), said)
	}
}
