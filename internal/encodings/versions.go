package encodings

import (
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// file061 is AIMET's JSON 0.6.1, the one that SNPE's converters read.
type file061 struct {
	Version     string                `json:"version"`
	Activations map[string][]entry061 `json:"activation_encodings"`
	Params      map[string][]entry061 `json:"param_encodings"`
	Args        quantArgs             `json:"quantizer_args"`
	Producer    string                `json:"producer"`
}

type entry061 struct {
	Bits      int      `json:"bitwidth"`
	DType     string   `json:"dtype"`
	Symmetric string   `json:"is_symmetric,omitempty"` // "True" or "False"
	Min       *float64 `json:"min,omitempty"`
	Max       *float64 `json:"max,omitempty"`
	Scale     *float64 `json:"scale,omitempty"`
	Offset    *int     `json:"offset,omitempty"`
}

func integer061(list ...quant.Encoding) []entry061 {
	var entries []entry061
	for _, e := range list {
		symmetric := "False"
		if e.Symmetric {
			symmetric = "True"
		}
		entries = append(entries, entry061{e.Bits, "int", symmetric, &e.Min, &e.Max, &e.Scale, &e.Offset})
	}
	return entries
}

func aimet061(layers []result.Layer, v *result.Variant) ([]byte, error) {
	f := file061{Version: "0.6.1", Activations: map[string][]entry061{}, Params: map[string][]entry061{}, Producer: "quantcheck"}
	f.Args = quantArgs{ActivationBits: v.Spec.ActBits, ParamBits: v.Spec.WeightBits, PerChannel: v.Spec.PerChannel, Scheme: string(v.Spec.Calibrator)}
	for name, e := range v.Inputs {
		f.Activations[name] = integer061(e)
	}
	for k, l := range v.Layers {
		switch {
		case l.Encoding != nil:
			f.Activations[layers[k].Name] = integer061(*l.Encoding)
		case half(v, layers[k].Name, l):
			f.Activations[layers[k].Name] = []entry061{{Bits: 16, DType: "float"}}
		}
	}
	for _, p := range v.Params {
		if p.Blocks != nil {
			return nil, fmt.Errorf("%s has an encoding for every %d values, and version 0.6.1 has no blocks: take --encodings-version 1.0.0 or 2.0.0", p.Tensor, p.Blocks.Size)
		}
		f.Params[p.Tensor] = integer061(p.Encodings...)
	}
	return marshal(f)
}

// file200 is AIMET's JSON 2.0.0: ONNX's words, one list. Half-precision tensors have no entry in it.
type file200 struct {
	Version   string     `json:"version"`
	Encodings []entry200 `json:"encodings"`
	Producer  string     `json:"producer"`
}

type entry200 struct {
	Name  string `json:"name"`
	DType string `json:"output_dtype"`
	Scale any    `json:"y_scale"`                // a number, or one per channel
	Zero  any    `json:"y_zero_point,omitempty"` // left out where all are 0
	Axis  *int   `json:"axis,omitempty"`
	Block int    `json:"block_size,omitempty"`
}

func integer200(name string, axis int, list ...quant.Encoding) entry200 {
	signed := list[0].Symmetric
	e := entry200{Name: name, DType: fmtInt(signed, list[0].Bits)}
	var scales []float64
	var zeros []int
	zero := true
	for _, x := range list {
		scales, zeros = append(scales, x.Scale), append(zeros, x.ZeroPoint(signed))
		zero = zero && zeros[len(zeros)-1] == 0
	}
	if axis < 0 {
		e.Scale = scales[0]
		if !zero {
			e.Zero = zeros[0]
		}
		return e
	}
	e.Scale, e.Axis = scales, &axis
	if !zero {
		e.Zero = zeros
	}
	return e
}

func fmtInt(signed bool, bits int) string {
	prefix := "uint"
	if signed {
		prefix = "int"
	}
	return prefix + map[int]string{4: "4", 8: "8", 16: "16", 32: "32"}[bits]
}

func aimet200(layers []result.Layer, v *result.Variant) ([]byte, error) {
	f := file200{Version: "2.0.0", Encodings: []entry200{}, Producer: "quantcheck"}
	for _, name := range slices.Sorted(maps.Keys(v.Inputs)) {
		f.Encodings = append(f.Encodings, integer200(name, -1, v.Inputs[name]))
	}
	for k, l := range v.Layers {
		if l.Encoding != nil {
			f.Encodings = append(f.Encodings, integer200(layers[k].Name, -1, *l.Encoding))
		}
	}
	for i := range v.Params {
		f.Encodings = append(f.Encodings, param200(&v.Params[i]))
	}
	return marshal(f)
}
