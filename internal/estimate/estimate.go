// Package estimate is the use case of quantcheck estimate: the HTP compiler's cost model is asked about models, variants and DLC files. Nothing is
// run on a device, and nothing is a measurement.
package estimate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Spec says what is estimated.
type Spec struct {
	Model     string   // .onnx, float or QDQ, or .dlc
	Variants  []string // of a float model, none: w8a8
	Images    string   // samples that calibrate; "": seeded random input
	Limit     int
	SoC       string // "": the default
	Name      string
	Input     dataset.Description
	MemoryMiB int
	Advise    bool // look for a pass that makes it faster
}

// seededNote is said where nobody gave samples.
const seededNote = "the ranges are from seeded random input; they hardly change the time. Give --calib for those of the model's own"

// Run asks the HTP compiler's cost model about every variant of a model. Nothing is run on a device, and nothing is
// a measurement.
func Run(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter) ([]*result.Estimated, error) {
	soc, err := htpcost.Find(spec.SoC)
	if err != nil {
		return nil, usage.Mark(err)
	}
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage.Mark(err)
	}
	engine, err := engines.HTP()
	if err != nil {
		return nil, err
	}
	e := &Estimator{Ort: engines.ORT, Engine: engine, Soc: soc, Progress: progress, Memory: spec.MemoryMiB}
	var list []*result.Estimated
	if inspect.IsDLC(spec.Model) {
		if len(variants) > 0 {
			return nil, usage.Mark(fmt.Errorf("%s is a DLC, which is estimated as it is: --variant is for a float ONNX model", spec.Model))
		}
		x, err := e.Container(ctx, spec.Model)
		if err != nil {
			return nil, err
		}
		x.Variant = filepath.Base(spec.Model)
		list = append(list, x)
	} else if list, err = e.models(ctx, spec, variants); err != nil {
		return nil, err
	}
	for _, x := range list {
		x.Name, x.Started, x.Tool, x.Wheel = spec.Name, time.Now().UTC().Truncate(time.Millisecond), hostinfo.Version, qnn.Version
		x.Path = paths.Absolute(x.Path)
	}
	return list, nil
}

// Estimator asks the compiler.
type Estimator struct {
	Ort      ort.Engine
	Engine   htp.Engine
	Soc      htpcost.SoC
	Progress progress.Reporter
	Memory   int                          // MiB, for the calibration
	known    map[string]*result.Estimated // DLC files that were estimated already, by path
}

// models estimates an ONNX model: variants of a float one, a quantized one as it is.
func (e *Estimator) models(ctx context.Context, spec Spec, variants []variant.Spec) ([]*result.Estimated, error) {
	shapes, err := spec.Input.Shapes()
	if err != nil {
		return nil, usage.Mark(err)
	}
	m, err := e.load(spec.Model, shapes)
	if err != nil {
		return nil, err
	}
	if model.Quantized(m) {
		if len(variants) > 0 {
			return nil, usage.Mark(fmt.Errorf("%s is quantized already and is estimated as it is: --variant is for a float model", spec.Model))
		}
		e.Progress.Phase("estimating", 1)
		x, err := e.Estimate(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec.Model, err)
		}
		x.Variant, x.Path = strings.TrimSuffix(filepath.Base(spec.Model), filepath.Ext(spec.Model)), spec.Model
		return []*result.Estimated{x}, nil
	}
	if len(variants) == 0 {
		variants = []variant.Spec{DefaultRecipe()}
	}
	return e.variants(ctx, spec, m, variants, shapes)
}

// DefaultRecipe is the form in which a float model is estimated where none is named: w8a8.
func DefaultRecipe() variant.Spec {
	v, err := variant.Parse("w8a8")
	if err != nil {
		panic(err) // it is in the language
	}
	return v
}

// load reads a model and gives its inputs their shapes, its nodes names.
func (e *Estimator) load(path string, shapes map[string][]int64) (*onnx.Model, error) {
	m, _, err := model.Read(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	return htp.Named(m), nil
}

func (e *Estimator) variants(ctx context.Context, spec Spec, m *onnx.Model, variants []variant.Spec, shapes map[string][]int64) ([]*result.Estimated, error) {
	var set *dataset.Set
	if spec.Images != "" && session.NeedsCalibration(variants) {
		loader := dataset.Loader{Inputs: model.InputsOf(m), Description: spec.Input, Cache: dataset.NewCache(1 << 20), Pictures: dataset.BudgetOf(max(e.Memory, 256))}
		var err error
		if set, err = session.Samples(spec.Images, spec.Limit, loader); err != nil {
			return nil, err
		}
	}
	built, err := e.build(ctx, m, variants, set, spec.Input)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	e.Progress.Phase("estimating", len(variants))
	list := make([]*result.Estimated, 0, len(variants))
	for i, v := range variants {
		var x *result.Estimated
		switch v.Kind {
		case variant.Dumps, variant.DLC, variant.Device:
			if x, err = e.Container(ctx, v.File); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
		case variant.File:
			ready, err := e.load(v.File, shapes)
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			if x, err = e.Estimate(ctx, ready); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			x.Path = v.File
		default:
			if x, err = e.Estimate(ctx, built[i]); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			x.Path = spec.Model
			if v.Kind == variant.Recipe && set == nil {
				x.Notes = append(x.Notes, seededNote)
			}
			if spec.Advise {
				if x.Advice, err = e.advise(ctx, m, v, x, set, spec.Input); err != nil {
					return nil, fmt.Errorf("variant %s: %w", v.Name, err)
				}
			}
		}
		x.Variant, x.Spec = v.Name, &variants[i]
		list = append(list, x)
		e.Progress.Step(i + 1)
	}
	return list, nil
}

// build makes the variants of a float model whose shapes are fixed, as a device runs them: every tensor between two operators is
// quantized. Half precision is the float model itself; what is no recipe is nil. Without samples seeded random ones calibrate.
func (e *Estimator) build(ctx context.Context, m *onnx.Model, variants []variant.Spec, set *dataset.Set, input dataset.Description) ([]*onnx.Model, error) {
	list := make([]*onnx.Model, len(variants))
	var recipes []variant.Spec
	var place []int
	for i, v := range variants {
		switch v.Kind {
		case variant.Half:
			list[i] = m
		case variant.Recipe:
			v.Engine = variant.HTP
			recipes, place = append(recipes, v), append(place, i)
		}
	}
	if len(recipes) == 0 {
		return list, nil
	}
	ref, err := model.New(ctx, e.Ort, m)
	if err != nil {
		return nil, err
	}
	run := &result.Run{Model: ref.Describe(), Layers: ref.Layers}
	loader := dataset.Loader{Inputs: run.Model.Inputs, Description: input, Cache: dataset.NewCache(1 << 20), Pictures: dataset.BudgetOf(max(e.Memory, 256))}
	if set == nil {
		values, err := model.Seeded(run.Model.Inputs, 2)
		if err != nil {
			return nil, usage.Mark(err)
		}
		set = &dataset.Set{Sources: []dataset.Source{{Name: "seeded random input", Inputs: values[0]}, {Name: "seeded random input", Inputs: values[1]}}}
	}
	b := &session.Session{ORT: e.Ort, Emulator: e.Engine, Float: ref, Options: session.Options{MemoryMiB: max(e.Memory, 256)}, Variants: session.Of(recipes), Progress: progress.Silent{}, Run: run}
	defer b.Close()
	if err := prepare.Build(ctx, b, set, loader); err != nil {
		return nil, err
	}
	for k, i := range place {
		list[i] = model.WithOutputTypes(b.Variants[k].Model, ref.Types)
	}
	return list, nil
}

// Estimate asks the compiler about a model that is whole. What the HTP refuses is left out and named.
func (e *Estimator) Estimate(ctx context.Context, m *onnx.Model) (*result.Estimated, error) {
	x := &result.Estimated{Covered: 1}
	o := htp.EstimateOptions{SoC: e.Soc}
	var counting sync.WaitGroup // beside the compiler, which is a process of its own
	var macs map[string]int64
	var macsErr error
	counting.Go(func() { macs, macsErr = e.macs(m) })
	c, err := e.Engine.Estimate(ctx, m, o)
	counting.Wait()
	var refused *htp.RefusedError
	if errors.As(err, &refused) || errors.Is(err, htp.ErrDivided) {
		c, err = e.parts(ctx, m, o, x)
	}
	if err != nil {
		return nil, err
	}
	if macsErr != nil {
		return nil, macsErr
	}
	x.Estimate, x.MACs = c, macs
	return x, nil
}

// parts estimates what the HTP takes of a model.
func (e *Estimator) parts(ctx context.Context, m *onnx.Model, o htp.EstimateOptions, x *result.Estimated) (*htpcost.Estimate, error) {
	parts, refused, err := e.Engine.EstimateParts(ctx, m, o)
	var still *htp.RefusedError
	if errors.As(err, &still) {
		o.Plain = true
		parts, refused, err = e.Engine.EstimateParts(ctx, m, o)
	}
	if errors.As(err, &still) {
		return nil, nothingLeft(still.Refused)
	}
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, r := range refused {
		if model.Quantizer(r.Op) {
			continue // it goes with its operator
		}
		x.Refused = append(x.Refused, fmt.Sprintf("%s (%s): %s", r.Node, r.Op, r.Reason))
		names[r.Node] = true
	}
	if len(parts) == 0 {
		return nil, nothingLeft(refused)
	}
	all, left := 0, 0
	for _, n := range m.Graph().GetNode() {
		switch op := n.GetOpType(); {
		case model.Quantizer(op) || op == "Constant":
		case names[n.GetName()]:
			all, left = all+1, left+1
		default:
			all++
		}
	}
	x.Covered = 1 - float64(left)/float64(max(all, 1))
	return htpcost.Join(parts), nil
}

// nothingLeft names the operators that keep a model from being estimated.
func nothingLeft(refused []htp.Refusal) error {
	const most = 5
	var list []string
	for i, r := range refused {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(refused)-most))
			break
		}
		list = append(list, fmt.Sprintf("%s (%s): %s", r.Node, r.Op, r.Reason))
	}
	return fmt.Errorf("the HTP refuses %d operators, and nothing of the rest can be estimated: %s", len(refused), strings.Join(list, "; "))
}

// macs counts the multiply-adds of a model's nodes, as far as they are known.
func (e *Estimator) macs(m *onnx.Model) (map[string]int64, error) {
	types, err := ort.Types(e.Ort, m)
	if err != nil {
		return nil, err
	}
	x := onnx.NewIndex(m)
	shapes := func(name string) ([]int64, bool) {
		if t, ok := types[name]; ok && t.Tensor && t.Shape != nil {
			return t.Shape, true
		}
		if t := x.Initializer[name]; t != nil {
			return t.GetDims(), true
		}
		return nil, false
	}
	list := map[string]int64{}
	for _, n := range x.Nodes {
		if k := rewrite.MACs(n, shapes); k > 0 {
			list[n.GetName()] = k
		}
	}
	return list, nil
}

// Container estimates a DLC as it is.
func (e *Estimator) Container(ctx context.Context, path string) (*result.Estimated, error) {
	if x := e.known[path]; x != nil { // of another variant, which names it otherwise
		again := *x
		return &again, nil
	}
	v, err := inspect.ViewDLC(path, nil)
	if err != nil {
		return nil, err
	}
	e.Progress.Phase("estimating", 1)
	c, err := qnnworker.Estimate(ctx, qnnworker.Engine{Kit: e.Engine.Kit}, e.Soc, path, "")
	if errors.Is(err, qnnworker.ErrNotDLC) || errors.Is(err, qnnworker.ErrOldVersion) {
		return nil, usage.Mark(err)
	}
	if err != nil {
		return nil, err
	}
	x := result.Estimated{Path: path, Covered: 1, MACs: macsOf(v), Estimate: c}
	if e.known == nil {
		e.known = map[string]*result.Estimated{}
	}
	first := x
	e.known[path] = &first
	return &x, nil
}

func macsOf(v *inspect.View) map[string]int64 {
	list := map[string]int64{}
	for _, l := range v.Layers {
		if l.MACs > 0 {
			list[l.Name] = l.MACs
		}
	}
	return list
}

// remedies are the passes that may make the operators of a type faster.
var remedies = map[string][]string{
	"Slice": {"focus-to-conv", "split-concat-to-conv", "slice-to-conv"}, "Concat": {"focus-to-conv", "split-concat-to-conv"}, "Split": {"split-concat-to-conv"},
	"SpaceToDepth": {"focus-to-conv"}, "Transpose": {"focus-to-conv"}, "Reshape": {"focus-to-conv"}, "Gather": {"swap-input-channels", "split-concat-to-conv"},
	"Div": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv", "div-to-mul"}, "Mul": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"},
	"Add": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"}, "Sub": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"},
	"MatMul": {"matmul-to-conv"}, "Conv": {"uniform-stride"}, "BatchNormalization": {"fold-batchnorm"},
}

// better is the share of the cycles that a pass has to save against one before it in the list, which changes less.
const better = 0.1

// Worthwhile is the share of the cycles that a pass has to save to be advised.
const Worthwhile = 0.02

// advise looks for the pass that helps most of those for the operators that cost most, and estimates what it makes. It is nil if
// none helps.
func (e *Estimator) advise(ctx context.Context, m *onnx.Model, v variant.Spec, now *result.Estimated, set *dataset.Set, input dataset.Description) (*result.Advice, error) {
	var passes []string
	work := slices.DeleteFunc(slices.Clone(now.Layers), func(l htpcost.Layer) bool { return l.Kind != htpcost.Operator })
	for i, g := range htpcost.Groups(work, htpcost.ByOp) {
		if i == 3 || g.Share < 0.1 {
			break
		}
		for _, name := range remedies[g.Name] {
			if !slices.Contains(passes, name) {
				passes = append(passes, name)
			}
		}
	}
	if len(passes) == 0 {
		return nil, nil
	}
	folded, env, err := model.FoldedEnvironment(ctx, e.Ort, m)
	if err != nil {
		return nil, err
	}
	env.Asked = true
	var best *result.Advice
	for _, name := range passes {
		p, err := rewrite.Find(name)
		if err != nil {
			return nil, err
		}
		r, err := p.Run(folded, env)
		if err != nil {
			return nil, err
		}
		if len(r.Changes) == 0 {
			continue
		}
		x, err := e.Form(ctx, r.Model, v, set, input)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // then it is no advice
			continue
		}
		if float64(x.Cycles) < (1-Worthwhile)*float64(now.Cycles) && (best == nil || float64(x.Cycles) < (1-better)*float64(best.Cycles)) {
			best = &result.Advice{Pass: name, Cycles: x.Cycles, Microseconds: x.Microseconds}
		}
	}
	return best, nil
}

// Form estimates one variant of a float model.
func (e *Estimator) Form(ctx context.Context, m *onnx.Model, v variant.Spec, set *dataset.Set, input dataset.Description) (*result.Estimated, error) {
	built, err := e.build(ctx, htp.Named(m), []variant.Spec{v}, set, input)
	if err != nil {
		return nil, err
	}
	return e.Estimate(ctx, built[0])
}
