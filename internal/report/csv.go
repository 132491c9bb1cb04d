// Package report draws a result: as CSV files, as JSON, as text for a terminal.
package report

import (
	"bytes"
	"io"
	"strconv"

	"quantcheck/internal/floatjson"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/sheet"
)

// Similarities writes a variant's layers as the seed's similarity file: its columns first, then ours. Numbers are means
// over the samples; for each metric its least, its greatest and its worst sample follow.
func Similarities(run *result.Run, v *result.Variant) []byte {
	header := []string{"Layer"}
	for _, info := range metric.All {
		header = append(header, info.Key)
	}
	header = append(header, "Status", "Reason", "Tensor", "Node", "Op", "Output", "Bits", "Scale", "Offset", "Min", "Max")
	header = append(header, "Local_share")
	for _, scope := range localScopes {
		for _, info := range metric.All {
			header = append(header, scope.prefix+info.Key)
		}
	}
	for _, info := range metric.All {
		header = append(header, info.Key+"_min", info.Key+"_max", info.Key+"_worst_sample")
	}
	if v.Emulator != nil {
		header = append(header, "On_CPU", "Twin_apart", "Local_twin_apart")
		for _, info := range metric.All {
			header = append(header, "Twin_"+info.Key)
		}
		for _, info := range metric.All {
			header = append(header, "Local_twin_"+info.Key)
		}
	}
	if v.Container != nil {
		header = append(header, "DLC_tensor", "Rule")
	}
	if v.Time != nil {
		header = append(header, "Estimated_cycles", "Estimated_share")
	}
	var b bytes.Buffer
	w := sheet.NewWriter(&b)
	_ = w.Write(header) // a buffer takes everything
	for k, layer := range run.Layers {
		l := &v.Layers[k]
		row := []string{layer.Clean}
		for i := range l.Summary {
			row = append(row, l.Summary[i].Mean.String())
		}
		row = append(row, string(l.Status), l.Reason, layer.Name, layer.Node, layer.Op, strconv.FormatBool(layer.Output))
		if e := l.Encoding; e != nil {
			f := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
			row = append(row, strconv.Itoa(e.Bits), f(e.Scale), strconv.Itoa(e.Offset), f(e.Min), f(e.Max))
		} else {
			row = append(row, "", "", "", "", "")
		}
		row = append(row, share(l))
		for _, scope := range localScopes {
			p := scope.of(l.Local)
			for i := range metric.Count {
				text := ""
				if p != nil {
					text = p.Summary[i].Mean.String()
				}
				row = append(row, text)
			}
		}
		for i := range l.Summary {
			s := l.Summary[i]
			worst := ""
			if l.HasMetrics() && s.Mean.OK && s.Worst >= 0 && s.Worst < len(run.Samples) {
				worst = run.Samples[s.Worst].Name
			}
			row = append(row, s.Min.String(), s.Max.String(), worst)
		}
		if v.Emulator != nil {
			row = append(row, strconv.FormatBool(l.OnCPU))
			row = append(row, twinColumns(l)...)
		}
		if v.Container != nil {
			row = append(row, l.Tap, l.Rule)
		}
		if v.Time != nil {
			row = append(row, timeColumns(v, l)...)
		}
		_ = w.Write(row)
	}
	_ = w.Flush()
	return b.Bytes()
}

// timeColumns are a layer's cycles and their share of the whole, empty where nothing is known.
func timeColumns(v *result.Variant, l *result.LayerResult) []string {
	if l.Cycles == nil {
		return []string{"", ""}
	}
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	return []string{f(*l.Cycles), f(*l.Cycles / float64(max(v.Time.Cycles, 1)))}
}

// localScopes are the parts of a local error, with the prefixes of their columns.
var localScopes = []struct {
	prefix string
	of     func(*result.Local) *result.Part
}{
	{"Local_", func(l *result.Local) *result.Part {
		if l == nil {
			return nil
		}
		return &l.Full
	}},
	{"Local_weights_", func(l *result.Local) *result.Part {
		if l == nil {
			return nil
		}
		return l.Weights
	}},
	{"Local_activations_", func(l *result.Local) *result.Part {
		if l == nil {
			return nil
		}
		return l.Acts
	}},
}

// twinColumns are a layer's emulation against its simulation, empty where there is none.
func twinColumns(l *result.LayerResult) []string {
	shares, metrics := make([]string, 2), make([]string, 2*metric.Count)
	for i, t := range []*result.EmulationError{l.EmulationError, l.IsolatedEmulationError} {
		if t == nil {
			continue
		}
		shares[i] = t.FractionOverOneStep.String()
		for m := range metric.Count {
			metrics[i*metric.Count+m] = t.Summary[m].Mean.String()
		}
	}
	return append(shares, metrics...)
}

func share(l *result.LayerResult) string {
	if l.Local == nil {
		return ""
	}
	return strconv.FormatFloat(l.Local.Share, 'g', -1, 64)
}

// JSON writes a result for machines; numbers that are none are null.
func JSON(w io.Writer, v any) error {
	text, err := floatjson.Text(v, " ")
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
