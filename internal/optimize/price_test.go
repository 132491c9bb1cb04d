package optimize

import (
	"context"
	"errors"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

// figures is a compiler that knows one price.
type figures struct {
	cycles  int64
	refused []string
	failure error
}

func (f figures) Form(context.Context, *onnx.Model, variant.Spec, *dataset.Set, dataset.Description) (*result.Estimated, error) {
	if f.failure != nil {
		return nil, f.failure
	}
	return estimated(f.cycles, f.refused...), nil
}

func estimated(cycles int64, refused ...string) *result.Estimated {
	return &result.Estimated{Estimate: &htpcost.Estimate{Figures: htpcost.Figures{Cycles: cycles}}, Refused: refused}
}

func optimizerOn(t *testing.T, f former, last *result.Estimated, only bool) *optimizer {
	m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: &onnxpb.GraphProto{}}}
	return &optimizer{ctx: t.Context(), model: m, result: &Result{}, pricer: &pricer{compiler: f, variant: variant.Usual(), only: only, first: last, last: last}}
}

func TestAPassThatDoesNotPayIsUndoneIfOnlyThoseThatDoAreWanted(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		f            figures
		before       *result.Estimated
		only, forced bool
		undone       string
		notes        int
	}{
		"faster":                            {figures{cycles: 900}, estimated(1000), true, false, "", 0},
		"slower by less than the whim":      {figures{cycles: 10009}, estimated(10000), true, false, "", 0},
		"slower":                            {figures{cycles: 1010}, estimated(1000), true, false, "it does not pay", 0},
		"slower, but all are wanted":        {figures{cycles: 1010}, estimated(1000), false, false, "", 0},
		"forced, and no faster":             {figures{cycles: 1000}, estimated(1000), true, true, "it does not pay", 0},
		"slower, but more of it is taken":   {figures{cycles: 2000}, estimated(1000, "d"), true, false, "", 0},
		"faster, since less of it is taken": {figures{cycles: 100, refused: []string{"d"}}, estimated(1000), true, false, "it does not pay", 0},
		"without a price":                   {figures{failure: errors.New("no")}, estimated(1000), true, false, "there is no estimate", 0},
		"without a price, all are wanted":   {figures{failure: errors.New("no")}, estimated(1000), false, false, "", 1},
		"the first price":                   {figures{cycles: 500}, nil, true, false, "", 0},
	} {
		o := optimizerOn(t, row.f, row.before, row.only)
		done := &PassResult{Name: "p"}
		if err := o.pay(done, row.forced); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(done.Undone, row.undone) || (row.undone == "") != (done.Undone == "") || len(o.result.Notes) != row.notes {
			t.Errorf("%s: undone %q, notes %q", name, done.Undone, o.result.Notes)
		}
		if row.f.failure == nil && *done.Cycles != row.f.cycles {
			t.Errorf("%s: %d cycles", name, *done.Cycles)
		}
		if kept := o.pricer.last; row.f.failure == nil && (done.Undone == "") != (kept != nil && kept != row.before) {
			t.Errorf("%s: the last price is %v", name, kept)
		}
		if row.before == nil && o.pricer.first == nil {
			t.Errorf("%s: nothing is the first price", name)
		}
	}
}

func TestAModelThatTheHTPRefusesHasNoFirstPrice(t *testing.T) {
	t.Parallel()
	for failure, want := range map[error]bool{&htp.RefusedError{}: true, errors.New("the disk is full"): false} {
		o := optimizerOn(t, figures{failure: failure}, nil, false)
		if err := o.firstPrice(); (err == nil) != want || (len(o.result.Notes) == 1) != want {
			t.Errorf("%v: %v, notes %q", failure, err, o.result.Notes)
		}
	}
	o := optimizerOn(t, figures{cycles: 7}, nil, false)
	if err := o.firstPrice(); err != nil || o.pricer.first == nil || o.pricer.first.Cycles != 7 || o.pricer.first.Variant != "w8a8" {
		t.Errorf("%v %v", err, o.pricer.first)
	}
}
