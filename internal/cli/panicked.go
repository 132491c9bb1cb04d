package cli

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"quantcheck/internal/atomicfile"
)

// unpanicked calls a command and makes an error of a panic on its goroutine: a fault of the program, whose stack is kept in a file
// that the error names. A panic on another goroutine ends the process, as Go has it.
func unpanicked(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = internalError(p, debug.Stack())
		}
	}()
	return run()
}

// internalError is the sentence for a panic.
func internalError(p any, stack []byte) error {
	kept := "the stack could not be kept"
	path := filepath.Join(os.TempDir(), "quantcheck-stack-"+rand.Text()+".txt")
	if err := atomicfile.Write(path, func(f *os.File) error { _, err := fmt.Fprintf(f, "%v\n\n%s", p, stack); return err }); err == nil {
		kept = "the stack is in " + path
	}
	return fmt.Errorf("internal error: %v; %s, please report it with the command", p, kept)
}
