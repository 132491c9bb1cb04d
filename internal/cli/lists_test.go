package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/encodings"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
	"quantcheck/internal/variant"
)

// What a command takes by name is named by its help, and by the error about a name that it does not take.
func TestHelpAndErrorsNameEveryEntry(t *testing.T) {
	t.Parallel()
	said := func(args ...string) []string {
		var out, errs bytes.Buffer
		Run(t.Context(), args, strings.NewReader(""), &out, &errs)
		return strings.FieldsFunc(out.String()+errs.String(), func(r rune) bool { return strings.ContainsRune(" \n,|;()[]=\"", r) })
	}
	var gates, decoders, socs, words []string
	for _, m := range metric.Gates() {
		name, _, _ := strings.Cut(m.Gate, "=")
		gates = append(gates, name)
	}
	for _, d := range decode.All {
		decoders = append(decoders, d.Name)
	}
	for _, s := range htpcost.SoCs {
		socs = append(socs, s.Name)
	}
	for _, list := range [][]dataset.Word{dataset.Colours, dataset.Resizes, dataset.PadPositions, dataset.Layouts} {
		words = append(words, dataset.Names(list)...)
	}
	for _, c := range []struct {
		args []string
		name []string
	}{
		{[]string{"check", "--help"}, slices.Concat(variant.Options(), gates, words)},
		{[]string{"check", "m.onnx", "--images", "x", "--fail-under", "x=1"}, gates},
		{[]string{"eval", "--help"}, slices.Concat(texts(result.Tasks), decoders)},
		{[]string{"explore", "--help"}, texts(result.Tasks)},
		{[]string{"estimate", "--help"}, socs},
		{[]string{"benchmark", "--help"}, slices.Concat(texts(result.Steps), snpe.RuntimeNames)},
		{[]string{"benchmark", "--runtime", "x"}, snpe.RuntimeNames},
		{[]string{"quantize", "--help"}, encodings.Versions},
		{[]string{"raw", "--help"}, []string{"u8", "u16", "fp16", "f32"}},
	} {
		got := said(c.args...)
		for _, name := range c.name {
			if !slices.Contains(got, strings.TrimSuffix(name, ".")) && !slices.Contains(got, name+".") {
				t.Errorf("%v does not name %s: %v", c.args, name, got)
			}
		}
	}
}
