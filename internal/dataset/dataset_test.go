package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// formula is the picture that the golden resize results were made from.
func formula(width, height, seed int) *Picture {
	p := &Picture{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
	for y := range height {
		for x := range width {
			for c := range 3 {
				p.Pix[3*(y*width+x)+c] = uint8((7*x + 13*y + 91*c + 29*seed + 5*((x*y)%31)) % 256)
			}
		}
	}
	return p
}

func TestResizeEqualsOpenCV(t *testing.T) {
	raw, err := os.ReadFile(fixture.Beside(t, "golden", "resize.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Kind     string
		Seed     int
		From, To [2]int
		First8   []int
		SHA256   string
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		d := Default()
		if strings.HasPrefix(c.Kind, "letterbox-top-left-114") {
			d.Resize, d.PadPosition = "letterbox", "bottom-right"
		} else if c.Kind != "stretch" {
			t.Fatalf("kind %s", c.Kind)
		}
		got := d.Fit(formula(c.From[0], c.From[1], c.Seed), c.To[0], c.To[1])
		sum := sha256.Sum256(got.Pix)
		if hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("%s seed %d %v → %v: begins %v, want %v", c.Kind, c.Seed, c.From, c.To, got.Pix[:8], c.First8)
		}
	}
	if len(cases) < 10 {
		t.Errorf("%d cases", len(cases))
	}
}
