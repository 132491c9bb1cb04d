package sensitivity

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
)

// edit is what a candidate changes in the base graph.
type edit struct {
	nodes map[int][]*onnxpb.NodeProto // node → what stands in its place, in order
	inits []*onnxpb.TensorProto       // constants of that
}

// errNoQuantizer marks a candidate whose quantizer was not built, as of a tensor without a finite value.
var errNoQuantizer = errors.New("it has no quantizer")

// editor makes the edits of candidates.
type editor struct {
	float, quantized, raised *onnx.Index // raised is nil if what is raised becomes float
	built, high              *qdq.Built
	rest                     bool
}

func newEditor(o Options) (*editor, error) {
	d := &editor{float: onnx.NewIndex(o.Float), quantized: onnx.NewIndex(o.Quantized.Model), built: o.Quantized, high: o.Raised, rest: o.Question == Rest}
	if o.Raised != nil {
		d.raised = onnx.NewIndex(o.Raised.Model)
	}
	if len(d.built.Nodes) != len(d.float.Nodes) {
		return nil, fmt.Errorf("the quantized model has %d of the float one's %d nodes: it was not made from that", len(d.built.Nodes), len(d.float.Nodes))
	}
	return d, nil
}

const quantizerDomain = "com.microsoft"

// quantizer says whether a node is one of a quantizer's two.
func quantizer(n *onnxpb.NodeProto) bool {
	return n.GetDomain() == quantizerDomain && (n.GetOpType() == "QuantizeLinear" || n.GetOpType() == "DequantizeLinear")
}

// operator is the node of a list that the others stand around.
func operator(list []*onnxpb.NodeProto) *onnxpb.NodeProto {
	return list[slices.IndexFunc(list, func(n *onnxpb.NodeProto) bool { return !quantizer(n) })]
}

// of makes a candidate's edit of the base: the float graph, or with the question Rest the quantized one.
func (d *editor) of(c Candidate) (*edit, error) {
	if err := c.check(d.float); err != nil {
		return nil, err
	}
	e := &edit{nodes: map[int][]*onnxpb.NodeProto{}}
	found := false
	for _, at := range c.Params {
		found = d.param(e, at) || found
	}
	for _, t := range c.Tensors {
		q, dq, ok := pairOf(d.quantized, d.built, t)
		if !ok {
			continue
		}
		found = true
		if d.rest {
			d.raise(e, t, q, dq)
		} else {
			d.put(e, t, d.quantized.Nodes[q], d.quantized.Nodes[dq])
		}
	}
	if !found {
		return nil, errNoQuantizer
	}
	return e, nil
}

// pairOf finds the two nodes of an activation's quantizer.
func pairOf(x *onnx.Index, b *qdq.Built, t string) (q, dq int, ok bool) {
	if x.Input[t] {
		for _, k := range x.Consumers[t] {
			if n := x.Nodes[k]; n.GetOpType() == "QuantizeLinear" && quantizer(n) {
				if dq, sole := x.SoleConsumer(n.GetOutput()[0]); sole {
					return k, dq, true
				}
			}
		}
		return 0, 0, false
	}
	dq, made := x.Producer[b.Taps[t]]
	if !made || x.Nodes[dq].GetOpType() != "DequantizeLinear" {
		return 0, 0, false
	}
	q, made = x.Producer[x.Nodes[dq].GetInput()[0]]
	return q, dq, made
}

// at gives the nodes that stand in the place of one so far, to be changed.
func (e *edit) at(x *onnx.Index, i int) []*onnxpb.NodeProto {
	if list, ok := e.nodes[i]; ok {
		return list
	}
	return []*onnxpb.NodeProto{proto.CloneOf(x.Nodes[i])}
}

// param switches a constant: to its quantized form, or with the question Rest back to the float one.
func (d *editor) param(e *edit, at [2]int) bool {
	replaced, ok := d.built.Replaced[at]
	if !ok {
		return false
	}
	if d.rest {
		i := d.built.Nodes[at[0]]
		list := e.at(d.quantized, i)
		name := d.float.Nodes[at[0]].GetInput()[at[1]]
		list[0].Input[at[1]] = name
		e.nodes[i] = list
		e.inits = append(e.inits, d.float.Initializer[name])
		return true
	}
	list := e.at(d.float, at[0])
	operator(list).Input[at[1]] = replaced
	if p, made := d.quantized.Producer[replaced]; made {
		list = append([]*onnxpb.NodeProto{d.quantized.Nodes[p]}, list...)
		d.constants(e, d.quantized, d.quantized.Nodes[p].GetInput())
	} else {
		d.constants(e, d.quantized, []string{replaced})
	}
	e.nodes[at[0]] = list
	return true
}

// constants adds initializers that an edit takes.
func (d *editor) constants(e *edit, x *onnx.Index, names []string) {
	for _, name := range names {
		if t := x.Initializer[name]; t != nil {
			e.inits = append(e.inits, t)
		}
	}
}

// put puts a quantizer behind a tensor of the float graph: behind the node that makes it, or before all that take a graph
// input.
func (d *editor) put(e *edit, t string, q, dq *onnxpb.NodeProto) {
	d.constants(e, d.quantized, q.GetInput()[1:])
	q, dq = proto.CloneOf(q), proto.CloneOf(dq)
	p, made := d.float.Producer[t]
	if !made {
		rounded := t + "_rounded"
		q.Input[0], dq.Output[0] = t, rounded
		for _, i := range d.float.Consumers[t] {
			list := e.at(d.float, i)
			n := operator(list)
			for k, in := range n.GetInput() {
				if in == t {
					n.Input[k] = rounded
				}
			}
			e.nodes[i] = append([]*onnxpb.NodeProto{q, dq}, list...)
		}
		return
	}
	list := e.at(d.float, p)
	outputs := operator(list).GetOutput()
	outputs[slices.Index(outputs, t)] = t + "_unrounded"
	q.Input[0], dq.Output[0] = t+"_unrounded", t
	e.nodes[p] = append(list, q, dq)
}

// raise gives an activation of the quantized graph its other quantizer, or none.
func (d *editor) raise(e *edit, t string, q, dq int) {
	from, stored, to := d.quantized.Nodes[q].GetInput()[0], d.quantized.Nodes[q].GetOutput()[0], d.quantized.Nodes[dq].GetOutput()[0]
	if d.raised != nil {
		if hq, hdq, ok := pairOf(d.raised, d.high, t); ok {
			a, b := proto.CloneOf(d.raised.Nodes[hq]), proto.CloneOf(d.raised.Nodes[hdq])
			a.Input[0], a.Output[0], b.Input[0], b.Output[0] = from, stored, stored, to
			d.constants(e, d.raised, a.GetInput()[1:])
			e.nodes[q], e.nodes[dq] = []*onnxpb.NodeProto{a}, []*onnxpb.NodeProto{b}
			return
		}
	}
	e.nodes[q] = nil
	e.nodes[dq] = []*onnxpb.NodeProto{{OpType: proto.String("Identity"), Name: proto.String(to), Input: []string{from}, Output: []string{to}}}
}
