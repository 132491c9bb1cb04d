// Package scratch makes the program's temporary files and folders, and removes those that an ended run left behind. The name
// of each says which process made it, so that what a running process needs is never taken for a leftover.
//
//  1. Folder and File make one, named quantcheck-KIND-PROCESS-RANDOM.
//  2. Before the first one is made in a folder, and when a workspace is opened, SweepOnce removes from it what processes left
//     that have ended.
package scratch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"quantcheck/internal/process"
)

// Folder makes a temporary folder for the running process below parent, "" being the system's folder for such. The kind, of
// lower-case letters, says what for. Only the user may enter it. Whoever asks for it removes it.
func Folder(parent, kind string) (string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	SweepOnce(parent)
	return os.MkdirTemp(parent, prefix+pattern(kind))
}

// Hidden is Folder in a folder of the user's: the name begins with a dot.
func Hidden(parent, kind string) (string, error) {
	SweepOnce(parent)
	return os.MkdirTemp(parent, "."+prefix+pattern(kind))
}

// File makes a temporary file for the running process in a folder of the user's, under a name that begins with a dot. The mode
// is what it gets, less the umask.
func File(dir, kind string, mode os.FileMode) (*os.File, error) {
	SweepOnce(dir)
	for try := 0; ; try++ {
		f, err := os.OpenFile(filepath.Join(dir, "."+prefix+unique(kind)), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if os.IsExist(err) && try < 1000 {
			continue
		}
		return f, err
	}
}

const prefix = "quantcheck-"

func pattern(kind string) string { return kind + "-" + process.Self().String() + "-*" }

// unique fills a pattern.
func unique(kind string) string {
	return strings.TrimSuffix(pattern(kind), "*") + random()
}

// names are those that this package gives, and earlier names, which do not say who made what.
var (
	names = regexp.MustCompile(`^\.?quantcheck-([a-z]+)-(` + process.Pattern + `)-[0-9a-z]+$`)
	old   = regexp.MustCompile(`^(?:\.quantcheck-(?:run-|device-)?|quantcheck-(?:htp|dlc|explore|known)-)[0-9]+$`)
)

// swept are the folders that this process swept: what is left in them by others is looked for once.
var swept sync.Map

// SweepOnce sweeps a folder unless this process did already. What cannot be removed stays for the next run, and doctor lists it.
func SweepOnce(dir string) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if _, done := swept.LoadOrStore(dir, true); !done {
		_, _ = Sweep(dir) // see above
	}
}
