package compose

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ebitengine/purego"

	"quantcheck/internal/abi"
	"quantcheck/internal/qnn"
)

// Backend is the emulator of one chip's DSP. Its graphs may be composed and executed by one goroutine at a time.
type Backend struct {
	Core [3]int // version of the core API: major, minor, patch

	api, system     uint64 // the two tables
	journal         *journal
	logger          uint64
	systemLogger    uint64
	backend, device uint64

	ours []uintptr    // the table that the composer is handed
	now  *composition // under way
}

var (
	openMu sync.Mutex
	opened bool // the libraries hold state of the process, callbacks are never given back
)

// Open loads the libraries and makes the backend. A process can do it once. The error is a *VersionError for libraries of
// another version, an *Error if a call fails, and qnn.ErrUnavailable if they cannot be loaded.
func Open(kit qnn.Kit, o Options) (*Backend, error) {
	openMu.Lock()
	defer openMu.Unlock()
	if opened {
		return nil, errors.New("the backend of this process is already open")
	}
	b := &Backend{journal: &journal{to: o.Log}}
	var err error
	if b.api, err = table(kit.HTP(), "QnnInterface_getProviders"); err != nil {
		return nil, err
	}
	for i, v := range array[uint32](b.api+16, 3) {
		b.Core[i] = int(v)
	}
	if (b.Core[0] != coreMajor || b.Core[1] != coreMinor) && !o.AnyVersion {
		return nil, &VersionError{b.Core[0], b.Core[1], b.Core[2]}
	}
	if b.system, err = table(kit.System(), "QnnSystemInterface_getProviders"); err != nil {
		return nil, err
	}
	if b.journal.vsnprintf, err = purego.Dlsym(purego.RTLD_DEFAULT, "vsnprintf"); err != nil {
		return nil, fmt.Errorf("%w: %w", qnn.ErrUnavailable, err)
	}
	opened = true
	if err := b.intercept(); err != nil {
		return nil, err
	}
	if err := b.create(o.SoC); err != nil {
		return nil, err
	}
	return b, nil
}

// table loads a library and gives its table of functions.
func table(library, symbol string) (uint64, error) {
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", qnn.ErrUnavailable, err)
	}
	get, err := purego.Dlsym(handle, symbol)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", qnn.ErrUnavailable, err)
	}
	var h hold
	defer h.release()
	providers, count := new(uint64), new(uint32)
	status, _, _ := purego.SyscallN(get, at(&h, providers), at(&h, count))
	if status != 0 || *count == 0 {
		return 0, fmt.Errorf("%w: %s offers no interface (%s: %d)", qnn.ErrUnavailable, library, symbol, status&0xffff)
	}
	return *foreign[uint64](*providers), nil
}

// create makes the log, the backend and the device of a chip.
func (b *Backend) create(soc int) error {
	var h hold
	defer h.release()
	callback := b.journal.callback()
	if err := b.call(logCreate, callback, logErrors, at(&h, &b.logger)); err != nil {
		return err
	}
	if err := b.callSystem(systemLogCreate, callback, logErrors, at(&h, &b.systemLogger)); err != nil {
		return err
	}
	if err := b.call(backendCreate, uintptr(b.logger), 0, at(&h, &b.backend)); err != nil {
		return err
	}
	custom := &struct {
		option, _ uint32
		soc       uint64
		_         uint64
	}{option: optionSoC, soc: uint64(soc)}
	config := &struct {
		option uint64
		custom uint64
	}{optionCustom, uint64(at(&h, custom))}
	list := &[2]uint64{uint64(at(&h, config)), 0}
	return b.call(deviceCreate, uintptr(b.logger), at(&h, list), at(&h, &b.device))
}

// call calls a function of the backend's table.
func (b *Backend) call(f function, args ...uintptr) error { return b.callAt(b.api, f, args) }

// callSystem calls a function of the system library's table.
func (b *Backend) callSystem(f function, args ...uintptr) error { return b.callAt(b.system, f, args) }

func (b *Backend) callAt(table uint64, f function, args []uintptr) error {
	fn := wordAt(table, f)
	if fn == 0 {
		return fmt.Errorf("%w: the libraries have no %s", qnn.ErrUnavailable, f.name)
	}
	b.journal.take()
	status, _, _ := purego.SyscallN(fn, args...)
	return b.failed(f, status)
}

// failed is the error of a status.
func (b *Backend) failed(f function, status uintptr) error {
	if status == 0 {
		return nil
	}
	return &Error{Call: f.name, Code: int(status & 0xffff), Lines: b.journal.take()}
}

// wordAt is a function's address in a table.
func wordAt(table uint64, f function) uintptr {
	return uintptr(*foreign[uint64](table + 8*uint64(f.word)))
}

// intercept makes the table that the composer is handed: a copy with three functions of ours.
func (b *Backend) intercept() error {
	for _, w := range array[uint64](b.api, tableHead+tableSlots) {
		b.ours = append(b.ours, uintptr(w))
	}
	b.ours[tensorCreateGraphTensor.word] = purego.NewCallback(b.onTensor)
	for f, fn := range map[function]func(uintptr, uintptr) uintptr{graphAddNode: b.onNode, backendValidateOpConfig: b.onValidate} {
		stub, err := abi.Callback(fn)
		if err != nil {
			return err
		}
		b.ours[f.word] = stub
	}
	return nil
}
