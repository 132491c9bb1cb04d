package qnn

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/library"
)

// wheel is the one file that Install accepts; it is the same whatever Python asks for it.
var wheel = library.Wheel{
	Project: "onnxruntime-qnn", Version: Version, File: wheelName, Megabytes: 99,
	SHA256: "c56c01562b8534fe8980cfea4601408d950c065f8251fb862ce82101c52c9849",
	Python: "3.11", ABI: "cp311", Platform: "manylinux_2_35_x86_64",
	Elsewhere: "Without a network, unpack " + wheelName + " elsewhere and name its folder " + packageName + " in $QUANTCHECK_QNN_DIR.",
}

const (
	wheelName = "onnxruntime_qnn-" + Version + "-cp311-cp311-manylinux_2_35_x86_64.whl"
	// unpackedMost bounds what is taken out of the wheel: it holds 250 MB.
	unpackedMost = 1 << 30
)

// pins are the libraries of the wheel, and those that they load.
var pins = []library.Pin{
	{Name: packageName + "/libonnxruntime_providers_qnn.so", SHA256: "629dfc151fc842bf9aa6ecdba89c0a864cd50e90fda960f9631e234fed5fc457"},
	{Name: packageName + "/libQnnHtp.so", SHA256: "66fbcc1a97b3ca186c0170123e03978f2351222d59b2e9ceb0202e4a9b0116c0"},
	{Name: packageName + "/libQnnIr.so", SHA256: "a43ff16156b2abacf3b43ccbe137901222dba270ced27fa4cf528946a38ab5a7"},
	{Name: packageName + "/libQnnSystem.so", SHA256: "a5441fe0307cfb10478d18f6de16053f3b111eaa01ff3975a54b10afdfa33a38"},
	{Name: packageName + ".libs/libc++-71bc274c.so.1.0", SHA256: "46cee8e5f62e9b4a79b863b058879c5e9d4f41841650841df6f6669ebef2e2e2"},
	{Name: packageName + ".libs/libc++abi-0539aa51.so.1.0", SHA256: "2cb6d3e6acc815575d5a76acb45f99ae4ed5a4fcc04febaa8cd8981e07b89a47"},
	{Name: packageName + ".libs/libunwind-6b740a46.so.1.0", SHA256: "a00822cc6221850754a491cbafa2b2e2fefac06f61f108cc8e80f0869fe5f724"},
}

// wanted are the wheel's files that are unpacked; the rest serves GPUs and language models.
var wanted = []string{
	"libonnxruntime_providers_qnn.so", "libQnnHtp.so", "libQnnIr.so", "libQnnSystem.so", "LICENSE", "Qualcomm_LICENSE.pdf", "ThirdPartyNotices.txt",
}

// licences are those of the wanted files that a user is asked to accept.
var licences = []string{"LICENSE", "Qualcomm_LICENSE.pdf", "ThirdPartyNotices.txt"}

// LicenceError means that the licences wait to be accepted; they have been unpacked into Dir to be read.
type LicenceError struct {
	Dir string
	MIT string // the text of the provider's own licence
}

func (e *LicenceError) Error() string {
	return fmt.Sprintf("the libraries come under Qualcomm's AI Stack licence, %s, and the provider under the MIT licence; read them, then add --accept-license",
		filepath.Join(e.Dir, "Qualcomm_LICENSE.pdf"))
}

// Installed says where Install put the libraries.
type Installed struct {
	Kit     Kit
	Already bool // they were there before
}

// Install fetches the wheel with pip and unpacks it into the user's cache folder, whole or not at all. Without accept it
// unpacks only the licences, and gives a *LicenceError.
func Install(ctx context.Context, accept bool, log io.Writer) (Installed, error) {
	dir, err := library.Folder(folder)
	if err != nil {
		return Installed{}, err
	}
	if k, err := installed(); err == nil {
		return Installed{Kit: k, Already: true}, nil
	}
	stage, err := library.Stage(dir)
	if err != nil {
		return Installed{}, err
	}
	defer os.RemoveAll(stage)
	fmt.Fprintf(log, "fetching onnxruntime-qnn %s (%d MB) with pip …\n", Version, wheel.Megabytes)
	archive, err := wheel.Fetch(ctx, stage, log)
	if err != nil {
		return Installed{}, err
	}
	if !accept {
		read, fresh := filepath.Join(filepath.Dir(dir), "licences"), filepath.Join(stage, "licences")
		if err := unpack(archive, fresh, licences, false); err != nil {
			return Installed{}, err
		}
		if err := atomicfile.ReplaceFolder(fresh, read); err != nil {
			return Installed{}, err
		}
		read = filepath.Join(read, packageName)
		text, err := os.ReadFile(filepath.Join(read, "LICENSE"))
		if err != nil {
			return Installed{}, err
		}
		return Installed{}, &LicenceError{Dir: read, MIT: string(text)}
	}
	fresh := filepath.Join(stage, "unpacked")
	if err := unpack(archive, fresh, wanted, true); err != nil {
		return Installed{}, err
	}
	accepted := []byte(time.Now().UTC().Format(time.RFC3339) + "\n")
	if err := atomicfile.PutUnsynced(filepath.Join(fresh, "licence-accepted"), atomicfile.Bytes(accepted)); err != nil {
		return Installed{}, err
	}
	if err := atomicfile.ReplaceFolder(fresh, dir); err != nil {
		return Installed{}, err
	}
	k, err := installed()
	return Installed{Kit: k}, err
}

// unpack takes the wanted files of the package out of a wheel, and with them the libraries that it brings along and its metadata.
func unpack(archive, dir string, wanted []string, whole bool) error {
	return library.Unpack(archive, dir, unpackedMost, func(path string) string {
		parent, name, _ := strings.Cut(path, "/")
		if parent == packageName && slices.Contains(wanted, name) ||
			whole && (parent == packageName+".libs" || parent == packageName+"-"+Version+".dist-info" && name == "METADATA") {
			return path
		}
		return ""
	})
}
