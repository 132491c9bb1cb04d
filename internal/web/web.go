// Package web makes the page: one self-contained HTML file with everything that people look at in one or more runs.
//
//  1. The page itself is built from ui/ by `make ui` and embedded.
//  2. Build puts the runs' data into it, as columns over the layers, compressed.
//
// The page makes no request; its policy forbids them. Names from models stand in the data only, never in the markup.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"quantcheck/internal/machine"
	"quantcheck/internal/result"
)

//go:embed all:dist
var dist embed.FS

// placeholder is where the page's data goes.
const placeholder = "QUANTCHECK_DATA"

// ErrNotBuilt means that the program was built without its page.
var ErrNotBuilt = errors.New("this program was built without its page; build it with make")

// Build makes the page of some runs, oldest first; problems are said at its top.
func Build(runs []*result.Run, problems []string) ([]byte, error) {
	template, err := dist.ReadFile("dist/index.html")
	if err != nil {
		return nil, ErrNotBuilt
	}
	p := page{Tool: "quantcheck " + machine.Version, Problems: append([]string{}, problems...), Metrics: metrics(), Runs: []run{}}
	for _, r := range runs {
		p.Runs = append(p.Runs, describe(r))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := json.NewEncoder(z).Encode(p); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	text := []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if bytes.Count(template, []byte(placeholder)) != 1 {
		return nil, ErrNotBuilt
	}
	return bytes.Replace(template, []byte(placeholder), text, 1), nil
}
