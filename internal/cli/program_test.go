package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// builtIn is where the program is built: TMPDIR as it was when the tests began.
var builtIn = os.TempDir()

// built is the program of this checkout, built once, in a folder with nothing beside it.
var built = sync.OnceValues(func() (exe string, err error) {
	dir, err := os.MkdirTemp(builtIn, "quantcheck-built-*")
	if err != nil {
		return "", err
	}
	exe = filepath.Join(dir, "quantcheck")
	removeBuilt = func() { _ = os.RemoveAll(dir) }
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", exe, "quantcheck/cmd/quantcheck")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // with the race detector, too: it is another process
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

// removeBuilt removes what was built; TestMain calls it.
var removeBuilt = func() {}

// buildProgram gives the path of the program as users run it.
func buildProgram(t *testing.T) string {
	t.Helper()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// inProcess prepares a process that runs the program.
func inProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), buildProgram(t), args...)
}

// survivors are the processes whose TMPDIR is a folder, once those that are about to end had two seconds for it.
func survivors(tmp string) (pids []int) {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		pids = nil
		all, _ := filepath.Glob("/proc/[0-9]*/environ") // nothing where there is no /proc
		for _, path := range all {
			env, err := os.ReadFile(path) // of a process that has ended, nothing
			if err == nil && slices.Contains(strings.Split(string(env), "\x00"), "TMPDIR="+tmp) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				pids = append(pids, pid)
			}
		}
		if len(pids) == 0 || time.Now().After(end) {
			return pids
		}
	}
}

// soaked says how often a test of accidents is to draw one, and from which seed: few times for go test, and what QUANTCHECK_SOAK says for
// make soak, a list of NAME=TIMES[:SEED].
func soaked(t *testing.T, name string, few int) (times int, seed uint64) {
	t.Helper()
	for _, field := range strings.Fields(os.Getenv("QUANTCHECK_SOAK")) {
		key, value, _ := strings.Cut(field, "=")
		if key != name {
			continue
		}
		count, from, seeded := strings.Cut(value, ":")
		times, err := strconv.Atoi(count)
		seed = 1
		if seeded {
			var bad error
			seed, bad = strconv.ParseUint(from, 10, 64)
			err = errors.Join(err, bad)
		}
		if err != nil || times < 1 {
			t.Fatalf("QUANTCHECK_SOAK: %s: %v; want %s=TIMES[:SEED]", field, err, name)
		}
		return times, seed
	}
	return few, 1
}

// soakLine logs what a test of accidents counted, unless it failed; make soak and make test print it.
func soakLine(t *testing.T, format string, args ...any) {
	t.Helper()
	if !t.Failed() {
		t.Logf("soak: "+format, args...)
	}
}
