package cpu_test

import (
	"os"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
)

// The workers are this program once more.
func TestMain(m *testing.M) {
	if cpu.IsWorker() {
		os.Exit(cpu.Work())
	}
	os.Exit(m.Run())
}

// open starts an engine, which must have got everything back when it is closed.
func open(t testing.TB, o cpu.Options) *cpu.Engine {
	t.Helper()
	o.Library, o.Threads = fixture.Library(t), fixture.Threads
	e, err := cpu.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// engines are both implementations.
func engines(t *testing.T) map[string]ort.Engine {
	return map[string]ort.Engine{"in process": fixture.Runtime(t), "worker": open(t, cpu.Options{Memory: 1 << 30})}
}
