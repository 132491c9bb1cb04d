package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"quantcheck/internal/dataset"
)

const config = `{"config_version": "1.0", "model": {"metadata": {"name": "m", "path": "m.onnx"},
 "inputs": [{"name": "images", "input_type": "image", "shape": [1,3,288,512], "layout": "NCHW", "preprocessing": {"mean": [0,0,0], "scale": [255,255,255], "reverse_channels": false, "dai_type": "BGR888p"}}],
 "heads": [{"parser": "YOLO", "outputs": ["o1"], "metadata": {"classes": ["a","b"], "n_classes": 2, "iou_threshold": 0.5, "conf_threshold": 0.25, "max_det": 300, "subtype": "yolov6r2", "yolo_outputs": ["o1"]}}]}}`

func pack(t testing.TB, path string, members map[string]string, order ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range order {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(members[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(members[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var packed io.WriteCloser
	var err error
	switch filepath.Ext(path) {
	case ".xz":
		packed, err = xz.NewWriter(&out)
	case ".gz":
		packed = gzip.NewWriter(&out)
	default:
		out = b
	}
	if err != nil {
		t.Fatal(err)
	}
	if packed != nil {
		if _, err := packed.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArchivesDescribeInputsAndHeads(t *testing.T) {
	for _, ending := range []string{".tar.xz", ".tar.gz", ".tar"} {
		path := pack(t, filepath.Join(t.TempDir(), "yolo"+ending), map[string]string{"config.json": config, "m.onnx": "model", "m.onnx.data": "weights", "readme": "x"}, "readme", "m.onnx.data", "m.onnx", "config.json")
		if !Is(path) || Stem(path) != "yolo" {
			t.Error(path, Stem(path))
		}
		a, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		d := dataset.Default()
		notes, err := a.Describe(&d)
		if err != nil || d.InputColor != "bgr" || !slices.Equal(d.Scale, dataset.Numbers{255, 255, 255}) || d.Layout != "NCHW" || len(notes) != 1 {
			t.Errorf("%v %+v %v", err, d, notes)
		}
		for _, want := range []string{"task: detection", "decoder: yolov6", "- a"} {
			if !strings.Contains(string(d.Eval), want) {
				t.Errorf("no %q in %s", want, d.Eval)
			}
		}
		dir := t.TempDir()
		model, err := a.Extract(t.Context(), dir)
		if err != nil || filepath.Base(model) != "m.onnx" {
			t.Fatal(err, model)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("%v %v", err, entries)
		}
	}
}

// TestHeadsNameTheirOutputs: a head that was cut has several, and their order is kept.
func TestHeadsNameTheirOutputs(t *testing.T) {
	for head, want := range map[string]string{
		`{"parser": "YOLO", "outputs": ["boxes", "scores"], "metadata": {"subtype": "yolov8"}}`:                                 "  outputs:\n  - boxes\n  - scores\n",
		`{"parser": "YOLO", "outputs": ["b8", "c8", "masks"], "metadata": {"subtype": "yolov8", "yolo_outputs": ["b8", "c8"]}}`: "  outputs:\n  - b8\n  - c8\n",
		`{"parser": "SSDParser", "outputs": ["s", "b"], "metadata": {"boxes_outputs": "b", "scores_outputs": "s"}}`:             "  outputs:\n  - b\n  - s\n",
	} {
		a := &Archive{Path: "a.tar"}
		if err := json.Unmarshal([]byte(`{"model": {"metadata": {"path": "m.onnx"}, "inputs": [{"name": "x"}], "heads": [`+head+`]}}`), &a.Config); err != nil {
			t.Fatal(err)
		}
		d := dataset.Default()
		if _, err := a.Describe(&d); err != nil || !strings.Contains(string(d.Eval), want) {
			t.Errorf("%v: no %q in %s", err, want, d.Eval)
		}
	}
}

func TestArchivesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		members map[string]string
		says    string
	}{
		"noconfig.tar": {map[string]string{"m.onnx": "x"}, "no config.json"}, "junk.tar": {map[string]string{"config.json": "{"}, "config.json"},
		"nomodel.tar": {map[string]string{"config.json": `{"model": {}}`}, "names no model"},
	} {
		var order []string
		for m := range c.members {
			order = append(order, m)
		}
		if _, err := Open(pack(t, filepath.Join(dir, name), c.members, order...)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"empty.tar.xz": "", "junk.tar.xz": "\xfd7zXZ\x00rubbish", "junk.tar.gz": "\x1f\x8b\x08rubbish"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	outside := strings.Replace(config, `"path": "m.onnx"`, `"path": "../../m.onnx"`, 1)
	a, err := Open(pack(t, filepath.Join(dir, "outside.tar"), map[string]string{"config.json": outside}, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Extract(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("%v", err)
	}
	a, err = Open(pack(t, filepath.Join(dir, "absent.tar"), map[string]string{"config.json": config}, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Extract(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not in it") {
		t.Errorf("%v", err)
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	for _, ending := range []string{".tar.xz", ".tar.gz", ".tar"} {
		data, err := os.ReadFile(pack(f, filepath.Join(dir, "a"+ending), map[string]string{"config.json": config}, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	path := filepath.Join(dir, "fuzzed")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := Open(path); err == nil {
			d := dataset.Default()
			_, _ = a.Describe(&d)
		}
	})
}
