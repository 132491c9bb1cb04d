package result

import (
	"strings"
	"testing"
)

func TestResultsOfOtherThreadCountsAreSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		threads []int
		has     string
	}{
		{nil, ""}, {[]int{4}, ""}, {[]int{4, 4, 4}, ""}, {[]int{0, 4}, ""}, {[]int{8, 2, 8}, "with 2 and 8 threads"}, {[]int{16, 2, 4}, "with 2, 4 and 16 threads"},
	} {
		got := OtherThreads(c.threads)
		if (got == "") != (c.has == "") || !strings.Contains(got, c.has) {
			t.Errorf("%v: %q", c.threads, got)
		}
	}
}
