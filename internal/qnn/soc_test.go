package qnn

import (
	"strings"
	"testing"
)

func TestParseSoC(t *testing.T) {
	for text, want := range map[string]SoC{
		"rvc4": {"rvc4", 66, 73}, "qcs8550": {"qcs8550", 66, 73}, "QCS8550": {"qcs8550", 66, 73}, "66": {"rvc4", 66, 73}, "sm8650": {"sm8650", 57, 75}, "77": {"qcs9100", 77, 73},
		"82": {"qcs8300", 82, 0}, "123": {"123", 123, 0},
	} {
		if got, err := ParseSoC(text); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-3", "70000", "qcs855"} {
		if got, err := ParseSoC(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if _, err := ParseSoC("qcs855"); !strings.Contains(err.Error(), "nearest: qcs8550") {
		t.Errorf("%v", err)
	}
}
