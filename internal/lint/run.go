// Package lint is the use case of quantcheck lint: what makes a model lose accuracy or speed on the DSP is found before anyone runs it there.
//
//  1. Run reads the model, the DLC or the run, and folds the model's constants.
//  2. The emulator is asked which operators it refuses, the HTP compiler what the model costs and what passes would make of it, if that is wanted.
//  3. The checks of package checks look at all that.
package lint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"quantcheck/internal/estimator"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/inspect"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/lint/refused"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
)

// Spec says what is looked at: an .onnx file, a .dlc file, or a run that was read from a workspace.
type Spec struct {
	Path   string
	Run    *result.Run        // of a workspace
	Shapes map[string][]int64 // of inputs with open dimensions
	HTP    bool               // ask the emulator which operators it refuses
	Ask    refused.Options    // in which forms, and for how long
	// Estimate has the HTP compiler estimate the model, and what it would be without each finding that has a pass.
	Estimate bool
}

// Run looks a model, a DLC or a run over. The second value says what could not be looked at.
func Run(ctx context.Context, engines session.Engines, spec Spec) ([]checks.Finding, []string, error) {
	info := hostinfo.Describe()
	s := &checks.Subject{Run: spec.Run, Int8Saturates: info.Arch == "amd64" && !slices.Contains(info.Features, "avx512vnni")}
	var notes []string
	path := spec.Path
	if spec.Run != nil {
		path = spec.Run.Model.Path
		if _, err := os.Stat(path); err != nil {
			notes = append(notes, fmt.Sprintf("the run's model %s is not there any more: only its results were looked at", path))
			path = ""
		}
	}
	switch {
	case path != "" && inspect.IsDLC(path):
		f, err := inspect.OpenDLC(path)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		s.DLC = f
		notes = append(notes, f.Notes...)
		if spec.Estimate {
			e, err := estimator.Open(engines, "")
			if err != nil {
				return nil, nil, err
			}
			said, err := priceContainer(ctx, e, path, s)
			if err != nil {
				return nil, nil, err
			}
			notes = append(notes, said...)
		}
	case path != "":
		said, err := lintModel(ctx, engines, spec, path, s)
		if err != nil {
			return nil, nil, err
		}
		notes = append(notes, said...)
	}
	return checks.Look(s), notes, nil
}

// lintModel finds out what checks look at in a model. The notes say what could not be found out.
func lintModel(ctx context.Context, engines session.Engines, spec Spec, path string, s *checks.Subject) (notes []string, err error) {
	m, file, err := model.Read(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	notes = append(notes, file.Notes...)
	if file.Quantized != nil {
		notes = append(notes, model.AlreadyQuantized(path, file.Quantized))
	}
	shapes := spec.Shapes
	if spec.Run != nil {
		shapes = map[string][]int64{}
		for _, in := range spec.Run.Model.Inputs {
			shapes[in.Name] = in.Shape
		}
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	if s.Model, s.Env, err = model.FoldedEnvironment(ctx, engines.ORT, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if spec.Estimate {
		e, err := estimator.Open(engines, "")
		if err != nil {
			return nil, err
		}
		said, err := priceFindings(ctx, e, s)
		if err != nil {
			return nil, err
		}
		notes = append(notes, said...)
	}
	if spec.HTP {
		said, err := askRefusals(ctx, engines, spec.Ask, s)
		if err != nil {
			return nil, err
		}
		notes = append(notes, said...)
	}
	return notes, nil
}

// askRefusals asks the emulator, where there is one, which operators it does not take: the other checks need no emulator.
func askRefusals(ctx context.Context, engines session.Engines, o refused.Options, s *checks.Subject) (notes []string, err error) {
	e, err := engines.HTP()
	if errors.Is(err, qnn.ErrUnavailable) {
		return nil, nil
	}
	if err != nil {
		return []string{"which operators the HTP refuses was not asked: " + err.Error()}, nil //nolint:nilerr // said
	}
	s.Refused, notes, err = refused.Ask(ctx, engines.ORT, e, s.Model, o)
	return notes, err
}
