package coco

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"quantcheck/internal/fixture"
)

const tolerance = 1e-9

func readFixture(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture.Beside(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func near(a, b float64) bool { return math.Abs(a-b) <= tolerance }

func TestRandomSetsHavePycocotoolsNumbers(t *testing.T) {
	var cases []struct {
		Name   string
		GT, DT json.RawMessage
		Want   [12]float64
	}
	if err := json.Unmarshal(readFixture(t, "golden", "coco.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			gt, err := ReadDataset(c.GT)
			if err != nil {
				t.Fatal(err)
			}
			dt, err := ReadResults(c.DT)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Evaluate(gt, dt, DefaultParams(Boxes))
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range StatNames {
				if !near(r.Stats[i], c.Want[i]) {
					t.Errorf("%s is %.17g, pycocotools has %.17g", name, r.Stats[i], c.Want[i])
				}
			}
			if r.Stats != c.Want {
				t.Logf("not to the last bit: %v", r.Stats)
			}
		})
	}
	if len(cases) != 14 {
		t.Errorf("%d cases", len(cases))
	}
}
