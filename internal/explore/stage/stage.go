// Package stage holds what the candidates of an exploration are tried on: a float model with its outputs on every picture, and the statistics of
// one calibration.
package stage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/build"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/score/outputs"
	"quantcheck/internal/score/testset"
	"quantcheck/internal/session"
	"quantcheck/internal/session/calibration"
	"quantcheck/internal/variant"
)

// Stage is a float model on which candidates are tried one after another. What does not depend on the candidate is done once:
// the calibration's statistics, the float outputs on every picture. It is not safe for concurrent use.
type Stage struct {
	Session *session.Session // of the float model; its only variant says what the calibration has to gather
	Builder *build.Builder
	Outputs *outputs.Outputs
	Stats   *calib.Statistics
	Loader  dataset.Loader

	set      *testset.Set
	float    runner.Runner
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

// Open takes over a session of a float model, runs it on the pictures of a set, and calibrates it, at the sizes that the policy gives. calib names
// samples that calibrate; "": the first pictures of the search do. A model without quantizers or outputs is an error of usage. With an error the
// session is closed.
func Open(ctx context.Context, b *session.Session, set *testset.Set, loader dataset.Loader, calib string, p policy.Policy) (*Stage, error) {
	s := &Stage{Session: b, set: set, Loader: loader}
	if err := s.open(ctx, calib, p); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stage) open(ctx context.Context, calib string, p policy.Policy) (err error) {
	b := s.Session
	if s.Outputs, err = outputs.Find(b.Float); err != nil {
		return err
	}
	if s.Builder, err = build.New(b.Float, s.Outputs); err != nil {
		return err
	}
	if err := s.shoot(ctx, p.HeldEvery); err != nil {
		return err
	}
	if err := s.calibrate(ctx, calib, p.MostCalibrating); err != nil {
		return err
	}
	s.Builder.Calibrate(s.Stats)
	return nil
}

// Wide asks a session for the statistics that every calibrator needs, as a device's variant does.
func Wide() []variant.Spec {
	v := variant.Usual()
	v.Calibrator, v.Engine = variant.MSEOut, variant.HTP
	return []variant.Spec{v}
}

// Pictures counts the pictures that can be read: those of the search come first.
func (s *Stage) Pictures() (searched, all int) { return s.searched, len(s.shots) }

// Hashes are the SHA-256 sums of the pictures.
func (s *Stage) Hashes() []string {
	list := make([]string, len(s.shots))
	for i, one := range s.shots {
		list[i] = one.sha256
	}
	return list
}

// First are the first pictures of the search, at most so many.
func (s *Stage) First(most int) *dataset.Set {
	set := &dataset.Set{}
	for _, one := range s.shots[:min(s.searched, most)] {
		set.Sources = append(set.Sources, one.source)
	}
	return set
}

// Recorded are the first pictures, with the float model's outputs on those whose outputs are kept, as a session records them. Pictures of the
// search come first.
func (s *Stage) Recorded(most int) (*dataset.Set, map[int]map[int]runner.Tap) {
	set, recorded := &dataset.Set{}, map[int]map[int]runner.Tap{}
	for n, one := range s.shots[:min(len(s.shots), most)] {
		set.Sources = append(set.Sources, one.source)
		if one.outputs == nil {
			continue
		}
		recorded[n] = map[int]runner.Tap{}
		for i, layer := range s.Outputs.Layers {
			recorded[n][layer] = runner.Tap{Tensor: one.outputs[i].Tensor}
		}
	}
	return set, recorded
}

// Close frees the float model and its session.
func (s *Stage) Close() {
	if s.float != nil {
		s.float.Close()
	}
	s.Session.Close()
}

// shoot runs the float model on every picture and divides those that can be read: most are for the search, the others are held
// out.
func (s *Stage) shoot(ctx context.Context, heldEvery int) error {
	b := s.Session
	var err error
	if s.float, err = s.Outputs.OpenFloat(b); err != nil {
		return err
	}
	bound := int64(b.Options.MemoryMiB) << 20 / 4
	var all []shot
	sources := s.set.Samples()
	b.Progress.Phase("running float", len(sources.Sources))
	err = b.EachSample(ctx, sources, s.Loader, func(n int, sample *dataset.Sample) error {
		defer b.Progress.Step(n)
		if sample == nil {
			return nil
		}
		outputs, err := s.Outputs.Collect(ctx, s.float.Start(runner.Sample{Inputs: sample.Inputs}), s.Outputs.Names)
		if err != nil {
			return fmt.Errorf("float model, %s: %w", sample.Name, err)
		}
		one := shot{picture: s.set.Picture(n-1, sample, s.Loader), source: sources.Sources[n-1], sha256: sample.SHA256}
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
		if i%heldEvery == heldEvery-1 {
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
func (s *Stage) calibrate(ctx context.Context, calib string, most int) error {
	set := s.First(most)
	var err error
	if calib != "" {
		if set, err = session.Samples(calib, 0, s.Loader); err != nil {
			return err
		}
		s.Session.Run.Warnings = append(s.Session.Run.Warnings, set.Warnings...)
	}
	s.Stats, err = calibration.Run(ctx, s.Session, set, s.Loader)
	s.Tidy()
	return err
}

// Tidy gives back the memory of work that looked at all layers: what follows looks at outputs.
func (s *Stage) Tidy() {
	s.Session.Arena.Empty()
	s.Session.ORT.ReturnMemory()
	debug.FreeOSMemory()
}

// Run builds a candidate, runs it on the pictures from one to another place, and hands every picture's outputs to use, the float model's first.
// Outputs of a candidate that could not be run on a picture are nil. use runs beside the next inference; what it returns ends the run. The
// error is a *candidate.FailedError or a *candidate.RefusedError if it is the candidate's.
func (s *Stage) Run(ctx context.Context, c candidate.Candidate, from, to int, use func(picture eval.Picture, outputs [][]decode.Output) error) error {
	m, err := s.Builder.Build(c)
	if err != nil {
		return err
	}
	shots := s.shots[from:to]
	wanted := slices.Compact(slices.Sorted(slices.Values(m.Taps)))
	var r runner.Runner
	if c.Spec.Engine == variant.HTP {
		r, err = htp.New(ctx, s.Session.Emulator, m.Model, htp.Options{Groups: [][]string{wanted}, Arena: s.Session.Arena})
	} else {
		r, err = ort.New(s.Session.ORT, m.Model, ort.Options{Taps: wanted, Arena: s.Session.Arena})
	}
	if err != nil {
		return ofCandidate(err)
	}
	defer s.Session.ORT.ReturnMemory()
	defer r.Close()
	set := &dataset.Set{}
	for _, one := range shots {
		set.Sources = append(set.Sources, one.source)
	}
	todo, stop := make(chan scoring, 2), make(chan struct{})
	var failed error
	var using sync.WaitGroup
	using.Go(func() {
		for one := range todo {
			if failed != nil {
				continue
			}
			if failed = use(one.picture, one.outputs); failed != nil {
				close(stop)
			}
		}
	})
	err = s.Session.EachSample(ctx, set, s.Loader, func(n int, sample *dataset.Sample) error {
		if sample == nil {
			return fmt.Errorf("%s cannot be read any more", shots[n-1].picture.Image.Name)
		}
		outputs, err := s.infer(ctx, r, m.Taps, &shots[n-1], sample)
		if err != nil {
			return err
		}
		select {
		case todo <- scoring{shots[n-1].picture, outputs}:
			return nil
		case <-stop:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(todo)
	using.Wait()
	if failed != nil {
		return failed
	}
	return err
}

// scoring is a picture whose outputs wait to be scored.
type scoring struct {
	picture eval.Picture
	outputs [][]decode.Output
}

// errStopped ends a run whose use has failed; its error is the one to tell.
var errStopped = errors.New("stopped")

// infer gives the float model's outputs and a candidate's; a candidate that could not be run on the picture gives nil.
func (s *Stage) infer(ctx context.Context, r runner.Runner, taps []string, one *shot, sample *dataset.Sample) ([][]decode.Output, error) {
	outputs := [][]decode.Output{one.outputs, nil}
	var err error
	if outputs[0] == nil {
		if outputs[0], err = s.Outputs.Collect(ctx, s.float.Start(runner.Sample{Inputs: sample.Inputs}), s.Outputs.Names); err != nil {
			return nil, fmt.Errorf("float model, %s: %w", sample.Name, err)
		}
	}
	outputs[1], err = s.Outputs.Collect(ctx, r.Start(runner.Sample{Inputs: sample.Inputs}), taps)
	if errors.Is(err, runner.ErrSample) && ctx.Err() == nil {
		err = nil
	}
	return outputs, ofCandidate(err)
}

// ofCandidate marks errors that are a candidate's; others it leaves as they are.
func ofCandidate(err error) error {
	var refused *htp.RefusedError
	switch {
	case ort.Failed(err), htp.Failed(err):
		return &candidate.FailedError{Err: err}
	case errors.As(err, &refused):
		return &candidate.RefusedError{Err: err}
	}
	return err
}

// Alike says whether the float model gives the same outputs on all pictures, as far as they are kept: candidates cannot be told apart by them
// then.
func (s *Stage) Alike() bool {
	same := func(a, b []decode.Output) bool {
		for i := range a {
			p, ok := a[i].Tensor.AsFloat32()
			q, also := b[i].Tensor.AsFloat32()
			if !ok || !also || !slices.Equal(p, q) {
				return false
			}
		}
		return true
	}
	for _, one := range s.shots[1:] {
		if s.shots[0].outputs == nil || one.outputs == nil || !same(s.shots[0].outputs, one.outputs) {
			return false
		}
	}
	return true
}
