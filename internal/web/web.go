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

// parts fill the page's data, each what one view shows, with no list missing; each stands in a file of its own. Their views are
// listed in ui/src/views.ts.
var parts = []func(*Page, Content){fillRuns, fillEvaluations, fillEstimates, fillExplorations, fillBenchmarks}

// Build makes the page. Pictures and masks are read from their files; those that are not there any more are left out and
// said so on it.
func Build(c Content) ([]byte, error) {
	template, err := dist.ReadFile("dist/index.html")
	if err != nil {
		return nil, ErrNotBuilt
	}
	p := Page{Tool: "quantcheck " + hostinfo.Version, Problems: append([]string{}, c.Problems...), Metrics: metrics()}
	for _, fill := range parts {
		fill(&p, c)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	data, err := floatjson.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
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
