package optimize

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
)

// largest is how many times larger a pass may make a model that did not ask for it by name; littleBytes more are always allowed, since small
// models are little but the shapes that passes add.
const (
	largest     = 1.1
	littleBytes = 4 << 10
)

// weightBytes is what a model's constants take, those of Constant and ConstantOfShape nodes too: a device has them all in memory.
func weightBytes(m *onnx.Model, shapes rewrite.Shapes) int64 {
	bytes := model.WeightBytes(m, nil, 0)
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "ConstantOfShape" && shapes != nil {
			shape, known := shapes(n.GetOutput()[0])
			if count, err := tensor.Count(shape); known && err == nil {
				bytes += 4 * int64(count)
			}
		}
		for _, a := range n.GetAttribute() {
			if n.GetOpType() == "Constant" {
				bytes += int64(proto.Size(a))
			}
		}
	}
	return bytes
}

// size counts nodes, parameters and multiply-adds.
func (o *optimizer) size() Size {
	s := Size{Nodes: len(o.model.Graph().GetNode())}
	for _, t := range o.model.Graph().GetInitializer() {
		if n, err := tensor.Count(t.GetDims()); err == nil {
			s.Parameters += int64(n)
		}
	}
	for _, n := range o.model.Graph().GetNode() {
		macs := rewrite.MACs(n, o.env.Shapes)
		if macs < 0 || s.MACs < 0 {
			s.MACs = -1
			continue
		}
		s.MACs += macs
	}
	return s
}
