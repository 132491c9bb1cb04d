package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Marks are found and taken out however the stream is cut into pieces, and nothing else is taken for one.
func TestMarks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, stream, out string
		pid, status       int // -1 is none
	}{
		{"nothing written", "\x1eM p12.\x1eM s0.", "", 12, 0},
		{"a line, one without an end", "\x1eM p12.a\nb\x1eM s137.", "a\nb", 12, 137},
		{"mark bytes in the output", "\x1eM p1.\x1e\x1e\x1eN s0.\x1e\x1eM s3.", "\x1e\x1e\x1eN s0.\x1e", 1, 3},
		{"not numbers", "\x1eM p1.\x1eM sx.\x1eM .\x1eM s-1.\x1eM s2.", "\x1eM sx.\x1eM .\x1eM s-1.", 1, 2},
		{"too long for a number", "\x1eM p1.\x1eM s" + strings.Repeat("1", 30), "\x1eM s" + strings.Repeat("1", 30), 1, -1},
		{"before the first mark", "warning\n\x1eM p1.x\x1eM s0.", "warning\nx", 1, 0},
		{"cut off within the last mark", "\x1eM p1.x\x1eM s1", "x", 1, -1},
		{"cut off within what may be none", "\x1eM p1.x\x1e", "x\x1e", 1, -1},
		{"no marks", "sh: not found\n", "sh: not found\n", -1, -1},
	} {
		for size := 1; size <= len(row.stream); size++ {
			var out bytes.Buffer
			m := newMarks(&guard{w: &out, tail: new(tail), limits: &bounded{limits: Limits{Output: Unlimited}}})
			m.mark = "\x1eM "
			for rest := row.stream; rest != ""; {
				n := min(size, len(rest))
				if k, err := m.Write([]byte(rest[:n])); k != n || err != nil {
					t.Fatalf("%s: %d %v", row.name, k, err)
				}
				rest = rest[n:]
			}
			m.finish()
			pid := -1
			select {
			case pid = <-m.pid:
			default:
			}
			status, told := m.status()
			if !told {
				status = -1
			}
			if out.String() != row.out || pid != row.pid || status != row.status {
				t.Errorf("%s in pieces of %d: %q, process %d, status %d", row.name, size, out.String(), pid, status)
			}
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	for _, row := range []struct {
		name, text, first, last string
		lines                   int
	}{
		{"short", "a\n\n", "a", "a", 1}, {"long", long.String(), "line 990", "line 999", 10}, {"one long line", strings.Repeat("x", 9000), "xxx", "xxx", 1},
		{"data", "a\x00b", "", "", 1}, {"nothing", "", "", "", 1},
	} {
		for _, size := range []int{1, 7, 5000} {
			var kept tail
			for rest := row.text; rest != ""; {
				n := min(size, len(rest))
				_, _ = kept.Write([]byte(rest[:n])) // It cannot fail.
				rest = rest[n:]
			}
			got := kept.String()
			if len(got) > tailBytes || !strings.HasPrefix(got, row.first) || !strings.HasSuffix(got, row.last) || strings.Count(got, "\n") != row.lines-1 {
				t.Errorf("%s: %q", row.name, got)
			}
		}
	}
}

// A connection whose output breaks off does not pass for a command that ended well, even if its status has arrived.
func TestAStatusIsNotEnough(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	start := func(ctx context.Context, script string, input io.Reader, stdout, stderr io.Writer) (Process, error) {
		p, err := StartProgram(ctx, []string{"sh", "-c", script}, input, stdout, stderr)
		return breaking{p, broken}, err
	}
	err := RunShell(t.Context(), start, Shell("echo last words >&2"))
	var run *RunError
	if !errors.Is(err, ErrLost) || !errors.Is(err, broken) || !errors.As(err, &run) || run.Tail != "last words" {
		t.Errorf("%v", err)
	}
}

type breaking struct {
	Process
	err error
}

func (f breaking) Wait() error {
	_ = f.Process.Wait() // The connection has its own.
	return f.err
}

func TestOwnersAreReadAsWritten(t *testing.T) {
	t.Parallel()
	for _, o := range []Owner{Me(), {"a:b \"c\"\n", "d'e", 7}, {}} {
		if got, ok := readID(o.id()); !ok || got != o {
			t.Errorf("%+v: %+v %v", o, got, ok)
		}
	}
	for _, text := range []string{"", "1", "x:\"a\":\"b\"", "1:a:b", "1:\"a\"\"b\"", "1:\"a\":b"} {
		if o, ok := readID(text); ok {
			t.Errorf("%q: %+v", text, o)
		}
	}
	if Me().Dead() {
		t.Error("this run is dead")
	}
}
