package lint_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/lint"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// What is looked at, and what is said where something of it is not there. No emulator takes part: an engine that cannot be found or opened stands
// in for it.
func TestWhatIsLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	model := filepath.Join(dir, "m.onnx")
	if err := onnx.Save(chain(map[string]tensor.Tensor{"w": conv(), "c": filled([]int64{1}, 4)}, "Div c", "Conv w"), model); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := runOf(recipe(), func(r *result.Run) {
		r.Model.Path = filepath.Join(dir, "gone.onnx")
		r.Variants[0].Spec.PerChannel = false
	})
	there := runOf(recipe(), func(r *result.Run) {
		r.Model.Path = model
		r.Model.Inputs = []dataset.Input{{Name: "x", Shape: []int64{1, 3, 8, 8}}}
		r.Variants[0].Spec.PerChannel = false
	})
	none, broken := fmt.Errorf("%w: none", qnn.ErrUnavailable), errors.New("it is broken")
	for name, row := range map[string]struct {
		spec  lint.Spec
		htp   error
		finds []string
		notes int
		err   error // errors.Is
	}{
		"a model":                               {lint.Spec{Path: model}, nil, []string{"QC1001"}, 0, nil},
		"a model, without the emulator":         {lint.Spec{Path: model, HTP: true}, none, []string{"QC1001"}, 0, nil},
		"a model, and the emulator fails":       {lint.Spec{Path: model, HTP: true}, broken, []string{"QC1001"}, 1, nil},
		"a price, without the emulator":         {lint.Spec{Path: model, Estimate: true}, none, nil, 0, qnn.ErrUnavailable},
		"a run whose model is gone":             {lint.Spec{Run: gone}, none, []string{"QC2001"}, 1, nil},
		"a run and its model":                   {lint.Spec{Run: there}, none, []string{"QC1001", "QC2001"}, 0, nil},
		"no file":                               {lint.Spec{Path: filepath.Join(dir, "none.onnx")}, none, nil, 0, usage.Err},
		"no model":                              {lint.Spec{Path: write("text.onnx", "text")}, none, nil, 0, usage.Err},
		"no DLC":                                {lint.Spec{Path: write("text.dlc", "text")}, none, nil, 0, usage.Err},
		"an input that the model does not have": {lint.Spec{Path: model, Shapes: map[string][]int64{"other": {1}}}, none, nil, 0, usage.Err},
	} {
		engines := session.Engines{ORT: fixture.Runtime(t), HTP: func() (htp.Engine, error) { return htp.Engine{}, row.htp }}
		found, notes, err := lint.Run(t.Context(), engines, row.spec)
		if !errors.Is(err, row.err) || len(notes) != row.notes {
			t.Errorf("%s: %v, notes %q", name, err, notes)
			continue
		}
		for _, id := range row.finds {
			if !slices.ContainsFunc(found, func(f lint.Finding) bool { return f.ID == id }) {
				t.Errorf("%s: %s is not found: %+v", name, id, found)
			}
		}
	}
}

func TestACheckIsFoundByItsID(t *testing.T) {
	t.Parallel()
	if c, err := lint.Find("qc1001"); err != nil || c.ID != "QC1001" {
		t.Errorf("%v %v", c, err)
	}
	if c, err := lint.Find("QC10001"); err == nil || !strings.Contains(err.Error(), "QC1001?") {
		t.Errorf("%v %v", c, err)
	}
	for saves, p := range map[float64]lint.Price{0: {}, 0.5: {Before: 100, After: 50}, -0.5: {Before: 100, After: 150}} {
		if got := p.Saves(); got != saves {
			t.Errorf("%+v saves %g", p, got)
		}
	}
}
