package rewrite

import (
	"math"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// activation is a function that exporters write with several operators. One of them is the anchor: it computes e of what is
// a polynomial of x, and the result is a polynomial of x and e.
type activation struct {
	name   string
	anchor string
	behind string                                                 // the operator in front of the anchor, "": any
	fits   func(f *facts, anchor *onnxpb.NodeProto) (bool, error) // nil: every anchor
	inner  poly                                                   // what the anchor takes (or the operator in front of it), of x
	outer  poly                                                   // the result, of x and e
	op     string
	attrs  []*onnxpb.AttributeProto
	opset  int64
	// elsewhere is a domain that has the same operator for older sets, "" if none.
	elsewhere string
}

var (
	halfGate = poly{{1, 0}: 0.5, {1, 1}: 0.5} // x·(1 + e)/2

	gelus = []activation{
		{
			name: "Gelu", anchor: "Erf", inner: poly{{1, 0}: math.Sqrt2 / 2}, outer: halfGate,
			op: "Gelu", opset: 20, elsewhere: "com.microsoft",
		},
		{
			name: "Gelu by tanh", anchor: "Tanh", inner: poly{{1, 0}: math.Sqrt(2 / math.Pi), {3, 0}: 0.044715 * math.Sqrt(2/math.Pi)}, outer: halfGate,
			op: "Gelu", attrs: []*onnxpb.AttributeProto{textAttr("approximate", "tanh")}, opset: 20,
		},
	}
	hardAttrs = func(slope float64) []*onnxpb.AttributeProto {
		return []*onnxpb.AttributeProto{onnx.FloatAttr("alpha", float32(slope)), onnx.FloatAttr("beta", 0.5)}
	}
	mishes = []activation{
		{name: "Mish", anchor: "Tanh", behind: "Softplus", inner: varX, outer: poly{{1, 1}: 1}, op: "Mish", opset: 18},
	}
	hards = []activation{
		{name: "HardSwish", anchor: "HardSigmoid", fits: sixth, inner: varX, outer: poly{{1, 1}: 1}, op: "HardSwish", opset: 14},
		{name: "HardSwish", anchor: "Clip", fits: clips(6), inner: poly{{}: 3, {1, 0}: 1}, outer: poly{{1, 1}: 1. / 6}, op: "HardSwish", opset: 14},
		{name: "HardSwish", anchor: "Clip", fits: clips(1), inner: poly{{}: 0.5, {1, 0}: 1. / 6}, outer: poly{{1, 1}: 1}, op: "HardSwish", opset: 14},
		{name: "HardSigmoid", anchor: "Clip", fits: clips(6), inner: poly{{}: 3, {1, 0}: 1}, outer: poly{{0, 1}: 1. / 6}, op: "HardSigmoid", attrs: hardAttrs(1. / 6), opset: 6},
		{name: "HardSigmoid", anchor: "Clip", fits: clips(1), inner: poly{{}: 0.5, {1, 0}: 1. / 6}, outer: varE, op: "HardSigmoid", attrs: hardAttrs(1. / 6), opset: 6},
		{name: "HardSigmoid", anchor: "Clip", fits: clips(1), inner: poly{{}: 0.5, {1, 0}: 0.2}, outer: varE, op: "HardSigmoid", attrs: hardAttrs(0.2), opset: 6},
	}
)

// sixth says whether a HardSigmoid is the one of HardSwish.
func sixth(_ *facts, n *onnxpb.NodeProto) (bool, error) {
	return math.Abs(float64(onnx.AttrFloat(n, "alpha", 0.2))-1./6) < 1e-5 && onnx.AttrFloat(n, "beta", 0.5) == 0.5, nil
}

// clips says whether a Clip goes from 0 to a bound.
func clips(to float64) func(*facts, *onnxpb.NodeProto) (bool, error) {
	return func(f *facts, n *onnxpb.NodeProto) (bool, error) {
		low, high, ok, err := f.clipBounds(n)
		return ok && low == 0 && high == to, err
	}
}

var fuseGelu = Pass{
	Name: "fuse-gelu", Title: "the operators that Gelu was taken apart into become a Gelu", Tolerance: 1e-4,
	Order: "behind the folding of constants, since a formula has its constants in it, and before the passes that put Mul and Add into others",
	Why:   "The HTP takes no Erf: a model with one is refused in every quantized form, and its Gelu is one table on the DSP. One encoding stands behind it instead of five in between.",
	Doc: `
    Before   x·0.5·(1 + Erf(x/√2))                                     After   Gelu(x)
    Before   x·0.5·(1 + Tanh(√(2/π)·(x + 0.044715·x³)))                After   Gelu(x), approximate = tanh

All spellings are found: Div or Mul by constants, in any order, Pow or products, 0.5 anywhere, since what is compared is the polynomial
that the operators compute. Conditions: the constants are scalar and those of the formula, to 2e-4; nobody else uses what lies between
the Erf and the result, and it is no graph output. Gelu is an operator of set 20. An older model is raised to it where that changes
nothing but the way in which it is written; where it cannot be, Erf becomes ONNX Runtime's own com.microsoft.Gelu, which the HTP takes as
well, but not every converter.
`,
	apply: func(s *sweep) error { return s.fuseActivations(gelus) },
}

var fuseActivations = Pass{
	Name: "fuse-activations", Title: "the operators that HardSwish and HardSigmoid were taken apart into become the operator", Tolerance: 1e-5,
	Order: "behind fuse-gelu, for the same reasons",
	Why:   "Each operator in between reads and writes the whole tensor, and has an encoding of its own that costs accuracy. By the estimate a HardSwish of 200,704 values takes 6 % less in 8 bits and 7 % less in 16.",
	Doc: `
    Before   x·Clip(x + 3, 0, 6)/6,   x·Clip(x/6 + 0.5, 0, 1),   x·HardSigmoid(x)      After   HardSwish(x)
    Before   Clip(x + 3, 0, 6)/6,     Clip(x/6 + 0.5, 0, 1)                            After   HardSigmoid(x), alpha = 1/6, beta = 0.5

Found in all spellings, as by fuse-gelu, under the same conditions. HardSwish is an operator of set 14, to which an older model is raised
where that changes nothing else. x·Sigmoid(x) stays: it has no operator of its own before set 24, and the compiler joins the two itself.
`,
	apply: func(s *sweep) error { return s.fuseActivations(hards) },
}

var fuseMish = Pass{
	Name: "fuse-mish", Title: "x·Tanh(Softplus(x)) becomes a Mish", Tolerance: 1e-5, Off: true,
	Order: "behind fuse-activations, for the same reasons",
	Why:   "Only for 16 bits: the HTP emulator computes a Softplus of 16 bits wrongly, so that a Mish of three operators has 2 dB in w8a16, where one Mish has 39 dB. In 8 bits the three are right, and one Mish takes 2.8 times as long by the estimate.",
	Doc: `
    Before   x·Tanh(Softplus(x))        After   Mish(x)

Conditions are those of fuse-gelu. Mish is an operator of set 18, to which an older model is raised where that changes nothing else.
`,
	apply: func(s *sweep) error { return s.fuseActivations(mishes) },
}

// fuseActivations finds functions by their anchors and puts operators in their places.
func (s *sweep) fuseActivations(list []activation) error {
	for i, n := range s.x.Nodes {
		for _, a := range list {
			if n.GetOpType() != a.anchor || n.GetDomain() != "" || !s.free(i) || len(n.GetInput()) == 0 {
				continue
			}
			if a.fits != nil {
				if ok, err := a.fits(s.facts, n); err != nil {
					return err
				} else if !ok {
					continue
				}
			}
			if err := (activationReader{s}).fuseActivation(i, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// activationReader recognizes functions around their anchors.
type activationReader struct{ *sweep }

// fuseActivation does so where the formula around an anchor is the function's.
func (s activationReader) fuseActivation(anchor int, a activation) error {
	n, first := s.x.Nodes[anchor], anchor
	if a.behind != "" {
		k, made := s.x.Producer[n.GetInput()[0]]
		if !made || s.x.Nodes[k].GetOpType() != a.behind || s.x.Nodes[k].GetDomain() != "" {
			return nil
		}
		first = k
	}
	taken := s.x.Nodes[first].GetInput()[0]
	for _, x := range s.beneath(taken) {
		inner := &formula{f: s.facts, leaves: map[string]poly{x: varX}, rank: s.rankOf(x), nodes: map[int]bool{anchor: true, first: true}}
		p, ok, err := inner.of(taken, mostSteps)
		if err != nil {
			return err
		}
		if !ok || !p.is(a.inner) {
			continue
		}
		last, nodes, err := s.resultOf(anchor, x, inner, a.outer)
		if err != nil {
			return err
		}
		if last < 0 {
			continue
		}
		out := &onnxpb.NodeProto{
			OpType: proto.String(a.op), Name: proto.String(nameOf(s.x.Nodes[last])), Input: []string{x}, Output: s.x.Nodes[last].GetOutput()[:1], Attribute: a.attrs,
		}
		before := s.raise
		if err := s.opset(a.opset); err != nil {
			if a.elsewhere == "" {
				s.leave(n, "%s: %v", a.name, err)
				return nil
			}
			out.Domain = proto.String(a.elsewhere)
		}
		if !s.swallow(nodes, last, out) {
			s.raise = before
			return nil
		}
		if out.GetDomain() != "" {
			s.domain = out.GetDomain()
		}
		s.changed("%s (%d operators) is %s now", nameOf(n), len(nodes), a.op)
		return nil
	}
	return nil
}

// resultOf goes from an anchor on to the first tensor that is a polynomial of x and of what the anchor makes, and gives its node, −1 if there is
// none, and all nodes of the formula.
func (s activationReader) resultOf(anchor int, x string, inner *formula, outer poly) (int, map[int]bool, error) {
	e := s.x.Nodes[anchor].GetOutput()[0]
	if outer.is(varE) {
		return anchor, inner.nodes, nil
	}
	at := e
	for range mostSteps {
		k, sole := s.x.SoleConsumer(at)
		if !sole || !arithmetical(s.x.Nodes[k]) {
			return -1, nil, nil
		}
		at = s.x.Nodes[k].GetOutput()[0]
		whole := &formula{f: s.facts, leaves: map[string]poly{x: varX, e: varE}, rank: s.rankOf(x), nodes: map[int]bool{}}
		p, ok, err := whole.of(at, mostSteps)
		if err != nil {
			return -1, nil, err
		}
		if !ok || !p.is(outer) {
			continue
		}
		for j := range inner.nodes {
			whole.nodes[j] = true
		}
		return k, whole.nodes, nil
	}
	return -1, nil, nil
}
