package snpedevice

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quantcheck/internal/device"
)

// liar is a device that sends what it likes when a tool is to run, and says nothing to everything else.
type liar struct {
	send func(ctx context.Context, w io.Writer) error
}

func (liar) Name() string { return "liar" }
func (liar) Close() error { return nil }

func (l liar) Run(ctx context.Context, c device.Command) error {
	if len(c.Args) > 2 && c.Args[2] == streamScript {
		err := l.send(ctx, c.Stdout)
		if ctx.Err() != nil {
			return &device.RunError{Program: "sh", Err: context.Cause(ctx)}
		}
		return err
	}
	return nil
}

// sent writes files as tars, one after the other, until the context ends or a write fails.
func sent(ctx context.Context, w io.Writer, next func(i int) *tar.Header) error {
	t := tar.NewWriter(w)
	for i := 0; ; i++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h := next(i)
		if h == nil {
			return t.Close()
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.CopyN(t, zeroes{}, h.Size); err != nil {
			return err
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What a device sends in place of a tool's results is bounded: by what is waited for, by the disk here, and by time.
func TestResultsOfADeviceThatLies(t *testing.T) {
	t.Parallel()
	file := func(name string, size int64) *tar.Header {
		return &tar.Header{Name: name, Size: size, Mode: 0o600, Format: tar.FormatGNU}
	}
	for _, row := range []struct {
		name string
		next func(i int) *tar.Header
		is   error
	}{
		{"one file again and again", func(int) *tar.Header { return file("Result_0/y.raw", 4) }, device.ErrDamaged},
		{"a file larger than any disk", func(int) *tar.Header { return file("Result_0/y.raw", 1<<60) }, device.ErrTooMuch},
		{"files that nobody wants", func(int) *tar.Header { return file("Result_0/other", 4) }, device.ErrTimeout},
		{"one that nobody wants, without end", func(int) *tar.Header { return file("Result_0/other", 1<<60) }, device.ErrTimeout},
		{"its log again and again", func(int) *tar.Header { return file("log", 1<<21) }, device.ErrTimeout},
		{"links without end", func(int) *tar.Header {
			return &tar.Header{Name: "l", Linkname: "x", Typeflag: tar.TypeSymlink, Format: tar.FormatGNU}
		}, device.ErrTooMuch},
		{"a result that was not asked for", func(int) *tar.Header { return file("Result_7/y.raw", 4) }, device.ErrDamaged},
		{"out of the folder", func(int) *tar.Header { return file("Result_0/../../y.raw", 4) }, device.ErrDamaged},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := liar{func(ctx context.Context, w io.Writer) error { return sent(ctx, w, row.next) }}
			made, err := device.NewRegistry("/data/tests")
			if err != nil {
				t.Fatal(err)
			}
			b := &Board{d: d, made: made, o: Options{Base: "/data/tests", Idle: 10 * time.Second}}
			if errors.Is(row.is, device.ErrTimeout) {
				b.o.Idle = 500 * time.Millisecond
			}
			b.o.Again = func(ctx context.Context, _ string, f func(context.Context) error) error { return f(ctx) }
			dir := t.TempDir()
			r := b.Start(t.Context(), Run{
				Name: "n", Dir: dir, Lines: []string{"a"},
				Args: func(string, string) []string { return []string{"tool"} },
				Want: func(name string) bool { return name == "y.raw" }, Size: func(string) int64 { return -1 },
			})
			defer r.Close()
			ended := make(chan error, 1)
			go func() { ended <- r.Wait() }()
			select {
			case err := <-ended:
				if !errors.Is(err, row.is) {
					t.Errorf("%v, want %v", err, row.is)
				}
			case <-time.After(20 * time.Second):
				t.Error("it goes on")
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "y.raw")); err == nil {
				t.Error("a file was written outside of the folder")
			}
		})
	}
}
