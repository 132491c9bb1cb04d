package web

import (
	"fmt"
	"slices"
	"testing"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
	spec "quantcheck/internal/variant"
)

func TestAnEstimateIsJoinedWithTheChecksOfItsModel(t *testing.T) {
	t.Parallel()
	check := func(model string, variants ...string) *result.Run {
		r := &result.Run{Name: model}
		for _, v := range variants {
			r.Variants = append(r.Variants, result.Variant{Spec: spec.Spec{Name: v}})
		}
		return r
	}
	of := func(model, form string) *result.Estimated {
		return &result.Estimated{Name: model, Variant: form, Estimate: &htpcost.Estimate{}}
	}
	for name, row := range map[string]struct {
		runs      []*result.Run
		estimates []*result.Estimated
		want      []string // run, variant, estimate
	}{
		"the same name":            {[]*result.Run{check("a", "w8a8", "w8a16")}, []*result.Estimated{of("a", "w8a16"), of("a", "w8a8")}, []string{"0 1 0", "0 0 1"}},
		"on the emulator":          {[]*result.Run{check("a", "w8a8@htp", "fp16")}, []*result.Estimated{of("a", "w8a8")}, []string{"0 0 0"}},
		"another model":            {[]*result.Run{check("b", "w8a8")}, []*result.Estimated{of("a", "w8a8")}, nil},
		"the only one":             {[]*result.Run{check("a", "w8a8", "fp16")}, []*result.Estimated{of("a", "a.dlc"), of("b", "w8a8")}, []string{"0 0 0", "0 1 0"}},
		"the only one, two times":  {[]*result.Run{check("a", "w8a8")}, []*result.Estimated{of("a", "a.dlc"), of("a", "a.dlc")}, []string{"0 0 0", "0 0 1"}},
		"one of two, none of them": {[]*result.Run{check("a", "w8a8")}, []*result.Estimated{of("a", "a.dlc"), of("a", "fp16")}, nil},
		"two runs":                 {[]*result.Run{check("a", "w8a8"), check("b", "w8a8"), check("a", "x", "w8a8")}, []*result.Estimated{of("a", "w8a8")}, []string{"0 0 0", "2 1 0"}},
		"nothing":                  {nil, nil, nil},
	} {
		var got []string
		for _, x := range join(row.runs, row.estimates) {
			got = append(got, fmt.Sprint(x.Run, x.Variant, x.Estimate))
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestLayersAreFoundByWhatConvertersCallThem(t *testing.T) {
	t.Parallel()
	run := []result.Layer{{Name: "/conv1/Conv_output_0", Node: "/conv1/Conv"}, {Name: "/act/Mul_output_0", Node: "/act/Mul"}, {Name: "y_Softmax", Node: "last"}, {Name: "second", Node: "last"}, {Name: "", Node: ""}}
	for name, want := range map[string]int{
		"/conv1/Conv": 0, "/conv1/Conv_token_3": 0, "/conv1/Conv_output_0": 0, "/conv1/Conv_output_0_Conv": 0, "/conv1/Conv_output_0_Conv_token_1": 0,
		"/act/Mul_output_0_Mul": 1, "y_Softmax": 2, "last": 2, "second": 3, "Transpose_token_46": -1, "": -1, "_": -1, "Conv": -1, "/conv1/Conv_output_0_a_b": -1,
	} {
		if got := sameLayers([]htpcost.Layer{{Kind: htpcost.Operator, Name: name}}, run); got[0] != want {
			t.Errorf("%q: %d, want %d", name, got[0], want)
		}
	}
	if got := sameLayers([]htpcost.Layer{{Kind: htpcost.Output, Name: "last"}}, run); got[0] != -1 {
		t.Errorf("the output's row is layer %d", got[0])
	}
}
