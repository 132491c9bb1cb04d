// Package qnn finds and installs Qualcomm's public libraries: the HTP backend with its emulator, the ONNX Runtime
// provider that drives it, and the writer of DLC files. They come in one PyPI wheel and stay the user's own: quantcheck
// neither ships nor changes them.
//
//  1. Find looks for the unpacked wheel and says which version it is.
//  2. Install fetches the wheel with pip, checks its SHA-256, and unpacks it into the user's cache folder.
package qnn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"quantcheck/internal/library"
)

// Version is the version of the wheel that quantcheck was tried with (QNN 2.51, core API 2.40).
const Version = "2.7.0"

// ErrUnavailable means that the libraries are not there, are another version, or cannot run on this machine.
var ErrUnavailable = errors.New("the HTP emulator is not available")

const install = "run `quantcheck doctor --install htp`"

// Kit is the folder of an unpacked wheel.
type Kit struct{ Dir string }

// Provider is the ONNX Runtime plug-in.
func (k Kit) Provider() string { return filepath.Join(k.Dir, "libonnxruntime_providers_qnn.so") }

// HTP is the backend with the emulator.
func (k Kit) HTP() string { return filepath.Join(k.Dir, "libQnnHtp.so") }

// IR is the backend that writes DLC files.
func (k Kit) IR() string { return filepath.Join(k.Dir, "libQnnIr.so") }

// System reads DLC files.
func (k Kit) System() string { return filepath.Join(k.Dir, "libQnnSystem.so") }

// Find looks for the libraries: the folder that was asked for, $QUANTCHECK_QNN_DIR, and where Install puts them. They are looked for
// nowhere else, since loading them runs their code. Of a folder that was named the libraries may be anybody's, but not writable for
// everybody; what Install put there must be the user's or root's, writable for nobody else, and have the SHA-256 that this program
// knows. Every error is an ErrUnavailable and says what to do.
func Find(asked string) (Kit, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Kit{}, fmt.Errorf("%w: its libraries run on x86-64 Linux only, this is %s/%s; leave @htp away here", ErrUnavailable, runtime.GOOS, runtime.GOARCH)
	}
	for _, explicit := range []string{asked, os.Getenv("QUANTCHECK_QNN_DIR")} {
		if explicit != "" {
			return named(explicit)
		}
	}
	return installed()
}

// named takes a folder that the user named.
func named(dir string) (Kit, error) {
	k, err := check(dir)
	if err != nil {
		return Kit{}, err
	}
	for _, p := range k.libraries() {
		if _, err := library.Named(p); err != nil {
			return Kit{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return k, nil
}

// installed takes what Install put into the user's cache folder.
func installed() (Kit, error) {
	dir, err := library.Folder(folder)
	if err != nil {
		return Kit{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return Kit{}, fmt.Errorf("%w: the wheel onnxruntime-qnn %s was not found; %s", ErrUnavailable, Version, install)
	}
	k, err := check(filepath.Join(dir, packageName))
	if err != nil {
		return Kit{}, err
	}
	for _, p := range pins {
		if _, err = library.Guarded(filepath.Join(dir, filepath.FromSlash(p.Name))); err != nil {
			break
		}
	}
	if err == nil {
		err = library.Pinned(dir, pins)
	}
	var unsafe *library.UnsafeError
	switch {
	case errors.As(err, &unsafe):
		return Kit{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return Kit{}, fmt.Errorf("%w: %w; %s", ErrUnavailable, err, install)
	}
	return k, nil
}

func (k Kit) libraries() []string { return []string{k.Provider(), k.HTP(), k.IR(), k.System()} }

const (
	packageName = "onnxruntime_qnn"
	folder      = "onnxruntime-qnn-" + Version // in the user's cache folder
)

// check sees that a folder holds all libraries, of the right version.
func check(dir string) (Kit, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Kit{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	k := Kit{Dir: dir}
	for _, file := range k.libraries() {
		if _, err := os.Stat(file); err != nil {
			return Kit{}, fmt.Errorf("%w: %s is missing in %s; %s", ErrUnavailable, filepath.Base(file), dir, install)
		}
	}
	versions := k.versions()
	switch {
	case len(versions) == 0:
		return Kit{}, fmt.Errorf("%w: nothing beside %s says which version it is (a folder %s-%s.dist-info is expected); %s", ErrUnavailable, dir, packageName, Version, install)
	case !slices.Contains(versions, Version):
		return Kit{}, fmt.Errorf("%w: %s is version %s, this program works with %s; %s", ErrUnavailable, dir, strings.Join(versions, ", "), Version, install)
	}
	return k, nil
}

// versions are those that the wheel's own metadata, beside its folder, names.
func (k Kit) versions() []string {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(k.Dir), packageName+"-*.dist-info"))
	var versions []string
	for _, f := range found {
		versions = append(versions, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), packageName+"-"), ".dist-info"))
	}
	return versions
}
