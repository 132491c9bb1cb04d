package report

import (
	"strings"
	"testing"

	"quantcheck/internal/result"
)

func TestWhatHealingBroughtIsSaid(t *testing.T) {
	if lines := Healed(&result.Variant{}); lines != nil {
		t.Errorf("%q of a variant that was not healed", lines)
	}
	v := &result.Variant{Healing: &result.Healing{Samples: 32, Seconds: 7.25, Layers: []result.HealedLayer{
		{Name: "first", Channels: 8, Kept: 1, Before: 0.1, After: 0.05}, {Name: "most", Channels: 4, Before: 0.5, After: 0.01}, {Name: "none", Channels: 4, Kept: 4, Before: 0.0006, After: 0.0006},
	}}}
	text := strings.Join(Healed(v), "\n")
	for _, part := range []string{"3 layers", "32 samples", "7.2 s", "loses 1 % of", "instead of 10 %", "5 of 16 channels", "healed most: most (50 % → 1 %), first (10 % → 5 %)"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not said: %s", part, text)
		}
	}
}
