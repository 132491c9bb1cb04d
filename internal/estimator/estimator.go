// Package estimator asks the HTP compiler's cost model about models, variants of them, and DLC files. Nothing is run on a device, and nothing is a
// measurement.
//
//  1. Open finds the chip and the compiler.
//  2. Estimate takes a model that is whole, Form a variant of a float model, which it builds as a device runs it, Container a DLC.
//
// The use cases estimate, optimize, lint, explore, compare and benchmark stand on it.
package estimator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/deployed"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
)

// Estimator asks the compiler.
type Estimator struct {
	Ort      ort.Engine
	Engine   htp.Engine
	Soc      htpcost.SoC
	Progress progress.Reporter
	Memory   int                          // MiB, for the calibration
	FloatIO  bool                         // inputs and outputs are float and in the model's order of axes; false: as a device takes them, see internal/deployed
	known    map[string]*result.Estimated // DLC files that were estimated already, by path
}

// Open makes an estimator for a chip ("": the default), which says nothing of its progress. The error is one of usage if no such chip is known,
// else what engines.HTP says.
func Open(engines session.Engines, chip string) (*Estimator, error) {
	soc, err := htpcost.Find(chip)
	if err != nil {
		return nil, usage.Mark(err)
	}
	engine, err := engines.HTP()
	if err != nil {
		return nil, err
	}
	return &Estimator{Ort: engines.ORT, Engine: engine, Soc: soc, Progress: progress.Silent{}}, nil
}

// Worthwhile is the share of the cycles that a change has to save to be advised; less is the compiler's whim.
const Worthwhile = 0.02

// NoAnswer says whether an error means that this model cannot be estimated, as others can: the HTP refuses it, or it ended the process of the
// compiler or of ONNX Runtime, or took too much memory or time.
func NoAnswer(err error) bool {
	var refused *htp.RefusedError
	return errors.As(err, &refused) || htp.Failed(err) || ort.Failed(err)
}

// Estimate asks the compiler about a model that is whole, in the form in which it runs on a device, unless FloatIO is set. What the HTP refuses is left
// out and named.
func (e *Estimator) Estimate(ctx context.Context, m *onnx.Model) (*result.Estimated, error) {
	x := &result.Estimated{Covered: 1, IO: result.NativeIO}
	o := htp.EstimateOptions{SoC: e.Soc}
	types, err := ort.Types(e.Ort, m)
	if err != nil {
		return nil, err
	}
	asked := model.WithOutputTypes(m, types)
	if e.FloatIO {
		x.IO, x.Ports = result.FloatIO, deployed.AsItIs(asked)
		asked = m
	} else if asked, x.Ports, err = deployed.Form(asked); err != nil {
		return nil, err
	}
	x.MACs = model.MACs(m, types)
	c, err := e.Engine.Estimate(ctx, asked, o)
	var refused *htp.RefusedError
	if errors.As(err, &refused) || errors.Is(err, htp.ErrDivided) {
		c, err = e.parts(ctx, m, asked, o, x)
	}
	if err != nil {
		return nil, err
	}
	x.Estimate = c
	return x, nil
}

// parts estimates what the HTP takes of a model, in the form that is asked about.
func (e *Estimator) parts(ctx context.Context, m, asked *onnx.Model, o htp.EstimateOptions, x *result.Estimated) (*htpcost.Estimate, error) {
	parts, refused, err := e.Engine.EstimateParts(ctx, asked, o)
	var still *htp.RefusedError
	if errors.As(err, &still) {
		o.Plain = true
		parts, refused, err = e.Engine.EstimateParts(ctx, asked, o)
	}
	if errors.As(err, &still) {
		return nil, nothingLeft(still.Refused)
	}
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, r := range refused {
		if model.Quantizer(r.Op) {
			continue // it goes with its operator
		}
		x.Refused = append(x.Refused, fmt.Sprintf("%s (%s): %s", r.Node, r.Op, r.Reason))
		names[r.Node] = true
	}
	if len(parts) == 0 {
		return nil, nothingLeft(refused)
	}
	all, left := 0, 0
	for _, n := range m.Graph().GetNode() {
		_, inner := onnx.Branching(n) // what is in the bodies of control flow goes with its node
		switch op := n.GetOpType(); {
		case model.Quantizer(op) || op == "Constant":
		case names[n.GetName()]:
			all, left = all+1+inner, left+1+inner
		default:
			all += 1 + inner
		}
	}
	x.Covered = 1 - float64(left)/float64(max(all, 1))
	return htpcost.Join(parts), nil
}

// nothingLeft names the operators that keep a model from being estimated.
func nothingLeft(refused []htp.Refusal) error {
	const most = 5
	var list []string
	for i, r := range refused {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(refused)-most))
			break
		}
		list = append(list, fmt.Sprintf("%s (%s): %s", r.Node, r.Op, r.Reason))
	}
	return fmt.Errorf("the HTP refuses %d operators, and nothing of the rest can be estimated: %s", len(refused), strings.Join(list, "; "))
}
