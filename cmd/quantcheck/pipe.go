package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/term"

	"quantcheck/internal/cli"
)

// exitPipe is the status of a program whose reader has closed the pipe that it writes to, as a shell gives it.
const exitPipe = 128 + int(syscall.SIGPIPE)

// pipes ends the program in order, as Ctrl-C does, when the reader of its output is gone: a command may hold a device or a lock then.
type pipes struct {
	end    context.CancelCauseFunc
	broken atomic.Bool
}

// catch has the program outlive the signal that a write to a closed pipe sends. Processes that it starts do not inherit that.
func (p *pipes) catch() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// of watches a stream; a terminal is no pipe.
func (p *pipes) of(f *os.File) io.Writer {
	if term.IsTerminal(int(f.Fd())) {
		return f
	}
	return &watched{f, p}
}

// status is the program's exit status.
func (p *pipes) status(status int) int {
	if p.broken.Load() {
		return exitPipe
	}
	return status
}

type watched struct {
	to io.Writer
	p  *pipes
}

// Write implements io.Writer.
func (w *watched) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if errors.Is(err, syscall.EPIPE) && !w.p.broken.Swap(true) {
		w.p.end(cli.ErrReaderGone)
	}
	return n, err
}
