package calib

import (
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// ActivationAfter gives the scalar activation function that all consumers of a tensor apply to it: SiLU, Sigmoid, GELU, Mish or hard
// swish, in whichever operators they were exported. ok is false if consumers differ, or if the function is affine, which weighs all values
// alike.
func ActivationAfter(m *onnx.Model, x *onnx.Index, name string) (f func(float64) float64, ok bool) {
	known := map[string]curve{name: {at: func(v float64) float64 { return v }, affine: true}}
	waiting := map[int]bool{} // nodes that read what is known and were not met yet
	note := func(tensor string) {
		for _, k := range x.Consumers[tensor] {
			waiting[k] = true
		}
	}
	note(name)
	if len(waiting) == 0 || x.Output[name] {
		return nil, false
	}
	for k := x.Consumers[name][0]; k < len(x.Nodes) && len(waiting) > 0; k++ {
		if !waiting[k] {
			continue
		}
		n := x.Nodes[k]
		made, follows := follow(m, x, n, known)
		if !follows {
			return nil, false
		}
		delete(waiting, k)
		out := n.GetOutput()[0]
		if len(waiting) == 0 && !made.affine { // everything goes through it
			return made.at, true
		}
		if x.Output[out] || len(x.Consumers[out]) == 0 {
			return nil, false
		}
		known[out] = made
		note(out)
	}
	return nil, false
}

// Gate gives the tensor between −1 and 1 that a tensor is multiplied by before anything else reads it; ok is false if there is
// none.
func Gate(x *onnx.Index, name string) (gate string, ok bool) {
	k, sole := x.SoleConsumer(name)
	if !sole || x.Nodes[k].GetOpType() != "Mul" || len(x.Nodes[k].GetInput()) != 2 {
		return "", false
	}
	gate = x.Nodes[k].GetInput()[0]
	if gate == name {
		gate = x.Nodes[k].GetInput()[1]
	}
	p, made := x.Producer[gate]
	return gate, made && slices.Contains([]string{"Sigmoid", "HardSigmoid", "Tanh"}, x.Nodes[p].GetOpType())
}

// curve is a function of one value.
type curve struct {
	at     func(float64) float64
	affine bool
}

// follow is what an operator makes of known tensors; false: it is no function of single values, or takes others too.
func follow(m *onnx.Model, x *onnx.Index, n *onnxpb.NodeProto, known map[string]curve) (curve, bool) {
	if n.GetDomain() != "" && n.GetDomain() != "ai.onnx" || len(n.GetOutput()) != 1 {
		return curve{}, false
	}
	var in []curve
	for i, name := range n.GetInput() {
		if name == "" && n.GetOpType() == "Clip" {
			in = append(in, curve{at: func(float64) float64 { return math.Inf(2*i - 3) }}) // no bound
			continue
		}
		c, there := known[name]
		if !there {
			v, scalar := scalarOf(m, x, name)
			if !scalar {
				return curve{}, false
			}
			c = curve{at: func(float64) float64 { return v }, affine: true}
		}
		in = append(in, c)
	}
	switch {
	case n.GetOpType() == "Clip":
		low, high := attribute(n, "min", float32(math.Inf(-1))), attribute(n, "max", float32(math.Inf(1))) // up to opset 10
		return curve{at: func(v float64) float64 {
			y := min(max(in[0].at(v), low), high)
			if len(in) > 1 {
				y = max(y, in[1].at(v))
			}
			if len(in) > 2 {
				y = min(y, in[2].at(v))
			}
			return y
		}}, true
	case len(in) == 1:
		f, straight := unary(n)
		if f == nil {
			return curve{}, false
		}
		a := in[0].at
		return curve{at: func(v float64) float64 { return f(a(v)) }, affine: straight && in[0].affine}, true
	case len(in) == 2:
		f := binary[n.GetOpType()]
		if f == nil {
			return curve{}, false
		}
		a, b := in[0], in[1]
		_, variesA := known[n.GetInput()[0]]
		_, variesB := known[n.GetInput()[1]]
		straight := a.affine && b.affine
		switch n.GetOpType() {
		case "Mul":
			straight = straight && (!variesA || !variesB)
		case "Div":
			straight = straight && !variesB
		case "Pow", "Max", "Min":
			straight = false
		}
		return curve{at: func(v float64) float64 { return f(a.at(v), b.at(v)) }, affine: straight}, true
	}
	return curve{}, false
}

// scalarOf is the value of a constant of one element.
func scalarOf(m *onnx.Model, x *onnx.Index, name string) (float64, bool) {
	p := x.Initializer[name]
	if p == nil || x.Input[name] {
		return 0, false
	}
	if n, err := tensor.Count(p.GetDims()); err != nil || n != 1 {
		return 0, false
	}
	t, err := m.Tensor(p)
	if err != nil {
		return 0, false
	}
	v, ok := t.AsFloat32()
	return float64(append(v, 0)[0]), ok && len(v) == 1
}

var binary = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b },
	"Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b },
	"Div": func(a, b float64) float64 { return a / b },
	"Pow": math.Pow, "Max": math.Max, "Min": math.Min,
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func attribute(n *onnxpb.NodeProto, name string, otherwise float32) float64 {
	return float64(onnx.AttrFloat(n, name, otherwise))
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// unary is an operator's function of its one input, by ONNX' operator documentation; nil: it is none.
func unary(n *onnxpb.NodeProto) (f func(float64) float64, straight bool) {
	switch n.GetOpType() {
	case "Identity", "Dropout":
		return func(x float64) float64 { return x }, true
	case "Neg":
		return func(x float64) float64 { return -x }, true
	case "Sigmoid":
		return sigmoid, false
	case "Tanh":
		return math.Tanh, false
	case "Erf":
		return math.Erf, false
	case "Softplus":
		return softplus, false
	case "Softsign":
		return func(x float64) float64 { return x / (1 + math.Abs(x)) }, false
	case "Relu":
		return func(x float64) float64 { return math.Max(x, 0) }, false
	case "Abs":
		return math.Abs, false
	case "LeakyRelu":
		a := attribute(n, "alpha", 0.01)
		return func(x float64) float64 { return math.Max(x, 0) + a*math.Min(x, 0) }, false
	case "Elu":
		a := attribute(n, "alpha", 1)
		return func(x float64) float64 { return math.Max(x, 0) + a*math.Expm1(math.Min(x, 0)) }, false
	case "HardSigmoid":
		a, b := attribute(n, "alpha", 0.2), attribute(n, "beta", 0.5)
		return func(x float64) float64 { return min(max(a*x+b, 0), 1) }, false
	case "HardSwish":
		return func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, false
	case "Mish":
		return func(x float64) float64 { return x * math.Tanh(softplus(x)) }, false
	case "Gelu":
		if onnx.AttrString(n, "approximate", "none") == "tanh" {
			return func(x float64) float64 {
				return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
			}, false
		}
		return func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }, false
	}
	return nil, false
}
