package rewriting

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/optimize"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// optimizer makes as many changes as are told for a pass.
func optimizer(changes map[string]int, fails error) Optimizer {
	return func(_ context.Context, spec optimize.Spec) (*optimize.Result, error) {
		passes := slices.Concat(spec.Passes, spec.Also)
		if len(spec.Passes) == 0 {
			passes = append(passes, "all")
		}
		r := &optimize.Result{Model: &onnx.Model{Proto: &onnxpb.ModelProto{Graph: &onnxpb.GraphProto{}}}}
		for _, name := range passes {
			p := optimize.PassResult{Name: name}
			for i := range changes[name] {
				p.Changes = append(p.Changes, strconv.Itoa(i))
			}
			r.Passes = append(r.Passes, p)
		}
		return r, fails
	}
}

func rewriter(t *testing.T, changes map[string]int, warnings *[]string) *Rewriter {
	t.Helper()
	c, err := cache.New(nil, "model")
	if err != nil {
		t.Fatal(err)
	}
	return &Rewriter{
		Optimize: optimizer(changes, nil), Model: "m.onnx", Input: dataset.Default(), Cache: c, Higher: true,
		Warn: func(format string, args ...any) { *warnings = append(*warnings, fmt.Sprintf(format, args...)) },
		Elsewhere: func(_ context.Context, path string, c candidate.Candidate) (*candidate.Trial, *candidate.Price, error) {
			kept := 0.4
			if c.Spec.Calibrator == variant.MSEOut {
				kept = 0.5
			}
			if path == "was.onnx" {
				kept = 0.1
			}
			return &candidate.Trial{Float: result.Scored{Search: metric.Defined(0.5)}, Scored: result.Scored{Search: metric.Defined(kept)}}, &candidate.Price{Price: metric.Defined(7)}, nil
		},
	}
}

func TestOtherFormsOfTheModelAreScored(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		changes  map[string]int
		original string
		want     []string
	}{
		"each pass finds a place":   {map[string]int{"all": 3, "equalize": 2, splitGates: 1}, "", []string{"rewrite optimize 0.8", "rewrite equalize 0.8", "rewrite split-gates 0.8", "rewrite split-gates, mse-out 1"}},
		"there are no gates":        {map[string]int{"all": 3}, "", []string{"rewrite optimize 0.8"}},
		"nothing changes":           {nil, "", nil},
		"it was rewritten already":  {map[string]int{"all": 3}, "was.onnx", []string{"model as it was 0.2"}},
		"only gates may be changed": {map[string]int{splitGates: 2}, "", []string{"rewrite split-gates 0.8", "rewrite split-gates, mse-out 1"}},
	} {
		var warnings []string
		r := rewriter(t, row.changes, &warnings)
		r.Original = row.original
		list, err := r.Origins(t.Context(), variant.Usual())
		var got []string
		for _, o := range list {
			got = append(got, fmt.Sprintf("%s %s %.2g", o.Kind, o.Name, o.Share.V))
			if o.Price.V != 7 || o.Kind == "rewrite" && !strings.Contains(o.Note, "places rewritten; quantcheck optimize") {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if err != nil || !slices.Equal(got, row.want) || len(warnings) > 0 {
			t.Errorf("%s: %q, warnings %q, %v", name, got, warnings, err)
		}
	}
}

func TestAFormThatCannotBeScoredIsWarnedOf(t *testing.T) {
	t.Parallel()
	var warnings []string
	r := rewriter(t, map[string]int{"all": 3, "equalize": 2}, &warnings)
	r.Elsewhere = func(context.Context, string, candidate.Candidate) (*candidate.Trial, *candidate.Price, error) {
		return &candidate.Trial{Failed: "it crashed"}, nil, nil
	}
	list, err := r.Origins(t.Context(), variant.Usual())
	if err != nil || len(list) != 0 || len(warnings) != 2 || !strings.Contains(warnings[1], "what equalize brings could not be found out: w8a8 cannot be run: it crashed") {
		t.Errorf("%v %v, warnings %q", list, err, warnings)
	}
	r.Original = "was.onnx"
	if list, err := r.Origins(t.Context(), variant.Usual()); err != nil || len(list) != 0 || len(warnings) != 3 {
		t.Errorf("%v %v, warnings %q", list, err, warnings)
	}
}

func TestAModelThatIsRewrittenFirstTakesItsPlaceIfItRuns(t *testing.T) {
	t.Parallel()
	crash := &ort.CrashError{How: "signal: aborted"}
	broken := errors.New("the disk is full")
	for name, row := range map[string]struct {
		changes int
		rewrite error
		open    error
		taken   bool
		note    string
		err     error
	}{
		"it runs":                 {2, nil, nil, true, "the model was rewritten first", nil},
		"nothing to rewrite":      {0, nil, nil, false, "there was nothing to rewrite", nil},
		"what comes of it fails":  {2, nil, crash, false, "the model as it is was explored", nil},
		"it cannot be opened":     {2, nil, broken, false, "", broken},
		"it cannot be rewritten":  {2, broken, nil, false, "", broken},
		"gates alone are no less": {1, nil, nil, true, "split-gates (1)", nil},
	} {
		to := filepath.Join(t.TempDir(), "to.onnx")
		opened := 0
		taken, notes, err := First(t.Context(), optimizer(map[string]int{splitGates: row.changes}, row.rewrite), "m.onnx", to, dataset.Default(), nil, func() error {
			opened++
			return row.open
		})
		if taken != row.taken || !errors.Is(err, row.err) || row.note != "" && (len(notes) != 1 || !strings.Contains(notes[0], row.note)) {
			t.Errorf("%s: %v %q %v", name, taken, notes, err)
		}
		if row.changes == 0 && opened > 0 {
			t.Errorf("%s: it was opened", name)
		}
	}
}
