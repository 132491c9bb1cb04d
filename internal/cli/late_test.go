package cli

import (
	"bytes"
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/atomicfile/powercut"
	"quantcheck/internal/fixture"
)

// An interrupt that comes when the results are stored changes nothing: they are printed, and the status is 0.
func TestAnInterruptAfterStoringHidesNothing(t *testing.T) { //nolint:paralleltest // there is one observer of files at a time
	model, images := smallModel(t, nil), pictures(t, 2)
	for name, row := range map[string]struct {
		args []string
		last string // the last file that is written
	}{
		"check":   {[]string{"check", model, "--images", images, "--variant", "w8a8"}, "report.html"},
		"eval":    {[]string{"eval", model, "--task", "agreement", "--data", images, "--variant", "w8a8"}, "report.html"},
		"explore": {[]string{"explore", model, "--images", images, "--engine", "cpu", "--variant", "w8a8"}, "report.html"},
	} {
		out := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		late := false
		disk, err := powercut.Watch(out, func(op atomicfile.Op) {
			if op.Kind == atomicfile.Renamed && filepath.Base(op.To) == row.last {
				late = true
				cancel()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		status := Run(ctx, append(row.args, "--out", out, "--threads", strconv.Itoa(fixture.Threads)), strings.NewReader(""), &stdout, &stderr)
		disk.Stop()
		cancel()
		if !late || status != exitDone || !strings.Contains(stdout.String(), "w8a8") {
			t.Errorf("%s: interrupted %v, status %d, %d bytes printed, %s", name, late, status, stdout.Len(), &stderr)
		}
	}
}
