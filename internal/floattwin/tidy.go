package floattwin

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// tidier ends a twin that is made.
type tidier struct{ *maker }

// tidy leaves out what only served integers: scales behind products go into the weights, a graph output is made under its name, and
// nodes that nothing depends on go. of is the graph that the twin is made of.
func (k tidier) tidy(g, of *onnxpb.GraphProto) {
	k.foldScales(g)
	k.nameOutputs(g)
	g.Initializer = slices.Concat(of.GetInitializer(), k.inits)
	wanted := map[string]bool{}
	for _, out := range g.GetOutput() {
		wanted[out.GetName()] = true
	}
	var kept []*onnxpb.NodeProto
	for _, n := range slices.Backward(g.GetNode()) {
		if !slices.ContainsFunc(n.GetOutput(), func(out string) bool { return out != "" && wanted[out] }) {
			continue
		}
		for _, in := range onnx.Uses(n) {
			wanted[in] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	g.Node = kept
	if k.outer != nil { // the model's own are left out when it is rebuilt
		g.Initializer = slices.DeleteFunc(g.GetInitializer(), func(t *onnxpb.TensorProto) bool { return !wanted[t.GetName()] })
	}
}

// nameOutputs gives what stands for a graph output the output's name, where nothing else gives it out.
func (k tidier) nameOutputs(g *onnxpb.GraphProto) {
	for i := len(g.GetNode()) - 1; i >= 0; i-- {
		n := g.GetNode()[i]
		if n.GetOpType() != "Identity" || !k.output[n.GetOutput()[0]] || k.producer[n.GetOutput()[0]] == nil || k.producer[n.GetOutput()[0]].GetOpType() == "Identity" {
			continue
		}
		from, to := n.GetInput()[0], n.GetOutput()[0]
		maker := k.made[from]
		if maker == nil || k.output[from] {
			continue
		}
		rename := map[string]string{from: to}
		for _, other := range g.GetNode() {
			if slices.Contains(onnx.Uses(other), from) {
				onnx.RenameUses(other, rename)
			}
		}
		maker.Output[slices.Index(maker.GetOutput(), from)] = to
		for j := range k.report.Encodings {
			if k.report.Encodings[j].Tensor == from {
				k.report.Encodings[j].Tensor = to
			}
		}
		for j := range k.report.Clamps {
			if k.report.Clamps[j].Tensor == from {
				k.report.Clamps[j].Tensor = to
			}
		}
		k.made[to] = maker
		g.Node = slices.Delete(g.GetNode(), i, i+1)
	}
}

// foldScales multiplies the weights of products that were of integers by the constant behind them.
func (k tidier) foldScales(g *onnxpb.GraphProto) {
	users := map[string][]*onnxpb.NodeProto{}
	for _, n := range g.GetNode() {
		for _, in := range onnx.Uses(n) {
			users[in] = append(users[in], n)
		}
	}
	gone := map[*onnxpb.NodeProto]bool{}
	for _, n := range g.GetNode() {
		out := ""
		if len(n.GetOutput()) > 0 {
			out = n.GetOutput()[0]
		}
		if !k.sums[out] || k.output[out] || len(users[out]) != 1 || len(n.GetInput()) < 2 {
			continue
		}
		mul, add := users[out][0], (*onnxpb.NodeProto)(nil)
		if between := mul.GetOutput()[0]; mul.GetOpType() == "Add" && k.sums[between] && len(users[between]) == 1 && !k.output[between] {
			mul, add = users[between][0], mul
			out = between
		}
		if n.GetOpType() != "MatMul" && n.GetOpType() != "Conv" || mul.GetOpType() != "Mul" || mul.GetInput()[0] == mul.GetInput()[1] {
			continue
		}
		weight, factors := k.constantOf(n.GetInput()[1]), k.constantOf(other(mul, out))
		if weight == nil || factors == nil || len(users[n.GetInput()[1]]) != 1 {
			continue
		}
		scaled, ok := k.scaled(n.GetOpType(), weight, factors)
		if !ok {
			continue
		}
		if add != nil {
			addend := other(add, n.GetOutput()[0])
			bias, ok := k.scaledBias(k.constantOf(addend), factors)
			if !ok || len(users[addend]) != 1 {
				continue
			}
			add.Input[0], add.Input[1], add.Output[0] = n.GetOutput()[0], k.put(addend, bias), mul.GetOutput()[0]
			if channels := k.biasOfConv(n, bias, weight); channels != "" {
				n.Input, n.Output[0] = append(n.Input, channels), mul.GetOutput()[0]
				gone[add] = true
			}
		} else {
			n.Output[0] = mul.GetOutput()[0]
		}
		proto.Reset(weight)
		proto.Merge(weight, scaled)
		k.made[n.GetOutput()[0]] = n
		gone[mul] = true
	}
	g.Node = slices.DeleteFunc(g.GetNode(), func(n *onnxpb.NodeProto) bool { return gone[n] })
}

// other is a node's input that is not the given one.
func other(n *onnxpb.NodeProto, in string) string {
	if n.GetInput()[0] == in {
		return n.GetInput()[1]
	}
	return n.GetInput()[0]
}

// scaledBias multiplies a constant that is added by the one factor that multiplies the sum.
func (k tidier) scaledBias(bias, factors *onnxpb.TensorProto) (tensor.Tensor, bool) {
	if bias == nil {
		return tensor.Tensor{}, false
	}
	b, err := k.m.Tensor(bias)
	if err != nil || b.DType != tensor.Float32 {
		return b, false
	}
	f, err := k.m.Tensor(factors)
	if err != nil || len(f.F32) != 1 {
		return b, false
	}
	scaled := tensor.Floats(make([]float32, len(b.F32)), b.Shape...)
	for i, v := range b.F32 {
		scaled.F32[i] = v * f.F32[0]
	}
	return scaled, true
}

// biasOfConv makes a bias of what is added to every channel of a Conv's output; "" if the node is none, or something else is added.
func (k tidier) biasOfConv(n *onnxpb.NodeProto, bias tensor.Tensor, weight *onnxpb.TensorProto) string {
	at := len(bias.Shape) - len(weight.GetDims()) + 1
	if n.GetOpType() != "Conv" || len(n.GetInput()) != 2 || at < 0 || bias.Shape[at] != weight.GetDims()[0] || int64(len(bias.F32)) != bias.Shape[at] {
		return ""
	}
	return k.put(n.GetOutput()[0]+"_bias", tensor.Floats(bias.F32, bias.Shape[at]))
}

// scaled gives a weight with every output channel multiplied by its factor; ok is false if the factors are not one per channel.
func (k tidier) scaled(op string, weight, factors *onnxpb.TensorProto) (*onnxpb.TensorProto, bool) {
	w, err := k.m.Tensor(weight)
	if err != nil || w.DType != tensor.Float32 {
		return nil, false
	}
	f, err := k.m.Tensor(factors)
	if err != nil || f.DType != tensor.Float32 || len(f.F32) == 0 || len(w.Shape) < 2 {
		return nil, false
	}
	channels, inner := int(w.Shape[len(w.Shape)-1]), 1
	behind := 0 // dimensions of the factors behind the channels
	if op == "Conv" {
		channels, inner, behind = int(w.Shape[0]), len(w.F32)/max(int(w.Shape[0]), 1), len(w.Shape)-2
	}
	if len(f.F32) != 1 {
		at := len(f.Shape) - 1 - behind
		if at < 0 || len(f.F32) != channels || int(f.Shape[at]) != channels {
			return nil, false
		}
	}
	values := make([]float32, len(w.F32))
	for i, v := range w.F32 {
		values[i] = v * f.F32[min(i/inner%channels, len(f.F32)-1)]
	}
	return onnx.TensorProto(weight.GetName(), tensor.Floats(values, w.Shape...)), true
}
