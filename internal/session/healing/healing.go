// Package healing runs a float model and the quantized form of a recipe side by side and cures the quantized one's weights, layer by layer.
//
//  1. The nodes are divided into stages: a layer whose weights are cured begins one, so that its inputs are made by the stages before it, whose
//     weights are cured already.
//  2. Both models run stage by stage on all samples; of a sample only the tensors are held that are still needed.
//  3. Before a stage of the quantized model runs, its layers listen: to their inputs in the quantized model, and to what the float model's
//     layers give, at positions that are drawn with a seed. Then package cure solves them.
package healing

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/stages"
	"quantcheck/internal/session"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

const (
	// perSample is how many positions of a sample a layer listens to; all, if it has fewer.
	perSample = 256
	// mostFolds is how many parts the samples are divided into for cross-validation.
	mostFolds = 4
	seed      = 1
)

// Healed is what became of a recipe's weights.
type Healed struct {
	Constants qdqvariant.Constants
	Result    *result.Healing
	Notes     []string
}

// run is the state of a healing.
type run struct {
	b       *session.Session
	spec    variant.Spec
	layers  []*layer
	float   *stages.Stream
	quant   *stages.Stream
	samples []*dataset.Sample
	folds   int
	healed  *Healed
}

// Run heals the weights of a recipe on samples.
func Run(ctx context.Context, b *session.Session, spec variant.Spec, stats *calib.Statistics, set *dataset.Set, loader dataset.Loader) (*Healed, error) {
	started := time.Now()
	spec.Engine, spec.Heal = variant.CPU, false
	sim, err := qdq.Build(b.Float.Base, b.Float.Placement, spec, stats.Activation)
	if err != nil {
		return nil, err
	}
	r := &run{b: b, spec: spec, healed: &Healed{Constants: qdqvariant.Constants{}, Result: &result.Healing{Layers: []result.HealedLayer{}}}}
	if err := r.divide(sim); err != nil {
		return nil, err
	}
	if len(r.layers) == 0 {
		r.healed.Notes = append(r.healed.Notes, "there is no layer whose weights could be healed")
		return r.healed, nil
	}
	defer r.float.Close()
	defer r.quant.Close()
	if err := r.load(set, loader); err != nil {
		return nil, err
	}
	b.Progress.Phase("healing the weights", len(r.layers))
	for k := range r.quant.Stages() {
		if err := r.stage(ctx, k); err != nil {
			return nil, err
		}
		if len(r.healed.Result.Layers) == len(r.layers) {
			break
		}
	}
	r.healed.Result.Samples, r.healed.Result.Seconds = len(r.samples), time.Since(started).Seconds()
	return r.healed, nil
}

// divide finds the layers and the stages of both models.
func (r *run) divide(sim *qdq.Built) error {
	base := r.b.Float.Base
	x, simulated := onnx.NewIndex(base), onnx.NewIndex(sim.Model)
	var err error
	if r.layers, r.healed.Notes, err = find(base, sim, simulated, r.shape, r.b.Memory().Own()/3); err != nil || len(r.layers) == 0 {
		return err
	}
	begins := map[int]*layer{}
	dropped := map[string]bool{} // dequantized constants that are cured
	var inputs, outputs []string
	for _, l := range r.layers {
		begins[l.node] = l
		dropped[l.weightName] = true
		if l.free {
			dropped[l.biasName] = true
		}
		inputs, outputs = append(inputs, l.input), append(outputs, l.output)
	}
	stageOf := make([]int, len(x.Nodes))
	for i, n := range x.Nodes {
		for _, name := range onnx.Uses(n) {
			if p, made := x.Producer[name]; made {
				stageOf[i] = max(stageOf[i], stageOf[p])
			}
		}
		if l := begins[i]; l != nil {
			stageOf[i]++
			l.stage = stageOf[i]
		}
	}
	model, simulatedStages := without(sim, simulated, stageOf, dropped)
	types, err := ort.Types(r.b.ORT, sim.Model)
	if err != nil {
		return err
	}
	r.float = stages.New(r.b.ORT, r.b.Arena, base, r.b.Float.Types, stageOf, outputs, true)
	r.quant = stages.New(r.b.ORT, r.b.Arena, model, types, simulatedStages, inputs, false)
	return nil
}

// shape is that of a float tensor, if it is known before the model runs.
func (r *run) shape(name string) (dims []int64, known bool) {
	t, ok := r.b.Float.Types[name]
	return t.Shape, ok && t.Fixed() && t.DType == tensor.Float32
}

// without leaves out the nodes that make dropped tensors, and gives the stage of each node that is left.
func without(sim *qdq.Built, x *onnx.Index, base []int, dropped map[string]bool) (*onnx.Model, []int) {
	of := make([]int, len(x.Nodes))
	for i := range of {
		of[i] = -1
	}
	for i, at := range sim.Nodes {
		of[at] = base[i]
	}
	for i, n := range x.Nodes { // roundings run with what they round
		if of[i] >= 0 {
			continue
		}
		for _, name := range n.GetInput() {
			if p, made := x.Producer[name]; made {
				of[i] = max(of[i], of[p])
			} else if x.Input[name] {
				of[i] = max(of[i], 0)
			}
		}
	}
	for i := len(x.Nodes) - 1; i >= 0; i-- { // constants are dequantized with their first user
		if of[i] >= 0 {
			continue
		}
		for _, name := range x.Nodes[i].GetOutput() {
			for _, user := range x.Consumers[name] {
				if of[i] < 0 || of[user] < of[i] {
					of[i] = of[user]
				}
			}
		}
		of[i] = max(of[i], 0)
	}
	var nodes []*onnxpb.NodeProto
	var left []int
	for i, n := range x.Nodes {
		if !slices.ContainsFunc(n.GetOutput(), func(name string) bool { return dropped[name] }) {
			nodes, left = append(nodes, n), append(left, of[i])
		}
	}
	return onnx.Rebuild(sim.Model, nodes), left
}

// load reads as many samples as the bound on memory lets both models hold.
func (r *run) load(set *dataset.Set, loader dataset.Loader) error {
	most := int64(1)
	float, quant := r.float.Sizes(), r.quant.Sizes()
	for k := range quant {
		sum := quant[k]
		if k < len(float) {
			sum += float[k]
		}
		most = max(most, sum)
	}
	n := len(set.Sources)
	if fit := int(max(r.b.Memory().Own()*3/4/most, 1)); fit < n {
		r.healed.Notes = append(r.healed.Notes, fmt.Sprintf("healed on the first %d of %d samples: each holds up to %d MiB of tensors, and --memory bounds them", fit, n, most>>20))
		n = fit
	}
	for _, source := range set.Sources[:n] {
		s, err := loader.Load(source)
		if err != nil {
			continue // the calibration has said so
		}
		r.samples = append(r.samples, s)
	}
	if len(r.samples) == 0 {
		return errors.New("none of the samples could be read")
	}
	r.folds = min(mostFolds, len(r.samples))
	r.float.Samples(len(r.samples))
	r.quant.Samples(len(r.samples))
	for i, s := range r.samples {
		r.float.Feed(i, s.Inputs)
		r.quant.Feed(i, s.Inputs)
	}
	return nil
}

// stage has the layers of a stage listen, cures them, and makes the quantized model's stage ready.
func (r *run) stage(ctx context.Context, k int) error {
	var layers []*layer
	beside := runtime.GOMAXPROCS(0)
	for _, l := range r.layers {
		if l.stage == k {
			if l.begin(r.folds); l.moments[0].Folds() < r.folds {
				beside = 1 // all folds add to the same sums
			}
			layers = append(layers, l)
		}
	}
	if err := r.float.Open(k, nil); err != nil {
		return err
	}
	if err := r.eachFold(ctx, beside, func(fold, sample int) error { return r.advance(ctx, k, fold, sample, layers) }); err != nil {
		return err
	}
	r.float.Shut(k)
	if k > 0 {
		r.quant.Shut(k - 1)
	}
	var constants []*onnxpb.TensorProto
	for _, l := range layers {
		made, err := r.cure(ctx, l)
		if err != nil {
			return err
		}
		constants = append(constants, made...)
	}
	r.b.Progress.Step(len(r.healed.Result.Layers))
	return r.quant.Open(k, constants)
}

// eachFold calls f for every sample: those of a fold in order, and so many folds beside each other.
func (r *run) eachFold(ctx context.Context, beside int, f func(fold, sample int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, r.folds)
	folds := make(chan int, r.folds)
	for fold := range r.folds {
		folds <- fold
	}
	close(folds)
	var all sync.WaitGroup
	for range min(beside, r.folds) {
		all.Go(func() {
			for fold := range folds { // one alone takes them in order
				for s := fold; s < len(r.samples) && errs[fold] == nil && ctx.Err() == nil; s += r.folds {
					errs[fold] = f(fold, s)
				}
				if errs[fold] != nil {
					cancel()
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// advance runs the stages of both models that layers listen to, on one sample.
func (r *run) advance(ctx context.Context, k, fold, sample int, layers []*layer) error {
	if k > 0 {
		if err := r.quant.Run(ctx, k-1, sample); err != nil {
			return err
		}
	}
	if err := r.float.Run(ctx, k, sample); err != nil {
		return err
	}
	for _, l := range layers {
		x, ok := r.quant.At(sample, l.input)
		y, also := r.float.At(sample, l.output)
		if !ok || !also {
			return fmt.Errorf("%s: its tensors are not held", l.name)
		}
		l.listen(fold, x.F32, y.F32, l.draw(sample))
		r.float.Done(sample, l.output)
		r.quant.Done(sample, l.input)
	}
	return nil
}

// draw gives the positions of a sample at which a layer listens: the same in every run.
func (l *layer) draw(sample int) []int {
	n := l.window.Positions()
	if n <= perSample {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	h := fnv.New64a()
	h.Write([]byte(l.name))
	rng := rand.New(rand.NewPCG(seed+uint64(sample), h.Sum64()))
	taken := make(map[int]bool, perSample)
	list := make([]int, 0, perSample)
	for j := n - perSample; j < n; j++ { // Floyd's sampling without replacement
		p := rng.IntN(j + 1)
		if taken[p] {
			p = j
		}
		taken[p] = true
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// cure solves a layer, and gives the constants that the quantized model computes with.
func (r *run) cure(ctx context.Context, l *layer) ([]*onnxpb.TensorProto, error) {
	node := r.b.Float.Base.Graph().GetNode()[l.node]
	c, err := l.problem(r.spec).Solve(ctx)
	if err != nil {
		return nil, err
	}
	weight, bias := l.fixed(c)
	channels := l.window.Groups * l.window.O
	if c.Kept < channels {
		r.healed.Constants[[2]int{l.node, 1}] = weight
		if bias != nil {
			r.healed.Constants[[2]int{l.node, 2}] = *bias
		}
	}
	r.healed.Result.Layers = append(r.healed.Result.Layers, result.HealedLayer{
		Name: l.name, Op: node.GetOpType(), Bits: l.weighted.Encodings[0].Bits, Weights: len(l.weight.F32), Lambda: c.Lambda, Kept: c.Kept, Channels: channels,
		Before: c.Before, After: c.After,
	})
	return l.constants(weight, bias, r.spec), nil
}
