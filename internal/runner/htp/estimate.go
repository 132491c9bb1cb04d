package htp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
)

// ErrDivided means that the provider made several graphs of a model, of which there is no estimate together.
var ErrDivided = errors.New("the model was divided into several graphs, of which the compiler estimates each alone")

// EstimateOptions says what is estimated.
type EstimateOptions struct {
	SoC htpcost.SoC
	// DLC estimates what WriteDLC would write of the model: quantized inputs and outputs are integers, and the graph is as it
	// stands; of a float model, whose DLC computes a little otherwise, about. Otherwise it is what ONNX Runtime's provider would
	// run where nobody says otherwise: float inputs and outputs are converted on the HTP, and ONNX Runtime rewrites the graph
	// before. What it rewrites depends on its version: 1.32 makes a SpaceToDepth of a float model's strided Slices.
	DLC bool
	// Plain keeps ONNX Runtime from rewriting the graph. Where the CPU takes a part, it would make operators there that an old opset
	// does not have.
	Plain bool
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
func (e Engine) Estimate(ctx context.Context, m *onnx.Model, o EstimateOptions) (*htpcost.Estimate, error) {
	parts, _, err := e.estimate(ctx, m, o, false)
	switch {
	case err != nil:
		return nil, err
	case len(parts) == 0:
		return nil, fmt.Errorf("SoC model %d: %w", o.SoC.Model, htpcost.ErrNoEstimate)
	case len(parts) > 1:
		return nil, ErrDivided
	}
	return parts[0], nil
}

// EstimateParts estimates what is left of a model when the operators that the HTP refuses run on the CPU: graphs that run one
// after the other, each with an estimate of its own. Of the CPU's part, and of the way between the two, nothing is known.
func (e Engine) EstimateParts(ctx context.Context, m *onnx.Model, o EstimateOptions) (parts []*htpcost.Estimate, refused []Refusal, err error) {
	return e.estimate(ctx, m, o, true)
}

func (e Engine) estimate(ctx context.Context, m *onnx.Model, o EstimateOptions, allowCPU bool) ([]*htpcost.Estimate, []Refusal, error) {
	m, err := taken(m)
	if err != nil {
		return nil, nil, err
	}
	if o.DLC {
		b, err := qdq.Integers(m, m.Outputs())
		if err != nil {
			return nil, nil, err
		}
		m = b.Model
	}
	l := load{
		Library: e.Library, Provider: e.Kit.Provider(), Rewrite: !o.DLC && !o.Plain, AllowCPU: allowCPU, External: externalDir(m), Inputs: slots(m), Outputs: m.Outputs(),
		Options: map[string]string{"backend_path": e.Kit.HTP(), "soc_model": strconv.Itoa(o.SoC.Model), "profiling_level": "optrace", profileOption: profileFile},
	}
	data, err := m.Bytes()
	if err != nil {
		return nil, nil, err
	}
	s, err := openSession(ctx, l, data)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	parts, err := estimatesIn(s.Dir(), o.SoC)
	if err != nil {
		return nil, nil, fmt.Errorf("the estimate for SoC model %d: %w", o.SoC.Model, err)
	}
	types := map[string]string{}
	for _, n := range m.Graph().GetNode() {
		types[n.GetName()] = n.GetOpType()
	}
	for _, x := range parts {
		x.Rename(types)
	}
	return parts, s.told.Refused, nil
}

// estimatesIn reads the files that a session left in its worker's folder: an estimate per graph, none if the compiler has no
// cost model of the chip. For every graph but the first the provider appends the estimate of the graph before once more, and
// then this one's.
func estimatesIn(dir string, soc htpcost.SoC) ([]*htpcost.Estimate, error) {
	profile, err := os.ReadFile(filepath.Join(dir, profileFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	figures, err := htpcost.ReadProfiles(profile)
	if err != nil || len(figures) == 0 {
		return nil, err
	}
	log, err := os.ReadFile(filepath.Join(dir, timelineFile))
	if err != nil {
		return nil, err
	}
	timelines, err := htpcost.ReadTraces(log)
	if err != nil {
		return nil, err
	}
	n := (len(figures) + 1) / 2
	fit := len(figures) == 2*n-1 && len(timelines) == len(figures)
	for i := 1; fit && i < n; i++ {
		fit = reflect.DeepEqual(figures[2*i-1], figures[2*i-2])
	}
	if !fit {
		return nil, fmt.Errorf("the provider left %d estimates and %d timelines, which do not fit each other", len(figures), len(timelines))
	}
	schematics, err := schematicsIn(dir, n)
	if err != nil {
		return nil, err
	}
	var list []*htpcost.Estimate
	for i := range n {
		list = append(list, htpcost.New(soc, figures[2*i], timelines[2*i], schematics[i]))
	}
	return list, nil
}

// schematicsIn reads the compiler's schematics of n graphs, in their order, which stands at the end of their names. If it did
// not leave as many, all are nil.
func schematicsIn(dir string, n int) ([][]byte, error) {
	const end = "_schematic.bin"
	found, err := filepath.Glob(filepath.Join(dir, "*"+end))
	if err != nil {
		return nil, err
	}
	list := make([][]byte, n)
	if len(found) != n {
		return list, nil
	}
	number := func(path string) int {
		name := strings.TrimSuffix(path, end)
		k, _ := strconv.Atoi(name[strings.LastIndexByte(name, '_')+1:])
		return k
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	for i, path := range found {
		if list[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return list, nil
}
