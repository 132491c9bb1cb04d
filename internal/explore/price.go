package explore

import (
	"context"
	"strings"

	"quantcheck/internal/estimator"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

// candidatePricer says what candidates cost, each as a whole: cycles by the HTP compiler's cost model, scaled to what was
// measured if there is a benchmark of the model, or bit-operations where the compiler is not there.
type candidatePricer struct {
	stage     *stage
	trials    *trials
	estimator *estimator.Estimator // nil: bit-operations
	scale     float64              // measured cycles for an estimated one; 0: nothing was measured
	known     map[string]*priced
}

type priced struct {
	Price     metric.Value           `json:"price"`
	Estimated *result.EstimatedPrice `json:"estimated,omitempty"`
	Layers    map[string]float64     `json:"layers,omitempty"` // cycles by operator
	Refused   int                    `json:"refused,omitempty"`
}

func (p *candidatePricer) estimates() bool { return p.estimator != nil }

func (p *candidatePricer) price(ctx context.Context, c candidate) (*priced, error) {
	c.spec.Engine = variant.HTP
	about := "bit-operations"
	if p.estimator != nil {
		about = p.estimator.Soc.Name
	}
	key, err := p.trials.key("price", c, about)
	if err != nil {
		return nil, err
	}
	got := p.known[key]
	if got == nil {
		got = &priced{}
		ok, err := p.trials.recall(ctx, key, got)
		if err != nil {
			return nil, err
		}
		if !ok {
			if got, err = p.find(ctx, c); err != nil {
				return nil, err
			}
			if err := p.trials.remember(ctx, key, "price", got); err != nil {
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

func (p *candidatePricer) find(ctx context.Context, c candidate) (*priced, error) {
	m, err := p.stage.build(c)
	if err != nil {
		return nil, err
	}
	if p.estimator == nil {
		return &priced{Price: metric.Defined(p.stage.bitOps(m))}, nil
	}
	e, err := p.estimator.Estimate(ctx, htp.Named(model.WithOutputTypes(m.model, p.stage.b.Float.Types)))
	if err != nil {
		return nil, err
	}
	got := &priced{Price: metric.Defined(float64(e.Cycles)), Refused: len(e.Refused), Layers: map[string]float64{}}
	got.Estimated = &result.EstimatedPrice{Cycles: e.Cycles, Lower: e.Lower, Upper: e.Upper, Microseconds: e.Microseconds, Converts: len(borders(m))}
	for _, l := range e.Layers {
		if !l.Added && l.Name != "" {
			got.Layers[l.Name] += l.Cycles
		}
	}
	return got, nil
}

// bitOps are the model's multiply-adds, each times the widths of both its factors.
func (s *stage) bitOps(m *built) float64 {
	ref := s.b.Float
	weights := map[string]int{}
	for _, p := range m.Params {
		weights[p.Tensor] = p.Encodings[0].Bits
	}
	const float = 16 // what is not quantized runs in half precision
	shapes := func(name string) ([]int64, bool) {
		if t, ok := ref.Types[name]; ok && t.Tensor && t.Shape != nil {
			return t.Shape, true
		}
		if t := ref.Index.Initializer[name]; t != nil {
			return t.GetDims(), true
		}
		return nil, false
	}
	sum := 0.0
	x := onnx.NewIndex(ref.Base)
	for _, n := range x.Nodes {
		macs := rewrite.MACs(n, shapes)
		if macs <= 0 {
			continue
		}
		factors := 1.0
		for _, in := range n.GetInput()[:2] {
			bits := float
			if w, ok := weights[in]; ok {
				bits = w
			} else if e, ok := m.Encodings[in]; ok {
				bits = e.Bits
			}
			factors *= float64(bits)
		}
		sum += float64(macs) * factors
	}
	return sum
}

// borders names the tensors that are converted from one width to another, each once for every place.
func borders(m *built) []string {
	var list []string
	for _, n := range m.model.Graph().GetNode() {
		if n.GetOpType() != "QuantizeLinear" || len(n.GetInput()) == 0 {
			continue
		}
		// A quantizer behind a dequantizer converts.
		from := n.GetInput()[0]
		if p, ok := producers(m)[from]; ok && p == "DequantizeLinear" {
			list = append(list, strings.TrimSuffix(n.GetName(), "_QuantizeLinear"))
		}
	}
	return list
}

func producers(m *built) map[string]string {
	if m.makers == nil {
		m.makers = map[string]string{}
		for _, n := range m.model.Graph().GetNode() {
			for _, out := range n.GetOutput() {
				m.makers[out] = n.GetOpType()
			}
		}
	}
	return m.makers
}
