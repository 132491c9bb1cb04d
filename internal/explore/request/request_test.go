package request

import (
	"errors"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
)

func TestWhatCannotBeExploredIsWrongUsage(t *testing.T) {
	t.Parallel()
	images := fixture.Pictures(t, 2)
	for name, row := range map[string]struct {
		change func(*result.ExploreSpec)
		want   string // "": it can
	}{
		"a recipe":             {func(*result.ExploreSpec) {}, ""},
		"two recipes":          {func(s *result.ExploreSpec) { s.Variants = []string{"w8a8", "w8a16"} }, "one recipe"},
		"half precision":       {func(s *result.ExploreSpec) { s.Variants = []string{"fp16"} }, "one recipe"},
		"a healed recipe":      {func(s *result.ExploreSpec) { s.Variants = []string{"w8a8,heal"} }, "heal"},
		"an emulated recipe":   {func(s *result.ExploreSpec) { s.Variants = []string{"w8a8@htp"} }, "one recipe"},
		"no recipe":            {func(s *result.ExploreSpec) { s.Variants = []string{"w9"} }, "w9"},
		"a target over all":    {func(s *result.ExploreSpec) { s.Target = 1.01 }, "101 %"},
		"no target":            {func(s *result.ExploreSpec) { s.Target = 0 }, "a target"},
		"no time":              {func(s *result.ExploreSpec) { s.Seconds = 0 }, "a budget"},
		"a wrong input":        {func(s *result.ExploreSpec) { s.Input.Resize = "squash" }, "squash"},
		"pictures that are no": {func(s *result.ExploreSpec) { s.Data = t.TempDir() + "/none" }, "none"},
	} {
		spec := result.ExploreSpec{Target: 0.99, Seconds: 60}
		spec.Variants, spec.Task, spec.Data, spec.Images, spec.Input = []string{"w8a8"}, result.Agreement, images, images, dataset.Default()
		row.change(&spec)
		recipe, set, err := Read(spec, eval.Usual())
		switch {
		case row.want == "" && (err != nil || recipe.Name != "w8a8" || len(set.Images) != 2):
			t.Errorf("%s: %v", name, err)
		case row.want != "" && (!errors.Is(err, usage.Err) || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}
