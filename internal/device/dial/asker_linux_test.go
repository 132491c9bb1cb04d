package dial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// pseudoTerminal gives both ends of one: where somebody types, what they see, and the program's side.
func pseudoTerminal(t *testing.T) (keys *os.File, seen *screen, in *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	in, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen = &screen{}
	go func() {
		b := make([]byte, 256)
		for {
			n, err := keys.Read(b)
			seen.mu.Lock()
			seen.text.Write(b[:n])
			seen.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = in.Close() }) // Then the other end's reading ends.
	return keys, seen, in
}

// shows waits until the terminal shows a text.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	for range 500 {
		if strings.Contains(s.String(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q is not shown: %q", text, s.String())
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	t.Run("what is secret is not shown", func(t *testing.T) {
		t.Parallel()
		keys, seen, in := pseudoTerminal(t)
		a := Terminal(in, in)
		got := make(chan string, 1)
		go func() {
			text, err := a.Secret(t.Context(), "Password\x1b[2J of me: ")
			if err != nil {
				t.Error(err)
			}
			got <- text
		}()
		seen.shows(t, `Password\u001b[2J of me: `)
		noEcho(t, in)
		if _, err := keys.WriteString("s3cret ä\n"); err != nil {
			t.Fatal(err)
		}
		if text := <-got; text != "s3cret ä" {
			t.Errorf("%q", text)
		}
		// What is typed afterwards is shown again.
		if _, err := keys.WriteString("visible\n"); err != nil {
			t.Fatal(err)
		}
		seen.shows(t, "visible")
		if strings.Contains(seen.String(), "s3cret") {
			t.Errorf("%q", seen.String())
		}
	})
	t.Run("yes, no, and what is neither", func(t *testing.T) {
		t.Parallel()
		keys, seen, in := pseudoTerminal(t)
		a := Terminal(in, in)
		for _, row := range []struct {
			typed    string
			yes, bad bool
		}{{"yes\n", true, false}, {" Y\n", true, false}, {"no\n", false, false}, {"what\nno\n", false, false}, {"a\nb\nc\n", false, true}, {"\x04", false, true}} {
			if _, err := keys.WriteString(row.typed); err != nil {
				t.Fatal(err)
			}
			yes, err := a.Confirm(t.Context(), "Is it so?")
			if yes != row.yes || (err != nil) != row.bad {
				t.Errorf("%q: %v %v", row.typed, yes, err)
			}
		}
		seen.shows(t, "Is it so? [yes/no] ")
	})
	t.Run("the context ends the waiting, and the terminal shows again what is typed", func(t *testing.T) {
		t.Parallel()
		keys, seen, in := pseudoTerminal(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := Terminal(in, in).Secret(ctx, "Password: ")
			ended <- err
		}()
		seen.shows(t, "Password: ")
		noEcho(t, in)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := keys.WriteString("visible\n"); err != nil {
			t.Fatal(err)
		}
		seen.shows(t, "visible")
	})
	t.Run("what is no terminal", func(t *testing.T) {
		t.Parallel()
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if Terminal(f, f) != nil || Terminal(strings.NewReader(""), f) != nil {
			t.Error("it was taken for one")
		}
	})
}

// noEcho waits until the terminal does not show what is typed.
func noEcho(t *testing.T, in *os.File) {
	t.Helper()
	for range 500 {
		state, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if state.Lflag&unix.ECHO == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the terminal shows what is typed")
}
