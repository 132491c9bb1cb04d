// Package build makes the models of candidates, and says what the float model and those models consist of.
package build

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/score/outputs"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Builder quantizes one float model in many ways. It is not safe for concurrent use.
type Builder struct {
	float   *model.Float
	outputs *outputs.Outputs
	stats   *calib.Statistics
	mu      sync.Mutex
	encoded map[encoded]coding
}

type encoded struct {
	tensor     string
	bits       int
	calibrator variant.Calibrator
	percentile float64
}

type coding struct {
	e  quant.Encoding
	ok bool
}

// New makes a builder for a float model whose outputs are wanted; Calibrate has to follow. A model without layers that are quantized is an error of
// usage.
func New(float *model.Float, o *outputs.Outputs) (*Builder, error) {
	made := func(g []string) bool { _, ok := float.Index.Producer[g[0]]; return ok }
	if !slices.ContainsFunc(float.Placement.Groups(), made) {
		return nil, usage.Mark(fmt.Errorf("none of the layers of %s is quantized: there is nothing to explore", float.Model.Path))
	}
	return &Builder{float: float, outputs: o, encoded: map[encoded]coding{}}, nil
}

// Calibrate gives the statistics of one calibration, from which all encodings come.
func (b *Builder) Calibrate(stats *calib.Statistics) { b.stats = stats }

// Encoding gives an activation's encoding; searches over histograms are made once. Several goroutines may ask.
func (b *Builder) Encoding(tensor string, v variant.Spec) (quant.Encoding, bool) {
	key := encoded{tensor, v.ActBits, v.Calibrator, v.Percentile}
	b.mu.Lock()
	c, known := b.encoded[key]
	b.mu.Unlock()
	if !known {
		c.e, c.ok = b.stats.Activation(tensor, v)
		b.mu.Lock()
		b.encoded[key] = c
		b.mu.Unlock()
	}
	return c.e, c.ok
}

// Built is a candidate's model as a device takes it, with what the outputs are called in it.
type Built struct {
	Made  *qdq.Built
	Model *onnx.Model // that is run: Made's, or one of which only a part is quantized
	Taps  []string    // of the outputs
}

// Build makes a candidate's model. It is that of a device on the CPU too: both engines compute the same graph.
func (b *Builder) Build(c candidate.Candidate) (*Built, error) {
	ref := b.float
	spec := c.Spec
	spec.Engine = variant.HTP
	q, err := qdq.Build(ref.Base, ref.Placement, spec, b.Encoding)
	if err != nil {
		return nil, err
	}
	x := onnx.NewIndex(q.Model)
	made := &Built{Made: q, Model: q.Model}
	var taps []qdq.LayerTap
	for _, l := range ref.Layers {
		if ref.Incomparable(l) != "" {
			continue
		}
		if m := align.Built(l.Name, ref.Placement, q, ref.Folded); m.Status == result.Compared {
			taps = append(taps, qdq.LayerTap{Layer: l.Name, Tap: m.Tap})
		}
	}
	for _, name := range b.outputs.Names {
		tap := align.Built(name, ref.Placement, q, ref.Folded).Tap
		if _, there := x.Producer[name]; tap == "" && there {
			tap = name
		}
		if tap == "" {
			return nil, fmt.Errorf("the quantized model has no output %s", name)
		}
		made.Taps = append(made.Taps, tap)
	}
	if c.Part == candidate.Whole {
		return made, nil
	}
	m, instead, err := qdq.NewIsolator(q.Model, taps, q.Floats, ref.Types).Strip(c.Part == candidate.Weights)
	if err != nil {
		return nil, err
	}
	made.Model = m
	for i, tap := range made.Taps {
		if to, gone := instead[tap]; gone {
			made.Taps[i] = to
		}
	}
	return made, nil
}

// Complete is the model with the types of its outputs written out, as other programs expect it.
func (b *Builder) Complete(m *onnx.Model) *onnx.Model { return model.WithOutputTypes(m, b.float.Types) }

// Conversions names the tensors that are converted from one width to another, each once for every place.
func (m *Built) Conversions() []string {
	makers := map[string]string{}
	for _, n := range m.Model.Graph().GetNode() {
		for _, out := range n.GetOutput() {
			makers[out] = n.GetOpType()
		}
	}
	var list []string
	for _, n := range m.Model.Graph().GetNode() {
		if n.GetOpType() == "QuantizeLinear" && len(n.GetInput()) > 0 && makers[n.GetInput()[0]] == "DequantizeLinear" {
			list = append(list, strings.TrimSuffix(n.GetName(), "_QuantizeLinear"))
		}
	}
	return list
}
