package htp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/worker"
	"quantcheck/internal/tensor"
)

// IsWorker says whether this process was started to be a worker of this room; it then calls Work and exits.
func IsWorker() bool { return worker.Is(kind) }

// Work is the worker. It gives the exit status.
func Work() int { return worker.Serve(open) }

// graph is a session with its tensors.
type graph struct {
	session         *onnxruntime.Session
	inputs, outputs []tensor.Tensor
}

// open opens a session. Beside an error the graph's detail may hold the refused operators.
func open(request []byte) (worker.Graph, error) {
	var l load
	if err := json.Unmarshal(request, &l); err != nil {
		return worker.Graph{}, err
	}
	w := &graph{}
	told, err := w.open(l)
	g := worker.Graph{Detail: told, Run: w.run}
	if err != nil {
		return g, err
	}
	var openName string
	var ok bool
	if g.Bytes, openName, ok = place(0, told.Inputs); ok {
		g.Bytes, openName, ok = place(g.Bytes, told.Outputs)
	}
	if !ok {
		return g, fmt.Errorf("the tensor %s has no fixed shape", openName)
	}
	g.Bind = func(memory []byte) error { w.bind(told, memory); return nil }
	return g, nil
}

func (w *graph) open(l load) (opened, error) {
	r, err := onnxruntime.Open(l.Library, 2)
	if err != nil {
		return opened{}, err
	}
	const provider = "QNNExecutionProvider"
	if err := r.RegisterProvider(provider, l.Provider); err != nil {
		return opened{}, fmt.Errorf("load %s: %w", l.Provider, err)
	}
	model, err := worker.Model()
	if err != nil {
		return opened{}, err
	}
	var names []string
	for _, in := range l.Inputs {
		names = append(names, in.Name)
	}
	a := opened{Inputs: l.Inputs}
	open := func(allowCPU bool, talk onnxruntime.Talk) (*onnxruntime.Session, error) {
		if err := l.clear(); err != nil {
			return nil, err
		}
		return r.NewSession(model, names, l.Outputs, onnxruntime.Options{
			Rewrite: l.Rewrite, ExternalDir: l.External, Talk: talk, Provider: &onnxruntime.Provider{Name: provider, Options: l.Options, AllowCPU: allowCPU},
		})
	}
	if w.session, err = open(false, onnxruntime.Warnings); err != nil {
		// Once more with everything said, for the reasons.
		second, secondErr := open(true, onnxruntime.Everything)
		log := worker.Log()
		if a.Refused = refusals(log); len(a.Refused) == 0 && secondErr == nil && !l.AllowCPU { // refused without a word
			for _, node := range placedOnCPU(log) {
				a.Refused = append(a.Refused, Refusal{Node: node, Op: nodeType(log, node), Reason: noReason})
			}
		}
		switch {
		case len(a.Refused) == 0 || secondErr != nil:
			return a, errors.Join(err, secondErr)
		case !l.AllowCPU:
			second.Close()
			return a, errors.New("refused")
		}
		w.session, a.OnCPU = second, placedOnCPU(log)
	}
	if l.Options[profileOption] != "" { // nothing is run, so outputs may have any type and shape
		return a, nil
	}
	types, err := w.session.OutputTypes()
	if err != nil {
		return a, err
	}
	for i, name := range l.Outputs {
		a.Outputs = append(a.Outputs, slot{Name: name, DType: types[i].DType, Shape: types[i].Shape})
	}
	return a, nil
}

// clear removes what a session before may have left in this folder, be it another worker's: the provider would append to it.
func (l load) clear() error {
	if l.Options[profileOption] == "" {
		return nil
	}
	left, err := filepath.Glob("*_schematic.bin")
	if err != nil {
		return err
	}
	for _, file := range append(left, profileFile, timelineFile) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// bind makes the tensors in the shared memory.
func (w *graph) bind(told opened, memory []byte) {
	for _, x := range told.Inputs {
		w.inputs = append(w.inputs, x.tensor(memory))
	}
	for _, x := range told.Outputs {
		w.outputs = append(w.outputs, x.tensor(memory))
	}
}

// tensor is the slot's memory as a tensor.
func (s slot) tensor(memory []byte) tensor.Tensor {
	t := tensor.Tensor{DType: s.DType, Shape: s.Shape}
	bytes := memory[s.Offset : s.Offset+s.Bytes]
	if s.DType == tensor.Float32 {
		t.F32 = onnxruntime.Mapped(bytes)
	} else {
		t.Raw = bytes
	}
	return t
}

func (w *graph) run() (any, error) {
	return nil, w.session.Run(context.Background(), w.inputs, w.outputs, nil) // every output has a type
}
