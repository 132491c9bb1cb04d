// Package cpu runs ONNX Runtime's CPU in a process of its own: this program once more. What crashes, never ends, or takes too much
// memory there costs an error, not the program.
//
//		this process                                        worker: one per engine, with all of its sessions
//		Engine ── models, requests ──► socket ────────────► Work: onnxruntime
//		       ── tensors ──► memory that both have mapped ◄──► read and written where they lie
//
//	 1. Open starts a worker. Sessions are compiled there; runs of many sessions may overlap.
//	 2. Arenas of the engine lend from the shared memory, so that no tensor is copied; others are copied on their way.
//	 3. A worker that dies gives every session of it an error (ort.CrashError, ort.MemoryError); the next session starts a new one.
//	 4. A run that has not ended a moment after its context, or within the time limit, ends with its worker.
//	 5. The worker ends when this process is gone.
//
// On systems other than Linux the library runs in this process.
package cpu

import "time"

// kind is what the workers of this room are started as.
const kind = "cpu"

// Options says what an engine is.
type Options struct {
	Library string // a path
	Threads int    // of the pool that all sessions share
	Memory  int64  // bytes; what the worker takes beside models and a fixed share for the library is held against it; 0: no bound
	// TimeLimit ends an inference of one session, or the compiling of one, that has not ended by then; 0: there is none.
	TimeLimit time.Duration
}

// patience is how long a run that was told to stop has for it, before its worker is ended.
const patience = 500 * time.Millisecond
