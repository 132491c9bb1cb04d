package qnn

import (
	"strings"
	"testing"
)

func TestParseSoC(t *testing.T) {
	for text, want := range map[string]int{"qcs8550": 66, "QCS8550": 66, "sm8650": 57, "77": 77, "123": 123} {
		if got, err := ParseSoC(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-3", "70000", "qcs855"} {
		if got, err := ParseSoC(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	if _, err := ParseSoC("qcs855"); !strings.Contains(err.Error(), "nearest: qcs8550") {
		t.Errorf("%v", err)
	}
}
