//go:build !linux

package cpu

import (
	"context"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/ort"
)

// Engine is an ort.Engine in this process.
type Engine struct{ ort.Engine }

// Open loads the library into this process. The options' bounds have no effect.
func Open(_ context.Context, o Options) (*Engine, error) {
	r, err := onnxruntime.Open(o.Library, o.Threads)
	if err != nil {
		return nil, err
	}
	return &Engine{ort.InProcess(r)}, nil
}

// Close does nothing.
func (*Engine) Close() {}

// PID is 0: there is no worker.
func (*Engine) PID() int { return 0 }

// Left is 0: nothing is shared.
func Left() int64 { return 0 }

// IsWorker says whether this process was started to be a worker: never on this system.
func IsWorker() bool { return false }

// Work is not there on this system.
func Work() int { return 1 }
