package devicetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quantcheck/internal/device"
)

// Awkward are arguments that a careless shell would take apart.
var Awkward = []string{
	"", " ", "a b", "'", `"`, `\`, "$(touch harm)", "`touch harm`", "$HOME", "a\nb", "\n", "-", "--", "-n", "-rf", "*", "?", "[a]", "~",
	"a;b", "a&b", "|", "<", ">", "#", "!", "%s", "\x1e", "\xff\xfe\x80", "ä€𝄞", "{a,b}", "a=b", "\\n", "\r", "\t", "it's", "''", "a'\"b",
}

func commands(t *testing.T, h Harness) {
	d := h.Open(t)
	ctx := t.Context()
	t.Run("arguments arrive as they are", func(t *testing.T) {
		var out bytes.Buffer
		dir := t.TempDir()
		c := device.Command{Args: append([]string{"printf", `%s\0`}, Awkward...), Dir: dir, Stdout: &out}
		if err := d.Run(ctx, c); err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(Awkward, "\x00") + "\x00"; out.String() != want {
			t.Errorf("got %q\nwant %q", out.String(), want)
		}
		if names := left(t, dir); names != nil {
			t.Errorf("an argument was run: %q", names)
		}
	})
	t.Run("folder and environment", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a 'b' $(c)\n")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		c := device.Shell(`printf '%s|%s|' "$A" "$B_2"; echo x > here`)
		c.Dir, c.Env, c.Stdout = dir, []string{"A=it's $(echo a)\n", "B_2="}, &out
		if err := d.Run(ctx, c); err != nil {
			t.Fatal(err)
		}
		if out.String() != "it's $(echo a)\n||" {
			t.Errorf("%q", out.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "here")); err != nil {
			t.Error(err)
		}
	})
	t.Run("what cannot be a command is refused", func(t *testing.T) {
		for _, c := range []device.Command{
			{}, {Args: []string{""}}, {Args: []string{"a\x00"}}, {Args: []string{"a"}, Dir: "b"}, {Args: []string{"a"}, Env: []string{"b c=d"}},
			{Args: []string{"a"}, Env: []string{"b"}},
		} {
			if err := d.Run(ctx, c); err == nil || errors.Is(err, device.ErrLost) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
	t.Run("status and meaning", func(t *testing.T) {
		for _, row := range []struct {
			name   string
			c      device.Command
			status int
			is     error
			tail   string
		}{
			{"one", device.Shell("exit 1"), 1, nil, ""},
			{"the last lines", device.Shell("i=0; while [ $i -lt 50 ]; do echo line $i >&2; i=$((i+1)); done; exit 3"), 3, nil, "line 40\n"},
			{"stdout's, if stderr is empty", device.Shell("echo only here; exit 4"), 4, nil, "only here"},
			{"a missing program", device.Command{Args: []string{"quantcheck-no-such-tool"}}, 127, device.ErrToolMissing, "quantcheck-no-such-tool"},
			{"killed as for want of memory", device.Shell("echo big >&2; kill -KILL $$"), 137, device.ErrOutOfMemory, "big"},
			{"a full disk", device.Shell("echo 'cat: write error: No space left on device' >&2; exit 1"), 1, device.ErrDiskFull, "No space"},
			{"a missing folder", device.Command{Args: []string{"true"}, Dir: "/no/such/folder"}, -1, nil, "/no/such/folder"},
		} {
			err := d.Run(ctx, row.c)
			var exit *device.ExitError
			if !errors.As(err, &exit) || row.status >= 0 && exit.Status != row.status || !strings.Contains(exit.Tail, row.tail) {
				t.Errorf("%s: %v", row.name, err)
			}
			if row.is != nil && !errors.Is(err, row.is) || row.is == nil && errors.Is(err, device.ErrDiskFull) {
				t.Errorf("%s: %v", row.name, err)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				text := strings.Repeat(string(rune('a'+i)), 100000)
				var out bytes.Buffer
				if err := d.Run(ctx, device.Command{Args: []string{"cat"}, Stdin: strings.NewReader(text), Stdout: &out}); err != nil || out.String() != text {
					t.Errorf("%v, %d bytes", err, out.Len())
				}
			})
		}
		all.Wait()
	})
	t.Run("a closed connection", func(t *testing.T) {
		d := h.Open(t)
		began := newSignal()
		ended := make(chan error, 1)
		go func() {
			c := device.Shell("echo begun; exec sleep 60")
			c.Stdout = began
			ended <- d.Run(ctx, c)
		}()
		<-began.c
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, device.ErrLost) {
			t.Errorf("a running command: %v", err)
		}
		if err := d.Run(ctx, device.Shell("true")); !errors.Is(err, device.ErrLost) {
			t.Errorf("another command: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func streams(t *testing.T, h Harness) {
	d := h.Open(t)
	ctx := t.Context()
	t.Run("bytes stay bytes, stdout and stderr apart", func(t *testing.T) {
		data := make([]byte, 3<<20+17)
		_, _ = rand.Read(data) // It never fails.
		var out, errs bytes.Buffer
		c := device.Shell("tee /dev/stderr")
		c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(data), &out, &errs
		if err := d.Run(ctx, c); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), data) || !bytes.Equal(errs.Bytes(), data) {
			t.Errorf("%d and %d of %d bytes, or others", out.Len(), errs.Len(), len(data))
		}
	})
	t.Run("no input is empty input", func(t *testing.T) {
		var out bytes.Buffer
		if err := d.Run(ctx, device.Command{Args: []string{"cat"}, Stdout: &out}); err != nil || out.Len() > 0 {
			t.Errorf("%v %q", err, out.String())
		}
	})
	t.Run("input that nobody reads", func(t *testing.T) {
		if err := d.Run(ctx, device.Command{Args: []string{"true"}, Stdin: endless{}}); err != nil {
			t.Error(err)
		}
		pr, pw := io.Pipe()
		defer pw.Close()
		if err := d.Run(ctx, device.Command{Args: []string{"true"}, Stdin: pr}); err != nil {
			t.Error(err)
		}
	})
	broken := errors.New("broken")
	t.Run("input that cannot be read", func(t *testing.T) {
		r := io.MultiReader(strings.NewReader("some"), failing{broken})
		if err := d.Run(ctx, device.Command{Args: []string{"cat"}, Stdin: r}); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
	t.Run("output that cannot be written", func(t *testing.T) {
		start := time.Now()
		if err := d.Run(ctx, device.Command{Args: []string{"yes"}, Stdout: failing{broken}}); !errors.Is(err, broken) {
			t.Error(err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// endings are those that the caller's context brings.
func endings(t *testing.T, h Harness) {
	for _, row := range []struct {
		name, script string
		deadline     bool
	}{
		{"a command that sleeps", `echo $$; sleep 60`, false},
		{"one with children of its own", `sleep 61 & echo $!; sleep 62`, false},
		{"one that does not want to end", `trap '' TERM; echo $$; while :; do sleep 0.2; done`, false},
		{"one that writes without end", `echo $$; yes`, false},
		{"a deadline", `echo $$; sleep 60`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := h.Open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.deadline {
				ctx, cancel = context.WithTimeout(ctx, 700*time.Millisecond)
				defer cancel()
			}
			began := newSignal()
			var since time.Time
			go func() {
				<-began.c
				if !row.deadline {
					since = time.Now()
					cancel()
				}
			}()
			c := device.Shell(row.script)
			c.Stdout = began
			begin := time.Now()
			err := d.Run(ctx, c)
			if row.deadline {
				since = begin.Add(700 * time.Millisecond)
				if !errors.Is(err, device.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if took := time.Since(since); took > time.Second {
				t.Errorf("it took %s to end", took)
			}
			pid := strings.TrimSpace(began.first())
			eventually(t, "process "+pid+" ended", func() bool {
				return d.Run(t.Context(), device.Shell(`case $(cat /proc/$1/stat 2>/dev/null) in ""|*") Z "*) ;; *) exit 1;; esac`, pid)) == nil
			})
			if err := d.Run(t.Context(), device.Shell("true")); err != nil {
				t.Errorf("the connection after it: %v", err)
			}
		})
	}
	t.Run("before it began", func(t *testing.T) {
		d := h.Open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Run(ctx, device.Shell("true")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// signal is a writer that tells that something was written.
type signal struct {
	c    chan struct{}
	once sync.Once
	mu   sync.Mutex
	text string
}

func newSignal() *signal { return &signal{c: make(chan struct{})} }

func (s *signal) Write(p []byte) (int, error) {
	s.once.Do(func() {
		s.mu.Lock()
		s.text, _, _ = strings.Cut(string(p), "\n")
		s.mu.Unlock()
		close(s.c)
	})
	return len(p), nil
}

func (s *signal) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }
