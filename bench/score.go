package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// scoring measures a whole evaluation against its inferences, and the evaluator of detections beside those in Python.
func scoring(rounds int, fixtures, dir string) error {
	var ratios []float64
	for range rounds {
		out, err := exec.Command(filepath.Join("bin", "quantcheck"), "eval", filepath.Join(fixtures, "models", "yolox_nano.onnx"), "--task", "detection", //nolint:noctx // a benchmark runs to its end
			"--data", filepath.Join(fixtures, "coco", "instances.json"), "--model-config", filepath.Join("examples", "yolox_nano.yaml"),
			"--variant", "q="+filepath.Join(fixtures, "qnn", "yolox_nano_w8a8_per_channel.onnx"), "--out", dir, "--threads", "2", "--json").Output()
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		var e struct {
			Seconds   float64 `json:"seconds"`
			Inference float64 `json:"inference_seconds"`
		}
		if err := json.Unmarshal(out, &e); err != nil {
			return err
		}
		ratios = append(ratios, e.Seconds/e.Inference)
	}
	fmt.Printf("eval, yolox_nano float and one variant, 64 pictures: whole / inferences %s\n", spread(ratios, "x"))
	return evaluators(rounds, dir)
}

// evaluators scores 500,000 detections with ours and with the peers.
func evaluators(rounds int, dir string) error {
	set := filepath.Join(dir, "cocoset")
	if err := os.MkdirAll(set, 0o777); err != nil {
		return err
	}
	if _, err := execute("go", "run", "./bench/cocoset", "-dir", set); err != nil {
		return err
	}
	ours := filepath.Join(dir, "cocoeval")
	if _, err := execute("go", "build", "-o", ours, "./bench/cocoeval"); err != nil {
		return err
	}
	gt, dt := filepath.Join(set, "gt.json"), filepath.Join(set, "dt.json")
	python := filepath.Join("bench", ".venv", "bin", "python")
	_, err := os.Stat(python)
	missing := errors.Is(err, fs.ErrNotExist)
	for i := range rounds {
		commands := [][]string{{ours, gt, dt}}
		if !missing {
			commands = append(commands, []string{python, filepath.Join("bench", "coco_peers.py"), gt, dt, "bbox", "hotcoco"})
			if i == 0 {
				commands = append(commands, []string{python, filepath.Join("bench", "coco_peers.py"), gt, dt, "bbox", "faster_coco_eval,pycocotools"})
			}
		}
		for _, c := range commands {
			out, err := exec.Command(c[0], c[1:]...).Output() //nolint:noctx // a benchmark runs to its end
			if err != nil {
				return fmt.Errorf("%s: %w", strings.Join(c, " "), err)
			}
			for line := range strings.Lines(string(out)) {
				var r struct {
					Name    string    `json:"name"`
					Seconds float64   `json:"seconds"`
					MiB     float64   `json:"mib"`
					Stats   []float64 `json:"stats"`
				}
				if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Stats) == 0 {
					return fmt.Errorf("%s printed %q", c[0], line)
				}
				fmt.Printf("5,000 images, 36,000 truths, 500,000 detections, %-16s %.2f s, %.0f MiB, mAP %.6f\n", r.Name+":", r.Seconds, r.MiB, r.Stats[0])
			}
		}
	}
	return nil
}
