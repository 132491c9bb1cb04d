package checks

import "testing"

func TestDenormalChannelsAreDead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		channels [][]float32
		dead     int
	}{
		"none":                    {[][]float32{{1, -2}, {0.001}, {1e-9}}, 0},
		"zeros":                   {[][]float32{{1}, {0, 0}}, 1},
		"a denormal":              {[][]float32{{1e-30}, {1e-45, -1e-40}}, 1},
		"a trillionth and less":   {[][]float32{{4}, {-3e-12}, {5e-12}}, 1},
		"all values are denormal": {[][]float32{{1e-45}, {1e-40}}, 2},
	} {
		dead := 0
		for _, values := range c.channels {
			if greatest(values) <= deadBelow(c.channels) {
				dead++
			}
		}
		if dead != c.dead {
			t.Errorf("%s: %d channels are dead, want %d", name, dead, c.dead)
		}
	}
}
