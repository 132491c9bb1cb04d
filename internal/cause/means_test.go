package cause

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/variant"
)

// recipes are all widths with all options.
func recipes(t *testing.T) []variant.Spec {
	t.Helper()
	var list []variant.Spec
	for _, widths := range []string{"w4a8", "w8a8", "w16a8", "w4a16", "w8a16", "w16a16"} {
		for _, c := range variant.Calibrators {
			for _, channels := range []string{"per-channel", "per-tensor"} {
				for _, bias := range []string{"bias8", "bias32"} {
					spec, err := variant.Parse(strings.Join([]string{widths, channels, c.Written(), bias}, ","))
					if err != nil {
						t.Fatal(err)
					}
					healed := spec
					healed.Heal = true
					list = append(list, spec, healed)
				}
			}
		}
	}
	return list
}

// words are the options of a recipe, one of each group, in the words of Options.
func words(s variant.Spec) []string {
	list := []string{map[int]string{4: "w4", 8: "w8", 16: "w16"}[s.WeightBits], map[int]string{8: "a8", 16: "a16"}[s.ActBits]}
	if s.Kind == variant.Half {
		return []string{"fp16"}
	}
	if s.Heal {
		list = append(list, "heal")
	}
	return append(list, map[bool]string{true: "per-channel", false: "per-tensor"}[s.PerChannel], string(s.Calibrator), map[int]string{8: "bias8", 32: "bias32"}[s.BiasBits])
}

func names(list []Means) []string {
	var all []string
	for _, m := range list {
		all = append(all, m.Name)
	}
	slices.Sort(all)
	return all
}

// What causes propose over all recipes exists, is not in the recipe already, and is what Options, Passes and Commands say of them.
func TestAdviceIsKnownAndNew(t *testing.T) {
	t.Parallel()
	seen := map[string]map[string]bool{} // means → kinds
	see := func(name, kind string) {
		if seen[name] == nil {
			seen[name] = map[string]bool{}
		}
		seen[name][kind] = true
	}
	commands, passes := names(Commands), names(Passes)
	for _, recipe := range recipes(t) {
		for _, p := range plantings() {
			f := planted(t)
			f.Run.Spec.Model, f.Run.Spec.Images, f.Run.Spec.Input = "m.onnx", "pictures", dataset.Default()
			p.plant(f)
			if s := &f.Variant.Spec; s.Kind == variant.Recipe {
				channels := recipe.PerChannel && s.PerChannel
				*s = recipe
				s.PerChannel = channels
				for k := range f.Variant.Layers {
					if e := f.Variant.Layers[k].Encoding; recipe.ActBits == 16 {
						e.Bits = 16
					}
				}
			}
			own := f.Variant.Spec
			for _, c := range Find(f) {
				fix := c.Fix
				if fix.Text == "" {
					t.Errorf("%s of %s has no fix", c.Kind, own.Text())
				}
				if fix.Variant != "" {
					proposed, err := variant.Parse(fix.Variant)
					if err != nil || proposed.Text() != fix.Variant {
						t.Fatalf("%s proposes %q: %v", c.Kind, fix.Variant, err)
					}
					if c.Kind != narrowCalibration.Kind && fix.Variant == own.Text() { // that one is the same recipe with other samples
						t.Errorf("%s proposes %s, which is what it is of", c.Kind, fix.Variant)
					}
					for _, w := range words(proposed) {
						if own.Kind == variant.Half {
							see("a16", c.Kind)
						} else if !slices.Contains(words(own), w) {
							see(w, c.Kind)
						}
					}
				}
				if own.Kind == variant.Recipe && own.ActBits == 16 && strings.Contains(fix.Text, "activation") && strings.Contains(fix.Text, "16 bits") {
					t.Errorf("%s of %s says %q", c.Kind, own.Text(), fix.Text)
				}
				for _, pass := range fix.Passes {
					if !slices.Contains(passes, pass) {
						t.Errorf("%s proposes the pass %s, which is not known", c.Kind, pass)
					}
					see(pass, c.Kind)
				}
				if fix.Command == "" {
					continue
				}
				argument := strings.Fields(fix.Command)
				if !slices.Contains(commands, argument[1]) {
					t.Errorf("%s proposes %q, which is no command", c.Kind, fix.Command)
				}
				see(argument[1], c.Kind)
			}
		}
	}
	for _, m := range slices.Concat(Options, Passes, Commands) {
		if got := slices.Sorted(maps.Keys(seen[m.Name])); !slices.Equal(got, m.By) {
			t.Errorf("%s is proposed by %v, not by %v", m.Name, got, m.By)
		}
		if (len(m.By) > 0) == (m.Never != "") {
			t.Errorf("%s is proposed by %v, and is never proposed because %q", m.Name, m.By, m.Never)
		}
	}
}

// Each width, option and pass that exists is proposed by a cause, or there is a reason why not. cli holds the same of commands.
func TestAdviceKnowsWhatThereIs(t *testing.T) {
	t.Parallel()
	options := []string{"w4", "w8", "w16", "a8", "a16", "fp16"}
	for _, o := range variant.Options() {
		word, _, _ := strings.Cut(o, ":")
		options = append(options, word)
	}
	slices.Sort(options)
	if got := names(Options); !slices.Equal(got, options) {
		t.Errorf("options are %v, not %v", options, got)
	}
	var passes []string
	for i := range rewrite.All {
		passes = append(passes, rewrite.All[i].Name)
	}
	slices.Sort(passes)
	if got := names(Passes); !slices.Equal(got, passes) {
		t.Errorf("passes are %v, not %v", passes, got)
	}
}
