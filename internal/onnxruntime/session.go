package onnxruntime

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"quantcheck/internal/tensor"
)

// Options says how a session is compiled.
type Options struct {
	// Rewrite lets the library rewrite the graph, as it does where nobody says otherwise. Off is the reference for a simulation:
	// every operator in float as it stands.
	Rewrite bool
	// OneThread has every run stay on the thread that calls it: for callers that make several runs beside each other.
	OneThread bool
	// ExternalDir is the folder that external tensor data is relative to.
	ExternalDir   string
	ExternalBytes int64     // of that data; what a bound on memory has to leave room for
	Provider      *Provider // nil: the CPU
	Talk          Talk      // what the session writes to the process's stderr: nothing
}

// Talk is how much a session writes to the process's stderr.
type Talk int

// A session is silent, warns, or says everything, such as which node runs where.
const (
	Silent Talk = iota
	Warnings
	Everything
)

// Type is what is known of a tensor before a run; unknown dimensions are −1. The shape is nil if nothing is known of it
// or if it is a scalar: the library does not tell these apart. Tensor is false for sequences and maps.
type Type struct {
	Tensor bool
	DType  tensor.DType
	Shape  []int64
}

// Fixed says whether the rank and every dimension are known.
func (t Type) Fixed() bool {
	if !t.Tensor || t.DType == tensor.String || len(t.Shape) == 0 {
		return false
	}
	for _, d := range t.Shape {
		if d < 0 {
			return false
		}
	}
	return true
}

// Session is a compiled model. Runs of one session may overlap.
type Session struct {
	r       *Runtime
	handle  uintptr
	inputs  []cName
	outputs []cName
}

// cName is a zero-terminated name on the heap.
type cName []byte

// NewSession compiles a model. The names are those of the model's inputs and outputs, in the order in which Run takes
// and gives them.
func (r *Runtime) NewSession(model []byte, inputs, outputs []string, o Options) (*Session, error) {
	var options handleOut
	if err := r.call(createSessionOptions, options.addr()); err != nil {
		return nil, err
	}
	opts := options.get()
	defer r.release(releaseSessionOptions, opts)
	entries := [][2]string{
		// On CPUs without VNNI, int8 products would saturate (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
		{"session.x64quantprecision", "1"},
	}
	if o.ExternalDir != "" {
		entries = append(entries, [2]string{"session.model_external_initializers_file_folder_path", o.ExternalDir})
	}
	level := uintptr(optimizationOff)
	if o.Rewrite {
		level = optimizationAll
	}
	steps := []error{
		r.call(setSessionGraphOptimizationLvl, opts, level),
		r.call(setSessionLogSeverityLevel, opts, map[Talk]uintptr{Silent: severityFatal, Warnings: severityWarning, Everything: severityVerbose}[o.Talk]),
		threads(r, opts, o.OneThread),
		// Many sessions run in turn: memory that one keeps in an arena is lost to the others. The system's allocator keeps
		// small blocks warm and gives large ones back.
		r.call(disableMemPattern, opts),
		r.call(disableCPUMemArena, opts),
	}
	if p := o.Provider; p != nil {
		if !p.AllowCPU {
			entries = append(entries, [2]string{"session.disable_cpu_ep_fallback", "1"})
		}
		steps = append(steps, p.append(r, opts))
	}
	for _, e := range entries {
		key, value := cString(e[0]), cString(e[1])
		steps = append(steps, r.call(addSessionConfigEntry, opts, addr(key), addr(value)))
		runtime.KeepAlive(key)
		runtime.KeepAlive(value)
	}
	if err := errors.Join(steps...); err != nil {
		return nil, err
	}
	s := &Session{r: r}
	for _, n := range inputs {
		s.inputs = append(s.inputs, cString(n))
	}
	for _, n := range outputs {
		s.outputs = append(s.outputs, cString(n))
	}
	var handle handleOut
	err := r.call(createSessionFromArray, r.env, addr(model), uintptr(len(model)), opts, handle.addr())
	runtime.KeepAlive(model)
	s.handle = handle.get()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// threads has a session use the library's shared threads, or none.
func threads(r *Runtime, opts uintptr, one bool) error {
	if one {
		return r.call(setIntraOpNumThreads, opts, 1)
	}
	return r.call(disablePerSessionThreads, opts)
}

// Close frees the session; it must not be running.
func (s *Session) Close() {
	s.r.release(releaseSession, s.handle)
	s.handle = 0
}

// OutputTypes tells what shape inference found out about each output.
func (s *Session) OutputTypes() ([]Type, error) {
	types := make([]Type, len(s.outputs))
	for i := range s.outputs {
		var info handleOut
		if err := s.r.call(sessionGetOutputTypeInfo, s.handle, uintptr(i), info.addr()); err != nil {
			return nil, err
		}
		h := info.get()
		var tensorInfo handleOut
		err := s.r.call(castTypeInfoToTensorInfo, h, tensorInfo.addr())
		if t := tensorInfo.get(); err == nil && t != 0 {
			types[i], err = s.r.readType(t)
		}
		s.r.release(releaseTypeInfo, h)
		if err != nil {
			return nil, err
		}
	}
	return types, nil
}

func (r *Runtime) readType(info uintptr) (Type, error) {
	element, count := new(uint32), new(uintptr)
	if err := r.call(getTensorElementType, info, onHeap(element)); err != nil {
		return Type{}, err
	}
	if err := r.call(getDimensionsCount, info, onHeap(count)); err != nil {
		return Type{}, err
	}
	t := Type{Tensor: true, DType: tensor.DType(*element)}
	if *count > 0 {
		t.Shape = make([]int64, *count)
		if err := r.call(getDimensions, info, addr(t.Shape), *count); err != nil {
			return Type{}, err
		}
	}
	runtime.KeepAlive(element)
	runtime.KeepAlive(count)
	return t, nil
}

// Lend gives memory for an output whose type and shape are known only after a run; i is its place among the outputs.
type Lend func(i int, d tensor.DType, shape []int64) (tensor.Tensor, error)

// Run makes one inference. An output that has a type is written into. For one without (DType Undefined), lend gives memory once
// its shape is known, and the values are copied there; it stays as it is if the value is no numeric tensor. What lend has given
// stands in outputs beside an error, too. When ctx ends, the run stops after the operator it is at and gives ctx's error.
func (s *Session) Run(ctx context.Context, inputs, outputs []tensor.Tensor, lend Lend) error {
	if len(inputs) != len(s.inputs) || len(outputs) != len(s.outputs) {
		return fmt.Errorf("session has %d inputs and %d outputs, got %d and %d", len(s.inputs), len(s.outputs), len(inputs), len(outputs))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r := s.r
	in, err := r.values(inputs)
	defer r.releaseAll(in)
	if err != nil {
		return err
	}
	out, err := r.values(outputs)
	defer func() { r.releaseAll(out) }() // those too that the library makes
	if err != nil {
		return err
	}
	var optionsOut handleOut
	if err := r.call(createRunOptions, optionsOut.addr()); err != nil {
		return err
	}
	options := optionsOut.get()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = r.call(runOptionsSetTerminate, options)
		close(stopped)
	})
	defer func() {
		if !stop() {
			<-stopped
		}
		r.release(releaseRunOptions, options)
	}()

	inNames, outNames := namePointers(s.inputs), namePointers(s.outputs)
	err = r.call(run, s.handle, options, addr(inNames), addr(in), uintptr(len(in)), addr(outNames), uintptr(len(out)), addr(out))
	runtime.KeepAlive(inNames)
	runtime.KeepAlive(outNames)
	runtime.KeepAlive(inputs)
	for i := range outputs {
		if err == nil && outputs[i].DType == tensor.Undefined && out[i] != 0 {
			err = r.copyOut(out[i], func(d tensor.DType, shape []int64) (tensor.Tensor, error) {
				t, err := lend(i, d, shape)
				outputs[i] = t
				return t, err
			})
		}
	}
	runtime.KeepAlive(outputs)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// nothing gives a tensor without elements an address.
var nothing [1]byte

// values wraps tensors' memory, which must not be used for anything else while a run reads or writes it; 0 stands for a tensor
// without a type. Beside an error it gives those that were made.
func (r *Runtime) values(list []tensor.Tensor) ([]uintptr, error) {
	values := make([]uintptr, len(list))
	for i, t := range list {
		if t.DType == tensor.Undefined {
			continue
		}
		data, size := addr(t.Raw), len(t.Raw)
		if t.DType == tensor.Float32 {
			data, size = addr(t.F32), 4*len(t.F32)
		}
		if size == 0 {
			data = addr(nothing[:])
		}
		shape := append(make([]int64, 0, len(t.Shape)+1), t.Shape...)
		var handle handleOut
		err := r.call(createTensorWithDataAsOrtValue, r.memory, data, uintptr(size), addr(shape), uintptr(len(shape)), uintptr(t.DType), handle.addr())
		runtime.KeepAlive(shape)
		values[i] = handle.get()
		if err != nil {
			return values, err
		}
	}
	return values, nil
}

func (r *Runtime) releaseAll(values []uintptr) {
	for _, v := range values {
		r.release(releaseValue, v)
	}
}

// copyOut copies a tensor that the library allocated into lent memory.
func (r *Runtime) copyOut(value uintptr, lend func(tensor.DType, []int64) (tensor.Tensor, error)) error {
	kind := new(uint32)
	if err := r.call(getValueType, value, onHeap(kind)); err != nil || *kind != onnxTypeTensor {
		return err
	}
	var info handleOut
	if err := r.call(getTensorTypeAndShape, value, info.addr()); err != nil {
		return err
	}
	h := info.get()
	t, err := r.readType(h)
	r.release(releaseTensorTypeAndShapeInfo, h)
	if err != nil || t.DType.Bits() == 0 {
		return err
	}
	count, err := tensor.Count(t.Shape)
	if err != nil {
		return err
	}
	var data handleOut
	if err := r.call(getTensorMutableData, value, data.addr()); err != nil {
		return err
	}
	c, err := lend(t.DType, t.Shape)
	if err != nil {
		return err
	}
	p := foreign(data.get())
	if t.DType == tensor.Float32 {
		copy(c.F32, unsafe.Slice((*float32)(p), count))
	} else {
		copy(c.Raw, unsafe.Slice((*byte)(p), tensor.ByteSize(t.DType, count)))
	}
	return nil
}

func namePointers(names []cName) []uintptr {
	p := make([]uintptr, len(names))
	for i, n := range names {
		p[i] = addr(n)
	}
	return p
}
