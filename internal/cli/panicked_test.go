package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPanicIsOneSentenceAndItsStackIsKept(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var nothing []int
	at := 3
	err := unpanicked(func() error { _ = nothing[at]; return nil })
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "internal error: runtime error: index out of range") {
		t.Fatal(err)
	}
	files, globErr := filepath.Glob(filepath.Join(dir, "*"))
	if globErr != nil || len(files) != 1 || !strings.Contains(err.Error(), files[0]) {
		t.Fatalf("%v: %v", err, files)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), "panicked_test.go") {
		t.Errorf("%s %v", text, err)
	}
	usual := errors.New("usual")
	if err := unpanicked(func() error { return usual }); !errors.Is(err, usual) {
		t.Error(err)
	}
}
