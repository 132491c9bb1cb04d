// Package rewrite changes a model's graph without changing what it computes.
//
//  1. All lists the passes in the order in which they run; each is documentation and one function.
//  2. A pass is run over the whole graph, again and again until it changes nothing; one that says Once, once.
//  3. Who runs it checks the graph's invariants and proves on samples that the outputs stay (optimize.Run).
package rewrite

import (
	"fmt"
	"strings"

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
	// Doubtful passes, asked for by name, also do what does not always pay; the estimate decides (optimize --keep-faster).
	Doubtful bool
	// Once passes are run once only: what they leave would match again.
	Once bool

	apply func(*sweep) error
}

// Shapes tells a tensor's shape in the model before the pass; unknown dimensions are −1, ok is false if nothing is known.
type Shapes func(name string) (shape []int64, ok bool)

// Env is what a pass may know besides the graph. The zero value knows nothing.
type Env struct {
	Shapes Shapes
	// Fold evaluates constant operators; the model itself is given back if there are none.
	Fold func(*onnx.Model) (*onnx.Model, error)
	// Float says whether a tensor of the model before the pass holds float32; nil: of none it is known.
	Float func(tensor string) bool
	// Type tells the type of a tensor of the model before the pass; nil: of none it is known.
	Type func(name string) (d tensor.DType, ok bool)
	// Spans gives what was seen of each channel (axis 1) of tensors of the model before the pass; nil: there are no samples.
	Spans func(tensors []string) (map[string]Span, error)
	// Asked says that the pass was asked for by name: it does what does not always pay, too.
	Asked bool
	// Sure has a pass do only what has never made a model slower by the HTP compiler's estimate.
	Sure bool
}

// Result is what a pass did.
type Result struct {
	Model   *onnx.Model // the same value if nothing was done
	Changes []string    // one for each place
	Left    []string    // places that match but for a condition, with the reason
	// Joins are the outputs that were cut into parts, which are the model's outputs now.
	Joins []Join
	// Scales are the parts of outputs that were divided.
	Scales []Scale

	folded map[string]string
}

// Rounds bounds how often a pass is run; each round takes in what touched each other in the one before.
const Rounds = 200

// Run applies a pass once to every place where it fits. Places that touch each other wait for the next run: call it until
// it changes nothing.
func (p *Pass) Run(m *onnx.Model, env Env) (*Result, error) {
	shapes := env.Shapes
	if shapes == nil {
		shapes = func(string) ([]int64, bool) { return nil, false }
	}
	known := &facts{
		m: m, x: onnx.NewIndex(m), shapes: shapes, seen: map[string]*view{},
		float: func(name string) bool { return env.Float != nil && env.Float(name) }, types: env.Type,
	}
	s := &sweep{facts: known, edits: newEdits(known), fold: env.Fold, measured: env.Spans, asked: env.Asked, sure: env.Sure && !env.Asked}
	if err := p.apply(s); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	r := &Result{Model: m, Changes: s.changes, Left: s.left, Joins: s.joins, Scales: s.scales, folded: s.folded}
	switch {
	case s.whole != nil:
		r.Model = s.whole
	case len(s.changes) > 0:
		r.Model = s.rebuild()
	}
	if s.raise > m.Opset() && r.Model != m {
		r.Model = s.raised(r.Model, s.raise)
	}
	if s.domain != "" {
		r.Model = r.Model.WithDomain(s.domain, 1)
		r.Model.SHA256 = m.SHA256
	}
	return r, nil
}

// sweep is one run of a pass over a model: what is known of the graph, what is changed of it, and what the user is told of both.
type sweep struct {
	*facts
	*edits
	asked    bool
	sure     bool
	fold     func(*onnx.Model) (*onnx.Model, error)
	measured func(tensors []string) (map[string]Span, error)
	changes  []string
	left     []string
	joins    []Join
	scales   []Scale
	whole    *onnx.Model       // takes the place of the model
	raise    int64             // operator set that what was put in needs
	domain   string            // and domain besides ONNX's own
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

// All are the passes in the order in which they run; each says why.
var All = []Pass{
	constantsToInitializers, constantFold, clampMasks, removeIdentity, fuseGelu, fuseActivations, fuseMish, fuseLayerNorm, fuseRMSNorm, fuseInstanceNorm, foldBatchNorm, focusToConv, swapInputChannels, splitConcatToConv, einsumToMatmul, splitQKV,
	fourAxes, sliceToConv, divToMul, fuseAfterConv, fuseBeforeConv,
	depthToSpace, uniformStride, matmulToConv, splitGates, equalize, splitOutput, scaleBoxes, dropUnused,
}

// Doubtful are the names of those that do not always pay.
func Doubtful() []string {
	var names []string
	for i := range All {
		if All[i].Doubtful {
			names = append(names, All[i].Name)
		}
	}
	return names
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
