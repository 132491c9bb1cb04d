package workspace

import (
	"encoding/json"
	"reflect"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// What the column holds is read back as it was, older columns too, and what points beyond the run is refused.
func TestAStoredVerdict(t *testing.T) {
	t.Parallel()
	run := &result.Run{Layers: make([]result.Layer, 3), Samples: make([]result.Sample, 2)}
	whole := storedVerdict{&result.Verdict{Grade: result.Bad, Basis: result.BySignal},
		&result.NonFinite{Constants: []result.NonFiniteConstant{{Name: "w", NaN: 1, Elements: 4}}, Begins: []result.NonFiniteLayer{{Layer: 2, Sample: 1, NaN: 9}}, Samples: []int{1}},
		[]result.EngineError{{Layer: 1, SQNR: metric.Defined(3), Simulation: 0, SimulationSQNR: metric.Defined(50), Half: -1}}}
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	back := storedVerdict{Verdict: &result.Verdict{}}
	if err := json.Unmarshal(data, &back); err != nil || back.sound(run) != nil || !reflect.DeepEqual(back, whole) {
		t.Errorf("%s: %+v, %v, %v", data, back, err, back.sound(run))
	}
	for text, ok := range map[string]bool{
		`{"grade":"good","basis":"signal"}`:                                       true, // as older programs wrote it
		`{"grade":"bad","engine_errors":[{"layer":3,"simulation":-1,"half":-1}]}`: false,
		`{"grade":"bad","engine_errors":[{"layer":0,"simulation":-2,"half":-1}]}`: false,
		`{"grade":"bad","non_finite":{"samples":[2]}}`:                            false,
		`{"grade":"bad","non_finite":{"begins":[{"layer":0,"sample":-1}]}}`:       false,
		`{"grade":"bad","output_parts":[{"layer":3}]}`:                            false,
	} {
		one := storedVerdict{Verdict: &result.Verdict{}}
		if err := json.Unmarshal([]byte(text), &one); err != nil || (one.sound(run) == nil) != ok {
			t.Errorf("%s: %v, %v", text, err, one.sound(run))
		}
	}
}
