//go:build !linux

package worker

import (
	"context"
	"errors"
	"os"
)

var errElsewhere = errors.New("workers run on Linux only")

// Session is not there on this system.
type Session struct {
	Opened Answer
	Memory []byte
}

// Open is not there on this system.
func Open(context.Context, Job) (*Session, error) { return nil, errElsewhere }

// MemoryFile is not there on this system.
func MemoryFile(string) (*os.File, error) { return nil, errElsewhere }

// Dir gives no folder.
func (*Session) Dir() string { return "" }

// Run is not there on this system.
func (*Session) Run(context.Context) error { return errElsewhere }

// Kill does nothing.
func (*Session) Kill() {}

// Close does nothing.
func (*Session) Close() {}
