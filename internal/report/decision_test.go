package report

import (
	"testing"

	"quantcheck/internal/result"
)

// What few decisions cannot show is said: of 16 that are all kept, one in six may be lost on other samples.
func TestFewDecisionsAreSaidToBeFew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    result.Decision
		want string
	}{
		{result.Decision{Kind: "top-1", Kept: 2, Of: 2, Worst: -1}, "100 % of the top-1 classes are float's (2 of 2; so few leave a loss of up to 78 % open: compare more samples)"},
		{result.Decision{Kind: "top-1", Kept: 16, Of: 16, Worst: -1}, "100 % of the top-1 classes are float's (16 of 16; so few leave a loss of up to 17 % open: compare more samples)"},
		{result.Decision{Kind: "top-1", Kept: 149, Of: 149, Worst: -1}, "100 % of the top-1 classes are float's (149 of 149)"},
		{result.Decision{Kind: "top-1", Kept: 15, Of: 16, Worst: -1}, "93.8 % of the top-1 classes are float's (15 of 16)"},
		{result.Decision{Kind: "mask", Kept: 2, Of: 2, Worst: -1}, "100 % IoU of the masks with float's"},
	} {
		if got := DecisionText(&result.Run{}, &c.d); got != c.want {
			t.Errorf("%q\nnot %q", got, c.want)
		}
	}
}
