package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// plainWord is what may stand for a token of a ProxyCommand: it goes through a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:@][A-Za-z0-9._:@-]*$`)

// proxied gives the way to h through the standard streams of a command, as ssh has it with ProxyCommand. The tokens %h, %p, %r, %n
// and %% are replaced.
func proxied(h host) (func(context.Context, string, string) (net.Conn, error), error) {
	var line strings.Builder
	for rest := h.proxy; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		line.WriteString(before)
		if !found {
			break
		}
		if after == "" {
			return nil, errors.New("ProxyCommand ends with %")
		}
		word := map[byte]string{'h': h.host, 'p': strconv.Itoa(h.port), 'r': h.user, 'n': h.alias, '%': "%"}[after[0]]
		if word != "%" && !plainWord.MatchString(word) {
			return nil, fmt.Errorf("ProxyCommand has %%%c, which is %q here: that is not known, or nothing to give to a shell", after[0], word)
		}
		line.WriteString(word)
		rest = after[1:]
	}
	return func(context.Context, string, string) (net.Conn, error) {
		c := &pipedConn{cmd: exec.Command("sh", "-c", "exec "+line.String()), said: &lastBytes{}} //nolint:gosec,noctx // the user's own configuration; Close ends it
		c.cmd.Stderr = c.said
		var err error
		if c.in, err = c.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		if c.out, err = c.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
		if err := c.cmd.Start(); err != nil {
			return nil, fmt.Errorf("ProxyCommand: %w", err)
		}
		c.ended = sync.OnceFunc(func() { _ = c.cmd.Wait() }) // How it ended says less than what it said.
		return c, nil
	}, nil
}

// pipedConn is a connection over a command's streams. Deadlines are not kept; who waits too long closes it.
type pipedConn struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   io.ReadCloser
	said  *lastBytes
	ended func() // waits for the command's end
}

// Read implements net.Conn. At the end it says what the command said.
func (c *pipedConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	return n, c.explained(err)
}

func (c *pipedConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	return n, c.explained(err)
}

// explained puts what the command said last before an error.
func (c *pipedConn) explained(err error) error {
	if err == nil {
		return nil
	}
	over := make(chan struct{})
	go func() {
		c.ended()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(300 * time.Millisecond): // it has closed its streams and lives on
	}
	if text := c.said.String(); text != "" {
		return fmt.Errorf("ProxyCommand said %q: %w", text, err)
	}
	return err
}

// Close ends the command.
func (c *pipedConn) Close() error {
	_ = c.in.Close()         // The command is told so, and then made to.
	_ = c.cmd.Process.Kill() // It may have ended.
	c.ended()
	return nil
}

// Where a command leads nobody knows; what is checked is the name of the server.
func (*pipedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*pipedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*pipedConn) SetDeadline(time.Time) error      { return nil }
func (*pipedConn) SetReadDeadline(time.Time) error  { return nil }
func (*pipedConn) SetWriteDeadline(time.Time) error { return nil }

// lastBytes keeps the end of what a command says.
type lastBytes struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 500
	l.text = append(l.text, p...)
	l.text = l.text[max(len(l.text)-most, 0):]
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}
