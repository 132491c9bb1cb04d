package htp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"quantcheck/internal/cost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
)

// ErrDivided means that the provider made several graphs of a model, of which there is no estimate together.
var ErrDivided = errors.New("the model was divided into several graphs, of which the compiler estimates each alone")

// EstimateOptions says what is estimated.
type EstimateOptions struct {
	SoC cost.SoC
	// DLC estimates what WriteDLC would write of the model: quantized inputs and outputs are integers, and the graph is as it
	// stands; of a float model, whose DLC computes a little otherwise, about. Otherwise it is what ONNX Runtime's provider would
	// run where nobody says otherwise: float inputs and outputs are converted on the HTP, and ONNX Runtime rewrites the graph
	// before. What it rewrites depends on its version: 1.32 makes a SpaceToDepth of a float model's strided Slices.
	DLC bool
}

// profileFile is where the provider writes the estimate's figures, in the worker's folder; the timeline goes into a file
// beside it.
const (
	profileFile  = "estimate.csv"
	timelineFile = "estimate_qnn.log"
)

// profileOption names the provider's option that says where.
const profileOption = "profiling_file_path"

// Estimate compiles a model, whose shapes are fixed, for a chip and reads what the compiler's cost model expects of it. Nothing
// is run and no tensor is exposed: that would change it. Layers have the names and types of the model's nodes. The error is a
// *RefusedError if the HTP does not take the model whole, ErrDivided, or cost.ErrNoEstimate. The engine's SoC, Arch and Fallback
// do not count.
func (e Engine) Estimate(ctx context.Context, m *onnx.Model, o EstimateOptions) (*cost.Estimate, error) {
	m = named(raised(m))
	if o.DLC {
		b, err := qdq.Integers(m, m.Outputs())
		if err != nil {
			return nil, err
		}
		m = b.Model
	}
	l := load{
		Library: e.Library, Provider: e.Kit.Provider(), Rewrite: !o.DLC, External: externalDir(m), Inputs: slots(m), Outputs: m.Outputs(),
		Options: map[string]string{"backend_path": e.Kit.HTP(), "soc_model": strconv.Itoa(o.SoC.Model), "profiling_level": "optrace", profileOption: profileFile},
	}
	data, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	s, err := openSession(ctx, l, data)
	if err != nil {
		return nil, err
	}
	defer s.close()
	x, err := estimateIn(s.Dir(), o.SoC)
	if err != nil {
		return nil, fmt.Errorf("the estimate for SoC model %d: %w", o.SoC.Model, err)
	}
	ops := map[string]string{}
	for _, n := range m.Graph().GetNode() {
		ops[n.GetName()] = n.GetOpType()
	}
	x.Rename(ops)
	return x, nil
}

// estimateIn reads the files that a session left in its worker's folder.
func estimateIn(dir string, soc cost.SoC) (*cost.Estimate, error) {
	profile, err := os.ReadFile(filepath.Join(dir, profileFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, cost.ErrNoEstimate
	}
	if err != nil {
		return nil, err
	}
	f, err := cost.ReadProfile(profile)
	if err != nil {
		return nil, err
	}
	schematic, several, err := schematicIn(dir)
	if err != nil {
		return nil, err
	}
	if several || len(f.Repeated) > 0 {
		return nil, ErrDivided
	}
	trace, err := os.ReadFile(filepath.Join(dir, timelineFile))
	if err != nil {
		return nil, err
	}
	return cost.New(soc, f, trace, schematic)
}

// schematicIn reads the compiler's schematic, nil if it left none.
func schematicIn(dir string) (text []byte, several bool, err error) {
	found, err := filepath.Glob(filepath.Join(dir, "*_schematic.bin"))
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	text, err = os.ReadFile(found[0])
	return text, len(found) > 1, err
}
