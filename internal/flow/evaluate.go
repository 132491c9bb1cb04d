package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/truth"
	"quantcheck/internal/variant"
)

// Evaluate scores the float model and its variants on a data set.
//
//  1. The data set and the model are read; the variants are calibrated and built as in a check.
//  2. Every picture runs through all models; their outputs are decoded and scored beside the next inferences.
//
// What is computed is kept as keep says (nil: it is not), and an interrupted evaluation of the same request goes on. One that ends
// early and is kept gives an *UnfinishedError.
func Evaluate(ctx context.Context, engines Engines, spec result.EvalSpec, config eval.Config, sink eval.Sink, progress Progress, keep *Keeping) (*result.Evaluation, error) {
	started := time.Now()
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage(err)
	}
	if err := errors.Join(spec.Input.Check(), config.Check()); err != nil {
		return nil, usage(err)
	}
	set, err := openTruth(spec)
	if err != nil {
		return nil, usage(err)
	}
	b := &build{r: engines.ORT, spec: spec.Spec, variants: variants, progress: progress, samples: len(set.images)}
	if slices.ContainsFunc(variants, emulated) {
		if b.emulator, err = engines.HTP(); err != nil {
			return nil, err
		}
	}
	var loader dataset.Loader
	if b.run, b.ref, loader, err = begin(ctx, "eval", engines.ORT, spec.Spec, started); err != nil {
		return nil, err
	}
	loader.Cache = nil // every picture is read once
	defer b.close()
	if err := set.fits(loader, spec.Task); err != nil {
		return nil, usage(err)
	}
	calibrating := set.samples()
	switch {
	case spec.Calib != "":
		if calibrating, err = samples(spec.Calib, spec.Limit, loader); err != nil {
			return nil, err
		}
		b.run.Warnings = append(b.run.Warnings, calibrating.Warnings...)
	case needsCalibration(variants):
		b.run.Warnings = append(b.run.Warnings, "the pictures that are scored are also those that calibrate; give others with --calib for numbers that hold on unseen pictures")
	}
	if planner, ok := sink.(EvaluationPlanner); ok {
		if err := planner.Plan(len(set.images), 1+len(variants)); err != nil {
			return nil, err
		}
	}
	if keep != nil {
		id := spec
		id.Spec = identifying(spec.Spec)
		truth, files := set.identity()
		key, err := b.identify(b.run.Command, id, []any{config, truth}, files, set.samples(), calibrating)
		if err != nil {
			return nil, err
		}
		if b.keep, err = newKeeper(keep, key, started); err != nil {
			return nil, err
		}
	}
	e := &evaluation{b: b, set: set, loader: loader, spec: spec}
	defer e.close()
	e.empty = func() {
		e.scorer, e.distance = set.scorer(spec, config, 1+len(variants), sink), eval.NewDistance(1+len(variants), spec.Task == result.Agreement)
	}
	e.empty()
	if err := e.all(ctx, calibrating); err != nil {
		return nil, b.keep.end(err)
	}
	b.keep.done()
	out := e.describe()
	if err := errors.Join(e.distance.Conclude(out)); err != nil {
		return nil, err
	}
	if e.scorer != nil {
		if err := e.scorer.Conclude(out); err != nil {
			return nil, usage(err)
		}
	}
	out.Warnings = append(out.Warnings, b.run.Warnings...)
	out.Started, out.Seconds = b.keep.since(out.Started), b.keep.spent(started).Seconds()
	return out, nil
}

// all does the work of an evaluation, once it is known what that is.
func (e *evaluation) all(ctx context.Context, calibrating *dataset.Set) error {
	if err := e.b.model(ctx, calibrating, e.loader); err != nil {
		return err
	}
	if err := e.open(ctx); err != nil {
		return err
	}
	return e.run(ctx)
}

// EvaluationPlanner is a sink that wants to know what it will have to store before the work begins. An error ends the evaluation.
type EvaluationPlanner interface {
	Plan(pictures, models int) error
}

// truthSet is a data set of any task.
type truthSet struct {
	images     []truth.Image
	sources    []dataset.Source // of the images, as a model's samples
	text       string           // what it is, in words
	detections *truth.Detections
	pairs      *truth.Pairs
	classes    *truth.Classes
}

// openTruth reads the data set of a task, at most spec.Limit pictures of it.
func openTruth(spec result.EvalSpec) (*truthSet, error) {
	s := &truthSet{}
	var err error
	switch spec.Task {
	case result.Detection:
		if s.detections, err = truth.ReadDetections(spec.Data, spec.Images); err != nil {
			return nil, err
		}
		s.images = s.detections.Images
		s.text = fmt.Sprintf("%d annotations in %d categories", len(s.detections.Set.Annotations), len(s.detections.Set.Categories))
	case result.Segmentation, result.Depth:
		endings := []string{".png"}
		if spec.Task == result.Depth {
			endings = append(endings, ".npy")
		}
		if s.pairs, err = truth.ReadPairs(spec.Data, spec.Images, endings...); err != nil {
			return nil, err
		}
		s.images = s.pairs.Images
		s.text = fmt.Sprintf("%s for each", map[result.Task]string{result.Segmentation: "a mask", result.Depth: "a depth map"}[spec.Task])
	case result.Classification:
		if s.classes, err = truth.ReadClasses(spec.Data, spec.Images); err != nil {
			return nil, err
		}
		s.images = s.classes.Images
		s.text = fmt.Sprintf("%d classes are named", len(s.classes.Names))
	case result.Agreement:
		found, err := dataset.Find(spec.Data, 0)
		if err != nil {
			return nil, err
		}
		s.sources = found.Sources
		for i, source := range found.Sources {
			first := slices.Min(slices.Collect(maps.Keys(source.Files)))
			s.images = append(s.images, truth.Image{Name: source.Name, Path: source.Files[first], ID: int64(i + 1)})
		}
		s.text = "without truth"
	default:
		return nil, fmt.Errorf("task %q; there are %v", spec.Task, result.Tasks)
	}
	if s.sources == nil {
		for _, i := range s.images {
			s.sources = append(s.sources, dataset.Source{Name: i.Name, Files: map[string]string{"": i.Path}})
		}
	}
	if spec.Limit > 0 && len(s.images) > spec.Limit {
		s.images, s.sources = s.images[:spec.Limit], s.sources[:spec.Limit]
	}
	s.text = fmt.Sprintf("%d pictures, %s", len(s.images), s.text)
	return s, nil
}

// samples are the set's pictures as a model's samples.
func (s *truthSet) samples() *dataset.Set { return &dataset.Set{Sources: s.sources} }

// fits says what is wrong with a model that is to be run on the set: labels belong to pictures, so that it takes one picture; where
// its float form is the truth, whatever it takes will do.
func (s *truthSet) fits(loader dataset.Loader, task result.Task) error {
	if task == result.Agreement {
		return loader.Check(s.samples())
	}
	if len(loader.Inputs) != 1 {
		return fmt.Errorf("the model has %d inputs; data sets of pictures need a model with one (without labels, --task agreement takes any)", len(loader.Inputs))
	}
	_, _, err := loader.Size(loader.Inputs[0])
	return err
}

func (s *truthSet) scorer(spec result.EvalSpec, config eval.Config, models int, sink eval.Sink) eval.Scorer {
	switch spec.Task {
	case result.Detection:
		return eval.NewBoxes(s.detections, config, models, spec.Strict)
	case result.Segmentation:
		return eval.NewMasks(s.pairs, config, models, sink)
	case result.Depth:
		return eval.NewDepths(s.pairs, config, models, sink)
	case result.Classification:
		return eval.NewLabels(s.classes, config, models)
	}
	return nil // agreement needs the distance alone
}

// evaluation runs the models of one evaluation for their outputs.
type evaluation struct {
	b         *build
	set       *truthSet
	loader    dataset.Loader
	spec      result.EvalSpec
	float     *ort.Runner
	outputs   []string   // of the float model that hold numbers
	taps      [][]string // per model: what it calls them; "" where it has none
	scorer    eval.Scorer
	distance  *eval.Distance
	inference time.Duration
	passed    int // pictures that could not be read

	empty  func() // makes scorer and distance anew; nil: nothing is kept
	before int    // warnings that are older than the first picture
}

func (e *evaluation) close() {
	if e.float != nil {
		e.float.Close()
	}
}

// findOutputs gives the layers that are the model's outputs, in the order in which it names them, and keeps their names.
func (e *evaluation) findOutputs() ([]int, error) {
	ref := e.b.ref
	var layers []int
	for k, l := range ref.layers {
		if l.Output && ref.incomparable(l) == "" || slices.Contains(ref.model.Outputs(), l.Name) && integers(ref.types[l.Name].DType) {
			layers = append(layers, k)
		}
	}
	if len(layers) == 0 {
		return nil, usage(errors.New("none of the model's outputs holds numbers"))
	}
	position := func(name string) int { return slices.Index(ref.model.Outputs(), name) }
	slices.SortStableFunc(layers, func(i, k int) int { return position(ref.layers[i].Name) - position(ref.layers[k].Name) })
	e.outputs = nil
	for _, k := range layers {
		e.outputs = append(e.outputs, ref.layers[k].Name)
	}
	return layers, nil
}

// open compiles the models with their outputs alone.
func (e *evaluation) open(ctx context.Context) error {
	b := e.b
	layers, err := e.findOutputs()
	if err != nil {
		return err
	}
	if e.float, err = ort.New(b.r, b.ref.model, ort.Options{Taps: e.outputs, Arena: b.arena, Types: b.ref.types}); err != nil {
		return err
	}
	e.taps = append(e.taps, e.outputs)
	b.progress.Phase("compiling", len(b.variants))
	for i := range b.run.Variants {
		if err := e.openVariant(ctx, i, layers); err != nil {
			return fmt.Errorf("variant %s: %w", b.variants[i].Name, err)
		}
		b.progress.Step(i + 1)
	}
	return nil
}

func integers(d tensor.DType) bool { return !d.IsFloat() && d != tensor.String && d.Bits() > 0 }

func (e *evaluation) openVariant(ctx context.Context, i int, layers []int) error {
	b := e.b
	v := &b.run.Variants[i]
	taps := make([]string, len(layers))
	var wanted []string
	x := (*onnx.Index)(nil)
	if b.models[i] != nil {
		x = onnx.NewIndex(b.models[i])
	}
	for n, k := range layers {
		l := &v.Layers[k]
		switch {
		case l.Has():
			taps[n] = b.tapOf(i, k)
		case x != nil && b.ref.incomparable(b.ref.layers[k]) != "": // integers are no layer to compare, but an output
			if _, made := x.Producer[b.ref.layers[k].Name]; made {
				taps[n] = b.ref.layers[k].Name
			}
		}
		if taps[n] == "" {
			return fmt.Errorf("it has no output %s: %s", b.ref.layers[k].Name, l.Reason)
		}
		wanted = append(wanted, taps[n])
	}
	e.taps = append(e.taps, taps)
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	if c := b.contained[i]; c != nil {
		var names []string
		for _, k := range layers {
			names = append(names, b.ref.layers[k].Name)
		}
		return b.play(ctx, i, c, [][]string{names})
	}
	var r runner.Runner
	var err error
	if v.Emulator != nil {
		r, err = htp.New(ctx, b.emulator, b.models[i], htp.Options{Groups: [][]string{wanted}, Arena: b.arena})
	} else {
		r, err = ort.New(b.r, b.models[i], ort.Options{Taps: wanted, Arena: b.arena})
	}
	if err != nil {
		return err
	}
	b.players = append(b.players, running(r))
	return nil
}

// scoring is a picture whose outputs wait to be scored.
type scoring struct {
	picture eval.Picture
	outputs [][]decode.Output
	at      mark // when the models had given it
}

// run makes the inferences; a goroutine of its own decodes and scores what they gave.
func (e *evaluation) run(ctx context.Context) error {
	const waiting = 2 // pictures
	todo := make(chan scoring, waiting)
	var failed error
	var once sync.Once
	stop := make(chan struct{})
	e.before = len(e.b.run.Warnings)
	scored := e.goOn()
	from, whole := scored.pictures, true
	var worker sync.WaitGroup
	worker.Go(func() {
		for s := range todo {
			err := e.distance.Picture(s.picture, s.outputs)
			if err == nil && e.scorer != nil {
				err = e.scorer.Picture(s.picture, s.outputs)
			}
			if err != nil {
				once.Do(func() {
					failed, whole = usage(fmt.Errorf("%s: %w", s.picture.Image.Name, err)), false
					close(stop)
				})
				return
			}
			if scored = s.at; e.b.keep.due(0) {
				e.put(scored)
				e.b.keep.writeIfOld()
			}
		}
	})
	e.b.progress.Phase("scoring", len(e.set.images))
	if from > 0 {
		e.b.progress.Step(from)
	}
	err := e.b.eachSample(ctx, &dataset.Set{Sources: e.set.sources[from:]}, e.loader, func(n int, s *dataset.Sample) error {
		n += from
		defer e.b.progress.Step(n)
		if s == nil {
			e.passed++
			return nil
		}
		outputs, err := e.infer(ctx, n-1, s)
		if err != nil {
			return err
		}
		select {
		case todo <- scoring{e.picture(n-1, s), outputs, e.mark(n)}:
			return nil
		case <-stop:
			return failed
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(todo)
	worker.Wait()
	if err == nil {
		err = failed
	}
	if err != nil && whole && scored.pictures > from {
		e.put(scored)
	}
	if err == nil && e.passed == len(e.set.images) {
		err = fmt.Errorf("none of the %d pictures could be read; the first: %s", len(e.set.images), e.b.skipped[0])
	}
	return err
}

func (e *evaluation) picture(n int, s *dataset.Sample) eval.Picture {
	image := e.set.images[n]
	p := eval.Picture{Image: image, Path: absolute(image.Path), Width: s.Width, Height: s.Height}
	if width, height, err := e.loader.Size(e.loader.Inputs[0]); err == nil && s.Width > 0 {
		p.Input = [2]int{width, height}
		p.Place = e.loader.Description.Place(s.Width, s.Height, width, height)
	}
	return p
}

// infer runs one picture through all models and gives their outputs; a variant that could not be run gives nil.
func (e *evaluation) infer(ctx context.Context, number int, s *dataset.Sample) ([][]decode.Output, error) {
	outputs := make([][]decode.Output, 1+len(e.b.players))
	started := time.Now()
	defer func() { e.inference += time.Since(started) }()
	var err error
	if outputs[0], err = e.collect(ctx, e.float.Start(s.Inputs), e.taps[0]); err != nil {
		return nil, fmt.Errorf("float model, %s: %w", s.Name, err)
	}
	for i, p := range e.b.players {
		outputs[i+1], err = e.collect(ctx, p.start(number, s.Inputs), e.taps[i+1])
		if errors.Is(err, runner.ErrSample) && ctx.Err() == nil {
			e.b.run.Warnings = append(e.b.run.Warnings, fmt.Sprintf("%s, %s: %v", e.b.variants[i].Name, s.Name, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("variant %s, %s: %w", e.b.variants[i].Name, s.Name, err)
		}
	}
	return outputs, nil
}

// collect takes an inference's outputs out of the runner's memory, under the float model's names.
func (e *evaluation) collect(ctx context.Context, f runner.Inference, taps []string) ([]decode.Output, error) {
	defer f.Close()
	got := map[string]tensor.Tensor{}
	for {
		batch, err := f.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, tap := range batch.Taps {
			if !slices.Contains(taps, tap.Name) {
				continue
			}
			if tap.Problem != "" {
				batch.Release()
				return nil, fmt.Errorf("%w: %s", runner.ErrSample, tap.Problem)
			}
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
		if len(got) == len(slices.Compact(slices.Sorted(slices.Values(taps)))) {
			break
		}
	}
	outputs := make([]decode.Output, len(taps))
	for i, tap := range taps {
		outputs[i] = decode.Output{Name: e.outputs[i], Tensor: got[tap]}
	}
	return outputs, nil
}

// describe begins the result.
func (e *evaluation) describe() *result.Evaluation {
	b := e.b
	out := &result.Evaluation{
		Name: e.spec.Name, Started: b.run.Started, Inference: e.inference.Seconds(), Spec: e.spec, Tool: b.run.Tool, ONNXRuntime: b.run.ONNXRuntime, Machine: b.run.Machine,
		Model: b.run.Model, Task: e.spec.Task, Data: e.set.text, Problems: []string{}, Warnings: []string{},
	}
	out.Models = append(out.Models, result.EvalModel{Name: "float", File: e.spec.Name, Bytes: weightBytes(b.ref.model, nil, 32)})
	for i := range b.run.Variants {
		v := &b.run.Variants[i]
		m := result.EvalModel{Name: v.Spec.Name, Spec: &v.Spec, File: e.spec.Name + "-" + v.Spec.Name, Emulator: v.Emulator}
		switch {
		case b.contained[i] != nil:
			m.Bytes = fileBytes(v.Spec.File)
		case v.Spec.Kind == variant.Half:
			m.Bytes = weightBytes(b.ref.model, nil, 16)
		case v.Spec.Kind == variant.File:
			m.Bytes = weightBytes(b.models[i], nil, 0)
		default:
			m.Bytes = weightBytes(b.ref.toRun, v.Params, 32)
		}
		out.Models = append(out.Models, m)
	}
	for i := range out.Models {
		out.Models[i].File = strings.ReplaceAll(out.Models[i].File, "/", "_")
	}
	return out
}
