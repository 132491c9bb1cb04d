package cli

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestHelpIsAsWideAsItsPlace prints help where no terminal is.
func TestHelpIsAsWideAsItsPlace(t *testing.T) {
	for _, row := range []struct {
		columns     string
		least, most int // of the longest line
	}{{"", 90, 100}, {"nonsense", 90, 100}, {"-5", 90, 100}, {"200", 101, 110}, {"90", 81, 90}, {"0", 90, 100}} {
		t.Setenv("COLUMNS", row.columns)
		status, out, _ := run(t, "check", "--help")
		longest := 0
		for line := range strings.Lines(out) {
			longest = max(longest, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
		}
		if status != 0 || longest < row.least || longest > row.most {
			t.Errorf("COLUMNS=%q: status %d, the longest line has %d columns, want %d to %d", row.columns, status, longest, row.least, row.most)
		}
		if got := os.Getenv("COLUMNS"); got != row.columns {
			t.Errorf("COLUMNS is %q afterwards, was %q", got, row.columns)
		}
	}
}
