package verdict

import (
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestEngineErrorsAreToldFromQuantization(t *testing.T) {
	t.Parallel()
	// of is a variant of one layer, which has that SQNR alone and whose values reach that far.
	of := func(name string, counterpart int, sqnr, most float64) result.Variant {
		s, err := variant.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		l := result.LayerResult{Status: result.Compared, Histogram: &result.Histogram{Max: most}, Local: &result.Local{}}
		l.Local.Full.Summary[metric.SQNR].Mean = metric.Defined(sqnr)
		return result.Variant{Spec: s, Layers: []result.LayerResult{l}, Counterpart: counterpart}
	}
	for name, row := range map[string]struct {
		variants []result.Variant
		of       int
		found    bool
		sim      int
		half     int
	}{
		"the simulation is right":               {[]result.Variant{of("w8a8", -1, 36, 1), of("w8a8@htp", 0, -3, 1)}, 1, true, 0, -1},
		"half precision is as wrong":            {[]result.Variant{of("w8a8@htp", -1, -3, 1), of("fp16@htp", -1, -3, 1)}, 0, true, -1, 1},
		"both":                                  {[]result.Variant{of("w8a8", -1, 36, 1), of("w8a8@htp", 0, -3, 1), of("fp16@htp", -1, -3, 1)}, 1, true, 0, 2},
		"half precision itself":                 {[]result.Variant{of("fp16@htp", -1, -3, 1)}, 0, true, -1, 0},
		"the simulation is as bad":              {[]result.Variant{of("w4a8", -1, 9, 1), of("w4a8@htp", 0, 8, 1)}, 1, false, 0, 0},
		"as bad, and half precision overflows":  {[]result.Variant{of("fp16", -1, 3, 1e5), of("fp16@htp", 0, 3, 1e5)}, 1, false, 0, 0},
		"half precision alone overflows":        {[]result.Variant{of("fp16@htp", -1, 3, 1e5)}, 0, false, 0, 0},
		"half precision alone vanishes":         {[]result.Variant{of("fp16@htp", -1, 3, 1e-6)}, 0, false, 0, 0},
		"a little worse than the simulation":    {[]result.Variant{of("w8a8", -1, 25, 1), of("w8a8@htp", 0, 15, 1)}, 1, false, 0, 0},
		"few bits, half precision is right":     {[]result.Variant{of("w4a8@htp", -1, 8, 1), of("fp16@htp", -1, 60, 1)}, 0, false, 0, 0},
		"a simulation is never an engine error": {[]result.Variant{of("w4a8", -1, -3, 1)}, 0, false, 0, 0},
	} {
		run := &result.Run{Layers: []result.Layer{{Name: "y"}}, Variants: row.variants}
		list := EngineErrors(run, &run.Variants[row.of])
		if len(list) > 0 != row.found || row.found && (list[0].Simulation != row.sim || list[0].Half != row.half) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}
