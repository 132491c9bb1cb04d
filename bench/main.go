// Bench measures quantcheck beside what it is compared with, in one run and in turns, and prints ratios with their
// spread: times alone mean little on a machine that is shared.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each is measured")
	pictures := flag.Int("pictures", 64, "pictures that calibrate and are compared")
	flag.Parse()
	if err := run(*rounds, *pictures); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measured is one execution.
type measured struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // KiB
}

func execute(args ...string) (measured, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // a benchmark runs to its end
	out, err := os.CreateTemp("", "bench-*")
	if err != nil {
		return measured{}, err
	}
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	started := time.Now()
	err = cmd.Run()
	m := measured{wall: time.Since(started)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.peak = usage.Maxrss
		m.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	if err != nil {
		text, _ := os.ReadFile(out.Name())
		return m, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return m, nil
}

func run(rounds, pictures int) error {
	fixtures := os.Getenv("QUANTCHECK_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "shared", "fixtures")
	}
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	whole := []string{
		filepath.Join("bin", "quantcheck"), "check", filepath.Join(fixtures, "models", "yolox_nano.onnx"),
		"--images", filepath.Join(fixtures, "coco", "val"), "--limit", strconv.Itoa(pictures), "--model-config", filepath.Join("examples", "yolox_nano.yaml"),
		"--variant", "w8a8", "--out", dir, "--threads", "2",
	}
	inferences, err := build(dir, "inferences")
	if err != nil {
		return err
	}
	bare := []string{
		inferences, "-model", whole[2], "-images", filepath.Join(fixtures, "coco", "val"), "-limit", strconv.Itoa(pictures),
		"-model-config", filepath.Join("examples", "yolox_nano.yaml"), "-variant", "w8a8",
	}
	var ratios, wholes, bares []float64
	peak := int64(0)
	for range rounds {
		a, err := execute(bare...)
		if err != nil {
			return err
		}
		b, err := execute(whole...)
		if err != nil {
			return err
		}
		bares, wholes = append(bares, a.wall.Seconds()), append(wholes, b.wall.Seconds())
		ratios = append(ratios, b.wall.Seconds()/a.wall.Seconds())
		peak = max(peak, b.peak)
	}
	fmt.Printf("yolox_nano w8a8, %d pictures calibrate and are compared, 2 threads, %d rounds\n", pictures, rounds)
	fmt.Printf("  the whole command           %s\n", spread(wholes, "s"))
	fmt.Printf("  its inferences alone        %s\n", spread(bares, "s"))
	fmt.Printf("  whole / inferences          %s\n", spread(ratios, "x"))
	fmt.Printf("  peak memory of the whole    %d MiB\n", peak/1024)
	if err := scoring(rounds, fixtures, dir); err != nil {
		return err
	}
	if err := large(dir); err != nil {
		return err
	}
	if err := emulator(fixtures, dir); err != nil {
		return err
	}
	return peers(fixtures, dir, pictures)
}

// build makes a program of this folder.
func build(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-o", path, "./bench/"+name).CombinedOutput() //nolint:noctx // a benchmark runs to its end
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// emulator holds the numbers and the time of emulated layers against Python over the same libraries.
func emulator(fixtures, dir string) error {
	python := filepath.Join("bench", ".venv", "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("the emulator is left out: make bench installs what it is compared with into bench/.venv")
		return nil
	}
	float, ready := filepath.Join(fixtures, "models", "yolox_nano.onnx"), filepath.Join(fixtures, "qnn", "yolox_nano_w8a8_per_channel.onnx")
	images := filepath.Join(fixtures, "coco", "val")
	pictures, err := filepath.Glob(filepath.Join(images, "*.jpg"))
	if err != nil || len(pictures) == 0 {
		return errors.Join(err, errors.New("no pictures"))
	}
	out, err := exec.Command(python, filepath.Join("bench", "emulator.py"), dir, float, ready, pictures[0]).Output() //nolint:noctx // a benchmark runs to its end
	if err != nil {
		return fmt.Errorf("emulator.py: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "q") {
			fmt.Print(line)
		}
	}
	var seconds []float64
	for _, n := range []string{"1", "9"} {
		m, err := execute(filepath.Join("bin", "quantcheck"), "check", float, "--images", images, "--limit", n, "--variant", "q="+ready+"@htp", "--threads", "2", "--local-samples", "0", "--out", dir)
		if err != nil {
			return err
		}
		seconds = append(seconds, m.wall.Seconds())
	}
	fmt.Printf("ours, one more picture with all layers and the float model: %.2f s\n", (seconds[1]-seconds[0])/8)
	return nil
}

// large checks the demo's model at 1920 × 1920, which takes over 4 GiB with every tensor exposed, within a bound.
func large(dir string) error {
	model := filepath.Join("third_party", "node_modules", "@gutenye", "ocr-models", "assets", "ch_PP-OCRv4_det_infer.onnx")
	pages := filepath.Join(dir, "pages")
	if _, err := execute("go", "run", "./tools/pages", pages); err != nil {
		return err
	}
	for _, bound := range []string{"2GiB", "1GiB"} {
		m, err := execute(filepath.Join("bin", "quantcheck"), "check", model, "--images", pages, "--limit", "1", "--input-shape", "1,3,1920,1920",
			"--model-config", filepath.Join("examples", "pp-ocrv4-det.yaml"), "--memory", bound, "--out", dir, "--threads", "2")
		if err != nil {
			return err
		}
		fmt.Printf("PP-OCRv4 detection at 1920 x 1920, --memory %s: peak %d MiB, %.1f s\n", bound, m.peak/1024, m.wall.Seconds())
	}
	return nil
}

// peers measures what others need for the same work, in turns with ours.
func peers(fixtures, dir string, pictures int) error {
	python := filepath.Join("bench", ".venv", "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("the peers are left out: make bench installs them into bench/.venv")
		return nil
	}
	float, ready := filepath.Join(fixtures, "models", "yolox_nano.onnx"), filepath.Join(fixtures, "qnn", "yolox_nano_w8a8_per_channel.onnx")
	images := filepath.Join(fixtures, "coco", "val")
	for _, peer := range []struct {
		title, script string
		pictures      int
	}{
		{"the seed's way in Python", "seed_way.py", pictures},
		{"onnxruntime qdq_loss_debug", "qdq_loss.py", min(pictures, 16)},
	} {
		n := strconv.Itoa(peer.pictures)
		ours := []string{
			filepath.Join("bin", "quantcheck"), "check", float, "--images", images, "--limit", n, "--model-config", filepath.Join("examples", "yolox_nano.yaml"),
			"--variant", "ready=" + ready, "--out", dir, "--threads", "2", "--local-samples", "0",
		}
		var theirs, our, ratios []float64
		var theirPeak, ourPeak int64
		for range 2 {
			a, err := execute(python, filepath.Join("bench", peer.script), float, ready, images, n)
			if err != nil {
				return err
			}
			b, err := execute(ours...)
			if err != nil {
				return err
			}
			theirs, our = append(theirs, a.wall.Seconds()), append(our, b.wall.Seconds())
			ratios = append(ratios, a.wall.Seconds()/b.wall.Seconds())
			theirPeak, ourPeak = max(theirPeak, a.peak), max(ourPeak, b.peak)
		}
		fmt.Printf("%s, a ready QDQ model, %d pictures\n", peer.title, peer.pictures)
		fmt.Printf("  theirs %s, %d MiB; ours %s, %d MiB\n", spread(theirs, "s"), theirPeak/1024, spread(our, "s"), ourPeak/1024)
		fmt.Printf("  ours is faster by           %s, with %.2f of the memory\n", spread(ratios, "x"), float64(ourPeak)/float64(theirPeak))
	}
	return nil
}

// spread writes the median and the range.
func spread(values []float64, unit string) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf("%.2f %s (%.2f to %.2f)", sorted[len(sorted)/2], unit, sorted[0], sorted[len(sorted)-1])
}
