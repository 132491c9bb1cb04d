package htp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// IsWorker says whether this process was started to be a worker; it then calls Work and exits.
func IsWorker() bool { return os.Getenv(workerVariable) != "" }

// Work is the worker: it opens one session and makes inferences until its requests end. It gives the exit status.
func Work() int {
	requests := make(chan []byte)
	go func() {
		r := bufio.NewReaderSize(os.NewFile(requestFile, "requests"), 1<<20)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				os.Exit(0) // the parent is gone or done, be a run under way or not
			}
			requests <- line
		}
	}()
	answers := json.NewEncoder(os.NewFile(answerFile, "answers"))
	w := &worker{}
	var l load
	if err := json.Unmarshal(<-requests, &l); err != nil {
		return 1
	}
	if err := answers.Encode(w.open(l)); err != nil {
		return 1
	}
	for range requests {
		if err := answers.Encode(w.run()); err != nil {
			return 1
		}
	}
	return 0
}

type worker struct {
	session         *onnxruntime.Session
	inputs, outputs []*onnxruntime.Value
}

func (w *worker) open(l load) answer {
	started := time.Now()
	a, err := w.tryOpen(l)
	if err != nil {
		a.Error = err.Error()
	}
	a.Seconds = time.Since(started).Seconds()
	return a
}

func (w *worker) tryOpen(l load) (answer, error) {
	r, err := onnxruntime.Open(l.Library, 2)
	if err != nil {
		return answer{}, err
	}
	const provider = "QNNExecutionProvider"
	if err := r.RegisterProvider(provider, l.Provider); err != nil {
		return answer{}, fmt.Errorf("load %s: %w", l.Provider, err)
	}
	model, err := io.ReadAll(os.NewFile(modelFile, "model"))
	if err != nil {
		return answer{}, err
	}
	var names []string
	for _, in := range l.Inputs {
		names = append(names, in.Name)
	}
	a := answer{Inputs: l.Inputs}
	open := func(allowCPU bool, talk onnxruntime.Talk) (*onnxruntime.Session, error) {
		return r.NewSession(model, names, l.Outputs, onnxruntime.Options{
			ExternalDir: l.External, Talk: talk, Provider: &onnxruntime.Provider{Name: provider, Options: l.Options, AllowCPU: allowCPU},
		})
	}
	if w.session, err = open(false, onnxruntime.Warnings); err != nil {
		// Once more with everything said, for the reasons.
		second, secondErr := open(true, onnxruntime.Everything)
		log := readLog()
		a.Refused = refusals(log)
		switch {
		case len(a.Refused) == 0 || secondErr != nil:
			return a, errors.Join(err, secondErr)
		case !l.AllowCPU:
			second.Close()
			return a, errors.New("refused")
		}
		w.session, a.OnCPU = second, placedOnCPU(log)
	}
	types, err := w.session.OutputTypes()
	if err != nil {
		return a, err
	}
	for i, name := range l.Outputs {
		a.Outputs = append(a.Outputs, slot{Name: name, DType: types[i].DType, Shape: types[i].Shape})
	}
	var openName string
	var ok bool
	if a.Bytes, openName, ok = place(0, a.Inputs); ok {
		a.Bytes, openName, ok = place(a.Bytes, a.Outputs)
	}
	if !ok {
		return a, fmt.Errorf("the tensor %s has no fixed shape", openName)
	}
	if err := unix.Ftruncate(memoryFile, int64(max(a.Bytes, 1))); err != nil {
		return a, err
	}
	memory, err := unix.Mmap(memoryFile, 0, max(a.Bytes, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return a, err
	}
	for _, in := range a.Inputs {
		v, err := r.NewValue(in.tensor(memory))
		if err != nil {
			return a, err
		}
		w.inputs = append(w.inputs, v)
	}
	for _, out := range a.Outputs {
		v, err := r.NewValue(out.tensor(memory))
		if err != nil {
			return a, err
		}
		w.outputs = append(w.outputs, v)
	}
	return a, nil
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

func (w *worker) run() answer {
	started := time.Now()
	a := answer{}
	if _, err := w.session.Run(context.Background(), w.inputs, w.outputs); err != nil {
		a.Error = err.Error()
	}
	a.Seconds = time.Since(started).Seconds()
	return a
}

// readLog reads what the process has written so far: its stderr is a file.
func readLog() string {
	f, err := os.Open("/proc/self/fd/2")
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 256 << 20
	b, _ := io.ReadAll(io.LimitReader(f, most))
	return string(b)
}
