package suggest

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"kitten", "sitting", 3}, {"a", "", 1}, {"same", "same", 0}, {"flaw", "lawn", 2}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%q %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	names := []string{"yolox", "yolov8", "ssd"}
	if got := Nearest("ysd", names); !slices.Equal(got, []string{"ssd", "yolox", "yolov8"}) || names[0] != "yolox" {
		t.Errorf("%v", got)
	}
}
