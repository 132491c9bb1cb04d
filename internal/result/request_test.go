package result

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestStoredRequestsKeepTheirKeys holds the keys of what databases, files and --json have, and their order.
func TestStoredRequestsKeepTheirKeys(t *testing.T) {
	t.Parallel()
	yes := true
	from, to := Sources{Calib: "c", Limit: 1}, Emulation{1, 1, true}
	score := Scoring{Decoder: "d", Agnostic: true, Strict: true}
	const common = "model images calib limit variants out name input threads memory_mib "
	const chip = "soc_model htp_arch htp_fallback "
	const scored = common + "local_samples diverge_under " + chip + "task data decoder confidence nms_iou max_det agnostic strict"
	for _, row := range []struct {
		name    string
		request any
		want    string
	}{
		{"check", CheckSpec{Sources: from, Saving: Saving{true, true, "e"}, Emulation: to, DLCRun: DLCRun{[]string{""}, true}, FailUnder: []Threshold{}, Estimate: &yes}, common + "save_tensors save_model encodings local_samples diverge_under " + chip + "dlc_layouts any_version estimate"},
		{"eval", EvalSpec{Sources: from, Emulation: to, Scoring: score}, scored},
		{"explore", ExploreSpec{Sources: from, Emulation: to, Scoring: score, Auto: true, Measured: 1, Fixed: true, Rewritten: "r", Apply: true}, scored + " target budget_seconds engine auto_engine chip measured_cycles fixed_recipe rewritten apply"},
	} {
		text, err := json.Marshal(row.request)
		if err != nil {
			t.Fatal(err)
		}
		flat := regexp.MustCompile(`"input":\{[^}]*\}`).ReplaceAll(text, []byte(`"input":0`))
		var keys []string
		for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllSubmatch(flat, -1) {
			keys = append(keys, string(m[1]))
		}
		if got := strings.Join(keys, " "); got != row.want {
			t.Errorf("%s: %s\nwant %s", row.name, got, row.want)
		}
	}
}
