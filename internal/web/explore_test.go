package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
)

// inventExploration makes an exploration with names that mean harm.
func inventExploration() *result.Explored {
	v := metric.Defined
	recipe := variant.Spec{Name: "w8a8", Kind: variant.Recipe, WeightBits: 8, ActBits: 8, PerChannel: true, Calibrator: variant.TF, BiasBits: 32}
	x := &result.Explored{
		ID: 3, Name: "invented" + hostile, Started: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC), Spec: result.ExploreSpec{Scoring: result.Scoring{Task: result.Detection}, Target: 0.99, Engine: variant.HTP},
		Task: result.Detection, Recipe: recipe,
		Column: result.Column{Key: "mAP", Higher: true}, Classes: []string{"cat", "dog" + hostile, "none"}, Float: result.Scored{All: v(0.5), ByClass: []metric.Value{v(0.6), v(0.4), {}}},
		PriceUnit: result.CyclesUnit, Verdict: result.BitsHeal, Best: 1, Reached: true, Limits: []string{"a limit " + hostile}, Story: []string{"First " + hostile, "Second.", "Third."},
		Files: []string{hostile}, Commands: []string{"snpe-dlc-quant " + hostile}, Warnings: []string{"a warning"}, Model: result.Model{Path: hostile},
		Origins: []result.Origin{{Kind: "recipe", Name: "w8a8", Share: v(0.4)}, {Kind: "calibrator", Name: "mse" + hostile, Share: v(0.7)}, {Kind: "part", Name: "weights only"}},
	}
	point := func(title string, share, price float64, changed ...result.ChangedLayer) result.ExplorePoint {
		return result.ExplorePoint{
			Title: title, Recipe: recipe, Changed: changed, Wide: len(changed), Tensors: 40, Price: v(price), OnFront: true,
			Scored: result.Scored{All: v(share / 2), Share: v(share), HeldShare: v(share - 0.01), Spread: v(0.02), ByClass: []metric.Value{v(0.5), v(0.45), {}}},
		}
	}
	x.Points = []result.ExplorePoint{
		point("the recipe as it is", 0.4, 1e6),
		point("2 of 40 quantizers at 16 bits", 0.995, 1.2e6, result.ChangedLayer{Tensor: "t7", Also: []string{"t7b"}, Layer: 7, Choice: variant.Choice{Bits: 16}},
			result.ChangedLayer{Tensor: hostile, Layer: 3, Choice: variant.Choice{Calibrator: variant.Percentile, Percentile: 99.9}}),
		point("without a price"+hostile, 1.01, 2e6),
	}
	x.Points[2].Price, x.Points[2].OnFront = metric.Value{}, false
	for i := range 40 {
		l := result.Sensitivity{Tensor: fmt.Sprintf("t%d", i), Tensors: 1 + i%2, Op: "Conv", SQNR: v(20 + float64(i)), Local: v(30), Cycles: v(float64(100 * i)), Bits: 8}
		if i == 3 {
			l.Tensor, l.Accumulated = hostile, metric.Value{}
		}
		x.Layers = append(x.Layers, l)
	}
	return x
}

func TestTheExplorationShownIsTheFrontAndWhatItChanges(t *testing.T) {
	eval := browse(t, buildContent(t, web.Content{Explorations: []*result.Explored{inventExploration()}}), 1300)
	text := func(selector string) string {
		return fmt.Sprint(eval(`return document.querySelector('` + selector + `').textContent`))
	}
	if got := text("#explore-verdict"); !strings.HasPrefix(got, "First ") {
		t.Errorf("the story begins with %q", got)
	}
	if n := eval(`return document.querySelectorAll('#front circle').length`); n != 2.0 {
		t.Errorf("%v points are drawn, two have a price", n)
	}
	if got := text("#point"); !strings.Contains(got, "99.5 %") || !strings.Contains(got, "38 of 40") || !strings.Contains(got, "percentile:99.9") || !strings.Contains(got, "snpe-dlc-quant") {
		t.Errorf("the recommended point says %q", got)
	}
	if got := eval(`return document.querySelectorAll('#sense tr.chosen').length`); got != 2.0 {
		t.Errorf("%v quantizers are marked as changed, not 2", got)
	}
	if got := fmt.Sprint(eval(`return [...document.querySelectorAll('#sense tr.chosen')].map((r) => [...r.cells].slice(-2).map((c) => c.textContent).join(' ')).join('|')`)); got != "8 percentile:99.9|16 16 bits" {
		t.Errorf("the changed quantizers have %q", got)
	}
	if got := text("#explore-classes"); !strings.Contains(got, "cat") || strings.Contains(got, "none") {
		t.Errorf("classes: %q", got)
	}
	if got := eval(`return document.querySelectorAll('#origins tbody tr').length`); got != 2.0 {
		t.Errorf("%v origins have a score, not 2", got)
	}
	// A click on another point shows its own layers and scores.
	eval(`document.querySelector('#front circle').dispatchEvent(new MouseEvent('click', { bubbles: true }))`)
	if got := text("#point"); !strings.Contains(got, "the recipe as it is") || strings.Contains(got, "snpe-dlc-quant") {
		t.Errorf("the first point says %q", got)
	}
	eval(`const s = document.querySelector('#sense-order'); s.value = 'cycles'; s.dispatchEvent(new Event('change'))`)
	if got := text("#sense tbody tr td"); !strings.HasPrefix(got, "t39") {
		t.Errorf("the first by cycles is %q", got)
	}
	pressAll(t, eval)
	nothingWrong(t, eval)
}

func TestExplorationsThatLackSomething(t *testing.T) {
	t.Parallel()
	bare := &result.Explored{Name: "bare", Best: -1, Verdict: result.NotSearched, Points: []result.ExplorePoint{{Title: "the recipe as it is"}}}
	eval := browse(t, buildContent(t, web.Content{Explorations: []*result.Explored{inventExploration(), bare}}), 420)
	if got := fmt.Sprint(eval(`return document.body.textContent`)); !strings.Contains(got, "No point has a price") || !strings.Contains(got, "no classes") {
		t.Errorf("what is missing is not said: %s", got)
	}
	pressAll(t, eval)
	nothingWrong(t, eval)
}
