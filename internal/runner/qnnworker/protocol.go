package qnnworker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner/worker"
)

// kind is what the workers of this room are started as.
const kind = "dlc"

// request opens a graph.
type request struct {
	Libraries  string   `json:"libraries"` // folder
	SoC        int      `json:"soc_model"`
	AnyVersion bool     `json:"any_version"`
	All        bool     `json:"all"`
	Expose     []string `json:"expose"` // the composer's names
	Estimate   bool     `json:"estimate"`
}

// told is what the worker says of a graph, or of what went wrong.
type told struct {
	Core    [3]int              `json:"core"`
	Graph   compose.Description `json:"graph"`
	Events  map[string]uint64   `json:"events,omitempty"` // the estimate's; its timeline lies in the worker's folder
	Failure *failure            `json:"failure,omitempty"`
}

const traceFile = "quantcheck-trace.json"

// failure carries typed errors over.
type failure struct {
	QNN         *compose.Error        `json:"qnn,omitempty"`
	Version     *compose.VersionError `json:"version,omitempty"`
	Unavailable bool                  `json:"unavailable,omitempty"`
}

// failureOf takes an error apart.
func failureOf(err error) *failure {
	f := &failure{Unavailable: errors.Is(err, qnn.ErrUnavailable)}
	errors.As(err, &f.QNN)
	errors.As(err, &f.Version)
	return f
}

// failed puts an answer's error together again. The library knows the file by the worker's name for it.
func failed(path string) func(worker.Answer) error {
	return func(a worker.Answer) error {
		var t told
		if len(a.Detail) > 0 {
			if err := json.Unmarshal(a.Detail, &t); err != nil {
				return err
			}
		}
		if t.Failure == nil {
			return nil
		}
		switch f := t.Failure; {
		case f.Version != nil:
			return f.Version
		case f.QNN != nil:
			for i, line := range f.QNN.Lines {
				f.QNN.Lines[i] = strings.ReplaceAll(line, worker.ModelPath(), path)
			}
			return f.QNN
		case f.Unavailable:
			return fmt.Errorf("%w: %s", qnn.ErrUnavailable, strings.TrimPrefix(a.Error, qnn.ErrUnavailable.Error()+": "))
		}
		return fmt.Errorf("%s", a.Error)
	}
}

// place gives the tensors their places in the shared memory, one behind the other, and where the last one ends.
func place(at int, tensors []dlc.Tensor) (places []int, end int) {
	for _, t := range tensors {
		places = append(places, at)
		at = worker.Align(at + int(t.Bytes()))
	}
	return places, at
}
