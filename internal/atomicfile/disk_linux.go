package atomicfile

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// exchange lets two paths change places, in one step.
func exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	tell(Op{Kind: Exchanged, Path: a, To: b})
	return nil
}

// beginSync lets the disk begin with a file's content, so that there is less to wait for later.
func beginSync(f *os.File) {
	if !syncing {
		return
	}
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // whether that succeeds, fsync tells
}

func syncAll() { unix.Sync() }

// own gives a file the owner and the group of another, as far as the system allows.
func own(f *os.File, as os.FileInfo) {
	s, ok := as.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if f.Chown(int(s.Uid), int(s.Gid)) != nil {
		_ = f.Chown(-1, int(s.Gid)) // only root gives a file away, but a group of one's own is allowed
	}
}
