package ort

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// CrashError means that ONNX Runtime ended its process.
type CrashError struct {
	How  string // what the process said last
	Node string // at which it happened: its name and operator; "": it is not known
}

func (e *CrashError) Error() string {
	return fmt.Sprintf("ONNX Runtime crashed (%s)%s", e.How, at(e.Node))
}

// MemoryError means that ONNX Runtime needs more memory than it may take, or than there is.
type MemoryError struct {
	Tensor string // that is too large; "": it is not known
	Bytes  int64  // of it, or of what could not be had; 0: it is not known
	Memory int64  // the bound; 0: there is none
	Node   string // at which it happened; "": it is not known
	Killed bool   // the system ended the process
}

func (e *MemoryError) Error() string {
	bound := ""
	if e.Memory > 0 {
		bound = "; --memory is " + Size(e.Memory)
	}
	switch {
	case e.Tensor != "":
		return fmt.Sprintf("tensor %s would take %s%s%s", e.Tensor, Size(e.Bytes), at(e.Node), bound)
	case e.Killed:
		return fmt.Sprintf("the system ended ONNX Runtime's process for want of memory%s%s: with a smaller one, or fewer variants at once, it takes less", at(e.Node), bound)
	case e.Bytes > 0:
		return fmt.Sprintf("ONNX Runtime needs another %s, more than it may take%s%s", Size(e.Bytes), at(e.Node), bound)
	}
	return fmt.Sprintf("ONNX Runtime needs more memory than it may take%s%s", at(e.Node), bound)
}

// SlowError means that an inference or the compiling of a model has not ended within the limit.
type SlowError struct {
	Limit time.Duration
	Node  string // that was computed then; "": it is not known
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("ONNX Runtime had not ended after %s%s; --node-timeout gives it longer", e.Limit, at(e.Node))
}

func at(node string) string {
	if node == "" {
		return ""
	}
	return " in the node " + node
}

// Failed says whether an error is of a model that ended the library's process, or would have: it crashed, or took too much memory or
// time. The engine goes on with other models.
func Failed(err error) bool {
	var crash *CrashError
	var memory *MemoryError
	var slow *SlowError
	return errors.As(err, &crash) || errors.As(err, &memory) || errors.As(err, &slow)
}

// Size writes a number of bytes in a unit that fits.
func Size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"EiB", 1 << 60}, {"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v := float64(bytes) / unit.bytes; v >= 1 {
			return strconv.FormatFloat(v, 'g', 3, 64) + " " + unit.name
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
