// Package columns says which inputs of a weighted operator belong to which of its outputs: Conv with any number of spatial dimensions,
// grouped and depthwise ones, ConvTranspose, Gemm and MatMul.
//
// At one position an output channel is the product of a row of the weight with a column of inputs. Window has the geometry, Gather collects
// the columns of chosen positions, Sum the mean column over all of them, Row and Place say where in the weight's tensor a row lies.
package columns

import (
	"errors"
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// Window is the geometry of one operator. Tensors of convolutions are N×C×spatial; those of Gemm and MatMul are positions × channels, and
// have no spatial dimensions.
type Window struct {
	Groups, K, O int // inputs and outputs of one group
	batch        int
	channels     int     // of the input
	outputs      int     // of the output: Groups·O
	in, out      []int   // spatial sizes
	taps         [][]int // of the kernel, as offsets along each spatial dimension
	stride, pad  []int
	transposed   bool // ConvTranspose
	rows         bool // Gemm, MatMul: a position is a row of K values
	weight       func(group, o, k int) int
}

// Of reads the geometry of a node from the shapes of its input, weight and output. The error says why the node has none.
func Of(n *onnxpb.NodeProto, x, w, y []int64) (*Window, error) {
	switch op := n.GetOpType(); op {
	case "Conv", "ConvTranspose":
		return convolution(n, x, w, y, op == "ConvTranspose")
	case "Gemm":
		if len(x) != 2 || len(w) != 2 || onnx.AttrInt(n, "transA", 0) != 0 || onnx.AttrFloat(n, "alpha", 1) != 1 || onnx.AttrFloat(n, "beta", 1) != 1 {
			return nil, errors.New("a Gemm with transA, alpha or beta")
		}
		if onnx.AttrInt(n, "transB", 0) != 0 {
			k := int(w[1])
			return &Window{Groups: 1, K: k, O: int(w[0]), batch: int(x[0]), rows: true, weight: func(_, o, i int) int { return o*k + i }}, nil
		}
		return matrix(x, w)
	case "MatMul":
		return matrix(x, w)
	}
	return nil, fmt.Errorf("%s has no weights that are cured", n.GetOpType())
}

func matrix(x, w []int64) (*Window, error) {
	if len(w) != 2 || len(x) == 0 || x[len(x)-1] != w[0] {
		return nil, fmt.Errorf("its weight of shape %v is no matrix for inputs of shape %v", w, x)
	}
	o := int(w[1])
	return &Window{Groups: 1, K: int(w[0]), O: o, batch: product(x[:len(x)-1]), rows: true, weight: func(_, r, i int) int { return i*o + r }}, nil
}

func product(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}

func convolution(n *onnxpb.NodeProto, x, w, y []int64, transposed bool) (*Window, error) {
	d := len(x) - 2
	if d < 1 || len(w) != d+2 || len(y) != d+2 {
		return nil, fmt.Errorf("inputs of shape %v, a weight of shape %v", x, w)
	}
	groups := int(max(onnx.AttrInt(n, "group", 1), 1))
	win := &Window{Groups: groups, batch: int(x[0]), channels: int(x[1]), outputs: int(y[1]), transposed: transposed}
	if win.channels%groups != 0 || win.outputs%groups != 0 {
		return nil, fmt.Errorf("%d groups for %d inputs and %d outputs", groups, win.channels, win.outputs)
	}
	kernel := make([]int, d)
	dilation := list(n, "dilations", d, 1)
	win.stride = list(n, "strides", d, 1)
	taps := 1
	for i := range d {
		kernel[i] = int(w[i+2])
		taps *= kernel[i]
		win.in, win.out = append(win.in, int(x[i+2])), append(win.out, int(y[i+2]))
	}
	win.pad = pads(n, win, kernel, dilation)
	for t := range taps {
		tap := make([]int, d)
		for i := d - 1; i >= 0; i-- {
			tap[i] = t % kernel[i] * dilation[i]
			t /= kernel[i]
		}
		win.taps = append(win.taps, tap)
	}
	inputs := win.channels / groups
	win.K, win.O = inputs*taps, win.outputs/groups
	k, o := win.K, win.O
	if transposed { // inputs × outputs of a group × kernel
		if int(w[0]) != win.channels || int(w[1]) != o {
			return nil, fmt.Errorf("a weight of shape %v for %d inputs and %d outputs in %d groups", w, win.channels, win.outputs, groups)
		}
		win.weight = func(g, r, i int) int { return ((g*inputs+i/taps)*o+r)*taps + i%taps }
		return win, nil
	}
	if int(w[0]) != win.outputs || int(w[1]) != inputs {
		return nil, fmt.Errorf("a weight of shape %v for %d inputs and %d outputs in %d groups", w, win.channels, win.outputs, groups)
	}
	win.weight = func(g, r, i int) int { return (g*o+r)*k + i }
	return win, nil
}

func list(n *onnxpb.NodeProto, name string, d, otherwise int) []int {
	values := make([]int, d)
	given := onnx.Attr(n, name).GetInts()
	for i := range values {
		values[i] = otherwise
		if i < len(given) {
			values[i] = int(given[i])
		}
	}
	return values
}

// pads are those before the data. With auto_pad they follow from the sizes, as ONNX has it.
func pads(n *onnxpb.NodeProto, win *Window, kernel, dilation []int) []int {
	before := list(n, "pads", len(win.in), 0)
	mode := onnx.AttrString(n, "auto_pad", "NOTSET")
	if mode == "NOTSET" || mode == "" {
		if !win.transposed || onnx.Attr(n, "output_shape") == nil {
			return before
		}
	}
	for i := range before {
		if mode == "VALID" {
			before[i] = 0
			continue
		}
		reach := (kernel[i]-1)*dilation[i] + 1
		total := (win.out[i]-1)*win.stride[i] + reach - win.in[i]
		if win.transposed {
			total = (win.in[i]-1)*win.stride[i] + reach + list(n, "output_padding", len(win.in), 0)[i] - win.out[i]
		}
		total = max(total, 0)
		before[i] = total / 2
		if mode == "SAME_LOWER" || win.transposed && mode != "SAME_UPPER" {
			before[i] = total - total/2
		}
	}
	return before
}

// Positions is how many positions a sample has.
func (w *Window) Positions() int {
	n := w.batch
	for _, d := range w.out {
		n *= d
	}
	return n
}

// Weight is the place in the weight's tensor of input k of an output of a group.
func (w *Window) Weight(group, o, k int) int { return w.weight(group, o, k) }

// Inputs collects the columns of a group at positions: K values for each, appended to into.
func (w *Window) Inputs(into, x []float32, group int, positions []int) []float32 {
	if w.rows {
		for _, p := range positions {
			into = append(into, x[p*w.K:(p+1)*w.K]...)
		}
		return into
	}
	plane, space := volume(w.in), volume(w.out)
	inputs := w.channels / w.Groups
	offsets := make([]int, len(w.taps))
	at := make([]int, len(w.in))
	for _, p := range positions {
		image, rest := p/space, p%space
		for i := len(at) - 1; i >= 0; i-- {
			at[i] = rest % w.out[i]
			rest /= w.out[i]
		}
		for t, tap := range w.taps {
			offsets[t] = w.offset(at, tap)
		}
		base := (image*w.channels + group*inputs) * plane
		for range inputs {
			for _, off := range offsets {
				if off < 0 {
					into = append(into, 0)
				} else {
					into = append(into, x[base+off])
				}
			}
			base += plane
		}
	}
	return into
}

// offset is the place in a channel's plane that a tap reads for an output position; −1: padding, or nothing.
func (w *Window) offset(at, tap []int) int {
	off := 0
	for i := range at {
		v := at[i]*w.stride[i] - w.pad[i] + tap[i]
		if w.transposed {
			v = at[i] + w.pad[i] - tap[i]
			if v%w.stride[i] != 0 {
				return -1
			}
			v /= w.stride[i]
		}
		if v < 0 || v >= w.in[i] {
			return -1
		}
		off = off*w.in[i] + v
	}
	return off
}

func volume(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Outputs collects the outputs of a group at positions: O values for each, appended to into.
func (w *Window) Outputs(into, y []float32, group int, positions []int) []float32 {
	if w.rows {
		for _, p := range positions {
			into = append(into, y[p*w.O:(p+1)*w.O]...)
		}
		return into
	}
	space := volume(w.out)
	for _, p := range positions {
		base := ((p/space)*w.outputs+group*w.O)*space + p%space
		for o := range w.O {
			into = append(into, y[base+o*space])
		}
	}
	return into
}
