package cli

import (
	"archive/tar"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// TestAnAbsurdBoxIsNamedAndTheResultIsStored gives detection sets with boxes that nothing can be computed with, from the annotations to the
// workspace.
func TestAnAbsurdBoxIsNamedAndTheResultIsStored(t *testing.T) {
	t.Parallel()
	for _, box := range []string{"[1e308, 1e308, 1e308, 1e308]", "[-1e308, 0, 1e308, 5]", "[0, 0, 1e-320, 1e308]", "[1, 2, 1e12, 4]"} {
		path, out := filepath.Join(t.TempDir(), "set.json"), t.TempDir()
		text := fmt.Sprintf(`{"images": [{"id": 9, "file_name": "000000000009.jpg", "width": 640, "height": 480}], "categories": [{"id": 1, "name": "person"}],
			"annotations": [{"id": 71, "image_id": 9, "category_id": 1, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0}, {"id": 72, "image_id": 9, "category_id": 1, "bbox": %s, "area": 1e308, "iscrowd": 0}]}`, box)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := yoloxNano(t)
		args[2] = path
		status, stdout, stderr := run(t, append([]string{"eval", "--images", fixture.Path(t, "coco", "val"), "--variant", "fp16", "--out", out, "--json"}, args...)...)
		var e result.Evaluation
		if err := json.Unmarshal([]byte(stdout), &e); status != exitDone || err != nil {
			t.Fatalf("%s: status %d, %v: %s", box, status, err, stderr)
		}
		if problems := strings.Join(e.Problems, "\n"); !strings.Contains(problems, "annotation 72") || strings.Contains(problems, "annotation 71") {
			t.Errorf("%s: the box is not named: %s", box, problems)
		}
		db, err := workspace.OpenExisting(t.Context(), workspace.Folder(out))
		if err != nil {
			t.Fatal(err)
		}
		stored, problems, err := db.Evaluations.All(t.Context())
		if err != nil || len(problems) > 0 || len(stored) != 1 || len(stored[0].Models) != 2 || stored[0].Models[0].Scores[0] != e.Models[0].Scores[0] {
			t.Errorf("%s: stored: %d evaluations, %v, %v", box, len(stored), problems, err)
		}
		_ = db.Close()
	}
}

// TestTrapsAreRefusedAtOnce gives descriptions and archives that would take all memory or all of a disk.
func TestTrapsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	model, images := smallModel(t, nil), pictures(t, 1)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var lines strings.Builder
	lines.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&lines, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	aliases := lines.String()
	annotations := write("set.json", `{"images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}], "categories": [{"id": 1, "name": "a"}], "annotations": []}`)
	for _, row := range []struct {
		name string
		args []string
		says string
	}{
		{"aliases", []string{"check", model, "--images", images, "--model-config", write("c.yaml", aliases)}, "aliases"},
		{"depth", []string{"check", model, "--images", images, "--model-config", write("c.yaml", strings.Repeat("[", 100_000))}, "c.yaml"},
		{"no classes", []string{"eval", model, "--task", "detection", "--data", annotations, "--images", images, "--model-config", write("c.yaml", "eval:\n  classes: []\n")}, "classes is empty"},
		{"an archive", []string{"check", zeroArchive(t, 80<<20), "--images", images}, "100 times its own size"},
	} {
		out := t.TempDir()
		status, stdout, stderr := run(t, append(row.args, "--out", out)...)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, row.says) || strings.Contains(stderr, "goroutine") {
			t.Errorf("%s: status %d, %q %q", row.name, status, stdout, stderr)
		}
		if left := files(t, out); len(left) > 0 {
			t.Errorf("%s: left behind: %v", row.name, left)
		}
	}
}

// zeroArchive is an archive whose model is so many zeros.
func zeroArchive(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.tar.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	config := `{"config_version": "1.0", "model": {"metadata": {"name": "m", "path": "m.onnx"}, "inputs": [{"name": "x", "input_type": "image", "shape": [1,3,8,8], "layout": "NCHW", "preprocessing": {}}], "heads": []}}`
	for _, m := range []struct {
		name string
		size int64
		from io.Reader
	}{{"config.json", int64(len(config)), strings.NewReader(config)}, {"m.onnx", size, zeroBytes{}}} {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: m.size, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, m.from, m.size); err != nil {
			t.Fatal(err)
		}
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("the archive could not be written")
	}
	return path
}

type zeroBytes struct{}

func (zeroBytes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestADamagedDatabaseIsReadByEveryCommand sets numbers in a database that point beyond everything.
func TestADamagedDatabaseIsReadByEveryCommand(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	model, images := smallModel(t, nil), pictures(t, 2)
	for _, args := range [][]string{{"check", model, "--images", images}, {"eval", model, "--task", "agreement", "--data", images}} {
		if status, _, stderr := run(t, append(args, "--out", out)...); status != exitDone {
			t.Fatal(status, stderr)
		}
	}
	db, err := sql.Open("sqlite", workspace.Folder(out).Database())
	if err != nil {
		t.Fatal(err)
	}
	done, err := db.ExecContext(t.Context(), "UPDATE metrics SET worst = 99999 WHERE metric = 'MSE'")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	_ = db.Close()
	for _, command := range []string{"report", "stats", "layers", "lint"} {
		status, stdout, stderr := run(t, command, out)
		if said := stdout + stderr; status != exitDone || !strings.Contains(said, "99999") || strings.Contains(said, "goroutine") {
			t.Errorf("%s: status %d, %s", command, status, said)
		}
	}
}
