package result

import "time"

// ModelFile is what a model file says of itself, without a run: a DLC, a listing of one, or an ONNX model.
type ModelFile struct {
	Name       string         `json:"name"` // in the workspace
	Path       string         `json:"path"`
	Format     string         `json:"format"`
	Converter  string         `json:"converter"` // version
	Quantizer  string         `json:"quantizer"` // command, "" for a float model
	Added      time.Time      `json:"added"`
	MACs       int64          `json:"macs"`       // −1: not known
	Parameters int64          `json:"parameters"` // −1: not known
	Precision  map[string]int `json:"precision"`  // layers by type
	Layers     []ModelLayer   `json:"layers"`
}

// ModelLayer is an output of a layer.
type ModelLayer struct {
	Tensor   string         `json:"tensor"`
	Layer    string         `json:"layer"` // the tensor without a converter's endings
	Node     string         `json:"node"`
	Op       string         `json:"op"`
	DType    string         `json:"dtype"`
	Shape    []int64        `json:"shape"`
	Encoding *ModelEncoding `json:"encoding,omitempty"`
}

// ModelEncoding is one per tensor, or the first of those per channel.
type ModelEncoding struct {
	Bits     int     `json:"bits"`
	Channels int     `json:"channels,omitempty"` // 0: one for the tensor
	Axis     int     `json:"axis,omitempty"`
	Scale    float64 `json:"scale"`
	Offset   int     `json:"offset"`
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
}
