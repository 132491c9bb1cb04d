// Durability measures what it costs that a check's files survive a power cut: the same check by the program as it is and by one
// that was built to sync nothing, in turns.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "pairs of checks")
	pictures := flag.Int("pictures", 64, "pictures of a check")
	flag.Parse()
	if err := run(*rounds, *pictures); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds, pictures int) error {
	fixtures := os.Getenv("QUANTCHECK_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "shared", "fixtures")
	}
	libraries, err := filepath.Glob(filepath.Join("bin", "libonnxruntime*")) // make build puts it beside the program
	if err != nil || len(libraries) == 0 {
		return errors.New("bin has no ONNX Runtime: run make build")
	}
	library := libraries[0]
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	names := []string{"synced", "not synced"}
	for i, tags := range []string{"", "quantcheck_nosync"} {
		build := exec.Command("go", "build", "-tags", tags, "-o", filepath.Join(dir, strconv.Itoa(i)), "./cmd/quantcheck") //nolint:noctx // a benchmark runs to its end
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, text)
		}
	}
	times := make([][]float64, len(names))
	var ratios []float64
	files, size := 0, int64(0)
	for round := range rounds {
		order := []int{0, 1}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			out := filepath.Join(dir, "out")
			took, err := check(filepath.Join(dir, strconv.Itoa(i)), fixtures, library, out, pictures)
			if err != nil {
				return err
			}
			times[i] = append(times[i], took.Seconds())
			if files, size, err = count(out); err != nil {
				return err
			}
			if err := os.RemoveAll(out); err != nil {
				return err
			}
		}
		ratios = append(ratios, times[0][round]/times[1][round])
	}
	fmt.Printf("check of %d pictures with --save-model --save-tensors --encodings: %d files, %.1f MB, %d pairs\n", pictures, files, float64(size)/1e6, rounds)
	for i, name := range names {
		fmt.Printf("  %-12s        %s\n", name, spread(times[i], "s"))
	}
	fmt.Printf("  synced / not synced %s\n", spread(ratios, "x"))
	fmt.Printf("  fastest of each     %.3fx\n", slices.Min(times[0])/slices.Min(times[1]))
	return nil
}

func check(program, fixtures, library, out string, pictures int) (time.Duration, error) {
	cmd := exec.Command(program, "check", filepath.Join(fixtures, "models", "yolox_nano.onnx"), "--images", filepath.Join(fixtures, "coco", "val"), //nolint:noctx // a benchmark runs to its end
		"--limit", strconv.Itoa(pictures), "--model-config", filepath.Join("examples", "yolox_nano.yaml"), "--variant", "w8a8", "--out", out, "--threads", "2",
		"--save-model", "--save-tensors", "--encodings", filepath.Join(out, "encodings.json"), "--ort-lib", library)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("check: %w\n%s", err, &text)
	}
	return time.Since(began), nil
}

// count gives the files in a folder and their bytes.
func count(dir string) (files int, size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files, size = files+1, size+info.Size()
		return nil
	})
	return files, size, err
}

func spread(values []float64, unit string) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf("%.3f%s (%.3f to %.3f)", sorted[len(sorted)/2], unit, sorted[0], sorted[len(sorted)-1])
}
