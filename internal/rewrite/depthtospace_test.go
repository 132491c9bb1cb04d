package rewrite_test

import (
	"slices"
	"testing"

	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
)

// The operators stay, so that the mode tells where the pass has fitted; a block size of 2 is left where only what is sure is done.
func TestDepthToSpaceChangesItsOrder(t *testing.T) {
	p, err := rewrite.Find("depth-to-space-order")
	if err != nil {
		t.Fatal(err)
	}
	mode := func(m *onnx.Model) string {
		for _, n := range m.Graph().GetNode() {
			if n.GetOpType() == "DepthToSpace" {
				return onnx.AttrString(n, "mode", "DCR")
			}
		}
		return ""
	}
	for _, c := range transformerCases() {
		if c.pass != p.Name {
			continue
		}
		want := "CRD"
		if slices.Contains([]string{"Conv, Relu, Clip", "two Convs and a shared weight", "a block size of 2"}, c.what) {
			want = "DCR"
		}
		m := c.model.model()
		after, _ := apply(t, p, m)
		if mode(m) != "CRD" || mode(after) != want {
			t.Errorf("%s: %s, want %s", c.what, mode(after), want)
		}
		sure := env(t, m)
		sure.Asked, sure.Sure = false, true
		r, err := p.Run(m, sure)
		if err != nil {
			t.Fatal(err)
		}
		if c.what == "a block size of 2" {
			want = "CRD"
		}
		if mode(r.Model) != want || want == "CRD" != (len(r.Left) == 1) {
			t.Errorf("%s, only what is sure: %s, left %q", c.what, mode(r.Model), r.Left)
		}
	}
}
