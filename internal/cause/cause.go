// Package cause says why a variant is not float: All lists the causes, one per file or group, each with its evidence, how sure it is, and
// what to do about it. Find asks them all; it runs nothing.
package cause

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"quantcheck/internal/device"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

// Cause is a kind of reasons.
type Cause struct {
	Kind  string
	Title string // in a line, for docs
	// Evidence says what is looked for, Remedy what helps, for docs.
	Evidence, Remedy string

	find func(f *Facts) []result.Cause
}

// All lists the causes; where two are equally sure, the first one leads.
var All = []Cause{
	nanConstant, nanSource, alreadyQuantized, inputDenied, partlyQuantized, halfOverflow, narrowCalibration, fusedRange, hugeConstant, unlikeRanges, engineError, clippedConstant, widthsMeet,
	unlikeChannels, steepActivation, outlierValues, fewBits,
}

// Facts are what a cause is found in. Run and Variant are concluded: summaries, verdict and local errors are there.
type Facts struct {
	Run     *result.Run
	Variant *result.Variant
	Model   *onnx.Model // the float model as variants are built from it: with batch normalizations folded
	Index   *onnx.Index // of it
}

// constant gives the values of a constant of the float model; ok is false if it is none, or holds no real numbers.
func (f *Facts) constant(name string) (t tensor.Tensor, ok bool) {
	p := f.Index.Initializer[name]
	if p == nil || !tensor.DType(p.GetDataType()).IsFloat() {
		return tensor.Tensor{}, false
	}
	t, err := f.Model.Tensor(p)
	if err != nil {
		return tensor.Tensor{}, false
	}
	values, ok := t.AsFloat32()
	return tensor.Floats(values, t.Shape...), ok
}

// sure is from which confidence on a cause leaves no room for guesses.
const sure = 0.9

// Find gives the causes of what a variant loses, the surest first; none if it is good and all of the model is quantized.
func Find(f *Facts) []result.Cause {
	v := f.Variant.Verdict
	if v == nil {
		return nil
	}
	var list []result.Cause
	for i := range All {
		for _, c := range All[i].find(f) {
			c.Kind = All[i].Kind
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b result.Cause) int { return cmp.Compare(b.Confidence, a.Confidence) })
	if len(list) > 0 && list[0].Confidence >= sure { // what is only likely would mislead beside it
		list = slices.DeleteFunc(list, func(c result.Cause) bool { return c.Confidence < 0.5 })
	}
	return list
}

// loses says whether the variant is worse than good.
func (f *Facts) loses() bool {
	g := f.Variant.Verdict.Grade
	return g != result.Good
}

// recipe says whether the variant is one that quantcheck quantizes, so that another recipe can be tried.
func (f *Facts) recipe() bool { return f.Variant.Spec.Kind == variant.Recipe }

// command is a command line that does a fix: the verb, the model of the run, arguments, and the description of the input. A shell reads it as it
// stands; words in capitals are the user's to fill in.
func (f *Facts) command(verb string, args ...string) string {
	spec := &f.Run.Spec
	words := slices.Concat([]string{"quantcheck", verb, spec.Model}, args, spec.Input.Flags())
	for i, w := range words {
		words[i] = quoted(w)
	}
	return strings.Join(words, " ")
}

func quoted(word string) string {
	if word == "" || strings.ContainsFunc(word, needsQuotes) {
		return device.Quote(word)
	}
	return word
}

// beside is the name of a file in the working folder for what is made of the run's model.
func (f *Facts) beside(what string) string {
	return strings.TrimSuffix(filepath.Base(f.Run.Spec.Model), filepath.Ext(f.Run.Spec.Model)) + "-" + what + ".onnx"
}

// needsQuotes says whether a shell may read a character as more than itself.
func needsQuotes(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./,:=@%+", r)
}

// rewritten is the command that applies a pass, proved on the run's samples; the rewritten model goes
// into the working folder.
func (f *Facts) rewritten(pass string) string {
	return f.command("optimize", "-o", f.beside(pass), "--pass", pass, "--verify-on", f.Run.Spec.Images)
}

// sqnr is a layer's mean SQNR over the samples, dB.
func sqnr(s result.Summary) metric.Value { return s[metric.SQNR].Mean }

// worst is the part of an output that is furthest from float.
func (f *Facts) worst() *result.OutputPart { return verdict.Worst(f.Variant.Verdict) }
