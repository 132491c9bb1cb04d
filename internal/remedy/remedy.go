// Package remedy is the part of quantcheck check that tries what its causes propose: a fix is applied to a copy and measured on a few samples,
// beside the variant as it is on the same samples.
//
// Try is called with a concluded run. It fills Fix.Tried of the leading causes; an attempt that fails is noted there and ends nothing.
package remedy

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quantcheck/internal/compare"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
	"quantcheck/internal/session"
	"quantcheck/internal/verdict"
)

// The bounds of trying. A check must not take much longer for it.
const (
	most   = 4    // samples that a fix is measured on: an eighth of the check's, two at least
	each   = 3    // fixes of one variant
	part   = 0.25 // of the time of the check itself, within which a try must be expected to end
	always = 2 * time.Second
)

// Measure compares variants of a model as check does; it is compare.Run, or a fake in tests.
type Measure func(ctx context.Context, spec result.CheckSpec) (*result.Run, error)

// Rewrite applies passes to a model and writes the result to a file; it is optimize.Run, or a fake in tests.
type Rewrite func(ctx context.Context, spec result.CheckSpec, passes []string, to string) error

// Tries applies fixes.
type Tries struct {
	Measure Measure
	Rewrite Rewrite
	Now     func() time.Time
}

// New makes Tries with the engines of a check.
func New(engines session.Engines) *Tries {
	return &Tries{
		Measure: func(ctx context.Context, spec result.CheckSpec) (*result.Run, error) {
			return compare.Run(ctx, engines, spec, progress.Silent{}, nil, nil)
		},
		Rewrite: func(ctx context.Context, spec result.CheckSpec, passes []string, to string) error {
			r, err := optimize.Run(ctx, engines, optimize.Spec{Model: spec.Model, Passes: passes, Images: spec.Images, Limit: 2, Input: spec.Input}, progress.Silent{})
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(passes, r.Applied) {
				return fmt.Errorf("the passes %v change nothing here", passes)
			}
			return onnx.Save(r.Model, to)
		},
		Now: time.Now,
	}
}

// Try tries the fixes of a run's causes, the surest first, until one helps. The error is the context's.
func (t *Tries) Try(ctx context.Context, spec result.CheckSpec, run *result.Run, report progress.Reporter) error {
	begun := t.Now()
	bound := max(time.Duration(part*run.Seconds*float64(time.Second)), always)
	few := min(max(len(run.Samples)/8, 2), most)
	expected := expect(run, few)
	todo := 0
	for i := range run.Variants {
		todo += len(fixes(&run.Variants[i]))
	}
	if todo == 0 {
		return nil
	}
	report.Phase("trying fixes", todo)
	done := 0
	for i := range run.Variants {
		v := &run.Variants[i]
		for _, c := range fixes(v) {
			if err := ctx.Err(); err != nil {
				return err
			}
			done++
			if t.Now().Sub(begun)+expected > bound {
				c.Fix.Tried = &result.Try{Failed: "no time was left for it"}
				continue
			}
			try := t.one(ctx, spec, few, v, &c.Fix)
			expected = time.Duration(try.Seconds * float64(time.Second))
			if err := ctx.Err(); err != nil {
				return err
			}
			c.Fix.Tried = try
			report.Step(done)
			if try.Helps {
				break
			}
		}
	}
	return nil
}

// expect is how long the first try will take: half of an inference's share of the check (the other half were calibration and local errors) for
// calibrating and comparing three models, and ten milliseconds a layer for compiling them.
func expect(run *result.Run, few int) time.Duration {
	inferences := max(len(run.Samples), 1) * (1 + len(run.Variants))
	return time.Duration(run.Seconds/float64(2*inferences)*float64(few*2*3)*float64(time.Second)) + time.Duration(len(run.Layers))*10*time.Millisecond
}

// fixes lists the causes of a variant that have a fix to try.
func fixes(v *result.Variant) []*result.Cause {
	if v.Verdict == nil || v.Verdict.Grade == result.Good || v.Spec.Text() == "" {
		return nil
	}
	var list []*result.Cause
	for i := range v.Verdict.Causes {
		if c := &v.Verdict.Causes[i]; len(list) < each && (c.Fix.Variant != "" || len(c.Fix.Passes) > 0) {
			list = append(list, c)
		}
	}
	return list
}

// one applies a fix and measures it.
func (t *Tries) one(ctx context.Context, spec result.CheckSpec, few int, v *result.Variant, fix *result.Fix) *result.Try {
	begun := t.Now()
	try := &result.Try{}
	before, after, err := t.measure(ctx, spec, few, v, fix)
	try.Seconds = t.Now().Sub(begun).Seconds()
	if err != nil {
		try.Failed = err.Error()
		return try
	}
	try.Samples = len(before.samples)
	weigh(try, before.verdict, after.verdict)
	return try
}

// measured is a verdict on a few samples.
type measured struct {
	verdict *result.Verdict
	samples []result.Sample
}

// measure gives the verdicts of a variant on a few samples as it is and with a fix.
func (t *Tries) measure(ctx context.Context, spec result.CheckSpec, samples int, v *result.Variant, fix *result.Fix) (before, after measured, err error) {
	few := spec
	few.Limit, few.LocalSamples, few.SaveTensors, few.SaveModel, few.Encodings, few.FailUnder = samples, 0, false, false, "", nil
	never := false
	few.Estimate = &never
	own := v.Spec.Text()
	few.Variants = []string{own}
	other := few
	switch {
	case len(fix.Passes) > 0:
		folder, err := scratch.Folder("", "remedy")
		if err != nil {
			return before, after, err
		}
		defer func() { _ = os.RemoveAll(folder) }() // it is a folder of temporary files
		other.Model = filepath.Join(folder, "model.onnx")
		if err := t.Rewrite(ctx, spec, fix.Passes, other.Model); err != nil {
			return before, after, err
		}
	case fix.Variant == own: // the same recipe, calibrated on what is compared
		other.Calib = ""
	default:
		few.Variants = []string{own, fix.Variant}
	}
	run, err := t.Measure(ctx, few)
	if err != nil {
		return before, after, err
	}
	before = of(run, 0)
	if len(few.Variants) == 2 {
		return before, of(run, 1), nil
	}
	if run, err = t.Measure(ctx, other); err != nil {
		return before, after, err
	}
	return before, of(run, 0), nil
}

func of(run *result.Run, i int) measured { return measured{run.Variants[i].Verdict, run.Samples} }

// A fix helps if it keeps so much more of the decisions, or so many dB more.
const (
	moreKept = 0.05
	moreDB   = 3
)

// weigh compares two verdicts by the kind of decision that is kept least, or by the worst part's worst sample.
func weigh(try *result.Try, before, after *result.Verdict) {
	if before == nil || after == nil {
		try.Failed = "there is no verdict"
		return
	}
	worst := -1
	for i := range before.Decisions {
		if worst < 0 || share(&before.Decisions[i]) < share(&before.Decisions[worst]) {
			worst = i
		}
	}
	if worst >= 0 {
		kind := before.Decisions[worst].Kind
		if k := slices.IndexFunc(after.Decisions, func(d result.Decision) bool { return d.Kind == kind }); k >= 0 {
			try.What = kind
			try.Before, try.After = before.Decisions[worst].Share(), after.Decisions[k].Share()
			try.Helps = try.After.V > try.Before.V+moreKept
			return
		}
	}
	p, q := verdict.Worst(before), verdict.Worst(after)
	if p == nil || q == nil {
		try.Failed = "no output could be compared"
		return
	}
	try.What = "SQNR"
	try.Before, try.After = p.SQNR.Min, q.SQNR.Min
	try.Helps = math.IsInf(q.SQNR.Min.V, 1) || q.SQNR.Min.V > p.SQNR.Min.V+moreDB
}

func share(d *result.Decision) float64 { return d.Share().V }
