package result

import (
	"slices"
	"time"

	"quantcheck/internal/metric"
)

// Step is a part of a benchmark that can be run alone.
type Step string

// The steps, in their order.
const (
	StepLayers     Step = "layers"     // every layer's output against the float model's
	StepThroughput Step = "throughput" // inferences per second
	StepCycles     Step = "cycles"     // the profile, layer by layer
	StepInfo       Step = "info"       // what the DLC says of itself
)

// Steps are all of them.
var Steps = []Step{StepLayers, StepThroughput, StepCycles, StepInfo}

// Benchmark is a DLC on a device: models_dlc/<name>/benchmark.json. Parts that were not measured are nil.
type Benchmark struct {
	Name      string             `json:"name"`
	DLC       string             `json:"dlc"`
	DLCSHA256 string             `json:"dlc_sha256"`
	Model     string             `json:"model"` // the float ONNX
	Device    string             `json:"device"`
	SNPE      string             `json:"snpe,omitempty"` // version, as the tools say
	Tool      string             `json:"tool"`
	Steps     map[Step]*StepDone `json:"steps"`

	Layers     *DeviceLayers     `json:"layers,omitempty"`
	Throughput *DeviceThroughput `json:"throughput,omitempty"`
	Cycles     *DeviceCycles     `json:"cycles,omitempty"`
	Conditions []Condition       `json:"conditions,omitempty"`
}

// Finished is when its last step was; the zero time if none is.
func (b *Benchmark) Finished() time.Time {
	var last time.Time
	for _, d := range b.Steps {
		if d != nil && d.Finished.After(last) {
			last = d.Finished
		}
	}
	return last
}

// StepDone is a step that was finished.
type StepDone struct {
	// Key is a hash of what the step depends on: with another one it is run again.
	Key         string    `json:"key"`
	Finished    time.Time `json:"finished"`
	Seconds     float64   `json:"seconds"`
	ToolSeconds float64   `json:"tool_seconds"` // of these, while SNPE's tools ran
	Notes       []string  `json:"notes,omitempty"`
}

// DeviceLayers is the comparison with the float model in short; all of it is the run's.
type DeviceLayers struct {
	Images  int           `json:"images"`
	Variant string        `json:"variant"`       // of the run, whose tensors the device made
	Against string        `json:"against"`       // the variant that it is held against beside the float model: the emulator's; "": none
	Parts   string        `json:"parts"`         // first layer where the two are more than a step apart; "": none, or nothing to hold it against
	From    string        `json:"noise_from"`    // the variant whose layers were quantized alone; "": none
	Under   float64       `json:"diverge_under"` // dB
	Rows    []DeviceLayer `json:"rows"`
}

// DeviceLayer is a layer of the float model on the device.
type DeviceLayer struct {
	Name   string       `json:"name"`
	Op     string       `json:"op"`
	Tensor string       `json:"tensor"` // of the DLC
	Node   string       `json:"node"`   // of the DLC
	SQNR   metric.Value `json:"sqnr"`   // device against float, mean over the images, dB
	CosSim metric.Value `json:"cosine"`
	// Apart is the share of the values that are more than a step away from the emulator's, TwinSQNR how far apart they are in
	// dB; no values without an emulator.
	Apart    metric.Value `json:"apart"`
	TwinSQNR metric.Value `json:"twin_sqnr"`
	// Share is the layer's part of the noise that all layers make alone, in the simulation; no value where that was not measured.
	Share metric.Value `json:"share"`
}

// DeviceThroughput is how many inferences a second the device made, in each repeat.
type DeviceThroughput struct {
	Runtime   string    `json:"runtime"`
	Profile   string    `json:"perf_profile"`
	Duration  int       `json:"duration_s"`
	PerSecond []float64 `json:"per_second"`
}

// Median of the repeats, with the least and the greatest.
func (t *DeviceThroughput) Median() (median, least, greatest float64) {
	sorted := slices.Sorted(slices.Values(t.PerSecond))
	n := len(sorted)
	if n == 0 {
		return 0, 0, 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]
}

// DeviceCycles is the profile of native inferences.
type DeviceCycles struct {
	Inferences int          `json:"inferences"`
	Profile    string       `json:"perf_profile"`
	Layers     []LayerCycle `json:"layers"`
	Globals    []Statistic  `json:"globals"`
	// Estimated are the cycles that the HTP compiler expects of the DLC's nodes, by their names; nil: there is no estimate.
	Estimated map[string]float64 `json:"estimated,omitempty"`
	SoC       string             `json:"estimated_on,omitempty"`
}

// Statistic is a number of the whole run.
type Statistic struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// Condition is what the device was like at a time. What it does not offer is nil.
type Condition struct {
	Step   Step     `json:"step"`
	At     float64  `json:"at_s"` // since the first one
	Power  *float64 `json:"power_w,omitempty"`
	Hot    *float64 `json:"temperature_c,omitempty"` // of its hottest zone
	Memory *float64 `json:"memory_used_mib,omitempty"`
	CPU    *float64 `json:"cpu_load,omitempty"` // 0 to 1, of all cores
	DSP    *float64 `json:"dsp_load,omitempty"` // 0 to 1
}
