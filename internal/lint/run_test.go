package lint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// What is looked at, and what is said where something of it is not there. No emulator takes part: an engine that cannot be found or opened stands
// in for it.
func TestWhatIsLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	model := filepath.Join(dir, "m.onnx")
	if err := onnx.Save(dividing().Model, model); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	runOf := func(path string) *result.Run {
		perTensor := variant.Usual()
		perTensor.PerChannel = false
		return &result.Run{Model: result.Model{Path: path, Inputs: []dataset.Input{{Name: "x", Shape: []int64{1, 3}}}}, Variants: []result.Variant{{Spec: perTensor}}}
	}
	gone, there := runOf(filepath.Join(dir, "gone.onnx")), runOf(model)
	none, broken := fmt.Errorf("%w: none", qnn.ErrUnavailable), errors.New("it is broken")
	for name, row := range map[string]struct {
		spec  Spec
		htp   error
		finds []string
		notes int
		err   error // errors.Is
	}{
		"a model":                               {Spec{Path: model}, nil, []string{"QC1001"}, 0, nil},
		"a model, without the emulator":         {Spec{Path: model, HTP: true}, none, []string{"QC1001"}, 0, nil},
		"a model, and the emulator fails":       {Spec{Path: model, HTP: true}, broken, []string{"QC1001"}, 1, nil},
		"a price, without the emulator":         {Spec{Path: model, Estimate: true}, none, nil, 0, qnn.ErrUnavailable},
		"a run whose model is gone":             {Spec{Run: gone}, none, []string{"QC2001"}, 1, nil},
		"a run and its model":                   {Spec{Run: there}, none, []string{"QC1001", "QC2001"}, 0, nil},
		"no file":                               {Spec{Path: filepath.Join(dir, "none.onnx")}, none, nil, 0, usage.Err},
		"no model":                              {Spec{Path: write("text.onnx", "text")}, none, nil, 0, usage.Err},
		"no DLC":                                {Spec{Path: write("text.dlc", "text")}, none, nil, 0, usage.Err},
		"an input that the model does not have": {Spec{Path: model, Shapes: map[string][]int64{"other": {1}}}, none, nil, 0, usage.Err},
	} {
		engines := session.Engines{ORT: fixture.Runtime(t), HTP: func() (htp.Engine, error) { return htp.Engine{}, row.htp }}
		found, notes, err := Run(t.Context(), engines, row.spec)
		if !errors.Is(err, row.err) || len(notes) != row.notes {
			t.Errorf("%s: %v, notes %q", name, err, notes)
			continue
		}
		for _, id := range row.finds {
			if !slices.ContainsFunc(found, func(f checks.Finding) bool { return f.ID == id }) {
				t.Errorf("%s: %s is not found: %+v", name, id, found)
			}
		}
	}
}
