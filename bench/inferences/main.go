// Inferences makes the inferences of a check and nothing else, on the first picture over and over: no metrics, no results. It is what
// the whole command is measured against.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

const memory = 4 << 30

func main() {
	if cpu.IsWorker() {
		os.Exit(cpu.Work())
	}
	model := flag.String("model", "", "the float model")
	images := flag.String("images", "", "a folder of pictures")
	config := flag.String("model-config", "", "the description of its input")
	recipe := flag.String("variant", "w8a8", "the variant")
	samples := flag.Int("limit", 64, "how often")
	local := flag.Int("local-samples", 4, "of these with the layers alone")
	flag.Parse()
	spec := result.CheckSpec{
		Sources: result.Sources{Model: *model, Images: *images, Limit: 1}, Variants: []string{*recipe}, Bounds: result.Bounds{Threads: 2, MemoryMiB: memory >> 20}, LocalSamples: *local, Input: dataset.Default(),
	}
	if err := run(context.Background(), spec, *config, *samples); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, spec result.CheckSpec, config string, samples int) error {
	if config != "" {
		if err := spec.Input.ReadFile(config); err != nil {
			return err
		}
	}
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return err
	}
	library, err := onnxruntime.Find(filepath.Join("bin", onnxruntime.LibraryName())) // which make build puts there
	if err != nil {
		return err
	}
	engine, err := cpu.Open(ctx, cpu.Options{Library: library, Threads: spec.Threads, Memory: memory, TimeLimit: time.Minute})
	if err != nil {
		return err
	}
	defer engine.Close()
	b, err := session.Open(ctx, engine, session.Options{Command: "check", Model: spec.Model, Input: spec.Input, MemoryMiB: spec.MemoryMiB, LocalSamples: spec.LocalSamples}, variants, progress.Silent{}, time.Now())
	if err != nil {
		return err
	}
	defer b.Close()
	set, err := session.Samples(spec.Images, 1, b.Loader)
	if err != nil {
		return err
	}
	one, err := b.Loader.Load(set.Sources[0])
	if err != nil {
		return err
	}
	if err := prepare.All(ctx, b, set, b.Loader); err != nil {
		return err
	}
	if err := calibrating(ctx, b, one.Inputs, samples-1); err != nil {
		return err
	}
	for n := range samples {
		if err := compared(ctx, b, one.Inputs, n < spec.LocalSamples); err != nil {
			return err
		}
	}
	return nil
}

// calibrating makes the inferences of a calibration: the tensors that get an encoding are exposed.
func calibrating(ctx context.Context, b *session.Session, inputs map[string]tensor.Tensor, samples int) error {
	var taps []string
	for _, n := range b.Float.Model.Graph().GetNode() {
		for _, out := range n.GetOutput() {
			if role := b.Float.Placement.Tensors[out].Role; role == qdq.Own || role == qdq.Union {
				taps = append(taps, out)
			}
		}
	}
	r, err := ort.New(b.ORT, b.Float.Model, ort.Options{Taps: taps, SegmentBytes: 24 << 20, Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return err
	}
	defer r.Close()
	for range samples {
		if err := inStep(ctx, r.Segments(), r.Start(runner.Sample{Inputs: inputs})); err != nil {
			return err
		}
	}
	return nil
}

// compared makes the inferences of one sample: the float model, the variants, the layers alone and the partly quantized models.
func compared(ctx context.Context, b *session.Session, inputs map[string]tensor.Tensor, alone bool) error {
	sample := runner.Sample{Inputs: inputs}
	var running []runner.Inference
	if !alone { // else the layers alone take the float model's tensors as they come
		running = append(running, b.Reference.Start(sample))
	}
	for _, v := range b.Variants {
		running = append(running, v.Runner.Start(sample))
	}
	if !alone {
		return inStep(ctx, b.Reference.Segments(), running...)
	}
	for _, v := range b.Variants {
		if err := layers(ctx, b, v, inputs); err != nil {
			return err
		}
		for _, r := range []runner.Runner{v.Alone.WeightsOnly, v.Alone.ActsOnly} {
			if r != nil {
				if err := inStep(ctx, r.Segments(), r.Start(sample)); err != nil {
					return err
				}
			}
		}
	}
	return inStep(ctx, b.Reference.Segments(), running...)
}

// layers computes the layers alone, each from the float model's tensors.
func layers(ctx context.Context, b *session.Session, v *session.Variant, inputs map[string]tensor.Tensor) error {
	fed := map[string]tensor.Tensor{}
	for name, t := range inputs {
		fed[name] = t
	}
	ref := b.Reference.Start(runner.Sample{Inputs: inputs})
	defer ref.Close()
	islands := v.Alone.Layers.Start(runner.Sample{Inputs: fed})
	defer islands.Close()
	var held []*runner.Batch
	defer func() {
		for _, batch := range held {
			batch.Release()
		}
	}()
	for range b.Reference.Segments() {
		batch, err := ref.Next(ctx)
		if err != nil {
			return err
		}
		held = append(held, batch)
		for _, tap := range batch.Taps {
			fed[tap.Name] = tap.Tensor
		}
		own, err := islands.Next(ctx)
		if err != nil {
			return err
		}
		own.Release()
	}
	return nil
}

// inStep runs inferences side by side, segment by segment.
func inStep(ctx context.Context, segments [][]string, running ...runner.Inference) error {
	for _, f := range running {
		defer f.Close()
	}
	for range segments {
		for _, f := range running {
			batch, err := f.Next(ctx)
			if err != nil {
				return err
			}
			batch.Release()
		}
	}
	return nil
}
