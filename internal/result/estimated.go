package result

import (
	"time"

	"quantcheck/internal/deployed"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/variant"
)

// Estimated is what the compiler's cost model expects of one form of a model on the DSP.
type Estimated struct {
	ID      int64         `json:"id,omitempty"` // in the workspace's database
	Name    string        `json:"name"`         // of the model in the workspace
	Variant string        `json:"variant"`      // "w8a8", "fp16", the name of a DLC
	Spec    *variant.Spec `json:"spec,omitempty"`
	Path    string        `json:"path"` // of the model or the DLC
	Started time.Time     `json:"started"`
	Tool    string        `json:"tool"`
	Wheel   string        `json:"wheel"` // version of onnxruntime-qnn
	// IO says which form of the inputs and outputs was estimated, Ports what they are. A DLC has its own form, which neither is said of.
	IO    IO             `json:"io,omitempty"`
	Ports deployed.Ports `json:"ports,omitzero"`
	// MACs are the multiply-adds of the layers by name, as far as they are known.
	MACs map[string]int64 `json:"macs,omitempty"`
	// Refused are operators that the HTP does not take; the estimate is then of what is left, Covered its share of the
	// model's nodes.
	Refused []string `json:"refused,omitempty"`
	Covered float64  `json:"covered"` // 0 to 1
	// Forecast is a board's time, guessed from published times of other networks; nil where none fit.
	Forecast *htpcost.Forecast `json:"forecast,omitempty"`
	// Advice is a pass of optimize that makes it faster, as its result was itself estimated; nil if none is known.
	Advice *Advice `json:"advice,omitempty"`
	*htpcost.Estimate
}

// IO is the form of a model's inputs and outputs.
type IO string

// The forms of inputs and outputs.
const (
	NativeIO IO = "native" // integers with their channels last, as devices take and give them
	FloatIO  IO = "float"  // float, in the model's order of axes: the conversions are in the estimate
)

// Advice is a pass of optimize, and what the model's estimate is behind it.
type Advice struct {
	Pass         string `json:"pass"`
	Cycles       int64  `json:"cycles"`
	Microseconds int64  `json:"us"`
}

// Time is an estimate in short, beside the error.
type Time struct {
	SoC               htpcost.SoC `json:"soc"`
	Base              string      `json:"base"`
	Cycles            int64       `json:"cycles"`
	Lower             int64       `json:"lower"` // cycles
	Upper             int64       `json:"upper"`
	Microseconds      int64       `json:"us"`
	LowerMicroseconds int64       `json:"us_lower"`
	UpperMicroseconds int64       `json:"us_upper"`
	Covered           float64     `json:"covered"` // share of the graph that was estimated, 0 to 1
	Joined            float64     `json:"joined"`  // share of the cycles that belong to a layer of the run
}
