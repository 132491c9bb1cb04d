package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workspace"
)

// run runs the program with the threads that all tests of this process share.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	fixture.Runtime(t)
	var out, err bytes.Buffer
	if len(args) > 0 && (args[0] == "check" || args[0] == "explore" || args[0] == "eval" || args[0] == "quantize" || args[0] == "estimate" || (args[0] == "optimize" || args[0] == "lint") && len(args) > 2) {
		args = append(args, "--threads", strconv.Itoa(fixture.Threads))
	}
	status = Run(t.Context(), args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

// files lists every file below a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			list = append(list, rel)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// smallModel writes Conv + Relu + Mul on [1,3,8,8], or [N,3,H,W] if open, and gives its path.
func smallModel(t *testing.T, change func(*onnxpb.ModelProto)) string {
	t.Helper()
	values := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((i*7)%11-5) / 10
		}
		return v
	}
	p := &onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("small"),
			Node: []*onnxpb.NodeProto{
				{OpType: proto.String("Conv"), Name: proto.String("c"), Input: []string{"x", "w", "b"}, Output: []string{"/c/Conv_output_0"}},
				{OpType: proto.String("Relu"), Name: proto.String("r"), Input: []string{"/c/Conv_output_0"}, Output: []string{"/r/Relu_output_0"}},
				{OpType: proto.String("Mul"), Name: proto.String("m"), Input: []string{"/r/Relu_output_0", "/r/Relu_output_0"}, Output: []string{"y"}},
			},
			Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})},
			Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
			Initializer: []*onnxpb.TensorProto{
				onnx.TensorProto("w", tensor.Floats(values(4*3*3*3), 4, 3, 3, 3)),
				onnx.TensorProto("b", tensor.Floats(values(4), 4)),
			},
		},
	}
	if change != nil {
		change(p)
	}
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pictures writes n small pictures and gives their folder.
func pictures(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for k := range n {
		img := image.NewRGBA(image.Rect(0, 0, 12, 10))
		for i := range 120 {
			img.Set(i%12, i/12, color.RGBA{uint8(i * (k + 2)), uint8(i * 5), uint8(255 - i), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "p"+strconv.Itoa(k)+".png"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckWritesTheSeedsFilesAndMore(t *testing.T) {
	t.Parallel()
	model, images, out := smallModel(t, nil), pictures(t, 3), t.TempDir()
	status, stdout, stderr := run(t, "check", model, "--images", images, "--out", out, "--variant", "w8a8", "--variant", "fp16",
		"--save-tensors", "--save-model", "--encodings", filepath.Join(out, "e.json"))
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	want := []string{
		"e-fp16.json", "e-w8a8.json",
		"models_onnx/small-fp16/config.json", "models_onnx/small-fp16/output/r_Relu.raw", "models_onnx/small-fp16/output/y.raw",
		"models_onnx/small-w8a8/config.json", "models_onnx/small-w8a8/output/r_Relu.raw", "models_onnx/small-w8a8/output/y.raw",
		"models_onnx/small/config.json", "models_onnx/small/output/c_Conv.raw", "models_onnx/small/output/r_Relu.raw", "models_onnx/small/output/y.raw",
		"models_onnx/small/small-fp16.onnx", "models_onnx/small/small-w8a8.onnx",
		"results/quantcheck.db", "results/report.html", "results/similarities/small-fp16.csv", "results/similarities/small-w8a8.csv",
	}
	slices.Sort(want)
	if got := files(t, out); !slices.Equal(got, want) {
		t.Errorf("files:\n%s", strings.Join(got, "\n"))
	}
	for _, text := range []string{"w8a8 is", "first layer under", "3 layers: 2 compared, 1 fused, 0 not quantized, 0 not comparable", "the same as compared", "results/quantcheck.db"} {
		if !strings.Contains(stdout, text) {
			t.Errorf("the summary does not say %q:\n%s", text, stdout)
		}
	}
	f, err := os.Open(filepath.Join(out, "results", "similarities", "small-w8a8.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if got := strings.Join(rows[0][:6], ","); got != "Layer,CosSim,MSE,SAR,PearsonR,DKL" {
		t.Errorf("columns %s", got)
	}
	if rows[1][0] != "c_Conv" || rows[1][1] != "" || rows[2][0] != "r_Relu" || rows[3][0] != "y" {
		t.Errorf("%v", rows)
	}
	if cos, err := strconv.ParseFloat(rows[3][1], 64); err != nil || cos < 0.99 || cos > 1 {
		t.Errorf("cosine %s", rows[3][1])
	}
	var config map[string][]int
	raw, err := os.ReadFile(filepath.Join(out, "models_onnx", "small", "config.json"))
	if err != nil || json.Unmarshal(raw, &config) != nil || !slices.Equal(config["r_Relu"], []int{1, 4, 6, 6}) {
		t.Errorf("config.json %s", raw)
	}
	if info, err := os.Stat(filepath.Join(out, "models_onnx", "small", "output", "r_Relu.raw")); err != nil || info.Size() != 4*4*36 {
		t.Errorf("r_Relu.raw: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(out, "models_onnx", "small", "small-w8a8.onnx")); err != nil {
		t.Error(err)
	} else if _, err := onnx.Parse(data); err != nil {
		t.Error(err)
	}
	var encodings struct {
		Version string
		Act     []struct {
			Name   string
			Scale  []float64
			Offset []int
		} `json:"activation_encodings"`
		Param []struct {
			Name, Type string
			Scale      []float64
		} `json:"param_encodings"`
	}
	if raw, err := os.ReadFile(filepath.Join(out, "e-w8a8.json")); err != nil || json.Unmarshal(raw, &encodings) != nil {
		t.Fatal(err)
	}
	if encodings.Version != "1.0.0" || len(encodings.Act) != 3 || encodings.Act[0].Name != "x" || encodings.Act[0].Scale[0] != 253./255 || len(encodings.Param) != 2 || len(encodings.Param[1].Scale) != 4 {
		t.Errorf("%+v", encodings)
	}
}

func TestDatabaseHoldsWhatWasPrinted(t *testing.T) {
	t.Parallel()
	model, images, out := smallModel(t, nil), pictures(t, 2), t.TempDir()
	status, stdout, _ := run(t, "check", model, "--images", images, "--out", out, "--variant", "w8a8", "--json")
	if status != 0 {
		t.Fatal(status)
	}
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(out))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids, err := db.Runs.Numbers(t.Context())
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v %v", ids, err)
	}
	stored, err := db.Runs.Read(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("printed and stored differ:\n%.2000s", diff)
	}
	if stored.Variants[0].Layers[1].Samples[1] == nil || stored.Samples[0].SHA256 == "" || stored.Model.SHA256 == "" {
		t.Error("per-sample values or hashes are missing")
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	model, images := smallModel(t, nil), pictures(t, 2)
	for gate, want := range map[string]int{"cos=0.5": 0, "cos=0.9999999": 3, "sqnr=5": 0, "sqnr=200": 3} {
		status, _, stderr := run(t, "check", model, "--images", images, "--out", t.TempDir(), "--fail-under", gate)
		if status != want || (want == 3) != strings.Contains(stderr, "output y") {
			t.Errorf("%s: status %d, want %d: %s", gate, status, want, stderr)
		}
	}
}

func TestBadInputGetsAClearSentence(t *testing.T) {
	t.Parallel()
	good, images := smallModel(t, nil), pictures(t, 1)
	at := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	external := onnxpb.TensorProto_EXTERNAL
	for name, c := range map[string]struct {
		model, images string
		more          []string
		status        int
		want          string
	}{
		"no such model":     {"nowhere.onnx", images, nil, 2, "no such file"},
		"not ONNX":          {at("a.onnx", "hello, this is text"), images, nil, 2, "not an ONNX file"},
		"truncated":         {at("b.onnx", string(raw[:len(raw)/2])), images, nil, 2, "truncated"},
		"model is a folder": {t.TempDir(), images, nil, 2, "folder"},
		"no such pictures":  {good, "nowhere", nil, 2, "no such file or folder"},
		"empty folder":      {good, t.TempDir(), nil, 2, "holds no pictures"},
		"not a sample":      {good, at("a.pdf", "x"), nil, 2, "neither a picture"},
		"all unreadable":    {good, at("a.png", "no picture"), nil, 1, "neither a JPEG nor a PNG"},
		"variant":           {good, images, []string{"--variant", "w8a8,per-chanel"}, 2, "\n      w8a8,per-chanel\n           ^\n"},
		"no such variant":   {good, images, []string{"--variant", "mine=nowhere.onnx"}, 2, "nowhere.onnx"},
		"gray":              {good, images, []string{"--input-color", "gray"}, 2, "3 channels where gray pictures have 1"},
		"colour":            {good, images, []string{"--input-color", "cmyk"}, 2, `input-color is "cmyk"; it can be rgb, bgr, gray`},
		"scale":             {good, images, []string{"--scale", "0"}, 2, "scale is not 0"},
		"means":             {good, images, []string{"--mean", "1,2"}, 2, "mean has 2 numbers"},
		"shape":             {good, images, []string{"--input-shape", "1,3,x"}, 2, "input-shape"},
		"other shape":       {good, images, []string{"--input-shape", "1,3,9,9"}, 2, "cannot be 9"},
		"limit":             {good, images, []string{"--limit", "-1"}, 2, "--limit"},
		"memory":            {good, images, []string{"--memory", "lots"}, 2, "--memory"},
		"gate":              {good, images, []string{"--fail-under", "mse=1"}, 2, "write cos=0.99 or sqnr=20"},
		"unknown flag":      {good, images, []string{"--imges", "x"}, 2, "--imges"},
		"out is a file":     {good, images, []string{"--out", good}, 2, "is a file"},
		"no library":        {good, images, []string{"--ort-lib", "nowhere.so"}, 4, "nowhere.so"},
		"config":            {good, images, []string{"--model-config", at("c.yaml", "resize: letterbox\nmaen: 3\n")}, 2, "maen"},
		"dynamic shape": {smallModel(t, func(p *onnxpb.ModelProto) {
			p.Graph.Input[0] = onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, -1, -1})
		}), images, nil, 2, "--input-shape"},
		"external data": {smallModel(t, func(p *onnxpb.ModelProto) {
			p.Graph.Initializer[0].DataLocation, p.Graph.Initializer[0].RawData = &external, nil
			p.Graph.Initializer[0].ExternalData = []*onnxpb.StringStringEntryProto{{Key: proto.String("location"), Value: proto.String("w.data")}}
		}), images, nil, 2, "copy it beside the model"},
		"unknown operator": {smallModel(t, func(p *onnxpb.ModelProto) { p.Graph.Node[1].OpType = proto.String("NoSuchOp") }), images, nil, 1, "NoSuchOp"},
		"constant output": {smallModel(t, func(p *onnxpb.ModelProto) {
			p.Graph.Node[0].Input[0] = "k"
			p.Graph.Initializer = append(p.Graph.Initializer, onnx.TensorProto("k", tensor.Floats(make([]float32, 192), 1, 3, 8, 8)))
		}), images, nil, 2, "do not depend on its inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			args := append([]string{"check", c.model, "--images", c.images, "--out", out}, c.more...)
			status, stdout, stderr := run(t, args...)
			if status != c.status || !strings.Contains(stderr, c.want) {
				t.Errorf("status %d, want %d; %q does not say %q", status, c.status, stderr, c.want)
			}
			if stdout != "" || strings.Contains(stderr, "goroutine") {
				t.Errorf("stdout %q, stderr %q", stdout, stderr)
			}
			if got := files(t, out); len(got) > 0 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

func TestADamagedPictureIsNamedAndTheRunGoesOn(t *testing.T) {
	t.Parallel()
	model, images := smallModel(t, nil), pictures(t, 3)
	path := filepath.Join(images, "p1.png")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ := run(t, "check", model, "--images", images, "--out", t.TempDir())
	if status != 0 || !strings.Contains(stdout, "2 compared") || !strings.Contains(stdout, "sample p1.png was left out") {
		t.Errorf("status %d:\n%s", status, stdout)
	}
}

// TestFullDisk runs the program in a child process that may not write files beyond a size, which is how a full disk
// looks to it.
// Shared memory counts as a file for the system, so that a limit on the size of files keeps the library from being started at all. A full
// disk is in TestWhatAWorkspaceDoesNotTakeIsPrintedAndKept.
func TestALimitOnTheSizeOfFiles(t *testing.T) {
	const inChild = "QUANTCHECK_TEST_FILE_LIMIT"
	if request := os.Getenv(inChild); request != "" {
		args := strings.Split(request, "\n")
		limit, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		os.Exit(Run(t.Context(), args[1:], strings.NewReader(""), os.Stdout, os.Stderr))
	}
	model, images := smallModel(t, nil), pictures(t, 1)
	for _, limit := range []string{"2000", "20000"} {
		out, temporary := t.TempDir(), t.TempDir()
		args := []string{"check", model, "--images", images, "--out", out, "--save-tensors", "--save-model"}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestALimitOnTheSizeOfFiles$")
		child.Env = append(os.Environ(), inChild+"="+strings.Join(append([]string{limit}, args...), "\n"), "TMPDIR="+temporary)
		var stdout, stderr bytes.Buffer
		child.Stdout, child.Stderr = &stdout, &stderr
		err := child.Run()
		if child.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "ulimit -f") && limit == "20000" {
			t.Errorf("limit %s: %v, stdout %q, stderr %q", limit, err, &stdout, &stderr)
		}
		if left := files(t, temporary); len(left) > 0 {
			t.Errorf("limit %s: left in the folder for temporary files: %v", limit, left)
		}
		for _, f := range files(t, out) {
			if !strings.HasPrefix(f, filepath.Join("results", "quantcheck.db")) {
				t.Errorf("limit %s: left behind: %s", limit, f)
			}
		}
		if status, _, stderr := run(t, "check", model, "--images", images, "--out", out); status != 0 {
			t.Errorf("limit %s: the workspace is not usable afterwards: %s", limit, stderr)
		}
	}
}

// Each moment has three tries: a machine with much else to do may take more than the second.
func TestInterruptStopsWithinASecond(t *testing.T) {
	model := fixture.Path(t, "models", "yolox_nano.onnx")
	images := fixture.Path(t, "coco", "val")
	fixture.Runtime(t)
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond} {
		var took []time.Duration
		for len(took) < 3 && (len(took) == 0 || took[len(took)-1] > slowed*time.Second) {
			ctx, cancel := context.WithCancel(t.Context())
			out := t.TempDir()
			var stdout, stderr bytes.Buffer
			done := make(chan int)
			go func() {
				args := []string{"check", model, "--images", images, "--out", out, "--save-tensors", "--threads", strconv.Itoa(fixture.Threads)}
				done <- Run(ctx, args, strings.NewReader(""), &stdout, &stderr)
			}()
			time.Sleep(after) // the moment of the interrupt is what the test is about
			cancel()
			begin := time.Now()
			status := <-done
			took = append(took, time.Since(begin))
			left := slices.DeleteFunc(files(t, out), func(f string) bool { return strings.HasSuffix(f, ".state") }) // with which the next run goes on
			if status != 130 || len(left) > 0 || stdout.Len() > 0 {
				t.Errorf("interrupted after %s: status %d, files %v", after, status, left)
			}
		}
		if slices.Min(took) > slowed*time.Second {
			t.Errorf("interrupted after %s it took %v", after, took)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"check", "--help"}, {"version"}, {}} {
		status, stdout, stderr := run(t, args...)
		if status != 0 || stdout == "" || stderr != "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
}
