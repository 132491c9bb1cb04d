package main

import (
	"context"
	"errors"
	"fmt"
	_ "image/jpeg" // the fixtures' pictures
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/compare"
	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/quantize"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// errUnfit says that a fault cannot be planted in a network: it has no place for it.
var errUnfit = errors.New("no place for it")

// ground is a network that is not changed, with what its plain check found.
type ground struct {
	network
	engines session.Engines
	dir     string // of files that are made
	spec    result.CheckSpec
	plain   *result.Run
	index   *onnx.Index
	shapes  map[string][]int64
	number  int               // among the networks
	quant   map[string][]byte // files with quantizers, by recipe
}

const (
	samples = 3
	memory  = 2048 // MiB
)

// prepare draws the samples of a network and checks it as it is.
func prepare(ctx context.Context, engines session.Engines, n network, number int, dir string) (*ground, error) {
	g := &ground{network: n, engines: engines, dir: dir, number: number, shapes: map[string][]int64{}, quant: map[string][]byte{}}
	images := filepath.Join(dir, "images")
	if n.width > 0 {
		if err := n.draw(images, 2*samples); err != nil {
			return nil, err
		}
	} else {
		images = filepath.Join(fixture.Own(), "coco", "val")
	}
	input := dataset.Default()
	n.input(&input)
	g.spec = result.CheckSpec{
		Sources: result.Sources{Model: n.path, Images: images, Limit: samples}, Variants: []string{"w8a8"}, Place: result.Place{Name: n.name}, Input: input,
		Bounds: result.Bounds{Threads: 2, MemoryMiB: memory}, LocalSamples: 1, DivergeUnder: 20,
	}
	m, err := onnx.Load(n.path)
	if err != nil {
		return nil, err
	}
	if n.name == "text-cls" { // it is judged by its logits: two classes keep their order through much
		x := onnx.NewIndex(m)
		scores := x.Nodes[x.Producer[m.Outputs()[0]]]
		m.Graph().Output = []*onnxpb.ValueInfoProto{onnx.Untyped(scores.GetInput()[0])}
		g.path = filepath.Join(dir, "logits.onnx")
		g.spec.Model = g.path
		m = onnx.Rebuild(m, m.Graph().GetNode())
		if err := onnx.Save(m, g.path); err != nil {
			return nil, err
		}
	}
	g.index = onnx.NewIndex(m)
	if g.plain, err = g.check(ctx, g.spec); err != nil {
		return nil, err
	}
	for _, l := range g.plain.Layers {
		if !slices.ContainsFunc(l.Shape, func(d int64) bool { return d < 1 }) {
			g.shapes[l.Name] = l.Shape
		}
	}
	return g, nil
}

func (g *ground) check(ctx context.Context, spec result.CheckSpec) (*result.Run, error) {
	return compare.Run(ctx, g.engines, spec, progress.Silent{}, nil, nil)
}

// site is a copy of a network that a fault is planted into.
type site struct {
	*ground
	ctx   context.Context
	model *onnx.Model
	spec  result.CheckSpec
	rng   *rand.Rand
	added int
	where []string // layers or constants, one of which the cause must name
	kind  string   // of the cause, if it is another one than the fault's
}

func (g *ground) site(ctx context.Context, seed uint64) (*site, error) {
	m, err := onnx.Load(g.path)
	return &site{ground: g, ctx: ctx, model: m, spec: g.spec, rng: rand.New(rand.NewPCG(seed, uint64(g.number)))}, err
}

// save writes the copy, which is then what is checked.
func (s *site) save() error {
	path := filepath.Join(s.dir, "planted.onnx")
	s.spec.Model = path
	return onnx.Save(s.model, path)
}

// node adds a node; attributes are name and value pairs.
func (s *site) node(op, out string, inputs []string, attrs ...any) string {
	s.added++
	n := &onnxpb.NodeProto{OpType: &op, Name: proto.String(fmt.Sprintf("planted.%d", s.added)), Input: inputs, Output: []string{out}}
	for i := 0; i < len(attrs); i += 2 {
		name := attrs[i].(string)
		switch v := attrs[i+1].(type) {
		case int:
			n.Attribute = append(n.Attribute, onnx.IntAttr(name, int64(v)))
		case float64:
			n.Attribute = append(n.Attribute, onnx.FloatAttr(name, float32(v)))
		case []int64:
			n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: &name, Ints: v, Type: onnxpb.AttributeProto_INTS.Enum()})
		case *onnxpb.GraphProto:
			n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: &name, G: v, Type: onnxpb.AttributeProto_GRAPH.Enum()})
		}
	}
	g := s.model.Graph()
	g.Node = append(g.Node, n)
	return out
}

func (s *site) floats(name string, values []float32, shape ...int64) string {
	g := s.model.Graph()
	g.Initializer = append(g.Initializer, onnx.TensorProto(name, tensor.Floats(values, shape...)))
	return name
}

func (s *site) ints(name string, values ...int64) string {
	g := s.model.Graph()
	g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{int64(len(values))}, Int64Data: values})
	return name
}

// values decodes a float constant, nil if there is none.
func (s *site) values(name string) ([]float32, []int64) {
	for _, p := range s.model.Graph().GetInitializer() {
		if p.GetName() == name && tensor.DType(p.GetDataType()) == tensor.Float32 {
			if t, err := s.model.Tensor(p); err == nil {
				return slices.Clone(t.F32), t.Shape
			}
		}
	}
	for _, n := range s.model.Graph().GetNode() { // older exporters keep weights in nodes
		if n.GetOpType() == "Constant" && n.GetOutput()[0] == name {
			if p := onnx.Attr(n, "value").GetT(); p != nil && tensor.DType(p.GetDataType()) == tensor.Float32 {
				if t, err := s.model.Tensor(p); err == nil {
					return slices.Clone(t.F32), t.Shape
				}
			}
		}
	}
	return nil, nil
}

// replace gives a constant other values; of a node it makes an initializer.
func (s *site) replace(name string, values []float32, shape []int64) {
	g := s.model.Graph()
	g.Initializer = slices.DeleteFunc(g.Initializer, func(p *onnxpb.TensorProto) bool { return p.GetName() == name })
	g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return n.GetOpType() == "Constant" && n.GetOutput()[0] == name })
	s.floats(name, values, shape...)
}

// output adds an output, or puts it in the place of all others.
func (s *site) output(name string, only bool) {
	g := s.model.Graph()
	if only {
		g.Output = nil
	}
	g.Output = append(g.Output, onnx.Untyped(name))
}

// splice puts nodes behind a tensor: its maker gives the tensor the name that add gets, and add ends with a node that makes the tensor.
func (s *site) splice(name string, add func(from string)) {
	from := name + ".before"
	for _, n := range s.model.Graph().GetNode() {
		for i, out := range n.GetOutput() {
			if out == name {
				n.Output[i] = from
			}
		}
	}
	add(from)
}

// maker is the node that makes a tensor.
func (s *site) maker(name string) *onnxpb.NodeProto {
	for _, n := range s.model.Graph().GetNode() {
		if slices.Contains(n.GetOutput(), name) {
			return n
		}
	}
	return nil
}

// one draws one of a list.
func one[T any](s *site, list []T) (t T, err error) {
	if len(list) == 0 {
		return t, errUnfit
	}
	return list[s.rng.IntN(len(list))], nil
}

// rangeOf is the float range of a layer as the plain check calibrated it.
func (s *site) rangeOf(name string) (low, high float64, ok bool) {
	for k, l := range s.plain.Layers {
		if e := s.plain.Variants[0].Layers[k].Encoding; l.Name == name && e != nil {
			return e.Min, e.Max, true
		}
	}
	return 0, 0, false
}

func (s *site) extent(name string) float64 {
	low, high, _ := s.rangeOf(name)
	return max(-low, high, 1e-3)
}

// maps lists inner feature maps [1, C, H, W] that were compared, of the later part of the network, and the layers' numbers.
func (s *site) maps(op func(op string) bool) []string {
	var list []string
	layers := s.plain.Layers
	for k, l := range layers {
		r := &s.plain.Variants[0].Layers[k]
		dims := s.shapes[l.Name]
		if k < len(layers)/5 || l.Output || r.Status != result.Compared || r.Encoding == nil || len(dims) != 4 || dims[1] < 8 || dims[2]*dims[3] < 12 || !op(l.Op) || !s.leads(l.Name) {
			continue
		}
		list = append(list, l.Name)
	}
	return list
}

// leads says whether a tensor leads to an output.
func (s *site) leads(name string) bool { return len(s.index.Consumers[name]) > 0 }

func anyOp(string) bool { return true }

// convs lists the outputs of Convs with constant weights, that have so many groups per channel.
func (s *site) convs(depthwise bool) []string {
	var list []string
	for k, l := range s.plain.Layers {
		p, made := s.index.Producer[l.Name]
		if l.Op != "Conv" || !made || k < 4 {
			continue
		}
		n := s.index.Nodes[p]
		_, shape := s.values(n.GetInput()[1])
		group := onnx.AttrInt(n, "group", 1)
		if len(shape) == 4 && shape[0] >= 8 && (group == shape[0]) == depthwise {
			list = append(list, l.Name)
		}
	}
	return list
}

// quantized is a network as quantcheck quantizes it, with quantizers in the graph.
func (s *site) quantized(path, recipe string) (*onnx.Model, error) {
	data, done := s.quant[recipe]
	if !done || path != s.path {
		q, err := quantize.Run(s.ctx, s.engines, quantize.Spec{Model: path, Name: s.name, Calib: s.spec.Images, Limit: samples, Recipe: recipe, Input: s.spec.Input, MemoryMiB: memory}, progress.Silent{})
		if err != nil {
			return nil, err
		}
		m, err := onnx.Inline(q.Model)
		if err != nil {
			return nil, err
		}
		if data, err = m.Bytes(); err != nil {
			return nil, err
		}
		if path == s.path {
			s.quant[recipe] = data
		}
	}
	return onnx.Parse(data)
}

// ready makes a file with quantizers the variant that is checked.
func (s *site) ready(m *onnx.Model) error {
	path := filepath.Join(s.dir, "ready.onnx")
	s.spec.Variants = []string{"ready=" + path}
	return onnx.Save(m, path)
}

// named says whether a cause names one of the places that the fault was planted at.
func (s *site) named(run *result.Run, c *result.Cause) bool {
	if len(s.where) == 0 {
		return true
	}
	var names []string
	for _, k := range c.Layers {
		names = append(names, run.Layers[k].Name)
	}
	for _, name := range slices.Concat(names, c.Tensors) {
		if slices.ContainsFunc(s.where, func(w string) bool { return w == name || strings.HasPrefix(name, w+".") }) {
			return true
		}
	}
	return false
}
