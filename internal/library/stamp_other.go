//go:build !linux && !darwin

package library

import "io/fs"

func stampOf(info fs.FileInfo) stamp {
	return stamp{Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
}
