package ort

import (
	"context"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Engine is ONNX Runtime's CPU: in this process (InProcess) or in a process of its own (runner/cpu). It may be used by many
// goroutines.
type Engine interface {
	About() About
	// NewSession compiles a model. The names are those of the model's inputs and outputs, in the order in which Run takes and
	// gives them. The model's bytes may be used again after the call.
	NewSession(model []byte, inputs, outputs []string, o onnxruntime.Options) (Session, error)
	// NewArena makes an arena of tensors that the engine reads and writes where they lie; others it may have to copy.
	NewArena(keep int64) *runner.Arena
	// ReturnMemory gives back to the system what closed sessions have left.
	ReturnMemory()
}

// About says what an engine is.
type About struct {
	Path    string // of the library
	Version string // of the library
	Threads int    // of the pool that all sessions share
	Memory  int64  // no tensor may take more bytes; 0: there is no bound
}

// Session is a compiled model. Runs of one session may overlap.
type Session interface {
	// Run makes one inference; see onnxruntime.Session.Run.
	Run(ctx context.Context, inputs, outputs []tensor.Tensor, lend onnxruntime.Lend) error
	// OutputTypes tells what shape inference found out about each output.
	OutputTypes() ([]onnxruntime.Type, error)
	// Close frees the session; it must not be running.
	Close()
}

// InProcess is the library in this process: what crashes in it crashes this program.
func InProcess(r *onnxruntime.Runtime) Engine { return inProcess{r} }

type inProcess struct{ r *onnxruntime.Runtime }

func (e inProcess) About() About {
	return About{Path: e.r.Path, Version: e.r.Version, Threads: e.r.Threads}
}

func (e inProcess) NewSession(model []byte, inputs, outputs []string, o onnxruntime.Options) (Session, error) {
	s, err := e.r.NewSession(model, inputs, outputs, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (e inProcess) NewArena(keep int64) *runner.Arena { return runner.NewArena(keep) }

func (e inProcess) ReturnMemory() { e.r.ReturnMemory() }
