// Package library decides which shared libraries may be loaded into this program, and fetches them.
//
//  1. Guarded takes a file that was found: nobody but the user and root may have written it.
//  2. Named takes a file that the user named: it may be anybody's, but not everybody's.
//  3. Pinned holds files that were installed against the SHA-256 that this program knows of them.
//  4. Wheel.Fetch downloads a Python wheel with pip, Unpack takes files out of it, into a folder that Stage made in the
//     user's cache folder.
//
// Nothing is looked for in the working folder.
package library

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a folder of the program's own in the user's cache folder. It need not exist.
func Folder(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "quantcheck", name), nil
}

// Guarded gives the path, without links, of a library that was found without being asked for. It is an error if it is no regular file,
// or if anybody but the user and root could have changed it or put another in its place: the file and its folder belong to the user or
// root, and nobody else may write them; the folders above may be written by others only where these cannot rename what is not theirs
// (the sticky bit). On systems without such permissions none is looked at.
func Guarded(path string) (string, error) {
	full, err := resolve(path)
	if err != nil {
		return "", err
	}
	return full, guard(full)
}

// Named gives the path, without links, of a library that the user named. It is an error if it is no regular file, or if everybody may
// change it or put another in its place.
func Named(path string) (string, error) {
	full, err := resolve(path)
	if err != nil {
		return "", err
	}
	return full, notEverybodys(full)
}

// resolve makes a path absolute: the system's loader looks for a bare name in folders of its own.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	return path, nil
}

// UnsafeError means that others could have changed a library, which is therefore not loaded.
type UnsafeError struct {
	Library string
	Path    string // of what others may change: the library or a folder on the way to it
	Why     string
	Do      string // the command that mends it
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s is not loaded: %s %s; if what it holds is yours, run `%s`", e.Library, e.Path, e.Why, e.Do)
}

const (
	groupWrites = fs.FileMode(0o020)
	othersWrite = fs.FileMode(0o002)
)
