package cli

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
)

func TestOptimizeShowsWhatPassesBring(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	if before, after := gained(t, stemModel(t, 256), filepath.Join(t.TempDir(), "o.onnx")); after > 6*before/10 || after == 0 {
		t.Errorf("%d cycles, now %d", before, after)
	}
}

// gained runs optimize on a model with the price of each pass: the passes' gains add up to the difference, the outputs are as before, and the file that was
// written costs what is said. It gives the cycles before and after.
func gained(t *testing.T, model, out string) (before, after int64) {
	t.Helper()
	var doc struct {
		Passes []struct {
			Name       string
			Difference float64
			Before     int64 `json:"cycles_before"`
			Cycles     int64
		}
		Before result.Estimated `json:"estimate_before"`
		After  result.Estimated `json:"estimate_after"`
	}
	status, stdout, stderr := run(t, "optimize", model, "-o", out, "--estimate", "--json")
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
		t.Fatalf("%d %s %v", status, stderr, err)
	}
	gain := 0
	for _, p := range doc.Passes {
		if p.Difference > 1e-4 {
			t.Errorf("%s moves the outputs by %g", p.Name, p.Difference)
		}
		if p.Cycles > 0 {
			gain += int(p.Before - p.Cycles)
		}
	}
	if doc.After.Cycles == 0 || int64(gain) != doc.Before.Cycles-doc.After.Cycles {
		t.Errorf("the passes gain %d of %d", gain, doc.Before.Cycles-doc.After.Cycles)
	}
	if e := estimated(t, out, "--no-advice"); e.Cycles != doc.After.Cycles {
		t.Errorf("the file that was written takes %d cycles, not %d", e.Cycles, doc.After.Cycles)
	}
	return doc.Before.Cycles, doc.After.Cycles
}
