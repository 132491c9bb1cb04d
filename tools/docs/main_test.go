package main

import (
	"os"
	"path/filepath"
	"testing"

	"quantcheck/internal/fixture"
)

func TestDocsSayWhatTheProgramDoes(t *testing.T) {
	t.Parallel()
	for _, p := range pages {
		want, err := p.text(fixture.Root())
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(fixture.Root(), p.path))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the program says of itself: run make docs", p.path)
		}
	}
}
