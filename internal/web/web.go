// Package web makes the page: one self-contained HTML file with everything that people look at in a workspace's runs,
// evaluations, devices, estimates and explorations.
//
//  1. The page itself is built from ui/ by `make` and embedded.
//  2. Build puts the data into it, compressed: runs as columns over the layers, evaluations with their pictures,
//     estimates as columns over layers and events.
//
// The page makes no request; its policy forbids them, and any script but its own. Names from models stand in the data only, never in the markup.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"

	"quantcheck/internal/floatjson"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/result"
)

//go:embed all:dist
var dist embed.FS

// placeholder is where the page's data goes.
const placeholder = "QUANTCHECK_DATA"

// ErrNotBuilt means that the program was built without its page.
var ErrNotBuilt = errors.New("this program was built without its page; build it with make")

// Content is what a page shows. Any part may be empty; the slices are read only.
type Content struct {
	Folder      string               // the workspace, where the evaluations' relative paths begin; "": what each one's Spec.Out says
	Runs        []*result.Run        // oldest first
	Evaluations []*result.Evaluation // oldest first
	Cycles      []*result.Cycles
	Estimates   []*result.Estimated // oldest first; those without a timeline are shown without one
	// Explorations are oldest first.
	Explorations []*result.Explored
	Benchmarks   []*result.Benchmark // as workspace.Folder.Benchmarks has them: the last one stands in front
	Problems     []string            // said at its top
}

// Page is what every page has. The fields of the parts stand beside its own; `make types` writes ui/src/data.ts, the TypeScript types of all
// of them.
type Page struct {
	Tool     string       `json:"tool"`
	Problems []string     `json:"problems"`
	Metrics  []metricInfo `json:"metrics"`
}

// part is what one view shows: a struct whose fields stand among the page's, with no list missing.
type part struct {
	of   reflect.Type
	fill func(Content) any
}

// parts are in the order of their files' names.
var parts []part

// show adds a part to the page. Each part stands in a file of its own, which says so: var _ = show(func(c Content) T { … }). The view that
// shows it is a component in ui/src/views.
func show[T any](fill func(Content) T) struct{} {
	parts = append(parts, part{reflect.TypeFor[T](), func(c Content) any { return fill(c) }})
	return struct{}{}
}

// Parts are the types of the parts.
func Parts() []reflect.Type {
	var list []reflect.Type
	for _, p := range parts {
		list = append(list, p.of)
	}
	return list
}

// Build makes the page. Pictures and masks are read from their files; those that are not there any more are left out and
// said so on it.
func Build(c Content) ([]byte, error) {
	template, err := dist.ReadFile("dist/index.html")
	if err != nil {
		return nil, ErrNotBuilt
	}
	data, err := dataOf(c)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(data); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	text := []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))
	template, ok := closePolicy(template)
	if !ok || bytes.Count(template, []byte(placeholder)) != 1 {
		return nil, ErrNotBuilt
	}
	return bytes.Replace(template, []byte(placeholder), text, 1), nil
}

// dataOf gives the page's data: one JSON object of the fields of Page and of every part.
func dataOf(c Content) ([]byte, error) {
	data, err := floatjson.Marshal(Page{Tool: "quantcheck " + hostinfo.Version, Problems: append([]string{}, c.Problems...), Metrics: metrics()})
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		fields, err := floatjson.Marshal(p.fill(c))
		if err != nil {
			return nil, err
		}
		data = append(append(bytes.TrimSuffix(data, []byte("}")), ','), bytes.TrimPrefix(fields, []byte("{"))...)
	}
	return data, nil
}
