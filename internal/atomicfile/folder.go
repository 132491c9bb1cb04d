package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"quantcheck/internal/scratch"
	"quantcheck/internal/workpool"
)

// MakeFolder makes a folder, and those above it, that a power cut does not lose any more. The umask decides about their mode.
func MakeFolder(dir string) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	return syncNames([]string{dir})
}

// unsynced are folders in which this process made folders whose names the disk may not have yet: whoever commits a file below
// waits for them, also one that found the folder made by another goroutine.
var unsynced = struct {
	sync.Mutex
	in map[string]bool
}{in: map[string]bool{}}

// makeFolder makes a folder and those above it. syncNames waits for the disk.
func makeFolder(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var missing []string
	for at := abs; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err == nil {
			if !info.IsDir() {
				return &fs.PathError{Op: "mkdir", Path: at, Err: errors.New("it is a file, not a folder")}
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		unsynced.Lock()
		unsynced.in[filepath.Dir(at)] = true
		unsynced.Unlock()
		if err := os.Mkdir(at, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		tell(Op{Kind: MadeFolder, Path: at})
	}
	return nil
}

// syncNames waits until the disk has the names in the folders, and those of the folders above them that were made.
func syncNames(folders []string) error {
	var all []string
	unsynced.Lock()
	for _, dir := range folders {
		abs, err := filepath.Abs(dir)
		if err != nil {
			abs = dir
		}
		all = append(all, abs)
		for at := abs; filepath.Dir(at) != at; {
			at = filepath.Dir(at)
			if unsynced.in[at] {
				all = append(all, at)
			}
		}
	}
	unsynced.Unlock()
	slices.Sort(all)
	all = slices.Compact(all)
	err := workpool.Together(len(all), func(k int) error { return syncFolder(all[k]) })
	if err != nil {
		return err
	}
	unsynced.Lock()
	for _, dir := range all {
		delete(unsynced.in, dir)
	}
	unsynced.Unlock()
	return nil
}

// ReplaceFolder puts a folder of this program's in the place of another, on the same file system, with all that is in it. The
// files in it need not be synced. When it returns without an error, a power cut does not lose it any more; until the very moment
// of the exchange, to is as it was.
func ReplaceFolder(from, to string) error {
	if err := replaceFolder(from, to); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}

func replaceFolder(from, to string) error {
	if err := syncTree(from); err != nil {
		return err
	}
	if err := makeFolder(filepath.Dir(to)); err != nil {
		return err
	}
	if link, err := filepath.EvalSymlinks(to); err == nil {
		to = link
	}
	replaced, err := from, exchange(from, to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = rename(from, to)
	case err != nil: // the file system does not know how to
		replaced, err = replaceInTwoSteps(from, to)
	}
	if err != nil {
		return err
	}
	if err := syncNames([]string{filepath.Dir(to)}); err != nil {
		return err
	}
	return remove(replaced)
}

// replaceInTwoSteps puts a folder in the place of another, between which nothing is there for a moment. It gives where the other
// one is now.
func replaceInTwoSteps(from, to string) (replaced string, err error) {
	aside, err := scratch.Hidden(filepath.Dir(to), "old")
	if err != nil {
		return "", err
	}
	old := filepath.Join(aside, filepath.Base(to))
	if err := rename(to, old); err != nil {
		return "", errors.Join(err, os.Remove(aside))
	}
	if err := rename(from, to); err != nil {
		return "", errors.Join(err, rename(old, to), os.Remove(aside))
	}
	return aside, nil
}

// syncTree waits until the disk has everything in a folder.
func syncTree(dir string) error {
	var files, folders []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			folders = append(folders, path)
		case e.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = workpool.Together(len(files), func(k int) error {
		f, err := os.Open(files[k])
		if err != nil {
			return err
		}
		defer f.Close()
		tell(Op{Kind: Wrote, Path: files[k]})
		return syncFile(f)
	})
	if err != nil {
		return err
	}
	for _, f := range folders {
		tell(Op{Kind: MadeFolder, Path: f})
	}
	return workpool.Together(len(folders), func(k int) error { return syncFolder(folders[k]) })
}

// PutUnsynced writes a file of a folder that is the running process's own and goes to its place by ReplaceFolder, which syncs it,
// or that is removed. Folders are made.
func PutUnsynced(path string, write func(*os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		beginSync(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
