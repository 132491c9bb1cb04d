//go:build !quantcheck_nosync

package atomicfile

import "os"

// syncing says that files are synced.
const syncing = true

// SQLite is what SQLite's pragma synchronous is set to: with FULL, the journal that would undo what was committed may still be there
// after a power cut.
const SQLite = "EXTRA"

// flush waits until the disk has a file's content, or the names in a folder.
func flush(f *os.File) error { return f.Sync() }
