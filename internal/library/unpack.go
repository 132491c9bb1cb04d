package library

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"quantcheck/internal/atomicfile"
)

// Unpack takes files out of a wheel into a folder. where gives a file's path below the folder, with slashes, or "" for one that
// is left; both names are the wheel's own, with slashes. The files together take at most most bytes. It is an error if one is a link, or
// would lie outside of the folder, or is there twice. Nothing waits for the disk: file.ReplaceFolder does.
func Unpack(wheel, dir string, most int64, where func(name string) string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	taken := map[string]bool{}
	for _, f := range z.File {
		to := where(f.Name)
		if to == "" || f.FileInfo().IsDir() {
			continue
		}
		if !f.Mode().IsRegular() || !filepath.IsLocal(filepath.FromSlash(to)) || taken[to] {
			return fmt.Errorf("%s: %q is a link, lies outside of the folder, or is there twice", filepath.Base(wheel), f.Name)
		}
		taken[to] = true
		n, err := extract(f, filepath.Join(dir, filepath.FromSlash(to)), most)
		for folder := to; err == nil && folder != "."; { // whatever the umask: others may not write what is loaded
			folder = path.Dir(folder)
			err = os.Chmod(filepath.Join(dir, filepath.FromSlash(folder)), 0o755)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(wheel), err)
		}
		if most -= n; most < 0 {
			return fmt.Errorf("%s unpacks to more than it should", filepath.Base(wheel))
		}
	}
	return nil
}

// extract writes one file, of which at most a byte more than most is read.
func extract(f *zip.File, to string, most int64) (n int64, err error) {
	from, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer from.Close()
	err = atomicfile.PutUnsynced(to, func(w *os.File) error {
		if n, err = io.Copy(w, io.LimitReader(from, most+1)); err != nil {
			return err
		}
		return w.Chmod(0o644)
	})
	return n, err
}
