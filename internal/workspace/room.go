package workspace

import (
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/result"
)

// ErrNoRoom means that a disk has less free space than the results are expected to take.
var ErrNoRoom = errors.New("not enough free space")

// Need is what some of the results take, about, in bytes.
type Need struct {
	What  string
	Bytes int64
}

// Room finds out, before long work, whether the workspace's disk has room for results. Where the system does not tell, there is.
func (f Folder) Room(needs ...Need) error {
	dir, err := nearest(string(f))
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	free, ok := freeBytes(dir)
	return enough(f, needs, free, ok)
}

func enough(f Folder, needs []Need, free int64, known bool) error {
	var all int64
	var parts []string
	for _, n := range needs {
		if n.Bytes > 0 {
			all += n.Bytes
			parts = append(parts, n.What+" "+bytesText(n.Bytes))
		}
	}
	if !known || all <= free {
		return nil
	}
	return fmt.Errorf("%w: the results need about %s in %s (%s), %s are free there", ErrNoRoom, bytesText(all), f, strings.Join(parts, ", "), bytesText(free))
}

// bytesText is a number of bytes in decimal units, as disks have them.
func bytesText(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if v := float64(n) / unit.bytes; v >= 1 {
			return fmt.Sprintf("%.3g %s", v, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// Plan is what is known of a check's results before the work begins.
type Plan struct {
	Layers   []result.Layer
	Channels int     // encodings of a variant's weights, one per channel
	Samples  int     // that are compared
	Models   []int64 // bytes of each variant's model, 0 where none is handed over
	Variants int
}

// Plan finds out whether there is room for what the spec asks to be saved, and for page, tables and database.
func (s *Stage) Plan(p Plan) error {
	var tensors, models int64
	if s.spec.SaveTensors {
		for _, l := range p.Layers {
			tensors += 4 * elements(l.Shape)
		}
		tensors *= int64(p.Variants + 1)
	}
	if s.spec.SaveModel {
		for _, m := range p.Models {
			models += m
		}
	}
	database, page, tables := p.results(s.spec.LocalSamples)
	return s.folder.Room(Need{"tensors", tensors}, Need{"models", models}, Need{"database", database}, Need{"page", page}, Need{"tables", tables})
}

// results is what a run takes in the database, as a page, and as CSV. The bytes per row were measured.
func (p Plan) results(local int) (database, page, tables int64) {
	const perLayer, perValues, perEncoding, perLine = 2500, 140, 90, 1000
	layers, variants := int64(len(p.Layers)), int64(p.Variants)
	database = 64<<10 + layers*500 + variants*(layers*(perLayer+perValues*int64(p.Samples+3*min(local, p.Samples)))+perEncoding*int64(p.Channels))
	return database, 400<<10 + database/4, variants * layers * perLine
}

// elements is how many values a shape has; a size that is not known counts as 1.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d == 0 {
			return 0
		}
		if d > 0 && n <= 1<<50/d {
			n *= d
		}
	}
	return n
}
