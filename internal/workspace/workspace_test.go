package workspace

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

func TestDatabaseProblemsAreSaid(t *testing.T) {
	folder := func() Folder { return Folder(t.TempDir()) }
	if _, err := OpenExisting(t.Context(), folder()); err == nil || !strings.Contains(err.Error(), "is no workspace") {
		t.Error(err)
	}
	damaged := folder()
	if err := WriteFile(damaged.Database(), []byte(strings.Repeat("no database at all. ", 100))); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(t.Context(), damaged); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Error(err)
	}
	newer := folder()
	s, err := OpenStore(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(t.Context(), newer); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
}

func TestAFolderWithOddCharactersWorks(t *testing.T) {
	f := Folder(filepath.Join(t.TempDir(), "a b?c=d#e%20ü'"))
	s, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Runs.Add(t.Context(), &result.Run{Command: "check", Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Database()); err != nil {
		t.Error(err)
	}
	if _, err := s.Runs.Read(t.Context(), 7); !errors.Is(err, sql.ErrNoRows) {
		t.Error(err)
	}
}

func TestModelName(t *testing.T) {
	for _, c := range [][3]string{
		{"", "a/yolox_nano.onnx", "yolox_nano"}, {"my model", "x.onnx", "my_model"}, {"../../etc", "x.onnx", ".._.._etc"}, {"..", "x.onnx", "model"}, {"", "ü.onnx", "_"},
	} {
		if got := ModelName(c[0], c[1]); got != c[2] {
			t.Errorf("%v: %q", c, got)
		}
	}
}

func TestWriteFileLeavesNothingHalf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "f")
	if err := WriteFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "sub", "folder"), []byte("two")); err == nil {
		t.Error("a folder was overwritten")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestAWorkspaceOfAnEarlierVersionIsBroughtUpToDate(t *testing.T) {
	f := Folder(t.TempDir())
	s, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Runs.Add(t.Context(), &result.Run{Command: "check", Name: "old"}); err != nil {
		t.Fatal(err)
	}
	// What version 1 did not have yet.
	for _, statement := range []string{
		"ALTER TABLE variants DROP COLUMN emulator", "ALTER TABLE variants DROP COLUMN twin", "ALTER TABLE variants DROP COLUMN parts",
		"ALTER TABLE layer_results DROP COLUMN on_cpu", "ALTER TABLE layer_results DROP COLUMN apart", "ALTER TABLE layer_results DROP COLUMN local_apart",
		"ALTER TABLE variants DROP COLUMN verdict", "ALTER TABLE variants DROP COLUMN container", "ALTER TABLE variants DROP COLUMN time", "ALTER TABLE layer_results DROP COLUMN cycles", "ALTER TABLE layer_results DROP COLUMN rule", "DROP TABLE model_layers", "DROP TABLE models", "DROP TABLE scores", "DROP TABLE evaluations", "DROP TABLE estimate_layers", "DROP TABLE estimates", "DROP TABLE explorations", "DROP TABLE trials",
		"PRAGMA user_version = 1",
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenStore(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run := &result.Run{Command: "check", Name: "new", Samples: []result.Sample{{Name: "a"}}, Layers: []result.Layer{{Name: "l", Shape: []int64{}, Inputs: []int{}}}}
	part := result.Part{Samples: []*metric.Values{{}}}
	part.Samples[0][metric.SQNR] = metric.Defined(12)
	part.Summary = metric.Summarize(part.Samples)
	run.Variants = []result.Variant{{
		Counterpart: -1, FirstMismatchLayer: 0, Diverges: -1, Emulator: &result.Emulator{Wheel: "2.7.0", SoC: 66, OnCPU: []string{"l"}},
		Layers: []result.LayerResult{{Status: result.Compared, OnCPU: true, EmulationError: &result.EmulationError{Part: part, FractionOverOneStep: metric.Defined(0.25)}}},
	}}
	if err := s.Runs.Add(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if old, err := s.Runs.Read(t.Context(), 1); err != nil || old.Name != "old" {
		t.Errorf("%v", err)
	}
	got, err := s.Runs.Read(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	v := got.Variants[0]
	if v.Counterpart != -1 || v.FirstMismatchLayer != 0 || v.Emulator == nil || v.Emulator.SoC != 66 || !v.Layers[0].OnCPU || v.Layers[0].EmulationError == nil ||
		v.Layers[0].EmulationError.FractionOverOneStep.V != 0.25 || v.Layers[0].EmulationError.Summary[metric.SQNR].Mean.V != 12 || v.Layers[0].IsolatedEmulationError != nil {
		t.Errorf("%+v %+v", v, v.Layers[0].EmulationError)
	}
}

// A transaction that was committed must survive a power cut: with FULL, the journal that would undo it may still be there then.
func TestTheDatabaseSyncsWhatIsCommitted(t *testing.T) {
	t.Parallel()
	f := Folder(filepath.Join(t.TempDir(), "new"))
	s, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const extra = 3
	var level int
	var mode string
	for range 3 { // of several connections
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&level); err != nil || level != extra {
			t.Errorf("synchronous %d, %v", level, err)
		}
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
			t.Errorf("journal_mode %s, %v", mode, err)
		}
	}
}

// A migration without a new version would never run.
func TestEveryMigrationHasItsVersion(t *testing.T) {
	if schemaVersion != len(migrations)+1 {
		t.Errorf("version %d, %d migrations", schemaVersion, len(migrations))
	}
}
