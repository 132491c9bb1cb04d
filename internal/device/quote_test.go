package device

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// FuzzQuote lets a shell take apart what was quoted.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a b\x00c", "'\x00''\x00'\\''", "$(id)\x00`id`", "-n\x00--", "\n\x00\r\n", "\xff\xfe\x00ä", "*\x00~\x00!!\x00#", "\\\x00\"$x\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10000 {
			t.Skip()
		}
		args := strings.Split(text, "\x00")
		line, err := Command{Args: append([]string{"printf", `%s\0`}, args...)}.script()
		if err != nil {
			t.Fatal(err)
		}
		m := newMarks(&guard{tail: new(tail), limits: &bounded{limits: Limits{Output: Unlimited}}})
		for _, script := range []string{line, m.script(line)} {
			out, err := exec.CommandContext(t.Context(), "sh", "-c", script).Output()
			if err != nil {
				t.Fatal(err)
			}
			if want := text + "\x00"; !bytes.Equal(out, []byte(want)) {
				t.Fatalf("%q arrived as %q", want, out)
			}
		}
	})
}
