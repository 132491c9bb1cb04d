//go:build unix

package library

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unmapped is whom root of the outside is shown as within a user namespace.
const unmapped = 65534

// guard holds a file, its folder and those above it against what Guarded says.
func guard(library string) error {
	for depth, path := 0, library; ; depth, path = depth+1, filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s: its owner is not known", path)
		}
		bad := &UnsafeError{Library: library, Path: path}
		mode, above := info.Mode(), depth > 1
		switch {
		case s.Uid != 0 && int(s.Uid) != os.Geteuid() && (!above || s.Uid != unmapped):
			bad.Why, bad.Do = "belongs to "+name(s.Uid), "chown "+strconv.Itoa(os.Geteuid())+" "+path
		case info.IsDir() && mode&os.ModeSticky != 0:
			bad = nil
		case mode&othersWrite != 0:
			bad.Why, bad.Do = "may be written by everybody", "chmod o-w "+path
		case mode&groupWrites != 0 && !private(s.Gid):
			bad.Why, bad.Do = "may be written by the group "+group(s.Gid), "chmod g-w "+path
		default:
			bad = nil
		}
		if bad != nil {
			return bad
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// notEverybodys holds a file and its folder against what Named says.
func notEverybodys(library string) error {
	for _, path := range []string{library, filepath.Dir(library)} {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if mode := info.Mode(); mode&othersWrite != 0 && (!info.IsDir() || mode&os.ModeSticky == 0) {
			return &UnsafeError{Library: library, Path: path, Why: "may be written by everybody", Do: "chmod o-w " + path}
		}
	}
	return nil
}

// private says whether a group is the user's own, with nobody else in it, as many systems make one for each user and let it write
// whatever that user writes.
func private(gid uint32) bool {
	if int(gid) != os.Getegid() {
		return false
	}
	if os.Getegid() == os.Geteuid() {
		return true
	}
	u, err := user.Current()
	return err == nil && u.Username == group(gid)
}

func name(uid uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(int(uid))
}

func group(gid uint32) string {
	if g, err := user.LookupGroupId(strconv.Itoa(int(gid))); err == nil {
		return g.Name
	}
	return strconv.Itoa(int(gid))
}
