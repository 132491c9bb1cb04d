package workspace

import (
	"errors"
	"fmt"

	"quantcheck/internal/result"
)

// storedVerdict is what the column verdict of a variant holds: its verdict, with what the run says of values that are not finite and of layers that
// the engine computes wrongly.
type storedVerdict struct {
	*result.Verdict
	NonFinite    *result.NonFinite    `json:"non_finite,omitempty"`
	EngineErrors []result.EngineError `json:"engine_errors,omitempty"`
}

// mostVariants is how many variants a run can have that an error of an engine is held against.
const mostVariants = 1 << 16

// sound says what is wrong with a verdict of a run whose samples and layers were read.
func (s *storedVerdict) sound(run *result.Run) error {
	if s.Verdict == nil {
		return errors.New("there is none")
	}
	if err := s.Sound(len(run.Layers)); err != nil {
		return err
	}
	if s.NonFinite != nil {
		if err := s.NonFinite.Sound(len(run.Layers), len(run.Samples)); err != nil {
			return err
		}
	}
	for _, e := range s.EngineErrors {
		if e.Layer < 0 || e.Layer >= len(run.Layers) || e.Simulation < -1 || e.Half < -1 || e.Simulation >= mostVariants || e.Half >= mostVariants {
			return fmt.Errorf("an engine error of layer %d against variants %d and %d", e.Layer, e.Simulation, e.Half)
		}
	}
	return nil
}
