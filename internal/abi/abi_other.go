//go:build !(linux && amd64)

package abi

// Call is not there on this system.
func Call(uintptr, [6]uintptr, []uintptr) (uintptr, error) { return 0, ErrUnsupported }

// Callback is not there on this system.
func Callback(func(first, words uintptr) uintptr) (uintptr, error) { return 0, ErrUnsupported }
