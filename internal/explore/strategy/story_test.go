package strategy

import (
	"strings"
	"testing"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// TestWhatIsHeldOutTakesNoPartInAChoice compares a candidate that was scored on all pictures with one that was scored on those of the search.
func TestWhatIsHeldOutTakesNoPartInAChoice(t *testing.T) {
	t.Parallel()
	v := metric.Defined
	x := &inquiry{searcher: &searcher{policy: policy.Usual(), higher: true}}
	float := result.Scored{Search: v(0.5)}
	whole := &candidate.Trial{Whole: true, Float: float, Scored: result.Scored{Search: v(0.48), Share: v(0.7), SQNR: v(20)}}
	search := &candidate.Trial{Float: float, Scored: result.Scored{Search: v(0.48), Share: v(0.96), SQNR: v(20)}}
	if got := whole.SearchShare(true); got != v(0.96) {
		t.Errorf("%v", got)
	}
	if x.isBetter(search, whole) || x.isBetter(whole, search) {
		t.Error("one is better than the other, which scores the same on the pictures of the search")
	}
}

func TestTheStoryHasThreeSentences(t *testing.T) {
	t.Parallel()
	v := metric.Defined
	recipe := variant.Spec{Name: "w8a8", ActBits: 8, PerChannel: true, Calibrator: variant.TF}
	better := recipe
	better.Calibrator = variant.MSE
	scored := func(all, share float64) result.Scored {
		return result.Scored{All: v(all), Share: v(share), HeldShare: v(share), Spread: v(0.01)}
	}
	f := &result.Explored{
		Column: result.Column{Key: "mAP"}, Float: result.Scored{All: v(0.5)}, Recipe: better, PriceUnit: result.CyclesUnit, Verdict: result.BitsHeal, Reached: true, Best: 1,
		Origins: []result.Origin{{Kind: "part", Name: "weights only", Share: v(0.99)}, {Kind: "part", Name: "activations only", Share: v(0.5)}},
		Points: []result.ExplorePoint{
			{Recipe: recipe, Scored: scored(0.23, 0.46), Price: v(1e6), Tensors: 100},
			{Recipe: better, Scored: scored(0.5, 1), Price: v(1.06e6), Tensors: 100, Wide: 3, Changed: []result.ChangedLayer{{Tensor: "a", Choice: variant.Choice{Bits: 16}}}},
		},
		Layers: make([]result.Sensitivity, 90),
	}
	got := story(f)
	for i, want := range []string{
		"w8a8 loses 54 % of float's mAP (0.23 of 0.5); it is the activations: alone they keep 50 %, the weights alone 99 %.",
		"The calibrator mse and 16 bits for 1 of 90 quantizers (a) bring it to 0.5, 100.0 % of float's on all pictures and 100.0 % ± 1.0 on those held out.",
		"It costs 6 % more estimated cycles (1.06 M, the recipe as it is 1 M); 97.0 % of the activations stay at 8 bits.",
	} {
		if i >= len(got) || got[i] != want {
			t.Errorf("%s\nwant %s", strings.Join(got, "\n"), want)
			break
		}
	}
	f.Spec.Target = 0.99
	f.Points[1].Scored.HeldShare = v(0.94)
	f.Points = append(f.Points, result.ExplorePoint{Title: "8 of 90 quantizers at 16 bits", Recipe: better, Scored: scored(0.505, 1.01), Price: v(1.166e6), Tensors: 100, Wide: 8})
	if got := story(f); len(got) != 4 || got[3] != "Surer, for 10 % more (1.17 M): 8 of 90 quantizers at 16 bits, with 101.0 % on all pictures and 101.0 % on those held out." {
		t.Errorf("%v", got)
	}
	f.Origins = append(f.Origins, result.Origin{Kind: "model", Name: "as it was", Share: v(0.39), Price: v(5.36e6)})
	if got := story(f); len(got) != 5 || got[4] != "Before it was rewritten the model kept 39.0 % in the simulation, for 5.36 M estimated cycles." {
		t.Errorf("%v", got)
	}
	f.Origins = f.Origins[:2]
	f.Points[2].Price = v(2e6)
	if got := story(f); len(got) != 3 {
		t.Errorf("%v", got)
	}
	f.Points[1].Changed[0].Choice = variant.Choice{Calibrator: variant.Percentile, Percentile: 99.9}
	if got := story(f); !strings.HasPrefix(got[1], "The calibrator mse and another calibrator for 1 of 90 quantizers (a) bring") {
		t.Errorf("%v", got)
	}
	f.Verdict, f.Best = result.AlreadyGood, 0
	if got := story(f); len(got) != 1 || !strings.Contains(got[0], "good already") {
		t.Errorf("%v", got)
	}
}
