package flow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"quantcheck/internal/lint"
	"quantcheck/internal/machine"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
)

// LintSpec says what is looked at: an .onnx file, a .dlc file, or a run that was read from a workspace.
type LintSpec struct {
	Path   string
	Run    *result.Run        // of a workspace
	Shapes map[string][]int64 // of inputs with open dimensions
	HTP    bool               // ask the emulator which operators it refuses
	// Estimate has the HTP compiler estimate the model, and what it would be without each finding that has a pass.
	Estimate bool
}

// Lint looks a model, a DLC or a run over. The second value says what could not be looked at.
func Lint(ctx context.Context, engines Engines, spec LintSpec) ([]lint.Finding, []string, error) {
	info := machine.Describe()
	s := &lint.Subject{Run: spec.Run, Int8Saturates: info.Arch == "amd64" && !slices.Contains(info.Features, "avx512vnni")}
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
	case path != "" && IsContainer(path):
		f, err := openContainer(path)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		s.DLC = f
		notes = append(notes, f.Notes...)
		if spec.Estimate {
			if err := priceContainer(ctx, engines, path, s, &notes); err != nil {
				return nil, nil, err
			}
		}
	case path != "":
		if err := lintModel(ctx, engines, spec, path, s, &notes); err != nil {
			return nil, nil, err
		}
	}
	return lint.Look(s), notes, nil
}

func lintModel(ctx context.Context, engines Engines, spec LintSpec, path string, s *lint.Subject, notes *[]string) error {
	m, err := onnx.Load(path)
	if err != nil {
		return usage(err)
	}
	shapes := spec.Shapes
	if spec.Run != nil {
		shapes = map[string][]int64{}
		for _, in := range spec.Run.Model.Inputs {
			shapes[in.Name] = in.Shape
		}
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return usage(fmt.Errorf("%s: %w", path, err))
	}
	o := &optimizer{ctx: ctx, engines: engines, result: &Optimized{}} // without samples it runs nothing
	folded, _, _, err := ort.Fold(ctx, engines.ORT, m)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := o.begin(folded); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.Model, s.Env = folded, o.env
	if spec.Estimate {
		if err := priceFindings(ctx, engines, s, notes); err != nil {
			return err
		}
	}
	if !spec.HTP {
		return nil
	}
	e, err := engines.HTP()
	if errors.Is(err, qnn.ErrUnavailable) {
		return nil // the other checks need no emulator
	}
	if err != nil {
		*notes = append(*notes, "which operators the HTP refuses was not asked: "+err.Error())
		return nil //nolint:nilerr // said
	}
	r, err := htp.New(ctx, e, folded, htp.Options{Groups: [][]string{folded.Outputs()}})
	var refused *htp.RefusedError
	switch {
	case err == nil:
		r.Close()
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		for _, x := range refused.Refused {
			s.Refused = append(s.Refused, lint.Refusal(x))
		}
	default:
		*notes = append(*notes, "which operators the HTP refuses could not be asked: "+err.Error())
	}
	return nil
}
