package htp

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/runnertest"
	"quantcheck/internal/tensor"

	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	if IsWorker() {
		os.Exit(Work())
	}
	os.Exit(m.Run())
}

func engine(t *testing.T) Engine {
	t.Helper()
	kit := fixture.Emulator(t)
	return Engine{Kit: kit, Library: library(t), SoC: DefaultSoC, Arch: DefaultArch}
}

func library(t testing.TB) string {
	t.Helper()
	return fixture.Library(t)
}

func load1(t *testing.T, path string) *onnx.Model {
	t.Helper()
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err = onnx.FixInputs(m, nil); err != nil {
		t.Fatal(err)
	}
	if m, _, err = ort.FoldConstants(t.Context(), fixture.Runtime(t), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// rounded lists the tensors behind a quantizer of an activation.
func rounded(m *onnx.Model) []string {
	x := onnx.NewIndex(m)
	var taps []string
	for _, n := range x.Nodes {
		if n.GetOpType() == "DequantizeLinear" {
			if p, made := x.Producer[n.GetInput()[0]]; made && !x.Input[x.Nodes[p].GetInput()[0]] {
				taps = append(taps, n.GetOutput()[0])
			}
		}
	}
	return taps
}

func sampleOf(m *onnx.Model) map[string]tensor.Tensor {
	sample := map[string]tensor.Tensor{}
	for _, in := range m.Inputs() {
		_, shape, _ := onnx.TypeOf(in)
		n, _ := tensor.Count(shape)
		values := make([]float32, n)
		for i := range values {
			values[i] = float32((37*i+11*(i>>8))&255) / 64
		}
		sample[in.GetName()] = tensor.Floats(values, shape...)
	}
	return sample
}

func read(t *testing.T, r *Runner, sample map[string]tensor.Tensor) map[string][]float32 {
	t.Helper()
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	got := map[string][]float32{}
	for range r.Segments() {
		b, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range b.Taps {
			got[tap.Name] = append([]float32{}, tap.Tensor.F32...)
		}
		b.Release()
	}
	return got
}

func TestTheZooRunsWholeAndTapsChangeNoBit(t *testing.T) {
	tapsChangeNoBit(t, "zoo", "zoo_w8a8_per_channel", "zoo_w4a8_per_channel")
}

func tapsChangeNoBit(t *testing.T, names ...string) {
	t.Helper()
	e := engine(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			m := load1(t, fixture.Path(t, "qnn", name+".onnx"))
			outputs := m.Outputs()
			taps := rounded(m)
			if name == "zoo" {
				taps = nil
				for _, n := range m.Graph().GetNode() {
					taps = append(taps, n.GetOutput()...)
				}
			}
			groups := [][]string{taps[:len(taps)/2], {}, taps[len(taps)/2:]}
			r, err := New(t.Context(), e, m, Options{Groups: groups})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got := read(t, r, sampleOf(m))
			if len(got) != len(taps) || len(taps) < 15 {
				t.Fatalf("%d of %d taps", len(got), len(taps))
			}
			bare, err := New(t.Context(), e, m, Options{Groups: [][]string{outputs}})
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			read(t, bare, sampleOf(m))
			// In several passes, each with a part of the taps.
			parts, err := New(t.Context(), e, m, Options{Groups: groups, PassBytes: 1, Bytes: func(string) int64 { return 1 }})
			if err != nil {
				t.Fatal(err)
			}
			defer parts.Close()
			if parts.Passes() != 2 {
				t.Errorf("%d passes", parts.Passes())
			}
			again := read(t, parts, sampleOf(m))
			if name == "zoo" { // in half precision the taps keep operators from being fused: that is seen by whoever asks
				return
			}
			for _, out := range outputs {
				a, _ := r.Raw(out)
				b, _ := bare.Raw(out)
				if len(a) == 0 || !bytes.Equal(a, b) {
					t.Errorf("output %s differs with taps", out)
				}
			}
			for _, tap := range taps {
				if len(again[tap]) != len(got[tap]) {
					t.Fatalf("%s has %d values in passes, %d at once", tap, len(again[tap]), len(got[tap]))
				}
				for i := range got[tap] {
					if got[tap][i] != again[tap][i] {
						t.Fatalf("%s differs in passes", tap)
					}
				}
			}
		})
	}
}

func withDet() *onnx.Model {
	node := func(op, name, in, out string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: []string{in}, Output: []string{out}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("Relu", "relu", "x", "a"), node("Det", "the det", "a", "d"), node("Sigmoid", "", "a", "y")},
		Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 4, 8, 8})},
		Output: []*onnxpb.ValueInfoProto{onnx.Untyped("d"), onnx.Untyped("y")},
	}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}}}
}

func TestARefusedOperatorIsNamedAndMayRunOnTheCPU(t *testing.T) {
	e := engine(t)
	_, err := New(t.Context(), e, withDet(), Options{Groups: [][]string{{"a", "d", "y"}}})
	var r *RefusedError
	if !errors.As(err, &r) || len(r.Refused) != 1 || r.Refused[0].Node != "the det" || r.Refused[0].Op != "Det" || !strings.Contains(r.Refused[0].Reason, "not supported by QNN EP") {
		t.Fatalf("%v", err)
	}
	e.Fallback = true
	run, err := New(t.Context(), e, withDet(), Options{Groups: [][]string{{"a", "d", "y"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if got := run.OnCPU(); len(got) != 1 || got[0] != "d" {
		t.Errorf("on the CPU: %v", got)
	}
	if got := read(t, run, sampleOf(withDet())); len(got["d"]) != 4 || len(got["y"]) != 256 {
		t.Errorf("%d %d values", len(got["d"]), len(got["y"]))
	}
}

func TestAWorkerThatDiesIsStartedAnewOnce(t *testing.T) {
	e := engine(t)
	m := load1(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.onnx"))
	r, err := New(t.Context(), e, m, Options{Groups: [][]string{m.Outputs()}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := read(t, r, sampleOf(m))
	r.passes[0][0].Kill()
	after := read(t, r, sampleOf(m))
	for name, values := range before {
		for i := range values {
			if after[name][i] != values[i] {
				t.Fatalf("%s differs after the restart", name)
			}
		}
	}
	// One that cannot be started any more costs the sample, and says so.
	r.passes[0][0].load.Library = "/nowhere"
	r.passes[0][0].Kill()
	f := r.Start(runner.Sample{Inputs: sampleOf(m)})
	_, err = f.Next(t.Context())
	f.Close()
	if !errors.Is(err, runner.ErrSample) {
		t.Errorf("%v", err)
	}
}

func TestCancellingStopsARunUnderWay(t *testing.T) {
	e := engine(t)
	m := load1(t, fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.onnx"))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := New(ctx, e, m, Options{Groups: [][]string{m.Outputs()}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: sampleOf(m)})
	defer f.Close()
	time.AfterFunc(200*time.Millisecond, cancel)
	started := time.Now()
	_, err = f.Next(context.Background())
	if took := time.Since(started); !errors.Is(err, context.Canceled) || took > 2*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

func TestTheLogsAreUnderstood(t *testing.T) {
	log := "\x1b[1;31m2026-11-24 15:00:17 [E:onnxruntime:, qnn.cc:2453 GetCapabilityImpl] Unsupported nodes in QNN EP: { name: the_erf, type: Erf }{ name: a b, type: Det }, \x1b[m\n" +
		"\tOperator type: Erf Node name: the_erf Node index: 1\n\tREASON : Operators of type `Erf` are not supported by QNN EP.Erf node `the_erf` will not be assigned to QNN EP.\n" +
		"2026 [V:onnxruntime:, session_state.cc:1383 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [QNNExecutionProvider]. Number of nodes: 2\n" +
		"2026 [V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   QNN (fused)\n" +
		"2026 [V:onnxruntime:, session_state.cc:1383 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1\n" +
		"2026 [V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   Erf (the_erf)\n"
	got := refusals(log)
	if len(got) != 2 || got[0] != (Refusal{"the_erf", "Erf", "Operators of type `Erf` are not supported by QNN EP."}) || got[1].Node != "a b" {
		t.Errorf("%+v", got)
	}
	if nodes := placedOnCPU(log); len(nodes) != 1 || nodes[0] != "the_erf" {
		t.Errorf("%v", nodes)
	}
}

func TestTheWorkersFolderIsRemoved(t *testing.T) {
	e := engine(t)
	t.Setenv("TMPDIR", t.TempDir())
	m := load1(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.onnx"))
	r, err := New(t.Context(), e, m, Options{Groups: [][]string{m.Outputs()}})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTheDLCHasTheEncodingsOfTheFixtureBeside(t *testing.T) {
	e := engine(t)
	for _, name := range []string{"zoo", "zoo_w8a8_per_tensor", "zoo_w8a8_per_channel", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor", "zoo_w4a8_per_channel"} {
		m, err := onnx.Load(fixture.Path(t, "qnn", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := e.WriteDLC(t.Context(), m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := dlc.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := dlc.Open(fixture.Path(t, "qnn", name+".dlc"))
		if err != nil {
			t.Fatal(err)
		}
		defer want.Close()
		encoded, same := 0, 0
		for _, x := range want.Graphs[0].Tensors {
			if x.Encoding == nil {
				continue
			}
			encoded++
			y := got.Graphs[0].Tensor(x.Name)
			if y == nil { // a helper that is named after the output
				y = got.Graphs[0].Tensor(strings.Replace(x.Name, "_QuantizeLinear_Output_", "_", 1))
			}
			if y == nil || y.Encoding == nil {
				t.Errorf("%s: %s has no encoding", name, x.Name)
				continue
			}
			if !slices.Equal(x.Encoding.Scale, y.Encoding.Scale) || !slices.Equal(x.Encoding.Offset, y.Encoding.Offset) || x.Encoding.Bits != y.Encoding.Bits || x.Encoding.Axis != y.Encoding.Axis {
				t.Errorf("%s: %s: %+v, want %+v", name, x.Name, y.Encoding, x.Encoding)
			}
			same++
		}
		t.Logf("%s: %d of %d encodings equal", name, same, encoded)
	}
}

func TestAnEmulatedModelsRunnerConforms(t *testing.T) {
	e := engine(t)
	m := load1(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.onnx"))
	taps := rounded(m)
	a := sampleOf(m)
	b := map[string]tensor.Tensor{}
	for name, x := range a {
		x = x.Clone()
		slices.Reverse(x.F32)
		b[name] = x
	}
	for _, bound := range []int64{0, 1} { // all is exposed at once, or in passes
		r, err := New(t.Context(), e, m, Options{Groups: [][]string{taps[:len(taps)/2], {}, taps[len(taps)/2:]}, PassBytes: bound, Bytes: func(string) int64 { return 1 }})
		if err != nil {
			t.Fatal(err)
		}
		runnertest.Conform(t, r, runner.Sample{Inputs: a}, runner.Sample{Inputs: b})
		r.Close()
	}
}

func TestARefusalNamesThePassThatHelps(t *testing.T) {
	t.Parallel()
	e := &RefusedError{[]Refusal{{Node: "a", Op: "Erf", Reason: "no"}, {Node: "b", Op: "Erf", Reason: "no"}, {Node: "c", Op: "Celu", Reason: "no"}}}
	want := "the HTP refuses 3 operators: a (Erf): no; b (Erf): no; c (Celu): no. quantcheck optimize --pass fuse-gelu puts an operator that the HTP takes in the place of Erf"
	if e.Error() != want {
		t.Errorf("%s", e)
	}
}
