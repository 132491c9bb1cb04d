package library

import (
	"io/fs"
	"syscall"
)

func stampOf(info fs.FileInfo) stamp {
	s := stamp{Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	if x, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Changed, s.Inode = x.Ctim.Nano(), x.Ino
	}
	return s
}
