// Package qnnworker runs a user's own DLC, as a converter wrote it, on Qualcomm's HTP emulator, with any of its tensors exposed.
//
//  1. New reads the file (internal/dlc), starts a worker process, and lets Qualcomm's composer build the graph there
//     (internal/qnn/compose). The composer spells names in its own way; every tensor gets the file's name beside it.
//  2. What the composer says of the encodings is held against what our reader says; where they disagree a note says so.
//  3. Runner.Run puts bytes into the shared memory and gives what comes out, in the tensors' own types.
//
// Estimate asks the compiler what it expects of the graph's speed, without running it.
package qnnworker

import (
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn"
)

// DefaultSoC is QCS8550, the RVC4's chip, as the libraries number it.
const DefaultSoC = 66

// Engine says what emulates what.
type Engine struct {
	Kit qnn.Kit `json:"-"`
	SoC int     `json:"soc_model"` // 0: DefaultSoC
	// AnyVersion takes libraries of another version than the one that was tried, which may crash the worker. They have to
	// compute a known network first.
	AnyVersion bool `json:"any_version,omitempty"`
}

func (e Engine) soc() int {
	if e.SoC == 0 {
		return DefaultSoC
	}
	return e.SoC
}

// Options says what a runner exposes.
type Options struct {
	All bool // every tensor that an operator makes
	// Expose names tensors, as the file or as the composer spells them; an output may be among them.
	Expose  []string
	Scratch string // where the worker's folder is made; "": where the system has such
}

// Tensor is a tensor as the composer reports it. Its Name is the composer's.
type Tensor struct {
	dlc.Tensor
	Own string // its name in the file; "" for what the composer adds: parameters of nodes, and helpers
}

// Called is the name by which people know the tensor: the file's, else the composer's.
func (t Tensor) Called() string {
	if t.Own != "" {
		return t.Own
	}
	return t.Name
}

// ErrNotDLC means that a file is no DLC or a damaged one.
var ErrNotDLC = errors.New("this is no DLC that can be run")

// ErrOldVersion means a DLC of SNPE 1.x, which Qualcomm's own composer does not take.
var ErrOldVersion = errors.New("a DLC of SNPE 1.x cannot be run on the emulator; convert the model again with SNPE 2 or QAIRT (info and diff read this file too, and dumps of a board can be compared)")

// UnknownTensorError names tensors that were to be exposed and cannot be.
type UnknownTensorError struct{ Names []string }

func (e *UnknownTensorError) Error() string {
	return fmt.Sprintf("no operator of the DLC makes a tensor %s", quoted(e.Names))
}

// InputError means that the inputs that were given are not those of the graph.
type InputError struct{ Missing, Unknown []string }

func (e *InputError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, "no input was given for "+quoted(e.Missing))
	}
	if len(e.Unknown) > 0 {
		parts = append(parts, "the graph has no input "+quoted(e.Unknown))
	}
	return strings.Join(parts, "; ")
}

// quoted lists names for people.
func quoted(names []string) string {
	const most = 5
	var list []string
	for i, n := range names {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		list = append(list, fmt.Sprintf("%q", n))
	}
	return strings.Join(list, ", ")
}
