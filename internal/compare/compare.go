package compare

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	b     *session.Session
	out   session.Output
	pool  *workpool.Pool
	index map[string]int     // layer name → layer
	user  []map[string][]int // per variant: tap → layers that are compared with it
	sizes [][]float64        // per variant and layer: a step of the encoding, 0 if there is none

	values [][][]*metric.Values                // per variant, layer and sample
	locals [][][session.Parts][]*metric.Values // per variant, layer, part and sample
	wholes [][][session.Parts][]*metric.Values
	checks []map[string][]checked // per variant and input

	twins      [][]against // per variant and layer: an emulation against its simulation
	localTwins [][]against
	inARow     []int // per variant: samples that it could not be run on, up to the last one

	before int    // warnings that are older than the comparison
	done   extent // what is whole: a sample that was begun and interrupted does not count

	mu       sync.Mutex
	problems [][][]problem // per variant and layer: why samples have no value
}

// problem is why a sample has no value for a layer.
type problem struct {
	sample int
	reason string
}

// held is a tensor of a variant that waits for its counterpart.
type held struct {
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
	for i := range b.Run.Variants {
		v := &b.Run.Variants[i]
		users := map[string][]int{}
		sizes := make([]float64, len(v.Layers))
		for k := range v.Layers {
			if l := &v.Layers[k]; l.Has() {
				tap := b.TapOf(i, k)
				users[tap] = append(users[tap], k)
				if l.Encoding != nil {
					sizes[k] = l.Encoding.Scale
				}
			}
		}
		c.user, c.sizes = append(c.user, users), append(c.sizes, sizes)
		c.problems = append(c.problems, make([][]problem, len(v.Layers)))
		values := make([][]*metric.Values, len(v.Layers))
		for k := range values {
			values[k] = make([]*metric.Values, len(set.Sources))
		}
		c.values = append(c.values, values)
		c.twins, c.localTwins = append(c.twins, newAgainst(len(v.Layers), len(set.Sources))), append(c.localTwins, newAgainst(len(v.Layers), b.Spec.LocalSamples))
		c.locals, c.wholes = append(c.locals, c.room(len(v.Layers))), append(c.wholes, c.room(len(v.Layers)))
		c.checks = append(c.checks, map[string][]checked{})
	}
	c.inARow = make([]int, len(b.Run.Variants))
	c.before = len(b.Run.Warnings)
	c.settle(0)
	if err := c.all(ctx, set, loader); err != nil {
		return err
	}
	if len(b.Run.Samples) == 0 {
		return fmt.Errorf("none of the %d samples could be read; the first: %s", len(set.Sources), b.Skipped[0])
	}
	c.explain()
	c.concludeLocal()
	c.concludeInputs()
	c.concludeEmulated()
	return nil
}

// room makes places for the values of the local samples.
func (c *comparison) room(layers int) [][session.Parts][]*metric.Values {
	list := make([][session.Parts][]*metric.Values, layers)
	for k := range list {
		for p := range list[k] {
			list[k][p] = make([]*metric.Values, c.b.Spec.LocalSamples)
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
	locally := number < c.b.Spec.LocalSamples && len(c.b.Locals) > 0
	var alone *isolatedRun
	outputs := map[string]tensor.Tensor{}
	if locally {
		alone = c.startLocal(number, s.Inputs)
		defer alone.close()
		if err := alone.feedEmulated(ctx, s.Inputs); err != nil {
			return fail("local error", err)
		}
	}
	ref := c.b.Reference.Start(s.Inputs)
	defer ref.Close()
	variants := make([]runner.Inference, len(c.b.Players))
	waiting := make([]map[string]held, len(c.b.Players))
	for i, p := range c.b.Players {
		waiting[i] = map[string]held{}
		if c.inARow[i] >= hopeless {
			c.without(i, number, 0, "not run any more after so many failures")
			continue
		}
		variants[i] = p.Start(source, s.Inputs)
		defer variants[i].Close()
	}
	defer func() {
		for _, w := range waiting {
			for _, h := range w {
				h.batch.Release()
			}
		}
	}()
	for k := range c.b.Reference.Segments() {
		refBatch, err := ref.Next(ctx)
		if err != nil {
			return fail("float model", err)
		}
		for i, inference := range variants {
			if inference == nil {
				continue
			}
			batch, err := inference.Next(ctx)
			if err != nil {
				variants[i] = nil
				if err = c.lost(i, number, k, err); err == nil {
					continue
				}
				refBatch.Release()
				return fail("variant "+c.b.Run.Variants[i].Spec.Name, err)
			}
			for _, tap := range batch.Taps {
				if input, ok := c.b.Entrances[i][tap.Name]; ok && number < max(c.b.Spec.LocalSamples, 1) {
					c.checkInput(number, i, input, s.Inputs[input], tap.Tensor)
				}
				for _, layer := range c.user[i][tap.Name] {
					batch.Retain()
					waiting[i][c.b.Run.Layers[layer].Name] = held{tap.Tensor, tap.Problem, batch}
				}
			}
			batch.Release()
		}
		// What the variants made is measured and given back before the layers are run alone.
		err = c.pair(number, refBatch, waiting)
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
	for i := range variants {
		if variants[i] != nil {
			c.inARow[i] = 0
		}
	}
	if number == 0 && !c.b.Spec.Bare {
		if err := c.checkTaps(ctx, s.Inputs); err != nil {
			return err
		}
	}
	if locally {
		if err := c.whole(ctx, number, s.Inputs, outputs); err != nil {
			return fail("local error", err)
		}
	}
	c.b.Run.Samples = append(c.b.Run.Samples, model.DescribeSample(s))
	return nil
}

// pair hands every tensor of the float model's segment, with those of the variants that belong to it, to the workers.
func (c *comparison) pair(sample int, batch *runner.Batch, waiting []map[string]held) error {
	for _, tap := range batch.Taps {
		layer := c.index[tap.Name]
		got := make([]*held, len(waiting))
		for i := range waiting {
			if h, ok := waiting[i][tap.Name]; ok {
				got[i] = &h
				delete(waiting[i], tap.Name)
			}
		}
		if c.out != nil && c.b.Spec.SaveTensors && sample == 0 {
			if err := c.save(layer, tap.Tensor, got); err != nil {
				return err
			}
		}
		bytes := tap.Tensor.Bytes()
		for _, h := range got {
			if h != nil {
				bytes += h.tensor.Bytes()
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

func (c *comparison) measure(sample, layer int, ref tensor.Tensor, got []*held) {
	for i, h := range got {
		if h == nil {
			continue
		}
		if !c.b.Spec.Bare {
			values, err := measure(ref, h.tensor, c.sizes[i][layer])
			if h.problem != "" {
				err = errors.New(h.problem)
			}
			if err != nil {
				c.problem(i, layer, sample, err.Error())
			} else {
				c.values[i][layer][sample] = &values
				if sample == 0 {
					l := &c.b.Run.Variants[i].Layers[layer]
					l.Histogram = histogram(ref, h.tensor, l.Encoding)
				}
			}
		}
		if j := c.b.Run.Variants[i].Twin; j >= 0 && got[j] != nil && !c.b.Spec.Bare {
			c.twins[i][layer].put(sample, h.tensor, got[j].tensor, c.sizes[i][layer])
		}
	}
	for _, h := range got {
		if h != nil {
			h.batch.Release()
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
	x, ok := ref.AsFloat32()
	y, also := got.AsFloat32()
	switch {
	case !ok || !also:
		return metric.Values{}, errors.New("not a tensor of numbers")
	case len(x) == 0:
		return metric.Values{}, errors.New("empty: it has no elements")
	case len(x) != len(y):
		return metric.Values{}, fmt.Errorf("shape %v in the float model, %v in the variant", ref.Shape, got.Shape)
	}
	pair, err := metric.Measure(x, y)
	if err != nil {
		return metric.Values{}, err
	}
	return pair.Values(step), nil
}

func (c *comparison) problem(variant, layer, sample int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems[variant][layer] = append(c.problems[variant][layer], problem{sample, reason})
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
func (c *comparison) explain() {
	total := len(c.b.Run.Samples)
	for i := range c.problems {
		for k, reasons := range c.problems[i] {
			l := &c.b.Run.Variants[i].Layers[k]
			if l.Has() {
				l.Samples = c.values[i][k][:total]
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
}

func (c *comparison) save(layer int, ref tensor.Tensor, got []*held) error {
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
	for i, h := range got {
		if h != nil {
			if err := write(c.b.Run.Variants[i].Spec.Name, h.tensor); err != nil {
				return err
			}
		}
	}
	return nil
}
