//go:build quantcheck_nosync

// Without syncing, for bench/durability alone, which measures what it costs.

package atomicfile

import "os"

// syncing says that files are not synced.
const syncing = false

// SQLite is what SQLite's pragma synchronous is set to.
const SQLite = "OFF"

func flush(*os.File) error { return nil }
