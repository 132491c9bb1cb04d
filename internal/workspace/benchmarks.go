package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"quantcheck/internal/result"
)

// ReadBenchmarks reads every models_dlc/<name>/benchmark.json, the one that was measured last at the end; problems names those that
// cannot be read.
func ReadBenchmarks(f Folder) (list []*result.Benchmark, problems []string) {
	names, err := modelNames(f)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for _, name := range names {
		b, err := ReadBenchmark(f, name)
		switch {
		case err != nil:
			problems = append(problems, err.Error())
		case b != nil:
			list = append(list, b)
		}
	}
	slices.SortStableFunc(list, func(a, b *result.Benchmark) int { return a.Finished().Compare(b.Finished()) })
	return list, problems
}

// mostBenchmark bounds a file that is read.
const mostBenchmark = 256 << 20

// ReadBenchmark reads what earlier runs found; nil: there is nothing.
func ReadBenchmark(f Folder, name string) (*result.Benchmark, error) {
	path := f.Benchmark(name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a file")
	case info.Size() > mostBenchmark:
		err = errors.New("too large")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	b := &result.Benchmark{}
	if err == nil {
		err = json.Unmarshal(data, b)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to begin anew", path, err)
	}
	if b.Steps == nil {
		b.Steps = map[result.Step]*result.StepDone{}
	}
	return b, nil
}
