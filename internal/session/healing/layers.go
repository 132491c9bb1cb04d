package healing

import (
	"fmt"
	"math"
	"slices"

	"quantcheck/internal/calib"
	"quantcheck/internal/cure"
	"quantcheck/internal/cure/columns"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// layer is an operator whose weights are cured.
type layer struct {
	node          int // of the float model
	name          string
	stage         int
	window        *columns.Window
	weight        tensor.Tensor
	bias          []float32 // nil: there is none
	free          bool      // the bias may change
	weighted      qdq.Weighted
	input, output string // of the quantized model, of the float one
	// weightName and biasName are the tensors of the quantized model that are cured.
	weightName, biasName string

	moments    []*cure.Moments // by group
	sumX, sumY [][]float64     // by fold: sums over all positions
	positions  []float64       // by fold: how many they are

}

// find lists the operators whose weights can be cured within so many bytes of memory each, with the reason for each quantized weight that cannot.
func find(base *onnx.Model, sim *qdq.Built, simulated *onnx.Index, shape func(name string) (dims []int64, known bool), memory int64) (layers []*layer, notes []string, err error) {
	x := onnx.NewIndex(base)
	for i, n := range x.Nodes {
		w, ok := sim.Weighted[[2]int{i, 1}]
		if !ok || sim.Replaced[[2]int{i, 1}] == "" {
			continue
		}
		in := n.GetInput()
		leave := func(format string, args ...any) {
			notes = append(notes, fmt.Sprintf("%s (%s) is not healed: ", n.GetOutput()[0], n.GetOpType())+fmt.Sprintf(format, args...))
		}
		if len(x.Consumers[in[1]]) > 1 {
			leave("its weight %s is used by %d operators", in[1], len(x.Consumers[in[1]]))
			continue
		}
		values, err := base.Tensor(x.Initializer[in[1]])
		if err != nil {
			return nil, nil, err
		}
		inShape, known := shape(in[0])
		outShape, also := shape(n.GetOutput()[0])
		if !known || !also {
			leave("the shapes of its input and output are not known before it runs")
			continue
		}
		window, err := columns.Of(n, inShape, values.Shape, outShape)
		if err != nil {
			leave("%v", err)
			continue
		}
		if need := cure.Bytes(window.K, window.O, mostFolds) * int64(window.Groups); need > memory {
			leave("healing it takes about %d MiB, which --memory does not allow", need>>20)
			continue
		}
		if slices.ContainsFunc(values.F32, func(v float32) bool { return v-v != 0 }) {
			leave("its weight is not finite")
			continue
		}
		s := simulated.Nodes[sim.Nodes[i]]
		l := &layer{node: i, name: n.GetOutput()[0], window: window, weight: values, weighted: w, input: s.GetInput()[0], output: n.GetOutput()[0], weightName: s.GetInput()[1]}
		if len(in) > 2 && in[2] != "" {
			if x.Initializer[in[2]] == nil {
				leave("its bias is computed")
				continue
			}
			b, err := base.Tensor(x.Initializer[in[2]])
			if err != nil {
				return nil, nil, err
			}
			if len(b.F32) != window.Groups*window.O {
				leave("its bias of shape %v is not one value for each channel", b.Shape)
				continue
			}
			l.bias = b.F32
			l.free = len(x.Consumers[in[2]]) == 1 && sim.Replaced[[2]int{i, 2}] != ""
			if l.free {
				l.biasName = s.GetInput()[2]
			}
		}
		layers = append(layers, l)
	}
	return layers, notes, nil
}

// scale is the number of an output's scale among the weight's encodings.
func (l *layer) scale(group, o int) int {
	switch {
	case len(l.weighted.Encodings) == 1:
		return 0
	case len(l.weighted.Encodings) == l.window.O: // a ConvTranspose's groups share those of their outputs
		return o
	}
	return group*l.window.O + o
}

// begin makes empty sums.
func (l *layer) begin(folds int) {
	w := l.window
	momentFolds := folds
	if w.K > cure.MostValidated {
		momentFolds = 1
	}
	for range w.Groups {
		l.moments = append(l.moments, cure.NewMoments(w.K, w.O, momentFolds))
	}
	for range folds {
		l.sumX, l.sumY = append(l.sumX, make([]float64, w.Groups*w.K)), append(l.sumY, make([]float64, w.Groups*w.O))
	}
	l.positions = make([]float64, folds)
}

// listen adds what one sample gives: x̃ to the quantized layer, y from the float one.
func (l *layer) listen(fold int, x, y []float32, positions []int) {
	w := l.window
	var columns, outputs []float32
	into := min(fold, l.moments[0].Folds()-1)
	for g := range w.Groups {
		columns, outputs = w.Inputs(columns[:0], x, g, positions), w.Outputs(outputs[:0], y, g, positions)
		if l.bias != nil && !l.free {
			for i := range outputs {
				outputs[i] -= l.bias[g*w.O+i%w.O]
			}
		}
		l.moments[g].Add(into, columns, outputs)
	}
	if l.free {
		w.AddInputs(l.sumX[fold], x)
		w.AddOutputs(l.sumY[fold], y)
		l.positions[fold] += float64(w.Positions())
	}
}

// problem states the layer for its cure, and forgets what was summed.
func (l *layer) problem(spec variant.Spec) *cure.Layer {
	w := l.window
	e := l.weighted.Encodings[0]
	p := &cure.Layer{Bits: e.Bits, Symmetric: e.Symmetric}
	if l.weighted.Encoded && spec.BiasBits == 32 {
		p.InputScale = l.weighted.Input.Scale
	}
	meanX, meanY := mean(l.sumX, l.positions), mean(l.sumY, l.positions)
	for g := range w.Groups {
		group := cure.Group{Moments: l.moments[g], Weights: make([]float32, w.O*w.K)}
		var scales []int
		for o := range w.O {
			scales = append(scales, l.scale(g, o))
			row := group.Weights[o*w.K : (o+1)*w.K]
			for k := range row {
				row[k] = l.weight.F32[w.Weight(g, o, k)]
			}
			group.Recipe = append(group.Recipe, rounded(row, l.weighted.Encodings[l.scale(g, o)]))
			if l.free {
				group.Bias = append(group.Bias, float64(l.bias[g*w.O+o]))
			}
		}
		group.MeanX, group.MeanY = meanX[g*w.K:(g+1)*w.K], meanY[g*w.O:(g+1)*w.O]
		p.Groups, p.Scales = append(p.Groups, group), append(p.Scales, scales)
	}
	l.moments, l.sumX, l.sumY = nil, nil, nil
	return p
}

// rounded are the integers of a recipe's weight, as files have them.
func rounded(values []float32, e quant.Encoding) cure.Row {
	r := cure.Row{Q: make([]int32, len(values)), Scale: float32(e.Scale), Offset: e.Offset}
	lo, hi := float64(e.Offset), float64(e.Offset+quant.Levels(e.Bits))
	for i, v := range values {
		r.Q[i] = int32(min(max(math.RoundToEven(float64(v)/float64(r.Scale)), lo), hi))
	}
	return r
}

func mean(sums [][]float64, counts []float64) []float64 {
	total := make([]float64, len(sums[0]))
	n := 0.0
	for f, list := range sums {
		for i, v := range list {
			total[i] += v
		}
		n += counts[f]
	}
	for i := range total {
		total[i] /= max(n, 1)
	}
	return total
}

// fixed are the constants of a cured layer, as a recipe's simulation takes them: weight, and bias if it may change.
func (l *layer) fixed(c *cure.Cured) (weight qdq.Fixed, bias *qdq.Fixed) {
	w := l.window
	weight = qdq.Fixed{Values: tensor.Floats(make([]float32, len(l.weight.F32)), l.weight.Shape...), Encodings: slices.Clone(l.weighted.Encodings)}
	for g, rows := range c.Rows {
		for o, r := range rows {
			e := l.weighted.Encodings[0]
			weight.Encodings[l.scale(g, o)] = quant.FromScale(e.Bits, e.Symmetric, float64(r.Scale), r.Offset)
			for k := range r.Q {
				weight.Values.F32[w.Weight(g, o, k)] = r.Value(k)
			}
		}
	}
	if l.free {
		b := tensor.Floats(make([]float32, len(l.bias)), int64(len(l.bias)))
		for g, list := range c.Bias {
			for o, v := range list {
				b.F32[g*w.O+o] = float32(v)
			}
		}
		bias = &qdq.Fixed{Values: b}
	}
	return weight, bias
}

// constants are the weight and bias that the quantized model computes with.
func (l *layer) constants(weight qdq.Fixed, bias *qdq.Fixed, spec variant.Spec) []*onnxpb.TensorProto {
	list := []*onnxpb.TensorProto{onnx.TensorProto(l.weightName, weight.Values)}
	if bias == nil {
		return list
	}
	values := slices.Clone(bias.Values.F32)
	if spec.BiasBits == 8 {
		e := calib.Parameter(values, 8, false, spec)
		r := rounded(values, e)
		for i := range values {
			values[i] = r.Value(i)
		}
	} else {
		for i, v := range values {
			s := qdq.BiasScale(l.weighted.Input, weight.Encodings[min(i, len(weight.Encodings)-1)])
			q, _ := qdq.WideInteger(v, s)
			values[i] = float32(q) * s
		}
	}
	return append(list, onnx.TensorProto(l.biasName, tensor.Floats(values, bias.Values.Shape...)))
}
