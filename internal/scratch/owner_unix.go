//go:build unix

package scratch

import (
	"io/fs"
	"os"
	"syscall"
)

// ours says whether a file belongs to the user. Root sweeps only what is root's.
func ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
