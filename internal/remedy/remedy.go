// Package remedy is the part of quantcheck check that tries what its causes propose: a fix is applied to a copy and measured on a few samples,
// beside the variant as it is on the same samples.
//
// Try is called with a concluded run and the bench that it leaves. It fills Fix.Tried of the leading causes; an attempt that fails is noted
// there and ends nothing.
package remedy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/compare"
	"quantcheck/internal/compare/brief"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

// The bounds of trying. A check must not take much longer for it.
const (
	most   = 4    // samples that a fix is measured on: an eighth of the check's, two at least
	each   = 3    // fixes of one variant
	part   = 0.25 // of the time of the check itself, within which a try must be expected to end
	always = 2 * time.Second
)

// Bench judges variants of a model by its outputs; it is a *brief.Bench, or a fake in tests.
type Bench interface {
	Judge(ctx context.Context, q brief.Question) (*brief.Answer, error)
}

// Rewrite applies passes to a request's model and gives a bench of what comes out, on its first samples. done frees it.
type Rewrite func(ctx context.Context, spec result.CheckSpec, passes []string) (bench Bench, done func(), err error)

// Tries applies fixes.
type Tries struct {
	Rewrite Rewrite
	Now     func() time.Time
}

// New makes Tries with the engines of a check.
func New(engines session.Engines) *Tries {
	return &Tries{Rewrite: rewriting(engines), Now: time.Now}
}

// errNoPlace is a fix that does not apply to this model.
var errNoPlace = errors.New("the pass changes nothing in this model")

// rewriting rewrites models as quantcheck optimize does.
func rewriting(engines session.Engines) Rewrite {
	return func(ctx context.Context, spec result.CheckSpec, passes []string) (Bench, func(), error) {
		r, err := optimize.Run(ctx, engines, optimize.Spec{Model: spec.Model, Passes: passes, Images: spec.Images, Limit: 2, Input: spec.Input}, progress.Silent{})
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(passes, r.Applied) {
			why := ""
			for _, p := range r.Passes {
				if p.Undone != "" {
					why = ": " + p.Undone
				} else if len(p.Left) > 0 {
					why = ": " + p.Left[0]
				}
			}
			return nil, nil, fmt.Errorf("%w (%s)%s", errNoPlace, strings.Join(passes, ", "), why)
		}
		folder, err := scratch.Folder("", "remedy")
		if err != nil {
			return nil, nil, err
		}
		done := func() { _ = os.RemoveAll(folder) } // it is a folder of temporary files
		spec.Model = filepath.Join(folder, "model.onnx")
		if err = onnx.Save(r.Model, spec.Model); err == nil {
			var bench *brief.Bench
			if bench, err = compare.Bench(ctx, engines, spec); err == nil {
				return bench, done, nil
			}
		}
		done()
		return nil, nil, err
	}
}

// trial is what the tries of one check share.
type trial struct {
	*Tries
	spec    result.CheckSpec
	bench   Bench
	samples int
	needed  []variant.Spec           // all that is to be judged of the model as it is
	before  map[string]*brief.Answer // by recipe: as it is
}

// Try tries the fixes of a run's causes, the surest first, until one helps. bench is of the run's model and samples. The error is the context's.
func (t *Tries) Try(ctx context.Context, spec result.CheckSpec, run *result.Run, bench Bench, report progress.Reporter) error {
	begun := t.Now()
	bound := max(time.Duration(part*run.Seconds*float64(time.Second)), always)
	now := &trial{Tries: t, spec: spec, bench: bench, samples: min(max(len(run.Samples)/8, 2), most), before: map[string]*brief.Answer{}}
	todo := 0
	for i := range run.Variants {
		for _, c := range fixes(run, &run.Variants[i]) {
			todo++
			now.need(&run.Variants[i], &c.Fix)
		}
	}
	if todo == 0 {
		return nil
	}
	expected := expect(run, now.samples)
	report.Phase("trying fixes", todo)
	done := 0
	for i := range run.Variants {
		v := &run.Variants[i]
		for _, c := range fixes(run, v) {
			if err := ctx.Err(); err != nil {
				return err
			}
			done++
			if heals(c.Fix.Variant) {
				c.Fix.Tried = &result.Try{Failed: "healing takes longer than a try may"}
				continue
			}
			if t.Now().Sub(begun)+expected > bound {
				c.Fix.Tried = &result.Try{Failed: "it would take more than a quarter of the check's time"}
				continue
			}
			try := now.one(ctx, v, &c.Fix)
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
// calibrating and running two models, and four milliseconds a layer for building and compiling them.
func expect(run *result.Run, few int) time.Duration {
	inferences := max(len(run.Samples), 1) * (1 + len(run.Variants))
	return time.Duration(run.Seconds/float64(2*inferences)*float64(few*3)*float64(time.Second)) + time.Duration(len(run.Layers))*4*time.Millisecond
}

// heals says whether a recipe's weights are healed.
func heals(recipe string) bool {
	spec, err := variant.Parse(recipe)
	return recipe != "" && err == nil && spec.Heal
}

// fixes lists the causes of a variant that have a fix to try. A recipe that stands in the run is measured already.
func fixes(run *result.Run, v *result.Variant) []*result.Cause {
	if v.Verdict == nil || v.Verdict.Grade == result.Good || v.Spec.Text() == "" || v.Spec.Heal { // on a few samples other weights would heal
		return nil
	}
	var list []*result.Cause
	for i := range v.Verdict.Causes {
		c := &v.Verdict.Causes[i]
		there := slices.ContainsFunc(run.Variants, func(o result.Variant) bool {
			return o.Spec.Text() == c.Fix.Variant && c.Fix.Variant != v.Spec.Text()
		})
		if len(list) < each && !there && (c.Fix.Variant != "" || len(c.Fix.Passes) > 0) {
			list = append(list, c)
		}
	}
	return list
}

// need notes what a fix will ask of the model as it is.
func (t *trial) need(v *result.Variant, fix *result.Fix) {
	for _, text := range []string{v.Spec.Text(), fix.Variant} {
		if heals(text) {
			continue
		}
		if spec, err := variant.Parse(text); text != "" && err == nil {
			t.needed = append(t.needed, spec)
		}
	}
}

// one applies a fix and measures it.
func (t *trial) one(ctx context.Context, v *result.Variant, fix *result.Fix) *result.Try {
	begun := t.Now()
	try := &result.Try{}
	before, after, err := t.measure(ctx, v, fix)
	try.Seconds = t.Now().Sub(begun).Seconds()
	if err != nil {
		if try.Failed = err.Error(); errors.Is(err, errNoPlace) {
			fix.Command = "" // it would change nothing
		}
		return try
	}
	try.Samples = before.Samples
	weigh(try, before.Verdict, after.Verdict, v.Verdict)
	return try
}

// measure gives the verdicts of a variant on a few samples as it is and with a fix.
func (t *trial) measure(ctx context.Context, v *result.Variant, fix *result.Fix) (before, after *brief.Answer, err error) {
	own, err := variant.Parse(v.Spec.Text())
	if err != nil {
		return nil, nil, err
	}
	question := brief.Question{Variant: own, Samples: t.samples, Also: t.needed}
	if before = t.before[own.Text()]; before == nil {
		if before, err = t.bench.Judge(ctx, question); err != nil {
			return nil, nil, err
		}
		t.before[own.Text()] = before
	}
	bench := t.bench
	switch {
	case len(fix.Passes) > 0:
		few := t.spec
		few.Limit, few.Variants, few.SaveTensors, few.LocalSamples = t.samples, []string{own.Text()}, false, 0
		rewritten, done, err := t.Rewrite(ctx, few, fix.Passes)
		if err != nil {
			return nil, nil, err
		}
		defer done()
		bench, question.Also = rewritten, nil
	case fix.Variant == own.Text(): // the same recipe, calibrated on what is compared
		question.Own, question.Also = true, nil
	default:
		if question.Variant, err = variant.Parse(fix.Variant); err != nil {
			return nil, nil, err
		}
	}
	after, err = bench.Judge(ctx, question)
	return before, after, err
}

// A fix helps if it keeps so much more of the decisions, or so many dB more.
const (
	moreKept = 0.05
	moreDB   = 3
)

// weigh compares two verdicts by the kind of decision that is kept least, or by the worst part's worst sample: whole is that of the check,
// whose decisions may be too few to go by.
func weigh(try *result.Try, before, after, whole *result.Verdict) {
	if before == nil || after == nil {
		try.Failed = "there is no verdict"
		return
	}
	least := verdict.Least(before)
	if few := slices.ContainsFunc(whole.Decisions, func(d result.Decision) bool { return d.Few }); least != nil && !few {
		if k := slices.IndexFunc(after.Decisions, func(d result.Decision) bool { return d.Kind == least.Kind }); k >= 0 {
			try.What = least.Kind
			try.Before, try.After = least.Share(), after.Decisions[k].Share()
			try.Helps = try.After.V > try.Before.V+moreKept
			return
		}
	}
	p, q := verdict.Worst(before), verdict.Worst(after)
	if q == nil {
		try.Failed = "no output could be compared"
		return
	}
	try.What, try.After = "SQNR", q.SQNR.Min
	if try.Helps = p == nil; p == nil { // as it is, it has NaN or infinite values only
		return
	}
	try.Before = p.SQNR.Min
	try.Helps = math.IsInf(q.SQNR.Min.V, 1) || q.SQNR.Min.V > p.SQNR.Min.V+moreDB
}
