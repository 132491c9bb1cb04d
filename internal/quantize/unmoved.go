package quantize

import (
	"fmt"

	"quantcheck/internal/encodings"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/session"
)

// unmoved writes the encodings in every format, reads them, and quantizes the constants of the healed float model by what was read, as a
// converter does. The error names the first constant of which a value moves.
func (q *Result) unmoved(b *session.Session, progress progress.Reporter) error {
	x := onnx.NewIndex(q.Float)
	for k, version := range encodings.Versions {
		data, err := encodings.Write(version, q.Run.Layers, &q.Run.Variants[0])
		if err != nil {
			return err
		}
		f, err := encodings.Parse(data)
		if err != nil {
			return fmt.Errorf("encodings %s: %w", version, err)
		}
		given := encodings.Given(f, &encodings.Ground{Model: q.Float, Placement: b.Float.Placement, Folded: b.Float.Folded, Whole: b.Float.Index})
		for _, p := range b.Float.Placement.Params {
			name := x.Nodes[p.Node].GetInput()[p.Input]
			g, ok := given[name]
			checked := p.Role == qdq.Weight || p.Role == qdq.Bias && q.Run.Variants[0].Spec.BiasBits == 32
			if !ok || !checked || len(x.Consumers[name]) > 1 {
				continue
			}
			values, err := q.Float.Tensor(x.Initializer[name])
			if err != nil {
				return err
			}
			moved, err := g.Moved(values, p.Axis)
			if err == nil && moved > 0 {
				err = fmt.Errorf("%d of %d values move", moved, len(values.F32))
			}
			if err != nil {
				return fmt.Errorf("the healed constant %s does not lie on the grid of its encoding (%s), so nothing was written: %w", name, version, err)
			}
		}
		progress.Step(k + 1)
	}
	return nil
}
