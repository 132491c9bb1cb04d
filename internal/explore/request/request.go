// Package request holds what is asked of an exploration against what can be explored, before long work begins.
package request

import (
	"errors"
	"fmt"

	"quantcheck/internal/eval"
	"quantcheck/internal/result"
	"quantcheck/internal/score/testset"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Read gives the recipe that is asked for, and opens the test set. An error is one of usage.
func Read(spec result.ExploreSpec, config eval.Config) (recipe variant.Spec, set *testset.Set, err error) {
	variants, err := variant.ParseAll(spec.Variants)
	if err == nil {
		err = check(spec, config, variants)
	}
	if err != nil {
		return recipe, nil, usage.Mark(err)
	}
	set, err = testset.Open(spec.Scoring, spec.Images, spec.Limit)
	return variants[0], set, err
}

func check(spec result.ExploreSpec, config eval.Config, variants []variant.Spec) error {
	switch {
	case len(variants) == 1 && variants[0].Kind == variant.Encodings:
		return fmt.Errorf("explore chooses encodings, and those of %s are chosen: check compares them with a recipe, --variant %s=%s --variant w8a8", variants[0].File, variants[0].Name, variants[0].File)
	case len(variants) != 1 || variants[0].Kind != variant.Recipe || session.Emulated(variants[0]):
		return fmt.Errorf("explore starts from one recipe, such as w8a8; %v is none (--engine says what runs it)", spec.Variants)
	case variants[0].Heal:
		return errors.New("explore does not heal weights yet: explore the recipe without heal, then quantize what is recommended")
	case !(spec.Target > 0 && spec.Target <= 1):
		return fmt.Errorf("a target is a share of the float model's score over 0 and up to 100 %%, not %g %%", 100*spec.Target)
	case spec.Seconds <= 0:
		return errors.New("a budget is a time over 0, such as 5m")
	}
	return errors.Join(spec.Input.Check(), config.Check())
}
