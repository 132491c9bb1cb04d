package explore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/worker"
	"quantcheck/internal/score"
	"quantcheck/internal/session"
	"quantcheck/internal/session/calibration"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// stage is a float model on which candidates are tried one after another. What does not depend on the candidate is done once:
// the calibration's statistics, the float outputs on every picture.
type stage struct {
	policy   policy
	b        *session.Session
	evaluate *score.Evaluation // what the outputs are and how an inference's are collected
	layers   []int             // of the outputs
	stats    *calib.Statistics
	encoded  map[encoded]coding
	scorer   func() eval.Scorer
	column   int  // of the score that counts
	higher   bool // more of it is better

	shots    []shot // pictures that could be read: those of the search first
	searched int    // how many of them are for the search
	held     int64  // bytes of float outputs that are kept
}

// shot is a picture with what the float model gives for it.
type shot struct {
	picture eval.Picture
	source  dataset.Source
	outputs []decode.Output // nil: computed anew every time
	sha256  string
}

type encoded struct {
	tensor     string
	bits       int
	calibrator variant.Calibrator
	percentile float64
}

type coding struct {
	e  quant.Encoding
	ok bool
}

// openStage reads a model, calibrates it, and runs it on the pictures.
func openStage(ctx context.Context, engines session.Engines, p policy, spec result.ExploreSpec, config eval.Config, set *score.TruthSet, progress progress.Reporter) (*stage, error) {
	b, err := session.Open(ctx, engines.ORT, session.Options{Command: "explore", Name: spec.Name, Model: spec.Model, Input: spec.Input, MemoryMiB: spec.MemoryMiB}, []variant.Spec{wide()}, progress, time.Now())
	if err != nil {
		return nil, err
	}
	loader := b.Loader
	b.Samples = len(set.Images)
	loader.Cache = dataset.NewCache(min(int64(spec.MemoryMiB)<<20/8, 512<<20)) // every candidate sees the pictures again
	if err := set.Fits(loader, spec.Task); err != nil {
		return nil, usage.Mark(err)
	}
	b.Arena = b.ORT.NewArena(min(int64(spec.MemoryMiB)<<20/8, 160<<20))
	s := &stage{b: b, policy: p, evaluate: &score.Evaluation{B: b, Set: set, Loader: loader}, encoded: map[encoded]coding{}}
	config = score.Named(config, b)
	s.higher = spec.Task != result.Depth
	s.scorer = func() eval.Scorer { return set.Scorer(spec.Scoring, config, 2, nil) }
	if spec.Task == result.Agreement {
		s.column = 1 // the cosine, of which float has 1
		s.scorer = func() eval.Scorer { return eval.NewDistance(2, true) }
	}
	if s.layers, err = s.evaluate.FindOutputs(); err != nil {
		return nil, err
	}
	made := func(g []string) bool { _, ok := b.Float.Index.Producer[g[0]]; return ok }
	if !slices.ContainsFunc(b.Float.Placement.Groups(), made) {
		return nil, usage.Mark(fmt.Errorf("none of the layers of %s is quantized: there is nothing to explore", spec.Model))
	}
	if err := s.shoot(ctx); err != nil {
		s.close()
		return nil, err
	}
	if err := s.calibrate(ctx, spec); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// wide asks for the statistics that every calibrator needs, as a device's variant does.
func wide() variant.Spec {
	v := variant.Usual()
	v.Calibrator, v.Engine = variant.MSEOut, variant.HTP
	return v
}

func (s *stage) close() {
	s.evaluate.Close()
	s.b.Close()
}

// shoot runs the float model on every picture and divides those that can be read: most are for the search, the others are held
// out.
func (s *stage) shoot(ctx context.Context) error {
	b, e := s.b, s.evaluate
	var err error
	if e.Float, err = ort.New(b.ORT, b.Float.Model, ort.Options{Taps: e.Outputs, Arena: b.Arena, Types: b.Float.Types}); err != nil {
		return err
	}
	bound := int64(b.Options.MemoryMiB) << 20 / 4
	var all []shot
	sources := e.Set.Samples()
	b.Progress.Phase("running float", len(sources.Sources))
	err = b.EachSample(ctx, sources, e.Loader, func(n int, sample *dataset.Sample) error {
		defer b.Progress.Step(n)
		if sample == nil {
			return nil
		}
		outputs, err := e.Collect(ctx, e.Float.Start(runner.Sample{Inputs: sample.Inputs}), e.Outputs)
		if err != nil {
			return fmt.Errorf("float model, %s: %w", sample.Name, err)
		}
		one := shot{picture: e.Picture(n-1, sample), source: sources.Sources[n-1], sha256: sample.SHA256}
		size := int64(0)
		for _, o := range outputs {
			size += int64(o.Tensor.Bytes())
		}
		if s.held+size <= bound {
			s.held += size
			one.outputs = outputs
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("none of the %d pictures could be read; the first: %s", len(sources.Sources), b.Skipped[0])
	}
	var held []shot
	for i, one := range all {
		if n := s.policy.heldEvery; i%n == n-1 {
			held = append(held, one)
		} else {
			s.shots = append(s.shots, one)
		}
	}
	s.searched = len(s.shots)
	s.shots = append(s.shots, held...)
	return nil
}

// calibrate gathers statistics on the samples that were given for it, or on the first pictures of the search.
func (s *stage) calibrate(ctx context.Context, spec result.ExploreSpec) error {
	set := &dataset.Set{}
	for _, one := range s.shots[:min(s.searched, s.policy.mostCalibrating)] {
		set.Sources = append(set.Sources, one.source)
	}
	if spec.Calib != "" {
		var err error
		if set, err = session.Samples(spec.Calib, 0, s.evaluate.Loader); err != nil {
			return err
		}
		s.b.Run.Warnings = append(s.b.Run.Warnings, set.Warnings...)
	}
	var err error
	s.stats, err = calibration.Run(ctx, s.b, set, s.evaluate.Loader)
	s.tidy()
	return err
}

// tidy gives back the memory of work that looked at all layers: what follows looks at outputs.
func (s *stage) tidy() {
	s.b.Arena.Empty()
	s.b.ORT.ReturnMemory()
	debug.FreeOSMemory()
}

// observed gives an activation's encoding; searches over histograms are made once.
func (s *stage) observed(tensor string, v variant.Spec) (quant.Encoding, bool) {
	key := encoded{tensor, v.ActBits, v.Calibrator, v.Percentile}
	c, known := s.encoded[key]
	if !known {
		c.e, c.ok = s.stats.Activation(tensor, v)
		s.encoded[key] = c
	}
	return c.e, c.ok
}

// quantizedPart is what of a candidate is quantized.
type quantizedPart string

// A candidate is quantized whole, or only half of it to see where its loss comes from.
const (
	wholePart   quantizedPart = ""
	weightsPart quantizedPart = "weights only"
	actsPart    quantizedPart = "activations only"
)

// candidate is one way to quantize the stage's model.
type candidate struct {
	spec variant.Spec // a recipe with its choices; the engine says what runs it
	part quantizedPart
}

// built is a candidate's model as a device takes it, with what the outputs are called in it.
type built struct {
	*qdq.Built
	model  *onnx.Model
	taps   []string
	makers map[string]string // what makes each tensor of it; nil: nobody asked yet
}

// build makes a candidate's model. It is that of a device on the CPU too: both engines compute the same graph.
func (s *stage) build(c candidate) (*built, error) {
	ref := s.b.Float
	spec := c.spec
	spec.Engine = variant.HTP
	q, err := qdq.Build(ref.Base, ref.Placement, spec, s.observed)
	if err != nil {
		return nil, err
	}
	x := onnx.NewIndex(q.Model)
	made := &built{Built: q, model: q.Model}
	var taps []qdq.LayerTap
	for _, l := range ref.Layers {
		if ref.Incomparable(l) != "" {
			continue
		}
		if m := align.Built(l.Name, ref.Placement, q, ref.Folded); m.Status == result.Compared {
			taps = append(taps, qdq.LayerTap{Layer: l.Name, Tap: m.Tap})
		}
	}
	for _, k := range s.layers {
		name := ref.Layers[k].Name
		tap := align.Built(name, ref.Placement, q, ref.Folded).Tap
		if _, there := x.Producer[name]; tap == "" && there {
			tap = name
		}
		if tap == "" {
			return nil, fmt.Errorf("the quantized model has no output %s", name)
		}
		made.taps = append(made.taps, tap)
	}
	if c.part == wholePart {
		return made, nil
	}
	m, instead, err := qdq.NewIsolator(q.Model, taps, q.Floats, ref.Types).Strip(c.part == weightsPart)
	if err != nil {
		return nil, err
	}
	made.model = m
	for i, tap := range made.taps {
		if to, gone := instead[tap]; gone {
			made.taps[i] = to
		}
	}
	return made, nil
}

// run runs a candidate on some of the pictures and hands every picture's outputs to use, the float model's first. use runs
// beside the next inference; what it returns ends the run.
func (s *stage) run(ctx context.Context, m *built, engine variant.Engine, shots []shot, use func(picture eval.Picture, outputs [][]decode.Output) error) error {
	wanted := slices.Compact(slices.Sorted(slices.Values(m.taps)))
	var r runner.Runner
	var err error
	if engine == variant.HTP {
		r, err = htp.New(ctx, s.b.Emulator, m.model, htp.Options{Groups: [][]string{wanted}, Arena: s.b.Arena})
	} else {
		r, err = ort.New(s.b.ORT, m.model, ort.Options{Taps: wanted, Arena: s.b.Arena})
	}
	if err != nil {
		return ofCandidate(err)
	}
	defer s.b.ORT.ReturnMemory()
	defer r.Close()
	set := &dataset.Set{}
	for _, one := range shots {
		set.Sources = append(set.Sources, one.source)
	}
	todo, stop := make(chan score.Scoring, 2), make(chan struct{})
	var failed error
	var scoring sync.WaitGroup
	scoring.Go(func() {
		for one := range todo {
			if failed != nil {
				continue
			}
			if failed = use(one.Picture, one.Outputs); failed != nil {
				close(stop)
			}
		}
	})
	err = s.b.EachSample(ctx, set, s.evaluate.Loader, func(n int, sample *dataset.Sample) error {
		if sample == nil {
			return fmt.Errorf("%s cannot be read any more", shots[n-1].picture.Image.Name)
		}
		outputs, err := s.infer(ctx, r, m.taps, &shots[n-1], sample)
		if err != nil {
			return err
		}
		select {
		case todo <- score.Scoring{Picture: shots[n-1].picture, Outputs: outputs}:
			return nil
		case <-stop:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(todo)
	scoring.Wait()
	if failed != nil {
		return failed
	}
	return err
}

// errStopped ends a run whose use has failed; its error is the one to tell.
var errStopped = errors.New("stopped")

// infer gives the float model's outputs and a candidate's; a candidate that could not be run on the picture gives nil.
func (s *stage) infer(ctx context.Context, r runner.Runner, taps []string, one *shot, sample *dataset.Sample) ([][]decode.Output, error) {
	outputs := [][]decode.Output{one.outputs, nil}
	var err error
	if outputs[0] == nil {
		if outputs[0], err = s.evaluate.Collect(ctx, s.evaluate.Float.Start(runner.Sample{Inputs: sample.Inputs}), s.evaluate.Outputs); err != nil {
			return nil, fmt.Errorf("float model, %s: %w", sample.Name, err)
		}
	}
	outputs[1], err = s.evaluate.Collect(ctx, r.Start(runner.Sample{Inputs: sample.Inputs}), taps)
	if errors.Is(err, runner.ErrSample) && ctx.Err() == nil {
		err = nil
	}
	return outputs, ofCandidate(err)
}

// candidateError means that a candidate, not the float model, ended the process of its engine, or took too much memory or time.
type candidateError struct{ err error }

func (e *candidateError) Error() string { return e.err.Error() }

func (e *candidateError) Unwrap() error { return e.err }

// ofCandidate marks such an error of a candidate's; others it leaves as they are.
func ofCandidate(err error) error {
	var died *worker.DiedError
	if ort.Failed(err) || errors.As(err, &died) {
		return &candidateError{err}
	}
	return err
}

// elements counts the elements of the tensors of each group.
func (s *stage) elements(groups [][]string) []float64 {
	sums := make([]float64, len(groups))
	for i, g := range groups {
		for _, name := range g {
			if t, ok := s.b.Float.Types[name]; ok {
				if n, err := tensor.Count(t.Shape); err == nil {
					sums[i] += float64(n)
				}
			}
		}
	}
	return sums
}
