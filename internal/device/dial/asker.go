package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"quantcheck/internal/device/ssh"
	"quantcheck/internal/terminal"
)

// memory asks every question once: a connection that is made anew gets the answers of the one before.
type memory struct {
	asker Asker

	mu sync.Mutex
	// An answer belongs to the question with its server: the program's own questions and those of each server never share one.
	answers map[ssh.Question]string
	used    map[ssh.Question]bool
}

// begin begins a connection.
func (m *memory) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = map[ssh.Question]bool{}
}

func (m *memory) secret(ctx context.Context, q ssh.Question) (string, error) {
	m.mu.Lock()
	answer, ok := m.answers[q]
	again := m.used[q]
	m.used[q] = true
	m.mu.Unlock()
	if ok && !again {
		return answer, nil
	}
	answer, err := m.asker.Secret(ctx, q.String())
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == nil {
		m.answers = map[ssh.Question]string{}
	}
	m.answers[q] = answer
	return answer, nil
}

func (m *memory) accept(ctx context.Context, k ssh.HostKey) bool {
	yes, err := m.asker.Confirm(ctx, fmt.Sprintf("The key of %s is not known. It is of type %s:\n    %s\nIs that the device's own, and shall it be remembered?", k.Address, k.Type, k.Fingerprint))
	return err == nil && yes
}

// Terminal asks on a terminal: in is where answers are typed, out where the questions are printed. It is nil if in is no terminal.
func Terminal(in io.Reader, out io.Writer) Asker {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &asker{in: f, out: out}
}

type asker struct {
	in  *os.File
	out io.Writer
	mu  sync.Mutex
}

// errNoAnswer is the end of what can be typed.
var errNoAnswer = errors.New("nobody answered")

// Secret implements Asker; nothing that is typed is shown.
func (t *asker) Secret(ctx context.Context, prompt string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fd := int(t.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	if _, err := fmt.Fprint(t.out, terminal.Text(prompt)); err != nil {
		return "", err
	}
	text, err := within(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	_, _ = fmt.Fprintln(t.out) // The line's end was not shown either.
	if ctx.Err() != nil {
		_ = term.Restore(fd, state) // The program is about to end, and the shell wants to see again.
	}
	return text, err
}

// Confirm implements Asker; whatever is neither yes nor no is asked again, three times.
func (t *asker) Confirm(ctx context.Context, question string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 3 {
		if _, err := fmt.Fprint(t.out, terminal.Lines(question)+" [yes/no] "); err != nil {
			return false, err
		}
		line, err := within(ctx, func() (string, error) { return readLine(t.in) })
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "yes", "y":
			return true, nil
		case "no", "n":
			return false, nil
		}
	}
	return false, errNoAnswer
}

// within waits for what somebody types, but not longer than the context lasts; then the reading goes on alone.
func within(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		text, err := read()
		if errors.Is(err, io.EOF) {
			err = errNoAnswer
		}
		typed <- answer{text, err}
	}()
	select {
	case a := <-typed:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// readLine reads no byte beyond the line, which may be somebody else's.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 100; {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return "", err
		}
	}
	return "", errNoAnswer
}
