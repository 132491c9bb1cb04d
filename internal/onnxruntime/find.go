package onnxruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"quantcheck/internal/library"
)

const install = "quantcheck doctor --install onnxruntime"

// LibraryName is the file name of the shared library on this system, as onnxruntime-node publishes it.
func LibraryName() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime." + Version + ".dylib"
	}
	return "libonnxruntime.so.1"
}

// Find looks for the library: the path that was asked for, $QUANTCHECK_ORT_LIB, beside the program, and where Install puts it. It is looked
// for nowhere else, since loading it runs its code. One that was named may be anybody's, but not writable for everybody; others must be the
// user's or root's and writable for nobody else, and what Install put there must have the SHA-256 that this program knows. The path that is
// given is absolute and without links. Every error is an ErrNoLibrary and says what to do.
func Find(asked string) (string, error) {
	for _, explicit := range []string{asked, os.Getenv("QUANTCHECK_ORT_LIB")} {
		if explicit == "" {
			continue
		}
		path, err := library.Named(explicit)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoLibrary, err)
		}
		return path, nil
	}
	if path, err := besideProgram(); path != "" || err != nil {
		return path, err
	}
	path, err := installed()
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: %s was found neither beside the program nor in the user's cache folder; run `%s`, or name the file with --ort-lib or $QUANTCHECK_ORT_LIB",
			ErrNoLibrary, LibraryName(), install)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	return path, nil
}

// besideProgram gives the library that lies in the program's folder; "" if there is none.
func besideProgram() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", nil //nolint:nilerr // then nothing can lie beside it
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", nil //nolint:nilerr // it was removed while it runs
	}
	path, err := library.Guarded(filepath.Join(filepath.Dir(exe), LibraryName()))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	return path, nil
}

// installed gives the library that Install put into the user's cache folder. It is os.ErrNotExist if there is none.
func installed() (string, error) {
	w, ok := wheel()
	if !ok {
		return "", os.ErrNotExist
	}
	dir, err := library.Folder(folder)
	if err != nil {
		return "", os.ErrNotExist
	}
	path, err := library.Guarded(filepath.Join(dir, LibraryName()))
	if err != nil {
		return "", err
	}
	err = library.Pinned(filepath.Dir(path), []library.Pin{{Name: LibraryName(), SHA256: w.library}})
	var changed *library.MismatchError
	if errors.As(err, &changed) {
		return "", fmt.Errorf("%w; run `%s`", err, install)
	}
	return path, err
}
