package web_test

import (
	"reflect"
	"strings"
	"testing"

	"quantcheck/internal/web"
)

// The parts' fields stand in one object: no two may have one key, or be named as the page's own.
func TestPartsOfThePageShareNoKey(t *testing.T) {
	t.Parallel()
	seen := map[string]reflect.Type{}
	for _, of := range append([]reflect.Type{reflect.TypeFor[web.Page]()}, web.Parts()...) {
		for f := range of.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if other, ok := seen[key]; ok || key == "" {
				t.Errorf("%s.%s has the key %q, as %v has", of, f.Name, key, other)
			}
			seen[key] = of
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d keys", len(seen))
	}
}
