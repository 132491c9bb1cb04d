package quantizers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"quantcheck/internal/explore/alone"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// told answers all questions of a describer with figures.
type told struct {
	problem, fails error // of the quantizers alone
	layers         error
	price          error
	emulated       bool // was asked for
}

func (a *told) Ask(_ context.Context, recipe variant.Spec, _ float64) (*alone.Answers, error, error) {
	if recipe.Engine != variant.CPU {
		return nil, nil, errors.New("quantizers alone are asked of the simulation")
	}
	if a.problem != nil {
		return &alone.Answers{Quantizers: make([]metric.Value, 2)}, a.problem, nil
	}
	return &alone.Answers{Quantizers: []metric.Value{metric.Defined(30), metric.Defined(10)}, Weights: map[string]metric.Value{"b": metric.Defined(5)}}, nil, a.fails
}

func (a *told) Of(_ context.Context, _ variant.Spec, _ int, emulated bool) (*result.Run, error) {
	a.emulated = emulated
	layer := func() []result.LayerResult {
		l := result.LayerResult{Local: &result.Local{}, IsolatedEmulationError: &result.EmulationError{}}
		l.Summary[metric.SQNR].Mean = metric.Defined(20)
		l.Local.Full.Summary[metric.SQNR].Mean = metric.Defined(40)
		l.IsolatedEmulationError.Summary[metric.SQNR].Mean = metric.Defined(50)
		return []result.LayerResult{l}
	}
	run := &result.Run{Variants: []result.Variant{{Layers: layer()}}}
	if emulated {
		run.Variants = append(run.Variants, result.Variant{Layers: layer()})
	}
	return run, a.layers
}

func (a *told) Price(context.Context, candidate.Candidate) (*candidate.Price, error) {
	return &candidate.Price{Layers: map[string]float64{"conv": 700}}, a.price
}

func TestQuantizersAreDescribedByWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	list := []candidate.Quantizer{{Tensors: []string{"a"}, Layer: -1, Op: "input"}, {Tensors: []string{"b", "b2"}, Layer: 0, Op: "Conv", Node: "conv"}}
	v := metric.Defined
	none := metric.Value{}
	for name, row := range map[string]struct {
		told     told
		emulated bool
		want     result.Sensitivity // of the second one
		warnings int
	}{
		"all is known":            {told{}, true, result.Sensitivity{SQNR: v(10), Weights: v(5), Accumulated: v(20), Local: v(40), Apart: v(50), Cycles: v(700)}, 0},
		"the simulation decides":  {told{}, false, result.Sensitivity{SQNR: v(10), Weights: v(5), Accumulated: v(20), Local: v(40), Cycles: v(700)}, 0},
		"without layers":          {told{layers: errors.New("no")}, true, result.Sensitivity{SQNR: v(10), Weights: v(5), Cycles: v(700)}, 1},
		"without prices":          {told{price: errors.New("no")}, true, result.Sensitivity{SQNR: v(10), Weights: v(5), Accumulated: v(20), Local: v(40), Apart: v(50)}, 0},
		"without quantizers":      {told{problem: errors.New("no")}, false, result.Sensitivity{SQNR: none, Accumulated: v(20), Local: v(40), Cycles: v(700)}, 1},
		"without any of the both": {told{problem: errors.New("no"), layers: errors.New("no")}, false, result.Sensitivity{Cycles: v(700)}, 2},
	} {
		var warnings []string
		d := &Describer{Alone: &row.told, Errors: &row.told, Prices: &row.told, Warn: func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }}
		recipe := variant.Usual()
		recipe.Engine = variant.HTP
		got, err := d.Describe(t.Context(), recipe, list, 0, row.emulated)
		if err != nil || len(got) != 2 || len(warnings) != row.warnings || row.told.emulated != row.emulated {
			t.Fatalf("%s: %+v %v, warnings %q", name, got, err, warnings)
		}
		row.want.Tensor, row.want.Tensors, row.want.Op, row.want.Bits = "b", 2, "Conv", 8
		if got[1] != row.want {
			t.Errorf("%s:\n%+v, want\n%+v", name, got[1], row.want)
		}
		if got[0].Op != "input" || got[0].Accumulated.OK || got[0].Cycles.OK {
			t.Errorf("%s: an input: %+v", name, got[0])
		}
	}
	d := &Describer{Alone: &told{fails: errors.New("broken")}}
	if _, err := d.Describe(t.Context(), variant.Usual(), list, 0, false); err == nil {
		t.Error("an error is lost")
	}
}
