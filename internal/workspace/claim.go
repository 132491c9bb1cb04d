package workspace

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/lock"
	"quantcheck/internal/variant"
)

// Claim is the right to write under some names into a workspace; no other process has it meanwhile.
type Claim struct {
	folder Folder
	locks  []*lock.Lock
	made   []string // folders that were not there before, outermost first
}

// Claimant says who claims, and what happens while others hold what is claimed.
type Claimant struct {
	// Command is what others are told of this process.
	Command string
	// Waiting is called again and again while somebody else holds a name; if it gives false, the claim fails with the lock.HeldError. It must be
	// quick.
	Waiting func(held *lock.HeldError) bool
}

// lockFolder is the folder of a workspace's lock files; it is there only while somebody holds one.
type lockFolder string

func (f Folder) locks() lockFolder { return lockFolder(filepath.Join(string(f), ".quantcheck-locks")) }

// of is the file of the lock of a name.
func (l lockFolder) of(name string) string {
	return filepath.Join(string(l), "name-"+fileName(variant.Clean(name))+".lock")
}

// results is the file of the lock of what all runs share.
func (l lockFolder) results() string { return filepath.Join(string(l), "results.lock") }

// Claim takes the names, waiting for those who hold them, and makes the workspace's folder if it is not there. A run claims every name under which it
// writes files for as long as it lasts: that of its model, and those of its variants (<name>-<variant>), because another model may be
// called so. The caller releases the claim.
func (f Folder) Claim(ctx context.Context, who Claimant, names ...string) (*Claim, error) {
	var paths []string
	for _, name := range names {
		paths = append(paths, f.locks().of(name))
	}
	return claim(ctx, f, who, paths)
}

// ClaimResults takes what all runs of a workspace share: database, page and tables. It is held while results are stored, not
// while they are computed. Who holds names takes it after them, never before.
func (f Folder) ClaimResults(ctx context.Context, who Claimant) (*Claim, error) {
	return claim(ctx, f, who, []string{f.locks().results()})
}

func claim(ctx context.Context, f Folder, who Claimant, paths []string) (*Claim, error) {
	c := &Claim{folder: f, made: missing(string(f))}
	if err := atomicfile.MakeFolder(string(f)); err != nil { // a power cut does not lose it with what will be in it
		return nil, err
	}
	slices.Sort(paths) // the same order in every process, so that two never wait for each other
	for _, path := range slices.Compact(paths) {
		l, err := lock.Take(ctx, path, who.Command, who.Waiting)
		if err != nil {
			c.Release()
			return nil, err
		}
		c.locks = append(c.locks, l)
	}
	f.locks().sweep(paths)
	return c, nil
}

// missing are the folders that have to be made for one to be there, outermost first.
func missing(dir string) []string {
	var list []string
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(list)
			return list
		}
		list = append(list, dir)
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// sweep removes lock files of processes that were killed, but for those that this process holds.
func (l lockFolder) sweep(held []string) {
	entries, err := os.ReadDir(string(l))
	if err != nil {
		return
	}
	for _, e := range entries {
		if path := filepath.Join(string(l), e.Name()); !slices.Contains(held, path) {
			lock.Sweep(path)
		}
	}
}

// Release gives the names back. Folders that were made for the claim and that hold nothing are removed. It may be called more than
// once, and on nil.
func (c *Claim) Release() {
	if c == nil {
		return
	}
	for _, l := range slices.Backward(c.locks) {
		l.Release()
	}
	c.locks = nil
	_ = os.Remove(string(c.folder.locks())) // it fails while others hold locks
	for _, dir := range slices.Backward(c.made) {
		_ = os.Remove(dir) // it fails if there are results
	}
	c.made = nil
}
