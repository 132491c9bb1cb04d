package terminal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, in, want string }{
		{"plain", "conv/Conv_1 é 𝄞 日本 100 %", "conv/Conv_1 é 𝄞 日本 100 %"},
		{"colour", "a\x1b[31mred", `a\u001b[31mred`},
		{"title", "\x1b]0;t\x07", `\u001b]0;t\u0007`},
		{"line ends and tabs", "a\r\nb\tc\b", `a\r\nb\tc\b`},
		{"C1 as a character", "\u009b2J", `\u009b2J`},
		{"C1 as a byte", "\x9b2J", `\x9b2J`},
		{"DEL and NUL", "\x7f\x00", `\u007f\u0000`},
		{"override", "\u202eabc\u202c", `\u202eabc\u202c`},
		{"isolates and marks", "\u2066\u2069\u200e\u200f\u061c", `\u2066\u2069\u200e\u200f\u061c`},
		{"nothing to see", "a\u200bb\u2060c\ufeffd\u00ade\u3164f\u034f", `a\u200bb\u2060c\ufeffd\u00ade\u3164f\u034f`},
		{"tags and selectors", "\U000e0041\ufe0f", `\udb40\udc41\ufe0f`},
		{"separators", "\u2028\u2029", `\u2028\u2029`},
		{"not UTF-8", "bad\xff\xc3", `bad\xff\xc3`},
		{"a replacement character is itself", "\ufffd", "\ufffd"},
	} {
		if got := Text(row.in); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	long := Text(strings.Repeat("é", 1<<20) + "end")
	if n := utf8.RuneCountInString(long); n > textLimit+40 || !strings.HasSuffix(long, "end") || !strings.Contains(long, "1044484 characters") {
		t.Errorf("%d characters: …%s", n, long[len(long)-50:])
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	if got := Lines("a\nb\x1b\r\n"); got != "a\nb\\u001b\\r\n" {
		t.Errorf("%q", got)
	}
	if got := Message("a\nquantcheck: all is well"); got != "a\n    quantcheck: all is well" {
		t.Errorf("%q", got)
	}
	got := strings.Split(Lines(strings.Repeat("x\n", 1000)+"end"), "\n")
	if len(got) != lineLimit+1 || got[lineLimit] != "end" || !strings.Contains(strings.Join(got, ""), "801 lines") {
		t.Errorf("%d lines: %q", len(got), got)
	}
}

// TestACaretStandsUnderItsPlace looks at what is printed, behind a heading and indented as a message is.
func TestACaretStandsUnderItsPlace(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		at         int
		under      string // what stands above the caret and behind it
		column     int    // of the caret, with the six of both indents
	}{
		{"plain", "w8a8,per-chanel", 5, "per-chanel", 6 + 5},
		{"the beginning", "x", 0, "x", 6},
		{"the end", "mine=", 5, "", 6 + 5},
		{"nothing", "", 0, "", 6},
		{"accents", "é=x", 3, "x", 6 + 2},
		{"wide characters", "模型=x", 7, "x", 6 + 5},
		{"combining characters", "e\u0301=x", 4, "x", 6 + 2},
		{"an escape", "a\x1b=x", 3, "x", 6 + 8},
		{"a tab and a line's end", "\t\n=x", 3, "x", 6 + 5},
		{"an override", "\u202e=x", 4, "x", 6 + 7},
		{"not UTF-8", "\xff=x", 2, "x", 6 + 5},
		{"within a character", "é", 1, `\xa9`, 6 + 4},
		{"behind the end", "ab", 9, "", 6 + 2},
		{"far within", strings.Repeat("y", 9000) + "x" + strings.Repeat("z", 9000), 9000, "x" + strings.Repeat("z", 99) + "…", 6 + 101},
	} {
		lines := strings.Split(Message("variant: no\n"+At(row.text, row.at)), "\n")
		if len(lines) != 3 || strings.TrimLeft(lines[2], " ") != "^" || len(lines[2])-1 != row.column {
			t.Errorf("%s: the caret is not in column %d: %q", row.name, row.column, lines)
			continue
		}
		if above, ok := strings.CutSuffix(lines[1], row.under); !ok || Width(above) != row.column {
			t.Errorf("%s: the caret is not under %q: %q", row.name, row.under, lines)
		}
	}
}

func TestALineFitsByItsColumns(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"模型模型": "模型", "abcdef": "abcde", "ab": "ab", "e\u0301e\u0301": "e\u0301e\u0301", "": ""} {
		if got := fit(in, 5); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// safe holds of everything that is written.
func safe(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) {
		t.Errorf("no UTF-8: %q", out)
	}
	for _, r := range string(out) {
		if r != '\n' && Unsafe(r) {
			t.Errorf("%U in %q", r, out)
		}
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := New(&out)
	for _, part := range []string{"a\xf0\x9d", "\x84\x9e b\xe2\x80", "\xae\n", "\xc2"} { // 𝄞, an override, and a beginning, each torn
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Error(n, err)
		}
	}
	if err := w.Flush(); err != nil || out.String() != "a𝄞 b\\u202e\n\\xc2" {
		t.Errorf("%q %v", out.String(), err)
	}
	// Control sequences are for terminals.
	if w.IsTerminal() || w.ClearLine() != nil || w.DrawLine("x") != nil || w.ClearUp(3) != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	long := strings.Repeat("é", lineBytes)
	_, _ = New(&out).Write([]byte(long + "\nnext\n")) // A buffer takes all.
	if out.Len() > lineBytes+100 || !strings.HasSuffix(out.String(), "(65536 bytes of this line left out)\nnext\n") {
		t.Errorf("%d bytes: %q", out.Len(), out.String()[out.Len()-100:])
	}
	safe(t, out.Bytes())
}

func TestADocumentKeepsItsValues(t *testing.T) {
	t.Parallel()
	names := map[string]string{"a\x1b\u202e\u009b\x7f\U000e0041\t": strings.Repeat("\u200b€", 100000)}
	var out bytes.Buffer
	if err := json.NewEncoder(New(&out).Data()).Encode(names); err != nil {
		t.Fatal(err)
	}
	safe(t, out.Bytes())
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	for k, v := range names {
		if back[k] != v {
			t.Error("another value came back")
		}
	}
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("a\x1b[2J\u202e\xe2\x80"), []byte("\xae\n\xff"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var parts, whole bytes.Buffer
		w := New(&parts)
		for _, p := range [][]byte{a, b} {
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		safe(t, parts.Bytes())
		one := New(&whole)
		if _, err := one.Write(append(bytes.Clone(a), b...)); err != nil {
			t.Fatal(err)
		}
		if err := one.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parts.Bytes(), whole.Bytes()) {
			t.Errorf("in parts %q, at once %q", parts.Bytes(), whole.Bytes())
		}
		for _, s := range []string{Text(string(a)), Lines(string(b)), Message(string(a) + "\n" + string(b))} {
			safe(t, []byte(s))
		}
		if strings.Contains(Text(string(a)), "\n") {
			t.Error("a text of several lines")
		}
	})
}
