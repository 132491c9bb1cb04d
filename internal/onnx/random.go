package onnx

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
)

// random are the operators that draw numbers; each has an attribute seed.
var random = map[string]bool{
	"RandomNormal": true, "RandomUniform": true, "RandomNormalLike": true, "RandomUniformLike": true, "Multinomial": true, "Bernoulli": true,
}

// Seed gives every node of the main graph that draws random numbers a seed of its own, where it has none, so that sessions of
// the model, and of what is made of it, draw the same ones. The second value counts the nodes that draw, by operator.
func Seed(m *Model) (*Model, map[string]int) {
	g := m.Graph()
	drawing := map[string]int{}
	nodes := make([]*onnxpb.NodeProto, len(g.GetNode()))
	for i, n := range g.GetNode() {
		nodes[i] = n
		if !random[n.GetOpType()] {
			continue
		}
		drawing[n.GetOpType()]++
		if Attr(n, "seed") == nil {
			c := proto.CloneOf(n)
			c.Attribute = append(c.Attribute, &onnxpb.AttributeProto{Name: proto.String("seed"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(float32(i + 1))})
			nodes[i] = c
		}
	}
	if len(drawing) == 0 {
		return m, drawing
	}
	seeded := Rebuild(m, nodes)
	seeded.SHA256 = m.SHA256
	return seeded, drawing
}
