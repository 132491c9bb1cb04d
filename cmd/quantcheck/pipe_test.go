//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quantcheck/internal/cli"
)

// closedPipe gives the writing end of a pipe that nobody reads.
func closedPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

func TestAClosedPipeEndsTheProgramInOrder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, stream := range []string{"stdout", "stderr"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "check", s.model, "--images", filepath.Join(s.images, "0.png"), "--out", s.out, "--threads", "1", "--ort-lib", s.library)
		if stream == "stderr" {
			c.Args = append(c.Args, "--no-such-flag")
		}
		c.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+s.tmp)
		var other strings.Builder
		c.Stdout, c.Stderr = closedPipe(t), &other
		if stream == "stderr" {
			c.Stdout, c.Stderr = &other, closedPipe(t)
		}
		err := c.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitPipe { // −1 if the signal ended it
			t.Errorf("%s: %v: %s", stream, err, &other)
		}
		if strings.Contains(other.String(), "panic") {
			t.Errorf("%s: %s", stream, &other)
		}
	}
	if left := temporary(t, s.out, s.tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(filepath.Join(s.out, "results", "quantcheck.db")); err != nil {
		t.Errorf("what was computed is not kept: %v", err)
	}
}

func TestAWriteToAClosedPipeEndsTheContext(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancelCause(t.Context())
	p := pipes{end: end}
	p.catch()
	w := p.of(closedPipe(t))
	for range 2 {
		if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v", err)
		}
	}
	if !errors.Is(context.Cause(ctx), cli.ErrReaderGone) || p.status(0) != exitPipe {
		t.Errorf("the context ends with %v, the program with %d", context.Cause(ctx), p.status(0))
	}
}
