// Package measure runs a session's float model and its variants side by side on the same samples, and measures tensors that belong
// together.
//
//  1. All runs sample after sample, segment by segment; workers measure the pairs of a segment while the next one is computed.
//  2. What was measured is kept by sample, and can be written as a state and read back between two samples.
//  3. Summarize derives what depends on all samples.
package measure

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"quantcheck/internal/compare/judge"
	"quantcheck/internal/compare/nonfinite"
	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workpool"
)

// comparison runs the float model and its variants side by side on one sample after another.
type comparison struct {
	b        *session.Session
	out      session.Output
	pool     *workpool.Pool
	index    map[string]int // layer name → layer
	variants []*compared
	judge    *judge.Judging

	before int    // warnings that are older than the comparison
	done   extent // what is whole: a sample that was begun and interrupted does not count
}

// compared is a variant, and what is measured of it.
type compared struct {
	*session.Variant
	users       map[string][]int // tap → layers that are compared with it
	steps       []float64        // per layer: a step of the encoding, 0 if there is none
	counterpart *compared        // the variant that simulates the same; nil: none
	inARow      int              // samples that it could not be run on, up to the last one

	values   [][]*metric.Values // per layer and sample
	clipped  [][]float64        // per layer and sample: the share of the float values that lie outside of the encoding
	mu       sync.Mutex
	problems [][]problem                       // per layer: why samples have no value
	alone    [][session.Parts][]*metric.Values // per layer, part and sample: computed alone
	wholes   [][session.Parts][]*metric.Values // the same of the whole model with a part quantized
	checks   map[string][]checked              // per input
	// Per layer: the emulation against the simulation, in the model and alone.
	emulation, isolatedEmulation []against
}

// problem is why a sample has no value for a layer.
type problem struct {
	sample  int
	reason  string
	ofFloat bool // the float model's values are not finite
}

// underWay is an inference of a variant.
type underWay struct {
	of        *compared
	inference runner.Inference
	lost      bool            // it failed on this sample
	waiting   map[string]held // by layer
}

func (f *underWay) close() {
	f.inference.Close()
	for _, h := range f.waiting {
		h.batch.Release()
	}
}

// held is a tensor of a variant that waits for its counterpart.
type held struct {
	of      *compared
	tensor  tensor.Tensor
	problem string // why there are no values
	batch   *runner.Batch
}

// All runs the float model and all variants of a session on the samples, and puts what is measured into the session's run. What
// was asked to be saved goes to out, which may be nil.
func All(ctx context.Context, b *session.Session, set *dataset.Set, loader dataset.Loader, out session.Output) error {
	c := &comparison{b: b, out: out, index: map[string]int{}, pool: workpool.New(b.WaitingBytes())}
	defer c.pool.Close()
	for k, l := range b.Run.Layers {
		c.index[l.Name] = k
	}
	for _, v := range b.Variants {
		c.add(v, len(set.Sources))
	}
	c.findCounterparts()
	var err error
	if c.judge, err = judge.New(b, len(set.Sources)); err != nil {
		return err
	}
	c.before = len(b.Run.Warnings)
	c.settle(0)
	if err := c.all(ctx, set, loader); err != nil {
		return err
	}
	if len(b.Run.Samples) == 0 {
		return fmt.Errorf("none of the %d samples could be read; the first: %s", len(set.Sources), b.Skipped[0])
	}
	if err := nonfinite.Find(ctx, b, set, loader, notFinite(c.b.Run, c.variants)); err != nil {
		return err
	}
	c.conclude()
	return nil
}

// notFinite are the samples on which an output of the float model is not finite.
func notFinite(run *result.Run, variants []*compared) map[int]bool {
	bad := map[int]bool{}
	for _, v := range variants {
		for k, list := range v.problems {
			for _, p := range list {
				if run.Layers[k].Output && p.ofFloat {
					bad[p.sample] = true
				}
			}
		}
	}
	return bad
}

// conclude turns what was measured into the variants' results.
func (c *comparison) conclude() {
	samples := len(c.b.Run.Samples)
	local := min(c.b.Options.LocalSamples, samples)
	c.judge.Conclude(samples)
	for _, v := range c.variants {
		v.explain(samples)
		v.concludeClipped(samples)
		v.concludeLocal(c.b.Run.Layers, local)
		v.concludeInputs(c.b.Run.Model.Inputs)
		v.concludeEmulated(samples, local)
	}
}

// add makes places for what is measured of a variant on so many samples.
func (c *comparison) add(sv *session.Variant, samples int) {
	layers, locally := len(sv.Result.Layers), c.b.Options.LocalSamples
	v := &compared{
		Variant: sv, users: map[string][]int{}, steps: make([]float64, layers), values: make([][]*metric.Values, layers), clipped: make([][]float64, layers), problems: make([][]problem, layers),
		alone: parts(layers, locally), wholes: parts(layers, locally), checks: map[string][]checked{},
		emulation: newAgainst(layers, samples), isolatedEmulation: newAgainst(layers, locally),
	}
	for k := range sv.Result.Layers {
		v.values[k], v.clipped[k] = make([]*metric.Values, samples), make([]float64, samples)
		l := &sv.Result.Layers[k]
		if !l.HasMetrics() {
			continue
		}
		tap := sv.Tap(c.b.Run.Layers[k], l)
		v.users[tap] = append(v.users[tap], k)
		if l.Encoding != nil {
			v.steps[k] = float64(float32(l.Encoding.Scale)) // as quantizers have it, in files and in memory
		}
	}
	c.variants = append(c.variants, v)
}

// findCounterparts finds for each variant the one that it is held against.
func (c *comparison) findCounterparts() {
	for _, v := range c.variants {
		if v.Result.Counterpart >= 0 {
			v.counterpart = c.variants[v.Result.Counterpart]
		}
	}
}

// parts makes places for the values of the local samples.
func parts(layers, samples int) [][session.Parts][]*metric.Values {
	list := make([][session.Parts][]*metric.Values, layers)
	for k := range list {
		for p := range list[k] {
			list[k][p] = make([]*metric.Values, samples)
		}
	}
	return list
}

// sample runs one sample through all models, segment by segment. source is its place among those asked for.
func (c *comparison) sample(ctx context.Context, source int, s *dataset.Sample) error {
	number := len(c.b.Run.Samples)
	fail := func(who string, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s, sample %s: %w", who, s.Name, err)
	}
	sample := runner.Sample{Number: source, Inputs: s.Inputs}
	locally := number < c.b.Options.LocalSamples && c.isolates()
	var alone *isolatedRun
	outputs, judged := map[string]tensor.Tensor{}, judge.NewOutputs()
	if locally {
		alone = c.startLocal(number, s.Inputs)
		defer alone.close()
		if err := alone.feed(ctx, sample); err != nil {
			return fail("local error", err)
		}
	}
	ref := c.b.Reference.Start(sample)
	defer ref.Close()
	running := make([]*underWay, 0, len(c.variants))
	for _, v := range c.variants {
		if v.inARow >= hopeless {
			c.without(v, number, 0, "not run any more after so many failures")
			continue
		}
		f := &underWay{of: v, inference: v.Runner.Start(sample), waiting: map[string]held{}}
		defer f.close()
		running = append(running, f)
	}
	for k := range c.b.Reference.Segments() {
		refBatch, err := ref.Next(ctx)
		if err != nil {
			return fail("float model", err)
		}
		for _, f := range running {
			if f.lost {
				continue
			}
			batch, err := f.inference.Next(ctx)
			if err != nil {
				f.lost = true
				if err = c.lost(f.of, number, k, err); err == nil {
					continue
				}
				refBatch.Release()
				return fail("variant "+f.of.Spec.Name, err)
			}
			for _, tap := range batch.Taps {
				if input, ok := f.of.Entrances[tap.Name]; ok && number < max(c.b.Options.LocalSamples, 1) {
					c.checkInput(number, f.of, input, s.Inputs[input], tap.Tensor)
				}
				for _, layer := range f.of.users[tap.Name] {
					batch.Retain()
					f.waiting[c.b.Run.Layers[layer].Name] = held{f.of, tap.Tensor, tap.Problem, batch}
				}
			}
			batch.Release()
		}
		// What the variants made is measured and given back before the layers are run alone.
		err = c.pair(number, refBatch, running, judged)
		if err == nil && locally {
			for _, tap := range refBatch.Taps {
				if c.b.Run.Layers[c.index[tap.Name]].Output {
					outputs[tap.Name] = tap.Tensor.Clone()
				}
			}
			if err = alone.step(ctx, k, refBatch); err != nil {
				err = fail("local error", err)
			}
		}
		refBatch.Release()
		if err != nil {
			return err
		}
	}
	for _, f := range running {
		if !f.lost {
			f.of.inARow = 0
		}
	}
	c.judge.Sample(c.pool, number, judged)
	if number == 0 {
		if err := c.checkTaps(ctx, sample); err != nil {
			return err
		}
	}
	if locally {
		if err := c.whole(ctx, number, sample, outputs); err != nil {
			return fail("local error", err)
		}
	}
	c.b.Run.Samples = append(c.b.Run.Samples, model.DescribeSample(s))
	return nil
}

// pair hands every tensor of the float model's segment, with those of the variants that belong to it, to the workers.
func (c *comparison) pair(sample int, batch *runner.Batch, running []*underWay, judged *judge.Outputs) error {
	for _, tap := range batch.Taps {
		layer := c.index[tap.Name]
		var got []held
		bytes := tap.Tensor.Bytes()
		for _, f := range running {
			if h, ok := f.waiting[tap.Name]; ok {
				got = append(got, h)
				bytes += h.tensor.Bytes()
				delete(f.waiting, tap.Name)
			}
		}
		if c.b.Run.Layers[layer].Output {
			variants := map[*session.Variant]tensor.Tensor{}
			for _, h := range got {
				if h.problem == "" {
					variants[h.of.Variant] = h.tensor
				}
			}
			judged.Keep(layer, tap.Tensor, variants)
		}
		if c.out != nil && c.b.Options.AllLayers && sample == 0 {
			if err := c.save(layer, tap.Tensor, got); err != nil {
				release(got)
				return err
			}
		}
		batch.Retain()
		c.pool.Do(bytes, func() {
			defer batch.Release()
			c.measure(sample, layer, tap.Tensor, got)
		})
	}
	return nil
}

func release(list []held) {
	for _, h := range list {
		h.batch.Release()
	}
}

func (c *comparison) measure(sample, layer int, ref tensor.Tensor, got []held) {
	defer release(got)
	for _, h := range got {
		pair, err := measurePair(ref, h.tensor)
		if h.problem != "" {
			err = errors.New(h.problem)
		}
		if err != nil {
			h.of.problem(layer, sample, err)
			var notFinite *metric.NotFiniteError
			if sample == 0 && errors.As(err, &notFinite) && notFinite.Ref == 0 {
				h.of.Result.Layers[layer].Histogram = histogram(ref, h.tensor, nil)
			}
		} else {
			values, l := pair.Values(h.of.steps[layer]), &h.of.Result.Layers[layer]
			h.of.values[layer][sample] = &values
			if l.Encoding != nil {
				x, _ := ref.AsFloat32()
				h.of.clipped[layer][sample] = clipped(x, float64(pair.MinX), float64(pair.MaxX), l.Encoding)
			}
			if sample == 0 {
				l.Histogram = histogram(ref, h.tensor, l.Encoding)
			}
		}
		for _, o := range got {
			if o.of == h.of.counterpart {
				h.of.emulation[layer].put(sample, h.tensor, o.tensor, h.of.steps[layer])
			}
		}
	}
}

func newAgainst(layers, samples int) []against {
	list := make([]against, layers)
	for k := range list {
		list[k] = against{make([]*metric.Values, samples), make([]int, samples), make([]int, samples)}
	}
	return list
}

// measure compares two tensors of equal shape.
func measure(ref, got tensor.Tensor, step float64) (metric.Values, error) {
	pair, err := measurePair(ref, got)
	if err != nil {
		return metric.Values{}, err
	}
	return pair.Values(step), nil
}

func measurePair(ref, got tensor.Tensor) (metric.Pair, error) {
	x, ok := ref.AsFloat32()
	y, also := got.AsFloat32()
	switch {
	case !ok || !also:
		return metric.Pair{}, errors.New("not a tensor of numbers")
	case len(x) == 0:
		return metric.Pair{}, errors.New("empty: it has no elements")
	case len(x) != len(y):
		return metric.Pair{}, fmt.Errorf("shape %v in the float model, %v in the variant", ref.Shape, got.Shape)
	}
	return metric.Measure(x, y)
}

func (v *compared) problem(layer, sample int, reason error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var notFinite *metric.NotFiniteError
	ofFloat := errors.As(reason, &notFinite) && notFinite.Ref > 0
	v.problems[layer] = append(v.problems[layer], problem{sample, reason.Error(), ofFloat})
}

func countReasons(list []problem) map[string]int {
	count := map[string]int{}
	for _, p := range list {
		count[p.reason]++
	}
	return count
}

// explain turns what went wrong with single tensors into the layers' reasons: a layer without any value is not
// comparable.
func (v *compared) explain(total int) {
	for k, reasons := range v.problems {
		l := &v.Result.Layers[k]
		if l.HasMetrics() {
			l.Samples = v.values[k][:total]
		}
		count, first, most := 0, "", 0
		for reason, n := range countReasons(reasons) {
			count += n
			if n > most || n == most && reason < first {
				first, most = reason, n
			}
		}
		switch count {
		case 0:
		case total:
			l.Status, l.Reason, l.Samples = result.NotComparable, first, nil
		default:
			l.Reason = fmt.Sprintf("%d of %d samples have no value: %s", count, total, first)
		}
	}
}

func (c *comparison) save(layer int, ref tensor.Tensor, got []held) error {
	write := func(name string, t tensor.Tensor) error {
		values, ok := t.AsFloat32()
		if !ok {
			return nil
		}
		return c.out.Tensor(name, c.b.Run.Layers[layer], values, t.Shape)
	}
	if err := write("", ref); err != nil {
		return err
	}
	for _, h := range got {
		if err := write(h.of.Spec.Name, h.tensor); err != nil {
			return err
		}
	}
	return nil
}
