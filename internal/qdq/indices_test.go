package qdq_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/tensor"
)

// TestWhatBecomesAShapeOrAnIndexHasNoEncoding draws networks as lines of "operator inputs > output". A tensor whose name begins with i is no
// tensor of real numbers; none lists the tensors of real numbers that get no encoding.
func TestWhatBecomesAShapeOrAnIndexHasNoEncoding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ net, none string }{
		"an activation":                         {"Conv x w > a; Exp a > b; Mul b x > y", ""},
		"durations, summed":                     {"Conv x w > a; Exp a > d; Ceil d > e; ReduceSum e > s; Cast s > is; Range izero is ione > ir; Gather x ir > y", "d e s"},
		"their ends, compared":                  {"Conv x w > a; Exp a > d; ReduceSum d > s; Cast s > is; Range izero is ione > ir; Cast ir > r; CumSum d > c; Less r c > im; Cast im > m; Mul m x > y", "d s r c"},
		"a float input as index":                {"Cast x > ix; Gather table ix > y", "x"},
		"an input of both":                      {"Cast x > ix; Gather table ix > e; Add e x > y", ""},
		"a place and its weight":                {"Conv x w > o; Floor o > f; Cast f > if; Gather x if > g; Sub o f > r; Mul r g > y", "f"},
		"Expand":                                {"Conv x w > a; Abs a > b; Cast b > ib; Expand x ib > y", "b"},
		"ConstantOfShape":                       {"Conv x w > a; Abs a > b; Cast b > ib; ConstantOfShape ib > z; Add z x > y", "b"},
		"Reshape":                               {"Conv x w > a; Mul a two > b; Cast b > ib; Concat ib iz > is; Reshape x is > y", "b"},
		"Tile":                                  {"Conv x w > a; Round a > b; Cast b > ib; Tile x ib > y", "b"},
		"Slice":                                 {"Conv x w > a; Round a > b; Cast b > ib; Slice x ib iend > y", "b"},
		"NonZero":                               {"Conv x w > a; Relu a > b; NonZero b > in; Gather x in > y", "b"},
		"TopK":                                  {"Conv x w > a; Round a > b; Cast b > ib; TopK x ib > y", "b"},
		"a number of rounds":                    {"Conv x w > a; Round a > b; Cast b > ib; Loop ib > y", "b"},
		"scores of which the greatest is taken": {"Conv x w > a; ArgMax a > ia; Gather table ia > y", ""},
		"scores over a bound":                   {"Conv x w > a; Sigmoid a > s; Greater s half > im; NonZero im > in; Gather x in > y", ""},
		"a mask of zeros and ones":              {"Cast itokens > m; Sub one m > n; Mul n big > b; Add x b > y", ""},
		"an output of the graph":                {"Conv x w > a; Abs a > y; Cast y > ib; Expand x ib > z", ""},
		"another domain's operator":             {"Conv x w > a; Abs a > b; Cast b > ib; my.Gather x ib > y", ""},
		"what a Conv makes":                     {"Conv x w > a; Cast a > ia; Gather x ia > y", ""},
		"moved first":                           {"Conv x w > a; Exp a > d; Squeeze d iz > e; Cast e > ie; Expand x ie > y", "d e"},
		"joined with others":                    {"Conv x w > a; Exp a > d; Cast d > id; Expand x id > g; Concat g x > y", "d"},
		"half of it is an index":                {"Conv x w > a; Exp a > d; Split d isp > p q; Cast p > ip; Gather x ip > g; Mul g q > y", "p"},
	} {
		var nodes []*onnxpb.NodeProto
		for _, line := range strings.Split(c.net, "; ") {
			left, right, _ := strings.Cut(line, " > ")
			words := strings.Fields(left)
			n := node(words[0], words[1:], strings.Fields(right)...)
			if domain, op, is := strings.Cut(words[0], "."); is {
				n.Domain, n.OpType = proto.String(domain), proto.String(op)
			}
			if to := tensor.Float32; words[0] == "Cast" {
				if strings.HasPrefix(right, "i") {
					to = tensor.Int64
				}
				n.Attribute = append(n.Attribute, onnx.IntAttr("to", int64(to)))
			}
			nodes = append(nodes, n)
		}
		made := map[string]bool{"x": true}
		for _, n := range nodes {
			for _, out := range n.GetOutput() {
				made[out] = true
			}
		}
		m := (&onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}}}).With(&onnxpb.GraphProto{
			Name: proto.String("g"), Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 4, 4})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		})
		for _, n := range nodes {
			for _, in := range n.GetInput() {
				if !made[in] {
					made[in] = true
					v := tensor.Floats([]float32{1}, 1)
					if in[0] == 'i' {
						v = tensor.Tensor{DType: tensor.Int64, Shape: []int64{1}, Raw: make([]byte, 8)}
					}
					m.Graph().Initializer = append(m.Graph().Initializer, onnx.TensorProto(in, v))
				}
			}
		}
		p := qdq.Find(m, func(name string) bool { return name[0] != 'i' })
		var none []string
		for _, tensor := range p.Order {
			if place := p.Tensors[tensor]; place.Role == qdq.None && strings.Contains(place.Reason, "a shape or an index") {
				none = append(none, tensor)
			}
		}
		if want := strings.Fields(c.none); !slices.Equal(none, want) {
			t.Errorf("%s: %v, want %v", name, none, want)
		}
		for _, q := range p.Params {
			for _, out := range m.Graph().GetNode()[q.Node].GetOutput() {
				if slices.Contains(none, out) {
					t.Errorf("%s: a constant of what makes %s is quantized", name, out)
				}
			}
		}
	}
}
