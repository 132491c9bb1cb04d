package lint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
)

// Spec says what is looked at: an .onnx file, a .dlc file, or a run that was read from a workspace.
type Spec struct {
	Path   string
	Run    *result.Run        // of a workspace
	Shapes map[string][]int64 // of inputs with open dimensions
	HTP    bool               // ask the emulator which operators it refuses
	// Estimate has the HTP compiler estimate the model, and what it would be without each finding that has a pass.
	Estimate bool
}

// Run looks a model, a DLC or a run over. The second value says what could not be looked at.
func Run(ctx context.Context, engines session.Engines, spec Spec) ([]Finding, []string, error) {
	info := hostinfo.Describe()
	s := &Subject{Run: spec.Run, Int8Saturates: info.Arch == "amd64" && !slices.Contains(info.Features, "avx512vnni")}
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
			if err := priceContainer(ctx, engines, path, s, &notes); err != nil {
				return nil, nil, err
			}
		}
	case path != "":
		if err := lintModel(ctx, engines, spec, path, s, &notes); err != nil {
			return nil, nil, err
		}
	}
	return Look(s), notes, nil
}

func lintModel(ctx context.Context, engines session.Engines, spec Spec, path string, s *Subject, notes *[]string) error {
	m, file, err := model.Read(path)
	if err != nil {
		return usage.Mark(err)
	}
	*notes = append(*notes, file.Notes...)
	shapes := spec.Shapes
	if spec.Run != nil {
		shapes = map[string][]int64{}
		for _, in := range spec.Run.Model.Inputs {
			shapes[in.Name] = in.Shape
		}
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	folded, env, err := model.FoldedEnvironment(ctx, engines.ORT, m)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.Model, s.Env = folded, env
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
			s.Refused = append(s.Refused, Refusal(x))
		}
	default:
		*notes = append(*notes, "which operators the HTP refuses could not be asked: "+err.Error())
	}
	return nil
}
