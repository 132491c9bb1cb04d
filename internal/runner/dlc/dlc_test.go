package dlc

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/runner/runnertest"
	"quantcheck/internal/tensor"
)

func TestMain(m *testing.M) {
	if qnnworker.IsWorker() {
		os.Exit(qnnworker.Work())
	}
	os.Exit(m.Run())
}

// zoo is a DLC with its layers in three groups, of which the first holds the input too, and a sample.
func zoo(t *testing.T) (path string, o Options, sample map[string]tensor.Tensor) {
	t.Helper()
	path = fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	f, err := dlc.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	g := &f.Graphs[0]
	tap := func(name string, x *dlc.Tensor) align.Tap {
		shape := make([]int64, len(x.Shape))
		for i, d := range x.Shape {
			shape[i] = int64(d)
		}
		return align.Tap{Name: name, Tensor: x, Shape: shape}
	}
	o.Groups = make([][]align.Tap, 4) // the last one is empty
	in := g.At(dlc.Input)[0]
	o.Inputs = []align.Tap{tap("image", in)}
	o.Groups[0] = []align.Tap{tap("in", in)}
	for i, n := range g.Nodes {
		o.Groups[3*i/len(g.Nodes)] = append(o.Groups[3*i/len(g.Nodes)], tap("layer "+n.Outputs[0], g.Tensor(n.Outputs[0])))
	}
	r := rand.New(rand.NewPCG(1, 1))
	x := tensor.Floats(make([]float32, in.Elements()), o.Inputs[0].Shape...)
	for i := range x.F32 {
		x.F32[i] = float32(r.NormFloat64())
	}
	return path, o, map[string]tensor.Tensor{"image": x}
}

func values(t *testing.T, r *Runner, sample map[string]tensor.Tensor) map[string][]float32 {
	t.Helper()
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	got := map[string][]float32{}
	for range r.o.Groups {
		b, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range b.Taps {
			if tap.Problem != "" {
				t.Errorf("%s: %s", tap.Name, tap.Problem)
			}
			got[tap.Name] = tap.Tensor.F32
		}
		b.Release()
	}
	return got
}

func TestPassesGiveTheSameAsOne(t *testing.T) {
	e := qnnworker.Engine{Kit: fixture.Emulator(t)}
	path, o, sample := zoo(t)
	var all []map[string][]float32
	for bound, passes := range map[int64]int{0: 1, 1: 3} {
		o.PassBytes = bound
		r, err := New(t.Context(), e, path, o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Passes() != passes || len(r.Notes()) > 0 {
			t.Errorf("%d passes, notes %v", r.Passes(), r.Notes())
		}
		all = append(all, values(t, r, sample), values(t, r, sample)) // the second inference is as good as the first
		if same, outputs, err := r.SameWithoutTaps(t.Context(), runner.Sample{Inputs: sample}); err != nil || same != outputs || outputs == 0 {
			t.Errorf("%d of %d outputs: %v", same, outputs, err)
		}
	}
	for _, other := range all[1:] {
		for name, v := range all[0] {
			if !slices.Equal(v, other[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
	if in := all[0]["in"]; len(in) != 3*32*32 { // what was put in, read back
		t.Errorf("%d values", len(in))
	}
}

// A tensor that the composer does not make costs its tap only; an order of axes is undone.
func TestTapsThatCannotBeReadSayWhy(t *testing.T) {
	e := qnnworker.Engine{Kit: fixture.Emulator(t)}
	path, o, sample := zoo(t)
	plain := o
	ghost := o.Groups[0][1]
	ghost.Name, ghost.Tensor = "ghost", &dlc.Tensor{Name: "nothing of this name", Shape: ghost.Tensor.Shape, DType: ghost.Tensor.DType}
	shape := o.Groups[0][1].Tensor.Shape
	moved := align.Tap{Name: "moved", Tensor: o.Groups[0][1].Tensor, Layout: align.Layout{0, 2, 3, 1}, Shape: []int64{int64(shape[0]), int64(shape[3]), int64(shape[1]), int64(shape[2])}}
	short := moved
	short.Name, short.Shape = "short", []int64{1, 2, 3}
	o.Groups = [][]align.Tap{append(slices.Clone(o.Groups[0]), ghost, moved, short)}
	r, err := New(t.Context(), e, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	b, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	taps := map[string]runner.Tap{}
	for _, tap := range b.Taps {
		taps[tap.Name] = tap
	}
	if p := taps["ghost"].Problem; !strings.Contains(p, "nothing of this name") {
		t.Errorf("%q", p)
	}
	if p := taps["short"].Problem; !strings.Contains(p, "the float model [1 2 3]") {
		t.Errorf("%q", p)
	}
	first, undone := taps[plain.Groups[0][1].Name], taps["moved"]
	if back := (align.Layout{0, 2, 3, 1}).Do(undone.Tensor); !slices.Equal(back.F32, first.Tensor.F32) || slices.Equal(undone.Tensor.F32, first.Tensor.F32) {
		t.Error("the order of axes is not undone")
	}
}

// A model whose input lies channels last gives the same as one whose input lies as the DLC's.
func TestInputsArePutInInTheDLCsOrder(t *testing.T) {
	e := qnnworker.Engine{Kit: fixture.Emulator(t)}
	path, o, sample := zoo(t)
	plain, err := New(t.Context(), e, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	order := align.Layout{0, 3, 1, 2} // of the DLC's axes, against [1,32,32,3]
	in := o.Inputs[0]
	last := order.Undo(sample["image"], []int64{1, 32, 32, 3})
	in.Layout, in.Shape = order, last.Shape
	o.Inputs = []align.Tap{in}
	moved, err := New(t.Context(), e, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	want := values(t, plain, sample)
	for name, got := range values(t, moved, map[string]tensor.Tensor{"image": last}) {
		if !slices.Equal(got, want[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestASampleThatDoesNotFitCostsItself(t *testing.T) {
	e := qnnworker.Engine{Kit: fixture.Emulator(t)}
	path, o, sample := zoo(t)
	r, err := New(t.Context(), e, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"image": tensor.Floats(make([]float32, 5), 5)}})
	if _, err := f.Next(t.Context()); !errors.Is(err, runner.ErrSample) {
		t.Errorf("%v", err)
	}
	f.Close()
	if got := values(t, r, sample); len(got) == 0 {
		t.Error("nothing")
	}
}

func TestADLCsRunnerConforms(t *testing.T) {
	e := qnnworker.Engine{Kit: fixture.Emulator(t)}
	path, o, sample := zoo(t)
	other := tensor.Floats(slices.Clone(sample["image"].F32), sample["image"].Shape...)
	slices.Reverse(other.F32)
	for _, bound := range []int64{0, 1} { // all is exposed at once, or in passes
		o.PassBytes = bound
		r, err := New(t.Context(), e, path, o)
		if err != nil {
			t.Fatal(err)
		}
		runnertest.Conform(t, r, runner.Sample{Inputs: sample}, runner.Sample{Inputs: map[string]tensor.Tensor{"image": other}})
		r.Close()
	}
}
