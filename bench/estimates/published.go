package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"quantcheck/internal/onnx"
	"quantcheck/internal/session"
)

// networks are those whose times were published that are built here, by their published names.
var networks = map[string]func() *onnx.Model{
	"resnet18": func() *onnx.Model { return resnet([4]int{2, 2, 2, 2}, false, 1) }, "resnet50": func() *onnx.Model { return resnet([4]int{3, 4, 6, 3}, true, 1) },
	"wideresnet50": func() *onnx.Model { return resnet([4]int{3, 4, 6, 3}, true, 2) }, "mobilenet_v2": mobilenet, "squeezenet1_1": squeezenet,
	"xlsr": xlsr, "quicksrnetsmall": func() *onnx.Model { return quicksrnet(32, 2) }, "sesr_m5": sesr, "dncnn": dncnn, "real_esrgan_general_x4v3": esrgan,
}

// time is a published one, milliseconds, with the cycles of the estimate of the same network as torchvision and its authors export it.
type time struct {
	Model, Precision string
	Cycles           int64   `json:"published_form_cycles"`
	Estimate         float64 `json:"published_form_ms"`
	QCS8550          float64 `json:"published_ms"`
	IQ9075           float64 `json:"published_iq9075_ms"`
}

// times reads published times.
func times(path string) ([]time, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []time
	return list, json.Unmarshal(data, &list)
}

// published holds estimates beside what others measured.
func published(ctx context.Context, w io.Writer, engines session.Engines, dir string) error {
	fixtures := os.Getenv("QUANTCHECK_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "shared", "fixtures")
	}
	list, err := times(filepath.Join(fixtures, "qnn", "published_times_2026.json"))
	if errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(w, "SKIPPED FOR WANT OF FIXTURES:", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| network | precision | estimate ms | HMX ms | QCS8550 ms | off | IQ-9075 ms | off |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, t := range list {
		build := networks[t.Model]
		if build == nil {
			continue
		}
		made, err := estimateOf(ctx, engines, dir, build(), false, t.Precision)
		if err != nil {
			return fmt.Errorf("%s %s: %w", t.Model, t.Precision, err)
		}
		x, hmx := made[0], int64(0)
		for _, l := range x.Layers {
			hmx += l.HMX
		}
		ms := float64(x.Microseconds) / 1000
		fmt.Fprintf(w, "| %s | %s | %.3f | %.3f | %.3f | %+.0f %% | %.3f | %+.0f %% |\n", t.Model, t.Precision, ms, ms*float64(hmx)/float64(x.Cycles), t.QCS8550, 100*(ms/t.QCS8550-1), t.IQ9075, 100*(ms/t.IQ9075-1))
		if x.Cycles != t.Cycles {
			fmt.Fprintf(os.Stderr, "%s %s: %d cycles, %d on record\n", t.Model, t.Precision, x.Cycles, t.Cycles)
		}
	}
	return nil
}
