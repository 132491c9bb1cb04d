package rewrite

import (
	"math"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// poly is a polynomial of two tensors, x and e: powers of both → coefficient. Whatever order or form operators have in a graph, they
// compute one polynomial, so that one comparison finds all spellings of a formula.
type poly map[[2]int]float64

const (
	mostPower      = 4
	mostSteps      = 10   // operators that one formula may have on a way
	formulaNearest = 2e-4 // by how much a coefficient may differ, against the formula's
)

var (
	varX = poly{{1, 0}: 1}
	varE = poly{{0, 1}: 1}
)

func (p poly) plus(q poly, factor float64) poly {
	sum := poly{}
	for k, v := range p {
		sum[k] += v
	}
	for k, v := range q {
		sum[k] += factor * v
	}
	return sum
}

// times is false if a power is too high.
func (p poly) times(q poly) (poly, bool) {
	product := poly{}
	for a, v := range p {
		for b, w := range q {
			k := [2]int{a[0] + b[0], a[1] + b[1]}
			if k[0] > mostPower || k[1] > mostPower {
				return nil, false
			}
			product[k] += v * w
		}
	}
	return product, true
}

// is says whether two polynomials are the same but for the rounding of their constants.
func (p poly) is(q poly) bool {
	greatest := 0.0
	for _, v := range q {
		greatest = math.Max(greatest, math.Abs(v))
	}
	for k, v := range p {
		if q[k] == 0 && math.Abs(v) > 1e-6*greatest {
			return false
		}
	}
	for k, v := range q {
		if math.Abs(p[k]-v) > formulaNearest*math.Abs(v) {
			return false
		}
	}
	return true
}

func (p poly) constant() (float64, bool) {
	for k, v := range p {
		if k != [2]int{} && v != 0 {
			return 0, false
		}
	}
	return p[[2]int{}], true
}

// formula reads which polynomial of some tensors another one is.
type formula struct {
	f      *facts
	leaves map[string]poly
	rank   int          // of x; constants must not widen it; −1: not known
	nodes  map[int]bool // that compute it
}

// of is false if the tensor is no such polynomial.
func (r *formula) of(name string, steps int) (poly, bool, error) {
	if p, ok := r.leaves[name]; ok {
		return p, true, nil
	}
	if c, ok, err := r.f.constant(name); err != nil || ok {
		if err != nil || len(c.F32) != 1 || len(c.Shape) > max(r.rank, 1) {
			return nil, false, err
		}
		return poly{{}: float64(c.F32[0])}, true, nil
	}
	k, made := r.f.x.Producer[name]
	if !made || steps == 0 {
		return nil, false, nil
	}
	n := r.f.x.Nodes[k]
	if !arithmetical(n) {
		return nil, false, nil
	}
	var args []poly
	for _, in := range n.GetInput() {
		p, ok, err := r.of(in, steps-1)
		if err != nil || !ok {
			return nil, false, err
		}
		args = append(args, p)
	}
	r.nodes[k] = true
	p, ok := calculated(n.GetOpType(), args)
	return p, ok, nil
}

// arithmetical says whether a node is one of those that formulas are made of.
func arithmetical(n *onnxpb.NodeProto) bool {
	inputs := map[string]int{"Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "Neg": 1, "Identity": 1}[n.GetOpType()]
	return n.GetDomain() == "" && inputs > 0 && len(n.GetInput()) == inputs && len(n.GetOutput()) == 1 && len(n.GetAttribute()) == 0
}

func calculated(op string, args []poly) (poly, bool) {
	switch op {
	case "Identity":
		return args[0], true
	case "Neg":
		return poly{}.plus(args[0], -1), true
	case "Add":
		return args[0].plus(args[1], 1), true
	case "Sub":
		return args[0].plus(args[1], -1), true
	case "Mul":
		return args[0].times(args[1])
	case "Div":
		c, ok := args[1].constant()
		return poly{}.plus(args[0], 1/c), ok && c != 0
	case "Pow":
		c, ok := args[1].constant()
		if !ok || c != math.Trunc(c) || c < 1 || c > mostPower {
			return nil, false
		}
		p := args[0]
		for range int(c) - 1 {
			if p, ok = p.times(args[0]); !ok {
				return nil, false
			}
		}
		return p, true
	}
	return nil, false
}

// beneath lists the tensors that a tensor is computed from by arithmetic with constants, itself first, the nearest first.
func (f *facts) beneath(name string) []string {
	const most = 16
	list, seen := []string{name}, map[string]bool{name: true}
	for i := 0; i < len(list) && len(list) < most; i++ {
		k, made := f.x.Producer[list[i]]
		if !made || !arithmetical(f.x.Nodes[k]) {
			continue
		}
		for _, in := range f.x.Nodes[k].GetInput() {
			if !seen[in] && f.x.Initializer[in] == nil {
				seen[in] = true
				list = append(list, in)
			}
		}
	}
	return list
}

// rankOf is a tensor's number of axes, −1 if it is not known.
func (f *facts) rankOf(name string) int {
	shape, known := f.shapes(name)
	if !known {
		return -1
	}
	return len(shape)
}

// swallow puts one node in the place of a formula's: it takes over the output of last. The formula's nodes go, but for those whose results
// others use. It is false if one of them was touched already.
func (s *sweep) swallow(nodes map[int]bool, last int, with *onnxpb.NodeProto) bool {
	gone := map[int]bool{}
	for k := range nodes {
		gone[k] = true
		if s.touched[k] {
			return false
		}
	}
	gone[last] = true
	for changed := true; changed; {
		changed = false
		for k := range gone {
			if k != last && s.used(k, gone) {
				delete(gone, k)
				changed = true
			}
		}
	}
	for k := range gone {
		s.replace(k)
	}
	for k := range nodes {
		s.touch(k)
	}
	s.replace(last, with)
	return true
}

// used says whether something else than some nodes takes what a node makes.
func (f *facts) used(node int, besides map[int]bool) bool {
	for _, out := range f.x.Nodes[node].GetOutput() {
		if f.x.Output[out] {
			return true
		}
		for _, c := range f.x.Consumers[out] {
			if !besides[c] {
				return true
			}
		}
	}
	return false
}

// clipBounds are the constant bounds of a Clip; ok is false if they are not known.
func (f *facts) clipBounds(n *onnxpb.NodeProto) (low, high float64, ok bool, err error) {
	low, high = float64(onnx.AttrFloat(n, "min", float32(math.Inf(-1)))), float64(onnx.AttrFloat(n, "max", float32(math.Inf(1))))
	for k, bound := range map[int]*float64{1: &low, 2: &high} {
		if len(n.GetInput()) <= k || n.GetInput()[k] == "" {
			continue
		}
		c, known, err := f.constant(n.GetInput()[k])
		if err != nil || !known || len(c.F32) != 1 {
			return 0, 0, false, err
		}
		*bound = float64(c.F32[0])
	}
	return low, high, true, nil
}
