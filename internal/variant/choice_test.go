package variant

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAChoiceChangesOneTensorsRecipe(t *testing.T) {
	t.Parallel()
	s, err := Parse("w8a8,percentile:99.9")
	if err != nil {
		t.Fatal(err)
	}
	plain := s
	s.Choices = Choices{"wide": {Bits: 16}, "mse": {Calibrator: MSE}, "both": {Bits: 16, Calibrator: Percentile, Percentile: 99}, "none": {}}
	with := func(bits int, c Calibrator, percentile float64) Spec {
		v := plain
		v.ActBits, v.Calibrator, v.Percentile = bits, c, percentile
		return v
	}
	for name, want := range map[string]Spec{
		"wide": with(16, Percentile, 99.9), "mse": with(8, MSE, 0), "both": with(16, Percentile, 99), "none": plain, "another": plain,
	} {
		if diff := cmp.Diff(want, s.For(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestVariantsAreEqualWithTheirChoices(t *testing.T) {
	t.Parallel()
	s, _ := Parse("w8a8")
	mixed, same, other := s, s, s
	mixed.Choices, same.Choices, other.Choices = Choices{"a": {Bits: 16}}, Choices{"a": {Bits: 16}}, Choices{"a": {Float: true}}
	empty, wide := s, s
	empty.Choices, wide.ActBits = Choices{}, 16
	for name, row := range map[string]struct {
		a, b Spec
		want bool
	}{
		"the same":            {s, s, true},
		"no choices":          {s, empty, true},
		"the same choices":    {mixed, same, true},
		"other choices":       {mixed, other, false},
		"choices or none":     {s, mixed, false},
		"another recipe":      {s, wide, false},
		"choices of a recipe": {mixed, wide, false},
	} {
		if got := row.a.Equal(row.b); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
