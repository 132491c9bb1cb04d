package compose

import (
	"fmt"
	"strings"
)

// Codes of errors that have a meaning of their own here (QnnSystemDlc and QnnGraph of the QNN API).
const (
	// CodeNotTaken is the composer's for a file that is no DLC, is damaged or is of version 3.
	CodeNotTaken = 1002
	// CodeExecute is the graph's when an inference fails, for one on an index out of range.
	CodeExecute = 1100
)

// Error is a call of the libraries that failed.
type Error struct {
	Call  string   `json:"call"`            // the function's name in the table
	Code  int      `json:"code"`            // QNN's, without the bits above the sixteenth
	Where string   `json:"where,omitempty"` // the tensor or node that was refused, if it was one
	Lines []string `json:"lines,omitempty"` // the last lines that the libraries logged during the call
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: QNN error %d", e.Call, e.Code)
	if e.Where != "" {
		fmt.Fprintf(&b, " at %s", e.Where)
	}
	if len(e.Lines) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(e.Lines, " | "))
	}
	return b.String()
}

// VersionError means that the libraries speak another version of the core API than the one that was tried.
type VersionError struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the libraries have QNN's core API %d.%d.%d; this program works with %d.%d, that of onnxruntime-qnn %s; run `quantcheck doctor --install htp`",
		e.Major, e.Minor, e.Patch, coreMajor, coreMinor, worksWith)
}

// SizeError means that a buffer for a tensor has another size than the tensor.
type SizeError struct {
	Tensor    string `json:"tensor"`
	Got, Want int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%d bytes for the tensor %q, which has %d", e.Got, e.Tensor, e.Want)
}
