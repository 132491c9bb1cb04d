package device

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/terminal"
)

// What can go wrong apart from a command's own failures. Test with errors.Is.
var (
	ErrLost        = errors.New("the connection to the device is lost")
	ErrTimeout     = errors.New("it took too long and was ended")
	ErrToolMissing = errors.New("the program is not there")
	ErrOutOfMemory = errors.New("it was killed, as the system does when memory is short")
	ErrDiskFull    = errors.New("the device's disk is full")
	ErrDamaged     = errors.New("what arrived is not what was sent")
)

// ExitError is a command that ended with a status other than 0.
type ExitError struct {
	// Program is Args[0].
	Program string
	// Status is the exit status as a shell tells it: 128 + n if signal n ended it.
	Status int
	// Tail holds the last lines of what it wrote on stderr or, if that is nothing, on stdout. It is not valid UTF-8 if the
	// output was not.
	Tail string
}

func (e *ExitError) Error() string {
	text := fmt.Sprintf("%s: exit status %d", e.Program, e.Status)
	if why := e.Unwrap(); why != nil {
		text += " (" + why.Error() + ")"
	}
	return text + said(e.Tail)
}

// Unwrap gives what the status and the output mean, if that is known.
func (e *ExitError) Unwrap() error {
	switch {
	case strings.Contains(e.Tail, "No space left on device"):
		return ErrDiskFull
	case e.Status == 127:
		return ErrToolMissing
	case e.Status == 137:
		return ErrOutOfMemory
	}
	return nil
}

// RunError is a command that has no exit status, since the connection, the context or a stream ended first.
type RunError struct {
	Program string
	// Err is the reason: ErrLost, the context's cause, a stream's error.
	Err error
	// Tail is as in ExitError.
	Tail string
}

func (e *RunError) Error() string { return e.Program + ": " + e.Err.Error() + said(e.Tail) }

// Unwrap gives the reason.
func (e *RunError) Unwrap() error { return e.Err }

func said(tail string) string {
	if tail == "" {
		return ""
	}
	return "; it said last:\n" + terminal.Lines(tail)
}

// tail keeps the last lines of what is written to it.
type tail struct{ kept []byte }

// Of the output, at most so much is kept for an error.
const (
	tailBytes = 2048
	tailLines = 10
)

func (t *tail) Write(p []byte) (int, error) {
	if len(p) >= tailBytes {
		t.kept = append(t.kept[:0], p[len(p)-tailBytes:]...)
		return len(p), nil
	}
	if over := len(t.kept) + len(p) - tailBytes; over > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[over:])]
	}
	t.kept = append(t.kept, p...)
	return len(p), nil
}

// String gives the lines; nothing if it is data.
func (t *tail) String() string {
	if bytes.IndexByte(t.kept, 0) >= 0 {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
