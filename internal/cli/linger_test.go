package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/local"
)

// TestLinger is not parallel: it is about all locks of the process.
func TestLinger(t *testing.T) { //nolint:paralleltest // see above
	// said lets the program linger with a clock that does not make anyone wait; after two seconds of it something may happen.
	said := func(meanwhile func()) (text string, took time.Duration) {
		synctest.Test(t, func(*testing.T) {
			var stderr bytes.Buffer
			began := time.Now()
			if meanwhile != nil {
				time.AfterFunc(2*time.Second, meanwhile)
			}
			Linger(&stderr)
			text, took = stderr.String(), time.Since(began)
		})
		return text, took
	}
	if text, took := said(nil); text != "\nquantcheck: interrupted\n" || took > 1200*time.Millisecond {
		t.Errorf("without a device: %q, %s", text, took)
	}
	d := local.Open()
	defer d.Close()
	name := filepath.Join(t.TempDir(), "lock")
	lock, err := device.Lock(t.Context(), d, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, took := said(func() {
		if err := lock.Unlock(t.Context(), d); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(text, "cleaning up on local") || strings.Contains(text, "not done") || took < 2*time.Second || took > 4*time.Second {
		t.Errorf("with a device that is given back after two seconds: %q, %s", text, took)
	}
	if lock, err = device.Lock(t.Context(), d, name, nil); err != nil {
		t.Fatal(err)
	}
	text, took = said(nil)
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
