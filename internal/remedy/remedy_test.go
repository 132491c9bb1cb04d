package remedy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"quantcheck/internal/compare/brief"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// bad is a run with one variant that has causes with these fixes.
func bad(t *testing.T, fixes ...result.Fix) *result.Run {
	t.Helper()
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	v := &result.Verdict{Grade: result.Bad}
	for _, f := range fixes {
		v.Causes = append(v.Causes, result.Cause{Fix: f})
	}
	return &result.Run{Seconds: 100, Samples: make([]result.Sample, 100), Variants: []result.Variant{{Spec: spec, Verdict: v}}}
}

// signal is a verdict of one part with so many dB.
func signal(db float64) *result.Verdict {
	return &result.Verdict{Parts: []result.OutputPart{{SQNR: metric.Spread{Min: metric.Defined(db), Mean: metric.Defined(db)}}}}
}

// fake judges recipes by a table, a rewritten model by its pass.
type fake struct {
	of    map[string]*result.Verdict
	pass  string // of the bench of a rewritten model
	asked *[]string
}

func newFake(of map[string]*result.Verdict) *fake { return &fake{of: of, asked: &[]string{}} }

func (f *fake) Judge(_ context.Context, q brief.Question) (*brief.Answer, error) {
	key := q.Variant.Text()
	if f.pass != "" {
		key = f.pass
	}
	if q.Own {
		key += " itself"
	}
	*f.asked = append(*f.asked, key)
	verdict, ok := f.of[key]
	if !ok {
		return nil, errors.New("it cannot be run")
	}
	return &brief.Answer{Verdict: verdict, Samples: q.Samples}, nil
}

func (f *fake) tries() *Tries {
	return &Tries{Now: func() time.Time { return time.Unix(0, 0) },
		Rewrite: func(_ context.Context, _ result.CheckSpec, passes []string) (Bench, func(), error) {
			return &fake{f.of, passes[0], f.asked}, func() {}, nil
		}}
}

func TestFixesAreTriedUntilOneHelps(t *testing.T) {
	run := bad(t, result.Fix{Variant: "w8a8,mse"}, result.Fix{Passes: []string{"split-output"}}, result.Fix{Variant: "w8a16"})
	f := newFake(map[string]*result.Verdict{"w8a8": signal(2), "w8a8,mse": signal(3), "split-output": signal(31), "w8a16": signal(60)})
	if err := f.tries().Try(t.Context(), result.CheckSpec{Sources: result.Sources{Model: "m.onnx", Calib: "c"}}, run, f, progress.Silent{}); err != nil {
		t.Fatal(err)
	}
	c := run.Variants[0].Verdict.Causes
	if a := c[0].Fix.Tried; a == nil || a.Helps || a.Before.V != 2 || a.After.V != 3 || a.What != "SQNR" || a.Samples != most {
		t.Errorf("%+v", a)
	}
	if b := c[1].Fix.Tried; b == nil || !b.Helps || b.After.V != 31 {
		t.Errorf("%+v", b)
	}
	if c[2].Fix.Tried != nil {
		t.Errorf("a fix behind one that helps was tried: %+v", c[2].Fix.Tried)
	}
	if want := []string{"w8a8", "w8a8,mse", "split-output"}; !slices.Equal(*f.asked, want) { // as it is, it is judged once
		t.Errorf("%v", *f.asked)
	}
}

func TestDecisionsAreHeldAgainstDecisions(t *testing.T) {
	kept := func(n float64) *result.Verdict {
		return &result.Verdict{Decisions: []result.Decision{{Kind: "boxes", Kept: n, Of: 10}}}
	}
	run := bad(t, result.Fix{Variant: "w8a8"}) // the same recipe, calibrated on what is compared
	f := newFake(map[string]*result.Verdict{"w8a8": kept(1), "w8a8 itself": kept(9)})
	if err := f.tries().Try(t.Context(), result.CheckSpec{Sources: result.Sources{Calib: "black"}}, run, f, progress.Silent{}); err != nil {
		t.Fatal(err)
	}
	try := run.Variants[0].Verdict.Causes[0].Fix.Tried
	if try == nil || !try.Helps || try.What != "boxes" || try.Before.V != 0.1 || try.After.V != 0.9 || !slices.Equal(*f.asked, []string{"w8a8", "w8a8 itself"}) {
		t.Errorf("%+v %v", try, *f.asked)
	}
}

func TestWhatCannotBeTriedIsSaid(t *testing.T) {
	run := bad(t, result.Fix{Variant: "w16a16"})
	f := newFake(map[string]*result.Verdict{"w8a8": signal(2)})
	if err := f.tries().Try(t.Context(), result.CheckSpec{}, run, f, progress.Silent{}); err != nil {
		t.Fatal(err)
	}
	if try := run.Variants[0].Verdict.Causes[0].Fix.Tried; try == nil || try.Failed != "it cannot be run" || try.Helps {
		t.Errorf("%+v", try)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.tries().Try(ctx, result.CheckSpec{}, bad(t, result.Fix{Variant: "w16a16"}), f, progress.Silent{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Trying ends when a quarter of the check's time is spent.
func TestTriesKeepTheirBudget(t *testing.T) {
	run := bad(t, result.Fix{Variant: "w8a8,mse"}, result.Fix{Variant: "w8a16"})
	run.Seconds = 100
	f := newFake(map[string]*result.Verdict{"w8a8": signal(2), "w8a8,mse": signal(2), "w8a16": signal(50)})
	tries := f.tries()
	now := time.Unix(0, 0)
	tries.Now = func() time.Time { now = now.Add(7 * time.Second); return now }
	if err := tries.Try(t.Context(), result.CheckSpec{}, run, f, progress.Silent{}); err != nil {
		t.Fatal(err)
	}
	c := run.Variants[0].Verdict.Causes
	if c[0].Fix.Tried == nil || c[0].Fix.Tried.Failed != "" || c[1].Fix.Tried == nil || c[1].Fix.Tried.Failed == "" || len(*f.asked) != 2 {
		t.Errorf("%+v %+v", c[0].Fix.Tried, c[1].Fix.Tried)
	}
}

func TestAGoodVariantIsLeftAlone(t *testing.T) {
	run := bad(t, result.Fix{Variant: "w8a16"})
	run.Variants[0].Verdict.Grade = result.Good
	f := newFake(nil)
	if err := f.tries().Try(t.Context(), result.CheckSpec{}, run, f, progress.Silent{}); err != nil || len(*f.asked) != 0 {
		t.Errorf("%v %v", err, f.asked)
	}
}

// Healing takes longer than a try may: it is proposed and not tried, and a recipe that healed is not healed again on a few samples.
func TestHealingIsNotTried(t *testing.T) {
	run := bad(t, result.Fix{Variant: "w4a8,heal"}, result.Fix{Variant: "w8a16"})
	f := newFake(map[string]*result.Verdict{"w8a8": signal(2), "w4a8,heal": signal(60), "w8a16": signal(50)})
	if err := f.tries().Try(t.Context(), result.CheckSpec{}, run, f, progress.Silent{}); err != nil {
		t.Fatal(err)
	}
	c := run.Variants[0].Verdict.Causes
	if c[0].Fix.Tried == nil || c[0].Fix.Tried.Failed == "" || c[0].Fix.Tried.Helps || c[1].Fix.Tried == nil || !c[1].Fix.Tried.Helps || slices.Contains(*f.asked, "w4a8,heal") {
		t.Errorf("%+v %+v %v", c[0].Fix.Tried, c[1].Fix.Tried, *f.asked)
	}
	healed := bad(t, result.Fix{Variant: "w8a16"})
	healed.Variants[0].Spec.Heal = true
	f = newFake(nil)
	if err := f.tries().Try(t.Context(), result.CheckSpec{}, healed, f, progress.Silent{}); err != nil || len(*f.asked) != 0 {
		t.Errorf("%v %v", err, *f.asked)
	}
}
