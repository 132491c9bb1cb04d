package strategy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// network is an invented one as a whole: it answers all questions of an exploration.
type network struct {
	invented
	heldOut float64                        // what is taken from the score on the pictures that are held out, besides
	calib   map[variant.Calibrator]float64 // share of the harm that is left with a calibrator
	origins []result.Origin                // on other forms of the model
	told    []string                       // what was asked
	htp     error                          // of every candidate on the emulator
}

func (n *network) trial(c candidate.Candidate) *candidate.Trial {
	harm := n.harmOf(c)
	if left, ok := n.calib[c.Spec.Calibrator]; ok {
		harm *= left
	}
	if c.Part == candidate.Weights { // the harm is the activations'
		harm = 0
	}
	v := metric.Defined
	kept := max(1-harm, 0)
	return &candidate.Trial{
		Float: result.Scored{Search: v(0.5), All: v(0.5)}, Column: result.Column{Key: "mAP"},
		Scored: result.Scored{Engine: c.Spec.Engine, Search: v(0.5 * kept), All: v(0.5 * kept), Share: v(kept), HeldShare: v(kept - n.heldOut), Spread: v(0.005), SQNR: v(20 + 10*kept)},
	}
}

func (n *network) OnSearch(_ context.Context, c candidate.Candidate, _ float64) (*candidate.Trial, error) {
	n.clock = n.clock.Add(n.took)
	if c.Spec.Engine == variant.HTP && n.htp != nil {
		return nil, n.htp
	}
	return n.trial(c), nil
}

func (n *network) OnAll(ctx context.Context, c candidate.Candidate) (*candidate.Trial, error) {
	t, err := n.OnSearch(ctx, c, 0)
	if err == nil {
		t.Whole = true
	}
	return t, err
}

func (n *network) Price(ctx context.Context, c candidate.Candidate) (*candidate.Price, error) {
	p, err := n.invented.Price(ctx, c)
	if c.Spec.ActBits == 16 {
		for _, more := range n.cost {
			p.Price.V += more
		}
	}
	return p, err
}

func (n *network) Widths(c candidate.Candidate) (wide, all int, err error) {
	for _, choice := range c.Spec.Choices {
		if choice.Bits == 16 {
			wide++
		}
	}
	return wide, len(n.quantizers), nil
}

func (n *network) Neighbours(variant.Choices) []string { return nil }

func (n *network) Describe(_ context.Context, _ variant.Spec, list []candidate.Quantizer, _ float64, emulated bool) ([]result.Sensitivity, error) {
	n.told = append(n.told, "describe")
	described := make([]result.Sensitivity, len(list))
	for i, q := range list {
		described[i] = result.Sensitivity{Tensor: q.Tensors[0], Bits: 8, SQNR: metric.Defined(40 - 100*n.harm[variant.CPU][i])}
		if emulated {
			described[i].Apart = metric.Defined(30)
		}
	}
	return described, nil
}

func (n *network) Origins(context.Context, variant.Spec) ([]result.Origin, error) {
	n.told = append(n.told, "rewrite")
	return n.origins, nil
}

// explored explores an invented network of eight quantizers, of which the first and the third do harm, for an hour.
func explored(t *testing.T, change func(*network, *Exploration)) (*result.Explored, *network, error) {
	t.Helper()
	n := &network{invented: invented{
		harm: map[variant.Engine][]float64{variant.CPU: {0.3, 0, 0.2, 0, 0, 0, 0, 0}, variant.HTP: {0.3, 0, 0.2, 0, 0, 0, 0, 0}},
		cost: slices.Repeat([]float64{5}, 8), clock: time.Unix(0, 0),
	}}
	for i := range n.cost {
		n.quantizers = append(n.quantizers, candidate.Quantizer{Tensors: []string{string(rune('a' + i))}, Layer: i})
	}
	f := &result.Explored{Best: -1, Spec: result.ExploreSpec{Target: 0.95}, PriceUnit: result.CyclesUnit}
	f.Spec.Engine = variant.CPU
	e := Exploration{
		Recipe: variant.Usual(), Policy: policy.Usual(), Progress: progress.Silent{}, Scores: n, Prices: n, Network: n, Describe: n, Rewrite: n,
		Quantizers: n.quantizers, Higher: true, Pictures: 9, Found: f,
	}
	change(n, &e)
	e.Budget = policy.NewBudget(3600, n.clock, e.Policy.Shares, func() time.Time { return n.clock })
	f.Recipe = e.Recipe
	err := Run(t.Context(), e)
	return f, n, err
}

func TestWhatAnExplorationConcludes(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change  func(*network, *Exploration)
		verdict result.ExploreVerdict
		reached bool
		asked   string // what was asked of the network, besides scores and prices
		limit   string
		story   string
	}{
		"a few wider quantizers": {func(*network, *Exploration) {}, result.BitsHeal, true, "rewrite describe", "", "it is the activations"},
		"the recipe is good":     {func(n *network, _ *Exploration) { n.harm[variant.CPU] = make([]float64, 8) }, result.AlreadyGood, true, "", "", "good already"},
		"another calibrator":     {func(n *network, _ *Exploration) { n.calib = map[variant.Calibrator]float64{variant.MSE: 0} }, result.RecipeHeals, true, "rewrite describe", "", "The calibrator mse"},
		"the recipe is to stay": {func(n *network, e *Exploration) {
			n.calib, e.Found.Spec.Fixed = map[variant.Calibrator]float64{variant.MSE: 0}, true
		}, result.BitsHeal, true, "rewrite describe", "", ""},
		"one picture":              {func(_ *network, e *Exploration) { e.Pictures = 1 }, result.NotSearched, false, "", "one picture", "loses 50 %"},
		"pictures alike":           {func(_ *network, e *Exploration) { e.Alike = true }, result.NotSearched, false, "", "same outputs on all 9", ""},
		"held-out pictures say no": {func(n *network, _ *Exploration) { n.heldOut = 0.2 }, result.OutOfReach, false, "rewrite describe", "16 bits the simulation keeps", ""},
		"another form is told of": {func(n *network, _ *Exploration) {
			n.origins = []result.Origin{{Kind: "rewrite", Name: "optimize", Share: metric.Defined(0.99), Price: metric.Defined(10), Note: "x"}}
		}, result.BitsHeal, true, "rewrite describe", "", "Rewritten (optimize)"},
	} {
		f, n, err := explored(t, row.change)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Verdict != row.verdict || f.Reached != row.reached || strings.Join(n.told, " ") != row.asked {
			t.Errorf("%s: %s, reached %v, asked %q; limits %q", name, f.Verdict, f.Reached, n.told, f.Limits)
		}
		if row.limit != "" && !slices.ContainsFunc(f.Limits, func(l string) bool { return strings.Contains(l, row.limit) }) {
			t.Errorf("%s: limits %q", name, f.Limits)
		}
		if !strings.Contains(strings.Join(f.Story, " "), row.story) {
			t.Errorf("%s: %q", name, f.Story)
		}
		if row.verdict == result.BitsHeal {
			best := f.Points[f.Best]
			if len(best.Changed) == 0 || best.Scored.Share.V < 0.95 || !best.OnFront {
				t.Errorf("%s: the best point is %+v", name, best)
			}
			for _, l := range f.Layers {
				if wide := slices.ContainsFunc(best.Changed, func(c result.ChangedLayer) bool { return c.Tensor == l.Tensor && c.Choice.Bits == 16 }); wide != (l.Bits == 16) {
					t.Errorf("%s: %s has %d bits", name, l.Tensor, l.Bits)
				}
			}
		}
	}
}

func TestAnEmulatorThatRefusesTheModelLeavesTheWordToTheSimulation(t *testing.T) {
	t.Parallel()
	refused := &candidate.RefusedError{Err: errors.New("it has no such operator")}
	for _, auto := range []bool{true, false} {
		f, _, err := explored(t, func(n *network, e *Exploration) {
			n.htp, e.Found.Spec.Engine, e.Found.Spec.Auto = refused, variant.HTP, auto
		})
		if auto != (err == nil) || !auto && !errors.Is(err, refused.Err) {
			t.Errorf("asked for by itself %v: %v", auto, err)
		}
		if auto && (f.Spec.Engine != variant.CPU || len(f.Warnings) == 0 || f.Verdict != result.BitsHeal) {
			t.Errorf("%s, %s, %q", f.Spec.Engine, f.Verdict, f.Warnings)
		}
	}
}

func TestABenchmarkScalesThePrices(t *testing.T) {
	t.Parallel()
	f, n, err := explored(t, func(_ *network, e *Exploration) { e.Found.Spec.Measured = 250 })
	if err != nil || n.scale != 2.5 || f.PriceUnit != result.MeasuredUnit || f.Points[f.Start].Price.V != 250 {
		t.Errorf("%v: %g, %s", err, n.scale, f.PriceUnit)
	}
}

func TestAShortBudgetAsksForNoOtherForms(t *testing.T) {
	t.Parallel()
	_, n, err := explored(t, func(_ *network, e *Exploration) { e.Policy.Shares.LeastChange = 2 * time.Hour })
	if err != nil || slices.Contains(n.told, "rewrite") {
		t.Errorf("%v %v", n.told, err)
	}
}
