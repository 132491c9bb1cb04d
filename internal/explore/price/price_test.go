package price

import (
	"context"
	"errors"
	"testing"

	"quantcheck/internal/explore/build"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// invented builds empty models, and knows what they cost: 1,000 cycles at 8 bits, 3,000 at 16.
type invented struct {
	bits   int // of the last candidate
	built  int
	fails  error
	priced int
}

func (b *invented) Build(c candidate.Candidate) (*build.Built, error) {
	b.built++
	b.bits = c.Spec.ActBits
	if c.Spec.Engine != variant.HTP {
		return nil, errors.New("it is not the model of a device")
	}
	return &build.Built{Model: &onnx.Model{Proto: &onnxpb.ModelProto{Graph: &onnxpb.GraphProto{}}}}, nil
}

func (b *invented) Complete(m *onnx.Model) *onnx.Model { return m }

func (b *invented) BitOps(*build.Built) float64 { return 64 * float64(b.bits) }

func (b *invented) Estimate(context.Context, *onnx.Model) (*result.Estimated, error) {
	b.priced++
	if b.fails != nil {
		return nil, b.fails
	}
	cycles := int64(1000 * (b.bits/4 - 1))
	return &result.Estimated{Refused: []string{"r"}, Estimate: &htpcost.Estimate{Figures: htpcost.Figures{Cycles: cycles}, Layers: []htpcost.Layer{
		{Name: "conv", Work: htpcost.Work{Cycles: 400}}, {Name: "conv", Work: htpcost.Work{Cycles: 200}}, {Name: "added", Added: true, Work: htpcost.Work{Cycles: 7}},
	}}}, nil
}

func recipe(bits int) candidate.Candidate {
	return candidate.Of(variant.Spec{Name: "x", Kind: variant.Recipe, ActBits: bits}, nil)
}

func TestAPriceIsFoundOnceAndScaled(t *testing.T) {
	t.Parallel()
	c, err := cache.New(nil, "model")
	if err != nil {
		t.Fatal(err)
	}
	b := &invented{}
	p := New(b, c, b, "chip")
	for _, scale := range []float64{0, 0, 1.5} {
		p.Scale(scale)
		got, err := p.Price(t.Context(), recipe(8))
		want := 1000.0
		if scale > 0 {
			want *= scale
		}
		if err != nil || got.Price.V != want || got.Refused != 1 || got.Layers["conv"] != 600 || len(got.Layers) != 1 || got.Estimated.Cycles != 1000 {
			t.Errorf("%+v %v, want %g", got, err, want)
		}
	}
	if _, err := p.Price(t.Context(), recipe(8).On(variant.HTP)); err != nil || b.priced != 1 {
		t.Errorf("it was priced %d times: %v", b.priced, err)
	}
	if got, err := p.Price(t.Context(), recipe(16)); err != nil || got.Price.V != 4500 || !p.Estimates() {
		t.Errorf("%+v %v", got, err)
	}
	b.fails = errors.New("no")
	if _, err := p.Price(t.Context(), recipe(12)); !errors.Is(err, b.fails) {
		t.Errorf("%v", err)
	}
}

func TestWithoutACompilerPricesAreBitOperations(t *testing.T) {
	t.Parallel()
	c, err := cache.New(nil, "model")
	if err != nil {
		t.Fatal(err)
	}
	p := New(&invented{}, c, nil, "")
	if got, err := p.Price(t.Context(), recipe(8)); err != nil || got.Price.V != 512 || got.Estimated != nil || p.Estimates() {
		t.Errorf("%+v %v", got, err)
	}
}
