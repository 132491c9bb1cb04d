package strategy

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/search"
	"quantcheck/internal/variant"
)

// invented is a network that exists as figures only: what each quantizer at 8 bits takes from the score, on either engine, and what it costs
// at 16 bits. It is a scorer and a pricer.
type invented struct {
	quantizers []candidate.Quantizer
	harm       map[variant.Engine][]float64
	cost       []float64
	took       time.Duration // by a score
	clock      time.Time
	scale      float64
	scored     []variant.Choices // that were asked for, in their order
	refuses    error
}

func (n *invented) harmOf(c candidate.Candidate) float64 {
	sum := 0.0
	for i, g := range n.quantizers {
		if choice := c.Spec.Choices[g.Tensors[0]]; choice.Bits != 16 && !choice.Float && (c.Spec.ActBits != 16 || choice.Bits == 8) {
			sum += n.harm[c.Spec.Engine][i]
		}
	}
	return sum
}

func (n *invented) OnSearch(_ context.Context, c candidate.Candidate, _ float64) (*candidate.Trial, error) {
	n.clock = n.clock.Add(n.took)
	n.scored = append(n.scored, c.Spec.Choices)
	if n.refuses != nil {
		return nil, n.refuses
	}
	harm := n.harmOf(c)
	v := metric.Defined
	return &candidate.Trial{Float: result.Scored{Search: v(0.5)}, Scored: result.Scored{Search: v(0.5 * max(1-harm, 0)), SQNR: v(-10 * math.Log10(harm/10+0.05))}}, nil
}

func (n *invented) OnAll(ctx context.Context, c candidate.Candidate) (*candidate.Trial, error) {
	return n.OnSearch(ctx, c, 0)
}

func (n *invented) ApartOn(ctx context.Context, c candidate.Candidate, _ int) (*candidate.Trial, error) {
	return n.OnSearch(ctx, c, 0)
}

func (n *invented) Slowest() time.Duration { return n.took }

func (n *invented) Scale(factor float64) { n.scale = factor }

func (n *invented) Estimates() bool { return true }

func (n *invented) Price(_ context.Context, c candidate.Candidate) (*candidate.Price, error) {
	sum := 100.0
	for i, g := range n.quantizers {
		if c.Spec.Choices[g.Tensors[0]].Bits == 16 {
			sum += n.cost[i]
		}
		if c.Spec.Choices[g.Tensors[0]].Float {
			sum += 50
		}
	}
	return &candidate.Price{Price: metric.Defined(sum)}, nil
}

// searcherOn makes a searcher of an invented network, with a budget of an hour.
func searcherOn(n *invented, engine variant.Engine, target float64) *searcher {
	quantizers := len(n.cost)
	for i := range quantizers {
		n.quantizers = append(n.quantizers, candidate.Quantizer{Tensors: []string{"t" + strconv.Itoa(i)}, Layer: i})
	}
	n.clock = time.Unix(0, 0)
	x := &searcher{
		policy: policy.Usual(), progress: progress.Silent{}, warn: func(string, ...any) {}, scores: n, prices: n, engine: engine, target: target, higher: true,
		recipe:     variant.Spec{Name: "w8a8", Kind: variant.Recipe, WeightBits: 8, ActBits: 8, Calibrator: variant.TF},
		quantizers: n.quantizers, sqnr: make([]metric.Value, quantizers), described: make([]result.Sensitivity, quantizers),
	}
	x.budget = policy.NewBudget(3600, n.clock, x.policy.Shares, func() time.Time { return n.clock })
	for i, harm := range n.harm[variant.CPU] {
		x.sqnr[i] = metric.Defined(-10 * math.Log10(harm+1e-9))
	}
	return x
}

func TestTheSearchFindsTheCheapestSetThatReachesTheTarget(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		harm, cost []float64
		want       search.Set
	}{
		"the harmful ones":                 {[]float64{0.3, 0.001, 0.2, 0.001, 0.1, 0.001}, []float64{9, 9, 9, 9, 9, 9}, search.NewSet(0, 2, 4)},
		"one is enough":                    {[]float64{0.001, 0.5, 0.001}, []float64{9, 9, 9}, search.NewSet(1)},
		"two cheap ones, not the dear one": {[]float64{0.06, 0.03, 0.03, 0.001}, []float64{90, 5, 5, 5}, search.NewSet(0)}, // without it 0.06 stays
	} {
		n := &invented{harm: map[variant.Engine][]float64{variant.CPU: row.harm}, cost: row.cost}
		x := searcherOn(n, variant.CPU, 0.92)
		if err := x.search(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := 0.0
		for i, harm := range row.harm {
			if !x.simulated.Has(i) {
				left += harm
			}
		}
		if left > 0.08 || len(x.points) == 0 {
			t.Errorf("%s: %v leaves %g of harm", name, x.simulated, left)
		}
		if price, best := priceOf(x, x.simulated), priceOf(x, row.want); price > best {
			t.Errorf("%s: %v costs %g, %v costs %g", name, x.simulated, price, row.want, best)
		}
	}
}

func priceOf(x *searcher, set search.Set) float64 {
	p, _ := x.prices.Price(context.Background(), candidate.Of(x.recipe, x.choices(set)))
	return p.Price.V
}

func TestASearchEndsWithItsBudgetAndTheBestSoFar(t *testing.T) {
	t.Parallel()
	n := &invented{harm: map[variant.Engine][]float64{variant.CPU: slices.Repeat([]float64{0.02}, 40)}, cost: slices.Repeat([]float64{1}, 40), took: 10 * time.Minute}
	x := searcherOn(n, variant.CPU, 0.99)
	if err := x.search(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spent := n.clock.Sub(time.Unix(0, 0)); spent > 70*time.Minute || len(n.scored) > 7 || len(n.scored) < 2 {
		t.Errorf("%d scores took %v of an hour", len(n.scored), spent)
	}
	if !x.budget.Spent(x.reserve(variant.CPU)) {
		t.Error("the budget is not spent, and the target is not reached")
	}
}

func TestTheEmulatorCorrectsWhatTheSimulationTakesForEnough(t *testing.T) {
	t.Parallel()
	// On the emulator quantizer 5 takes a fifth of the score, which the simulation does not see.
	n := &invented{harm: map[variant.Engine][]float64{
		variant.CPU: {0.3, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001}, variant.HTP: {0.3, 0.001, 0.001, 0.001, 0.001, 0.2, 0.001, 0.001},
	}, cost: slices.Repeat([]float64{3}, 8)}
	x := searcherOn(n, variant.HTP, 0.95)
	for i := range x.described { // the layers' errors against the simulation, in dB: 5 is furthest from it
		x.described[i].Apart = metric.Defined(60)
	}
	x.described[5].Apart = metric.Defined(12)
	if err := x.search(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.simulated, search.NewSet(0)) {
		t.Errorf("the simulation takes %v for enough", x.simulated)
	}
	if !x.described[5].Emulated.OK || x.byHarm[1] != 5 {
		t.Errorf("quantizer 5 alone on the emulator: %v; order %v", x.described[5].Emulated, x.byHarm)
	}
	if !slices.ContainsFunc(x.points, func(p search.Point) bool {
		return p.Set.Has(0) && p.Set.Has(5) && p.Score.Value >= 0.95 && !p.Score.Partial
	}) {
		t.Errorf("no point that reaches the target: %v", x.points)
	}
}

func TestANoisyCandidateIsRejected(t *testing.T) {
	t.Parallel()
	n := &invented{harm: map[variant.Engine][]float64{variant.CPU: {0.01, 0.01}}, cost: []float64{1, 1}}
	x := searcherOn(n, variant.CPU, 0.9)
	for _, row := range []struct {
		least metric.Value
		want  bool
	}{{metric.Value{}, false}, {metric.Defined(10), false}, {metric.Defined(15), true}} { // the candidate has 12.8 dB
		score, err := (&objective{x: x, engine: variant.CPU, minSQNR: row.least}).Score(t.Context(), nil, 0.9)
		if err != nil || score.Partial != row.want || math.Abs(score.Value-0.98) > 1e-9 {
			t.Errorf("at least %v dB: %+v %v", row.least, score, err)
		}
	}
	n.refuses = errors.New("broken")
	if err := x.search(t.Context()); !errors.Is(err, n.refuses) {
		t.Errorf("a scorer's error: %v", err)
	}
}
