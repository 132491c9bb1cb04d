package qnnworker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/htpcost"
)

// Estimate compiles a DLC for a chip and reads what the compiler's cost model expects of it. Nothing is run, no tensor is
// exposed: that would change it. Layers have the names and types of the file's nodes. The engine's SoC does not count. The
// errors are New's, and those of cost.FiguresOf and cost.ReadTrace, of which cost.ErrNoEstimate says that there is no model of the
// chip.
func Estimate(ctx context.Context, e Engine, soc htpcost.SoC, path, scratch string) (*htpcost.Estimate, error) {
	e.SoC = soc.Model
	r, err := open(ctx, e, path, Options{Scratch: scratch}, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	x, err := r.estimate(soc)
	if err != nil {
		return nil, fmt.Errorf("%s: the estimate for SoC model %d: %w", path, soc.Model, err)
	}
	return x, nil
}

// estimate reads what the worker says, and what the libraries left in its folder.
func (r *Runner) estimate(soc htpcost.SoC) (*htpcost.Estimate, error) {
	f, err := htpcost.FiguresOf(r.told.Events)
	if err != nil {
		return nil, err
	}
	trace, err := optional(filepath.Join(r.session.Dir(), traceFile))
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(r.session.Dir(), "*_schematic.bin"))
	if err != nil {
		return nil, err
	}
	var schematic []byte
	if len(found) == 1 {
		if schematic, err = optional(found[0]); err != nil {
			return nil, err
		}
	}
	t, err := htpcost.ReadTrace(trace)
	if err != nil {
		return nil, err
	}
	x := htpcost.New(soc, f, t, schematic)
	types := map[string]string{}
	for _, n := range r.Nodes() {
		types[n.Name] = n.Type
	}
	x.Rename(types)
	return x, nil
}

// optional reads a file, nil if there is none.
func optional(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
