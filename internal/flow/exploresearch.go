package flow

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"quantcheck/internal/onnx"
	"quantcheck/internal/search"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// landscape scores sets of changes on one engine. Change i takes 16 bits for the quantizer of group i.
type landscape struct {
	x       *explorer
	engine  variant.Engine
	reserve time.Duration
	floor   float64 // 0: what the search asks for
}

// Score implements search.Landscape.
func (l *landscape) Score(ctx context.Context, set search.Set, floor float64) (search.Score, error) {
	if l.x.left(l.reserve) <= 0 {
		return search.Score{}, search.ErrBudget
	}
	t, err := l.x.trials.onSearch(ctx, l.x.of(l.x.recipe, l.x.choices(set)).on(l.engine), floor)
	if err != nil {
		return search.Score{}, err
	}
	l.x.progress.Step(l.x.trials.tried)
	return search.Score{Value: t.Scored.Share.V, Partial: t.Partial || !t.Scored.Share.OK}, nil
}

// choices are what a set of changes means.
func (x *explorer) choices(set search.Set) variant.Choices {
	if len(set) == 0 {
		return nil
	}
	choices := variant.Choices{}
	for _, c := range set {
		choices[x.groups[c][0]] = variant.Choice{Bits: 16}
	}
	return choices
}

// search looks for the least set on the CPU, and corrects it on the emulator where that has the last word.
func (x *explorer) search(ctx context.Context) error {
	changes, byHarm := x.changes()
	cpu := search.New(&landscape{x: x, engine: variant.CPU, reserve: x.reserve(variant.CPU)}, changes, x.spec.Target)
	x.progress.Phase("searching", 0)
	set, err := x.least(ctx, cpu, nil, changes, [][]int{byHarm, byWorth(changes), x.headFirst(byHarm)})
	if err != nil {
		return err
	}
	if x.spec.Engine == variant.CPU {
		x.points = cpu.Points()
		return nil
	}
	return x.correct(ctx, set, changes, byHarm)
}

// least climbs the rankings from a set on, and prunes and exchanges what the cheapest of them reaches. Later rankings are followed
// as far as they are cheaper than what is found. The budget ends it.
func (x *explorer) least(ctx context.Context, s *search.Search, from search.Set, changes []search.Change, rankings [][]int) (search.Set, error) {
	var best search.Set
	found := false
	price := func(set search.Set) (sum float64) {
		for _, c := range set {
			sum += changes[c].Price
		}
		return sum
	}
	for _, r := range rankings {
		if found { // only what is cheaper
			n := 0
			for n < len(r) && price(from.With(r[:n+1]...)) < price(best) {
				n++
			}
			r = r[:n]
		}
		set, reached, err := s.Climb(ctx, from, r)
		if reached && err == nil {
			set, err = s.Prune(ctx, set)
		}
		if reached && (!found || price(set) < price(best)) {
			best, found = set, true
		}
		if errors.Is(err, search.ErrBudget) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if !found {
		if p, ok := s.Best(); ok {
			best = p.Set
		}
		return best, nil
	}
	const tries = 4
	set, err := s.Exchange(ctx, best, rankings[0], tries)
	if err == nil {
		set, err = s.Prune(ctx, set)
	}
	if err != nil && !errors.Is(err, search.ErrBudget) {
		return nil, err
	}
	return set, nil
}

// changes are what is known of each quantizer before the search, and their order by the harm that each does alone.
func (x *explorer) changes() (list []search.Change, byHarm []int) {
	for i, g := range x.groups {
		c := search.Change{Price: 1}
		if v := x.sqnr[i]; v.OK {
			c.Gain = math.Pow(10, -v.V/10)
		}
		for _, name := range g {
			if t, ok := x.stage.b.ref.types[name]; ok {
				if n, err := tensor.Count(t.Shape); err == nil {
					c.Price += float64(n)
				}
			}
		}
		list = append(list, c)
		byHarm = append(byHarm, i)
	}
	slices.SortStableFunc(byHarm, func(a, b int) int { return cmp.Compare(list[b].Gain, list[a].Gain) })
	return list, byHarm
}

// byWorth orders changes by harm for their price.
func byWorth(changes []search.Change) []int {
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(changes[b].Gain/changes[b].Price, changes[a].Gain/changes[a].Price)
	})
	return order
}

// head says of every quantizer whether it belongs to the output head: no operator with weights follows it.
func (x *explorer) head() []bool {
	index := onnx.NewIndex(x.stage.b.ref.toRun)
	weighted := map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true}
	follows := make(map[string]bool) // tensor → a weighted operator follows
	for i := len(index.Nodes) - 1; i >= 0; i-- {
		n := index.Nodes[i]
		leads := weighted[n.GetOpType()]
		for _, out := range n.GetOutput() {
			leads = leads || follows[out]
		}
		if leads {
			for _, in := range n.GetInput() {
				follows[in] = true
			}
		}
	}
	list := make([]bool, len(x.groups))
	for i, g := range x.groups {
		list[i] = !follows[g[0]]
	}
	return list
}

// headFirst puts the output head before the rest of a ranking.
func (x *explorer) headFirst(ranking []int) []int {
	head := x.head()
	order := slices.Clone(ranking)
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case head[a] && !head[b]:
			return -1
		case head[b] && !head[a]:
			return 1
		}
		return 0
	})
	return order
}

// reserve is what the last steps will take: the points of the front on all pictures, each priced.
func (x *explorer) reserve(e variant.Engine) time.Duration {
	share := 0.2
	if e == variant.CPU && x.spec.Engine == variant.HTP {
		share = 0.75 // most of the time is the emulator's
	}
	return time.Duration(share * x.spec.Seconds * float64(time.Second))
}

// correct goes on from what the simulation takes for enough: the emulator's own sensitivities of the layers where it parts from
// the simulation rank what is added to it, and the emulator scores.
func (x *explorer) correct(ctx context.Context, set search.Set, changes []search.Change, byHarm []int) error {
	if err := x.emulatedAlone(ctx, x.partings()); err != nil {
		return err
	}
	corrected := slices.Clone(changes)
	for i := range corrected {
		if v := x.found.Layers[i].Emulated; v.OK {
			corrected[i].Gain = max(corrected[i].Gain, math.Pow(10, -v.V/10))
		}
	}
	order := slices.Clone(byHarm)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(corrected[b].Gain, corrected[a].Gain) })
	s := search.New(&landscape{x: x, engine: variant.HTP, reserve: x.reserve(variant.HTP)}, corrected, x.spec.Target)
	x.progress.Phase("searching on the emulator", 0)
	_, err := x.least(ctx, s, set, corrected, [][]int{order, byWorth(corrected), x.headFirst(order)})
	x.points = s.Points()
	return err
}

// mostPartings is how many layers that the emulator computes otherwise than the simulation are examined on it.
const mostPartings = 24

// partings are the quantizers of the output head, and those whose layers the emulator computes most unlike the simulation.
func (x *explorer) partings() []int {
	var list []int
	for i, in := range x.head() {
		if in {
			list = append(list, i)
		}
	}
	var rest []int
	for i, l := range x.found.Layers {
		if l.Apart.OK && !math.IsInf(l.Apart.V, 1) && !slices.Contains(list, i) {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(x.found.Layers[a].Apart.V, x.found.Layers[b].Apart.V) })
	return append(list, rest[:min(len(rest), mostPartings)]...)
}

// emulatedAlone measures on the emulator what each of some quantizers does to the outputs when only it has 8 bits and all
// others 16. It may take a fifth of the budget.
func (x *explorer) emulatedAlone(ctx context.Context, list []int) error {
	until := time.Now().Add(time.Duration(0.2 * x.spec.Seconds * float64(time.Second)))
	wide := x.recipe
	wide.ActBits = 16
	x.progress.Phase("each alone, emulated", len(list))
	for n, i := range list {
		if time.Now().After(until) {
			x.warn("the budget was too short to examine %d of %d layers on the emulator", len(list)-n, len(list))
			return nil
		}
		c := x.of(wide, variant.Choices{x.groups[i][0]: {Bits: x.recipe.ActBits}}).on(variant.HTP)
		const pictures = 2
		t, err := x.trials.apartOn(ctx, c, pictures)
		if err != nil {
			return err
		}
		x.found.Layers[i].Emulated = t.Scored.SQNR
		x.progress.Step(n + 1)
	}
	return nil
}
