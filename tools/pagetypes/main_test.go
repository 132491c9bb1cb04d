package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/web"
)

func TestTheGeneratedTypesAreThoseOfTheGoTypes(t *testing.T) {
	t.Parallel()
	want, err := generate(reflect.TypeFor[web.Page](), fixture.Root(), web.Parts()...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(fixture.Root(), output))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what tools/pagetypes makes of the Go types: run make types", output)
	}
}

type embedded struct {
	Inner int `json:"inner"`
}

func TestEachGoTypeHasItsTypeScript(t *testing.T) {
	t.Parallel()
	type everything struct {
		embedded
		Text     string         `json:"text"`
		Optional *int64         `json:"optional,omitempty"`
		Nullable *int64         `json:"nullable"`
		List     [][]float64    `json:"list"`
		Pointers []*embedded    `json:"pointers"`
		Map      map[int]bool   `json:"map"`
		Value    metric.Value   `json:"value"`
		Values   []metric.Value `json:"values"`
		When     time.Time      `json:"when"`
		Bytes    []byte         `json:"bytes"`
		Odd      int            `json:"odd key"`
		Tagged   []any          `json:"tagged" ts:"(string | null)[]"`
		Hidden   any            `json:"-"`
		Plain    uint8
		private  int
	}
	_ = everything{private: 1}
	g := generator{source: source{dir: fixture.Root(), packages: map[string]*packageSource{}}, declarations: map[string]string{}, declared: map[string]reflect.Type{}}
	got, err := g.fields(reflect.TypeFor[everything]())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"inner: number", "text: string", "optional?: number", "nullable: number | null", "list: number[][]", "pointers: (PagetypesEmbedded | null)[]",
		"map: Record<string, boolean>", "value: Num", "values: Num[]", "when: string", "bytes: string", "'odd key': number", "tagged: (string | null)[]", "Plain: number",
	}, "\n  ")
	if got != "  "+want+"\n" {
		t.Errorf("got\n%s\nwant\n  %s", got, want)
	}
}

func TestTypesThatHaveNoTypeScriptAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of   reflect.Type
		says string
	}{
		"an interface":               {reflect.TypeFor[struct{ A any }](), "A: interface {} has no type"},
		"a function":                 {reflect.TypeFor[struct{ F func() }](), "F: func() has no type"},
		"one that marshals itself":   {reflect.TypeFor[struct{ R json.RawMessage }](), "R: json.RawMessage marshals itself"},
		"a list of what has no type": {reflect.TypeFor[struct{ L []chan int }](), "L: chan int has no type"},
	} {
		g := generator{source: source{dir: fixture.Root(), packages: map[string]*packageSource{}}, declarations: map[string]string{}, declared: map[string]reflect.Type{}}
		if _, err := g.fields(c.of); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
