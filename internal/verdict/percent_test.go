package verdict

import (
	"fmt"
	"testing"
)

// A share that is written never looks better than its grade.
func TestAShareIsRoundedDown(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{1, "100 %"}, {0.9999, "99.9 %"}, {0.9798, "97.9 %"}, {0.98, "98 %"}, {0.29, "29 %"}, {0.0686, "6.8 %"}, {0, "0 %"}, {1.0213, "102.1 %"}, {-0.0213, "-2.2 %"}} {
		if got := Percent(c.share); got != c.want {
			t.Errorf("%g is written as %q, not %q", c.share, got, c.want)
		}
	}
	for k := range 100001 { // what is read back has no better grade than what was written
		share := float64(k) / 1e5
		if read := mustShare(t, Percent(share)); rank(read, 1) < rank(share, 1) {
			t.Fatalf("%g is %s, %s is %s", share, GradeOf(share), Percent(share), GradeOf(read))
		}
	}
}

func mustShare(t *testing.T, s string) float64 {
	t.Helper()
	var v float64
	if _, err := fmt.Sscanf(s, "%g %%", &v); err != nil {
		t.Fatal(err)
	}
	return v / 100
}
