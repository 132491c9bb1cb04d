package onnxruntime_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnxruntime"
)

// What the variable keeps from happening is shown by the test of all commands under a tracer, in internal/cli.
func TestTelemetryIsOffWhateverTheEnvironmentSaid(t *testing.T) {
	t.Setenv("ORT_DISABLE_TELEMETRY", "0")
	fixture.Runtime(t)
	seen, err := onnxruntime.CEnvironment("ORT_DISABLE_TELEMETRY")
	if err != nil || seen != "1" {
		t.Errorf("the C library sees %q, %v", seen, err)
	}
	if handed := os.Getenv("ORT_DISABLE_TELEMETRY"); handed != "1" { // and so do processes that are started
		t.Errorf("processes that are started see %q", handed)
	}
}

// The Python of benchmarks loads a library of its own.
func TestPythonTurnsTelemetryOffBeforeItLoadsTheLibrary(t *testing.T) {
	imports := regexp.MustCompile(`(?m)^\s*(import|from)\s.*\bonnxruntime`)
	found := 0
	err := filepath.WalkDir(fixture.Root(), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != fixture.Root() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(path) != ".py":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := imports.FindIndex(text)
		if at == nil {
			return nil
		}
		found++
		if !bytes.Contains(text[:at[0]], []byte(`os.environ["ORT_DISABLE_TELEMETRY"] = "1"`)) {
			t.Errorf("%s imports onnxruntime and has not turned its telemetry off before", path)
		}
		if !bytes.Contains(text[at[1]:], []byte(".disable_telemetry_events()")) {
			t.Errorf("%s does not call disable_telemetry_events", path)
		}
		return nil
	})
	if err != nil || found < 4 {
		t.Errorf("%d files import onnxruntime, %v", found, err)
	}
}
