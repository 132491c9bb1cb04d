package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// Emulation says, of a variant that was emulated, with what, and where it parts from its simulation on the CPU, or, if it is
// a DLC, from the recipe; none for a simulation.
func Emulation(run *result.Run, v *result.Variant) []string {
	e := v.Emulator
	if e == nil {
		return nil
	}
	asIs := v.Spec.Kind == variant.DLC
	chip := fmt.Sprintf("SoC model %d", e.SoC)
	if e.Arch != 0 {
		chip += fmt.Sprintf(", HTP architecture %d", e.Arch)
	}
	text := fmt.Sprintf("Emulated with the DSP's own arithmetic (onnxruntime-qnn %s, %s)", e.Wheel, chip)
	if asIs {
		text = fmt.Sprintf("The DLC as it is, emulated with the DSP's own arithmetic (onnxruntime-qnn %s, SoC model %d)", e.Wheel, e.SoC)
	}
	if e.Taps != "" {
		text += "; " + e.Taps
	}
	if e.Passes > 1 {
		text += fmt.Sprintf("; each sample ran %d times, each time with other layers exposed, as the bound on memory or the HTP asks for", e.Passes)
	}
	lines := []string{text + "."}
	if len(e.OnCPU) > 0 {
		lines = append(lines, fmt.Sprintf("%d layers ran on the CPU, since the HTP refuses their operators: %s.", len(e.OnCPU), Short(strings.Join(e.OnCPU, ", "), 200)))
	}
	if v.Counterpart < 0 || v.Counterpart >= len(run.Variants) {
		if asIs {
			return append(lines, "Give the recipe too, such as --variant w8a8@htp, to see where the DLC leaves its path.")
		}
		return append(lines, fmt.Sprintf("Give --variant %s too, to see where simulation and emulation part.", strings.TrimSuffix(v.Spec.Name, "@htp")))
	}
	twin := "the simulation " + run.Variants[v.Counterpart].Spec.Name
	if asIs {
		twin = "the recipe " + run.Variants[v.Counterpart].Spec.Name
	}
	switch {
	case v.FirstMismatchLayer >= 0:
		l := &v.Layers[v.FirstMismatchLayer]
		text = fmt.Sprintf("It parts from %s at %s (%s, number %d of %d): %s of its values are more than one step of the encoding apart",
			twin, Printable(run.Layers[v.FirstMismatchLayer].Name), run.Layers[v.FirstMismatchLayer].Op, v.FirstMismatchLayer+1, len(run.Layers), percent(l.EmulationError.FractionOverOneStep))
	case !steps(v):
		text = "Against " + twin
	default:
		text = fmt.Sprintf("No value of any layer is more than one step of its encoding away from %s", twin)
	}
	if k := worstOutput(run, v); k >= 0 && v.Layers[k].EmulationError != nil {
		t := v.Layers[k].EmulationError
		text += fmt.Sprintf("; at the %s the two are %s apart (cosine %s)", result.Named("output", Printable(run.Layers[k].Name)), decibels(t.Summary[metric.SQNR]), number(t.Summary[metric.CosSim].Mean))
		if t.FractionOverOneStep.OK {
			text += fmt.Sprintf(", %s of the values by more than a step", percent(t.FractionOverOneStep))
		}
	}
	lines = append(lines, text+".")
	if other := otherEncodings(run, v, &run.Variants[v.Counterpart]); asIs && other != "" {
		lines = append(lines, other)
	}
	if ops := Operators(run, v); len(ops) > 0 {
		var list, same []string
		for _, o := range ops {
			if o.MaxSteps.V == 0 {
				same = append(same, o.Op)
			} else {
				list = append(list, fmt.Sprintf("%s %s (at most %.0f, %s over one)", o.Op, number(o.MeanSteps), o.MaxSteps.V, percent(o.Apart)))
			}
		}
		text := "Each layer alone, fed with the same values, differs from the simulation by so many steps on average: " + strings.Join(list, ", ")
		if len(list) == 0 {
			text = "Each layer alone, fed with the same values, equals its simulation"
		} else if len(same) > 0 {
			text += "; equal are " + strings.Join(same, ", ")
		}
		lines = append(lines, text+". The rest has accumulated.")
	}
	return lines
}

// otherEncodings says on which layers a DLC and its recipe have other encodings, "" if they have the same everywhere.
func otherEncodings(run *result.Run, v, recipe *result.Variant) string {
	first, differ, both := -1, 0, 0
	for k, l := range v.Layers {
		a, b := l.Encoding, recipe.Layers[k].Encoding
		if a == nil || b == nil {
			continue
		}
		both++
		if a.Bits == b.Bits && math.Abs(a.Scale-b.Scale) <= 1e-6*b.Scale && math.Abs(a.Min-b.Min) <= b.Scale/2 {
			continue
		}
		if differ++; first < 0 {
			first = k
		}
	}
	if first < 0 {
		return ""
	}
	show := func(e *result.Coding) string { return fmt.Sprintf("%d bit %.4g … %.4g", e.Bits, e.Min, e.Max) }
	return fmt.Sprintf("The encodings of %d of %d layers differ, first that of %s: %s in the DLC, %s in the recipe.", differ, both,
		Printable(run.Layers[first].Name), show(v.Layers[first].Encoding), show(recipe.Layers[first].Encoding))
}

func steps(v *result.Variant) bool {
	return slices.ContainsFunc(v.Layers, func(l result.LayerResult) bool {
		return l.EmulationError != nil && l.EmulationError.FractionOverOneStep.OK
	})
}

func percent(v metric.Value) string {
	if !v.OK {
		return "–"
	}
	return fmt.Sprintf("%.3g %%", 100*v.V)
}

// Operator is how far the emulation of one type of operator is from its simulation, each layer alone.
type Operator struct {
	Op        string       `json:"op"`
	Layers    int          `json:"layers"`
	MeanSteps metric.Value `json:"mean_steps"` // mean over layers and samples
	MaxSteps  metric.Value `json:"max_steps"`  // greatest
	Apart     metric.Value `json:"apart"`      // mean share of values more than a step apart
}

// Operators ranks the types of operators by how far emulation and simulation part, most first.
func Operators(run *result.Run, v *result.Variant) []Operator {
	type sum struct {
		layers              int
		mean, greatest, off float64
	}
	sums := map[string]*sum{}
	for k, l := range v.Layers {
		t := l.IsolatedEmulationError
		if t == nil || !t.Summary[metric.MeanSteps].Mean.OK {
			continue
		}
		op := run.Layers[k].Op
		if sums[op] == nil {
			sums[op] = &sum{}
		}
		s := sums[op]
		s.layers++
		s.mean += t.Summary[metric.MeanSteps].Mean.V
		s.greatest = max(s.greatest, t.Summary[metric.MaxSteps].Max.V)
		s.off += t.FractionOverOneStep.V
	}
	var list []Operator
	for op, s := range sums {
		n := float64(s.layers)
		list = append(list, Operator{op, s.layers, metric.Defined(s.mean / n), metric.Defined(s.greatest), metric.Defined(s.off / n)})
	}
	slices.SortFunc(list, func(a, b Operator) int {
		return cmp.Or(cmp.Compare(b.MeanSteps.V, a.MeanSteps.V), cmp.Compare(a.Op, b.Op))
	})
	return list
}
