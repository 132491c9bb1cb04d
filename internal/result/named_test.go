package result

import "testing"

func TestANameThatIsItsNounIsQuoted(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"output", "output", "output `output`"}, {"output", "Output0", "output `Output0`"}, {"output", "y", "output y"}, {"input", "input.1", "input `input.1`"},
		{"input", "my input", "input `my input`"}, {"constant", "", "constant ``"}, {"sample", "000.jpg", "sample 000.jpg"}, {"node", "/out/Concat", "node /out/Concat"},
		{"output", "out", "output out"}, // near miss: it only begins alike
	} {
		if got := Named(c[0], c[1]); got != c[2] {
			t.Errorf("%s, not %s", got, c[2])
		}
	}
}
