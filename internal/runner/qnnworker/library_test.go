package qnnworker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner/worker"
)

// libraries are others under the names of Qualcomm's, made from C.
func libraries(t *testing.T, source string) Engine {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skipf("SKIPPED FOR WANT OF gcc: %v", err)
	}
	kit := qnn.Kit{Dir: t.TempDir()}
	c := filepath.Join(kit.Dir, "other.c")
	if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), gcc, "-shared", "-fPIC", "-o", kit.HTP(), c).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return Engine{Kit: kit}
}

func TestLibrariesOfAnotherVersionAreRefused(t *testing.T) {
	e := libraries(t, `
static struct { unsigned id; const char *name; unsigned version[6]; void *f[90]; } table = { 6, "other", { 2, 41, 0, 5, 41, 0 } };
static const void *providers[] = { &table };
int QnnInterface_getProviders(const void ***list, unsigned *n) { *list = providers; *n = 1; return 0; }`)
	path := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	_, err := New(t.Context(), e, path, Options{})
	var version *compose.VersionError
	if !errors.As(err, &version) || *version != (compose.VersionError{Major: 2, Minor: 41}) || !strings.Contains(err.Error(), "works with 2.40") {
		t.Errorf("%v", err)
	}
	e.AnyVersion = true // goes on, to the library that is not there
	if _, err = New(t.Context(), e, path, Options{}); !errors.Is(err, qnn.ErrUnavailable) || !strings.Contains(err.Error(), "libQnnSystem.so") {
		t.Errorf("%v", err)
	}
}

func TestACrashInTheLibrariesIsSaidWithItsLastWords(t *testing.T) {
	e := libraries(t, `#include <stdio.h>
int QnnInterface_getProviders(const void ***list, unsigned *n) { puts("about to fall"); fflush(stdout); return *(volatile int *)0; }`)
	_, err := New(t.Context(), e, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), Options{})
	var died *worker.DiedError
	if !errors.As(err, &died) || !strings.Contains(died.Words, "about to fall | SIGSEGV") {
		t.Errorf("%v", err)
	}
}
