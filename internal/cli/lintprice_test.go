package cli

import (
	"encoding/json"
	"quantcheck/internal/fixture"
	"strings"
	"testing"
)

func TestLintShowsWhatFindingsCost(t *testing.T) {
	fixture.Emulator(t)
	model := stemModel(t, 256)
	if status, stdout, stderr := run(t, "lint", model, "--estimate", "--no-htp"); status != 0 || !strings.Contains(stdout, "--pass focus-to-conv: by the estimate 143,683 cycles, now 84,085 (-41.5 %)") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	var doc struct {
		Findings []struct {
			ID    string
			Price *struct {
				Before int64 `json:"cycles_before"`
				After  int64 `json:"cycles_after"`
			}
		}
	}
	status, stdout, stderr := run(t, "lint", model, "--estimate", "--no-htp", "--json")
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	found := map[string]bool{}
	for _, f := range doc.Findings {
		found[f.ID] = true
		if f.Price != nil && (f.ID != "QC1009" || f.Price.After < 1 || 3*f.Price.Before < 5*f.Price.After) {
			t.Errorf("%s: %+v", f.ID, f.Price)
		}
	}
	if len(doc.Findings) == 0 || doc.Findings[0].ID != "QC1009" || doc.Findings[0].Price == nil || !found["QC4005"] { // what costs most is first
		t.Errorf("%+v", doc.Findings)
	}
	if pose, ok := fixture.Also(t, "dlc", "pose_landmark_lite_quantized.dlc"); ok {
		if status, stdout, stderr := run(t, "lint", pose, "--estimate"); status != 0 || !strings.Contains(stdout, "QC2001") {
			t.Errorf("%d %s %s", status, stdout, stderr)
		}
	}
	t.Setenv("QUANTCHECK_QNN_DIR", t.TempDir())
	if status, _, _ := run(t, "lint", fixture.Path(t, "qnn", "zoo.onnx"), "--estimate"); status != exitUnavailable {
		t.Errorf("without the wheel: status %d", status)
	}
}
