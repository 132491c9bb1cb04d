package worker

import (
	"strings"
	"testing"
)

func TestTheLastWordsAreThoseThatSaySomething(t *testing.T) {
	if LastWords("# LIBNATIVE: x\n\n") != "it said nothing" || !strings.Contains(LastWords("a\n\x1b[1;31mb\x1b[m\n\n"), "a | b") {
		t.Error("last words")
	}
}
