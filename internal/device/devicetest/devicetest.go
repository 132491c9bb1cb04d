// Package devicetest is the suite that every connection of the package device passes. The device is always this machine,
// reached in the way under test, so that the suite looks at the device's files itself.
package devicetest

import (
	"os"
	"path/filepath"
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
	// no connection that could.
	Cut func(t testing.TB, after int64) device.Device
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"commands", commands}, {"endings", endings}, {"streams", streams}, {"transfers", transfers},
		{"faults", faults}, {"order", order},
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
