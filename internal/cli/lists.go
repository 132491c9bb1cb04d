package cli

import (
	"strings"

	"github.com/alecthomas/kong"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/device/dial"
	"quantcheck/internal/encodings"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/snpe"
	"quantcheck/internal/variant"
)

// lists are what help texts name as ${…}: each is made of the registry of what it lists.
func lists() kong.Vars {
	var gates, decoders, socs, raw []string
	for _, m := range metric.Gates() {
		name, _, _ := strings.Cut(m.Gate, "=")
		gates = append(gates, m.Key+" ("+name+"=)")
	}
	for _, t := range rawTypes {
		raw = append(raw, t.word)
	}
	for _, d := range decode.All {
		decoders = append(decoders, d.Name)
	}
	for _, s := range htpcost.SoCs {
		socs = append(socs, s.Name)
	}
	words := func(list []dataset.Word) string { return strings.Join(dataset.Names(list), "|") }
	return kong.Vars{
		"gates": either(gates), "options": variant.OptionsHelp(), "decoders": strings.Join(decoders, ", "), "tasks": either(texts(result.Tasks)),
		"socs": either(socs), "soc": socs[0], "steps": strings.Join(texts(result.Steps), ", "),
		"encodings_versions": either(encodings.Versions), "encodings": encodings.Versions[0],
		"doubtful": and(rewrite.Doubtful()), "raw_types": strings.Join(raw, ", "), "devices": dial.Forms(), "runtimes": strings.Join(snpe.RuntimeNames, ", "),
		"colours": words(dataset.Colours), "resizes": words(dataset.Resizes), "pad_positions": words(dataset.PadPositions), "layouts": words(dataset.Layouts),
	}
}

// texts are names of any type as strings.
func texts[T ~string](list []T) []string {
	var all []string
	for _, t := range list {
		all = append(all, string(t))
	}
	return all
}

// either writes a list with its commas and an or.
func either(list []string) string { return listed(list, "or") }

// and writes a list with its commas and an and.
func and(list []string) string { return listed(list, "and") }

func listed(list []string, word string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " " + word + " " + list[len(list)-1]
}
