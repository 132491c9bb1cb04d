package result

import (
	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/variant"
)

// A request is stored with its result. Each use case has a type of its own, which is composed of the parts below; the order of the parts is
// the order of the keys in what is stored.

// Sources are what a request reads beside its variants.
type Sources struct {
	Model  string `json:"model"`
	Images string `json:"images"`          // the samples; of a data set with labels the folder of its pictures, "": they lie beside the labels
	Calib  string `json:"calib,omitempty"` // "": the samples of Images, or the data set's, calibrate
	Limit  int    `json:"limit,omitempty"` // of samples; 0: all
}

// Place is where results go: a workspace, and the model's name in it.
type Place struct {
	Out  string `json:"out"`
	Name string `json:"name"`
}

// Bounds are what a run may take of the machine.
type Bounds struct {
	Threads   int    `json:"threads"`
	MemoryMiB int    `json:"memory_mib"`
	MemoryOf  string `json:"-"` // where that bound comes from if nobody asked for one
}

// Saving is what a check writes beside its numbers.
type Saving struct {
	SaveTensors bool   `json:"save_tensors,omitempty"`
	SaveModel   bool   `json:"save_model,omitempty"`
	Encodings   string `json:"encodings,omitempty"`
}

// Emulation is what chip the emulator stands for.
type Emulation struct {
	SoC         int  `json:"soc_model,omitempty"` // as its libraries number it
	HTPArch     int  `json:"htp_arch,omitempty"`
	HTPFallback bool `json:"htp_fallback,omitempty"` // operators that the HTP refuses may run on the CPU
}

// DLCRun is how DLC files are run.
type DLCRun struct {
	DLCLayouts []string `json:"dlc_layouts,omitempty"` // orders of axes of a DLC's inputs, INPUT=0,2,3,1
	AnyVersion bool     `json:"any_version,omitempty"` // of Qualcomm's libraries
}

// Scoring is how a data set is read and scored.
type Scoring struct {
	Task       Task    `json:"task"`
	Data       string  `json:"data"`
	Decoder    string  `json:"decoder,omitempty"` // "": recognised
	Confidence float64 `json:"confidence"`
	NMSIoU     float64 `json:"nms_iou"`
	MaxDet     int     `json:"max_det"`
	Agnostic   bool    `json:"agnostic,omitempty"`
	Strict     bool    `json:"strict,omitempty"` // refuse a data set with problems
}

// Always are two keys of a comparison that stored evaluations and explorations have always had.
type Always struct {
	LocalSamples int     `json:"local_samples"`
	DivergeUnder float64 `json:"diverge_under"`
}

// CheckSpec is what a comparison was asked for: all that the command line and the files beside the model said.
type CheckSpec struct {
	Sources
	Variants []string `json:"variants"`
	Place
	Input dataset.Description `json:"input"`
	Bounds
	Saving
	LocalSamples int     `json:"local_samples"` // how many samples the local error is measured on
	DivergeUnder float64 `json:"diverge_under"` // dB
	Emulation
	DLCRun
	FailUnder []Threshold `json:"fail_under,omitempty"`
	// Estimate has the HTP compiler estimate the time of every variant, or of none; nil: of those that are emulated.
	Estimate *bool `json:"estimate,omitempty"`
}

// Threshold is a gate: an output layer whose metric falls short of it fails the check.
type Threshold struct {
	Metric metric.ID `json:"metric"`
	Value  float64   `json:"value"`
}

// EvalSpec is what an evaluation was asked for.
type EvalSpec struct {
	Sources
	Variants []string `json:"variants"`
	Place
	Input dataset.Description `json:"input"`
	Bounds
	Always
	Emulation
	Scoring
}

// ExploreSpec is what an exploration was asked for.
type ExploreSpec struct {
	Sources
	Variants []string `json:"variants"` // one, the recipe that it starts from
	Place
	Input dataset.Description `json:"input"`
	Bounds
	Always
	Emulation
	Scoring
	Target  float64        `json:"target"` // share of the float model's score, 0 to 1
	Seconds float64        `json:"budget_seconds"`
	Engine  variant.Engine `json:"engine"`                // that has the last word
	Auto    bool           `json:"auto_engine,omitempty"` // the emulator, where it takes the model
	Chip    string         `json:"chip"`                  // of the estimate
	// Measured are the cycles of the recipe's layers in a benchmark of this model, together; 0: there is none.
	Measured float64 `json:"measured_cycles,omitempty"`
	Fixed    bool    `json:"fixed_recipe,omitempty"`
	// Rewritten is where the model goes that is rewritten first, which is then explored in its place; "": it is explored as it is.
	Rewritten string `json:"rewritten,omitempty"`
	Apply     bool   `json:"apply,omitempty"`
}
