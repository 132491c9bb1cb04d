package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/scratch"
)

// Wheel is one file of the Python Package Index.
type Wheel struct {
	Project, Version      string
	File                  string // its name
	SHA256                string // in hexadecimal
	Megabytes             int    // that are fetched
	Python, ABI, Platform string // what pip is told to fetch for, whatever it runs on: 3.11, cp311, manylinux_2_28_x86_64
	Elsewhere             string // a sentence: what to do without a network
}

// Fetch lets pip fetch the wheel into a folder, which must be one of the program's own, and gives its path. pip neither builds nor
// runs anything of it, and takes only the file with the wheel's SHA-256, which is looked at once more. It is run in an empty folder
// and isolated from the working folder and from Python's variables: code that lies there is not run. Of pip's own settings those hold
// that say where packages come from. What pip says goes to log.
func (w Wheel) Fetch(ctx context.Context, dir string, log io.Writer) (string, error) {
	python, err := exec.LookPath("python3") // an error if it is found in the working folder
	if err != nil {
		return "", fmt.Errorf("python3 is needed to fetch %s (apt-get install python3-pip): %w", w.File, err)
	}
	if python, err = filepath.Abs(python); err != nil {
		return "", err
	}
	empty := filepath.Join(dir, "empty")
	if err := atomicfile.MakeFolder(empty); err != nil {
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := atomicfile.PutUnsynced(list, atomicfile.Bytes([]byte(w.Project+"=="+w.Version+" --hash=sha256:"+w.SHA256+"\n"))); err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, python, "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", w.Python, "--abi", w.ABI,
		"--platform", w.Platform, "--dest", dir, "--requirement", list)
	c.Dir, c.Env = empty, environment(os.Environ(), empty)
	c.Stdout, c.Stderr = log, log
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("pip could not fetch %s %s (%w); what it said stands above. %s", w.Project, w.Version, err, w.Elsewhere)
	}
	path := filepath.Join(dir, w.File)
	sum, err := atomicfile.SHA256(path)
	if err != nil {
		return "", err
	}
	if sum != w.SHA256 {
		return "", fmt.Errorf("%s has the SHA-256 %s, expected %s; it was not unpacked", w.File, sum, w.SHA256)
	}
	return path, nil
}

// sources are pip's variables that say where packages come from and how they are reached.
var sources = []string{
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_TRUSTED_HOST",
	"PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT", "PIP_RETRIES", "PIP_CONFIG_FILE", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR",
}

// environment is what pip is given: the user's, without what changes which code Python runs or what pip does.
func environment(all []string, dir string) []string {
	var kept []string
	for _, v := range all {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "PYTHON") || name == "PWD" || strings.HasPrefix(name, "PIP_") && !slices.Contains(sources, name) {
			continue
		}
		kept = append(kept, v)
	}
	return append(kept, "PWD="+dir)
}

// Stage makes a folder, for the user alone, beside one that will be installed; the caller removes it. The folder around both, if it is made
// here, may be written by the user alone, whatever the umask.
func Stage(dir string) (string, error) {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
		if err := atomicfile.MakeFolder(parent); err != nil {
			return "", err
		}
		if err := os.Chmod(parent, 0o755); err != nil { //nolint:gosec // there is nothing to hide
			return "", err
		}
	}
	return scratch.Hidden(parent, "install")
}
