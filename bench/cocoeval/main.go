// Cocoeval evaluates detections once and prints a JSON line like those of coco_peers.py: seconds from the two files to
// the twelve numbers, and the peak of memory.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"quantcheck/internal/coco"
)

func main() {
	masks := flag.Bool("masks", false, "compare masks instead of boxes")
	parallel := flag.Int("parallel", 0, "goroutines; 0: as many as processors")
	profile := flag.String("profile", "", "write a CPU profile of twenty rounds")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: cocoeval [-masks] gt.json dt.json")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *masks, *parallel, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "cocoeval:", err)
		os.Exit(1)
	}
}

func run(gt, dt string, masks bool, parallel int, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		for range 20 {
			if _, _, err := evaluate(gt, dt, masks, parallel); err != nil {
				return err
			}
		}
		return nil
	}
	start := time.Now()
	r, read, err := evaluate(gt, dt, masks, parallel)
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	mib, err := peak()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		Name    string      `json:"name"`
		Seconds float64     `json:"seconds"`
		Read    float64     `json:"read"`
		MiB     float64     `json:"mib"`
		Stats   [12]float64 `json:"stats"`
	}{"quantcheck", seconds, read.Seconds(), mib, r.Stats})
}

func evaluate(gt, dt string, masks bool, parallel int) (*coco.Result, time.Duration, error) {
	p := coco.DefaultParams(coco.Boxes)
	if masks {
		p = coco.DefaultParams(coco.Masks)
	}
	p.Parallel = parallel
	reader := coco.Reader{BoxesOnly: !masks, Parallel: parallel}
	start := time.Now()
	truth, err := reader.DatasetFile(gt)
	if err != nil {
		return nil, 0, err
	}
	detections, err := reader.ResultsFile(dt)
	if err != nil {
		return nil, 0, err
	}
	read := time.Since(start)
	r, err := coco.Evaluate(truth, detections, p)
	return r, read, err
}

// peak is the greatest resident size of this process, in MiB.
func peak() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.Atoi(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))))
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}
