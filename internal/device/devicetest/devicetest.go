// Package devicetest is the suite that every connection of the package device passes. The device is always this machine,
// reached in the way under test, so that the suite looks at the device's files itself.
package devicetest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device"
)

// Harness is a way to reach this machine.
type Harness struct {
	// Open connects; the test's end closes.
	Open func(t testing.TB) device.Device
	// Cut connects, and the connection breaks after so many more bytes, both directions together. It is nil where there is
	// no connection that could. Gone reports whether the other side has noticed.
	Cut func(t testing.TB, after int64) (d device.Device, gone func() bool)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"commands", commands}, {"endings", endings}, {"streams", streams}, {"transfers", transfers},
		{"faults", faults}, {"limits", limits}, {"order", order},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, h)
		})
	}
}

// left gives the names in a folder of the device, without folders.
func left(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return names
}

// calm waits until nothing on the device works in a folder, some times in a row: a command may be about to begin.
func calm(t testing.TB, dir string) {
	t.Helper()
	times := 0
	eventually(t, "no command works in "+dir, func() bool {
		if times++; mentioned(dir) {
			times = 0
		}
		return times > 5
	})
}

// mentioned reports whether a process has a folder in its arguments.
func mentioned(dir string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // The pattern is right.
	return slices.ContainsFunc(files, func(name string) bool {
		args, err := os.ReadFile(name)
		return err == nil && bytes.Contains(args, []byte(dir))
	})
}

// eventually waits until ok holds, which takes as long as the system takes to notice.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("after 10 s still not: %s", what)
			return
		}
	}
}
