package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestAnExplorationIsDrawn(t *testing.T) {
	t.Parallel()
	x := &result.Explored{
		Story: []string{"it loses"}, Limits: []string{"the weights"}, Column: result.Column{Key: "mAP"}, Float: result.Scored{All: metric.Defined(0.4)}, PriceUnit: result.CyclesUnit, Best: 1, Budget: true, Resumed: 3, Tries: 9,
		Points: []result.ExplorePoint{
			{Title: "the recipe", Tensors: 10, Scored: result.Scored{All: metric.Defined(0.2), Share: metric.Defined(0.5)}, Price: metric.Defined(1000), OnFront: true},
			{
				Title: "one wide", Tensors: 10, Wide: 1, Scored: result.Scored{All: metric.Defined(0.38), Share: metric.Defined(0.95), HeldShare: metric.Defined(0.94), Spread: metric.Defined(0.01)}, Price: metric.Defined(1500), OnFront: true,
				Changed: []result.ChangedLayer{{Tensor: "t3", Choice: variant.Choice{Bits: 16}}, {Tensor: "t20", Choice: variant.Choice{Calibrator: variant.Percentile, Percentile: 99.9}}}, Cycles: &result.EstimatedPrice{Converts: 2},
			},
			{Title: "dominated", Tensors: 10, Scored: result.Scored{All: metric.Defined(0.1)}},
		},
		Origins: []result.Origin{
			{Kind: "recipe", Name: "w8a8", Score: metric.Defined(0.2), Share: metric.Defined(0.5)}, {Kind: "rewrite", Name: "optimize", Score: metric.Defined(0.3), Share: metric.Defined(0.75), Price: metric.Defined(700), Note: "1 places rewritten"},
		},
		Unencoded: []string{"u0", "u1", "u2", "u3", "u4", "u5", "u6"}, Files: []string{"f0", "f1"}, Commands: []string{"c0"}, Warnings: []string{"few pictures"},
	}
	for i := range 25 {
		x.Layers = append(x.Layers, result.Sensitivity{Tensor: fmt.Sprintf("t%d", i), Op: "Conv", SQNR: metric.Defined(float64(10 + i)), Cycles: metric.Defined(2000)})
	}
	x.Layers[0].SQNR = metric.Value{} // not measured: not among the worst
	var b bytes.Buffer
	Explored(&b, x)
	text := b.String()
	for _, want := range []string{
		"it loses", "limit        the weights", "90.0 %", "95.0 %", "94.0 %", "1.0 %", "1,500", "16 bits", "percentile:99.9", "optimize: 1 places rewritten", "700", "simulated on the CPU", "3 of them known from before",
		"the budget of 0 s was spent", "and 2 more", "f1", "use it       c0", "few pictures",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	_, table, _ := strings.Cut(text, "what hurts most")
	for tensor, drawn := range map[string]bool{"t1": true, "t8": true, "t9": false, "t20": true, "t0": false} { // the eight worst, and what changes
		if strings.Contains(table, " "+tensor+" ") != drawn {
			t.Errorf("%s is in the table of layers: %v\n%s", tensor, !drawn, table)
		}
	}
	for mark, title := range map[string]string{"→": "one wide", "·": "dominated"} {
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, mark) && strings.Contains(line, title) }) {
			t.Errorf("%s does not stand before %s:\n%s", mark, title, text)
		}
	}
}

func TestWhatAQuantizerBecomes(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]variant.Choice{
		"": {}, "16 bits": {Bits: 16}, "fp16": {Float: true}, "8 bits, percentile:99.99": {Bits: 8, Calibrator: variant.Percentile, Percentile: 99.99}, "mse": {Calibrator: variant.MSE},
	} {
		if got := choiceText(c); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

func TestTriedInputsAreDrawn(t *testing.T) {
	t.Parallel()
	input := func(colour string) dataset.Description { d := dataset.Default(); d.InputColor = colour; return d }
	for name, row := range map[string]struct {
		tried []result.Tried
		says  string
	}{
		"another one fits": {[]result.Tried{{Input: input("bgr"), Flags: "--input-color bgr", Score: metric.Defined(0.5)}, {Input: input("rgb"), Score: metric.Defined(0.1), Asked: true}}, "0.5000 with --input-color bgr, 0.1000 as given"},
		"as given":         {[]result.Tried{{Input: input("rgb"), Score: metric.Defined(0.5), Asked: true}, {Input: input("bgr"), Failed: "no memory"}}, "is described well"},
		"none":             {[]result.Tried{{Input: input("rgb"), Asked: true, Failed: "no memory"}}, "No description"},
	} {
		var b bytes.Buffer
		Tried(&b, &result.TriedInputs{Column: result.Column{Key: "mAP"}, Pictures: 4, Tried: row.tried})
		failed := slices.ContainsFunc(row.tried, func(one result.Tried) bool { return one.Failed != "" })
		if !strings.Contains(b.String(), row.says) || strings.Contains(b.String(), "no memory") != failed {
			t.Errorf("%s:\n%s", name, b.String())
		}
	}
}

func TestLayersAcrossAWorkspaceAreDrawn(t *testing.T) {
	t.Parallel()
	narrow, wide := &inspect.Encoding{Bits: 8, Min: 0, Max: 10}, &inspect.Encoding{Bits: 16, Min: -1, Max: 20}
	a := &inspect.Across{
		Sources: []string{"w8a8", "m.dlc"}, Under: 20, OperatorShare: metric.Defined(0.4), Operators: []inspect.OperatorRow{{Op: "Conv", Count: 2, Mean: 12, Worst: 9}},
		Layers: []inspect.AcrossLayer{
			{Name: "conv", Op: "Conv", Depth: 1, Problems: 1, Measured: 1, Spread: metric.Defined(2.1), Worst: metric.Defined(9), Places: []inspect.Place{
				{Source: 0, Tensor: "c", Encoding: narrow, Error: metric.Defined(9), Alone: true}, {Source: 1, Tensor: "c_q", Encoding: wide}, {Source: 1, Tensor: "c_r", Encoding: wide}, {Source: 1, Tensor: "c_s"},
			}},
			{Name: "second", Op: "Mul", Depth: 2}, {Name: "third", Op: "Mul", Depth: 3},
		},
		Correlations: []inspect.Correlation{{With: "range", Rho: metric.Defined(-0.5), Count: 7}, {With: "kurtosis"}},
	}
	var b bytes.Buffer
	Across(&b, a, 2)
	for _, want := range []string{"3 layers in 2 variants", "1 of 1", "2.100×", "8 bit 0…10, 16 bit -1…20", "and 1 more: --limit", "range -0.50 (7)", "40 %", "Conv 12.00 dB (2, worst 9.000)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "third") || strings.Contains(b.String(), "kurtosis") {
		t.Error(b.String())
	}
	b.Reset()
	AcrossLayer(&b, a, &a.Layers[0])
	if strings.Count(b.String(), "not measured") != 3 || strings.Count(b.String(), "yes") != 1 || !strings.Contains(b.String(), "m.dlc") {
		t.Error(b.String())
	}
}

func TestADLCAsTheSeedDescribesIt(t *testing.T) {
	t.Parallel()
	const fixed8, float dlc.DType = 0x408, 0x232
	f := dlc.Described("DLC 4.0", dlc.Metadata{}, []dlc.Graph{{
		Nodes: []dlc.Node{{Name: "n", Type: "Conv2d", Outputs: []string{"/a/Conv_output_0", "gone"}}, {Name: "m", Type: "Relu", Outputs: []string{"y", "z"}}},
		Tensors: []dlc.Tensor{
			{Name: "x", Location: dlc.Input, Shape: []int{1, 240, 3, 320}}, {Name: "/a/Conv_output_0", Shape: []int{1, 2, 3, 4}},
			{Name: "z", Location: dlc.Output, Shape: []int{1, 7}, DType: float}, {Name: "y", Location: dlc.Output, Shape: []int{1, 5}, DType: fixed8, Encoding: dlc.NewEncoding(fixed8, 8, -1, []float32{0.5}, []int32{-3})},
		},
	}}, nil)
	info := Seed(f, "m", 123.456)
	if info.ModelH != 240 || info.ModelW != 320 || !slices.Equal(info.OutputNames, []string{"y", "z"}) || info.FPS != 123.46 || info.PerLayerAnalysis != "models_dlc/m/layer_stats.csv" {
		t.Errorf("%+v", info)
	}
	if y := info.DequantizeInfo["y"]; y.BitWidth != 8 || y.Scale != 0.5 || y.Offset != -3 || y.Min != -1.5 || y.Max != 126 || y.Type != "uFxp_8" {
		t.Errorf("%+v", y)
	}
	if z := info.DequantizeInfo["z"]; z.Scale != 1 || z.Offset != 0 || z.BitWidth != 32 {
		t.Errorf("an output of float: %+v", z)
	}
	for v, want := range map[float64]string{1000: "1000.0", -157: "-157.0", 0.25: "0.25", -1: "-1.0", math.Inf(1): "null", 1e20: "1e+20"} {
		if got, err := json.Marshal(SeedFloat(v)); err != nil || string(got) != want {
			t.Errorf("%g is written %s, want %s: %v", v, got, want, err)
		}
	}
	for _, row := range []struct {
		shape []int
		h, w  int
	}{{[]int{1, 8, 9, 3}, 8, 9}, {[]int{1, 3, 8, 9}, 8, 9}, {[]int{1, 8, 3, 9}, 8, 9}, {[]int{1, 8, 9, 7}, 8, 9}, {[]int{1, 5, 6}, 5, 6}, {[]int{1, 5}, 0, 0}} {
		if h, w := pictureSize(row.shape); h != row.h || w != row.w {
			t.Errorf("%v: %d by %d", row.shape, h, w)
		}
	}
	shapes, err := GraphConfig(&f.Graphs[0])
	if err != nil || len(shapes) != 3 || !slices.Equal(shapes["a_Conv"], []int{1, 2, 3, 4}) {
		t.Errorf("%v %v", shapes, err)
	}
	twice := dlc.Described("", dlc.Metadata{}, []dlc.Graph{{
		Nodes: []dlc.Node{{Outputs: []string{"/a/Conv_output_0", "a_Conv"}}}, Tensors: []dlc.Tensor{{Name: "/a/Conv_output_0"}, {Name: "a_Conv"}},
	}}, nil)
	if shapes, err := GraphConfig(&twice.Graphs[0]); err == nil {
		t.Errorf("two tensors of one name: %v", shapes)
	}
}
