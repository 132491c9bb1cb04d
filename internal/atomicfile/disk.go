package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
)

// Kind is what is done to the disk.
type Kind string

// Kinds of what is done.
const (
	MadeFolder   Kind = "made folder"   // Path was made, or seen for the first time
	Wrote        Kind = "wrote"         // Path was written to
	Synced       Kind = "synced"        // the disk has Path's content
	Renamed      Kind = "renamed"       // Path is called To, and what was called so is gone
	Exchanged    Kind = "exchanged"     // Path and To
	SyncedFolder Kind = "synced folder" // the disk has the names in Path
	Removed      Kind = "removed"       // Path, and all that was in it
)

// Op is one thing that was done to the disk.
type Op struct {
	Kind     Kind
	Path, To string
}

// observer sees what is done. It is the one variable of this package that tests change: a power cut can be at any point of any
// command, and no value that is handed down reaches them all.
var observer atomic.Pointer[func(Op)]

// Observe lets a test see everything that is done to the disk, until stop is called. It may be called by several goroutines at
// once. There can be one observer at a time.
func Observe(see func(Op)) (stop func()) {
	if !observer.CompareAndSwap(nil, &see) {
		panic("file.Observe: there is an observer")
	}
	return func() { observer.Store(nil) }
}

func tell(op Op) {
	if see := observer.Load(); see != nil {
		(*see)(op)
	}
}

func syncFile(f *os.File) error {
	if err := flush(f); err != nil {
		return err
	}
	tell(Op{Kind: Synced, Path: f.Name()})
	return nil
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	tell(Op{Kind: Renamed, Path: from, To: to})
	return nil
}

func remove(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	tell(Op{Kind: Removed, Path: path})
	return nil
}

// syncFolder waits until the disk has the names in a folder. File systems that cannot do that for a folder are believed to do it
// by themselves.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) { // one may write into a folder that one cannot list
		syncAll()
		tell(Op{Kind: SyncedFolder, Path: dir})
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flush(f); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	tell(Op{Kind: SyncedFolder, Path: dir})
	return nil
}
