// Worker measures what it costs that ONNX Runtime computes in a process of its own: the same inferences there and in this process,
// in turns, with all layers of a model exposed as a check has them, and the smallest inference there is.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

const (
	cores  = 2
	rounds = 64
	small  = 2000
	bound  = 2 << 30
)

func main() {
	if cpu.IsWorker() {
		os.Exit(cpu.Work())
	}
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	library, err := onnxruntime.Find(filepath.Join("bin", onnxruntime.LibraryName())) // which make build puts there
	if err != nil {
		return err
	}
	r, err := onnxruntime.Open(library, cores)
	if err != nil {
		return err
	}
	started := time.Now()
	worker, err := cpu.Open(ctx, cpu.Options{Library: library, Threads: cores, Memory: bound, TimeLimit: time.Minute})
	if err != nil {
		return err
	}
	defer worker.Close()
	fmt.Fprintf(w, "worker: it starts in %.0f ms\n", time.Since(started).Seconds()*1e3)
	engines := []ort.Engine{ort.InProcess(r), worker}
	fixtures := cmp.Or(os.Getenv("QUANTCHECK_FIXTURES"), filepath.Join("..", "shared", "fixtures"))
	if err := layers(ctx, w, engines, filepath.Join(fixtures, "models", "yolox_nano.onnx")); err != nil {
		return err
	}
	if peak, ok := hostinfo.Resident(worker.PID()); ok {
		fmt.Fprintf(w, "worker: its process then takes %s, shared pages by their share\n", ort.Size(peak))
	}
	return empty(ctx, w, engines)
}

// layers runs a model with all of its tensors exposed.
func layers(ctx context.Context, w io.Writer, engines []ort.Engine, path string) error {
	m, err := onnx.Load(path)
	if err != nil {
		return err
	}
	if m, _, err = onnx.FixInputs(m, nil); err != nil {
		return err
	}
	if m, _, _, err = ort.Fold(ctx, engines[0], m); err != nil {
		return err
	}
	var taps []string
	for _, n := range m.Graph().GetNode() {
		taps = append(taps, n.GetOutput()...)
	}
	in := m.Inputs()[0]
	_, shape, _ := onnx.TypeOf(in)
	n, err := tensor.Count(shape)
	if err != nil {
		return err
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i % 251)
	}
	sample := map[string]tensor.Tensor{in.GetName(): tensor.Floats(values, shape...)}
	var inferences []func() error
	for _, e := range engines {
		arena := e.NewArena(bound / 8)
		r, err := ort.New(e, m, ort.Options{Taps: taps, SegmentBytes: 24 << 20, Arena: arena})
		if err != nil {
			return err
		}
		defer r.Close()
		inferences = append(inferences, func() error { return infer(ctx, r, sample) })
	}
	times, err := inTurns(rounds, inferences)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "worker: an inference with all layers of %s takes %.1f ms there and %.1f ms in process (medians of %d), ratio of pairs %.3f; it is to be under 1.03\n",
		filepath.Base(path), 1e3*median(times[1]), 1e3*median(times[0]), rounds, median(ratios(times)))
	return nil
}

func infer(ctx context.Context, r runner.Runner, sample map[string]tensor.Tensor) error {
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	for range r.Segments() {
		batch, err := f.Next(ctx)
		if err != nil {
			return err
		}
		batch.Release()
	}
	return nil
}

// empty runs a model of one small node.
func empty(ctx context.Context, w io.Writer, engines []ort.Engine) error {
	shape := []int64{2, 3}
	model, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(9), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
		Name: proto.String("small"), Node: []*onnxpb.NodeProto{{OpType: proto.String("Relu"), Input: []string{"x"}, Output: []string{"y"}}},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, shape)}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, shape)},
	}})
	if err != nil {
		return err
	}
	var runs []func() error
	for _, e := range engines {
		s, err := e.NewSession(model, []string{"x"}, []string{"y"}, onnxruntime.Options{OneThread: true})
		if err != nil {
			return err
		}
		defer s.Close()
		arena := e.NewArena(0)
		x, y := arena.Lend(tensor.Float32, shape), arena.Lend(tensor.Float32, shape)
		defer arena.GiveBack(x)
		defer arena.GiveBack(y)
		runs = append(runs, func() error { return s.Run(ctx, []tensor.Tensor{x}, []tensor.Tensor{y}, nil) })
	}
	times, err := inTurns(small, runs)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "worker: the smallest inference takes %.0f µs there and %.1f µs in process (medians of %d)\n", 1e6*median(times[1]), 1e6*median(times[0]), small)
	return nil
}

// inTurns does things in turns, after one turn that does not count, and gives the seconds of each.
func inTurns(rounds int, things []func() error) ([][]float64, error) {
	times := make([][]float64, len(things))
	for round := range rounds + 1 {
		for k := range things {
			k = (k + round) % len(things) // each is first as often
			started := time.Now()
			if err := things[k](); err != nil {
				return nil, err
			}
			if round > 0 {
				times[k] = append(times[k], time.Since(started).Seconds())
			}
		}
	}
	return times, nil
}

func ratios(times [][]float64) []float64 {
	list := make([]float64, len(times[0]))
	for i := range list {
		list[i] = times[1][i] / times[0][i]
	}
	return list
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
