package onnxruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/library"
)

// Version is the version of the library that quantcheck was tried with.
const Version = "1.30.0"

const (
	folder = "onnxruntime-" + Version
	// unpackedMost bounds what is taken out of a wheel, of which the largest holds 34 MB.
	unpackedMost = 256 << 20
)

// published is the wheel of one system, with the SHA-256 of itself and of the library in it.
type published struct{ platform, wheel, library string }

// wheels are those of the systems that the program runs on.
var wheels = map[string]published{
	"linux/amd64": {
		"manylinux_2_28_x86_64", "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328", "c902c70b3003c0e99fada202f37478c515ae9bba7944c2b2abd0017bae0c82ed",
	},
	"linux/arm64": {
		"manylinux_2_28_aarch64", "6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83", "8a218e1e446880131115c368ec7005969a5022af9a15a26173de648fef0b7789",
	},
	"darwin/arm64": {
		"macosx_14_0_arm64", "001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd", "b46713ea6a25a5227541c21001f6422c1ccdeaecc369aa026a61b752520325c3",
	},
}

func wheel() (published, bool) {
	w, ok := wheels[runtime.GOOS+"/"+runtime.GOARCH]
	return w, ok
}

// fetched is what pip is told; the library in it is the same for every version of Python.
func (p published) fetched() library.Wheel {
	return library.Wheel{
		Project: "onnxruntime", Version: Version, File: "onnxruntime-" + Version + "-cp312-cp312-" + p.platform + ".whl", SHA256: p.wheel, Megabytes: 20,
		Python: "3.12", ABI: "cp312", Platform: p.platform,
		Elsewhere: "Without a network, fetch the wheel elsewhere, unpack it, and name its onnxruntime/capi/" + inWheel() + " with --ort-lib or $QUANTCHECK_ORT_LIB.",
	}
}

// inWheel is the library's name in a wheel.
func inWheel() string { return strings.Replace(LibraryName(), ".so.1", ".so."+Version, 1) }

// Installed says where Install put the library.
type Installed struct {
	Path    string
	Licence string // the file that holds it
	Already bool   // it was there before
}

// Install fetches the wheel with pip, checks it, and puts the library with its licences into the user's cache folder, whole or not at
// all. Errors are an ErrNoLibrary.
func Install(ctx context.Context, log io.Writer) (Installed, error) {
	got, err := fetch(ctx, log)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	return got, err
}

func fetch(ctx context.Context, log io.Writer) (got Installed, err error) {
	w, ok := wheel()
	if !ok {
		return got, fmt.Errorf("there is no published library for %s/%s; name one with --ort-lib", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := library.Folder(folder)
	if err != nil {
		return got, err
	}
	got.Licence = filepath.Join(dir, "LICENSE")
	if got.Path, err = installed(); err == nil {
		got.Already = true
		return got, nil
	}
	stage, err := library.Stage(dir)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	whl := w.fetched()
	fmt.Fprintf(log, "fetching onnxruntime %s (%d MB) with pip …\n", Version, whl.Megabytes)
	archive, err := whl.Fetch(ctx, stage, log)
	if err != nil {
		return got, err
	}
	fresh := filepath.Join(stage, "unpacked")
	if err := library.Unpack(archive, fresh, unpackedMost, func(name string) string {
		return map[string]string{
			"onnxruntime/capi/" + inWheel(): LibraryName(), "onnxruntime/LICENSE": "LICENSE", "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
		}[name]
	}); err != nil {
		return got, err
	}
	if err := atomicfile.ReplaceFolder(fresh, dir); err != nil {
		return got, err
	}
	got.Path, err = installed()
	return got, err
}
