package cpu_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

func text(name, value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(value)}
}

func int64s(name string, values ...int64) *onnxpb.TensorProto {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return onnx.TensorProto(name, tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw})
}

// hostile builds a model in which an operator that does harm stands between others that do not: x, three times Relu, the operator,
// a Sigmoid.
func hostile(t testing.TB, n *onnxpb.NodeProto, inits ...*onnxpb.TensorProto) *onnx.Model {
	t.Helper()
	for i, in := range n.GetInput() {
		if in == "x" {
			n.Input[i] = "c"
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	g := &onnxpb.GraphProto{
		Node: []*onnxpb.NodeProto{
			node("Relu", []string{"x"}, []string{"a"}), node("Relu", []string{"a"}, []string{"b"}), node("Relu", []string{"b"}, []string{"c"}), n,
			node("Sigmoid", []string{"y"}, []string{"z"}),
		},
		Initializer: inits,
		Input:       []*onnxpb.ValueInfoProto{value("x", 1, 3, 8, 8)}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("z")},
	}
	if err := os.WriteFile(path, model(t, g), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// endless is a Loop whose condition stays true.
func endless() (*onnxpb.NodeProto, []*onnxpb.TensorProto) {
	body := &onnxpb.GraphProto{
		Name: proto.String("body"),
		Node: []*onnxpb.NodeProto{node("Identity", []string{"cin"}, []string{"cout"}), node("Relu", []string{"ain"}, []string{"aout"})},
		Input: []*onnxpb.ValueInfoProto{
			{Name: proto.String("it"), Type: scalar(tensor.Int64)}, {Name: proto.String("cin"), Type: scalar(tensor.Bool)}, value("ain", 1, 3, 8, 8),
		},
		Output: []*onnxpb.ValueInfoProto{{Name: proto.String("cout"), Type: scalar(tensor.Bool)}, value("aout", 1, 3, 8, 8)},
	}
	n := node("Loop", []string{"m", "k", "x"}, []string{"y"}, &onnxpb.AttributeProto{Name: proto.String("body"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: body})
	most := int64s("m", 1<<62)
	most.Dims = nil
	return n, []*onnxpb.TensorProto{most, onnx.TensorProto("k", tensor.Tensor{DType: tensor.Bool, Raw: []byte{1}})}
}

func scalar(d tensor.DType) *onnxpb.TypeProto {
	return &onnxpb.TypeProto{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(d)), Shape: &onnxpb.TensorShapeProto{}}}
}

// check does what a check does with the float model: it folds it, compiles it with all tensors, and runs it once.
func check(ctx context.Context, t *testing.T, e ort.Engine, m *onnx.Model) error {
	t.Helper()
	m, _, types, err := ort.Fold(ctx, e, m)
	if err != nil {
		return err
	}
	var taps []string
	for _, n := range m.Graph().GetNode() {
		taps = append(taps, n.GetOutput()...)
	}
	arena := e.NewArena(1 << 20)
	defer func() {
		if arena.Lent() != 0 {
			t.Errorf("%d tensors have not come back", arena.Lent())
		}
		arena.Empty()
	}()
	r, err := ort.New(e, m, ort.Options{Taps: taps, Types: types, Arena: arena})
	if err != nil {
		return err
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"x": tensor.Floats(make([]float32, 192), 1, 3, 8, 8)}})
	defer f.Close()
	batch, err := f.Next(ctx)
	if err == nil {
		batch.Release()
	}
	return err
}

func TestAModelThatCrashesTheLibraryIsAnErrorWithItsNode(t *testing.T) {
	e := open(t, cpu.Options{Memory: 1 << 30, TimeLimit: time.Minute})
	for name, m := range map[string]*onnx.Model{
		"Resize": hostile(t, node("Resize", []string{"x", "", "x"}, []string{"y"}, text("mode", "nearest"))),
		"Einsum": hostile(t, node("Einsum", []string{"x", ""}, []string{"y"}, text("equation", "nchw,wk->nchk"))),
	} {
		err := check(t.Context(), t, e, m)
		var crash *ort.CrashError
		if !errors.As(err, &crash) || crash.Node != name+"_y ("+name+")" {
			t.Errorf("%s: %v", name, err)
		}
		// The engine lives on.
		if err := check(t.Context(), t, e, hostile(t, node("Relu", []string{"x"}, []string{"y"}))); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestASessionSurvivesTheCrashOfAnother(t *testing.T) {
	e := open(t, cpu.Options{Memory: 1 << 30})
	part, err := ort.NewPart(e, hostile(t, node("Relu", []string{"x"}, []string{"y"})), ort.Piece{
		Nodes: []*onnxpb.NodeProto{node("Relu", []string{"x"}, []string{"y"})}, Inputs: []string{"x"}, Outputs: []string{"y"},
	}, map[string]onnxruntime.Type{"x": {Tensor: true, DType: tensor.Float32, Shape: []int64{2}}})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	arena := e.NewArena(0)
	for range 2 {
		before := e.PID()
		if err := syscall.Kill(before, syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
		gone(t, before)
		outputs, err := part.Run(t.Context(), []tensor.Tensor{tensor.Floats([]float32{-1, 2}, 2)}, arena)
		if err != nil || outputs[0].F32[1] != 2 || e.PID() == before {
			t.Fatal(outputs, err)
		}
		arena.GiveBack(outputs[0])
	}
}

// gone waits until a process is gone.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it is still there")
}

func TestAModelThatWantsTooMuchMemoryIsRefused(t *testing.T) {
	e := open(t, cpu.Options{Memory: 256 << 20, TimeLimit: time.Minute})
	for name, m := range map[string]*onnx.Model{
		"Tile":     hostile(t, node("Tile", []string{"x", "r"}, []string{"y"}), int64s("r", 1, 1, 2, 1<<31)),
		"Expand":   hostile(t, node("Expand", []string{"x", "r"}, []string{"y"}), int64s("r", 1<<31-1, 3, 8, 8)),
		"constant": hostile(t, node("Relu", []string{"x"}, []string{"y"})), // with a node that has no inputs, below
	} {
		want := "y"
		if name == "constant" {
			want = "q"
			m = onnx.Rebuild(m, []*onnxpb.NodeProto{
				node("ConstantOfShape", []string{"r"}, []string{"q"}), node("Add", []string{"x", "q"}, []string{"z"}),
			}, int64s("r", 1<<33))
		}
		err := check(t.Context(), t, e, m)
		var memory *ort.MemoryError
		if !errors.As(err, &memory) || memory.Tensor != want || memory.Bytes <= memory.Memory || memory.Memory != 256<<20 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What the library takes inside of an operator is held to the bound, too: nobody knows the sizes before.
	grow := []*onnxpb.NodeProto{ // 3 GiB whose size follows from values, which are known only when they are computed
		node("NonZero", []string{"x"}, []string{"places"}), node("Shape", []string{"places"}, []string{"s"}), node("ReduceProd", []string{"s"}, []string{"p"}),
		node("Add", []string{"p", "many"}, []string{"n"}), node("ConstantOfShape", []string{"n"}, []string{"q"}), node("ReduceSum", []string{"q"}, []string{"z"}),
	}
	inside := hostile(t, node("Relu", []string{"x"}, []string{"y"}))
	part, err := ort.NewPart(e, inside, ort.Piece{Nodes: grow, Initializers: []*onnxpb.TensorProto{int64s("many", 3<<28)}, Inputs: []string{"x"}, Outputs: []string{"z"}},
		map[string]onnxruntime.Type{"x": {Tensor: true, DType: tensor.Float32, Shape: []int64{4}}})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	_, err = part.Run(t.Context(), []tensor.Tensor{tensor.Floats(make([]float32, 4), 4)}, e.NewArena(0))
	var memory *ort.MemoryError
	if !errors.As(err, &memory) || memory.Node != "ConstantOfShape_q (ConstantOfShape)" {
		t.Errorf("%v", err)
	}
}

func TestAnEndlessModelEndsByTheLimit(t *testing.T) {
	e := open(t, cpu.Options{Memory: 1 << 30, TimeLimit: 700 * time.Millisecond})
	n, inits := endless()
	err := check(t.Context(), t, e, hostile(t, n, inits...))
	var slow *ort.SlowError
	if !errors.As(err, &slow) || slow.Limit != 700*time.Millisecond || slow.Node != "Loop_y (Loop)" {
		t.Error(err)
	}
}

func TestAnEndlessModelEndsWithItsContext(t *testing.T) {
	e := open(t, cpu.Options{Memory: 1 << 30})
	n, inits := endless()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	started := time.Now()
	if err := check(ctx, t, e, hostile(t, n, inits...)); !errors.Is(err, context.Canceled) || time.Since(started) > 2500*time.Millisecond {
		t.Error(err, time.Since(started))
	}
}

func TestTheHostileFilesThatWereFound(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixture.Root(), "..", "shared", "cases", "hostile", "onnx-*.onnx"))
	if err != nil || len(files) == 0 {
		t.Skip("SKIPPED FOR WANT OF FIXTURES: no hostile files")
	}
	e := open(t, cpu.Options{Memory: 1 << 30, TimeLimit: time.Second})
	for _, file := range files {
		m, err := onnx.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		err = check(t.Context(), t, e, m)
		var crash *ort.CrashError
		var memory *ort.MemoryError
		var slow *ort.SlowError
		if !errors.As(err, &crash) && !errors.As(err, &memory) && !errors.As(err, &slow) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func TestAWorkerIsGoneWithItsEngine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e, err := cpu.Open(ctx, cpu.Options{Library: fixture.Library(t), Threads: fixture.Threads, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	pid := e.PID()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} { // those of a terminal concern its parent
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(ctx, t, e, hostile(t, node("Relu", []string{"x"}, []string{"y"}))); err != nil || e.PID() != pid {
		t.Fatal(err)
	}
	cancel()
	e.Close()
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
		t.Error("it is still there")
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "quantcheck-cpu-*"))
	for _, dir := range left {
		if strings.Contains(dir, "-"+strconv.Itoa(os.Getpid())+"-") {
			t.Error("it left", dir)
		}
	}
}
