package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/snpe"
	"quantcheck/internal/usage"
)

// listingMost bounds a listing: those of large models have a few megabytes.
const listingMost = 256 << 20

// IsDLC says whether a file is a DLC or a listing of one, by its ending or its first bytes.
func IsDLC(path string) bool {
	if strings.EqualFold(filepath.Ext(path), ".dlc") {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return isListing(f)
}

func isListing(f *os.File) bool {
	head := make([]byte, 64)
	n, err := f.ReadAt(head, 0)
	return (err == nil || errors.Is(err, io.EOF)) && snpe.IsListing(head[:n])
}

// OpenDLC opens a DLC, or what snpe-dlc-info printed of one. It holds at least one graph.
func OpenDLC(path string) (*dlc.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	listing := isListing(f)
	info, err := f.Stat()
	f.Close()
	var d *dlc.File
	switch {
	case err != nil:
	case !listing:
		d, err = dlc.Open(path)
	case info.Size() > listingMost:
		err = fmt.Errorf("%s has %d bytes, too many for a listing", path, info.Size())
	default:
		var data []byte
		if data, err = os.ReadFile(path); err == nil {
			if d, err = snpe.ReadListing(data); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	if err != nil {
		return nil, usage.Mark(err)
	}
	if len(d.Graphs) == 0 {
		d.Close()
		return nil, usage.Mark(fmt.Errorf("%s holds no graph", path))
	}
	return d, nil
}
