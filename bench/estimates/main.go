// Estimates shows the seed's findings as small networks, and four well-known networks beside times that others published, both by
// the HTP compiler's cost model, as the tables of docs/estimate.md. The networks are built here, with random weights.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimate"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/session"
)

func main() {
	switch {
	case htp.IsWorker():
		os.Exit(htp.Work())
	case qnnworker.IsWorker():
		os.Exit(qnnworker.Work())
	}
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type silent struct{}

func (silent) Phase(string, int) {}
func (silent) Step(int)          {}

// estimateOf gives one estimate per variant; the seed's findings are of models with float inputs and outputs, published times of models as they
// are deployed.
func estimateOf(ctx context.Context, engines session.Engines, dir string, m *onnx.Model, floatIO bool, variants ...string) ([]*result.Estimated, error) {
	path := filepath.Join(dir, "net.onnx")
	if err := onnx.Save(m, path); err != nil {
		return nil, err
	}
	return estimate.Run(ctx, engines, estimate.Spec{Model: path, Variants: variants, Input: dataset.Default(), MemoryMiB: 1024, FloatIO: floatIO}, silent{})
}

// open finds what estimates are made with; the library of ONNX Runtime is at a path.
func open(path string) (session.Engines, error) {
	library, err := onnxruntime.Find(path)
	if err != nil {
		return session.Engines{}, err
	}
	r, err := onnxruntime.Open(library, 2)
	if err != nil {
		return session.Engines{}, err
	}
	kit, err := qnn.Find("")
	if err != nil {
		return session.Engines{}, err
	}
	full, err := filepath.Abs(r.Path)
	return session.Engines{ORT: ort.InProcess(r), HTP: func() (htp.Engine, error) { return htp.Engine{Kit: kit, Library: full}, nil }}, err
}

func run(ctx context.Context, w io.Writer) error {
	engines, err := open(filepath.Join("bin", onnxruntime.LibraryName())) // which make build puts there
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := findings(ctx, w, engines, dir); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return published(ctx, w, engines, dir)
}

// variation is one of the network of the seed's findings.
type variation struct {
	finding, name, variant string
	model                  *onnx.Model
}

// variations are what the seed's author found on a device.
func variations() []variation {
	constant := func(op string, v float32) func(*net) {
		return func(n *net) { n.op(op, []string{n.at, n.each(v, 3)}) }
	}
	both := func(n *net) { constant("Sub", 0.4)(n); constant("Div", 0.25)(n) }
	scaled := func(n *net, channels int64) {
		n.op("Mul", []string{n.at, n.each(1.1, channels)})
		n.op("Add", []string{n.at, n.each(0.1, channels)})
	}
	swap := func(n *net) {
		var parts []string
		for _, c := range []int64{2, 1, 0} {
			parts = append(parts, n.slice("x", 1, c, c+1, 1))
		}
		n.op("Concat", parts, onnx.IntAttr("axis", 1))
	}
	gather := func(n *net) { n.op("Gather", []string{n.at, n.int64s(2, 1, 0)}, onnx.IntAttr("axis", 1)) }
	plain := small(nil, [2]int64{}, nil, nil)
	return []variation{
		{"", "the network, w8a8 per channel", "w8a8", plain},
		{"1", "w8a8 per tensor", "w8a8,per-tensor", plain},
		{"", "16-bit activations", "w8a16", plain},
		{"5", "fp16", "fp16", plain},
		{"2", "RGB to BGR by three Slices and Concat at the input", "w8a8", small(swap, [2]int64{}, nil, nil)},
		{"2", "RGB to BGR by Gather at the input", "w8a8", small(gather, [2]int64{}, nil, nil)},
		{"3", "Div by a constant at the input", "w8a8", small(constant("Div", 0.25), [2]int64{}, nil, nil)},
		{"3", "Mul by a constant at the input", "w8a8", small(constant("Mul", 4), [2]int64{}, nil, nil)},
		{"4", "Sub of a constant at the input", "w8a8", small(constant("Sub", 0.4), [2]int64{}, nil, nil)},
		{"4", "Add of a constant at the input", "w8a8", small(constant("Add", 0.4), [2]int64{}, nil, nil)},
		{"7", "Sub and Div at the input", "w8a8", small(both, [2]int64{}, nil, nil)},
		{"7", "Mul and Add behind every convolution", "w8a8", small(nil, [2]int64{}, nil, scaled)},
		{"6", "second convolution with stride (2,1)", "w8a8", small(nil, [2]int64{2, 1}, nil, nil)},
		{"6", "the same as stride (1,1) and Slice", "w8a8", small(nil, [2]int64{1, 1}, func(n *net) { n.slice(n.at, 2, 0, 1<<30, 2) }, nil)},
	}
}

// findings are the variations' estimates.
func findings(ctx context.Context, w io.Writer, engines session.Engines, dir string) error {
	fmt.Fprintln(w, "| finding | case | cycles | ratio |\n|---|---|---:|---:|")
	base := int64(0)
	for _, c := range variations() {
		list, err := estimateOf(ctx, engines, dir, c.model, true, c.variant)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if base == 0 {
			base = list[0].Cycles
		}
		fmt.Fprintf(w, "| %s | %s | %d | %.2f |\n", c.finding, c.name, list[0].Cycles, float64(list[0].Cycles)/float64(base))
	}
	return nil
}
