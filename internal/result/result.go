// Package result is what a check found out, as plain data: reports draw it, workspaces store it, later commands read it.
package result

import (
	"fmt"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/variant"
)

// Run is one check: a float model and its variants on the same samples.
type Run struct {
	ID          int64         `json:"id,omitempty"` // in the workspace's database
	Command     string        `json:"command"`
	Name        string        `json:"name"`
	Started     time.Time     `json:"started"`
	Seconds     float64       `json:"seconds"`
	Spec        CheckSpec     `json:"spec"`
	Tool        string        `json:"tool"`        // version of quantcheck
	ONNXRuntime string        `json:"onnxruntime"` // version of the library
	Machine     hostinfo.Info `json:"machine"`
	Model       Model         `json:"model"`
	Samples     []Sample      `json:"samples"`
	Calibration []Sample      `json:"calibration"` // none if no variant needed it
	Layers      []Layer       `json:"layers"`      // every float tensor that a node makes, in graph order, and its kin of other types
	Variants    []Variant     `json:"variants"`
	Warnings    []string      `json:"warnings"`
	// NonFinite says where NaN and infinite values of the float model come from; nil: every sample could be compared.
	NonFinite *NonFinite `json:"non_finite,omitempty"`
}

// Model identifies the float model.
type Model struct {
	Path   string          `json:"path"`
	SHA256 string          `json:"sha256"`
	Opset  int64           `json:"opset"`
	Layout string          `json:"layout"` // in which pictures were put into it
	Inputs []dataset.Input `json:"inputs"`
}

// Sample is one set of inputs.
type Sample struct {
	Name   string `json:"name"`
	Path   string `json:"path"` // of the picture or the first file
	SHA256 string `json:"sha256"`
}

// Layer is a tensor that a node of the float model makes.
type Layer struct {
	Name   string  `json:"name"`  // the ONNX tensor
	Clean  string  `json:"clean"` // as the seed's files call it, made unique
	Node   string  `json:"node"`
	Op     string  `json:"op"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"` // −1: not known before the run
	Output bool    `json:"output"`
	Inputs []int   `json:"inputs"` // layers that it is computed from, over constants
}

// Status says what became of a layer in a variant.
type Status string

// The statuses. Only compared and not-quantized layers have numbers.
const (
	Compared      Status = "compared"
	Fused         Status = "fused"
	NotQuantized  Status = "not quantized"
	NotComparable Status = "not comparable"
)

// Variant is one quantized form of the model.
type Variant struct {
	Spec     variant.Spec      `json:"spec"`
	Layers   []LayerResult     `json:"layers"` // parallel to the run's layers
	Inputs   map[string]Coding `json:"inputs"` // encodings of the graph's inputs
	Params   []Param           `json:"params"` // encodings of weights and other constants
	Counts   map[Status]int    `json:"counts"`
	Diverges int               `json:"diverges"` // index of the first layer under the threshold, −1 if none is
	Failed   []string          `json:"failed,omitempty"`

	// Origin says whether the first diverging layer introduces its error; "" if none diverges or local errors were not measured.
	Origin ErrorOrigin `json:"birth,omitempty"`
	// InputChecks compare what the first operators get from the variant with the samples.
	InputChecks []InputCheck `json:"input_checks,omitempty"`
	// Verdict says what the variant is worth; nil in runs that are older than it.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Whole is, for each output layer, what quantizing only the weights or only the activations of the whole model costs.
	Whole []Whole `json:"whole,omitempty"`

	// Healing says what became of the weights of a recipe that was healed; nil for others.
	Healing *Healing `json:"healing,omitempty"`

	// Time is what the HTP compiler expects of it on the DSP; nil if that was not asked, or there is no estimate. Estimated is all of
	// it, for a run that was just made.
	Time      *Time      `json:"time,omitempty"`
	Estimated *Estimated `json:"-"`
	// Container says what was made of a DLC that the variant was run from; nil for others.
	Container *Container `json:"container,omitempty"`
	// Emulator says what emulated the variant; nil for a simulation on the CPU.
	Emulator *Emulator `json:"emulator,omitempty"`
	// Counterpart is the number of the variant that simulates on the CPU what this one emulates, or of the recipe that a DLC is held
	// against, −1 if there is none.
	Counterpart int `json:"twin"`
	// FirstMismatchLayer is the first layer where a value is more than one step of its encoding away from the counterpart's, −1 if none is.
	FirstMismatchLayer int `json:"parts"`
	// EngineErrors are the layers that the emulator computes wrongly, in graph order: that is not quantization.
	EngineErrors []EngineError `json:"engine_errors,omitempty"`
}

// EngineError is a layer that an engine computes wrongly, by its SQNR alone on float inputs, in dB. Simulation is the variant that
// computes the same encodings right on the CPU, Half the one that is as wrong in half precision on the same engine; −1: there is none.
type EngineError struct {
	Layer          int          `json:"layer"`
	SQNR           metric.Value `json:"sqnr"`
	Simulation     int          `json:"simulation"`
	SimulationSQNR metric.Value `json:"simulation_sqnr"`
	Half           int          `json:"half"`
	HalfSQNR       metric.Value `json:"half_sqnr"`
}

// Emulator is what a variant was emulated with.
type Emulator struct {
	Wheel  string   `json:"wheel"` // version of onnxruntime-qnn
	SoC    int      `json:"soc_model"`
	Arch   int      `json:"htp_arch"`
	Passes int      `json:"passes"`           // how often each sample ran: more than once if not all layers fit the memory bound
	Taps   string   `json:"taps"`             // whether exposing the layers changed the outputs, in words
	OnCPU  []string `json:"on_cpu,omitempty"` // layers whose operator the HTP refuses
}

// Container is a DLC held against the float model.
type Container struct {
	Format    string         `json:"format"`
	Graph     string         `json:"graph"`
	Converter string         `json:"converter_version,omitempty"`
	Rules     map[string]int `json:"rules"`   // how many layers were found by which rule
	Added     []Added        `json:"added"`   // tensors without a layer of their own
	Missing   []string       `json:"missing"` // layers without a tensor
}

// Added is a tensor of a DLC that the converter put in.
type Added struct {
	Tensor string `json:"tensor"`
	Of     string `json:"of,omitempty"` // the layer or input that it is a copy of
}

// EmulationError compares a layer's emulation with its simulation.
type EmulationError struct {
	Part
	// FractionOverOneStep is the share of the values that are more than one step of the encoding away, over all samples; no value
	// without an encoding.
	FractionOverOneStep metric.Value `json:"apart"`
}

// Histogram counts the values of a layer on one sample in equal bins, in the float model and in the variant.
type Histogram struct {
	Min     float64 `json:"min"` // of both tensors
	Max     float64 `json:"max"`
	Float   []int   `json:"float"`
	Variant []int   `json:"variant"`
	// Clipped is the share of the float values that lie outside of the encoding; no value without an encoding.
	Clipped metric.Value `json:"clipped"`
}

// Clipping is the share of a tensor's float values that lie outside of its encoding.
type Clipping struct {
	Share float64 `json:"share"` // mean over the samples, 0 to 1
	Most  float64 `json:"most"`  // of one sample
	Worst int     `json:"worst"` // that sample
}

// ErrorOrigin says where an error comes from.
type ErrorOrigin string

// The first diverging layer introduces the error, or propagates that of earlier layers, or the input differs already, or more than 1 % of its
// values lie outside of its encoding.
const (
	Introduced   ErrorOrigin = "born here"
	Propagated   ErrorOrigin = "inherited"
	InputDiffers ErrorOrigin = "input differs"
	InputClipped ErrorOrigin = "input clipped"
)

// InputCheck compares a graph input, as the variant's first operator gets it, with the sample.
type InputCheck struct {
	Input   string       `json:"input"`
	SQNR    metric.Value `json:"sqnr"`    // mean over the samples, dB
	Swapped metric.Value `json:"swapped"` // the same with the sample's channels in reverse order; no value if it has not 3
	// Clipped says how many of the samples' values lie outside of the input's encoding; nil: none, or it has no encoding.
	Clipped *Clipping `json:"clipped,omitempty"`
}

// Whole is an output layer with only the weights, or only the activations of the whole model quantized.
type Whole struct {
	Layer       int     `json:"layer"`
	WeightsOnly Summary `json:"weights_only"`
	ActsOnly    Summary `json:"activations_only"`
}

// Local is the error that a layer makes alone: quantized, fed with the float values of its inputs.
type Local struct {
	Full Part `json:"full"`
	// Weights and Acts are the error with only the weights, or only inputs and output quantized; nil if the layer has
	// no weights (they make no error then, and activations all of it), Acts also if their float values are not known.
	Weights *Part `json:"weights_only,omitempty"`
	Acts    *Part `json:"activations_only,omitempty"`
	// Share is the layer's part of the noise that all layers make, each measured against its own signal.
	Share float64 `json:"share"`
}

// Part is a comparison over the local samples.
type Part struct {
	Summary Summary          `json:"summary"`
	Samples []*metric.Values `json:"-"`
}

// Coding is an activation's encoding.
type Coding = quant.Encoding

// Param is a constant's encoding, or one per channel.
type Param struct {
	Tensor    string   `json:"tensor"`
	Axis      int      `json:"axis"` // −1: one encoding
	Encodings []Coding `json:"encodings"`
	// Blocks is how it is divided, if it has an encoding for each block; nil: it is not.
	Blocks *quant.Blocks `json:"blocks,omitempty"`
}

// LayerResult is a layer's comparison in one variant.
type LayerResult struct {
	Status   Status           `json:"status"`
	Reason   string           `json:"reason,omitempty"`
	Tap      string           `json:"tap,omitempty"`  // the variant's tensor that was compared
	Rule     string           `json:"rule,omitempty"` // by which a DLC's tensor was found
	Encoding *Coding          `json:"encoding,omitempty"`
	Summary  Summary          `json:"summary"`
	Samples  []*metric.Values `json:"-"` // by sample, nil where there is no value
	// Clipped says how many float values lie outside of the encoding; nil: none, or the layer has no encoding.
	Clipped *Clipping `json:"clipped,omitempty"`
	// Histogram shows the values of the first sample; nil where there is none.
	Histogram *Histogram `json:"histogram,omitempty"`
	// Local is nil if it was not measured; LocalReason says why if it was asked for.
	Local       *Local `json:"local,omitempty"`
	LocalReason string `json:"local_reason,omitempty"`
	// EmulationError is the layer in the emulation against the simulation, IsolatedEmulationError the same with the layer computed alone, both
	// from the same values; nil where there is no counterpart.
	EmulationError         *EmulationError `json:"twin,omitempty"`
	IsolatedEmulationError *EmulationError `json:"local_twin,omitempty"`
	OnCPU                  bool            `json:"on_cpu,omitempty"` // the HTP refused its operator
	// Cycles are the operator's part of the time on the DSP, estimated; nil if there is no estimate or no operator of its name in
	// it. Of an operator that makes several layers the first has them.
	Cycles *float64 `json:"cycles,omitempty"`
}

// Summary is every metric over the samples.
type Summary [metric.Count]metric.Spread

// MarshalJSON writes the metrics by their keys and leaves those out that have no value.
func (s Summary) MarshalJSON() ([]byte, error) {
	type spread struct {
		Mean  metric.Value `json:"mean"`
		Min   metric.Value `json:"min"`
		Max   metric.Value `json:"max"`
		Worst int          `json:"worst"`
	}
	m := map[string]spread{}
	for _, info := range metric.All {
		if v := s[info.ID]; v.Mean.OK {
			m[info.Key] = spread{v.Mean, v.Min, v.Max, v.Worst}
		}
	}
	return floatjson.Marshal(m)
}

// HasMetrics says whether the layer has numbers.
func (l *LayerResult) HasMetrics() bool { return l.Status == Compared || l.Status == NotQuantized }

// Differs says whether the variant's first operator gets something else than the sample: less than the given SQNR, or
// the sample with its channels in reverse order. A sample that leaves the encoding is the sample all the same.
func (c InputCheck) Differs(underDB float64) bool {
	if c.Clipped != nil && c.Clipped.Share > 0.001 && !c.ChannelsSwapped() {
		return false
	}
	return c.SQNR.OK && c.SQNR.V < underDB || c.ChannelsSwapped()
}

// ChannelsSwapped says whether the input fits the sample clearly better with its channels in reverse order.
func (c InputCheck) ChannelsSwapped() bool {
	const clearly = 6 // dB
	return c.SQNR.OK && c.Swapped.OK && c.Swapped.V > c.SQNR.V+clearly
}

// Leaves says whether samples leave the input's encoding: more than 1 % of their values lie outside.
func (c InputCheck) Leaves() bool { return c.Clipped != nil && c.Clipped.Share > 0.01 }

// Missing says what a stored run lacks that a finished one has.
func (r *Run) Missing() []string {
	var list []string
	say := func(format string, args ...any) {
		list = append(list, fmt.Sprintf("run %d (%s): %s", r.ID, r.Name, fmt.Sprintf(format, args...)))
	}
	if len(r.Layers) == 0 || len(r.Samples) == 0 || len(r.Variants) == 0 {
		say("it is not whole: %d layers, %d samples, %d variants", len(r.Layers), len(r.Samples), len(r.Variants))
	}
	return list
}
