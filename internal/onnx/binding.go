package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// binding is what the symbolic dimensions of a model's inputs are: a name means the same number wherever it stands.
type binding struct {
	dims map[string]bound
	// without are the dimensions that have no name, by input and place.
	without map[place]int64
}

// bound is the value of a dimension and the input that gave it.
type bound struct {
	value int64
	by    string
}

type place struct {
	input string
	axis  int
}

// dimsOf are the declared dimensions of an input: a number, else a name, which may be empty. known is false if not even their number is said.
func dimsOf(in *onnxpb.ValueInfoProto) (values []int64, symbols []string, known bool) {
	_, values, _ = TypeOf(in)
	for _, d := range in.GetType().GetTensorType().GetShape().GetDim() {
		symbols = append(symbols, d.GetDimParam())
	}
	return values, symbols, values != nil
}

// given takes the shape that is asked for an input, and says what contradicts it.
func (b *binding) given(in *onnxpb.ValueInfoProto, shapes map[string][]int64) error {
	if _, _, ok := TypeOf(in); !ok {
		return fmt.Errorf("input %q is not a tensor", in.GetName())
	}
	want, ok := shapes[in.GetName()]
	own, symbols, known := dimsOf(in)
	if !ok || !known {
		return nil
	}
	if len(want) != len(own) {
		return fmt.Errorf("input %q has %d dimensions (%s), the shape given has %d", in.GetName(), len(own), ShapeText(in), len(want))
	}
	for i := range own {
		if own[i] >= 0 && own[i] != want[i] {
			return fmt.Errorf("input %q is %s; dimension %d cannot be %d", in.GetName(), ShapeText(in), i, want[i])
		}
		if own[i] >= 0 || symbols[i] == "" {
			continue
		}
		if before, ok := b.dims[symbols[i]]; ok && before.value != want[i] {
			return fmt.Errorf("the dimension %q cannot be %d in the input %q and %d in %q: a name means one number; give both inputs the same", symbols[i], before.value, before.by, want[i], in.GetName())
		}
		b.dims[symbols[i]] = bound{want[i], in.GetName()}
	}
	return nil
}

// hinted takes the shape of a sample for what nobody has said. A shape that does not fit the input says nothing.
func (b *binding) hinted(in *onnxpb.ValueInfoProto, shapes, hint map[string][]int64) {
	want, ok := hint[in.GetName()]
	own, symbols, known := dimsOf(in)
	if _, given := shapes[in.GetName()]; given || !ok || !known || len(want) != len(own) {
		return
	}
	for i := range own {
		if own[i] >= 0 && own[i] != want[i] || want[i] < 1 {
			return
		}
	}
	for i := range own {
		b.bind(in.GetName(), i, own[i], symbols[i], want[i])
	}
}

// bind gives an open dimension a value, if it has none.
func (b *binding) bind(input string, axis int, own int64, symbol string, value int64) {
	if own >= 0 {
		return
	}
	if symbol == "" {
		if b.without == nil {
			b.without = map[place]int64{}
		}
		if _, ok := b.without[place{input, axis}]; !ok {
			b.without[place{input, axis}] = value
		}
		return
	}
	if _, ok := b.dims[symbol]; !ok {
		b.dims[symbol] = bound{value, input}
	}
}

// shape is what is known of an input's shape; −1 for a dimension that is open, nil if the number of dimensions is.
func (b *binding) shape(in *onnxpb.ValueInfoProto) []int64 {
	own, symbols, known := dimsOf(in)
	if !known {
		return nil
	}
	shape := slices.Clone(own)
	for i := range shape {
		if shape[i] >= 0 {
			continue
		}
		if v, ok := b.dims[symbols[i]]; ok && symbols[i] != "" {
			shape[i] = v.value
		} else if v, ok := b.without[place{in.GetName(), i}]; ok {
			shape[i] = v
		}
	}
	return shape
}

// batches sets the first dimensions that alone are open to 1, and names their inputs.
func (b *binding) batches(inputs []*onnxpb.ValueInfoProto, shapes map[string][]int64) []string {
	var batched []string
	for _, in := range inputs {
		if _, given := shapes[in.GetName()]; given {
			continue
		}
		shape := b.shape(in)
		if len(shape) == 0 || shape[0] >= 0 || slices.ContainsFunc(shape[1:], func(d int64) bool { return d < 0 }) {
			continue
		}
		_, symbols, _ := dimsOf(in)
		if inner(inputs, symbols[0]) {
			continue
		}
		b.bind(in.GetName(), 0, -1, symbols[0], 1)
		batched = append(batched, in.GetName())
	}
	// The others that share such a dimension have it too.
	for _, in := range inputs {
		_, symbols, _ := dimsOf(in)
		if _, given := shapes[in.GetName()]; given || len(symbols) == 0 || symbols[0] == "" || slices.Contains(batched, in.GetName()) {
			continue
		}
		if v := b.dims[symbols[0]]; slices.Contains(batched, v.by) && v.value == 1 {
			batched = append(batched, in.GetName())
		}
	}
	return batched
}

// inner says whether a name stands for another dimension than the first of some input: it is no batch, such as a number of edges.
func inner(inputs []*onnxpb.ValueInfoProto, symbol string) bool {
	return symbol != "" && slices.ContainsFunc(inputs, func(in *onnxpb.ValueInfoProto) bool {
		_, symbols, _ := dimsOf(in)
		return len(symbols) > 1 && slices.Contains(symbols[1:], symbol)
	})
}

// missing says which inputs have open dimensions, and flags that would give them: usual numbers for what such inputs are.
func (b *binding) missing(open []*onnxpb.ValueInfoProto, inputs int) error {
	trial := binding{dims: map[string]bound{}, without: b.without}
	for symbol, v := range b.dims {
		trial.dims[symbol] = v
	}
	var texts, flags []string
	for _, in := range open {
		shape := trial.propose(in)
		dims := make([]string, len(shape))
		for i, d := range shape {
			dims[i] = strconv.FormatInt(d, 10)
		}
		flag := strings.Join(dims, ",")
		if inputs > 1 {
			flag = in.GetName() + "=" + flag
		}
		flags = append(flags, "--input-shape "+flag)
		texts = append(texts, fmt.Sprintf("%q %s", in.GetName(), ShapeText(in)))
	}
	if len(open) == 1 {
		return fmt.Errorf("input %q has the dynamic shape %s: give it one, such as %s", open[0].GetName(), ShapeText(open[0]), flags[0])
	}
	return fmt.Errorf("the inputs %s have dynamic shapes: give them, such as %s", strings.Join(texts, ", "), strings.Join(flags, " "))
}

// propose gives an input a usual shape, by what it seems to be, and binds its dimensions: 1,128 for text, 1,16000 for sound, pictures of
// 224 × 224, or 640 × 640 where height and width are both open.
func (b *binding) propose(in *onnxpb.ValueInfoProto) []int64 {
	d, _, _ := TypeOf(in)
	shape := b.shape(in)
	if shape == nil {
		shape = []int64{-1, -1, -1, -1}
		if !d.IsFloat() {
			shape = []int64{-1, -1}
		}
	}
	_, symbols, _ := dimsOf(in)
	for i := range shape {
		if shape[i] >= 0 {
			continue
		}
		shape[i] = usual(d, shape, i)
		if i < len(symbols) {
			b.bind(in.GetName(), i, -1, symbols[i], shape[i])
		}
	}
	return shape
}

// usual is what an open dimension usually is.
func usual(d tensor.DType, shape []int64, axis int) int64 {
	channel := func(n int64) bool { return n == 1 || n == 3 || n == 4 }
	switch {
	case axis == 0 && len(shape) > 1:
		return 1
	case !d.IsFloat():
		return 128
	case len(shape) <= 2, len(shape) == 3 && axis == 2 && shape[1] == 1:
		return 16000
	case len(shape) == 3:
		return 100
	case len(shape) == 4 && axis == 1 && !channel(shape[3]):
		return 3
	case len(shape) == 4 && axis == 3 && axis > 1 && !channel(shape[1]):
		return 3
	case len(shape) == 4:
		return 640
	}
	return 16
}
