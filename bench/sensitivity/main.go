// Sensitivity measures sensitivity.Run beside AIMET's analyze_per_layer_sensitivity: the same quantizers of the same layers, the
// same pictures, in turns, with the ranks that both give. First it measures what it costs that ONNX Runtime computes in a process of
// its own, where an exploration makes these many small inferences.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/encodings"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/sensitivity"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

const (
	rounds   = 3
	pictures = 4
	cores    = 2
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
	fixtures := cmp.Or(os.Getenv("QUANTCHECK_FIXTURES"), filepath.Join("..", "shared", "fixtures"))
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := newSetting(ctx, filepath.Join(fixtures, "models", "yolox_nano.onnx"), filepath.Join(fixtures, "coco", "val"))
	if err != nil {
		return err
	}
	if err := c.apart(ctx, w); err != nil {
		return err
	}
	python := filepath.Join("bench", ".venv", "aimet", "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(w, "AIMET's sensitivity is left out: make bench installs it into bench/.venv/aimet")
		return nil
	}
	theirs, err := c.start(ctx, python, dir)
	if err != nil {
		return err
	}
	defer theirs.close()
	return c.compare(ctx, w, theirs)
}

// setting is a model with its quantizers and samples.
type setting struct {
	library string
	r       ort.Engine
	path    string
	model   *onnx.Model
	types   map[string]onnxruntime.Type
	place   *qdq.Placement
	built   *qdq.Built
	samples []map[string]tensor.Tensor
}

func newSetting(ctx context.Context, path, images string) (*setting, error) {
	c := &setting{path: path}
	library, err := onnxruntime.Find(filepath.Join("bin", onnxruntime.LibraryName())) // which make build puts there
	if err != nil {
		return nil, err
	}
	r, err := onnxruntime.Open(library, cores)
	if err != nil {
		return nil, err
	}
	c.library, c.r = library, ort.InProcess(r)
	m, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	if m, _, err = onnx.FixInputs(m, nil); err != nil {
		return nil, err
	}
	if c.model, _, c.types, err = ort.Fold(ctx, c.r, m); err != nil {
		return nil, err
	}
	c.place = qdq.Find(c.model, func(name string) bool { return c.types[name].DType == tensor.Float32 })
	if err := c.load(images); err != nil {
		return nil, err
	}
	return c, c.calibrate(ctx)
}

func (c *setting) load(images string) error {
	in := c.model.Inputs()[0]
	d := dataset.Default()
	d.InputColor, d.Resize, d.PadValue, d.PadPosition = "bgr", "letterbox", 114, "bottom-right"
	loader := dataset.Loader{Inputs: []dataset.Input{{Name: in.GetName(), DType: tensor.Float32, Shape: c.types[in.GetName()].Shape}}, Description: d, Cache: dataset.NewCache(1 << 20)}
	files, err := filepath.Glob(filepath.Join(images, "*.jpg"))
	if err != nil || len(files) < pictures {
		return errors.Join(err, fmt.Errorf("%d pictures in %s", len(files), images))
	}
	slices.Sort(files)
	for _, f := range files[:pictures] {
		s, err := loader.Load(dataset.Source{Name: f, Files: map[string]string{in.GetName(): f}})
		if err != nil {
			return err
		}
		c.samples = append(c.samples, s.Inputs)
	}
	return nil
}

func (c *setting) calibrate(ctx context.Context) error {
	x := onnx.NewIndex(c.model)
	taps := slices.DeleteFunc(slices.Clone(c.place.Order), func(name string) bool { return x.Input[name] })
	r, err := ort.New(c.r, c.model, ort.Options{Taps: taps, Types: c.types})
	if err != nil {
		return err
	}
	defer r.Close()
	stats := calib.NewStatistics(false)
	for _, s := range c.samples {
		for name, v := range s {
			stats.Observe(name, v)
		}
		f := r.Start(runner.Sample{Inputs: s})
		batch, err := f.Next(ctx)
		if err != nil {
			return err
		}
		for _, tap := range batch.Taps {
			stats.Observe(tap.Name, tap.Tensor)
		}
		batch.Release()
		f.Close()
	}
	v, err := variant.Parse("w8a8")
	if err != nil {
		return err
	}
	v.Engine = variant.HTP // moved tensors have quantizers of their own there, as AIMET's have
	c.built, err = qdq.Build(c.model, c.place, v, stats.Activation)
	return err
}

// peer is AIMET, in a process of its own.
type peer struct {
	command *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
	nodes   []string
}

// start gives AIMET the quantizers and the samples.
func (c *setting) start(ctx context.Context, python, dir string) (*peer, error) {
	file := filepath.Join(dir, "encodings.json")
	layers, described := c.described()
	data, err := encodings.Write("1.0.0", layers, described)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		return nil, err
	}
	args := []string{filepath.Join("bench", "sensitivity", "aimet.py"), c.path, file}
	for i, s := range c.samples {
		raw := filepath.Join(dir, fmt.Sprintf("%d.raw", i))
		if err := os.WriteFile(raw, littleEndian(s[c.model.Inputs()[0].GetName()].F32), 0o600); err != nil {
			return nil, err
		}
		args = append(args, raw)
	}
	p := &peer{command: exec.CommandContext(ctx, python, args...)}
	if os.Getenv("VERBOSE") != "" {
		p.command.Stderr = os.Stderr
	}
	if p.ask, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewReader(out)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	return p, p.hear(&p.nodes)
}

// described lists the quantizers; biases have none in AIMET.
func (c *setting) described() ([]result.Layer, *result.Variant) {
	x := onnx.NewIndex(c.model)
	v := &result.Variant{Inputs: map[string]result.Coding{}}
	var layers []result.Layer
	for _, name := range c.place.Order {
		e, ok := c.built.Encodings[name]
		switch {
		case !ok:
		case x.Input[name]:
			v.Inputs[name] = e
		default:
			layers, v.Layers = append(layers, result.Layer{Name: name}), append(v.Layers, result.LayerResult{Encoding: &e})
		}
	}
	for _, p := range c.built.Params {
		if p.Encodings[0].Bits != 32 {
			v.Params = append(v.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings})
		}
	}
	return layers, v
}

func littleEndian(values []float32) []byte {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

// hear reads an answer.
func (p *peer) hear(what any) error {
	line, err := p.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, what)
	}
	if err != nil {
		return fmt.Errorf("aimet.py: %w; VERBOSE=1 shows what it says", err)
	}
	return nil
}

// answer is one round.
type answer struct {
	Seconds float64
	CPU     float64 // seconds, of all threads
	Layers  map[string]float64
}

func (p *peer) examine() (a answer, err error) {
	if _, err := io.WriteString(p.ask, "go\n"); err != nil {
		return a, err
	}
	return a, p.hear(&a)
}

func (p *peer) close() {
	p.ask.Close()
	_ = p.command.Wait() // it has said what there is to say
}

// candidates are the layers that AIMET examines.
func (c *setting) candidates(nodes []string) []sensitivity.Candidate {
	x := onnx.NewIndex(c.model)
	biases := map[[2]int]bool{}
	for _, q := range c.place.Params {
		biases[[2]int{q.Node, q.Input}] = q.Role == qdq.Bias
	}
	var list []sensitivity.Candidate
	for _, l := range sensitivity.Layers(c.model, c.place) {
		l.Params = slices.DeleteFunc(l.Params, func(at [2]int) bool { return biases[at] })
		l.Name = x.Nodes[x.Producer[l.Name]].GetName()
		if slices.Contains(nodes, l.Name) {
			list = append(list, l)
		}
	}
	return list
}

func (c *setting) examine(ctx context.Context, r ort.Engine, list []sensitivity.Candidate) (a answer, err error) {
	started, before := time.Now(), processorTime()
	res, err := sensitivity.Run(ctx, r, sensitivity.Options{
		Float: c.model, Types: c.types, Quantized: c.built, Candidates: list, Workers: cores,
		Samples: len(c.samples), Sample: func(_ context.Context, i int) (map[string]tensor.Tensor, error) { return c.samples[i], nil },
	})
	if err != nil {
		return a, err
	}
	a = answer{time.Since(started).Seconds(), processorTime() - before, map[string]float64{}}
	for _, l := range res.List {
		if l.SQNR.OK {
			a.Layers[l.Candidate.Name] = l.SQNR.V
		}
	}
	return a, nil
}

func (c *setting) compare(ctx context.Context, w io.Writer, p *peer) error {
	list := c.candidates(p.nodes)
	var theirs, ours, ratios, work []float64
	var a, b answer
	for range rounds {
		var err error
		if a, err = p.examine(); err != nil {
			return err
		}
		if b, err = c.examine(ctx, c.r, list); err != nil {
			return err
		}
		theirs, ours, ratios = append(theirs, a.Seconds), append(ours, b.Seconds), append(ratios, a.Seconds/b.Seconds)
		work = append(work, a.CPU/b.CPU)
	}
	var x, y []float64
	apart := 0.0
	for name, v := range b.Layers {
		other, ok := a.Layers[name]
		if !ok {
			continue
		}
		x, y = append(x, v), append(y, other)
		if other < 60 {
			apart = max(apart, math.Abs(v-other))
		}
	}
	fmt.Fprintf(w, "sensitivity of %d layers (AIMET examines %d), %d pictures, %d rounds in turns\n", len(list), len(a.Layers), len(c.samples), rounds)
	fmt.Fprintf(w, "  AIMET analyze_per_layer_sensitivity %s, ours %s\n", spread(theirs, "s"), spread(ours, "s"))
	fmt.Fprintf(w, "  ours is faster by                   %s, takes less of the processor by %s\n", spread(ratios, "x"), spread(work, "x"))
	fmt.Fprintf(w, "  Spearman of the ranks %.4f over %d layers; below 60 dB at most %.3f dB apart\n", spearman(x, y), len(x), apart)
	return nil
}

// apart examines all layers in this process and in a worker, in turns.
func (c *setting) apart(ctx context.Context, w io.Writer) error {
	worker, err := cpu.Open(ctx, cpu.Options{Library: c.library, Threads: cores, Memory: 2 << 30, TimeLimit: time.Minute})
	if err != nil {
		return err
	}
	defer worker.Close()
	list := sensitivity.Layers(c.model, c.place)
	var here, there, ratios []float64
	for range rounds {
		a, err := c.examine(ctx, c.r, list)
		if err != nil {
			return err
		}
		b, err := c.examine(ctx, worker, list)
		if err != nil {
			return err
		}
		for name, v := range a.Layers {
			if b.Layers[name] != v {
				return fmt.Errorf("%s has %g dB in process and %g dB in a worker", name, v, b.Layers[name])
			}
		}
		here, there, ratios = append(here, a.Seconds), append(there, b.Seconds), append(ratios, b.Seconds/a.Seconds)
	}
	fmt.Fprintf(w, "sensitivity of all %d layers: in process %s, in a worker %s, ratio of pairs %s; it is to be under 1.10\n", len(list), spread(here, "s"), spread(there, "s"), spread(ratios, "x"))
	return nil
}

// processorTime is the processor time of this process, seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// spread writes the median and the range.
func spread(values []float64, unit string) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf("%.2f %s (%.2f to %.2f)", sorted[len(sorted)/2], unit, sorted[0], sorted[len(sorted)-1])
}

// spearman is Pearson's correlation of the ranks; equal values share the mean of theirs.
func spearman(x, y []float64) float64 {
	a, b := ranks(x), ranks(y)
	mean := float64(len(a)+1) / 2
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+(a[i]-mean)*(b[i]-mean), aa+(a[i]-mean)*(a[i]-mean), bb+(b[i]-mean)*(b[i]-mean)
	}
	return ab / math.Sqrt(aa*bb)
}

func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	list := make([]float64, len(values))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && values[order[to]] == values[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			list[i] = float64(from+to+1) / 2
		}
		from = to
	}
	return list
}
