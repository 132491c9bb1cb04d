package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Start runs a script in the device's POSIX shell, as the leader of a process group where that can be arranged. The streams
// are never nil; input is nil if there is none. It returns when the script runs, and honours ctx only until then.
type Start func(ctx context.Context, script string, input io.Reader, stdout, stderr io.Writer) (Process, error)

// Process is a script that runs.
type Process interface {
	// Wait waits until the script has ended and its output has been written, but not for its input. Its error is why the
	// connection is lost; a script's status is none.
	Wait() error
	// Abandon lets Wait return at once. The script may run on.
	Abandon()
}

// How long a command may take to end by itself once its context has ended, and how long Run waits for that and for the
// killing in all.
const (
	grace   = 400 * time.Millisecond
	endWait = 850 * time.Millisecond
)

// RunShell is a Device's Run on top of start. The script around the command tells its process number first and its exit status
// last, on stderr, between marks that are taken out again: without a status the command has not ended as far as anybody knows.
func RunShell(ctx context.Context, start Start, c Command) error {
	line, err := c.script()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if ctx.Err() != nil {
		return &RunError{Program: c.Args[0], Err: cause(ctx)}
	}
	ctx, limits := bound(ctx, cancel, c.Limits)
	defer limits.end()
	var out, errs tail
	stdout := &guard{w: c.Stdout, tail: &out, fail: cancel, limits: limits}
	marks := newMarks(&guard{w: c.Stderr, tail: &errs, fail: cancel, limits: limits})
	var input io.Reader
	if c.Stdin != nil {
		g := &guardedReader{r: movingReader{c.Stdin, limits}, fail: cancel}
		defer g.stop()
		input = g
	}
	p, err := start(ctx, marks.script(line), input, stdout, marks)
	if err == nil {
		err = attend(ctx, start, p, marks)
	}
	stdout.stop()
	marks.finish()
	last := errs.String()
	if last == "" {
		last = out.String()
	}
	status, told := marks.status()
	if ended := (programError{}); errors.As(err, &ended) && told && ended.state.ExitCode() == status {
		err = nil
	}
	// A connection may break when the status has arrived, but not all of the output.
	switch {
	case ctx.Err() != nil:
		return &RunError{c.Args[0], cause(ctx), last}
	case err != nil && !errors.Is(err, ErrLost):
		return &RunError{c.Args[0], fmt.Errorf("%w: %w", ErrLost, err), last}
	case err != nil:
		return &RunError{c.Args[0], err, last}
	case !told:
		return &RunError{c.Args[0], ErrLost, last}
	case status != 0:
		return &ExitError{c.Args[0], status, last}
	}
	return nil
}

// attend waits for p, and ends it when the context ends.
func attend(ctx context.Context, start Start, p Process, m *marks) error {
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), ErrLost) { // There is nobody to tell.
		p.Abandon()
		return nil
	}
	limit := time.NewTimer(endWait)
	defer limit.Stop()
	killed := make(chan struct{})
	quit, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
	defer cancel()
	go func() {
		defer close(killed)
		select {
		case pid := <-m.pid:
			kill(quit, start, pid)
		case <-quit.Done():
		}
	}()
	// The process's end is not enough: others of its group may have closed their streams and live on.
	for range 2 {
		select {
		case err := <-ended:
			ended = nil
			if err != nil {
				// The connection may be what ended; then there is nobody to tell.
				_, told := m.status()
				if !told {
					p.Abandon()
					return err
				}
			}
		case <-killed:
			killed = nil
		case <-limit.C:
			p.Abandon()
			return nil
		}
	}
	return nil
}

// kill ends the process group of a script; where it has none of its own, the script.
func kill(ctx context.Context, start Start, pid int) {
	steps := int(grace / (100 * time.Millisecond))
	script := fmt.Sprintf(`g=-%[1]d
kill -s TERM -- $g 2>/dev/null || { g=%[1]d; kill -s TERM $g 2>/dev/null; } || exit 0
n=0
while [ $n -lt %[2]d ]; do kill -s 0 -- $g 2>/dev/null || exit 0; sleep 0.1 2>/dev/null || sleep 1; n=$((n+1)); done
kill -s KILL -- $g 2>/dev/null`, pid, steps)
	p, err := start(ctx, script, nil, io.Discard, io.Discard)
	if err != nil {
		return // The connection is gone, and Run is about to say so or why it ended.
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Wait() // There may be nothing left to kill.
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.Abandon()
	}
}

// cause is why ctx ended, with ErrTimeout if its deadline passed.
func cause(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// guard passes output on, keeps its end, and lets fail know if nobody takes it.
type guard struct {
	mu      sync.Mutex
	w       io.Writer
	tail    *tail
	fail    context.CancelCauseFunc
	limits  *bounded
	stopped bool
}

func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return 0, io.ErrClosedPipe
	}
	if err := g.limits.take(len(p)); err != nil {
		g.stopped = true
		return 0, err
	}
	_, _ = g.tail.Write(p) // It cannot fail.
	if g.w == nil {
		return len(p), nil
	}
	n, err := g.w.Write(p)
	g.limits.moved()
	if err != nil {
		g.stopped = true
		g.fail(fmt.Errorf("take its output: %w", err))
	}
	return n, err
}

// stop ends all writing: none is under way when it returns, unless the writer itself hangs.
func (g *guard) stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
}

// guardedReader lets fail know if the input cannot be read.
type guardedReader struct {
	mu   sync.Mutex
	r    io.Reader
	fail context.CancelCauseFunc
	over bool
}

func (g *guardedReader) Read(p []byte) (int, error) {
	g.mu.Lock()
	over := g.over
	g.mu.Unlock()
	if over {
		return 0, io.EOF
	}
	n, err := g.r.Read(p)
	if err != nil && err != io.EOF {
		g.fail(fmt.Errorf("read its input: %w", err))
	}
	return n, err
}

func (g *guardedReader) stop() {
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
}

// marks is the script's stderr: what the command wrote goes on to w, what the script around it told is kept.
type marks struct {
	w    *guard
	mark string
	pid  chan int // gets one number

	mu     sync.Mutex
	held   []byte
	begun  bool
	code   int
	closed bool
}

// A mark begins with a byte that hardly any output holds, so that hardly any output is held back.
const markByte = '\x1e'

func newMarks(w *guard) *marks {
	return &marks{w: w, mark: string(markByte) + rand.Text() + " ", pid: make(chan int, 1)}
}

// script puts line between marks. It goes through sh, since the user's own shell may be another.
func (m *marks) script(line string) string {
	inner := runVariable + "=" + Quote(runID()) + "; export " + runVariable + "\n" +
		"printf '\\036%s p%s.' " + m.mark[1:len(m.mark)-1] + " $$ >&2\n" +
		"( " + line + "\n)\n" +
		"s=$?; printf '\\036%s s%s.' " + m.mark[1:len(m.mark)-1] + " $s >&2; exit $s"
	return "exec sh -c " + Quote(inner)
}

func (m *marks) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, p...)
	for len(m.held) > 0 {
		i := bytes.IndexByte(m.held, markByte)
		if i < 0 {
			i = len(m.held)
		}
		if i == 0 {
			n, whole := m.take()
			if !whole {
				break
			}
			if n > 0 {
				m.held = m.held[n:]
				continue
			}
			i = 1
		}
		if _, err := m.w.Write(m.held[:i]); err != nil {
			m.held = nil
			return 0, err
		}
		m.held = m.held[i:]
	}
	return len(p), nil
}

// take reads the mark at the beginning of what is held. It gives its length, 0 if it is none; whole is false if more has to
// arrive before that can be said.
func (m *marks) take() (n int, whole bool) {
	common := min(len(m.held), len(m.mark))
	if string(m.held[:common]) != m.mark[:common] {
		return 0, true
	}
	rest := m.held[common:]
	end := bytes.IndexByte(rest, '.')
	if end < 0 {
		return 0, len(rest) > 20
	}
	if end < 2 {
		return 0, true
	}
	number, err := strconv.Atoi(string(rest[1:end]))
	switch {
	case err != nil || number < 0:
		return 0, true
	case rest[0] == 'p' && !m.begun:
		m.begun = true
		m.pid <- number
	case rest[0] == 's':
		m.code, m.closed = number, true
	}
	return common + end + 1, true
}

// finish passes on what is held back, and lets nothing follow.
func (m *marks) finish() {
	m.mu.Lock()
	held := m.held
	m.held = nil
	m.mu.Unlock()
	if len(held) > 0 && !strings.HasPrefix(string(held), m.mark) {
		_, _ = m.w.Write(held) // Its error is told by the guard.
	}
	m.w.stop()
}

// status gives the exit status, if the script told one.
func (m *marks) status() (int, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.code, m.closed
}
