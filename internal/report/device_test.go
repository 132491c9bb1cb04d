package report

import (
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// measured is a profile of two operators, one of which makes a layer, in a unit.
func measured(unit string) *result.Benchmark {
	return &result.Benchmark{
		Layers: &result.DeviceLayers{Images: 2, Against: "emulated@htp", Under: 20, Rows: []result.DeviceLayer{
			{Name: "y", Op: "Conv", Tensor: "y_q", Node: "conv", SQNR: metric.Defined(10), Apart: metric.Defined(0.25), TwinSQNR: metric.Defined(12)},
			{Name: strings.Repeat("z", 3000), Op: "Relu", SQNR: metric.Defined(30), TwinSQNR: metric.Defined(15)},
		}},
		Cycles: &result.DeviceCycles{Inferences: 2, SoC: "rvc4", Estimated: map[string]float64{"conv": 50, "Input": 10}, Layers: []result.LayerCycle{
			{Name: "Input", Mean: 20, Share: 0.2, Unit: unit}, {Name: "conv", Mean: 80, Share: 0.8, Unit: unit},
		}},
	}
}

func TestAnEstimateStandsBesideCyclesOnly(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ unit, says string }{
		{"CYCLES", "100 cycles over 2 operators, mean of 2 inferences; 1.667 times the estimate for rvc4"},
		{"", "100 cycles over 2 operators, mean of 2 inferences; 1.667 times the estimate for rvc4"},
		{"MICROSEC", "100 microsec over 2 operators, mean of 2 inferences; the estimate, in cycles, cannot be held against this unit"},
	} {
		b := measured(row.unit)
		rows := DeviceRows(b)
		if got := CyclesText(b.Cycles, rows); got != row.says {
			t.Errorf("%q: %s", row.unit, got)
		}
		if has := rows[1].Estimated != nil; has != inCycles(row.unit) {
			t.Errorf("%q: an estimate: %v", row.unit, has)
		}
	}
}

func TestWhatADeviceIsSaidToDo(t *testing.T) {
	t.Parallel()
	b := measured("CYCLES")
	b.Layers.Parts = b.Layers.Rows[0].Name
	if got := Parting(b); got != "DEVICE AND EMULATED@HTP PART at y (Conv, number 1 of 2): 25 % of its values are more than one step of the encoding apart, the two are 12.00 dB apart there and 15.00 dB at the last layer." {
		t.Error(got)
	}
	b.Layers.Parts = b.Layers.Rows[1].Name
	if got := Parting(b); len(got) > 500 || !strings.Contains(got, "zz…zz") {
		t.Errorf("a name without end: %s", got)
	}
	if got := StepsText(b); got != "" {
		t.Errorf("without steps: %s", got)
	}
	b.Steps = map[result.Step]*result.StepDone{result.StepCycles: {Seconds: 3, ToolSeconds: 2.04}, result.StepLayers: {Seconds: 10, ToolSeconds: 8}, result.StepInfo: nil}
	if got := StepsText(b); got != "The steps took 13.0 s, of which SNPE's tools ran 10.0 s (layers 8.0 of 10.0 s, cycles 2.0 of 3.0 s)" {
		t.Error(got)
	}
	if got := SplitText(b.Cycles); got != "" {
		t.Errorf("without statistics: %s", got)
	}
	b.Cycles.Globals = []result.Statistic{{Name: inferenceTime, Unit: "US", Value: 400}, {Name: acceleratorTime, Unit: "US", Value: 300}, {Name: inferenceTime, Unit: "US", Value: 600}, {Name: startTime, Unit: "US", Value: 12_000}}
	if got := SplitText(b.Cycles); got != "An inference takes 500 µs, of which the accelerator computes for 300 µs (60 %); the start takes 12.0 ms" {
		t.Error(got)
	}
	if got := ThroughputText(&result.DeviceThroughput{Runtime: "dsp", Profile: "burst", Duration: 6, PerSecond: []float64{90, 110, 100}}); got != "100.00 inferences a second on the DSP (burst, 6 s); median of 3, 90.00 to 110.00" {
		t.Error(got)
	}
}
