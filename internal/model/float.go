// Package model opens a float model: its file is read, the shapes of its inputs are fixed, its constants are folded, and its layers are listed.
//
//  1. Open reads the file; New takes a model that was read.
//  2. Float holds the model with its types, layers, and the places of quantizers; variants are built from its Base.
package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dataset"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/paths"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// Float is the float model, made ready to be run and to be quantized.
type Float struct {
	Model     *onnx.Model // input shapes fixed, constant nodes evaluated
	Types     map[string]onnxruntime.Type
	Index     *onnx.Index
	constant  map[string]bool // tensors that were made by constant nodes
	Layers    []result.Layer
	Folded    map[string]string // tensors that batch normalization folding removes
	Base      *onnx.Model       // with batch normalizations folded, the base of variants
	Placement *qdq.Placement
	Warnings  []string
	External  []string // files beside the model that hold weights
	// Batch says what was changed of a model that takes several samples at once; nil: nothing was.
	Batch *onnx.Batch
}

// Options say how a model is opened.
type Options struct {
	Quantized Taking // what is done with one that is quantized already
	// Samples is a path of samples; it may be empty. Their first .npy files say what dimensions are that nobody fixes, and the first sample
	// says whether a model that takes several at once is to take one.
	Samples string
}

// Open reads the float model of a request and makes it ready: its input shapes are fixed, as input says, its constants are folded. What is
// wrong with the request is an error of usage.
func Open(ctx context.Context, r ort.Engine, path string, input dataset.Description, o Options) (*Float, error) {
	m, file, err := Read(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	m, said, err := taken(m, path, file, o.Quantized)
	if err != nil {
		return nil, err
	}
	if len(m.Inputs()) == 0 {
		return nil, usage.Mark(fmt.Errorf("%s has no inputs, so there is nothing to compare on samples", path))
	}
	fixed, batched, err := Fix(m, path, input, o.Samples)
	if err != nil {
		return nil, err
	}
	fixed, batch, note, err := single(ctx, r, fixed, path, o.Samples)
	if err != nil {
		return nil, err
	}
	if note != "" {
		said = append(said, note)
	}
	ref, err := New(ctx, r, fixed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ref.Batch = batch
	ref.External = file.External
	ref.Warnings = slices.Concat(said, file.Notes, ref.Warnings)
	if len(batched) > 0 {
		ref.Warnings = append([]string{fmt.Sprintf("the open batch dimension of %s was set to 1", strings.Join(batched, ", "))}, ref.Warnings...)
	}
	return ref, nil
}

// Fix fixes the shapes of a model's inputs as a description says and, where that leaves dimensions open, as the first .npy files of samples do;
// batched are the inputs whose open batch dimension is 1 now. path names the model in an error, which is one of usage.
func Fix(m *onnx.Model, path string, input dataset.Description, samples string) (fixed *onnx.Model, batched []string, err error) {
	shapes, err := input.Shapes()
	if err != nil {
		return nil, nil, usage.Mark(err)
	}
	var found map[string][]int64
	if inputs := InputsOf(m); slices.ContainsFunc(inputs, open) {
		only := ""
		if len(inputs) == 1 {
			only = inputs[0].Name
		}
		found = dataset.NpyShapes(samples, only)
	}
	if fixed, batched, err = onnx.FixInputs(m, shapes, found); err != nil {
		return nil, nil, usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	return fixed, batched, nil
}

// open says whether a dimension of an input is not known.
func open(in dataset.Input) bool {
	return in.Shape == nil || slices.ContainsFunc(in.Shape, func(n int64) bool { return n < 0 })
}

// Inline puts the branch that is taken in the place of every If whose condition is constant under the shapes of the inputs, as converters do.
// note says so; "": there is none.
func Inline(ctx context.Context, r ort.Engine, m *onnx.Model) (inlined *onnx.Model, note string, err error) {
	inlined, gone, err := ort.Inline(ctx, r, m)
	if len(gone) > 0 {
		note = fmt.Sprintf("%d If nodes have a constant condition under these input shapes (%s): the branch that is taken is in their place, as converters do", len(gone), some(gone))
	}
	return inlined, note, err
}

// some names the first few of a list.
func some(names []string) string {
	if len(names) <= 4 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// New makes a float model whose shapes are fixed ready.
func New(ctx context.Context, r ort.Engine, fixed *onnx.Model) (*Float, error) {
	ref := &Float{}
	fixed, note, err := Inline(ctx, r, fixed)
	if err != nil {
		return nil, err
	}
	if note != "" {
		ref.Warnings = append(ref.Warnings, note)
	}
	fixed, drawing := onnx.Seed(fixed)
	for _, op := range slices.Sorted(maps.Keys(drawing)) {
		ref.Warnings = append(ref.Warnings, fmt.Sprintf("the model draws random numbers (%s, %d nodes): they have fixed seeds, so that all forms of it draw the same ones in each inference", op, drawing[op]))
	}
	if ref.Model, ref.constant, ref.Types, err = ort.Fold(ctx, r, fixed); err != nil {
		return nil, err
	}
	if len(ref.Model.Graph().GetNode()) == 0 {
		return nil, usage.Mark(errors.New("its outputs do not depend on its inputs"))
	}
	ref.Index = onnx.NewIndex(ref.Model)
	ref.listLayers(fixed)
	ref.connect()
	ref.standIns()
	if ref.Base, ref.Folded, err = rewrite.FoldBatchNorm(ref.Model); err != nil {
		return nil, err
	}
	if doubles := ref.inFloat64(); doubles > 0 {
		ref.Warnings = append(ref.Warnings, counted(doubles, "operator computes", "operators compute")+" in float64, for which there are no quantizers and which no DSP takes: what they make stays as it is and is compared; export the model in float32 to have it quantized")
	}
	ref.Placement = qdq.Find(ref.Base, ref.IsFloat)
	return ref, nil
}

// IsFloat says whether a tensor holds real numbers that can be quantized: quantizers take float32.
func (ref *Float) IsFloat(name string) bool { return ref.Types[name].DType == tensor.Float32 }

// inFloat64 counts the operators that make float64, but for those that only bring it in or out.
func (ref *Float) inFloat64() int {
	count := 0
	for _, n := range ref.Index.Nodes {
		if len(n.GetOutput()) > 0 && n.GetOpType() != "Cast" && ref.Types[n.GetOutput()[0]].DType == tensor.Float64 {
			count++
		}
	}
	return count
}

// listLayers makes a layer of every tensor that a node of the original graph makes.
func (ref *Float) listLayers(original *onnx.Model) {
	x := onnx.NewIndex(original)
	taken := map[string]int{}
	for i, n := range x.Nodes {
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			l := result.Layer{
				Name: out, Clean: align.Clean(out), Node: n.GetName(), Op: n.GetOpType(), Output: x.Output[out], Shape: []int64{},
			}
			if l.Node == "" {
				l.Node = fmt.Sprintf("%s_%d", n.GetOpType(), i)
			}
			if t, ok := ref.Types[out]; ok && t.Tensor {
				l.DType, l.Shape = t.DType.String(), append(l.Shape, t.Shape...)
			} else if !ok {
				l.DType = "constant"
			} else {
				l.DType = "sequence or map"
			}
			if taken[l.Clean]++; taken[l.Clean] > 1 {
				l.Clean = fmt.Sprintf("%s~%d", l.Clean, taken[l.Clean])
			}
			ref.Layers = append(ref.Layers, l)
		}
	}
}

// connect finds for each layer the layers that it is computed from.
func (ref *Float) connect() {
	number := map[string]int{}
	for k, l := range ref.Layers {
		number[l.Name] = k
	}
	for k := range ref.Layers {
		l := &ref.Layers[k]
		l.Inputs = []int{}
		p, made := ref.Index.Producer[l.Name]
		if !made {
			continue
		}
		for _, in := range onnx.Uses(ref.Index.Nodes[p]) {
			if _, ok := ref.Index.Producer[in]; ok && !slices.Contains(l.Inputs, number[in]) {
				l.Inputs = append(l.Inputs, number[in])
			}
		}
	}
}

// standIns marks, for each output of the graph that is no tensor of real numbers, the layers before it that stand for
// it: a class label is judged by the scores that it was taken from.
func (ref *Float) standIns() {
	number := map[string]int{}
	for k, l := range ref.Layers {
		number[l.Name] = k
	}
	seen := map[string]bool{}
	var mark func(name string) []string
	mark = func(name string) []string {
		k, made := number[name]
		if !made || seen[name] {
			return nil
		}
		seen[name] = true
		if ref.Incomparable(ref.Layers[k]) == "" {
			ref.Layers[k].Output = true
			return []string{name}
		}
		var marked []string
		if p, ok := ref.Index.Producer[name]; ok {
			for _, in := range onnx.Uses(ref.Index.Nodes[p]) {
				marked = append(marked, mark(in)...)
			}
		}
		return marked
	}
	for _, out := range ref.Model.Outputs() {
		if k, made := number[out]; made && ref.Incomparable(ref.Layers[k]) != "" {
			if marked := mark(out); len(marked) > 0 {
				ref.Layers[k].Output = false
				ref.Warnings = append(ref.Warnings, fmt.Sprintf("the output %s is %s; %s before it stands for it", out, ref.Incomparable(ref.Layers[k]), strings.Join(marked, ", ")))
			}
		}
	}
}

// Describe is what a result says of the model.
func (ref *Float) Describe() result.Model {
	d := result.Model{Path: paths.Absolute(ref.Model.Path), SHA256: ref.Model.SHA256, Opset: ref.Model.Opset()}
	for _, in := range ref.Model.Inputs() {
		t := ref.Types[in.GetName()]
		d.Inputs = append(d.Inputs, dataset.Input{Name: in.GetName(), DType: t.DType, Shape: t.Shape})
	}
	return d
}

// DescribeSample is what a result says of a sample.
func DescribeSample(s *dataset.Sample) result.Sample {
	return result.Sample{Name: s.Name, Path: paths.Absolute(s.Path), SHA256: s.SHA256}
}

// Channels is how many encodings the weights have, with one per channel.
func (ref *Float) Channels() int {
	n := 0
	for _, t := range ref.Model.Graph().GetInitializer() {
		if d := t.GetDims(); len(d) > 1 {
			n += int(min(max(d[0], d[len(d)-1], 1), 1<<20))
		}
	}
	return n
}

// UnpackedBytes is what the constants of the variants' base take as single precision.
func (ref *Float) UnpackedBytes() int64 {
	if ref.Base == nil {
		return 0
	}
	sum := int64(0)
	for _, t := range ref.Base.Graph().GetInitializer() {
		if n, err := tensor.Count(t.GetDims()); err == nil {
			sum += 4 * int64(n)
		}
	}
	return sum
}

// Incomparable says why a layer cannot be compared whatever the variant; it is "" if it can.
func (ref *Float) Incomparable(l result.Layer) string {
	t, ok := ref.Types[l.Name]
	switch {
	case ref.constant[l.Name]:
		return "constant: it does not depend on the input"
	case !ok:
		return "not in the graph that is run"
	case !t.Tensor:
		return "a sequence or map, not a tensor"
	case !t.DType.IsFloat():
		return t.DType.String() + " values, not real numbers"
	case t.Fixed() && slices.Contains(t.Shape, 0):
		return "empty: it has no elements"
	}
	return ""
}

// Shapes gives the shapes of tensors of these types, and of a graph's constants.
func Shapes(types map[string]onnxruntime.Type, x *onnx.Index) rewrite.Shapes {
	return func(name string) ([]int64, bool) {
		if t, ok := types[name]; ok && t.Tensor && t.Shape != nil {
			return t.Shape, true
		}
		if t := x.Initializer[name]; t != nil {
			return t.GetDims(), true
		}
		return nil, false
	}
}

// MACs counts the multiply-adds of a model's nodes by name, as far as they are known, given the types of its tensors.
func MACs(m *onnx.Model, types map[string]onnxruntime.Type) map[string]int64 {
	x := onnx.NewIndex(m)
	shapes := Shapes(types, x)
	list := map[string]int64{}
	for _, n := range x.Nodes {
		if k := rewrite.MACs(n, shapes); k > 0 {
			list[n.GetName()] = k
		}
	}
	return list
}

// Environment is what rewriting passes ask of a model whose tensors have these types. Spans and Asked are left to the caller.
func Environment(ctx context.Context, r ort.Engine, m *onnx.Model, types map[string]onnxruntime.Type) rewrite.Env {
	return rewrite.Env{
		Shapes: Shapes(types, onnx.NewIndex(m)),
		Float: func(name string) bool {
			t, ok := types[name]
			return ok && t.Tensor && t.DType == tensor.Float32
		},
		Type: func(name string) (tensor.DType, bool) {
			t, ok := types[name]
			return t.DType, ok && t.Tensor
		},
		Fold: func(m *onnx.Model) (*onnx.Model, error) {
			folded, _, _, err := ort.Fold(ctx, r, m)
			return folded, err
		},
	}
}

// FoldedEnvironment folds a model's constants and gives what passes ask of it, beside the folded model.
func FoldedEnvironment(ctx context.Context, r ort.Engine, m *onnx.Model) (*onnx.Model, rewrite.Env, error) {
	m, _, err := ort.Inline(ctx, r, m)
	if err != nil {
		return nil, rewrite.Env{}, err
	}
	folded, _, types, err := ort.Fold(ctx, r, m)
	if err != nil {
		return nil, rewrite.Env{}, err
	}
	return folded, Environment(ctx, r, folded, types), nil
}

// Aligned is the float model as an alignment takes it.
func (ref *Float) Aligned() align.Float {
	f := align.Float{
		Index:    ref.Index,
		Shape:    func(name string) ([]int64, bool) { t, ok := ref.Types[name]; return t.Shape, ok && t.Tensor },
		Constant: func(name string) bool { return ref.constant[name] },
	}
	for _, l := range ref.Layers {
		if _, made := ref.Index.Producer[l.Name]; made {
			f.Layers = append(f.Layers, l.Name)
		}
	}
	return f
}

// Quantized says whether a model is quantized, in whatever way.
func Quantized(m *onnx.Model) bool { return floattwin.Find(m) != nil }

// Quantizer says whether an operator quantizes or dequantizes.
func Quantizer(op string) bool { return op == "QuantizeLinear" || op == "DequantizeLinear" }

// InputsOf lists a model's inputs with their types and shapes.
func InputsOf(m *onnx.Model) []dataset.Input {
	var inputs []dataset.Input
	for _, in := range m.Inputs() {
		d, shape, _ := onnx.TypeOf(in)
		inputs = append(inputs, dataset.Input{Name: in.GetName(), DType: d, Shape: shape})
	}
	return inputs
}

// ReverseChannels gives a picture with its three channels in reverse order, an empty tensor for anything else. NCHW is tried
// before NHWC.
func ReverseChannels(t tensor.Tensor) tensor.Tensor {
	values, ok := t.AsFloat32()
	if !ok || len(t.Shape) != 4 || t.Shape[0] != 1 {
		return tensor.Tensor{DType: tensor.Float32, Shape: []int64{0}}
	}
	out := make([]float32, 0, len(values))
	switch {
	case t.Shape[1] == 3:
		plane := len(values) / 3
		for c := range 3 {
			out = append(out, values[(2-c)*plane:(3-c)*plane]...)
		}
	case t.Shape[3] == 3:
		out = append(out, values...)
		for i := 0; i+2 < len(out); i += 3 {
			out[i], out[i+2] = out[i+2], out[i]
		}
	default:
		return tensor.Tensor{DType: tensor.Float32, Shape: []int64{0}}
	}
	return tensor.Floats(out, t.Shape...)
}

// Seeded makes random samples, the same ones every time.
func Seeded(inputs []dataset.Input, count int) ([]map[string]tensor.Tensor, error) {
	var list []map[string]tensor.Tensor
	rng := rand.New(rand.NewPCG(1, 2))
	for range count {
		sample := map[string]tensor.Tensor{}
		for _, in := range inputs {
			n, err := tensor.Count(in.Shape)
			if err != nil {
				return nil, err
			}
			t := tensor.Tensor{DType: in.DType, Shape: in.Shape}
			if in.DType == tensor.Float32 {
				t.F32 = make([]float32, n)
				for i := range t.F32 {
					t.F32[i] = rng.Float32()
				}
			} else {
				t.Raw = make([]byte, tensor.ByteSize(in.DType, n)) // zeros are safe as indices too
			}
			sample[in.Name] = t
		}
		list = append(list, sample)
	}
	return list, nil
}

// WithOutputTypes gives the model with the types of its outputs written out, which other programs expect of a file.
func WithOutputTypes(m *onnx.Model, types map[string]onnxruntime.Type) *onnx.Model {
	g := m.Graph()
	after := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode(), Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer(), Input: g.GetInput()}
	for _, name := range m.Outputs() {
		out := onnx.Untyped(name)
		if t, ok := types[name]; ok && t.Tensor {
			out = onnx.ValueInfo(name, t.DType, t.Shape)
		}
		after.Output = append(after.Output, out)
	}
	typed := m.With(after)
	typed.SHA256 = m.SHA256
	return typed
}
