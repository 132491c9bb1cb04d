package qnnworker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/worker"
)

func TestMain(m *testing.M) {
	switch {
	case IsWorker():
		os.Exit(Work())
	case htp.IsWorker():
		os.Exit(htp.Work())
	}
	os.Exit(m.Run())
}

const pose = "pose_landmark_lite_quantized.dlc"

func engine(t testing.TB) Engine {
	t.Helper()
	return Engine{Kit: fixture.Emulator(t)}
}

func start(t testing.TB, path string, o Options) *Runner {
	t.Helper()
	r, err := New(t.Context(), engine(t), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// sample is the fixtures' input.
func sample(r *Runner) map[string][]byte {
	in := map[string][]byte{}
	for _, x := range r.Inputs() {
		b := make([]byte, x.Bytes())
		for i := range b {
			b[i] = byte(37*i + 11*(i>>8))
		}
		in[x.Called()] = b
	}
	return in
}

func run(t testing.TB, r *Runner) map[string][]byte {
	t.Helper()
	out, err := r.Run(t.Context(), sample(r))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// written puts bytes into a file of the test's own.
func written(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.dlc")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readBeside(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture.Beside(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readFixture(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEveryTensorComesThroughTheWorker(t *testing.T) {
	var want struct {
		Outputs map[string]struct{ SHA256 string }
	}
	if err := json.Unmarshal(readBeside(t, "qnn", "pose_landmark_lite_run.json"), &want); err != nil {
		t.Fatal(err)
	}
	r := start(t, fixture.Beside(t, "dlc", pose), Options{All: true})
	if len(r.Tensors()) != 614 || len(r.Nodes()) != 187 || len(r.Outputs()) != 187 || len(r.Notes()) != 0 || r.Core() != [3]int{2, 40, 0} || r.Name() != "pose_landmark_lite" {
		t.Errorf("%d tensors, %d nodes, %d outputs, notes %v, core %v", len(r.Tensors()), len(r.Nodes()), len(r.Outputs()), r.Notes(), r.Core())
	}
	for range 2 { // the second inference is as good as the first
		out := run(t, r)
		if len(out) != len(want.Outputs) {
			t.Errorf("%d outputs", len(out))
		}
		for name, w := range want.Outputs {
			if sum := sha256.Sum256(out[name]); hex.EncodeToString(sum[:8]) != w.SHA256 {
				t.Errorf("%s: sha256 %x, want %s", name, sum[:8], w.SHA256)
			}
		}
	}
	if in := r.Inputs(); len(in) != 1 || in[0].Called() != "input_1" || !slices.Equal(in[0].Shape, []int{1, 256, 3, 256}) {
		t.Errorf("inputs %+v", in)
	}
}

func TestNamedTensorsAreExposedAndNothingElseChanges(t *testing.T) {
	path := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	bare := start(t, path, Options{})
	tapped := start(t, path, Options{Expose: []string{"/sub/Sub_output_0_QuantizeLinear", "_add_Add_output_0_QuantizeLinear", "scores"}})
	without, with := run(t, bare), run(t, tapped)
	if len(without) != 2 || len(with) != 4 {
		t.Errorf("%d and %d outputs", len(without), len(with))
	}
	for name, b := range without {
		if !bytes.Equal(b, with[name]) {
			t.Errorf("%s differs with taps", name)
		}
	}
	_, err := New(t.Context(), engine(t), path, Options{Expose: []string{"scores", "conv2.bias", "nothing"}})
	var unknown *UnknownTensorError
	if !errors.As(err, &unknown) || !slices.Equal(unknown.Names, []string{"conv2.bias", "nothing"}) {
		t.Errorf("%v", err)
	}
}

func TestEveryTensorOfTheFileIsFoundUnderItsName(t *testing.T) {
	paths := []string{fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), fixture.Path(t, "qnn", "yolox_nano_w8a16_per_channel.dlc")}
	for _, name := range []string{pose, "joiner-epoch-4-avg-1.fix.dlc"} {
		if path, ok := fixture.Also(t, "dlc", name); ok {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		f, err := dlc.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := start(t, path, Options{})
		found := map[string]bool{}
		for _, x := range r.Tensors() {
			if x.Own != "" && compose.Reported(x.Own) != x.Name {
				t.Errorf("%s: %s is called %s", path, x.Name, x.Own)
			}
			found[x.Own] = true
		}
		for _, x := range f.Graphs[0].Tensors {
			if !found[x.Name] {
				t.Errorf("%s: %s was not found", path, x.Name)
			}
		}
		if len(r.Notes()) > 0 {
			t.Errorf("%s: %v", path, r.Notes())
		}
	}
}

func TestNamesThatTheComposerSpellsAlikeAreKeptApart(t *testing.T) {
	const sub, add = "/sub/Sub_output_0_QuantizeLinear", "/add/Add_output_0_QuantizeLinear"
	data := readFixture(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	plain := run(t, start(t, written(t, data), Options{Expose: []string{sub, add}}))
	alike := ":" + add[1:] // of the same length
	r := start(t, written(t, bytes.ReplaceAll(data, []byte(sub), []byte(alike))), Options{Expose: []string{alike, add}})
	out := run(t, r)
	names := map[string]string{}
	for _, x := range r.Outputs() {
		names[x.Own] = x.Name
	}
	if names[add] == names[alike] || !bytes.Equal(out[names[add]], plain[compose.Reported(add)]) || !bytes.Equal(out[names[alike]], plain[compose.Reported(sub)]) {
		t.Errorf("%v", names)
	}
	if len(r.Notes()) > 0 {
		t.Errorf("%v", r.Notes())
	}
}

func TestAnEncodingOnWhichTheTwoDisagreeIsSaid(t *testing.T) {
	e := func(scale float32) *dlc.Encoding {
		return &dlc.Encoding{Bits: 8, Axis: -1, Scale: []float32{scale}, Offset: []int32{-3}}
	}
	file := &dlc.Graph{Nodes: []dlc.Node{{Name: "n", Outputs: []string{"a:0", "b:0", "c:0"}}}, Tensors: []dlc.Tensor{{Name: "a:0", Encoding: e(1)}, {Name: "b:0", Encoding: e(2)}, {Name: "c:0"}}}
	d := &compose.Description{Nodes: []dlc.Node{{Name: "n", Outputs: []string{"a_0", "b_0", "c_0"}}}, Tensors: []dlc.Tensor{{Name: "a_0", Encoding: e(1)}, {Name: "b_0", Encoding: e(3)}, {Name: "c_0", Encoding: e(4)}, {Name: "n_perm"}}}
	var tensors []Tensor
	for i, name := range own(file, d) {
		tensors = append(tensors, Tensor{d.Tensors[i], name})
	}
	got := disagreements(file, tensors)
	want := []string{
		"the encoding of b:0: Qualcomm's composer reports 8 bits, scale 3, offset -3, the file was read as 8 bits, scale 2, offset -3",
		"the encoding of c:0: Qualcomm's composer reports 8 bits, scale 4, offset -3, the file was read as none",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestWhatIsNoDLCIsSaid(t *testing.T) {
	e := engine(t)
	type row struct {
		path string
		want error
	}
	rows := map[string]row{
		"missing":  {filepath.Join(t.TempDir(), "nothing.dlc"), fs.ErrNotExist},
		"a folder": {t.TempDir(), ErrNotDLC},
		"empty":    {written(t, nil), ErrNotDLC},
		"junk":     {written(t, bytes.Repeat([]byte("junk"), 5000)), ErrNotDLC},
	}
	for name, file := range map[string]string{"version 2": "monitoring_model-0b9f8060.dlc", "version 3": "test_abs_q.dlc"} {
		if path, ok := fixture.Also(t, "dlc", file); ok {
			rows[name] = row{path, ErrOldVersion}
		}
	}
	for name, row := range rows {
		_, err := New(t.Context(), e, row.path, Options{})
		if !errors.Is(err, row.want) || strings.Count(err.Error(), row.path) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	data := readFixture(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	for _, cut := range []int{1, 30, 4096, len(data) / 2, len(data) - 4096, len(data) - 22, len(data) - 1} {
		if _, err := New(t.Context(), e, written(t, data[:cut]), Options{}); !errors.Is(err, ErrNotDLC) {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
	_, err := New(t.Context(), Engine{Kit: qnn.Kit{Dir: t.TempDir()}}, whole, Options{})
	if !errors.Is(err, qnn.ErrUnavailable) {
		t.Errorf("no libraries: %v", err)
	}
}

func TestInputsThatDoNotFitAreRefusedBeforeAnythingRuns(t *testing.T) {
	r := start(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), Options{})
	good := sample(r)
	name := r.Inputs()[0].Called()
	r.session.Kill() // would be seen if anything ran
	var size *compose.SizeError
	if _, err := r.Run(t.Context(), map[string][]byte{name: good[name][1:]}); !errors.As(err, &size) || size.Tensor != name || size.Want != size.Got+1 {
		t.Errorf("%v", err)
	}
	var input *InputError
	if _, err := r.Run(t.Context(), map[string][]byte{"other": good[name]}); !errors.As(err, &input) || !slices.Equal(input.Missing, []string{name}) || !slices.Equal(input.Unknown, []string{"other"}) {
		t.Errorf("%v", err)
	}
	if _, err := r.Run(t.Context(), good); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}

func TestAWorkerThatDiesIsStartedAnewOnce(t *testing.T) {
	r := start(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), Options{All: true})
	before := map[string][]byte{}
	for name, b := range run(t, r) {
		before[name] = slices.Clone(b)
	}
	r.session.Kill()
	for name, b := range run(t, r) {
		if !bytes.Equal(b, before[name]) {
			t.Fatalf("%s differs after the restart", name)
		}
	}
	// One that dies on the way every time costs the sample, and says so.
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				r.session.Kill()
			}
		}
	}()
	_, err := r.Run(t.Context(), sample(r))
	close(stop)
	<-done
	var died *worker.DiedError
	if !errors.Is(err, runner.ErrSample) || !errors.As(err, &died) {
		t.Errorf("%v", err)
	}
	if _, err := r.Run(t.Context(), sample(r)); err != nil {
		t.Errorf("after two deaths: %v", err)
	}
}

func TestCancellingEndsWhateverIsUnderWay(t *testing.T) {
	e, path := engine(t), fixture.Path(t, "qnn", "yolox_nano_w8a16_per_channel.dlc")
	late := func(what string, err error, since time.Time) {
		t.Helper()
		if took := time.Since(since); !errors.Is(err, context.Canceled) || took > time.Second {
			t.Errorf("%s: %v after %v", what, err, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	canceled := make(chan time.Time, 1)
	soon := func(cancel func()) func() { return func() { canceled <- time.Now(); cancel() } }
	time.AfterFunc(150*time.Millisecond, soon(cancel))
	_, err := New(ctx, e, path, Options{All: true})
	late("while it opens", err, <-canceled)

	r := start(t, path, Options{})
	in := sample(r)
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(150*time.Millisecond, soon(cancel))
	_, err = r.Run(ctx, in)
	late("while it runs", err, <-canceled)
	if _, err := r.Run(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := r.Run(t.Context(), in); err != nil {
		t.Errorf("the runner is not good for another inference: %v", err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	scratch := t.TempDir()
	r := start(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), Options{Scratch: scratch})
	run(t, r)
	r.Close()
	if left, _ := filepath.Glob(filepath.Join(scratch, "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// BenchmarkPose is one picture with all layers.
func BenchmarkPose(b *testing.B) {
	r := start(b, fixture.Beside(b, "dlc", pose), Options{All: true})
	in := sample(r)
	for b.Loop() {
		if _, err := r.Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
