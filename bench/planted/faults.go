package main

import (
	"cmp"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// fault is a kind of faults. plant puts one into a copy of a network and says where the cause must name it.
type fault struct {
	kind  string // of cause.All
	plant func(s *site) error
	// miss makes the near miss of a copy in which the fault was planted; nil: the network as it is.
	miss func(s *site)
}

var faults = []fault{
	{"unlike-ranges", plantUnlikeRanges, nil},
	{"huge-constant", plantHugeConstant, nil},
	{"clipped-constant", plantSaturatedBias, nil},
	{"narrow-calibration", plantNarrowCalibration, nil},
	{"unlike-channels", plantUnlikeChannels, func(s *site) { s.spec.Variants = []string{"w8a8"} }},
	{"outlier-values", plantOutlierValues, nil},
	{"steep-activation", plantSteepActivation, nil},
	{"widths-meet", plantWidthsMeet, nil},
	{"engine-error", plantEngineError, nil},
	{"input-denied", plantInputDenied, nil},
	{"partly-quantized", plantPartlyQuantized, nil},
	{"nan-constant", plantNaN, nil},
	{"fused-range", plantFusedRange, nil},
	{"half-overflow", plantHalfOverflow, func(s *site) { s.spec.Model = s.path }},
}

// plantUnlikeRanges joins pixels and scores in one output.
func plantUnlikeRanges(s *site) error {
	outs := s.model.Outputs()
	boxes, scores := outs[0], outs[0]
	if len(outs) == 2 {
		scores, boxes = outs[0], outs[1]
	}
	dims := s.shapes[boxes]
	joined := "planted.joined"
	s.where = []string{joined}
	if s.name == "yolox" { // boxes and scores are in one output already: the boxes become pixels
		factors := make([]float32, dims[2])
		for i := range factors {
			factors[i] = 1
			if i < 4 {
				factors[i] = 40
			}
		}
		s.node("Mul", joined, []string{boxes, s.floats("planted.pixels", factors, dims[2])})
		s.output(joined, true)
		return s.save()
	}
	s.node("Mul", "planted.boxes", []string{boxes, s.floats("planted.pixels", []float32{640}, 1)})
	axis := 1
	if len(outs) == 2 {
		axis = len(dims) - 1
	}
	s.node("Concat", joined, []string{"planted.boxes", scores}, "axis", axis)
	s.output(joined, true)
	return s.save()
}

// plantHugeConstant masks scores: those of an attention that the network has, or of one over the places of a feature map.
func plantHugeConstant(s *site) error {
	value := []float32{-math.MaxFloat32, float32(math.Inf(-1)), -65504, -1e9, -math.MaxFloat32}[s.number]
	name := "planted.mask"
	if s.name == "text-rec" { // it has attention
		var list []string
		for _, n := range s.model.Graph().GetNode() {
			if in := n.GetInput(); n.GetOpType() == "Softmax" && len(s.shapes[in[0]]) == 4 {
				list = append(list, in[0])
			}
		}
		scores, err := one(s, list)
		if err != nil {
			return err
		}
		keys := s.shapes[scores][3]
		s.where = []string{name, scores}
		s.splice(scores, func(from string) { s.node("Add", scores, []string{from, s.floats(name, border(keys, value), keys)}) })
		return s.ranged(scores)
	}
	from, err := one(s, s.maps(anyOp))
	if err != nil {
		return err
	}
	dims := s.shapes[from]
	places := dims[2] * dims[3]
	s.node("Mul", "planted.scores", []string{from, s.floats("planted.gain", []float32{float32(12 / s.extent(from))}, 1)})
	s.node("Reshape", "planted.flat", []string{"planted.scores", s.ints("planted.rows", 1, dims[1], places)})
	s.floats(name, border(places, value), places)
	masked, last := "planted.masked", "planted.attention"
	s.where = []string{name, masked}
	switch s.name {
	case "faces", "yolox": // scores that are a Sigmoid's, masked by a choice or a sum
		if s.name == "faces" {
			open := make([]float32, places)
			for i, v := range border(places, 1) {
				open[i] = 1 - v
			}
			s.node("Greater", "planted.open", []string{s.floats("planted.places", open, places), s.floats("planted.half", []float32{0.5}, 1)})
			s.node("Where", masked, []string{"planted.open", "planted.flat", name})
		} else {
			s.node("Add", masked, []string{"planted.flat", name})
		}
		s.node("Sigmoid", last, []string{masked})
		s.output(last, false)
		return s.save()
	}
	s.node("Add", masked, []string{"planted.flat", name})
	s.node("Softmax", last, []string{masked}, "axis", 2)
	s.output(last, false)
	return s.ranged(masked)
}

// ranged saves the copy, and a file that was quantized elsewhere: the range of a masked tensor reaches to the mask.
func (s *site) ranged(masked string) error {
	if err := s.save(); err != nil {
		return err
	}
	m, err := s.quantized(s.spec.Model, "w8a8")
	if err == nil {
		err = requantize(m, masked, func(_, high float64) (float64, float64) { return -3e38, high }, 8)
	}
	if err != nil {
		return err
	}
	return s.ready(m)
}

// border has a value at the last quarter of places, and 0 at all others.
func border(places int64, value float32) []float32 {
	list := make([]float32, places)
	for i := range list {
		if int64(i) >= places-max(places/4, 1) {
			list[i] = value
		}
	}
	return list
}

// plantSaturatedBias takes a ready file in which the int32 biases of half of a Conv's channels are at their end: the scale of the products is too
// small for them.
func plantSaturatedBias(s *site) error {
	m, err := s.quantized(s.path, "w8a8")
	if err != nil {
		return err
	}
	type bias struct {
		values, scale string
		matters       float64 // its mean beside the range of what the Conv makes
	}
	var list []bias
	x := onnx.NewIndex(m)
	for _, n := range m.Graph().GetNode() {
		in := n.GetInput()
		if n.GetOpType() != "DequantizeLinear" || len(in) < 2 {
			continue
		}
		p := initializer(m, in[0])
		if p == nil || p.GetDataType() != int32(tensor.Int32) || p.GetDims()[0] < 8 || len(x.Consumers[n.GetOutput()[0]]) == 0 {
			continue
		}
		q, err := m.Tensor(p)
		if err != nil {
			return err
		}
		scales, err := m.Tensor(initializer(m, in[1]))
		if err != nil {
			return err
		}
		sum := 0.0
		for i := range len(q.Raw) / 4 {
			sum += math.Abs(float64(int32(binary.LittleEndian.Uint32(q.Raw[4*i:])))) * float64(scales.F32[i%len(scales.F32)])
		}
		out := strings.TrimSuffix(m.Graph().GetNode()[x.Consumers[n.GetOutput()[0]][0]].GetOutput()[0], "_QuantizeLinear_Input")
		if _, _, known := s.rangeOf(out); known {
			list = append(list, bias{in[0], in[1], sum / float64(p.GetDims()[0]) / s.extent(out)})
		}
	}
	slices.SortStableFunc(list, func(a, b bias) int { return cmp.Compare(b.matters, a.matters) })
	list = list[:min(len(list), 5)]
	chosen, err := one(s, list)
	if err != nil {
		return err
	}
	q, err := m.Tensor(initializer(m, chosen.values))
	if err != nil {
		return err
	}
	scales, err := m.Tensor(initializer(m, chosen.scale))
	if err != nil {
		return err
	}
	raw := slices.Clone(q.Raw)
	one := make([]float32, len(raw)/4)
	for i := range one {
		v := int32(binary.LittleEndian.Uint32(raw[4*i:]))
		scale := scales.F32[i%len(scales.F32)]
		if one[i] = scale; i%2 == 0 && v != 0 {
			bias := float64(v) * float64(scale)
			one[i] = float32(math.Abs(bias) / math.MaxInt32 / 8)
			end := int32(math.MaxInt32)
			if v < 0 {
				end = math.MinInt32
			}
			binary.LittleEndian.PutUint32(raw[4*i:], uint32(end))
		}
	}
	put(m, chosen.values, tensor.Tensor{DType: tensor.Int32, Shape: q.Shape, Raw: raw})
	put(m, chosen.scale, tensor.Floats(one, int64(len(one))))
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "DequantizeLinear" && n.GetInput()[0] == chosen.values {
			n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0)}
		}
	}
	s.where = []string{strings.TrimSuffix(chosen.values, "_quantized")}
	return s.ready(m)
}

// plantNarrowCalibration calibrates on dark copies of the pictures.
func plantNarrowCalibration(s *site) error {
	dark := filepath.Join(s.dir, "dark")
	if err := darkened(s.spec.Images, dark, []float64{0.05, 0.2, 0.1, 0.3, 0.1}[s.number]); err != nil {
		return err
	}
	s.spec.Calib = dark
	for name := range s.index.Input {
		s.where = append(s.where, name)
	}
	return nil
}

// plantUnlikeChannels makes one channel of a depthwise Conv's weights large and what it is multiplied by small, as the folding of a batch
// normalization does, and quantizes weights per tensor.
func plantUnlikeChannels(s *site) error {
	conv, err := one(s, s.convs(true))
	if err != nil {
		return err
	}
	in := s.maker(conv).GetInput()
	w, shape := s.values(in[1])
	channels := int(shape[0])
	k, row := s.rng.IntN(channels), len(w)/channels
	factors := make([]float32, channels)
	for i := range factors {
		factors[i] = 1
	}
	factors[k] = 1.0 / 200
	for i := range row {
		w[k*row+i] *= 200
	}
	s.replace(in[1], w, shape)
	s.floats("planted.factors", factors, 1, int64(channels), 1, 1)
	x := in[0]
	n := s.maker(conv)
	n.Input[0] = s.node("Mul", "planted.scaled", []string{x, "planted.factors"})
	s.spec.Variants = []string{"w8a8,per-tensor"}
	s.where = []string{in[1], conv}
	return s.save()
}

// plantOutlierValues makes one channel of an activation 300 times as large, and what follows undoes it.
func plantOutlierValues(s *site) error {
	at, err := one(s, s.maps(func(op string) bool { return op != "Concat" && op != "Transpose" && op != "Reshape" }))
	if err != nil {
		return err
	}
	channels := s.shapes[at][1]
	large, small := make([]float32, channels), make([]float32, channels)
	for i := range large {
		large[i], small[i] = 1, 1
	}
	k := s.rng.IntN(int(channels))
	large[k], small[k] = 300, 1.0/300
	s.where = []string{"planted.outlier"}
	s.splice(at, func(from string) {
		s.node("Mul", "planted.outlier", []string{from, s.floats("planted.large", large, 1, channels, 1, 1)})
		s.node("Mul", at, []string{"planted.outlier", s.floats("planted.small", small, 1, channels, 1, 1)})
	})
	return s.save()
}

// plantSteepActivation puts an activation behind a feature map that is multiplied so that its steps are wider than the activation's slope.
func plantSteepActivation(s *site) error {
	from, err := one(s, s.maps(anyOp))
	if err != nil {
		return err
	}
	op := []string{"Sigmoid", "Tanh", "Softmax", "Sigmoid", "Softmax"}[s.number]
	low, high, _ := s.rangeOf(from)
	gain := 2 * math.Cbrt(400) / (high - low) // its third power reaches 400, where most values stay small
	s.node("Sub", "planted.middled", []string{from, s.floats("planted.middle", []float32{float32(low+high) / 2}, 1)})
	s.node("Mul", "planted.centred", []string{"planted.middled", s.floats("planted.gain", []float32{float32(gain)}, 1)})
	s.node("Mul", "planted.square", []string{"planted.centred", "planted.centred"})
	s.node("Mul", "planted.steep", []string{"planted.square", "planted.centred"})
	if op == "Softmax" {
		s.node(op, "planted.activation", []string{"planted.steep"}, "axis", 1)
		if s.model.Opset() < 13 { // it takes all axes from this one on together
			dims := s.shapes[from]
			s.maker("planted.activation").Input[0] = s.node("Reshape", "planted.row", []string{"planted.steep", s.ints("planted.rows", dims[1], dims[2]*dims[3])})
		}
	} else {
		s.node(op, "planted.activation", []string{"planted.steep"})
	}
	s.where = []string{"planted.activation", "planted.steep"}
	s.output("planted.activation", false)
	return s.save()
}

// plantWidthsMeet has one tensor of 8 bits in a file of 16 bits, whose outliers need 16.
func plantWidthsMeet(s *site) error {
	if err := plantOutlierValues(s); err != nil {
		return err
	}
	m, err := s.quantized(s.spec.Model, "w8a16")
	if err != nil {
		return err
	}
	if err := requantize(m, "planted.outlier", func(low, high float64) (float64, float64) { return low, high }, 8); err != nil {
		return err
	}
	return s.ready(m)
}

// plantInputDenied describes the input wrongly.
func plantInputDenied(s *site) error {
	switch s.name {
	case "text-det": // as a network of 0…1 takes it
		s.spec.Input.Mean, s.spec.Input.Scale = s.spec.Input.Mean[:1], []float64{2550}
	case "yolox":
		s.spec.Input.Mean, s.spec.Input.Scale = []float64{0}, []float64{1e6}
	default:
		return errUnfit
	}
	return nil
}
