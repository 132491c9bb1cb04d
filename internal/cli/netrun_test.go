package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/netrun"
	"quantcheck/internal/qnn"
)

// pattern is the fixtures' input.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(37*i + 11*(i>>8))
	}
	return b
}

// written puts a file into a folder of the test's own.
func written(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func list(t testing.TB, lines ...string) string {
	t.Helper()
	return written(t, "list.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

// How many values the inputs of two DLCs have.
const (
	poseInput   = 256 * 3 * 256
	zooElements = 3 * 32 * 32
)

// ran runs net-run, which has to succeed, with --json.
func ran(t *testing.T, args ...string) netrun.Ran {
	t.Helper()
	status, stdout, stderr := run(t, append(append([]string{"net-run"}, args...), "--json")...)
	var r netrun.Ran
	if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	return r
}

func TestNetRunGivesEveryLayerOfAUsersDLC(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	var want struct {
		Outputs map[string]struct {
			SHA256, DType string
			Dims          []int
			Encoding      []any
		}
	}
	data, err := os.ReadFile(fixture.Beside(t, "qnn", "pose_landmark_lite_run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := ran(t, "--container", fixture.Beside(t, "dlc", "pose_landmark_lite_quantized.dlc"), "--input_list", list(t, written(t, "in.raw", pattern(poseInput))), "--output_dir", dir,
		"--debug", "--use_native_input_files", "--use_native_output_files")
	if len(want.Outputs) != 187 || len(r.Outputs) != 187 || len(files(t, dir)) != 187 || len(r.Notes) > 0 {
		t.Errorf("%d tensors of %d, %d files, notes %v", len(r.Outputs), len(want.Outputs), len(files(t, dir)), r.Notes)
	}
	for _, o := range r.Outputs {
		w := want.Outputs[o.Reported]
		raw, err := os.ReadFile(filepath.Join(dir, "Result_0", o.File))
		if sum := sha256.Sum256(raw); err != nil || hex.EncodeToString(sum[:8]) != w.SHA256 {
			t.Errorf("%s: %v, sha256 %x, want %s", o.Name, err, sum[:8], w.SHA256)
		}
		if !slices.Equal(o.Shape, w.Dims) || o.Type != map[string]string{"ufix8": "uFxp_8"}[w.DType] {
			t.Errorf("%s: %s %v, want %s %v", o.Name, o.Type, o.Shape, w.DType, w.Dims)
		}
		if o.Encoding == nil || float64(o.Encoding.Scale[0]) != float64(float32(w.Encoding[0].(float64))) || float64(o.Encoding.Offset[0]) != w.Encoding[1].(float64) {
			t.Errorf("%s: %+v, want %v", o.Name, o.Encoding, w.Encoding)
		}
	}
	if r.Half || r.Graph != "pose_landmark_lite" || r.Format != "DLC 4.0" || r.Core != [3]int{2, 40, 0} || r.SoC != 66 {
		t.Errorf("%+v", r)
	}
}

// Many inputs, as scripts run them: the lines of snpe-net-run, float32 in and out, Result_0 and so on.
func TestNetRunIsADropIn(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	zoo := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	f, err := dlc.Open(zoo)
	if err != nil {
		t.Fatal(err)
	}
	encoding, graph := *f.Graphs[0].Tensor("image").Encoding, f.Graphs[0].Name
	f.Close()
	bytesIn := pattern(zooElements)
	var floats []byte
	for _, q := range bytesIn {
		floats = binary.LittleEndian.AppendUint32(floats, math.Float32bits(float32(int32(q)+encoding.Offset[0])*encoding.Scale[0]))
	}
	in, native := written(t, "in.raw", floats), written(t, "native.raw", bytesIn)
	dir, other := t.TempDir(), t.TempDir()
	status, stdout, stderr := run(t, "net-run", "--container", zoo, "--input_list", list(t, "%scores grid", in, "image:="+in), "--output_dir", dir,
		"--use_dsp", "--perf_profile", "burst", "--userbuffer_float", "--userbuffer_floatN_output", "32")
	want := fmt.Sprintf(`-------------------------------------------------------------------------------
Model String: N/A
SNPE vN/A (quantcheck 0.1.0, the HTP emulator of onnxruntime-qnn 2.7.0, SoC model 66)
-------------------------------------------------------------------------------

Processing graph : %[2]s
Processing DNN input(s):
%[1]s
Processing DNN input(s):
%[1]s
Successfully executed graph %[2]s
`, in, graph)
	if status != 0 || cmp.Diff(want, stdout) != "" || !strings.Contains(stderr, "--perf_profile has no meaning here") || !strings.Contains(stderr, "--use_dsp has no meaning here") {
		t.Errorf("%d %s %s", status, cmp.Diff(want, stdout), stderr)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"Result_0/grid.raw", "Result_0/scores.raw", "Result_1/grid.raw", "Result_1/scores.raw"}) {
		t.Errorf("%v", got)
	}
	// The same with native files, whose encoding gives the same numbers.
	r := ran(t, "--container", zoo, "--input_list", list(t, native), "--output_dir", other, "--use_native_input_files", "--use_native_output_files", "--userbuffer_auto", "--set_output_tensors", "scores,grid")
	for _, o := range r.Outputs {
		raw, err := os.ReadFile(filepath.Join(other, "Result_0", o.File))
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, q := range raw {
			want = binary.LittleEndian.AppendUint32(want, math.Float32bits(float32(int32(q)+o.Encoding.Offset[0])*o.Encoding.Scale[0]))
		}
		for i := range 2 {
			if got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("Result_%d", i), o.File)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Result_%d, %s: %v, %d bytes, not the same", i, o.Name, err, len(got))
			}
		}
	}
}

// TestManyInputsCostOneStart watches the worker's process.
func TestManyInputsCostOneStart(t *testing.T) {
	fixture.Emulator(t)
	zoo := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	in := written(t, "in.raw", pattern(zooElements))
	lines := slices.Repeat([]string{in}, 20)
	seen := &workers{}
	r, err := netrun.Run(t.Context(), func() (qnn.Kit, error) { return qnn.Find("") }, netrun.Spec{
		Container: zoo, InputList: list(t, lines...), OutputDir: t.TempDir(), Input: netrun.FileType{Kind: netrun.Native}, Output: netrun.FileType{Kind: netrun.Floats, Bits: 16}, SoC: 66,
	}, seen)
	if err != nil || len(r.Results) != 20 || len(seen.sets) != 20 {
		t.Fatalf("%v, %d", err, len(seen.sets))
	}
	for _, s := range seen.sets {
		if s != seen.sets[0] || s == "" {
			t.Errorf("workers %q, then %q", seen.sets[0], s)
		}
	}
	if r.Outputs[0].FileType != "Float_16" {
		t.Errorf("%+v", r.Outputs[0])
	}
}

type workers struct{ sets []string }

func (w *workers) Opened(*netrun.Ran) {}
func (w *workers) Begins([]string) {
	var all []string
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		all = append(all, strings.Fields(string(b))...)
	}
	slices.Sort(all)
	w.sets = append(w.sets, strings.Join(all, " "))
}

func TestNetRunTakesSeveralInputsAndSaysFP16(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	joiner := fixture.Beside(t, "dlc", "joiner-epoch-4-avg-1.fix.dlc")
	a, b := written(t, "a.raw", make([]byte, 2048)), written(t, "b.raw", make([]byte, 2048))
	dir := t.TempDir()
	status, stdout, stderr := run(t, "net-run", "--container", joiner, "--input_list", list(t, a+" "+b, "decoder_out:="+b+" encoder_out:="+a), "--output_dir", dir, "--debug", "--json")
	var r netrun.Ran
	if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil || !r.Half || !strings.Contains(stderr, "half precision (fp16)") || len(r.Outputs) < 3 {
		t.Fatalf("%d %v %+v %s", status, err, r, stderr)
	}
	for _, one := range r.Results {
		if d := cmp.Diff(map[string]string{"encoder_out": a, "decoder_out": b}, one.Inputs); d != "" {
			t.Error(d)
		}
	}
	// A part of the layers, by the names of layer, tensor, and of both.
	only := ran(t, "--container", joiner, "--input_list", list(t, a+" "+b), "--output_dir", t.TempDir(), "--only", r.Outputs[0].Name)
	if len(only.Outputs) > 2 || !slices.ContainsFunc(only.Outputs, func(o netrun.RanTensor) bool { return o.Name == "logit" }) {
		t.Errorf("%+v", only.Outputs)
	}
}

// A tensor that is not of the width that was asked for keeps its own, and it is said; the parts of a long run are those asked for.
func TestNetRunWritesWhatHasNoOtherFormAsItIs(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	zoo := fixture.Path(t, "qnn", "zoo_w8a16_per_channel.dlc")
	in := list(t, "#/dw/Conv_output_0_QuantizeLinear", written(t, "in.raw", make([]byte, 4*3*32*32)))
	for _, row := range []struct {
		flag, value, file string
		notes, bytes      int
	}{{"--userbuffer_tf8_output", "", "uFxp_16", 1, 2}, {"--userbuffer_tfN_output", "16", "uFxp_16", 0, 2}, {"--userbuffer_float_output", "", "Float_32", 0, 4}, {"--userbuffer_uintN_output", "16", "uFxp_16", 0, 2}} {
		dir := t.TempDir()
		args := []string{"--container", zoo, "--input_list", in, "--output_dir", dir, "--use_native_output_files", row.flag}
		if row.value != "" {
			args = append(args, row.value)
		}
		r := ran(t, args...)
		if len(r.Outputs) != 1 || len(r.Notes) != row.notes || r.Outputs[0].FileType != row.file {
			t.Errorf("%s: %+v %v", row.flag, r.Outputs, r.Notes)
			continue
		}
		info, err := os.Stat(filepath.Join(dir, "Result_0", r.Outputs[0].File))
		n := row.bytes
		for _, d := range r.Outputs[0].Shape {
			n *= d
		}
		if err != nil || info.Size() != int64(n) {
			t.Errorf("%s: %v, want %d bytes", row.flag, err, n)
		}
	}
}

func TestNetRunSaysWhatIsWrong(t *testing.T) {
	fixture.Emulator(t)
	zoo := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	native, half := written(t, "native.raw", pattern(zooElements)), written(t, "half.raw", pattern(zooElements/2))
	floats := written(t, "floats.raw", make([]byte, 4*zooElements))
	one := list(t, floats)
	kept := t.TempDir()
	type row struct {
		args   []string
		says   string
		status int
	}
	rows := []row{
		{[]string{"--container", "/none.dlc", "--input_list", one}, "no such file", exitUsage},
		{[]string{"--container", t.TempDir(), "--input_list", one}, "no regular file", exitUsage},
		{[]string{"--container", written(t, "junk.dlc", pattern(30000)), "--input_list", one}, "no DLC that can be run", exitUsage},
		{[]string{"--container", zoo, "--input_list", "/none.txt"}, "no such file", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, "")}, "names no inputs", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, floats, "/none.raw")}, ":2: /none.raw: no such file", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, kept)}, "no regular file", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, half)}, "has 1536 bytes; the input \"image\", [1 3 32 32], has 12288 as Float_32", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, native)}, "give --use_native_input_files", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--use_native_input_files"}, "leave --use_native_input_files out", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, "imag:="+floats)}, `no input "imag"; nearest: "image"`, exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--set_output_tensors", "score"}, `no tensor "score"; nearest: "scores"`, exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--only", "image"}, "an input of the graph", exitUsage},
		{[]string{"--container", zoo, "--input_list", list(t, "#/conv2/Conv_output_0_Conv_token", floats)}, `no layer or tensor "/conv2/Conv_output_0_Conv_token"; nearest: "/conv1/Conv_output_0_Conv_token_1`, exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--soc", "qcs855"}, "nearest: qcs8550", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--use_cpu"}, "only the HTP", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--use_gpu"}, "only the HTP", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--use_aip"}, "only the HTP", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--runtime_order", "cpu,dsp"}, "only the HTP", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--resizable_dim", "4"}, "convert it for others", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--userbuffer_tf8", "--userbuffer_auto"}, "contradict", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--use_native_input_files", "--userbuffer_tfN", "16"}, "it is uFxp_8 in the DLC, not fixed point of 16 bits", exitUsage},
		{[]string{"--container", zoo, "--input_list", one, "--output_dir", native}, "is no folder", exitUsage},
	}
	for _, name := range []string{"monitoring_model-0b9f8060.dlc", "test_abs_q.dlc"} {
		if path, ok := fixture.Also(t, "dlc", name); ok {
			rows = append(rows, row{[]string{"--container", path, "--input_list", one}, "convert the model again with SNPE 2", exitUsage})
		}
	}
	if joiner, ok := fixture.Also(t, "dlc", "joiner-epoch-4-avg-1.fix.dlc"); ok {
		rows = append(rows, row{[]string{"--container", joiner, "--input_list", list(t, floats)}, "1 files for 2 inputs; write encoder_out:=FILE decoder_out:=FILE", exitUsage},
			row{[]string{"--container", joiner, "--input_list", list(t, "encoder_out:="+floats)}, `no file for the input "decoder_out"`, exitUsage})
	}
	for _, row := range rows {
		args := append([]string{"net-run"}, row.args...)
		if !slices.Contains(args, "--output_dir") {
			args = append(args, "--output_dir", kept)
		}
		status, stdout, stderr := run(t, args...)
		if status != row.status || !strings.Contains(stderr, row.says) || !strings.HasPrefix(stderr, "error_code=") || strings.Contains(stdout, "Successfully") {
			t.Errorf("%v: %d %s%s", row.args, status, stdout, stderr)
		}
	}
	if got := files(t, kept); len(got) > 0 {
		t.Errorf("wrote %v", got)
	}
	t.Setenv("QUANTCHECK_QNN_DIR", filepath.Join(kept, "none"))
	if status, _, stderr := run(t, "net-run", "--container", zoo, "--input_list", one); status != exitUnavailable || !strings.Contains(stderr, "doctor --install htp") {
		t.Errorf("without the emulator: %d %s", status, stderr)
	}
}

func TestNetRunOfTruncatedFiles(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	in := list(t, written(t, "in.raw", pattern(zooElements)))
	for name, step := range map[string]int{"zoo_w8a8_per_tensor.dlc": 4096, "yolox_nano_w8a8_per_channel.dlc": 128 * 4096} {
		data, err := os.ReadFile(fixture.Path(t, "qnn", name))
		if err != nil {
			t.Fatal(err)
		}
		for cut := step; cut < len(data); cut += step {
			status, _, stderr := run(t, "net-run", "--container", written(t, "cut.dlc", data[:cut]), "--input_list", in, "--output_dir", t.TempDir(), "--use_native_input_files")
			if status != exitUsage || !strings.Contains(stderr, "no DLC that can be run") || !strings.HasPrefix(stderr, "error_code=311;") {
				t.Errorf("%s, %d bytes: %d %s", name, cut, status, stderr)
			}
		}
	}
}

func TestCtrlCStopsNetRunWithinASecond(t *testing.T) {
	fixture.Emulator(t)
	ctx, cancel := context.WithCancel(t.Context())
	yolox := fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc")
	f, err := dlc.Open(yolox)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := list(t, slices.Repeat([]string{written(t, "in.raw", make([]byte, f.Graphs[0].At(dlc.Input)[0].Bytes()))}, 100)...)
	var stopped time.Time
	dir := t.TempDir()
	var out, errs bytes.Buffer
	go func() { // in the middle of the second inference
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, "Result_0")); err == nil {
				time.Sleep(200 * time.Millisecond)
				break
			}
		}
		stopped = time.Now()
		cancel()
	}()
	status := Run(ctx, []string{"net-run", "--container", yolox, "--input_list", in, "--output_dir", dir, "--use_native_input_files"}, strings.NewReader(""), &out, &errs)
	if took := time.Since(stopped); status != exitInterrupted || took > 2*time.Second || !strings.Contains(errs.String(), "are written") { // a second, and as much for a machine that is shared
		t.Errorf("status %d after %v: %s", status, took, errs.String())
	}
	if strings.Contains(out.String(), "Successfully") {
		t.Error("it says that it succeeded")
	}
}

func TestUserBuffersSayWhatNativeFilesHold(t *testing.T) {
	f := func(bits int) netrun.FileType { return netrun.FileType{Kind: netrun.Floats, Bits: bits} }
	for _, row := range []struct {
		c       netRunCmd
		in, out netrun.FileType
	}{
		{netRunCmd{}, f(32), f(32)},
		{netRunCmd{Buffers: bufferFlags{TF8: true}}, f(32), f(32)},
		{netRunCmd{NativeInput: true}, netrun.FileType{Kind: netrun.Native}, f(32)},
		{netRunCmd{NativeOutput: true, Buffers: bufferFlags{Auto: true}}, f(32), netrun.FileType{Kind: netrun.Native}},
		{netRunCmd{NativeInput: true, NativeOutput: true, Buffers: bufferFlags{Float: true}}, f(32), f(32)},
		{netRunCmd{NativeInput: true, NativeOutput: true, Buffers: bufferFlags{TF8: true, FloatNOutput: "16"}}, netrun.FileType{Kind: netrun.Fixed, Bits: 8}, f(16)},
		{netRunCmd{NativeOutput: true, Buffers: bufferFlags{TFN: "16"}}, f(32), netrun.FileType{Kind: netrun.Fixed, Bits: 16}},
		{netRunCmd{NativeOutput: true, Buffers: bufferFlags{UintNOutput: "32"}}, f(32), netrun.FileType{Kind: netrun.Uints, Bits: 32}},
	} {
		in, out, err := row.c.types()
		if err != nil || in != row.in || out != row.out {
			t.Errorf("%+v: %v %v %v", row.c, in, out, err)
		}
	}
	for _, bad := range []bufferFlags{{TF8: true, Float: true}, {FloatN: "8"}, {TFN: "32"}, {FloatOutput: true, TF8Output: true}, {TFNOutput: "x"}} {
		if _, _, err := (&netRunCmd{Buffers: bad}).types(); !errors.Is(err, errUsage) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
