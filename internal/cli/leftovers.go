package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/internal/process"
	"quantcheck/internal/scratch"
	"quantcheck/internal/workspace"
)

// leftovers are the temporary files and folders of this program that nobody needs any more, and those of which that cannot be seen.
// With --clean the former are removed.
func (c *doctorCmd) leftovers() ([]part, error) {
	dirs := []string{os.TempDir()}
	for _, dir := range append(slices.Clone(c.Folder), ".")[:max(1, len(c.Folder))] {
		if err := checkOut(dir); err != nil {
			return nil, err
		}
		dirs = append(dirs, workspace.Folder(dir).Folders()...)
	}
	var list []part
	var failed error
	seen := map[string]bool{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if seen[abs] {
			continue
		}
		seen[abs] = true
		found, err := scratch.Find(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, f := range found {
			if f.State == process.Running {
				continue
			}
			says := leftBy(f)
			if c.Clean && f.Left() {
				says += "; removed"
				if err := os.RemoveAll(f.Path); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
			}
			list = append(list, part{Name: "temporary", For: "a run that was ended", Found: f.Path, Bring: "quantcheck doctor --clean", Says: says})
		}
	}
	return list, failed
}

// leftBy says who made a leftover.
func leftBy(f scratch.Found) string {
	size := fmt.Sprintf("%.1f MB", float64(f.Bytes)/1e6)
	switch f.State {
	case process.Gone:
		return fmt.Sprintf("%s, of process %d, which has ended", size, f.PID)
	case process.Elsewhere:
		size += fmt.Sprintf(", of process %d of another machine or container", f.PID)
	default:
		size += ", of an earlier version, which did not note its process"
	}
	if f.Left() {
		return size + ", unchanged for a week"
	}
	return size + "; it is kept until nothing in it has changed for a week"
}
