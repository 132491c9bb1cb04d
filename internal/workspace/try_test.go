package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/result"
)

func TestWhetherAFileCanBeWrittenIsFoundWithoutLeavingOne(t *testing.T) {
	dir := t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	if err := os.WriteFile(at("file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"to file": "file", "to nowhere": "gone/away", "to folder": "folder"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		at("new"): "", at("a", "b", "c"): "", at("file"): "", at("to file"): "", at("to folder", "x"): "", os.DevNull: "",
		at("folder"): "is a folder", at("to folder"): "is a folder", at("file", "x"): "not a folder", at("file", "x", "y"): "not a folder",
		at("to nowhere", "x"): "a link to nowhere",
	} {
		err := TryFile(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestRoomIsComparedWithWhatIsFree(t *testing.T) {
	needs := []Need{{"tensors", 900_000_000}, {"models", 0}, {"page", 300_000}}
	if err := enough("w", needs, 1_000_000_000, true); err != nil {
		t.Error(err)
	}
	if err := enough("w", needs, 5, false); err != nil {
		t.Errorf("where the system does not tell: %v", err)
	}
	err := enough("w", needs, 299_999_999, true)
	if want := "not enough free space: the results need about 900 MB in w (tensors 900 MB, page 300 kB), 300 MB are free there"; !errors.Is(err, ErrNoRoom) || err.Error() != want {
		t.Errorf("%v", err)
	}
	if free, ok := freeBytes(t.TempDir()); ok && free <= 0 {
		t.Errorf("%d bytes are free", free)
	}
	if err := Folder(t.TempDir()).Room(Need{"all", 1 << 62}); err == nil {
		t.Error("there is room for 4 EiB")
	}
}

func TestAPlanCountsWhatIsAskedFor(t *testing.T) {
	layers := []result.Layer{{Shape: []int64{1, 16, 100, 100}}, {Shape: []int64{1, -1}}, {Shape: []int64{0, 5}}, {Shape: []int64{1 << 40, 1 << 40}}}
	if n := elements(layers[0].Shape); n != 160_000 {
		t.Error(n)
	}
	if elements(layers[1].Shape) != 1 || elements(layers[2].Shape) != 0 || elements(layers[3].Shape) <= 0 {
		t.Error("shapes that are not known, empty, or absurd")
	}
	few, page, tables := Plan{Layers: layers, Samples: 1, Variants: 1}.results(4)
	many, _, _ := Plan{Layers: layers, Samples: 1001, Variants: 1}.results(0)
	if page < 400<<10 || tables < 4000 || many-few < 4*990*140 {
		t.Errorf("%d %d %d %d", few, many, page, tables)
	}
	s := NewStage(Folder(t.TempDir()), result.CheckSpec{Saving: result.Saving{SaveTensors: true, SaveModel: true}})
	huge := Plan{Layers: []result.Layer{{Shape: []int64{1 << 45}}}, Variants: 1, Models: []int64{1 << 50}}
	if err := s.Plan(huge); err == nil || !strings.Contains(err.Error(), "tensors 281") || !strings.Contains(err.Error(), "models 1.13e+03 TB") {
		t.Error(err)
	}
}

func TestEveryTableIsImportedOrNamedHere(t *testing.T) {
	known := []string{"trials", "models", "model_layers"} // models are noted by info, which computes nothing that could be lost
	for _, p := range parts {
		known = append(append(known, p.table), p.rows...)
	}
	names := tableNames()
	for _, name := range names {
		if !slices.Contains(known, name) {
			t.Errorf("the table %s is lost by an import", name)
		}
	}
	if len(names) != len(known) {
		t.Errorf("%v", names)
	}
}
