package strategy

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/metric"
	"quantcheck/internal/search"
	"quantcheck/internal/variant"
)

// objective scores sets of changes on one engine.
type objective struct {
	x       *searcher
	engine  variant.Engine
	reserve time.Duration
	// minSQNR is the SQNR of the outputs, in dB, under which a candidate is rejected even if its score reaches the target. No value: it is
	// not known.
	minSQNR metric.Value
}

// aims gives the SQNR that candidates of an engine have to keep, and the share of float's score that its search aims at: a little
// more than the target, if all activations at 16 bits have that.
func (x *searcher) aims(ctx context.Context, e variant.Engine) (minSQNR metric.Value, aim float64, err error) {
	wide := x.recipe
	wide.ActBits = 16
	try := x.scores.OnSearch
	if e == x.engine { // it is a point of the front, too
		try = func(ctx context.Context, c candidate.Candidate, _ float64) (*candidate.Trial, error) {
			return x.scores.OnAll(ctx, c)
		}
	}
	aim = x.target
	t, err := try(ctx, candidate.Of(wide, nil).On(e), 0)
	if err != nil {
		return minSQNR, aim, err
	}
	if t.Scored.SQNR.OK {
		minSQNR = metric.Defined(t.Scored.SQNR.V - x.policy.SQNRSlack)
	}
	if share := t.SearchShare(x.higher); share.OK && share.V >= aim+x.policy.Margin {
		aim += x.policy.Margin
	}
	return minSQNR, aim, nil
}

// Score implements search.Objective.
func (l *objective) Score(ctx context.Context, set search.Set, floor float64) (search.Score, error) {
	if l.x.budget.Spent(l.reserve) {
		return search.Score{}, search.ErrBudget
	}
	t, err := l.x.scores.OnSearch(ctx, candidate.Of(l.x.recipe, l.x.choices(set)).On(l.engine), floor)
	var refused *candidate.RefusedError
	if errors.As(err, &refused) { // half precision, where the HTP has none
		return search.Score{Partial: true}, nil
	}
	if err != nil {
		return search.Score{}, err
	}
	l.x.progress.Step(int(time.Since(l.x.phase).Seconds()))
	share := t.SearchShare(l.x.higher)
	noisy := l.minSQNR.OK && t.Scored.SQNR.OK && t.Scored.SQNR.V < l.minSQNR.V
	return search.Score{Value: share.V, Partial: t.Partial || !share.OK || noisy && share.V >= floor}, nil
}

// kinds are what may be changed of a quantizer: change k·groups + i is kind k of group i. The first is 16 bits.
func (x *searcher) kinds() []variant.Choice {
	list := []variant.Choice{{Bits: 16}}
	for _, c := range []variant.Choice{
		{Calibrator: variant.Percentile, Percentile: 99.9}, {Calibrator: variant.Percentile, Percentile: 99.99}, {Calibrator: variant.Enhanced},
		{Calibrator: variant.MSE}, {Calibrator: variant.MSEOut}, {Calibrator: variant.TF}, {Calibrator: variant.Percentile, Percentile: 99},
		{Calibrator: variant.Symmetric},
	} {
		if c.Calibrator != x.recipe.Calibrator || c.Percentile != x.recipe.Percentile {
			list = append(list, c)
		}
	}
	return append(list, variant.Choice{Float: true})
}

// choices are what a set of changes means.
func (x *searcher) choices(set search.Set) variant.Choices {
	if len(set) == 0 {
		return nil
	}
	choices, kinds := variant.Choices{}, x.kinds()
	for _, c := range set {
		name := x.quantizers[c%len(x.quantizers)].Tensors[0]
		choice, kind := choices[name], kinds[c/len(x.quantizers)]
		choice.Float = choice.Float || kind.Float
		choice.Bits = max(choice.Bits, kind.Bits)
		if kind.Calibrator != "" {
			choice.Calibrator, choice.Percentile = kind.Calibrator, kind.Percentile
		}
		choices[name] = choice
	}
	return choices
}

// alternatives are the other kinds of a change: another calibrator costs nothing, half precision may cost less.
func (x *searcher) alternatives(change int) [][]int {
	var list [][]int
	for k := 1; k < len(x.kinds()) && change < len(x.quantizers); k++ {
		list = append(list, []int{k*len(x.quantizers) + change})
	}
	return list
}

// search looks for the least set on the CPU, and corrects it on the emulator where that has the last word.
func (x *searcher) search(ctx context.Context) error {
	changes, byHarm, err := x.changes(ctx)
	if err != nil {
		return err
	}
	minSQNR, aim, err := x.aims(ctx, variant.CPU)
	if err != nil {
		return err
	}
	cpu := search.New(&objective{x: x, engine: variant.CPU, reserve: x.reserve(variant.CPU), minSQNR: minSQNR}, changes, aim)
	x.timed("searching", x.reserve(variant.CPU))
	set, err := x.least(ctx, cpu, changes, [][]int{byWorth(changes, len(x.quantizers)), byHarm, x.headFirst(byHarm)})
	if err != nil {
		return err
	}
	x.simulated = set
	if x.engine == variant.CPU {
		x.points = cpu.Points()
		return nil
	}
	return x.correct(ctx, set, changes, byHarm)
}

// least climbs the rankings, and prunes and exchanges what the cheapest of them reaches. Later rankings are followed
// as far as they are cheaper than what is found. The budget ends it.
func (x *searcher) least(ctx context.Context, s *search.Search, changes []search.Change, rankings [][]int) (search.Set, error) {
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
			for n < len(r) && price(search.NewSet(r[:n+1]...)) < price(best) {
				n++
			}
			r = r[:n]
		}
		set, reached, err := s.Climb(ctx, nil, r)
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
	set, err := s.Exchange(ctx, best, rankings[0], x.policy.Tries, x.alternatives)
	if err == nil {
		set, err = s.Prune(ctx, set)
	}
	if err != nil && !errors.Is(err, search.ErrBudget) {
		return nil, err
	}
	return set, nil
}

// changes are what is known of each quantizer before the search, and their order by the harm that each does alone. The most
// harmful are priced in the whole model; of the others the price is thought to grow with the size of the tensors.
func (x *searcher) changes(ctx context.Context) (list []search.Change, byHarm []int, err error) {
	if x.known != nil {
		return x.known, x.byHarm, nil
	}
	for i := range x.quantizers {
		c := search.Change{Price: 1}
		if v := x.sqnr[i]; v.OK {
			c.Gain = math.Pow(10, -v.V/10)
		}
		c.Price += x.quantizers[i].Elements
		list = append(list, c)
		byHarm = append(byHarm, i)
	}
	slices.SortStableFunc(byHarm, func(a, b int) int { return cmp.Compare(list[b].Gain, list[a].Gain) })
	if err := x.priceSingles(ctx, list, byHarm); err != nil {
		return nil, nil, err
	}
	for k, kind := range x.kinds()[1:] {
		for i := range x.quantizers {
			c := list[i]
			if !kind.Float {
				c.Price = 0
			} else if p := x.halfPrice(ctx, i, k+1, byHarm); p.OK {
				c.Price = p.V
			}
			list = append(list, c)
		}
	}
	x.known, x.byHarm = list, byHarm
	return list, byHarm, nil
}

// halfPrice is what half precision of one of the most harmful quantizers costs; no value for the others.
func (x *searcher) halfPrice(ctx context.Context, group, kind int, byHarm []int) metric.Value {
	if !x.prices.Estimates() || slices.Index(byHarm, group) >= x.policy.MostHalfPrices {
		return metric.Value{}
	}
	base, err := x.prices.Price(ctx, candidate.Of(x.recipe, nil))
	if err != nil {
		return metric.Value{}
	}
	p, err := x.prices.Price(ctx, candidate.Of(x.recipe, x.choices(search.Set{kind*len(x.quantizers) + group})))
	if err != nil || p.Refused > base.Refused {
		return metric.Value{}
	}
	return metric.Defined(max(p.Price.V-base.Price.V, 1))
}

// priceSingles replaces thought prices by those of the compiler's estimate, within its share of the budget.
func (x *searcher) priceSingles(ctx context.Context, list []search.Change, byHarm []int) error {
	if !x.prices.Estimates() {
		return nil
	}
	base, err := x.prices.Price(ctx, candidate.Of(x.recipe, nil))
	if err != nil || !base.Price.OK {
		return ctx.Err() // without a price nothing is dearer than its size; the points say why there is none
	}
	over := x.budget.UpTo(x.policy.Shares.Pricing)
	x.progress.Phase("pricing", x.policy.MostSingles)
	priced, size := 0.0, 0.0
	single := map[int]float64{}
	for n, i := range byHarm[:min(x.policy.MostSingles, len(byHarm))] {
		if over() {
			break
		}
		p, err := x.prices.Price(ctx, candidate.Of(x.recipe, x.choices(search.Set{i})))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && p.Price.OK {
			single[i] = max(p.Price.V-base.Price.V, 1)
			priced, size = priced+single[i], size+list[i].Price
		}
		x.progress.Step(n + 1)
	}
	for i := range list {
		if v, ok := single[i]; ok {
			list[i].Price = v
		} else if size > 0 {
			list[i].Price *= priced / size
		}
	}
	return nil
}

// byWorth orders changes by harm for their price.
func byWorth(changes []search.Change, groups int) []int {
	order := make([]int, groups)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(changes[b].Gain/changes[b].Price, changes[a].Gain/changes[a].Price)
	})
	return order
}

// headFirst puts the output head before the rest of a ranking.
func (x *searcher) headFirst(ranking []int) []int {
	head := x.quantizers
	order := slices.Clone(ranking)
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case head[a].Head && !head[b].Head:
			return -1
		case head[b].Head && !head[a].Head:
			return 1
		}
		return 0
	})
	return order
}

// timed begins a phase that takes what is left of the budget at most: its steps are seconds.
func (x *searcher) timed(title string, reserve time.Duration) {
	x.phase = time.Now()
	x.progress.Phase(title, max(int(x.budget.Left(reserve).Seconds()), 1))
}

// reserve is what a search leaves for the steps behind it.
func (x *searcher) reserve(e variant.Engine) time.Duration {
	if e == variant.CPU && x.engine == variant.HTP {
		return x.budget.Share(x.policy.Shares.Correcting)
	}
	return x.budget.Share(x.policy.Shares.Front)
}

// correct goes on from what the simulation takes for enough: the emulator's own sensitivities of the layers where it parts from
// the simulation rank what is added to it, and the emulator scores.
func (x *searcher) correct(ctx context.Context, set search.Set, changes []search.Change, byHarm []int) error {
	base, err := x.emulatedAlone(ctx, x.partings())
	if err != nil {
		return err
	}
	corrected := slices.Clone(changes)
	for i := range corrected {
		if v := x.described[i%len(x.quantizers)].Emulated; v.OK && base.OK { // what is more than with all others alone
			corrected[i].Gain = max(corrected[i].Gain, math.Pow(10, -v.V/10)-math.Pow(10, -base.V/10))
		}
	}
	order := slices.Clone(byHarm)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(corrected[b].Gain, corrected[a].Gain) })
	x.known, x.byHarm = corrected, order
	minSQNR, aim, err := x.aims(ctx, variant.HTP)
	if err != nil {
		return err
	}
	s := search.New(&objective{x: x, engine: variant.HTP, reserve: x.reserve(variant.HTP), minSQNR: minSQNR}, corrected, aim)
	x.timed("searching on the emulator", x.reserve(variant.HTP))
	err = x.leastEmulated(ctx, s, set, order)
	x.points = s.Points()
	return err
}

// leastEmulated adds blocks to what the simulation takes for enough: the next few by harm, the output head, and more by harm. Then
// it drops what is not needed and exchanges the dearest changes, as far as the budget goes.
func (x *searcher) leastEmulated(ctx context.Context, s *search.Search, set search.Set, order []int) error {
	var head, rest []int
	for _, i := range order {
		switch {
		case set.Has(i):
		case x.quantizers[i].Head:
			head = append(head, i)
		default:
			rest = append(rest, i)
		}
	}
	next := func(n int) []int {
		n = min(n, len(rest))
		block := rest[:n]
		rest = rest[n:]
		return block
	}
	blocks := [][]int{}
	for i, n := range x.policy.Blocks {
		if blocks = append(blocks, next(n)); i == 0 {
			blocks = append(blocks, head)
		}
	}
	found, reached, err := s.Blocks(ctx, set, blocks)
	if err == nil && reached {
		found, err = s.Prune(ctx, found)
	}
	if err == nil && reached {
		_, err = s.Exchange(ctx, found, order, x.policy.TriesEmulated, nil)
	}
	if errors.Is(err, search.ErrBudget) {
		err = nil
	}
	return err
}

// partings are the quantizers of the output head, and those whose layers the emulator computes most unlike the simulation.
func (x *searcher) partings() []int {
	var list []int
	for i, q := range x.quantizers {
		if q.Head {
			list = append(list, i)
		}
	}
	var rest []int
	for i, l := range x.described {
		if l.Apart.OK && !math.IsInf(l.Apart.V, 1) && !slices.Contains(list, i) {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(x.described[a].Apart.V, x.described[b].Apart.V) })
	return append(list, rest[:min(len(rest), x.policy.MostExamined)]...)
}

// emulatedAlone measures on the emulator what each of some quantizers does to the outputs when only it has 8 bits and all
// others 16. base is what the outputs keep with all at 16.
func (x *searcher) emulatedAlone(ctx context.Context, list []int) (base metric.Value, err error) {
	over := x.budget.UpTo(x.policy.Shares.Examining)
	wide := x.recipe
	wide.ActBits = 16
	pictures := x.policy.ErrorPictures
	t, err := x.scores.ApartOn(ctx, candidate.Of(wide, nil).On(variant.HTP), pictures)
	if err != nil {
		return base, err
	}
	base = t.Scored.SQNR
	x.progress.Phase("each alone, emulated", len(list))
	for n, i := range list {
		if over() {
			x.warn("the budget was too short to examine %d of %d layers on the emulator", len(list)-n, len(list))
			break
		}
		c := candidate.Of(wide, variant.Choices{x.quantizers[i].Tensors[0]: {Bits: x.recipe.ActBits}}).On(variant.HTP)
		t, err := x.scores.ApartOn(ctx, c, pictures)
		if err != nil {
			return base, err
		}
		x.described[i].Emulated = t.Scored.SQNR
		x.progress.Step(n + 1)
	}
	return base, nil
}
