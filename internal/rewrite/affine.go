package rewrite

import (
	"slices"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// affine is y = scale·x + shift with constants, one per channel or one for all.
type affine struct {
	from         string // x
	scale, shift []float64
}

// affineOf reads Mul, Div, Add or Sub by a constant that is scalar or has one value per channel; axis is that of the
// channels in a tensor of the given rank.
//
//	x·c, x/c     scale = c, 1/c
//	x+c, x−c     shift = c, −c
//	c−x          scale = −1, shift = c
func (f *facts) affineOf(n *onnxpb.NodeProto, channels int64, rank, axis int) (affine, bool, error) {
	op := n.GetOpType()
	if !slices.Contains([]string{"Mul", "Div", "Add", "Sub"}, op) || n.GetDomain() != "" || len(n.GetInput()) != 2 || len(n.GetAttribute()) > 0 {
		return affine{}, false, nil
	}
	for k, name := range n.GetInput() {
		c, ok, err := f.constant(name)
		if err != nil {
			return affine{}, false, err
		}
		if !ok || op == "Div" && k == 0 {
			continue
		}
		values, ok := perChannel(c, channels, rank, axis)
		if !ok {
			return affine{}, false, nil
		}
		a := affine{from: n.GetInput()[1-k], scale: filled(len(values), 1), shift: filled(len(values), 0)}
		for i, v := range values {
			switch {
			case op == "Mul":
				a.scale[i] = v
			case op == "Div" && v != 0:
				a.scale[i] = 1 / v
			case op == "Div":
				return affine{}, false, nil
			case op == "Add":
				a.shift[i] = v
			case k == 1:
				a.shift[i] = -v
			default:
				a.scale[i], a.shift[i] = -1, v
			}
		}
		return a, true, nil
	}
	return affine{}, false, nil
}

func filled(n int, v float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// perChannel spreads a constant over the channels of a tensor of some rank. It fails if the constant varies along another
// axis or would widen the tensor.
func perChannel(c tensor.Tensor, channels int64, rank, axis int) ([]float64, bool) {
	if len(c.Shape) > rank || channels <= 0 {
		return nil, false
	}
	values := make([]float64, channels)
	for i, d := range c.Shape {
		at := i + rank - len(c.Shape) // shapes are aligned at their ends
		if d != 1 && (at != axis || d != channels) {
			return nil, false
		}
	}
	if len(c.F32) != 1 && int64(len(c.F32)) != channels {
		return nil, false
	}
	for i := range values {
		values[i] = float64(c.F32[min(i, len(c.F32)-1)])
	}
	return values, true
}

func (a affine) shifts() bool {
	return slices.ContainsFunc(a.shift, func(v float64) bool { return v != 0 })
}
