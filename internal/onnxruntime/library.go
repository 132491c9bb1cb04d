// Package onnxruntime is a thin binding of ONNX Runtime's C interface through purego, without cgo.
//
//  1. Find names the shared library (Install fetches it), Open loads it and makes the process's environment: one thread pool and one memory
//     arena for all sessions.
//  2. NewSession compiles a model that was built in memory.
//  3. Session.Run takes and gives tensors; outputs land in memory that the caller provides wherever their shapes are known.
//
// It is a room with unsafe code. The function table is append-only, so its indices hold for every later
// release (https://onnxruntime.ai/docs/api/c/struct_ort_api.html).
package onnxruntime

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// apiVersion is the version of the function table that is asked for; libraries from 1.24 on provide it.
const apiVersion = 24

// ErrNoLibrary means that no ONNX Runtime library was found or could be loaded.
var ErrNoLibrary = errors.New("ONNX Runtime is not available")

// Indices into OrtApi.
const (
	getErrorMessage                = 2
	createSessionFromArray         = 8
	run                            = 9
	disableMemPattern              = 17
	disableCPUMemArena             = 19
	createSessionOptions           = 10
	setSessionLogSeverityLevel     = 22
	setSessionGraphOptimizationLvl = 23
	setIntraOpNumThreads           = 24
	sessionGetOutputTypeInfo       = 34
	createRunOptions               = 39
	runOptionsSetTerminate         = 46
	createTensorWithDataAsOrtValue = 49
	getTensorMutableData           = 51
	castTypeInfoToTensorInfo       = 55
	getTensorElementType           = 60
	getDimensionsCount             = 61
	getDimensions                  = 62
	getTensorTypeAndShape          = 65
	getValueType                   = 67
	createCPUMemoryInfo            = 69
	releaseStatus                  = 93
	releaseSession                 = 95
	releaseValue                   = 96
	releaseRunOptions              = 97
	releaseTypeInfo                = 98
	releaseTensorTypeAndShapeInfo  = 99
	releaseSessionOptions          = 100
	createEnvWithGlobalThreadPools = 119
	disablePerSessionThreads       = 120
	createThreadingOptions         = 121
	releaseThreadingOptions        = 122
	addSessionConfigEntry          = 130
	setGlobalIntraOpNumThreads     = 147
	setGlobalSpinControl           = 149
	optimizationOff                = 0
	optimizationAll                = 99
	onnxTypeTensor                 = 1
	arenaAllocator, memoryDefault  = 1, 0
	severityVerbose                = 0
	severityWarning                = 2
	severityFatal                  = 4
)

// Runtime is the loaded library with its environment. It may be used by many goroutines.
type Runtime struct {
	Path    string
	Version string
	Threads int // of the pool that all sessions share

	api    uintptr
	env    uintptr
	memory uintptr // describes CPU memory
}

var (
	openMu sync.Mutex
	opened *Runtime // the library allows one environment per process
)

// Open loads the library and makes the process's environment with a shared pool of threads (at least 1). A second call
// gives the same Runtime and must ask for the same library and number of threads.
func Open(path string, threads int) (*Runtime, error) {
	openMu.Lock()
	defer openMu.Unlock()
	if opened != nil {
		if opened.Path != path || opened.Threads != threads {
			return nil, fmt.Errorf("ONNX Runtime is already open: %s with %d threads", opened.Path, opened.Threads)
		}
		return opened, nil
	}
	if threads < 1 {
		return nil, fmt.Errorf("%d threads", threads)
	}
	if err := silence(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	frugal()
	getBase, err := purego.Dlsym(handle, "OrtGetApiBase")
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not ONNX Runtime: %w", ErrNoLibrary, path, err)
	}
	base, _, _ := purego.SyscallN(getBase)
	getAPI, getVersion := word(base, 0), word(base, 1)
	version, _, _ := purego.SyscallN(getVersion)
	r := &Runtime{Path: path, Threads: threads, Version: goString(version)}
	if r.api, _, _ = purego.SyscallN(getAPI, apiVersion); r.api == 0 {
		return nil, fmt.Errorf("%w: %s is version %s, 1.24 or later is needed", ErrNoLibrary, path, r.Version)
	}
	if err := r.createEnvironment(); err != nil {
		return nil, err
	}
	opened = r
	return r, nil
}

// frugal makes glibc give blocks from 4 MiB on back to the system when they are freed (by default it keeps ever larger ones), and take
// small ones from two heaps (by default from up to eight per core, each with holes of its own where sessions come and go). Where there
// are no such settings nothing is lost.
func frugal() {
	const (
		mmapThreshold, bytes = ^uintptr(2), 4 << 20 // M_MMAP_THRESHOLD is −3
		arenaMax, heaps      = ^uintptr(7), 2       // M_ARENA_MAX is −8
	)
	if mallopt, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallopt"); err == nil {
		_, _, _ = purego.SyscallN(mallopt, mmapThreshold, bytes)
		_, _, _ = purego.SyscallN(mallopt, arenaMax, heaps)
	}
}

// ReturnMemory gives back to the system what closed sessions have left free within the C library's heap, which keeps it otherwise.
// Where there is no such function nothing happens.
func (*Runtime) ReturnMemory() {
	if trim, err := purego.Dlsym(purego.RTLD_DEFAULT, "malloc_trim"); err == nil {
		_, _, _ = purego.SyscallN(trim, 0)
	}
}

func (r *Runtime) createEnvironment() error {
	var threading, memory handleOut
	if err := r.call(createThreadingOptions, threading.addr()); err != nil {
		return err
	}
	defer r.release(releaseThreadingOptions, threading.get())
	if err := r.call(setGlobalIntraOpNumThreads, threading.get(), uintptr(r.Threads)); err != nil {
		return err
	}
	// Threads that spin between two inferences would take the cores from the metrics beside them.
	if err := r.call(setGlobalSpinControl, threading.get(), 0); err != nil {
		return err
	}
	var env handleOut
	name := cString("quantcheck")
	err := r.call(createEnvWithGlobalThreadPools, severityFatal, addr(name), threading.get(), env.addr())
	runtime.KeepAlive(name)
	if err != nil {
		return err
	}
	r.env = env.get()
	if err := r.call(disableTelemetryEvents, r.env); err != nil {
		return err
	}
	if err := r.call(createCPUMemoryInfo, arenaAllocator, memoryDefault, memory.addr()); err != nil {
		return err
	}
	r.memory = memory.get()
	return nil
}

// Error is what ONNX Runtime says.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

// call calls a function of the table that gives a status.
func (r *Runtime) call(index int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(word(r.api, index), args...)
	if status == 0 {
		return nil
	}
	message, _, _ := purego.SyscallN(word(r.api, getErrorMessage), status)
	err := &Error{Message: strings.TrimSpace(goString(message))}
	r.release(releaseStatus, status)
	return err
}

func (r *Runtime) release(index int, handle uintptr) {
	if handle != 0 {
		_, _, _ = purego.SyscallN(word(r.api, index), handle)
	}
}

// handleOut is an out-parameter on the heap: memory that C writes into must not move.
type handleOut struct{ p *uintptr }

func (h *handleOut) addr() uintptr {
	h.p = new(uintptr)
	return onHeap(h.p)
}

func (h *handleOut) get() uintptr { return *h.p }

// onHeap gives an address that stays valid while the caller holds p: what it points to is on the heap, since for all
// the compiler knows it is stored in a package variable, and heap memory does not move.
func onHeap[T any](p *T) uintptr {
	if escapes {
		sink = p
		runtime.KeepAlive(sink)
	}
	return uintptr(unsafe.Pointer(p))
}

var (
	escapes bool // never true
	sink    any
)

// word reads entry i of a table of pointers that C owns.
func word(table uintptr, i int) uintptr {
	return *(*uintptr)(unsafe.Add(foreign(table), i*int(unsafe.Sizeof(table))))
}

// foreign turns an address that C owns into a pointer; the garbage collector does not know such memory.
func foreign(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

func goString(address uintptr) string {
	if address == 0 {
		return ""
	}
	p := (*byte)(foreign(address))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// cString is a zero-terminated copy; the caller keeps it alive over the call.
func cString(s string) []byte { return append([]byte(s), 0) }

// addr is the address of a slice's first element; the caller keeps the slice alive.
func addr[T any](s []T) uintptr { return onHeap(unsafe.SliceData(s)) }
