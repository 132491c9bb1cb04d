package strategy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/result"
	"quantcheck/internal/search"
	"quantcheck/internal/variant"
)

// front chooses the points: of the sets that the engine that has the last word scored, those that no other beats by what their
// changes are thought to cost. Each is scored on all pictures and priced whole, which decides.
func (x *explorer) front(ctx context.Context) error {
	changes, byHarm, err := x.changes(ctx)
	if err != nil {
		return err
	}
	var points []search.Point
	var list []search.Priced
	for _, p := range x.points {
		if p.Score.Partial {
			continue
		}
		sum := 0.0
		for _, c := range p.Set {
			sum += changes[c].Price
		}
		points, list = append(points, p), append(list, search.Priced{Score: p.Score.Value, Price: sum})
	}
	chosen := search.Thin(search.Front(list), list, x.policy.MostPoints, func(i int) bool { return list[i].Score >= x.target })
	x.progress.Phase("scoring the front", len(chosen)+2)
	added := map[string]bool{search.Set{}.Key(): true} // the recipe, and the best one, are points already
	add := func(set search.Set) error {
		if added[set.Key()] {
			return nil
		}
		added[set.Key()] = true
		title := fmt.Sprintf("%d of %d quantizers changed", len(x.choices(set)), len(x.quantizers))
		if !slices.ContainsFunc(set, func(c int) bool { return c >= len(x.quantizers) }) {
			title = fmt.Sprintf("%d of %d quantizers at 16 bits", len(set), len(x.quantizers))
		}
		return x.addPoint(ctx, title, x.recipe, x.choices(set))
	}
	// First what reaches the target, the cheapest before the others; then what leads there, the best first. The budget ends it.
	slices.SortStableFunc(chosen, func(a, b int) int {
		p, q := list[a], list[b]
		switch there, other := p.Score >= x.target, q.Score >= x.target; {
		case there && other:
			return cmp.Compare(p.Price, q.Price)
		case there != other && there:
			return -1
		case there != other:
			return 1
		}
		return cmp.Compare(q.Score, p.Score)
	})
	for i, k := range chosen {
		if i > 0 && x.budget.Spent(2*x.scores.Slowest()) { // one more, and all at 16 bits
			x.found.Budget = true
			x.warn("the budget was spent before %d points of the front were scored on the held-out pictures; they are left out", len(chosen)-i)
			break
		}
		if err := add(points[k].Set); err != nil {
			return err
		}
		x.progress.Step(i + 1)
	}
	wide := x.recipe
	wide.ActBits = 16
	if x.recipe.ActBits < 16 && !x.budget.Spent(x.scores.Slowest()) {
		if err := x.addPoint(ctx, "all activations at 16 bits", wide, nil); err != nil {
			return err
		}
	}
	if err := x.extend(byHarm, points, list, add); err != nil {
		return err
	}
	if err := x.between(ctx, changes, add); err != nil {
		return err
	}
	if err := x.smooth(ctx); err != nil {
		return err
	}
	x.rank()
	return nil
}

// between shows what a little more time buys: of the quantizers that bring most for their price as many as stay under each step of the
// policy, at 16 bits. The harm that each does alone adds up as noise powers do, and what little of it is left out is not worth a change.
func (x *explorer) between(ctx context.Context, changes []search.Change, add func(search.Set) error) error {
	if !x.prices.Estimates() || x.recipe.ActBits >= 16 {
		return nil
	}
	base, err := x.prices.Price(ctx, candidate.Of(x.recipe, nil))
	if err != nil || !base.Price.OK {
		return ctx.Err() // the points say why there is no price
	}
	total := 0.0
	for i := range x.quantizers {
		total += changes[i].Gain
	}
	order := slices.DeleteFunc(byWorth(changes, len(x.quantizers)), func(i int) bool { return changes[i].Gain < x.policy.Negligible*total })
	x.progress.Phase("what more bits bring", len(x.policy.Steps))
	for n, step := range x.policy.Steps {
		var set search.Set
		sum := 0.0
		for _, i := range order {
			if sum+changes[i].Price <= (step-1)*base.Price.V {
				set, sum = set.With(i), sum+changes[i].Price
			}
		}
		for len(set) > 0 { // conversions between the widths are not in the sum
			if x.budget.Spent(x.scores.Slowest()) {
				return nil
			}
			p, err := x.prices.Price(ctx, candidate.Of(x.recipe, x.choices(set)))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil && p.Price.OK && p.Price.V <= step*base.Price.V {
				if err := add(set); err != nil {
					return err
				}
				break
			}
			kept := slices.DeleteFunc(slices.Clone(order), func(i int) bool { return !set.Has(i) })
			set = search.NewSet(kept[:len(kept)-(len(kept)+7)/8]...) // an eighth, the least worthy, goes
		}
		x.progress.Step(n + 1)
	}
	return nil
}

// smooth makes the cheapest point that has the target cheaper: a neighbour of a wide quantizer that is made wide, too, may save the
// conversions between them. Of what the estimate says is cheaper the score is asked.
func (x *explorer) smooth(ctx context.Context) error {
	if !x.prices.Estimates() {
		return nil
	}
	best := -1
	for i := range x.found.Points {
		p := &x.found.Points[i]
		if len(p.Changed) > 0 && x.holds(p) && p.Price.OK && (best < 0 || p.Price.V < x.found.Points[best].Price.V) {
			best = i
		}
	}
	if best < 0 || x.budget.Spent(2*x.scores.Slowest()) {
		return nil
	}
	choices, price := maps.Clone(x.found.Points[best].Recipe.Choices), x.found.Points[best].Price.V
	changed := false
	for _, name := range x.network.Neighbours(choices) {
		if x.budget.Spent(2 * x.scores.Slowest()) {
			break
		}
		wider := maps.Clone(choices)
		wider[name] = variant.Choice{Bits: 16}
		p, err := x.prices.Price(ctx, candidate.Of(x.recipe, wider))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && p.Price.OK && p.Price.V < price {
			choices, price, changed = wider, p.Price.V, true
		}
	}
	if !changed {
		return nil
	}
	return x.addPoint(ctx, fmt.Sprintf("%d of %d, fewer conversions", len(choices), len(x.quantizers)), x.recipe, choices)
}

// extend adds changes to the cheapest set that reached the target on the pictures of the search, or to the best one if none did,
// until the target holds on all pictures. It is not tried where 16 bits everywhere do not have it.
func (x *explorer) extend(byHarm []int, points []search.Point, list []search.Priced, add func(search.Set) error) error {
	good := func() bool {
		return slices.ContainsFunc(x.found.Points, func(p result.ExplorePoint) bool { return p.Recipe.ActBits == x.recipe.ActBits && x.holds(&p) })
	}
	best := -1
	for i := range points {
		if list[i].Score >= x.target && (best < 0 || list[i].Price < list[best].Price) {
			best = i
		}
	}
	base := x.simulated
	switch {
	case best >= 0:
		base = points[best].Set
	case !slices.ContainsFunc(x.found.Points, func(p result.ExplorePoint) bool { return p.Recipe.ActBits == 16 && x.holds(&p) }):
		return nil // not even 16 bits everywhere have it
	}
	for _, set := range x.larger(base, byHarm) {
		if good() {
			return nil
		}
		if x.budget.Spent(x.scores.Slowest()) {
			x.found.Budget = true
			return nil
		}
		if err := add(set); err != nil {
			return err
		}
	}
	return nil
}

// larger are sets with more changes: the next ones by harm.
func (x *explorer) larger(set search.Set, byHarm []int) []search.Set {
	var list []search.Set
	for _, n := range x.policy.Extensions {
		more := set
		for _, c := range byHarm {
			if n == 0 {
				break
			}
			if !more.Has(c) {
				more, n = more.With(c), n-1
			}
		}
		list = append(list, more)
	}
	return list
}

// holds says whether a point has the target, on all pictures and within the spread on those held out.
func (x *explorer) holds(p *result.ExplorePoint) bool {
	return x.reaches(&candidate.Trial{Scored: p.Scored, Whole: true})
}

// rank orders the points by price, marks the front, and finds the cheapest one that has the target.
func (x *explorer) rank() {
	f := x.found
	start := f.Points[f.Start]
	slices.SortStableFunc(f.Points, func(a, b result.ExplorePoint) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(b.Scored.Share.V, a.Scored.Share.V))
	})
	f.Start = slices.IndexFunc(f.Points, func(p result.ExplorePoint) bool { return p.Title == start.Title })
	list := make([]search.Priced, len(f.Points))
	for i, p := range f.Points {
		list[i] = search.Priced{Score: p.Scored.Share.V, Price: order(p)}
	}
	for i := range f.Points {
		f.Points[i].OnFront = false
	}
	for _, i := range search.Front(list) {
		f.Points[i].OnFront = true
	}
	f.Best = slices.IndexFunc(f.Points, func(p result.ExplorePoint) bool { return x.holds(&p) })
	f.Reached = f.Best >= 0
	if !f.Reached { // the best of what is less than everything at 16 bits, if it gains at all
		for i, p := range f.Points {
			if f.Best < 0 || p.Scored.Share.V > f.Points[f.Best].Scored.Share.V {
				f.Best = i
			}
		}
	}
	switch best := f.Points[f.Best]; {
	case !f.Reached:
		f.Verdict = result.OutOfReach
	case f.Best == f.Start:
		f.Verdict = result.AlreadyGood
	case len(best.Changed) == 0 && best.Recipe.ActBits == x.asked.ActBits:
		f.Verdict = result.RecipeHeals
	default:
		f.Verdict = result.BitsHeal
	}
}

// order is what points are sorted by: those without a price by their wide activations, behind the others.
func order(p result.ExplorePoint) float64 {
	if p.Price.OK {
		return p.Price.V
	}
	return 1e300 + float64(p.Wide)*1e290
}

// worstWeights names the operators whose constants alone do the most harm.
func worstWeights(layers []result.Sensitivity) string {
	list := slices.DeleteFunc(slices.Clone(layers), func(l result.Sensitivity) bool { return !l.Weights.OK })
	slices.SortStableFunc(list, func(a, b result.Sensitivity) int { return cmp.Compare(a.Weights.V, b.Weights.V) })
	var names []string
	for _, l := range list[:min(len(list), 3)] {
		names = append(names, fmt.Sprintf("in front of %s, %.1f dB", l.Tensor, l.Weights.V))
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" (the most harmful: %s)", strings.Join(names, "; "))
}

// limits says what keeps the target out of reach.
func (x *explorer) limits() {
	f := x.found
	for _, o := range f.Origins {
		switch {
		case o.Kind == "part" && o.Name == string(candidate.Weights) && o.Share.OK && o.Share.V < x.target:
			f.Limits = append(f.Limits, fmt.Sprintf("with float activations the quantized weights alone keep %.1f %%%s: wider activations cannot heal that; try per-channel weights, w8 or w16, or equalize", 100*o.Share.V, worstWeights(f.Layers)))
		case o.Kind == "width" && o.Share.OK && o.Share.V < x.target:
			f.Limits = append(f.Limits, fmt.Sprintf("with all activations at 16 bits the simulation keeps %.1f %%", 100*o.Share.V))
		}
	}
	for _, p := range f.Points {
		if p.Recipe.ActBits == 16 && len(p.Changed) == 0 && !x.holds(&p) {
			f.Limits = append(f.Limits, fmt.Sprintf("with all activations at 16 bits %s keeps %.1f %%", engineName(x.engine), 100*p.Scored.Share.V))
		}
	}
	if f.Budget {
		f.Limits = append(f.Limits, "the budget was spent before the search was done; a larger --budget goes on where this one ended")
	}
	if len(f.Limits) == 0 {
		f.Limits = append(f.Limits, "no set of wider activations that was tried reaches it on the held-out pictures, too")
	}
}

func engineName(e variant.Engine) string {
	if e == variant.HTP {
		return "the emulator"
	}
	return "the simulation"
}
