package devicetest

import (
	"syscall"

	"quantcheck/internal/fixture"
)

// mountSmall puts a disk of 256 KiB over a folder, which needs root's rights.
func mountSmall(dir string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k") }

func unmount(dir string) error { return fixture.Unmount(dir) }
