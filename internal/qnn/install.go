package qnn

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// wheel is the one file that Install accepts; it is the same whatever Python asks for it.
const (
	wheelName   = "onnxruntime_qnn-" + Version + "-cp311-cp311-manylinux_2_35_x86_64.whl"
	wheelSHA256 = "c56c01562b8534fe8980cfea4601408d950c065f8251fb862ce82101c52c9849"
	// unpackedMost bounds what is taken out of the wheel: it holds 250 MB.
	unpackedMost = 1 << 30
)

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
	dir, err := cacheDir()
	if err != nil {
		return Installed{}, err
	}
	if k, err := check(filepath.Join(dir, packageName)); err == nil {
		return Installed{Kit: k, Already: true}, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Installed{}, err
	}
	stage, err := os.MkdirTemp(filepath.Dir(dir), ".install-*")
	if err != nil {
		return Installed{}, err
	}
	defer os.RemoveAll(stage)
	file, err := download(ctx, stage, log)
	if err != nil {
		return Installed{}, err
	}
	if err := verify(file); err != nil {
		return Installed{}, err
	}
	if !accept {
		read := filepath.Join(filepath.Dir(dir), "licences")
		if err := unpack(file, read, licences); err != nil {
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
	if err := unpack(file, fresh, wanted); err != nil {
		return Installed{}, err
	}
	if err := os.WriteFile(filepath.Join(fresh, "licence-accepted"), []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil {
		return Installed{}, err
	}
	// An older or damaged one makes way first.
	if err := os.RemoveAll(dir); err != nil {
		return Installed{}, err
	}
	if err := os.Rename(fresh, dir); err != nil {
		return Installed{}, err
	}
	k, err := check(filepath.Join(dir, packageName))
	return Installed{Kit: k}, err
}

// download lets pip fetch the wheel into a folder.
func download(ctx context.Context, dir string, log io.Writer) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("python3 was not found; it is needed to fetch the wheel (apt-get install python3-pip)")
	}
	c := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
		"--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux_2_35_x86_64",
		"--dest", dir, "onnxruntime-qnn=="+Version)
	c.Stdout, c.Stderr = log, log
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("pip could not fetch onnxruntime-qnn %s (%w); what it said stands above. Without a network, unpack %s elsewhere and name its folder %s in $QUANTCHECK_QNN_DIR",
			Version, err, wheelName, packageName)
	}
	return filepath.Join(dir, wheelName), nil
}

func verify(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != wheelSHA256 {
		return fmt.Errorf("%s has the sha256 %s, expected %s; it was not unpacked", filepath.Base(file), sum, wheelSHA256)
	}
	return nil
}

// unpack takes the wanted files of the package, the libraries it brings along and the metadata out of a wheel.
func unpack(wheel, dir string, wanted []string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	total := uint64(0)
	for _, f := range z.File {
		folder, name, _ := strings.Cut(f.Name, "/")
		take := folder == packageName && slices.Contains(wanted, name) ||
			len(wanted) > len(licences) && (folder == packageName+".libs" || folder == packageName+"-"+Version+".dist-info" && name == "METADATA")
		if !take || f.FileInfo().IsDir() {
			continue
		}
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%s: a file of the name %q", filepath.Base(wheel), f.Name)
		}
		if total += f.UncompressedSize64; total > unpackedMost {
			return fmt.Errorf("%s: it unpacks to more than %d bytes", filepath.Base(wheel), unpackedMost)
		}
		if err := extract(f, filepath.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

func extract(f *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, io.LimitReader(from, unpackedMost)); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}
