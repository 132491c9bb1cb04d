// Package encodings writes encodings as AIMET does, for tools that take them as overrides: version 0.6.1 for
// `snpe-onnx-to-dlc --quantization_overrides`, 1.0.0, and 2.0.0 for QAIRT from 2.37 on (`--use_quantize_v2`).
package encodings

import (
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/floatjson"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

type file struct {
	Version       string    `json:"version"`
	Activations   []entry   `json:"activation_encodings"`
	Params        []entry   `json:"param_encodings"`
	QuantizerArgs quantArgs `json:"quantizer_args"`
	Producer      string    `json:"producer"`
}

type quantArgs struct {
	ActivationBits int    `json:"activation_bitwidth"`
	ParamBits      int    `json:"param_bitwidth"`
	PerChannel     bool   `json:"per_channel_quantization"`
	Scheme         string `json:"quant_scheme"`
}

type entry struct {
	Name   string    `json:"name"`
	Type   string    `json:"enc_type"`
	DType  string    `json:"dtype"`
	Bits   int       `json:"bw"`
	IsSym  *bool     `json:"is_sym,omitempty"`
	Scale  []float64 `json:"scale,omitempty"`
	Offset []int     `json:"offset,omitempty"`
	Block  int       `json:"block_size,omitempty"`
}

// aimet100 writes a variant's encodings in AIMET's JSON 1.0.0: graph inputs, activations in graph order, parameters.
// A half-precision variant's activations are listed as 16-bit floats.
func aimet100(layers []result.Layer, v *result.Variant) ([]byte, error) {
	f := file{Version: "1.0.0", Activations: []entry{}, Params: []entry{}, Producer: "quantcheck"}
	f.QuantizerArgs = quantArgs{
		ActivationBits: v.Spec.ActBits, ParamBits: v.Spec.WeightBits, PerChannel: v.Spec.PerChannel, Scheme: string(v.Spec.Calibrator),
	}
	for _, name := range slices.Sorted(maps.Keys(v.Inputs)) {
		f.Activations = append(f.Activations, integer(name, -1, v.Inputs[name]))
	}
	for k, l := range v.Layers {
		switch {
		case l.Encoding != nil:
			f.Activations = append(f.Activations, integer(layers[k].Name, -1, *l.Encoding))
		case half(v, layers[k].Name, l):
			f.Activations = append(f.Activations, entry{Name: layers[k].Name, Type: "PER_TENSOR", DType: "FLOAT", Bits: 16})
		}
	}
	for i := range v.Params {
		e, err := param100(&v.Params[i])
		if err != nil {
			return nil, err
		}
		f.Params = append(f.Params, e)
	}
	return marshal(f)
}

// half says whether a layer is computed in half precision: as every one of the variant, or by choice.
func half(v *result.Variant, layer string, l result.LayerResult) bool {
	return v.Spec.Kind == variant.Half && l.Status == result.Compared || v.Spec.Choices[layer].Float && l.Status == result.NotQuantized
}

func marshal(f any) ([]byte, error) { return floatjson.Text(f, "  ") }

// Versions are the formats that Write knows.
var Versions = []string{"0.6.1", "1.0.0", "2.0.0"}

// Write writes a variant's encodings in one of the Versions.
func Write(version string, layers []result.Layer, v *result.Variant) ([]byte, error) {
	switch version {
	case "0.6.1":
		return aimet061(layers, v)
	case "1.0.0":
		return aimet100(layers, v)
	case "2.0.0":
		return aimet200(layers, v)
	}
	return nil, fmt.Errorf("encodings version %q: there are %v", version, Versions)
}

func integer(name string, axis int, list ...quant.Encoding) entry {
	e := entry{Name: name, Type: "PER_TENSOR", DType: "INT", Bits: list[0].Bits, IsSym: &list[0].Symmetric}
	if axis >= 0 {
		e.Type = "PER_CHANNEL"
	}
	for _, x := range list {
		e.Scale = append(e.Scale, x.Scale)
		e.Offset = append(e.Offset, x.Offset)
	}
	return e
}
