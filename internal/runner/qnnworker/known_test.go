package qnnworker

import (
	"errors"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

func TestLibrariesHaveToComputeAKnownNetwork(t *testing.T) {
	e := engine(t)
	if err := e.tryKnown(t.Context(), "", knownResult); err != nil {
		t.Errorf("%v", err)
	}
	other := strings.Replace(knownResult, "0a", "0b", 1)
	if err := e.tryKnown(t.Context(), "", other); !errors.Is(err, ErrOtherResults) || !strings.Contains(err.Error(), "doctor --install htp") {
		t.Errorf("%v", err)
	}
	e.AnyVersion = true
	r, err := New(t.Context(), e, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}
