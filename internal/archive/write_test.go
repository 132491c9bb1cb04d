package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnArchiveFollowsItsCutOutputs(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(config, `"heads"`, `"outputs": [{"name": "o1", "dtype": "float32", "shape": [1, 6, 10]}, {"name": "o2", "dtype": "float32"}], "unknown": 3, "heads"`, 1)
	text = strings.Replace(text, `"yolo_outputs"`, `"boxes_outputs": "o1", "scores_outputs": "o1", "yolo_outputs"`, 1)
	a, err := Open(pack(t, filepath.Join(dir, "a.tar.gz"), map[string]string{"config.json": text, "m.onnx": "old", "labels.txt": "a b"}, "config.json", "m.onnx", "labels.txt"))
	if err != nil {
		t.Fatal(err)
	}
	change := Change{Model: "new.onnx", BoxScale: 640, Cut: map[string][]Part{"o1": {{"o1_box", []int64{1, 4, 10}}, {"o1_score", nil}}}}
	var out, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&out, &again} {
		if err := a.Write(t.Context(), w, change, 3, strings.NewReader("new")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("two archives differ")
	}
	path := filepath.Join(dir, "b.tar.gz")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h := b.Config.Model.Heads[0]
	if got := strings.Join(h.Outputs, " "); got != "o1_box o1_score" || h.Metadata.Boxes != "o1_box" || h.Metadata.Scores != "o1_score" || b.Config.Model.Metadata.Path != "new.onnx" || h.Metadata.Count != 2 || h.Metadata.BoxScale != 640 {
		t.Errorf("%+v", b.Config)
	}
	model, err := b.Extract(t.Context(), filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(model); err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
	if err := a.Write(t.Context(), &out, change, 9, strings.NewReader("new")); err == nil {
		t.Error("a model shorter than said")
	}
}
