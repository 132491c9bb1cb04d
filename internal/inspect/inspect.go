// Package inspect gives one view of a model, whatever its format: what a DLC or an ONNX file holds, layer by layer.
package inspect

import (
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/result"
)

// View is a model as people and programs look at it.
type View struct {
	Path       string            `json:"path"`
	Format     string            `json:"format"`
	Graph      string            `json:"graph"`
	Converter  string            `json:"converter,omitempty"` // command
	Version    string            `json:"converter_version,omitempty"`
	Quantizer  string            `json:"quantizer,omitempty"` // command, "" for a float model
	Settings   map[string]string `json:"settings,omitempty"`  // of the quantizer, those that decide
	Inputs     []Tensor          `json:"inputs"`
	Outputs    []Tensor          `json:"outputs"`
	Layers     []Layer           `json:"layers"`
	Parameters int64             `json:"parameters"`   // −1: not known
	MACs       int64             `json:"macs"`         // −1: not known
	Memory     int64             `json:"memory_bytes"` // weights, and the activations that are alive at once, at most
	Operators  map[string]int    `json:"operators"`
	Precision  map[string]int    `json:"precision"` // layers by the type of their first output
	// Unencoded are quantized or float tensors without an encoding in a model that has encodings.
	Unencoded []string `json:"without_encoding"`
	Encoded   int      `json:"encoded"` // tensors with one
	Caches    []string `json:"caches,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	Quantized string   `json:"quantized,omitempty"` // how an ONNX model is quantized; "" for a float one
}

// Tensor is an input or output.
type Tensor struct {
	Name     string    `json:"name"`
	Shape    []int64   `json:"shape"`
	DType    string    `json:"dtype"`
	Encoding *Encoding `json:"encoding,omitempty"`
}

// Encoding is one per tensor, or the first of those per channel.
type Encoding = result.ModelEncoding

// Layer is a node with its first output.
type Layer struct {
	Name       string   `json:"name"`
	Op         string   `json:"op"`
	Inputs     []string `json:"inputs"`
	Outputs    []Tensor `json:"outputs"`
	Weights    []Tensor `json:"weights,omitempty"`
	Parameters int64    `json:"parameters"`
	MACs       int64    `json:"macs"` // −1: not known
}

// decisive are the quantizer's settings that people ask for.
var decisive = []string{"use_per_channel_quantization", "axis_quant", "use_per_row_quantization", "act_bitwidth", "weights_bitwidth", "bias_bitwidth", "act_quantizer", "param_quantizer", "act_quantizer_calibration", "param_quantizer_calibration", "float_fallback", "float_bitwidth"}

// usualSettings are what snpe-dlc-quant does where it was not told (its documentation).
var usualSettings = map[string]string{"act_bitwidth": "8", "weights_bitwidth": "8", "bias_bitwidth": "8", "act_quantizer": "tf", "param_quantizer": "tf"}

// DLC views a container's first graph.
func DLC(path string, f *dlc.File) *View {
	v := &View{
		Path: path, Format: f.Format, Converter: f.Metadata.ConverterCommand, Version: f.Metadata.ConverterVersion, Quantizer: f.Metadata.QuantizerCommand,
		Settings: map[string]string{}, Notes: append([]string{}, f.Notes...),
	}
	v.begin()
	flags := dlc.Flags(f.Metadata.QuantizerCommand)
	for _, key := range decisive {
		if value, ok := flags[key]; ok && value != "[]" {
			v.Settings[key] = value
		} else if usual, known := usualSettings[key]; ok && known {
			v.Settings[key] = usual + " (default)"
		}
	}
	for _, c := range f.Caches() {
		v.Caches = append(v.Caches, fmt.Sprintf("%s (%d bytes)", c.Name, c.Bytes))
	}
	if len(f.Graphs) == 0 {
		v.Notes = append(v.Notes, "it holds no graph")
		return v
	}
	if len(f.Graphs) > 1 {
		v.Notes = append(v.Notes, fmt.Sprintf("it holds %d graphs; this is the first", len(f.Graphs)))
	}
	g := &f.Graphs[0]
	v.Graph = g.Name
	for i := range g.Tensors {
		t := &g.Tensors[i]
		switch t.Location {
		case dlc.Input:
			v.Inputs = append(v.Inputs, tensorOf(t))
		case dlc.Output:
			v.Outputs = append(v.Outputs, tensorOf(t))
		case dlc.Static:
			v.Parameters += max(t.Elements(), 0)
		}
		if t.Encoding != nil {
			v.Encoded++
		}
	}
	for i := range g.Tensors {
		if t := &g.Tensors[i]; v.Encoded > 0 && t.Encoding == nil && (t.DType.Quantized() || t.DType&0xf00 == 0x200) {
			v.Unencoded = append(v.Unencoded, t.Name)
		}
	}
	for _, n := range g.Nodes {
		l := Layer{Name: n.Name, Op: n.Type, Inputs: append([]string{}, n.Inputs...), Outputs: []Tensor{}}
		for _, in := range n.Inputs {
			if t := g.Tensor(in); t != nil && t.Location == dlc.Static {
				l.Weights = append(l.Weights, tensorOf(t))
				l.Parameters += max(t.Elements(), 0)
			}
		}
		for _, out := range n.Outputs {
			if t := g.Tensor(out); t != nil {
				l.Outputs = append(l.Outputs, tensorOf(t))
			}
		}
		l.MACs = macsOf(g, n)
		v.add(l)
	}
	if v.MACs < 0 && v.Parameters == 0 { // SNPE 1.x keeps weights apart from the graph
		v.Parameters = -1
	}
	v.Memory = v.memory(func(name string) int64 {
		if t := g.Tensor(name); t != nil && t.Location != dlc.Static {
			return max(t.Bytes(), 0)
		}
		return 0
	})
	for _, t := range g.At(dlc.Static) {
		v.Memory += max(t.Bytes(), 0)
	}
	return v
}

// File is the view as a workspace keeps it, under a name of its own.
func (v *View) File(name string, now time.Time) *result.ModelFile {
	m := &result.ModelFile{
		Name: name, Path: v.Path, Format: v.Format, Converter: v.Version, Quantizer: v.Quantizer, Added: now, MACs: v.MACs, Parameters: v.Parameters, Precision: v.Precision,
	}
	for _, l := range v.Layers {
		for _, o := range l.Outputs {
			bare, _ := align.Bare(o.Name)
			layer := result.ModelLayer{Tensor: o.Name, Layer: bare, Node: l.Name, Op: l.Op, DType: o.DType, Shape: o.Shape, Encoding: o.Encoding}
			m.Layers = append(m.Layers, layer)
		}
	}
	return m
}

func (v *View) begin() {
	v.Inputs, v.Outputs, v.Layers, v.Unencoded = []Tensor{}, []Tensor{}, []Layer{}, []string{}
	v.Operators, v.Precision = map[string]int{}, map[string]int{}
}

func (v *View) add(l Layer) {
	v.Layers = append(v.Layers, l)
	v.Operators[l.Op]++
	if len(l.Outputs) > 0 {
		v.Precision[l.Outputs[0].DType]++
	}
	if l.MACs < 0 || v.MACs < 0 {
		v.MACs = -1
	} else {
		v.MACs += l.MACs
	}
}

// memory is the greatest sum of the tensors that are alive at once, in the order of the layers.
func (v *View) memory(bytes func(string) int64) int64 {
	last := map[string]int{}
	for i, l := range v.Layers {
		for _, in := range l.Inputs {
			last[in] = i
		}
	}
	for _, out := range v.Outputs {
		last[out.Name] = len(v.Layers)
	}
	alive, most := int64(0), int64(0)
	for _, in := range v.Inputs {
		alive += bytes(in.Name)
	}
	for i, l := range v.Layers {
		for _, out := range l.Outputs {
			alive += bytes(out.Name)
		}
		most = max(most, alive)
		freed := map[string]bool{}
		for _, in := range l.Inputs {
			if last[in] == i && !freed[in] {
				freed[in] = true
				alive -= bytes(in)
			}
		}
	}
	return most
}

func tensorOf(t *dlc.Tensor) Tensor {
	x := Tensor{Name: t.Name, DType: t.DType.String(), Shape: []int64{}}
	for _, d := range t.Shape {
		x.Shape = append(x.Shape, int64(d))
	}
	if e := t.Encoding; e != nil {
		x.Encoding = &Encoding{Bits: e.Bits, Scale: float64(e.Scale[0]), Offset: int(e.Offset[0]), Min: float64(e.Min[0]), Max: float64(e.Max[0])}
		if e.Axis >= 0 {
			x.Encoding.Channels, x.Encoding.Axis = len(e.Scale), e.Axis
		}
	}
	return x
}

// macsOf counts multiply-adds: of a convolution a kernel per output, of a transposed one a kernel per input, of a matrix
// product the inner dimension per output. Kernels are HWIO.
func macsOf(g *dlc.Graph, n dlc.Node) int64 {
	known := []string{"Conv2d", "DepthWiseConv2d", "TransposeConv2d", "Conv3d", "Conv1d", "FullyConnected", "MatMul", "Convolutional", "Deconvolution", "convolutional", "deconvolution", "fully_connected"}
	if !slices.Contains(known, n.Type) {
		return 0
	}
	if len(n.Inputs) < 2 || len(n.Outputs) < 1 {
		return -1
	}
	in, w, out := g.Tensor(n.Inputs[0]), g.Tensor(n.Inputs[1]), g.Tensor(n.Outputs[0])
	if in == nil || w == nil || out == nil || len(w.Shape) < 2 || len(in.Shape) < 1 || in.Elements() < 0 || w.Elements() < 0 || out.Elements() < 0 {
		return -1
	}
	last := int64(max(w.Shape[len(w.Shape)-1], 1))
	switch n.Type {
	case "FullyConnected":
		return out.Elements() * last
	case "MatMul":
		return out.Elements() * int64(in.Shape[len(in.Shape)-1])
	case "TransposeConv2d":
		inner := int64(max(w.Shape[len(w.Shape)-2], 1))
		return in.Elements() * (w.Elements() / inner)
	}
	return out.Elements() * (w.Elements() / last)
}
