package qnnworker

import (
	"encoding/json"
	"os"
	"slices"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner/worker"
)

// IsWorker says whether this process was started to be a worker of this room; it then calls Work and exits.
func IsWorker() bool { return worker.Is(kind) }

// Work is the worker. It gives the exit status.
func Work() int {
	return worker.Serve(func(line []byte) (worker.Graph, error) {
		g, t, err := build(line)
		if err != nil {
			return worker.Graph{Detail: told{Failure: failureOf(err)}}, err
		}
		w := &served{graph: g}
		w.places[0], w.end = place(0, g.Pick(g.Inputs))
		w.places[1], w.end = place(w.end, g.Pick(g.Outputs))
		return worker.Graph{Bytes: w.end, Detail: t, Bind: w.bind, Run: w.run}, nil
	})
}

// build lets the libraries build the graph.
func build(line []byte) (*compose.Graph, told, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, told{}, err
	}
	b, err := compose.Open(qnn.Kit{Dir: r.Libraries}, compose.Options{SoC: r.SoC, AnyVersion: r.AnyVersion, Log: os.Stderr})
	if err != nil {
		return nil, told{}, err
	}
	expose := func(name string) bool {
		_, named := slices.BinarySearch(r.Expose, name)
		return r.All || named
	}
	g, err := b.Compose(worker.ModelPath(), compose.GraphOptions{Expose: expose, Estimate: r.Estimate})
	if err != nil {
		return nil, told{}, err
	}
	t := told{Core: b.Core, Graph: g.Description}
	if x := g.Estimate(); x != nil {
		t.Events = x.Events
		if x.Trace != nil {
			err = atomicfile.PutUnsynced(traceFile, atomicfile.Bytes(x.Trace))
		}
	}
	return g, t, err
}

// served is a graph with its buffers in the shared memory.
type served struct {
	graph           *compose.Graph
	places          [2][]int // of inputs and outputs
	end             int
	inputs, outputs [][]byte
}

func (w *served) bind(memory []byte) error {
	cut := func(places []int, tensors []dlc.Tensor) [][]byte {
		var list [][]byte
		for i, t := range tensors {
			list = append(list, memory[places[i]:places[i]+int(t.Bytes())])
		}
		return list
	}
	w.inputs, w.outputs = cut(w.places[0], w.graph.Pick(w.graph.Inputs)), cut(w.places[1], w.graph.Pick(w.graph.Outputs))
	return nil
}

func (w *served) run() (any, error) {
	if err := w.graph.Execute(w.inputs, w.outputs); err != nil {
		return told{Failure: failureOf(err)}, err
	}
	return nil, nil
}
