// Package encodingsvariant builds variants of the float model with the encodings of a file.
package encodingsvariant

import (
	"context"
	"fmt"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/encodings"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// FromEncodings quantizes the float model with the encodings of a file.
type FromEncodings struct{}

// given is what such a variant is built from.
type given struct {
	encodings map[string]qdq.Given
	on        *encodings.Ground
}

// Read implements session.Builder: the file is read and held against the model before anything is calibrated.
func (FromEncodings) Read(_ context.Context, b *session.Session, v *session.Variant) error {
	f, err := inspect.ReadEncodings(v.Spec.File, Tensors(b.Float))
	if err != nil {
		return usage.Mark(fmt.Errorf("variant %s: %w", v.Spec.Name, err))
	}
	on := Ground(b.Float, f)
	var wrong []string
	counts := map[encodings.MisfitKind]int{}
	for _, m := range encodings.Fit(f, on) {
		if m.Kind.Refused() {
			wrong = append(wrong, m.Tensor+": "+m.Text)
		}
		counts[m.Kind]++
	}
	const most = 3
	if len(wrong) > 0 {
		more := ""
		if len(wrong) > most {
			more = fmt.Sprintf("; and %d more", len(wrong)-most)
		}
		return usage.Mark(fmt.Errorf("variant %s: %s does not fit the model: %s%s. quantcheck diff %s %s lists all", v.Spec.Name, v.Spec.File, strings.Join(wrong[:min(len(wrong), most)], "; "), more, b.Options.Model, v.Spec.File))
	}
	what := "stay float, as in the tool that made the encodings; a converter calibrates them"
	if session.Emulated(v.Spec) {
		what = "are calibrated as in w8a8, as converters do"
	}
	for _, said := range []struct {
		kind encodings.MisfitKind
		text string
	}{
		{encodings.Unknown, "%d entries are of tensors that the model does not have, and are not used"},
		{encodings.Lacking, "%d tensors that a device quantizes have no entry: they " + what},
		{encodings.Unshared, "%d places have encodings that differ where a device needs one"},
	} {
		if n := counts[said.kind]; n > 0 {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: "+said.text+" (quantcheck diff lists them)", v.Spec.Name, n))
		}
	}
	v.Source = given{encodings.Given(f, on), on}
	return nil
}

// Build implements session.Builder.
func (FromEncodings) Build(b *session.Session, v *session.Variant, stats *calib.Statistics) error {
	g, _ := v.Source.(given)
	observed := func(string, variant.Spec) (quant.Encoding, bool) { return quant.Encoding{}, false }
	if stats != nil {
		observed = stats.Activation
	}
	made, err := qdq.BuildGiven(g.on.Model, g.on.Placement, v.Spec.Engine, g.encodings, observed)
	if err != nil {
		return err
	}
	qdqvariant.TakeBuilt(b, v, made, made.Placement, g.on.Folded)
	given := func(name string) (quant.Encoding, bool) { e, ok := made.Encodings[name]; return e, ok }
	for k, l := range b.Float.Layers { // a range that stands for the activation behind it
		r := &v.Result.Layers[k]
		if r.Status != result.Compared || g.on.Placement.Tensors[l.Name].Role != qdq.Fused {
			continue
		}
		if into, clamped := align.Clamped(b.Float.Index, l.Name, given); clamped {
			*r = result.LayerResult{Status: result.Fused, Reason: align.CarriesEncodingOf(into)}
		}
	}
	return nil
}

// Tensors lists the names in a float model for which encodings may be given: of activations and of constants.
func Tensors(f *model.Float) []string {
	names := append([]string{}, f.Placement.Order...)
	for gone := range f.Folded {
		names = append(names, gone)
	}
	for _, t := range f.Model.Graph().GetInitializer() {
		names = append(names, t.GetName())
	}
	return names
}

// Ground is the form of a float model that a file's encodings are for: with batch normalizations folded, as converters do, unless the file has
// encodings for what that takes away.
func Ground(f *model.Float, file *encodings.File) *encodings.Ground {
	g := &encodings.Ground{Model: f.Base, Placement: f.Placement, Folded: f.Folded, Whole: f.Index}
	for name := range file.Tensors {
		_, gone := f.Folded[name]
		if gone || isOfNorm(f, name) {
			g.Model, g.Folded = f.Model, nil
			g.Placement = qdq.Find(f.Model, f.IsFloat)
			break
		}
	}
	return g
}

// isOfNorm says whether a constant is one of a batch normalization that is folded away.
func isOfNorm(f *model.Float, name string) bool {
	if f.Index.Initializer[name] == nil {
		return false
	}
	for _, k := range f.Index.Consumers[name] {
		n := f.Index.Nodes[k]
		if n.GetOpType() == "BatchNormalization" {
			if _, gone := f.Folded[n.GetInput()[0]]; gone {
				return true
			}
		}
	}
	return false
}
