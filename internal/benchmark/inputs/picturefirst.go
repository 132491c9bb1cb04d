package inputs

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
)

// PictureFirst is a list of samples that begins with one of them: as a text file that names them.
func PictureFirst(first, all string) ([]byte, error) {
	head, err := dataset.Find(first, 0)
	if err != nil {
		return nil, err
	}
	if len(head.Sources) != 1 {
		return nil, fmt.Errorf("%s holds %d pictures; one is wanted first", first, len(head.Sources))
	}
	rest, err := dataset.Find(all, 0)
	if err != nil {
		return nil, err
	}
	lines := []string{sampleLine(head.Sources[0])}
	for _, s := range rest.Sources {
		if line := sampleLine(s); line != lines[0] {
			lines = append(lines, line)
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

// sampleLine names a sample's files.
func sampleLine(s dataset.Source) string {
	var items []string
	for _, input := range slices.Sorted(maps.Keys(s.Files)) {
		path, err := filepath.Abs(s.Files[input])
		if err != nil {
			path = s.Files[input]
		}
		if input != "" {
			path = input + ":=" + path
		}
		items = append(items, path)
	}
	return strings.Join(items, " ")
}
