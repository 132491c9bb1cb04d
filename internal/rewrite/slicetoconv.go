package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var sliceToConv = Pass{
	Name: "slice-to-conv", Doubtful: true, Title: "strided Slices, and Slices of channels, become a Conv of zeros and ones", Tolerance: 0, Off: true,
	Order: "after the passes that put Slices into a Conv that is there, before the fusions: constants around it go into its weights",
	Why:   "Strided Slices of few channels keep the vector unit busy for long; a Conv runs on the matrix unit. It multiplies mostly by zero, so it pays only where an estimate says so: YOLOX's eight Slices from 5.42 M to 1.32 M cycles for the whole model, but a strided Slice of 64 channels from 0.150 M to 0.153 M, and Slices of channels from 0.181 M to 0.187 M, all with float inputs.",
	Doc: `
    Before   x [N,C,H,W] ─ Slice(rows a::s, columns e::s) ─ y      After   x ─ Conv(W [C,1,a+1,e+1], stride s, group C) ─ y
    Before   x ─ Slice(channels p) ─ y                             After   x ─ Conv(W [J,C,1,1]) ─ y
    Before   x ─ strided Slices ─ Concat ─ y                       After   x ─ Conv(W [J,C,·,·], stride s) ─ y

    W[c, 0, a, e] = 1          W[j, p[j], 0, 0] = 1          W[j, c, a, e] = 1 where y[:, j] is x[:, c, a::s, e::s]; all else 0

Nothing is padded: row i of the output is row a + s·i of x, ⌊(H − a − 1)/s⌋ + 1 of them. Slices that follow each other are
taken together. Conditions: x has a known shape and float32 values, none of them infinite (0·∞ is no number); rows and columns
have the same step s, their starts lie below it, and they run to the end; the weights are at most 4 M; nobody else uses what
lies between. Slices by which the strides would differ are left: such a Conv is slower than they are.
`,
	apply: func(s *sweep) error {
		for i, n := range slices.Backward(s.x.Nodes) { // what lies farthest from the source takes the others along
			if op := n.GetOpType(); op != "Slice" && op != "Concat" || n.GetDomain() != "" || !s.free(i) {
				continue
			}
			v, _, err := s.viewOf(n.GetOutput()[0])
			if err != nil {
				return err
			}
			if v == nil || !s.free(v.nodes...) || n.GetOpType() == "Concat" && v.stepY == 1 && v.stepX == 1 {
				continue
			}
			if v.stepY != v.stepX {
				s.leave(n, "its strides would differ: %d and %d", v.stepY, v.stepX)
				continue
			}
			if v.reaches() && !v.same() {
				putConv(s, i, n, v)
			}
		}
		return nil
	},
}

// kernel is the size of the kernel that holds all of a view's offsets.
func (v *view) kernel() (height, width int64) {
	for _, p := range v.at {
		height, width = max(height, p.y+1), max(width, p.x+1)
	}
	return height, width
}

// reaches says whether a Conv without padding gives a view's size, with a kernel that is no larger than the stride.
func (v *view) reaches() bool {
	h, w := v.kernel()
	return h <= v.stepY && w <= v.stepX && (v.shape[2]-h)/v.stepY+1 == v.height && (v.shape[3]-w)/v.stepX+1 == v.width
}

// mostWeights bounds the weights of a Conv of zeros and ones.
const mostWeights = 1 << 22

// putConv puts a Conv of zeros and ones in the place of a view's operators, of which i is the last, or says why not.
func putConv(s *sweep, i int, n *onnxpb.NodeProto, v *view) {
	if !s.float(v.from) {
		s.leave(n, "its values are not float32")
		return
	}
	h, w := v.kernel()
	shape := []int64{int64(len(v.at)), v.shape[1], h, w}
	group := int64(1)
	first := v.at[0]
	if v.inOrder() && !slices.ContainsFunc(v.at, func(p place) bool { return p.y != first.y || p.x != first.x }) {
		shape[1], group = 1, v.shape[1]
	}
	if size, ok := product(shape, mostWeights); !ok {
		s.leave(n, "the Conv would have %d weights or more", size)
		return
	}
	weight := make([]float32, shape[0]*shape[1]*h*w)
	for j, p := range v.at {
		weight[((int64(j)*shape[1]+p.channel%shape[1])*h+p.y)*w+p.x] = 1
	}
	y := n.GetOutput()[0]
	for _, k := range v.nodes {
		s.replace(k)
	}
	s.replace(i, &onnxpb.NodeProto{
		OpType: proto.String("Conv"), Name: proto.String(nameOf(n)), Output: []string{y},
		Input: []string{v.from, s.fresh(y+"_weight", tensor.Floats(weight, shape...))},
		Attribute: []*onnxpb.AttributeProto{
			onnx.IntsAttr("kernel_shape", []int64{h, w}), onnx.IntsAttr("strides", []int64{v.stepY, v.stepX}), onnx.IntAttr("group", group),
		},
	})
	s.changed("%s (%s): %d operators, a Conv %d×%d of stride %d", nameOf(n), n.GetOpType(), len(v.nodes), h, w, v.stepY)
}

// product multiplies positive sizes as long as the product is not over a limit.
func product(sizes []int64, limit int64) (int64, bool) {
	p := int64(1)
	for _, d := range sizes {
		if p *= d; p > limit {
			return p, false
		}
	}
	return p, true
}
