package cli

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/atomicfile/powercut"
)

// powerCutCommands are commands that write files, each into out, and how many at least.
func powerCutCommands(t *testing.T) []struct {
	name string
	args func(out string) []string
	most int
} {
	t.Helper()
	model, images := smallModel(t, nil), pictures(t, 3)
	type row = struct {
		name string
		args func(out string) []string
		most int
	}
	in := filepath.Join
	return []row{
		{"check", func(out string) []string {
			return []string{"check", model, "--images", images, "--out", out, "--variant", "w8a8", "--variant", "fp16", "--save-tensors", "--save-model", "--encodings", in(out, "new", "e.json")}
		}, 17},
		{"check, in the place of an earlier one", func(out string) []string {
			return []string{"check", model, "--images", images, "--out", out, "--variant", "w8a8", "--save-tensors", "--save-model", "--encodings", in(out, "new", "e.json")}
		}, 17},
		{"optimize", func(out string) []string { return []string{"optimize", model, "-o", in(out, "o", "new.onnx")} }, 1},
		{"quantize", func(out string) []string {
			return []string{"quantize", model, "--images", images, "-o", in(out, "q", "new.onnx"), "--encodings", in(out, "q", "e.json")}
		}, 2},
		{"raw", func(out string) []string {
			return []string{"raw", "--images", images, "-o", in(out, "raw", "files"), "--size", "8x8"}
		}, 4},
		{"eval", func(out string) []string {
			return []string{"eval", model, "--task", "agreement", "--data", images, "--out", out, "--variant", "w8a8"}
		}, 3},
		{"report", func(out string) []string { return []string{"report", out, "--output", in(out, "page", "p.html")} }, 1},
	}
}

// runsIn says how many runs the database of a workspace has.
func runsIn(out string) int {
	path := filepath.Join(out, "results", "quantcheck.db")
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return 0
	}
	defer db.Close()
	n := 0
	if db.QueryRow("SELECT count(*) FROM runs").Scan(&n) != nil { //nolint:noctx // a file that is there
		return 0
	}
	return n
}

// When a command has ended with status 0, a power cut loses nothing of what it wrote; and when a run is in the database, nothing
// of what belongs to it.
func TestWhatACommandWroteSurvivesAPowerCut(t *testing.T) { //nolint:paralleltest // there is one observer of files at a time
	out := t.TempDir()
	all := 0
	for _, row := range powerCutCommands(t) {
		runs := runsIn(out)
		var mu sync.Mutex
		var disk *powercut.Disk
		early := map[string]bool{}
		disk, err := powercut.Watch(out, func(atomicfile.Op) {
			mu.Lock()
			defer mu.Unlock()
			if len(early) == 0 && runsIn(out) > runs { // the run is in the database now, and so what belongs to it has to be on the disk
				early["the database"] = true
				for name := range unkept(t, out, disk) {
					early[name] = true
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		status, _, stderr := run(t, row.args(out)...)
		disk.Stop()
		if status != 0 {
			t.Fatalf("%s: status %d, %s", row.name, status, stderr)
		}
		lost := unkept(t, out, disk)
		written, err := powercut.Files(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(written) < row.most {
			t.Errorf("%s wrote %d files", row.name, len(written))
		}
		all += len(written)
		for name, why := range lost {
			t.Errorf("%s: a power cut loses %s: %s", row.name, name, why)
		}
		for name := range early {
			if strings.HasPrefix(name, "models_onnx") || strings.HasPrefix(name, filepath.Join("results", "similarities")) || strings.HasPrefix(name, "new") {
				t.Errorf("%s: the run was in the database before %s was on the disk", row.name, name)
			}
		}
		if row.name == "check" && !early["the database"] {
			t.Errorf("%s: the order was not looked at", row.name)
		}
	}
	soakLine(t, "a power cut after each of %d commands, on a model of a disk: 0 of %d files lost", len(powerCutCommands(t)), all)
	t.Run("on a file system", func(t *testing.T) { onALoopDevice(t) })
}

// unkept gives the files that lie in a folder and are not what a power cut would leave, each with what is wrong. SQLite syncs its
// database itself.
func unkept(t *testing.T, out string, disk *powercut.Disk) map[string]string {
	t.Helper()
	written, err := powercut.Files(out)
	if err != nil {
		return nil // in the midst of a change
	}
	kept := disk.After(false)
	lost := map[string]string{}
	for name, content := range written {
		switch got, there := kept[name]; {
		case strings.Contains(name, ".quantcheck-"), strings.HasPrefix(name, filepath.Join("results", "quantcheck.db")):
		case !there:
			lost[name] = "it is not there"
		case got != content:
			lost[name] = "its content is another"
		}
	}
	return lost
}
