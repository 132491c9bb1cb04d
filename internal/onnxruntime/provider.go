package onnxruntime

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/ebitengine/purego"
)

// Indices into OrtApi of what plug-in providers need.
const (
	registerExecutionProviderLibrary       = 301
	getEpDevices                           = 303
	sessionOptionsAppendExecutionProvider2 = 304
	epDeviceEpName                         = 312
)

// Provider asks for a session whose nodes run on a plug-in execution provider.
type Provider struct {
	Name    string            // as it was registered
	Options map[string]string // the provider's own
	// AllowCPU lets nodes that the provider refuses run on the CPU; otherwise such a model is an error.
	AllowCPU bool
}

// RegisterProvider loads a plug-in library into the process, once per name.
func (r *Runtime) RegisterProvider(name, library string) error {
	n, l := cString(name), cString(library)
	err := r.call(registerExecutionProviderLibrary, r.env, addr(n), addr(l))
	runtime.KeepAlive(n)
	runtime.KeepAlive(l)
	return err
}

// append adds the provider to a session's options.
func (p *Provider) append(r *Runtime, options uintptr) error {
	list, count := new(uintptr), new(uintptr)
	if err := r.call(getEpDevices, r.env, onHeap(list), onHeap(count)); err != nil {
		return err
	}
	var device uintptr
	for i := range int(*count) {
		d := word(*list, i)
		if name, _, _ := purego.SyscallN(word(r.api, epDeviceEpName), d); goString(name) == p.Name {
			device = d
			break
		}
	}
	runtime.KeepAlive(list)
	runtime.KeepAlive(count)
	if device == 0 {
		return fmt.Errorf("%s offers no device on this machine", p.Name)
	}
	keys := slices.Sorted(maps.Keys(p.Options))
	var texts [][]byte
	var k, v []uintptr
	for _, key := range keys {
		a, b := cString(key), cString(p.Options[key])
		texts = append(texts, a, b)
		k, v = append(k, addr(a)), append(v, addr(b))
	}
	k, v = append(k, 0), append(v, 0) // an empty list has an address too
	devices := []uintptr{device}
	err := r.call(sessionOptionsAppendExecutionProvider2, options, r.env, addr(devices), 1, addr(k), addr(v), uintptr(len(keys)))
	runtime.KeepAlive(texts)
	runtime.KeepAlive(devices)
	return err
}
