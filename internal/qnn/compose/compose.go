// Package compose runs a DLC as it is on the HTP emulator, through the public C interface of Qualcomm's libraries, without
// cgo. The process must be one of its own: the libraries may crash, they write to stdout, and their settings outlive a graph.
//
//  1. Open loads the libraries and makes the backend, once per process.
//  2. Backend.Compose lets the composer of libQnnSystem build a DLC's graph through a copy of the backend's function table,
//     in which three functions are ours: they see every tensor and every node, and turn inner tensors into outputs.
//  3. Graph.Execute runs it: integers in, integers out.
//
// It is a room with unsafe code. The calls and structs are those of the QNN API (QnnInterface, QnnSystemDlc, QnnGraph,
// QnnTensor, QnnProfile), core version 2.40, on x86-64.
package compose

import (
	"io"
	"slices"

	"quantcheck/internal/dlc"
)

// Options says how the backend is opened.
type Options struct {
	SoC int // Qualcomm's number of the chip whose DSP is emulated; it decides the architecture too
	// AnyVersion takes libraries of another core version than the one that was tried. Where their structs differ the
	// process crashes or computes nonsense.
	AnyVersion bool
	Log        io.Writer // what the libraries say, a line each; nil drops it
}

// GraphOptions says how a DLC's graph is built.
type GraphOptions struct {
	// Expose says of each inner tensor (dlc.Native), by its name, whether it becomes an output. nil: none.
	Expose func(name string) bool
	// Estimate asks the compiler for its estimate of the speed. Chips without a cost model give none.
	Estimate bool
}

// Description is a graph as the composer reported it, in its order.
type Description struct {
	Name    string
	Tensors []dlc.Tensor // all of them, weights and parameters too, under the names that the composer gives them (Reported); Location is what it is in the file
	Nodes   []dlc.Node   // without their parameters
	Inputs  []int        // places in Tensors of what Execute takes
	Outputs []int        // and of what it gives: the graph's outputs and the exposed tensors
	Notes   []string     // what was not understood or left out
}

// Pick gives the tensors at some places.
func (d *Description) Pick(places []int) []dlc.Tensor {
	list := make([]dlc.Tensor, 0, len(places))
	for _, i := range places {
		list = append(list, d.Tensors[i])
	}
	return list
}

// Reported is how the composer spells the name of a file's tensor: what is no letter, digit or underscore becomes an
// underscore, and one stands before a digit. Of several names with one spelling the later ones get _0, _1 and so on behind.
// Nodes keep their names.
func Reported(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			b[i] = '_'
		}
	}
	if len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
		return "_" + string(b)
	}
	return string(b)
}

// Estimate is what the compiler's cost model expects of the graph on the DSP; nothing has been run for it.
type Estimate struct {
	Events map[string]uint64 // by the library's names, such as "Simulated (Accelerator exec cycles)"; empty if there is no model of the chip
	Trace  []byte            // the simulated timeline, one JSON document in Chrome's trace format; nil if there is none
}

// taken is what the HTP takes of the parameters of some operators, of which the IR backend writes more.
//
//nolint:misspell // the API's names
var taken = map[string][]string{
	"ResizeNearestNeighbor": {"align_corners", "half_pixel_centers"},
	"ResizeBilinear":        {"align_corners", "half_pixel_centers"},
}

// takes says whether the HTP takes a parameter of an operator.
func takes(op, parameter string) bool {
	list, known := taken[op]
	return !known || slices.Contains(list, parameter)
}
