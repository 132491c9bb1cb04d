// Package rewrite changes a model's graph without changing what it computes.
//
//  1. All lists the passes in the order in which they run; each is documentation and one function.
//  2. A pass is run over the whole graph, again and again until it changes nothing.
//  3. Who runs it checks the graph's invariants and proves on samples that the outputs stay (optimize.Run).
package rewrite

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/suggest"
	"quantcheck/internal/tensor"
)

// Pass is one rewrite, with its documentation.
type Pass struct {
	Name  string
	Title string // what it does, in a line
	Why   string // what it is good for
	Order string // why it runs where it does
	Doc   string // before and after, conditions, formula
	// Tolerance is how far an output may move, against the greatest magnitude in it.
	Tolerance float64
	// Off passes run only when they are asked for by name.
	Off bool

	apply func(*sweep) error
}

// Shapes tells a tensor's shape in the model before the pass; unknown dimensions are −1, ok is false if nothing is known.
type Shapes func(tensor string) (shape []int64, ok bool)

// Env is what a pass may know besides the graph. The zero value knows nothing.
type Env struct {
	Shapes Shapes
	// Fold evaluates constant operators; the model itself is given back if there are none.
	Fold func(*onnx.Model) (*onnx.Model, error)
	// Float says whether a tensor of the model before the pass holds float32; nil: of none it is known.
	Float func(tensor string) bool
	// Spans gives what was seen of each channel (axis 1) of tensors of the model before the pass; nil: there are no samples.
	Spans func(tensors []string) (map[string]Span, error)
	// Asked says that the pass was asked for by name: it does what does not always pay, too.
	Asked bool
}

// Result is what a pass did.
type Result struct {
	Model   *onnx.Model // the same value if nothing was done
	Changes []string    // one for each place
	Left    []string    // places that match but for a condition, with the reason

	folded map[string]string
}

// Run applies a pass once to every place where it fits. Places that touch each other wait for the next run: call it until
// it changes nothing.
func (p *Pass) Run(m *onnx.Model, env Env) (*Result, error) {
	shapes := env.Shapes
	if shapes == nil {
		shapes = func(string) ([]int64, bool) { return nil, false }
	}
	s := &sweep{
		m: m, x: onnx.NewIndex(m), shapes: shapes, fold: env.Fold, measured: env.Spans, asked: env.Asked,
		float:    func(name string) bool { return env.Float != nil && env.Float(name) },
		replaced: map[int][]*onnxpb.NodeProto{}, touched: map[int]bool{}, names: map[string]bool{}, rename: map[string]string{}, seen: map[string]*view{},
	}
	for name := range s.x.Producer {
		s.names[name] = true
	}
	for name := range s.x.Initializer {
		s.names[name] = true
	}
	for name := range s.x.Input {
		s.names[name] = true
	}
	if err := p.apply(s); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	r := &Result{Model: m, Changes: s.changes, Left: s.left, folded: s.folded}
	switch {
	case s.whole != nil:
		r.Model = s.whole
	case len(s.changes) > 0:
		r.Model = s.rebuild()
	}
	return r, nil
}

// sweep is one run of a pass: it collects changes of nodes that do not touch each other.
type sweep struct {
	m        *onnx.Model
	x        *onnx.Index
	shapes   Shapes
	float    func(tensor string) bool
	asked    bool
	replaced map[int][]*onnxpb.NodeProto // node → what takes its place
	touched  map[int]bool                // nodes that were changed or that a change relies on
	added    []*onnxpb.TensorProto
	names    map[string]bool
	rename   map[string]string // tensor → what its consumers take instead
	changes  []string
	left     []string
	fold     func(*onnx.Model) (*onnx.Model, error)
	measured func(tensors []string) (map[string]Span, error)
	seen     map[string]*view  // views of tensors, whoever uses what lies between
	whole    *onnx.Model       // takes the place of the model
	folded   map[string]string // tensor that is gone → the one it went into
}

func (s *sweep) changed(format string, args ...any) {
	s.changes = append(s.changes, fmt.Sprintf(format, args...))
}

func (s *sweep) leave(n *onnxpb.NodeProto, format string, args ...any) {
	s.left = append(s.left, fmt.Sprintf("%s (%s): %s", nameOf(n), n.GetOpType(), fmt.Sprintf(format, args...)))
}

// nameOf is a node's name, or its first output if it has none.
func nameOf(n *onnxpb.NodeProto) string {
	if n.GetName() != "" || len(n.GetOutput()) == 0 {
		return n.GetName()
	}
	return n.GetOutput()[0]
}

// free says whether none of the nodes was touched in this sweep.
func (s *sweep) free(nodes ...int) bool {
	return !slices.ContainsFunc(nodes, func(i int) bool { return s.touched[i] })
}

// replace puts nodes in the place of one, and marks it and those around it as touched.
func (s *sweep) replace(node int, with ...*onnxpb.NodeProto) {
	s.replaced[node] = with
	s.touch(node)
}

func (s *sweep) touch(nodes ...int) {
	for _, i := range nodes {
		s.touched[i] = true
	}
}

// constant decodes a float32 initializer that is no graph input.
func (s *sweep) constant(name string) (tensor.Tensor, bool, error) {
	p := s.x.Initializer[name]
	if p == nil || s.x.Input[name] || tensor.DType(p.GetDataType()) != tensor.Float32 {
		return tensor.Tensor{}, false, nil
	}
	t, err := s.m.Tensor(p)
	return t, err == nil, err
}

// ints decodes an integer initializer, or the value of a Constant.
func (s *sweep) ints(name string) ([]int64, bool, error) {
	p := s.x.Initializer[name]
	if k, made := s.x.Producer[name]; made && s.x.Nodes[k].GetOpType() == "Constant" && s.x.Nodes[k].GetDomain() == "" && len(s.x.Nodes[k].GetAttribute()) == 1 {
		p = constantValue(s.x.Nodes[k].GetAttribute()[0])
	}
	if p == nil || s.x.Input[name] {
		return nil, false, nil
	}
	t, err := s.m.Tensor(p)
	if err != nil {
		return nil, false, err
	}
	v, ok := t.Ints()
	return v, ok, nil
}

// unique makes a tensor name that is free.
func (s *sweep) unique(name string) string {
	for s.names[name] {
		name += "_"
	}
	s.names[name] = true
	return name
}

// put adds a changed constant for a node. It keeps the old name if nobody else uses it, so that encodings are found under it.
func (s *sweep) put(old string, node int, t tensor.Tensor) string {
	name := old
	if old == "" || len(s.x.Consumers[old]) != 1 || s.x.Output[old] {
		name = s.unique(fmt.Sprintf("%s_%s_%d", old, "rewritten", node))
	}
	s.added = append(s.added, onnx.TensorProto(name, t))
	return name
}

// fresh adds a new constant.
func (s *sweep) fresh(name string, t tensor.Tensor) string {
	name = s.unique(name)
	s.added = append(s.added, onnx.TensorProto(name, t))
	return name
}

func (s *sweep) freshInts(name string, values ...int64) string {
	return s.fresh(name, int64s(values))
}

func int64s(values []int64) tensor.Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		for shift := range 8 {
			raw = append(raw, byte(uint64(v)>>(8*shift)))
		}
	}
	return tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw}
}

// sole gives the only consumer of a tensor, if there is one, it takes the tensor once, and it is untouched.
func (s *sweep) sole(name string) (int, bool) {
	k, ok := s.x.SoleConsumer(name)
	if !ok || s.touched[k] {
		return 0, false
	}
	uses := 0
	for _, in := range s.x.Nodes[k].GetInput() {
		if in == name {
			uses++
		}
	}
	return k, uses == 1
}

// bypass removes a node whose output equals one of its inputs. A graph output keeps its name: then the tensor before takes
// it. It is false where that cannot be done.
func (s *sweep) bypass(node int, from, to string) bool {
	if !s.x.Output[to] {
		s.rename[to] = from
		s.replace(node)
		s.touch(s.x.Consumers[to]...)
		return true
	}
	p, made := s.x.Producer[from]
	if !made || s.x.Output[from] || s.touched[p] || !s.free(s.x.Consumers[from]...) {
		return false
	}
	c := proto.CloneOf(s.x.Nodes[p])
	for i, out := range c.GetOutput() {
		if out == from {
			c.Output[i] = to
		}
	}
	s.rename[from] = to
	s.replace(p, c)
	s.replace(node)
	s.touch(s.x.Consumers[from]...)
	return true
}

func (s *sweep) rebuild() *onnx.Model {
	var nodes []*onnxpb.NodeProto
	for i, n := range s.x.Nodes {
		with, changed := s.replaced[i]
		if !changed {
			with = []*onnxpb.NodeProto{n}
		}
		for _, w := range with {
			nodes = append(nodes, s.renamed(w))
		}
	}
	m := onnx.Rebuild(s.m, nodes, s.added...)
	m.SHA256 = s.m.SHA256
	return m
}

// renamed gives a node whose inputs follow the renames, those of its subgraphs too.
func (s *sweep) renamed(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	if len(s.rename) == 0 || !slices.ContainsFunc(onnx.Uses(n), func(in string) bool { _, ok := s.rename[in]; return ok }) {
		return n
	}
	c := proto.CloneOf(n)
	renameUses(c, s.rename)
	return c
}

func renameUses(n *onnxpb.NodeProto, rename map[string]string) {
	for i, in := range n.GetInput() {
		if to, ok := rename[in]; ok {
			n.Input[i] = to
		}
	}
	for _, a := range n.GetAttribute() {
		for _, g := range append(a.GetGraphs(), a.GetG()) {
			for _, inner := range g.GetNode() {
				renameUses(inner, rename)
			}
		}
	}
}

// All are the passes in the order in which they run; each says why.
var All = []Pass{
	constantsToInitializers, constantFold, removeIdentity, foldBatchNorm, focusToConv, swapInputChannels, splitConcatToConv,
	sliceToConv, divToMul, fuseAfterConv, fuseBeforeConv,
	uniformStride, matmulToConv, splitGates, equalize, dropUnused,
}

// Find gives a pass by name; the error names the nearest.
func Find(name string) (*Pass, error) {
	var names []string
	for i := range All {
		if All[i].Name == name {
			return &All[i], nil
		}
		names = append(names, All[i].Name)
	}
	return nil, fmt.Errorf("there is no pass %q; did you mean %s? There are %s", name, suggest.Nearest(name, names)[0], strings.Join(names, ", "))
}
