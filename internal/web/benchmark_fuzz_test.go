package web

import (
	"encoding/json"
	"testing"

	"quantcheck/internal/result"
)

// A benchmark.json may hold anything that is JSON: the page's data is made of it all the same, with columns of one length.
func FuzzABenchmarkBecomesThePagesData(f *testing.F) {
	f.Add(`{"steps":{"layers":null},"layers":{"against":"x","parts":"y","rows":[{"name":"y","twin_sqnr":"-inf"}]},"cycles":{"layers":[{"Mean":1e308},{"Mean":1e308}],"estimated":{"":1e-320}},"conditions":[{"step":"x","at_s":-1e308},{"step":"x","at_s":1e308,"power_w":1e308}]}`)
	f.Add(`{"throughput":{"per_second":[]},"cycles":{"layers":null},"layers":{"parts":"nowhere"},"conditions":[{}]}`)
	f.Add(`{"steps":{"throughput":{"finished":"2026-11-24T01:02:03Z","seconds":1e308},"cycles":{"seconds":-1}},"throughput":{"per_second":[1e308,-1,0]},"conditions":[{"step":"cycles","at_s":3},{"step":"throughput"},{"step":"cycles","at_s":1,"cpu_load":0.5}]}`)
	f.Add(`{"layers":{"rows":[{"name":"a","node":"n","share":0.5},{"name":"a","tensor":"n"}]},"cycles":{"layers":[{"Name":"n","Share":0.9,"Std":"inf","Unit":"CYCLES"}],"globals":[{"name":"Total Inference Time","unit":"US","value":1},{"name":"Accelerator (execute) time","unit":"us","value":2}],"estimated":{"n":0}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		b := &result.Benchmark{}
		if json.Unmarshal([]byte(text), b) != nil {
			return
		}
		d := describeBenchmark(b, nil)
		if _, err := json.Marshal(d); err != nil {
			t.Error(err)
		}
		l := d.Layers
		for _, n := range []int{len(l.Layer), len(l.Op), len(l.Cycles), len(l.Std), len(l.Share), len(l.Estimated), len(l.Times), len(l.SQNR), len(l.CosSim), len(l.Noise), len(l.Apart), len(l.Twin), len(l.Corner), len(d.InRun)} {
			if n != len(l.Name) {
				t.Errorf("a column of %d values beside %d names", n, len(l.Name))
			}
		}
		samples := 0
		for _, one := range d.Watched.Bands {
			samples += one.Samples
		}
		if samples != len(d.Watched.At) || samples != len(b.Conditions) {
			t.Errorf("%d samples in the steps, %d on the axis, of %d", samples, len(d.Watched.At), len(b.Conditions))
		}
	})
}
