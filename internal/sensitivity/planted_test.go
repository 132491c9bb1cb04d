package sensitivity_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/sensitivity"
	"quantcheck/internal/tensor"
)

// seeds is how many faults of each sort are planted.
const seeds = 20

func squeezenet(t *testing.T) *bench {
	t.Helper()
	m, err := onnx.Load(fixture.Beside(t, "models", "squeezenet_tensor_input.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return prepare(t, m, pictures(t, m, dataset.Default(), 2))
}

func TestPlantedFaultsAreFirst(t *testing.T) {
	t.Parallel()
	b := squeezenet(t)
	o := b.options(slices.Concat(sensitivity.Activations(b.p), sensitivity.Weights(b.m, b.p)))
	o.Outputs = []string{"fc"} // the model gives labels and a map; these are the numbers that they are made of
	sound := b.examine(t, o)
	if len(o.Candidates) < 60 {
		t.Fatalf("%d candidates", len(o.Candidates))
	}
	for name, plant := range map[string]func(*testing.T, *rand.Rand) (*qdq.Built, sensitivity.Candidate){
		"a range clipped to 5 %": func(t *testing.T, rng *rand.Rand) (*qdq.Built, sensitivity.Candidate) {
			list := sensitivity.Activations(b.p)
			c := list[rng.IntN(len(list))]
			return b.clipped(t, c.Name, 0.05), c
		},
		"a weight channel zeroed": func(t *testing.T, rng *rand.Rand) (*qdq.Built, sensitivity.Candidate) {
			list := sensitivity.Weights(b.m, b.p)
			c := list[rng.IntN(len(list))]
			return b.zeroed(t, c), c
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				faulty, where := plant(t, rand.New(rand.NewPCG(seed, 77)))
				o := o
				o.Quantized = faulty
				o.Done = func(c sensitivity.Candidate) (sensitivity.Result, bool) { // the others are as they were
					i := slices.IndexFunc(o.Candidates, func(x sensitivity.Candidate) bool { return x.Kind == c.Kind && x.Name == c.Name })
					return sound.List[i], c.Kind != where.Kind || c.Name != where.Name
				}
				if first := b.examine(t, o).Worst()[0]; first.Candidate.Kind != where.Kind || first.Candidate.Name != where.Name {
					t.Errorf("seed %d: planted in %s %s, first is %s %s with %v", seed, where.Kind, where.Name, first.Candidate.Kind, first.Candidate.Name, first.SQNR)
				}
			}
		})
	}
}

// clipped is the built model with one tensor's range cut to a share of it.
func (b *bench) clipped(t *testing.T, name string, share float32) *qdq.Built {
	t.Helper()
	x := onnx.NewIndex(b.built.Model)
	pair := x.Producer[b.built.Taps[name]]
	if x.Input[name] {
		pair = x.Consumers[name][0]
	}
	return b.with(t, x.Nodes[pair].GetInput()[1], func(scale tensor.Tensor) { scale.F32[0] *= share })
}

// zeroed is the built model with one channel of a quantized weight at zero: the one that says most on the samples, since some
// say nothing.
func (b *bench) zeroed(t *testing.T, c sensitivity.Candidate) *qdq.Built {
	t.Helper()
	x := onnx.NewIndex(b.built.Model)
	dq := x.Nodes[x.Producer[b.built.Replaced[c.Params[0]]]]
	channels := int(x.Initializer[dq.GetInput()[0]].GetDims()[0])
	head, _ := b.p.Head(c.Name)
	said := make([]float64, channels)
	for _, s := range b.samples {
		values := b.run(t, b.m, s, head)[head].F32
		for i, v := range values {
			said[i*channels/len(values)] += float64(v) * float64(v)
		}
	}
	loudest := slices.Index(said, slices.Max(said))
	return b.with(t, dq.GetInput()[0], func(q tensor.Tensor) {
		each := len(q.Raw) / channels
		clear(q.Raw[loudest*each : (loudest+1)*each]) // symmetric: zero is 0
	})
}

// with is the built model with one constant changed.
func (b *bench) with(t *testing.T, name string, change func(tensor.Tensor)) *qdq.Built {
	t.Helper()
	x := onnx.NewIndex(b.built.Model)
	values, err := b.built.Model.Tensor(x.Initializer[name])
	if err != nil {
		t.Fatal(err)
	}
	values = values.Clone()
	change(values)
	faulty := *b.built
	faulty.Model = onnx.Rebuild(b.built.Model, x.Nodes, onnx.TensorProto(name, values))
	return &faulty
}

func TestYoloxsWorstTensorsAreItsFirst(t *testing.T) {
	t.Parallel()
	b := detector(t, fixture.Beside(t, "models", "yolox_nano.onnx"), 1)
	worst := b.examine(t, b.options(sensitivity.Activations(b.p))).Worst()
	var names []string
	for _, r := range worst[:3] {
		names = append(names, r.Candidate.Name)
	}
	slices.Sort(names)
	if want := []string{"input.7", "onnx::Sigmoid_1177", "onnx::Sigmoid_1180"}; !slices.Equal(names, want) {
		t.Errorf("the three worst are %v, want %v", names, want)
	}
}
