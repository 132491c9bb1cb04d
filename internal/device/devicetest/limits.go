package devicetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device"
)

// limits are those of commands on a device that floods, drips, falls silent or closes its streams.
func limits(t *testing.T, h Harness) {
	const flood = "echo $$; yes 0123456789abcdef"
	short := 700 * time.Millisecond
	for _, row := range []struct {
		name, script string
		input        io.Reader
		limits       device.Limits
		is           error // nil: it ends well
		within       time.Duration
	}{
		{"floods on stdout", flood, nil, device.Limits{Output: 1 << 20}, device.ErrTooMuch, 5 * time.Second},
		{"floods on stderr", "echo $$; exec yes >&2", nil, device.Limits{Output: 1 << 20}, device.ErrTooMuch, 5 * time.Second},
		{"floods a question", flood, nil, device.Limits{}, device.ErrTooMuch, 20 * time.Second},
		{"floods in one line", "echo $$; exec cat /dev/zero", nil, device.Limits{Output: 1 << 20}, device.ErrTooMuch, 5 * time.Second},
		{"says as much as it may", "echo $$ >&2; yes | head -c 500000", nil, device.Limits{Output: 1 << 20}, nil, 5 * time.Second},
		{"drips", "echo $$; while :; do echo .; sleep 0.1; done", nil, device.Limits{Time: short}, device.ErrTimeout, 3 * time.Second},
		{"is silent", "echo $$; exec sleep 60", nil, device.Limits{Time: short}, device.ErrTimeout, 3 * time.Second},
		{"is silent in a transfer", "echo $$; exec sleep 60", nil, device.Limits{Idle: short}, device.ErrTimeout, 3 * time.Second},
		{"does not take its input", "echo $$; exec sleep 60", endless{}, device.Limits{Idle: short}, device.ErrTimeout, 5 * time.Second},
		{"closes its streams and goes on", "echo $$; exec sleep 60 <&- >&- 2>&-", nil, device.Limits{Time: short}, device.ErrTimeout, 3 * time.Second},
		{"moves slowly, but moves", "echo $$; for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done", nil, device.Limits{Idle: short}, nil, 10 * time.Second},
		{"takes its time", "echo $$; sleep 1; echo done", nil, device.Limits{Time: 30 * time.Second}, nil, 10 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := h.Open(t)
			first := newSignal()
			c := device.Shell(row.script)
			c.Stdin, c.Stdout, c.Stderr, c.Limits = row.input, first, first, row.limits
			began := time.Now()
			err := d.Run(t.Context(), c)
			if row.is == nil && err != nil || !errors.Is(err, row.is) {
				t.Errorf("%v, want %v", err, row.is)
			}
			if took := time.Since(began); took > row.within {
				t.Errorf("it took %s", took)
			}
			if err != nil && len(err.Error()) > 8<<10 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			pid := strings.TrimSpace(first.first())
			eventually(t, "process "+pid+" ended", func() bool {
				return d.Run(t.Context(), device.Shell(`case $(cat /proc/$1/stat 2>/dev/null) in ""|*") Z "*) ;; *) exit 1;; esac`, pid)) == nil
			})
		})
	}
	t.Run("what is fetched", func(t *testing.T) { fetched(t, h) })
}

// fetched are files that are too large, or become so, and trees without end.
func fetched(t *testing.T, h Harness) {
	t.Parallel()
	d := h.Open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	if err := device.Pull(ctx, d, name, 999, &back); !errors.Is(err, device.ErrTooMuch) || back.Len() > 0 {
		t.Errorf("a file of more than it may have: %v, %d bytes came", err, back.Len())
	}
	sparse := filepath.Join(dir, "sparse")
	if err := os.WriteFile(sparse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, 1<<42); err != nil {
		t.Skipf("SKIPPED: a sparse file cannot be made: %v", err)
	}
	local := filepath.Join(t.TempDir(), "here")
	if err := device.PullFile(ctx, d, sparse, local); !errors.Is(err, device.ErrTooMuch) {
		t.Errorf("a file of 4 TiB: %v", err)
	}
	if names := left(t, filepath.Dir(local)); names != nil {
		t.Errorf("left here: %q", names)
	}
	took := 0
	flood := device.Shell(`while :; do tar -cf - file; done`)
	flood.Dir, flood.Limits = dir, device.Limits{Output: 1 << 20}
	_, err := device.ReadTar(ctx, d, flood, func(string, int64, io.Reader) error { took++; return nil })
	if !errors.Is(err, device.ErrTooMuch) || took == 0 || took > 1000 {
		t.Errorf("a stream of files without end: %v, %d came", err, took)
	}
}
