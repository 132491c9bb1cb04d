// Package similarity is what a comparison says of a device's layers: a row for each, and the float model whose layers they are.
package similarity

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/inspect"
	"quantcheck/internal/metric"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// File puts a comparison into a benchmark, and the float model's copy into the workspace.
func File(p *plan.Plan, run *result.Run) error {
	at := slices.IndexFunc(run.Variants, func(v result.Variant) bool { return v.Spec.Kind == variant.Device })
	if at < 0 {
		return errors.New("the comparison has no device")
	}
	v := &run.Variants[at]
	view, err := inspect.ViewDLC(p.DLC, nil)
	if err != nil {
		return err
	}
	maker := inspect.Makers(view)
	d := &result.DeviceLayers{Images: len(run.Samples), Variant: v.Spec.Name, Under: run.Spec.DivergeUnder}
	if v.Counterpart >= 0 {
		d.Against = run.Variants[v.Counterpart].Spec.Name
	}
	if v.FirstMismatchLayer >= 0 {
		d.Parts = run.Layers[v.FirstMismatchLayer].Name
	}
	alone := simulated(run, v)
	if alone != nil {
		d.From = alone.Spec.Name
	}
	for k, l := range run.Layers {
		got := &v.Layers[k]
		if !got.HasMetrics() {
			continue
		}
		row := result.DeviceLayer{Name: l.Name, Op: l.Op, Tensor: got.Tap, Node: maker[got.Tap], SQNR: got.Summary[metric.SQNR].Mean, CosSim: got.Summary[metric.CosSim].Mean}
		if got.EmulationError != nil {
			row.Apart, row.TwinSQNR = got.EmulationError.FractionOverOneStep, got.EmulationError.Summary[metric.SQNR].Mean
		}
		if alone != nil && alone.Layers[k].Local != nil {
			row.Share = metric.Defined(alone.Layers[k].Local.Share)
		}
		d.Rows = append(d.Rows, row)
	}
	p.Done.Layers = d
	return seedModel(p, run)
}

// simulated is the variant whose layers were computed alone and that stands for the DLC: of its recipe, or any.
func simulated(run *result.Run, device *result.Variant) *result.Variant {
	has := func(v *result.Variant) bool {
		return slices.ContainsFunc(v.Layers, func(l result.LayerResult) bool { return l.Local != nil })
	}
	if device.Counterpart >= 0 {
		if t := &run.Variants[device.Counterpart]; has(t) {
			return t
		} else if t.Counterpart >= 0 && has(&run.Variants[t.Counterpart]) {
			return &run.Variants[t.Counterpart]
		}
	}
	for i := range run.Variants {
		if has(&run.Variants[i]) {
			return &run.Variants[i]
		}
	}
	return nil
}

// seedModel copies the float model, as it is and with every layer put out.
func seedModel(p *plan.Plan, run *result.Run) error {
	name := p.Name()
	dir := p.Folder.ModelONNX(name, "")
	m, err := modelfile.Load(p.Check.Model)
	if err != nil {
		return err
	}
	if file := filepath.Join(dir, name+".onnx"); strings.EqualFold(filepath.Ext(p.Check.Model), ".onnx") {
		err = plan.Copy(p.Check.Model, file)
	} else {
		err = onnx.Save(m, file)
	}
	if err != nil {
		return err
	}
	own := m.Outputs()
	g := onnx.Rebuild(m, m.Graph().GetNode())
	g.Graph().Output = slices.Clone(g.Graph().GetOutput())
	made := onnx.NewIndex(m).Producer
	for _, l := range run.Layers {
		if _, here := made[l.Name]; here && !slices.Contains(own, l.Name) {
			g.Graph().Output = append(g.Graph().GetOutput(), onnx.Untyped(l.Name))
		}
	}
	return onnx.Save(g, filepath.Join(dir, name+"-all-layers.onnx"))
}
