package rewrite

import (
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// BoxScaleKey is the entry of a model's metadata that says by what its boxes are multiplied to be in pixels.
const BoxScaleKey = "quantcheck.box_scale"

var scaleBoxes = Pass{
	Name: "scale-boxes", Title: "boxes in pixels beside scores in one Concat are divided by the input's side", Tolerance: 1e-6, Off: true, Once: true,
	Order: "behind split-output, which leaves no Concat to do this for",
	Why:   "With boxes of 0..640 and scores of 0..1 under one encoding of 8 bits every score is 0; with boxes of 0..1 both have their steps, and the model keeps its one output. What reads the boxes has to multiply them again, so it is asked for by name.",
	Doc: `
    Before   b ─ (·stride) ─┐                          After   b ─ (·stride/side) ─┐
                        s ─ Concat ─ y (output)                                s ─ Concat ─ y

The side is the longer one of the input's picture; it goes into the model's metadata as ` + "`quantcheck.box_scale`" + `, by which eval and check multiply
the boxes that they read. Where no Mul by a constant makes the boxes, a Mul is added. Conditions: one part of the Concat has four
channels, with values of more than 8 on the samples (--images) and at most four times the side; the others lie in 0..1. The proof multiplies
the boxes again.
`,
	apply: func(s *sweep) error {
		side := pictureSide(s.facts)
		if side == 0 || s.m.Property(BoxScaleKey) != "" {
			return nil
		}
		for _, out := range s.m.Outputs() {
			h := s.headOf(out)
			if h == nil {
				continue
			}
			n := s.x.Nodes[h.concat]
			part, from, reason, err := boxPart(s, h, side)
			if err != nil {
				return err
			}
			if reason != "" {
				s.leave(n, "%s", reason)
				continue
			}
			if !scaleBox(s, h.concat, part, 1/float64(side)) {
				continue
			}
			axis := h.axis
			if len(h.axes) > 0 {
				axis = h.axes[len(h.axes)-1]
			}
			s.scales = append(s.scales, Scale{Output: out, Axis: axis, From: from, Count: 4, By: float64(side)})
			s.changed("%s: the boxes of %s are divided by %d", nameOf(n), out, side)
		}
		if len(s.changes) > 0 {
			s.whole = s.rebuild().WithProperty(BoxScaleKey, strconv.FormatInt(side, 10))
		}
		return nil
	},
}

// Scale says which part of an output was divided, and by what: Count channels From one on, along an axis.
type Scale struct {
	Output            string
	Axis, From, Count int
	By                float64
}

// Tensor multiplies the part again.
func (c Scale) Tensor(t tensor.Tensor) (tensor.Tensor, error) {
	values, ok := t.AsFloat32()
	if !ok || c.Axis < 0 || c.Axis >= len(t.Shape) || int64(c.From+c.Count) > t.Shape[c.Axis] {
		return t, fmt.Errorf("the output %s has the shape %v", c.Output, t.Shape)
	}
	inner := 1
	for _, d := range t.Shape[c.Axis+1:] {
		inner *= int(d)
	}
	restored := slices.Clone(values)
	for i := range restored {
		if at := i / inner % int(t.Shape[c.Axis]); at >= c.From && at < c.From+c.Count {
			restored[i] *= float32(c.By)
		}
	}
	return tensor.Floats(restored, t.Shape...), nil
}

// pictureSide is the longer side of the only picture that a model takes, NCHW or NHWC; 0 if that is not known.
func pictureSide(f *facts) int64 {
	inputs := f.m.Inputs()
	if len(inputs) != 1 {
		return 0
	}
	_, shape, _ := onnx.TypeOf(inputs[0])
	switch {
	case len(shape) != 4 || slices.Min(shape) < 1:
		return 0
	case shape[1] <= 4:
		return max(shape[2], shape[3])
	case shape[3] <= 4:
		return max(shape[1], shape[2])
	}
	return 0
}

// boxPart finds the part of a Concat that holds boxes in pixels, and its first channel. The reason says why there is none.
func boxPart(s *sweep, h *head, side int64) (part, from int, reason string, err error) {
	parts := s.x.Nodes[h.concat].GetInput()
	if s.measured == nil {
		return 0, 0, "what its boxes and scores range over is not known: give samples (--images)", nil
	}
	spans, err := s.measured(parts)
	if err != nil {
		return 0, 0, "", err
	}
	part, at := -1, 0
	for i, name := range parts {
		shape, known := s.shapes(name)
		span := spans[name]
		if !known || h.axis >= len(shape) || shape[h.axis] < 1 || len(span.Low) == 0 {
			return 0, 0, fmt.Sprintf("the range of %s is not known", name), nil
		}
		low, high := slices.Min(span.Low), slices.Max(span.High)
		switch {
		case shape[h.axis] == 4 && high > unlikeRanges && high <= 4*float64(side) && low >= -4*float64(side) && part < 0:
			part, from = i, at
		case low < 0 || high > 1:
			return 0, 0, fmt.Sprintf("%s goes from %.3g to %.3g: it is neither boxes in pixels nor scores", name, low, high), nil
		}
		at += int(shape[h.axis])
	}
	if part < 0 {
		return 0, 0, "no part of it is boxes in pixels", nil
	}
	return part, from, "", nil
}

// scaleBox multiplies one input of a Concat by a factor, in the constant of the Mul that makes it if there is one.
func scaleBox(s *sweep, concat, part int, by float64) bool {
	if !s.free(concat) {
		return false
	}
	name := s.x.Nodes[concat].GetInput()[part]
	p, made := s.x.Producer[name]
	if k, sole := s.x.SoleConsumer(name); made && sole && k == concat && s.free(p) && s.x.Nodes[p].GetOpType() == "Mul" {
		for i, in := range s.x.Nodes[p].GetInput() {
			t, ok, err := s.constant(in)
			if err != nil || !ok {
				continue
			}
			scaled := make([]float32, len(t.F32))
			for e, v := range t.F32 {
				scaled[e] = float32(float64(v) * by)
			}
			c := proto.CloneOf(s.x.Nodes[p])
			c.Input[i] = s.put(in, p, tensor.Floats(scaled, t.Shape...))
			s.replace(p, c)
			s.touch(concat)
			return true
		}
	}
	out := s.unique(name + "_scaled")
	mul := &onnxpb.NodeProto{OpType: proto.String("Mul"), Name: proto.String(out), Input: []string{name, s.fresh(name+"_scale", tensor.Floats([]float32{float32(by)}))}, Output: []string{out}}
	c := proto.CloneOf(s.x.Nodes[concat])
	c.Input[part] = out
	s.replace(concat, mul, c)
	return true
}
