package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/local"
)

// TestLinger is not parallel: it is about all locks of the process.
func TestLinger(t *testing.T) { //nolint:paralleltest // see above
	said := func() (string, time.Duration) {
		var stderr bytes.Buffer
		began := time.Now()
		Linger(&stderr)
		return stderr.String(), time.Since(began)
	}
	if text, took := said(); text != "\nquantcheck: interrupted\n" || took > 1200*time.Millisecond {
		t.Errorf("without a device: %q, %s", text, took)
	}
	d := local.Open()
	defer d.Close()
	name := filepath.Join(t.TempDir(), "lock")
	lock, err := device.Lock(t.Context(), d, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	given := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { given <- lock.Unlock(t.Context(), d) })
	text, took := said()
	if err := <-given; err != nil {
		t.Error(err)
	}
	if !strings.Contains(text, "cleaning up on local") || strings.Contains(text, "not done") || took < 2*time.Second || took > 4*time.Second {
		t.Errorf("with a device that is given back after two seconds: %q, %s", text, took)
	}
	if lock, err = device.Lock(t.Context(), d, name, nil); err != nil {
		t.Fatal(err)
	}
	text, took = said()
	if !strings.Contains(text, "quantcheck device clean") || took > 7*time.Second {
		t.Errorf("with a device that is not given back: %q, %s", text, took)
	}
	if err := lock.Unlock(t.Context(), d); err != nil {
		t.Error(err)
	}
	if held := device.Held(); len(held) > 0 {
		t.Errorf("held: %v", held)
	}
}
