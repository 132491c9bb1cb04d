package result

import "testing"

func TestAnExplorationIsSoundWhateverLayerItChanges(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		layer int
		best  int
		sound bool
	}{
		{"an input, which is no layer", -1, 0, true},
		{"a layer of the model beyond the number of quantizers", 368, 0, true},
		{"a number that no layer has", -2, 0, false},
		{"a best point that is not there", 0, 1, false},
	} {
		e := Explored{Best: row.best, Points: []ExplorePoint{{Changed: []ChangedLayer{{Layer: row.layer}}}}, Layers: make([]Sensitivity, 2)}
		if err := e.Sound(); (err == nil) != row.sound {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
