package align

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// pictured is a random network with the DLC that a converter could have made of it, and which tensor is which.
type pictured struct {
	float Float
	file  *dlc.File
	truth map[string]string // layer → tensor; "" if it is fused
	kept  map[string]bool   // layers whose names say what they are
}

// picture makes one: rename says what becomes of a name.
func picture(r *rand.Rand, rename func(name string) (string, bool)) pictured {
	shapes := map[string][]int64{"x": {1, 3, 16, 16}}
	g := &onnxpb.GraphProto{Input: []*onnxpb.ValueInfoProto{{Name: ptr("x")}}}
	names := []string{"x"}
	add := func(op string, shape []int64, inputs ...string) string {
		out := fmt.Sprintf("/m.%d/%s_output_0", len(names), op)
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: ptr(op), Name: ptr(fmt.Sprintf("n%d", len(names))), Input: inputs, Output: []string{out}})
		shapes[out] = shape
		names = append(names, out)
		return out
	}
	for range 12 + r.IntN(20) {
		from := names[len(names)-1-r.IntN(min(3, len(names)))]
		s := slices.Clone(shapes[from])
		switch r.IntN(7) {
		case 0, 1:
			s[1] = int64(4 * (1 + r.IntN(4)))
			w := fmt.Sprintf("w%d", len(names))
			g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: ptr(w), Dims: []int64{s[1], shapes[from][1], 1, 1}, DataType: ptr(int32(1))})
			out := add("Conv", s, from, w)
			if r.IntN(2) == 0 {
				add("Relu", s, out)
			}
		case 2:
			add("Sigmoid", s, from)
		case 3, 4:
			op := []string{"Add", "Mul"}[r.IntN(2)]
			for _, other := range names {
				if other != from && slices.Equal(shapes[other], s) && r.IntN(2) == 0 {
					add(op, s, from, other)
					break
				}
			}
		case 5:
			for _, other := range names {
				if slices.Equal(shapes[other], s) && other != from && r.IntN(2) == 0 {
					s[1] *= 2
					add("Concat", s, from, other)
					break
				}
			}
		case 6:
			if s[2] > 4 {
				s[2], s[3] = s[2]/2, s[3]/2
				add("MaxPool", s, from)
			}
		}
	}
	m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}
	x := onnx.NewIndex(m)
	for _, name := range names[1:] { // whatever nobody uses is an output
		if len(x.Consumers[name]) == 0 {
			g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: ptr(name)})
		}
	}
	p := pictured{truth: map[string]string{}, kept: map[string]bool{}}
	p.float = Float{
		Index: onnx.NewIndex(m), Layers: names[1:], Constant: func(string) bool { return false },
		Shape: func(name string) ([]int64, bool) { s, ok := shapes[name]; return s, ok },
	}
	p.convert(r, shapes, rename)
	return p
}

func ptr[T any](v T) *T { return &v }

// convert makes the DLC: channels last behind a Transpose, activation functions fused here and there, nodes in another
// order.
func (p *pictured) convert(r *rand.Rand, shapes map[string][]int64, rename func(string) (string, bool)) {
	g := dlc.Graph{Name: "g"}
	called := map[string]string{}
	tensor := func(name string, l dlc.Location, shape ...int64) {
		t := dlc.Tensor{Name: name, Location: l, AxisFormat: -1, DType: 0x408}
		for _, d := range shape {
			t.Shape = append(t.Shape, int(d))
		}
		g.Tensors = append(g.Tensors, t)
	}
	tensor("x", dlc.Input, shapes["x"]...)
	s := shapes["x"]
	tensor("x.nhwc", dlc.Native, s[0], s[2], s[3], s[1])
	g.Nodes = append(g.Nodes, dlc.Node{Name: "t", Type: "Transpose", Inputs: []string{"x"}, Outputs: []string{"x.nhwc"}, Attributes: []dlc.Attribute{{Name: "perm", Text: "[0, 2, 3, 1]"}}})
	called["x"] = "x.nhwc"
	kind := map[string]string{"Conv": "Conv2d", "Relu": "ElementWiseNeuron", "Sigmoid": "ElementWiseNeuron", "Add": "Eltwise_Binary", "Mul": "Eltwise_Binary", "Concat": "Concat", "MaxPool": "Pool"}
	into := map[string]string{} // Conv → the Relu that it is fused into
	for _, n := range p.float.Index.Nodes {
		out := n.GetOutput()[0]
		if k, sole := p.float.Index.SoleConsumer(out); sole && n.GetOpType() == "Conv" && p.float.Index.Nodes[k].GetOpType() == "Relu" && r.IntN(2) == 0 {
			into[out] = p.float.Index.Nodes[k].GetOutput()[0]
		}
	}
	fusedRelu := map[string]bool{}
	for _, n := range p.float.Index.Nodes {
		out := n.GetOutput()[0]
		if fusedRelu[out] {
			continue
		}
		name := out
		if to, fused := into[out]; fused {
			p.truth[out] = ""
			fusedRelu[to] = true
			name = to
		}
		theirs, kept := rename(name)
		p.truth[name], p.kept[name] = theirs, kept
		s := shapes[out]
		location := dlc.Native
		if p.float.Index.Output[name] {
			location = dlc.Output
		}
		tensor(theirs, location, s[0], s[2], s[3], s[1])
		node := dlc.Node{Name: "op_" + theirs, Type: kind[n.GetOpType()], Outputs: []string{theirs}}
		if number, ok := map[string]int{"Relu": 4, "Sigmoid": 6, "Add": 0, "Mul": 13}[n.GetOpType()]; ok {
			node.Attributes = append(node.Attributes, dlc.Attribute{Name: "operation", DType: 0x132, Int: number})
		}
		for _, in := range n.GetInput() {
			if p.float.Index.Initializer[in] != nil {
				tensor(in+"_quantized", dlc.Static, 1, 1, 1, 1)
				node.Inputs = append(node.Inputs, in+"_quantized")
				continue
			}
			node.Inputs = append(node.Inputs, called[in])
		}
		called[name] = theirs
		g.Nodes = append(g.Nodes, node)
	}
	r.Shuffle(len(g.Nodes), func(i, j int) { g.Nodes[i], g.Nodes[j] = g.Nodes[j], g.Nodes[i] })
	r.Shuffle(len(g.Tensors), func(i, j int) { g.Tensors[i], g.Tensors[j] = g.Tensors[j], g.Tensors[i] })
	p.file = dlc.Described("test", dlc.Metadata{}, []dlc.Graph{g}, nil)
}

// TestPermutedAndRenamedCopies holds the alignment of random networks against what is known of them: no layer is paired
// wrongly, and every layer whose name says what it is, is paired.
func TestPermutedAndRenamedCopies(t *testing.T) {
	paired, all := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		style := r.IntN(5)
		number := 0
		p := picture(r, func(name string) (string, bool) {
			number++
			switch pick := style; {
			case pick == 0, pick == 4 && r.IntN(3) > 0:
				return name, true
			case pick == 1:
				return name + []string{"_QuantizeLinear", "_QuantizeLinear_Output"}[r.IntN(2)], true
			case pick == 2:
				return strings.Trim(strings.NewReplacer("/", "_", ".", "_").Replace(name), "_"), true
			}
			return fmt.Sprintf("t%d", number), false
		})
		got, err := Contain(p.float, p.file)
		if err != nil {
			t.Fatal(seed, err)
		}
		for _, layer := range p.float.Layers {
			pair, ok := got.Pairs[layer]
			want, known := p.truth[layer]
			if !known {
				t.Fatal(seed, layer)
			}
			all++
			if ok {
				paired++
			}
			switch {
			case !ok && p.kept[layer] && style < 3:
				t.Errorf("seed %d, style %d: %s is not paired with %s", seed, style, layer, want)
			case !ok:
			case pair.Rule == Duplicate && pair.Tensor != "": // the same values
			case want == "" && pair.Into == "", want != "" && pair.Tensor != want:
				t.Errorf("seed %d, style %d: %s is paired with %+v, not with %q", seed, style, layer, pair, want)
			case want != "" && (pair.Unknown != "" || !slices.Equal(effective(pair.Layout, shapeOf(p.float, layer)), effective(channelLast(4), shapeOf(p.float, layer)))):
				t.Errorf("seed %d: %s lies %+v", seed, layer, pair)
			}
		}
	}
	t.Logf("%d of %d layers paired", paired, all)
	if paired < all*3/4 {
		t.Errorf("only %d of %d layers are paired", paired, all)
	}
}

func shapeOf(f Float, name string) []int64 { s, _ := f.Shape(name); return s }

func TestNamesThatCannotBeToldApartAreAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	p := picture(r, func(name string) (string, bool) { return name, true })
	first := p.float.Layers[0]
	g := &p.file.Graphs[0]
	for i := range g.Tensors {
		if g.Tensors[i].Name == first {
			g.Tensors[i].Name = "m_1_a.b"
			twin := g.Tensors[i]
			twin.Name = "m_1_a/b"
			g.Tensors = append(g.Tensors, twin)
		}
	}
	for i := range g.Nodes {
		if g.Nodes[i].Outputs[0] == first {
			g.Nodes[i].Outputs[0] = "m_1_a.b"
			twin := g.Nodes[i]
			twin.Outputs = []string{"m_1_a/b"}
			g.Nodes = append(g.Nodes, twin)
		}
	}
	k := p.float.Index.Producer[first]
	p.float.Index.Nodes[k].Output[0] = "m/1/a.b"
	delete(p.float.Index.Producer, first)
	p.float.Index.Producer["m/1/a.b"] = k
	s, _ := p.float.Shape(first)
	shape := p.float.Shape
	p.float.Shape = func(name string) ([]int64, bool) {
		if name == "m/1/a.b" {
			return s, true
		}
		return shape(name)
	}
	p.float.Layers[0] = "m/1/a.b"
	p.file = dlc.Described("test", dlc.Metadata{}, p.file.Graphs, nil)
	_, err := Contain(p.float, p.file)
	if err == nil || !strings.Contains(err.Error(), `"m_1_a.b"`) || !strings.Contains(err.Error(), `"m_1_a/b"`) {
		t.Errorf("%v", err)
	}
}
