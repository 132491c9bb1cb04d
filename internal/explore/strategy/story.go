package strategy

import (
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// story tells an exploration in three sentences: what is lost and where, what brings it back, what that costs. More of them say
// what else may be wanted: a point that is surer, and another form of the model.
func story(f *result.Explored) []string {
	start := f.Points[f.Start]
	lost := 100 * (1 - start.Scored.Share.V)
	name := strings.TrimSpace(f.Recipe.Name)
	if f.Verdict == result.AlreadyGood {
		return []string{fmt.Sprintf("%s keeps %.1f %% of float's %s (%s of %s): it is good already, and nothing was searched.", name, 100*start.Scored.Share.V, f.Column.Key, text(start.Scored.All), text(f.Float.All))}
	}
	list := []string{fmt.Sprintf("%s loses %.0f %% of float's %s (%s of %s)%s.", name, lost, f.Column.Key, text(start.Scored.All), text(f.Float.All), whence(f))}
	if f.Verdict == result.NotSearched || f.Best < 0 {
		return list
	}
	best := f.Points[f.Best]
	list = append(list, cure(f, best), bill(f, start, best))
	for _, more := range []string{surer(f, best), beforeText(f), elsewhere(f, best)} {
		if more != "" {
			list = append(list, more)
		}
	}
	return list
}

// surer names the cheapest point that keeps the target on the held-out pictures too, where the best one does so only within chance; ""
// if there is none for half as much again.
func surer(f *result.Explored, best result.ExplorePoint) string {
	const most = 1.5
	if !f.Reached || !best.Scored.HeldShare.OK || best.Scored.HeldShare.V >= f.Spec.Target || !best.Price.OK || best.Price.V <= 0 {
		return ""
	}
	for _, p := range f.Points { // by price
		s := p.Scored
		if !p.Price.OK || p.Price.V < best.Price.V || p.Price.V > most*best.Price.V || !s.HeldShare.OK || s.HeldShare.V < f.Spec.Target || s.Share.V < f.Spec.Target {
			continue
		}
		return fmt.Sprintf("Surer, for %.0f %% more (%s): %s, with %.1f %% on all pictures and %.1f %% on those held out.", 100*(p.Price.V/best.Price.V-1), grouped(p.Price.V), p.Title, 100*s.Share.V, 100*s.HeldShare.V)
	}
	return ""
}

// elsewhere points to another form of the model that keeps the target and costs less than the best point of this one; "" if there
// is none.
func elsewhere(f *result.Explored, best result.ExplorePoint) string {
	var found *result.Origin
	for i := range f.Origins {
		o := &f.Origins[i]
		cheaper := !best.Price.OK || o.Price.OK && o.Price.V < best.Price.V
		if o.Kind == "rewrite" && o.Share.OK && o.Share.V >= f.Spec.Target && (cheaper || !f.Reached) && (found == nil || o.Share.V > found.Share.V) {
			found = o
		}
	}
	if found == nil {
		return ""
	}
	text := fmt.Sprintf("Rewritten (%s) the model keeps %.1f %% in the simulation", found.Name, 100*found.Share.V)
	if found.Price.OK {
		text += " for " + grouped(found.Price.V)
	}
	return text + ": give --optimize to explore that one; " + found.Note + "."
}

// whence names the half that the loss comes from.
func whence(f *result.Explored) string {
	share := map[string]float64{}
	for _, o := range f.Origins {
		if o.Kind == "part" && o.Share.OK {
			share[o.Name] = o.Share.V
		}
	}
	w, weights := share[string(candidate.Weights)]
	a, acts := share[string(candidate.Activations)]
	switch {
	case !weights || !acts:
		return ""
	case 1-a > 4*(1-w):
		return fmt.Sprintf("; it is the activations: alone they keep %.0f %%, the weights alone %.0f %%", 100*a, 100*w)
	case 1-w > 4*(1-a):
		return fmt.Sprintf("; it is the weights: alone they keep %.0f %%, the activations alone %.0f %%", 100*w, 100*a)
	}
	return fmt.Sprintf("; weights alone keep %.0f %%, activations alone %.0f %%", 100*w, 100*a)
}

// cure says what brings the score back.
func cure(f *result.Explored, best result.ExplorePoint) string {
	what := ""
	if best.Recipe.Calibrator != f.Points[f.Start].Recipe.Calibrator || best.Recipe.PerChannel != f.Points[f.Start].Recipe.PerChannel {
		what = fmt.Sprintf("the calibrator %s", recipeText(best.Recipe.Calibrator, best.Recipe.Percentile, best.Recipe.PerChannel))
	}
	if len(best.Changed) > 0 {
		if what != "" {
			what += " and "
		}
		names := make([]string, 0, 3)
		for _, c := range best.Changed[:min(len(best.Changed), 3)] {
			names = append(names, c.Tensor)
		}
		more := ""
		if n := len(best.Changed) - len(names); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		what += fmt.Sprintf("%s for %d of %d quantizers (%s%s)", changeText(best.Changed), len(best.Changed), len(f.Layers), strings.Join(names, ", "), more)
	}
	if best.Recipe.ActBits > f.Points[f.Start].Recipe.ActBits {
		what = fmt.Sprintf("%d bits for all activations", best.Recipe.ActBits)
	}
	if what == "" {
		return "Nothing that was tried is better than the recipe as it is."
	}
	verb := "bring"
	if len(best.Changed) == 0 && best.Recipe.ActBits == f.Points[f.Start].Recipe.ActBits {
		verb = "brings"
	}
	if !f.Reached {
		verb = "at best " + verb
	}
	text := fmt.Sprintf("%s %s it to %s, %.1f %% of float's on all pictures", what, verb, text(best.Scored.All), 100*best.Scored.Share.V)
	if best.Scored.HeldShare.OK {
		text += fmt.Sprintf(" and %.1f %%", 100*best.Scored.HeldShare.V)
		if best.Scored.Spread.OK {
			text += fmt.Sprintf(" ± %.1f", 100*best.Scored.Spread.V)
		}
		text += " on those held out"
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// changeText says what all changes have in common.
func changeText(list []result.ChangedLayer) string {
	every := func(is func(variant.Choice) bool) bool {
		return !slices.ContainsFunc(list, func(c result.ChangedLayer) bool { return !is(c.Choice) })
	}
	switch {
	case every(func(c variant.Choice) bool { return c.Bits == 16 && !c.Float }):
		return "16 bits"
	case every(func(c variant.Choice) bool { return c.Float }):
		return "half precision"
	case every(func(c variant.Choice) bool { return c.Bits == 0 && !c.Float }):
		return "another calibrator"
	}
	return "another width or calibrator"
}

func recipeText(calibrator any, percentile float64, perChannel bool) string {
	s := fmt.Sprint(calibrator)
	if percentile > 0 {
		s += fmt.Sprintf(":%g", percentile)
	}
	if !perChannel {
		s += ", per tensor"
	}
	return s
}

// bill says what it costs.
func bill(f *result.Explored, start, best result.ExplorePoint) string {
	unit := string(f.PriceUnit)
	if f.PriceUnit == result.CyclesUnit {
		unit = "estimated cycles"
	}
	kept := fmt.Sprintf("%.1f %% of the activations stay at 8 bits", 100*(1-float64(best.Wide)/float64(max(best.Tensors, 1))))
	if !start.Price.OK || !best.Price.OK || start.Price.V == 0 {
		return "What it costs is not known; " + kept + "."
	}
	more := best.Price.V/start.Price.V - 1
	change := fmt.Sprintf("%.0f %% more", 100*more)
	if more < 0 {
		change = fmt.Sprintf("%.0f %% fewer", -100*more)
	}
	return fmt.Sprintf("It costs %s %s (%s, the recipe as it is %s); %s.", change, unit, grouped(best.Price.V), grouped(start.Price.V), kept)
}

// grouped writes a large number for people.
func grouped(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.3g G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.3g M", v/1e6)
	}
	return fmt.Sprintf("%.0f", v)
}

// beforeText says what the model was before it was rewritten; "" if nobody knows.
func beforeText(f *result.Explored) string {
	for _, o := range f.Origins {
		if o.Kind != "model" || !o.Share.OK {
			continue
		}
		text := fmt.Sprintf("Before it was rewritten the model kept %.1f %% in the simulation", 100*o.Share.V)
		if o.Price.OK && o.Price.V > 0 && f.PriceUnit == result.CyclesUnit {
			text += fmt.Sprintf(", for %s estimated cycles", grouped(o.Price.V))
		}
		return text + "."
	}
	return ""
}
