// Package stages runs a model stage by stage on many samples, where the constants of a stage are known only after the stages before it have run.
//
//  1. New divides the nodes by the number of their stage.
//  2. Feed gives a sample's inputs; Open compiles a stage with constants; Run computes it on a sample.
//  3. At reads a tensor that a sample holds, Done lets go of it.
package stages

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// Stream is one model on many samples. Of every sample it holds only what later stages, or who reads it, still
// need. Several goroutines may run a stage, each on samples of its
// own.
type Stream struct {
	engine  ort.Engine
	arena   *runner.Arena
	model   *onnx.Model
	types   map[string]onnxruntime.Type
	rewrite bool
	stages  []stage
	needs   map[string]int     // how often a tensor is needed by later stages and by who reads it
	live    []map[string]*held // by sample
}

// stage are the nodes that run together, what they take, and what of theirs is needed outside.
type stage struct {
	nodes           []*onnxpb.NodeProto
	inputs, outputs []string
	part            *ort.Part
}

// held is a tensor of one sample and how often it is still needed.
type held struct {
	tensor tensor.Tensor
	left   int
	lent   bool // from the arena
}

// New divides a model's nodes by their stage: stageOf gives it for each node, and no node has an earlier one than those whose outputs it takes.
// types are those of the tensors. read are tensors that somebody reads and is Done with, once for each time
// that they are listed; nodes that none of them depends on do not run. rewrite lets the library rewrite the stages:
// faster, and wrong for models with quantizers.
func New(e ort.Engine, arena *runner.Arena, m *onnx.Model, types map[string]onnxruntime.Type, stageOf []int, read []string, rewrite bool) *Stream {
	s := &Stream{engine: e, arena: arena, model: m, types: types, needs: map[string]int{}, rewrite: rewrite}
	x := onnx.NewIndex(m)
	runs := feeding(x, read)
	for i, n := range x.Nodes {
		for stageOf[i] >= len(s.stages) {
			s.stages = append(s.stages, stage{})
		}
		if !runs[i] {
			continue
		}
		s.stages[stageOf[i]].nodes = append(s.stages[stageOf[i]].nodes, n)
	}
	for k := range s.stages {
		st := &s.stages[k]
		seen := map[string]bool{}
		for _, n := range st.nodes {
			for _, name := range onnx.Uses(n) {
				p, made := x.Producer[name]
				if (made && stageOf[p] != k || x.Input[name]) && !seen[name] {
					seen[name] = true
					st.inputs = append(st.inputs, name)
					s.needs[name]++
				}
			}
		}
	}
	for _, name := range read {
		s.needs[name]++
	}
	for k := range s.stages {
		for _, n := range s.stages[k].nodes {
			for _, name := range n.GetOutput() {
				if s.needs[name] > 0 {
					s.stages[k].outputs = append(s.stages[k].outputs, name)
				}
			}
		}
	}
	return s
}

// feeding says which nodes the tensors that are read depend on: the others do not run.
func feeding(x *onnx.Index, read []string) []bool {
	wanted := map[string]bool{}
	for _, name := range read {
		wanted[name] = true
	}
	runs := make([]bool, len(x.Nodes))
	for i := len(x.Nodes) - 1; i >= 0; i-- {
		runs[i] = slices.ContainsFunc(x.Nodes[i].GetOutput(), func(name string) bool { return wanted[name] })
		if runs[i] {
			for _, name := range onnx.Uses(x.Nodes[i]) {
				wanted[name] = true
			}
		}
	}
	return runs
}

// Stages is how many stages there are.
func (s *Stream) Stages() int { return len(s.stages) }

// Samples makes room for so many samples, numbered from 0.
func (s *Stream) Samples(n int) { s.live = make([]map[string]*held, n) }

// Feed gives a sample's inputs.
func (s *Stream) Feed(sample int, inputs map[string]tensor.Tensor) {
	s.live[sample] = map[string]*held{}
	for name, t := range inputs {
		if s.needs[name] > 0 {
			s.live[sample][name] = &held{tensor: t, left: s.needs[name]}
		}
	}
}

// Open compiles a stage, with constants that take the place of tensors which no node makes.
func (s *Stream) Open(k int, constants []*onnxpb.TensorProto) error {
	st := &s.stages[k]
	if len(st.outputs) == 0 {
		return nil
	}
	var err error
	st.part, err = ort.NewPart(s.engine, s.model, ort.Piece{Nodes: st.nodes, Initializers: constants, Inputs: st.inputs, Outputs: st.outputs, Rewrite: s.rewrite}, s.types)
	return err
}

// Shut frees a stage that no sample needs any more.
func (s *Stream) Shut(k int) {
	if st := &s.stages[k]; st.part != nil {
		st.part.Close()
		st.part = nil
	}
}

// Run computes a stage on a sample.
func (s *Stream) Run(ctx context.Context, k, sample int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st := &s.stages[k]
	if st.part != nil {
		inputs := make([]tensor.Tensor, len(st.inputs))
		for i, name := range st.inputs {
			h := s.live[sample][name]
			if h == nil {
				return fmt.Errorf("the sample has no input %q", name)
			}
			inputs[i] = h.tensor
		}
		outputs, err := st.part.Run(ctx, inputs, s.arena)
		if err != nil {
			return err
		}
		for i, name := range st.outputs {
			s.live[sample][name] = &held{tensor: outputs[i], left: s.needs[name], lent: true}
		}
	}
	for _, name := range st.inputs {
		s.Done(sample, name)
	}
	return nil
}

// At is a tensor that a sample holds.
func (s *Stream) At(sample int, name string) (tensor.Tensor, bool) {
	h := s.live[sample][name]
	if h == nil {
		return tensor.Tensor{}, false
	}
	return h.tensor, true
}

// Done says that one of those who need a tensor does no longer.
func (s *Stream) Done(sample int, name string) {
	h := s.live[sample][name]
	if h == nil {
		return
	}
	if h.left--; h.left <= 0 {
		delete(s.live[sample], name)
		if h.lent {
			s.arena.GiveBack(h.tensor)
		}
	}
}

// Close frees all.
func (s *Stream) Close() {
	for k := range s.stages {
		s.Shut(k)
	}
	for sample, list := range s.live {
		for name, h := range list {
			if h.lent {
				s.arena.GiveBack(h.tensor)
			}
			delete(s.live[sample], name)
		}
	}
}

// Sizes are the bytes that a sample holds while each stage runs.
func (s *Stream) Sizes() []int64 {
	sizes := make([]int64, len(s.stages))
	last := map[string]int{}
	for k, st := range s.stages {
		for _, name := range st.inputs {
			last[name] = k
		}
	}
	born := map[string]int{}
	for k, st := range s.stages {
		for _, name := range st.outputs {
			born[name] = k
		}
	}
	for name := range s.needs {
		from := born[name] // 0 for an input
		for k := from; k <= max(last[name], from); k++ {
			sizes[k] += bytesOf(s.types[name])
		}
	}
	return sizes
}

func bytesOf(t onnxruntime.Type) int64 {
	if !t.Fixed() {
		return 0
	}
	n, err := tensor.Count(t.Shape)
	if err != nil {
		return 0
	}
	return int64(tensor.ByteSize(t.DType, n))
}
