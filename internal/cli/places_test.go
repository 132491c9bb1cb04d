package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// notPaths are flags of text that name no file of this machine that a command could destroy.
var notPaths = []string{
	"name", "task", "engine", "soc", "target", "decoder", "by", "io", "layer", "explain", "fail-on", "encodings-version", "estimate-variant", "memory", "size", "type", "prefix",
	"input-color", "to-color", "resize", "pad-value", "pad-position", "mean", "scale", "layout", "ort-lib", "env-file", "known-hosts", "device", "device-dir", "install", "perf-profile", "set_output_tensors", "only", "runtime",
}

// Every flag of text of every command is known to name no file, or is one of the command's places. A new flag that is neither fails
// here.
func TestEveryPathOfEveryCommandIsHeldAgainstTheOthers(t *testing.T) {
	t.Parallel()
	var p program
	parser, err := kong.New(&p, lists())
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Children {
		command, ok := node.Target.Addr().Interface().(placed)
		if !ok {
			if slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool {
				return slices.Contains([]string{"out", "output", "write", "encodings", "trace"}, f.Name)
			}) {
				t.Errorf("%s writes files and does not say which", node.Name)
			}
			continue
		}
		values := slices.Clone(node.Positional)
		for _, f := range node.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			ofTheTools := node.Name == "net-run" && !slices.Contains([]string{"container", "input_list", "output_dir"}, v.Name) // snpe-net-run's own
			if v.Target.Kind() != reflect.String || v.Name == "variant" || slices.Contains(notPaths, v.Name) || ofTheTools {
				continue
			}
			before := v.Target.String()
			value := filepath.Join(t.TempDir(), "unheard-of")
			v.Target.SetString(value)
			if !strings.Contains(mentions(command.places()), filepath.Dir(value)) {
				t.Errorf("%s: %s is none of the command's places, and not known to be no path", node.Name, v.Name)
			}
			v.Target.SetString(before)
		}
	}
}

func mentions(p places) string {
	var b strings.Builder
	for _, list := range [][]place{{p.model, p.inputs}, p.reads, p.samples, p.files, p.models, p.folders, p.replaces} {
		for _, one := range list {
			b.WriteString(one.path + "\n")
		}
	}
	return b.String()
}

func TestNoCommandWritesOverWhatItReads(t *testing.T) { //nolint:paralleltest // it runs commands
	model, images := smallModel(t, nil), pictures(t, 2)
	dir := filepath.Dir(model)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	must(os.Symlink(model, in("link.onnx")))
	must(os.Link(model, in("hard.onnx")))
	must(os.Symlink(dir, in("around")))
	must(os.Symlink(images, in("pics")))
	must(os.WriteFile(in("small.yaml"), []byte("input-color: rgb\n"), 0o600))
	must(os.WriteFile(in("list.txt"), []byte(filepath.Join(images, "p0.png")+"\n"), 0o600))
	must(os.MkdirAll(in("ws", "models_onnx", "small", "output"), 0o700))
	must(os.WriteFile(in("ws", "models_onnx", "small", "output", "x.raw"), make([]byte, 4*192), 0o600))
	must(os.MkdirAll(in("folder.onnx"), 0o700))
	for _, path := range []string{in("ws", "out", "Result_0", "y.raw"), in("ws", "data_raw", "n", "a.raw"), in("ws", "models_dlc", "n", "dlc-info-graph.txt"), in("n.dlc")} {
		must(os.MkdirAll(filepath.Dir(path), 0o700))
		must(os.WriteFile(path, nil, 0o600))
	}
	must(os.WriteFile(in("inputs.txt"), []byte("x:="+in("ws", "out", "Result_0", "y.raw")+"\n"), 0o600))
	data, err := os.ReadFile(model)
	must(err)
	must(os.WriteFile(in("ws", "models_onnx", "small", "small-w8a8.onnx"), data, 0o600))
	// A model whose weights lie in the file that another output's weights would go to.
	m, err := onnx.Load(model)
	must(err)
	must(os.WriteFile(in("other.onnx.data"), make([]byte, 4*108), 0o600))
	must(os.WriteFile(in("beside.onnx"), external(t, m, "other.onnx.data"), 0o600))
	workspaceOf := in("ran")
	if status, _, stderr := run(t, "check", model, "--images", images, "--out", workspaceOf); status != 0 {
		t.Fatal(stderr)
	}
	before, err := hashes(dir, images)
	must(err)
	optimize := func(out string) []string { return []string{"optimize", model, "-o", out} }
	quantize := func(args ...string) []string { return append([]string{"quantize", model, "--images", images}, args...) }
	check := func(args ...string) []string { return append([]string{"check", model, "--images", images}, args...) }
	db := filepath.Join(workspaceOf, "results", "quantcheck.db")
	for _, row := range []struct {
		name  string
		args  []string
		names string // what the message names
	}{
		{"its model", optimize(model), "-o " + model},
		{"its model, spelt otherwise", optimize(dir + "/./around/../" + filepath.Base(dir) + "/small.onnx"), "small.onnx"},
		{"its model through a folder that is a link", optimize(in("around", "small.onnx")), "around"},
		{"its model through a link", optimize(in("link.onnx")), "link.onnx"},
		{"its model through a hard link", optimize(in("hard.onnx")), "hard.onnx"},
		{"a folder", optimize(in("folder.onnx")), "folder.onnx"},
		{"the samples", []string{"optimize", model, "--images", images, "-o", filepath.Join(images, "new.onnx")}, "new.onnx"},
		{"the file of weights", []string{"optimize", in("beside.onnx"), "-o", in("other.onnx")}, "other.onnx.data"},
		{"quantize: its model", quantize("-o", model), "-o " + model},
		{"quantize: encodings over the model", quantize("-o", in("q.onnx"), "--encodings", model), "--encodings " + model},
		{"quantize: encodings over the model, whatever --overwrite says", quantize("-o", in("q.onnx"), "--encodings", model, "--overwrite"), "--encodings " + model},
		{"quantize: encodings over the description", quantize("-o", in("q.onnx"), "--encodings", in("small.yaml")), "small.yaml"},
		{"quantize: encodings among the samples", quantize("-o", in("q.onnx"), "--encodings", filepath.Join(images, "e.json")), "e.json"},
		{"quantize: encodings over a sample of a list", []string{"quantize", model, "--images", in("list.txt"), "-o", in("q.onnx"), "--encodings", filepath.Join(images, "p0.png")}, "p0.png"},
		{"quantize: encodings over the list", []string{"quantize", model, "--images", in("list.txt"), "-o", in("q.onnx"), "--encodings", in("list.txt")}, "list.txt"},
		{"quantize: one file for two", quantize("-o", in("q.onnx"), "--encodings", in("around", "q.onnx")), "q.onnx"},
		{"quantize: the DLC among the samples", quantize("-o", in("q.onnx"), "--dlc", filepath.Join(images, "q.dlc")), "q.dlc"},
		{"check: the samples as the workspace", check("--out", images), "--out " + images},
		{"check: below the samples", check("--out", filepath.Join(images, "new", "ws")), "--out"},
		{"check: the samples through a link", check("--out", in("pics")), "--out " + in("pics")},
		{"check: encodings over the model", check("--out", in("new"), "--encodings", model), "--encodings " + model},
		{"check: the saved model over the one that is read", []string{"check", in("ws", "models_onnx", "small", "small-w8a8.onnx"), "--name", "small", "--images", images, "--out", in("ws"), "--save-model"}, "small-w8a8.onnx"},
		{"check: tensors over the samples", []string{"check", model, "--images", in("ws", "models_onnx", "small", "output", "x.raw"), "--out", in("ws"), "--save-tensors"}, "x.raw"},
		{"check: encodings over the workspace's database", check("--out", workspaceOf, "--encodings", db), db},
		{"report: the page over the database", []string{"report", workspaceOf, "-o", db}, db},
		{"raw: into the samples", []string{"raw", "--images", images, "--size", "8x8", "-o", images}, "-o " + images},
		{"eval: the samples as the workspace", []string{"eval", model, "--task", "agreement", "--data", images, "--out", images}, "--out " + images},
		{"explore: the samples as the workspace", []string{"explore", model, "--images", images, "--out", images}, "--out " + images},
		{"lint: its model", []string{"lint", model, "--fix", "-o", model}, "-o " + model},
		{"estimate: the timeline over the model", []string{"estimate", model, "--trace", model}, "--trace " + model},
		{"net-run: an input among the results", []string{"net-run", "--container", in("n.dlc"), "--input_list", in("inputs.txt"), "--output_dir", in("ws", "out")}, "y.raw"},
		{"info: over the listing that is read", []string{"info", in("ws", "models_dlc", "n", "dlc-info-graph.txt"), "--write", in("ws"), "--name", "n"}, "dlc-info-graph.txt"},
		{"benchmark: inputs over the raw files that are read", []string{"benchmark", "--dlc", in("n.dlc"), "--data", in("ws", "data_raw", "n"), "--out", in("ws"), "--device", "local"}, "data_raw"},
	} {
		status, stdout, stderr := run(t, row.args...)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, row.names) {
			t.Errorf("%s: status %d, %q %q", row.name, status, stdout, stderr)
		}
		if after, err := hashes(dir, images); err != nil || !reflect.DeepEqual(after, before) {
			t.Fatalf("%s: something was written: %v", row.name, err)
		}
	}
	for _, args := range [][]string{
		{"optimize", model, "-o", in("around", "small.onnx"), "--overwrite"},
		{"optimize", in("beside.onnx"), "-o", in("beside.onnx"), "--overwrite"},
		{"optimize", model, "-o", in("new.onnx")}, // and once more, over what is no input
		{"optimize", model, "-o", in("new.onnx")},
	} {
		if status, _, stderr := run(t, args...); status != 0 {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}

// external is a model's file whose first constant lies in another file.
func external(t *testing.T, m *onnx.Model, location string) []byte {
	t.Helper()
	p, ok := proto.Clone(m.Proto).(*onnxpb.ModelProto)
	if !ok {
		t.Fatal("no model")
	}
	w := p.GetGraph().GetInitializer()[0]
	w.RawData, w.FloatData, w.DataLocation = nil, nil, onnxpb.TensorProto_EXTERNAL.Enum()
	w.ExternalData = []*onnxpb.StringStringEntryProto{{Key: proto.String("location"), Value: proto.String(location)}}
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// hashes gives the content and the links of folders.
func hashes(dirs ...string) (map[string]string, error) {
	all := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			all[path] = e.Type().String()
			if e.Type().IsRegular() {
				data, err := os.ReadFile(path)
				all[path] += string(data)
				return err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func TestTheWorkingFolderMayHoldSamplesAndWorkspace(t *testing.T) {
	samples := []place{{"--images", "."}}
	if err := (places{samples: samples, folders: []place{{"--out", "."}}}).check(); err != nil {
		t.Error(err)
	}
	for _, out := range []string{"results", "../cli"} {
		if err := (places{samples: samples, folders: []place{{"--out", out}}}).check(); err == nil {
			t.Errorf("--out %s is not refused", out)
		}
	}
}
