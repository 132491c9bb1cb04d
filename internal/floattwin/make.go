package floattwin

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
)

// Report says what became of a model's quantization.
type Report struct {
	Quantizers int                 `json:"quantizers_removed"`   // of activations
	Dequantize int                 `json:"dequantizers_removed"` // of activations
	Operators  map[string]int      `json:"operators_replaced"`   // integer operators that became float ones, by type
	Weights    []string            `json:"weights_dequantized"`  // the constants' names in the twin
	Kept       []string            `json:"weights_were_float"`   // constants whose float values were in the file, unrounded
	Clamps     []Clamp             `json:"clamps"`               // activations that the quantizers' ranges stood for
	Stays      []Stay              `json:"stays"`
	Encodings  []Encoding          `json:"-"` // of activations, in the graph's order
	Params     []qdq.ParamEncoding `json:"-"`
}

// Encoding is that of an activation whose quantizer is gone, by the tensor's name in the twin.
type Encoding struct {
	Tensor   string
	Encoding quant.Encoding
}

// Clamp is a Relu or Clip that was put where a quantizer's range began at zero: tools that quantize remove one there.
type Clamp struct {
	Tensor string `json:"tensor"`
	Op     string `json:"op"`
}

// Stay is a quantized operator that the twin still has.
type Stay struct {
	Node   string `json:"node"`
	Op     string `json:"op"`
	Reason string `json:"reason"`
}

// grid is what is known of an integer tensor.
type grid struct {
	dynamic     bool      // the scale is taken for 1: the float tensor is what the integers stand for
	source      string    // the node type that made it
	scale, zero string    // the tensors that hold them
	domain      string    // of QuantizeLinear
	axis        int64     // of several scales
	values      []float64 // the scales
	zeros       []int64
	encoding    []quant.Encoding
}

// view is a graph that a twin is made of, with who makes and who takes its tensors.
type view struct {
	m        *onnx.Model
	outer    *view // the graph around a body of control flow
	constant map[string]*onnxpb.TensorProto
	producer map[string]*onnxpb.NodeProto
	users    map[string][]*onnxpb.NodeProto
	output   map[string]bool
	input    map[string]bool
}

// weights makes the float constants of a twin.
type weights struct {
	*view
	names  onnx.Names
	inits  []*onnxpb.TensorProto
	done   map[string]string // constant and scale → its float form
	report *Report
}

// maker makes the twin of one graph: the model's, or a body of control flow.
type maker struct {
	*weights
	around *maker // of the graph around a body
	nodes  []*onnxpb.NodeProto
	made   map[string]*onnxpb.NodeProto // tensor → node of the twin

	real    map[string]string  // integer tensor → float tensor that carries its value
	grids   map[string]grid    // of the integer tensors in real
	rename  map[string]string  // float tensor that is gone → what stands for it
	integer map[string]bool    // integer tensors that had to be made again
	sums    map[string]bool    // tensors of sums of integers, which are float now
	one     string             // the constant 1
	clamped map[string]string  // float tensor → behind its clamp
	low     map[string]float64 // bounds below float tensors, as far as they were asked for
}

// Make gives the float twin of a model. A model that is not quantized comes back as it is.
func Make(m *onnx.Model) (*onnx.Model, *Report, error) {
	report := &Report{Operators: map[string]int{}, Weights: []string{}, Kept: []string{}, Clamps: []Clamp{}, Stays: []Stay{}}
	if Find(m) == nil {
		return m, report, nil
	}
	k := newMaker(m, m.Graph(), nil, report, onnx.NewNames(m))
	g, err := k.graph(m.Graph())
	if err != nil {
		return nil, nil, err
	}
	for _, fn := range m.Proto.GetFunctions() {
		for _, n := range fn.GetNode() {
			if Quantized(n.GetOpType()) {
				k.stay(n, "it is in the function "+fn.GetName())
			}
		}
	}
	twin := m.With(g)
	// Without value_info, which names types that are others now; unused initializers go.
	twin = onnx.Rebuild(twin, g.GetNode())
	if err := onnx.Check(twin); err != nil {
		return nil, nil, fmt.Errorf("the float twin does not hold together: %w", err)
	}
	return twin, report, nil
}

func newMaker(m *onnx.Model, g *onnxpb.GraphProto, around *maker, report *Report, names onnx.Names) *maker {
	v := newView(m, g)
	if around != nil {
		v.outer = around.view
	}
	return &maker{
		weights: &weights{view: v, names: names, report: report, done: map[string]string{}}, around: around, made: map[string]*onnxpb.NodeProto{},
		real: map[string]string{}, grids: map[string]grid{}, rename: map[string]string{}, integer: map[string]bool{}, sums: map[string]bool{}, clamped: map[string]string{}, low: map[string]float64{},
	}
}

func newView(m *onnx.Model, g *onnxpb.GraphProto) *view {
	k := &view{m: m, constant: map[string]*onnxpb.TensorProto{}, producer: map[string]*onnxpb.NodeProto{}, users: map[string][]*onnxpb.NodeProto{}, output: map[string]bool{}, input: map[string]bool{}}
	for _, t := range g.GetInitializer() {
		k.constant[t.GetName()] = t
	}
	for _, in := range g.GetInput() {
		k.input[in.GetName()] = k.constant[in.GetName()] == nil
	}
	for _, out := range g.GetOutput() {
		k.output[out.GetName()] = true
	}
	for _, n := range g.GetNode() {
		if a := onnx.Attr(n, "value"); n.GetOpType() == "Constant" && a.GetT() != nil {
			k.constant[n.GetOutput()[0]] = a.GetT()
		}
		for _, out := range n.GetOutput() {
			k.producer[out] = n
		}
		for _, in := range onnx.Uses(n) {
			k.users[in] = append(k.users[in], n)
		}
	}
	return k
}

// graph makes the twin of a graph.
func (k *maker) graph(g *onnxpb.GraphProto) (*onnxpb.GraphProto, error) {
	if err := k.movedConstants(g); err != nil {
		return nil, err
	}
	for _, n := range g.GetNode() {
		if err := k.node(n); err != nil {
			return nil, fmt.Errorf("%s (%s): %w", n.GetName(), n.GetOpType(), err)
		}
	}
	for _, out := range g.GetOutput() {
		name := out.GetName()
		if _, is := k.real[name]; is && !k.integer[name] {
			k.again(name, "the graph gives the integers out")
		}
		if from := k.now(name); from != name {
			k.add(&onnxpb.NodeProto{OpType: proto.String("Identity"), Name: proto.String(k.names.Unique(name + "_Identity")), Input: []string{from}, Output: []string{name}})
		}
	}
	after := &onnxpb.GraphProto{Name: g.Name, Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer(), Node: k.nodes}
	tidier{k}.tidy(after, g)
	return after, nil
}

// now is the tensor that stands for a float tensor.
func (k *maker) now(name string) string {
	for range len(k.rename) + 1 {
		to, gone := k.rename[name]
		if !gone {
			break
		}
		name = to
	}
	if _, own := k.producer[name]; !own && k.around != nil && !k.input[name] && k.constant[name] == nil {
		return k.around.now(name)
	}
	return name
}

// constantOf finds a constant of this graph or of one around it.
func (k *view) constantOf(name string) *onnxpb.TensorProto {
	if t := k.constant[name]; t != nil || k.outer == nil || k.input[name] {
		return t
	}
	return k.outer.constantOf(name)
}

func (k *maker) add(n *onnxpb.NodeProto) {
	k.nodes = append(k.nodes, n)
	for _, out := range n.GetOutput() {
		k.made[out] = n
	}
}

func (k *maker) stay(n *onnxpb.NodeProto, reason string) {
	name := n.GetName()
	if name == "" && len(n.GetOutput()) > 0 {
		name = n.GetOutput()[0]
	}
	k.report.Stays = append(k.report.Stays, Stay{Node: name, Op: n.GetOpType(), Reason: reason})
}

// node takes one node of the graph.
func (k *maker) node(n *onnxpb.NodeProto) error {
	switch op := n.GetOpType(); {
	case op == "QuantizeLinear":
		return k.quantizer(n)
	case op == "DequantizeLinear":
		return k.dequantizer(n)
	case op == "DynamicQuantizeLinear" && k.dynamicFits(n):
		k.dynamic(n)
		return nil
	case (op == "MatMulInteger" || op == "ConvInteger") && k.integerFits(n):
		return k.integerProduct(n)
	case op == "Cast" && (k.sums[n.GetInput()[0]] || k.toSum(n)), (op == "Add" || moves(n)) && slices.ContainsFunc(n.GetInput(), func(in string) bool { return k.sums[in] }):
		return k.sum(n)
	case op == "Div":
		if done, err := computed(k, n); done || err != nil {
			return err
		}
	case op == "Mul" && k.one != "" && (k.now(n.GetInput()[0]) == k.one || k.now(n.GetInput()[1]) == k.one):
		other := n.GetInput()[0]
		if k.now(other) == k.one {
			other = n.GetInput()[1]
		}
		k.rename[n.GetOutput()[0]] = k.now(other)
		return nil
	case k.movesIntegers(n):
		return k.move(n)
	}
	if replace, ok := operators[n.GetOpType()]; ok {
		taken, err := replace(k, n)
		if err != nil || taken {
			if taken {
				k.report.Operators[n.GetOpType()]++
			}
			return err
		}
	}
	return k.keep(n)
}

// keep takes a node as it is, with what stands for its inputs.
func (k *maker) keep(n *onnxpb.NodeProto) error {
	for _, in := range onnx.Uses(n) {
		for o := k; o != nil; o = o.around {
			if _, is := o.real[in]; is && !o.integer[in] {
				o.again(in, fmt.Sprintf("%s (%s) takes the integers", n.GetName(), n.GetOpType()))
			}
		}
	}
	if kinds[n.GetOpType()] != "" && n.GetOpType() != "QuantizeLinear" {
		k.stay(n, "it has no float form here")
	}
	c := proto.CloneOf(n)
	for i, in := range n.GetInput() {
		if in != "" {
			c.Input[i] = k.now(in)
		}
	}
	for _, a := range c.GetAttribute() {
		for i, g := range append(slices.Clone(a.GetGraphs()), a.GetG()) {
			if g == nil {
				continue
			}
			inner, err := newMaker(k.m, g, k, k.report, k.names).graph(g)
			if err != nil {
				return err
			}
			if i < len(a.GetGraphs()) {
				a.Graphs[i] = inner
			} else {
				a.G = inner
			}
		}
	}
	k.add(c)
	return nil
}

// again makes the integers of a tensor once more, for what takes them.
func (k *maker) again(name, reason string) {
	g := k.grids[name]
	k.integer[name] = true
	n := &onnxpb.NodeProto{OpType: proto.String("QuantizeLinear"), Domain: proto.String(g.domain), Name: proto.String(k.names.Unique(name + "_QuantizeLinear")), Input: []string{k.real[name], g.scale}, Output: []string{name}}
	if g.zero != "" {
		n.Input = append(n.Input, g.zero)
	}
	if len(g.values) > 1 {
		n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("axis", g.axis)}
	}
	k.add(n)
	k.stay(n, reason)
}

// quantizer lets a QuantizeLinear go: its integers' values are those of its input.
func (k *maker) quantizer(n *onnxpb.NodeProto) error {
	from, to := k.now(n.GetInput()[0]), n.GetOutput()[0]
	g, ok, err := k.gridOf(n, n.GetInput()[1], optional(n, 2))
	if err != nil {
		return err
	}
	if !ok {
		k.stay(n, "its scale is not constant")
		return k.keep(n)
	}
	g.domain, g.axis = n.GetDomain(), onnx.AttrInt(n, "axis", 1)
	k.real[to], k.grids[to] = from, g
	if k.constantOf(from) != nil {
		k.report.Kept = append(k.report.Kept, from)
		return nil
	}
	k.report.Quantizers++
	k.leave(to, from, g, len(k.users[from]) == 1 && !k.output[from])
	return nil
}

// leave takes note of an integer tensor whose value a float tensor carries, with the clamp that its range stands for. alone says that
// nobody takes the float tensor without the clamp: then the clamp has its name.
func (k *maker) leave(integers, float string, g grid, alone bool) {
	k.real[integers], k.grids[integers] = float, g
	if len(g.encoding) != 1 {
		return
	}
	if k.input[float] && g.encoding[0].Offset == 0 {
		k.low[float] = 0
	}
	if behind, done := k.clamped[float]; done {
		k.real[integers] = behind
	} else if op, bounds := (signs{k.view, k.made, k.low}).clampOf(float, g.encoding[0]); op != "" && !k.clampedBehind(integers) {
		from, to := float, float
		if maker := k.made[float]; alone && maker != nil {
			from = k.names.Unique(float + "_before_" + op)
			maker.Output[slices.Index(maker.GetOutput(), float)] = from
			k.made[from] = maker
		} else {
			to = k.names.Unique(float + "_" + op)
			k.clamped[float], k.real[integers] = to, to
		}
		k.clamp(from, to, op, bounds)
		k.low[from], k.low[to] = math.Inf(-1), 0
		k.report.Clamps = append(k.report.Clamps, Clamp{Tensor: to, Op: op})
	}
	k.report.Encodings = append(k.report.Encodings, Encoding{Tensor: k.real[integers], Encoding: g.encoding[0]})
}

// dequantizer lets a DequantizeLinear go: what its integers stand for is known.
func (k *maker) dequantizer(n *onnxpb.NodeProto) error {
	in, out := n.GetInput()[0], n.GetOutput()[0]
	g, ok, err := k.gridOf(n, n.GetInput()[1], optional(n, 2))
	if err != nil {
		return err
	}
	if !ok {
		k.stay(n, "its scale is not constant")
		return k.keep(n)
	}
	g.axis = onnx.AttrInt(n, "axis", 1)
	if float, is := k.real[in]; is {
		k.report.Dequantize++
		if same(k.grids[in], g) {
			if float != out {
				k.rename[out] = float
			}
			return nil
		}
		return k.rescale(n, float, out, k.grids[in], g)
	}
	if t := k.constantOf(in); t != nil {
		name, err := k.dequantized(in, out, g, onnx.AttrInt(n, "block_size", 0))
		if err != nil {
			k.stay(n, err.Error())
			return k.keep(n)
		}
		if name != out {
			k.rename[out] = name
		}
		return nil
	}
	k.stay(n, "its integers come from outside")
	return k.keep(n)
}

// optional is a node's input, "" if it has not so many.
func optional(n *onnxpb.NodeProto, i int) string {
	if len(n.GetInput()) > i {
		return n.GetInput()[i]
	}
	return ""
}

// plain is a quantized constant's name without what quantizers add to it.
func plain(name string) string {
	for _, suffix := range []string{"_quantized", "_DequantizeLinear_Output", "_QuantizeLinear_Output", "_q4", "_Q4"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}
