// Package price says what candidates cost, each as a whole: cycles by the HTP compiler's cost model, scaled to what was measured if there is a
// benchmark of the model, or bit-operations where the compiler is not there.
package price

import (
	"context"

	"quantcheck/internal/explore/build"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

// Compiler says what a model is expected to cost; estimator.Estimator is the one that asks the HTP's.
type Compiler interface {
	Estimate(ctx context.Context, m *onnx.Model) (*result.Estimated, error)
}

// Builder makes the models of candidates; build.Builder is the one that does.
type Builder interface {
	Build(c candidate.Candidate) (*build.Built, error)
	Complete(m *onnx.Model) *onnx.Model
	BitOps(m *build.Built) float64
}

// Prices asks for prices and remembers them. It is not safe for concurrent use.
type Prices struct {
	builder  Builder
	cache    *cache.Cache
	compiler Compiler // nil: bit-operations
	chip     string   // that the compiler compiles for
	scale    float64  // measured cycles for an estimated one; 0: nothing was measured
	known    map[string]*candidate.Price
}

// New makes prices of what a builder makes, of a compiler for a chip; without a compiler (nil) they are bit-operations.
func New(b Builder, c *cache.Cache, compiler Compiler, chip string) *Prices {
	return &Prices{builder: b, cache: c, compiler: compiler, chip: chip, known: map[string]*candidate.Price{}}
}

// Estimates says whether prices are the compiler's.
func (p *Prices) Estimates() bool { return p.compiler != nil }

// Scale multiplies prices from now on: by measured cycles for an estimated one.
func (p *Prices) Scale(factor float64) { p.scale = factor }

// Price gives a candidate's price, whatever engine would score it.
func (p *Prices) Price(ctx context.Context, c candidate.Candidate) (*candidate.Price, error) {
	c.Spec.Engine = variant.HTP
	about := "bit-operations"
	if p.compiler != nil {
		about = p.chip
	}
	key, err := p.cache.Key("price", c, about)
	if err != nil {
		return nil, err
	}
	got := p.known[key]
	if got == nil {
		got = &candidate.Price{}
		ok, err := p.cache.Recall(ctx, key, got)
		if err != nil {
			return nil, err
		}
		if !ok {
			if got, err = p.find(ctx, c); err != nil {
				return nil, err
			}
			if err := p.cache.Remember(ctx, key, "price", got); err != nil {
				return nil, err
			}
		}
		p.known[key] = got
	}
	scaled := *got
	if p.scale > 0 && scaled.Price.OK {
		scaled.Price.V *= p.scale
	}
	return &scaled, nil
}

func (p *Prices) find(ctx context.Context, c candidate.Candidate) (*candidate.Price, error) {
	m, err := p.builder.Build(c)
	if err != nil {
		return nil, err
	}
	if p.compiler == nil {
		return &candidate.Price{Price: metric.Defined(p.builder.BitOps(m))}, nil
	}
	e, err := p.compiler.Estimate(ctx, htp.Named(p.builder.Complete(m.Model)))
	if err != nil {
		return nil, err
	}
	got := &candidate.Price{Price: metric.Defined(float64(e.Cycles)), Refused: len(e.Refused), Layers: map[string]float64{}}
	got.Estimated = &result.EstimatedPrice{Cycles: e.Cycles, Lower: e.Lower, Upper: e.Upper, Microseconds: e.Microseconds, Converts: len(m.Conversions())}
	for _, l := range e.Layers {
		if !l.Added && l.Name != "" {
			got.Layers[l.Name] += l.Cycles
		}
	}
	return got, nil
}
