package scratch

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/process"
)

// Unknown is the state of what an earlier version left, whose names do not say who made it.
const Unknown process.State = "unknown"

// Patience is for how long nothing in a leftover may have changed before it is removed although nobody can say whether its
// process has ended: it ran on another machine that shares the folder, or an earlier version made it.
const Patience = 7 * 24 * time.Hour

// Found is a temporary file or folder of this program.
type Found struct {
	Path    string
	State   process.State // of the process that made it
	PID     int           // of that process, 0 if it is not known
	Changed time.Time     // the last change of anything in it; of it alone while its process runs
	Bytes   int64         // of all files in it; 0 while its process runs
}

// Left says whether nobody needs it any more.
func (f Found) Left() bool {
	switch f.State {
	case process.Gone:
		return true
	case process.Running:
		return false
	}
	return time.Since(f.Changed) > Patience
}

// Find lists the temporary files and folders of this program that lie in a folder and belong to the user, ordered by name; those
// of running processes too.
func Find(dir string) ([]Found, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var list []Found
	for {
		entries, err := d.Readdirnames(1000)
		for _, name := range entries {
			if f, ok := recognize(dir, name); ok {
				list = append(list, f)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// recognize looks at one entry of a folder.
func recognize(dir, name string) (Found, bool) {
	f := Found{Path: filepath.Join(dir, name), State: Unknown}
	if m := names.FindStringSubmatch(name); m != nil {
		id, err := process.Parse(m[2])
		if err != nil {
			return f, false
		}
		f.State, f.PID = id.State(), id.PID
	} else if !old.MatchString(name) {
		return f, false
	}
	info, err := os.Lstat(f.Path)
	if err != nil || !ours(info) || !info.IsDir() && !info.Mode().IsRegular() {
		return f, false
	}
	f.Changed = info.ModTime()
	if f.State == process.Running {
		return f, true
	}
	_ = filepath.WalkDir(f.Path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone, or cannot be read: what is seen counts
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if info.Mode().IsRegular() {
			f.Bytes += info.Size()
		}
		if info.ModTime().After(f.Changed) {
			f.Changed = info.ModTime()
		}
		return nil
	})
	return f, true
}

// Sweep removes what ended processes left in a folder, and says what that was. What cannot be removed is passed over; the error
// says why.
func Sweep(dir string) ([]Found, error) {
	list, err := Find(dir)
	if err != nil {
		return nil, err
	}
	var removed []Found
	for _, f := range list {
		if !f.Left() {
			continue
		}
		if e := os.RemoveAll(f.Path); e != nil {
			err = errors.Join(err, e)
			continue
		}
		removed = append(removed, f)
	}
	return removed, err
}

// random is what tells names of one process apart.
func random() string { return strings.ToLower(rand.Text()[:10]) }
