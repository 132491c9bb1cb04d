package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// likeness is by how much what a model makes of a sample may differ between a batch and the sample alone, of the greatest magnitude of the
// output: sums are added in another order there.
const likeness = 1e-4

// single gives a model that takes one sample in the place of one that takes several at once, if the samples are for one: pictures, or .npy
// files that have no dimension for the batch, or 1 there. The two are run on random samples, together and one by one: a network that
// mixes them is an error of usage. batch is nil where the model stays as it is.
func single(ctx context.Context, r ort.Engine, m *onnx.Model, path, samples string) (one *onnx.Model, batch *onnx.Batch, note string, err error) {
	size := onnx.BatchSize(m)
	if size < 2 || !dataset.OneByOne(samples, InputsOf(m)) {
		return m, nil, "", nil
	}
	refused := func(reason error) error {
		return usage.Mark(fmt.Errorf("%s takes %d samples at once, and they cannot be compared one by one: %w; export it with a batch of 1, or give .npy samples of %d, which are compared as one", path, size, reason, size))
	}
	inlined, note, err := Inline(ctx, r, m)
	if err != nil {
		return nil, nil, "", err
	}
	folded, _, types, err := ort.Fold(ctx, r, inlined)
	if err != nil {
		return nil, nil, "", err
	}
	if one, batch, err = onnx.Unbatch(folded, Shapes(types, onnx.NewIndex(folded))); err != nil {
		return nil, nil, "", refused(err)
	}
	if err := sameAlone(ctx, r, folded, one, int(size)); err != nil {
		if ctx.Err() != nil {
			return nil, nil, "", err
		}
		return nil, nil, "", refused(err)
	}
	said := fmt.Sprintf("%s takes %d samples at once and treats them alike, as %d random samples show that were run together and one by one: they are run and compared one by one", path, size, size)
	if note != "" {
		said = note + "; " + said
	}
	return one, batch, said, nil
}

// OneOf gives a form of the float model that takes as many samples at once as the float model did with one sample, as that has it now; any
// other model stays as it is.
func (ref *Float) OneOf(ctx context.Context, r ort.Engine, m *onnx.Model) (*onnx.Model, error) {
	if ref.Batch == nil || onnx.BatchSize(m) != ref.Batch.Size {
		return m, nil
	}
	folded, _, types, err := ort.Fold(ctx, r, m)
	if err != nil {
		return nil, err
	}
	one, _, err := onnx.Unbatch(folded, Shapes(types, onnx.NewIndex(folded)))
	return one, err
}

// Written is a form of the float model as a file has it: with the types of its outputs, and with the batch that the float model's file has.
func (ref *Float) Written(m *onnx.Model) *onnx.Model {
	if ref.Batch == nil {
		return WithOutputTypes(m, ref.Types)
	}
	types := maps.Clone(ref.Types)
	for _, name := range m.Outputs() {
		if t, ok := types[name]; ok && len(t.Shape) > 0 {
			t.Shape = append([]int64{ref.Batch.Size}, t.Shape[1:]...)
			types[name] = t
		}
	}
	return WithOutputTypes(ref.Batch.Restore(m), types)
}

// WrittenSample is a sample as Written's model takes it: as often as it takes samples at once.
func (ref *Float) WrittenSample(sample map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	if ref.Batch == nil {
		return sample, nil
	}
	stacked := map[string]tensor.Tensor{}
	for name, t := range sample {
		whole, err := tensor.FromLittleEndian(t.DType, append([]int64{ref.Batch.Size}, t.Shape[1:]...), bytes.Repeat(t.LittleEndian(), int(ref.Batch.Size)))
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		stacked[name] = whole
	}
	return stacked, nil
}

// sameAlone runs random samples together in one model and one by one in the other; an error says which output mixes them.
func sameAlone(ctx context.Context, r ort.Engine, together, alone *onnx.Model, size int) error {
	inputs := InputsOf(alone)
	batch, list, err := drawn(inputs, size)
	if err != nil {
		return err
	}
	want, err := ort.Once(ctx, r, together, batch)
	if err != nil {
		return err
	}
	for k, sample := range list {
		got, err := ort.Once(ctx, r, alone, sample)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return fmt.Errorf("the network mixes the samples of a batch: with a batch of 1 it cannot be run (%w)", err)
		}
		for _, name := range together.Outputs() {
			if err := alike(want[name], got[name], k, size); err != nil {
				return fmt.Errorf("output %s: %w", name, err)
			}
		}
	}
	return nil
}

// drawn makes different random samples, and the same ones as a batch: numbers in 0..1, integers 0 and 1.
func drawn(inputs []dataset.Input, size int) (batch map[string]tensor.Tensor, list []map[string]tensor.Tensor, err error) {
	rng := rand.New(rand.NewPCG(5, 6))
	batch = map[string]tensor.Tensor{}
	list = make([]map[string]tensor.Tensor, size)
	for k := range list {
		list[k] = map[string]tensor.Tensor{}
	}
	for _, in := range inputs {
		n, err := tensor.Count(in.Shape)
		if err != nil {
			return nil, nil, err
		}
		if in.DType.Bits() < 8 {
			return nil, nil, fmt.Errorf("input %s has %s values", in.Name, in.DType)
		}
		var all []byte
		for k := range list {
			t := tensor.Tensor{DType: in.DType, Shape: in.Shape, Raw: make([]byte, tensor.ByteSize(in.DType, n))}
			switch {
			case in.DType == tensor.Float32:
				t.Raw, t.F32 = nil, make([]float32, n)
				for i := range t.F32 {
					t.F32[i] = rng.Float32()
				}
			case !in.DType.IsFloat():
				width := in.DType.Bits() / 8
				for i := range n {
					t.Raw[i*width] = byte(rng.IntN(2))
				}
			}
			list[k][in.Name] = t
			all = append(all, t.LittleEndian()...)
		}
		whole, err := tensor.FromLittleEndian(in.DType, append([]int64{int64(size)}, in.Shape[1:]...), all)
		if err != nil {
			return nil, nil, err
		}
		batch[in.Name] = whole
	}
	return batch, list, nil
}

// alike holds what a batch gives of sample k against what the sample alone gives.
func alike(batch, one tensor.Tensor, k, size int) error {
	if batch.DType == tensor.Undefined {
		return errors.New("it is no tensor")
	}
	if batch.DType != one.DType || len(batch.Shape) == 0 || batch.Shape[0] != int64(size) || !slices.Equal(one.Shape, append([]int64{1}, batch.Shape[1:]...)) {
		return fmt.Errorf("the network mixes the samples of a batch: it gives %v for %d samples, and %v for one", batch.Shape, size, one.Shape)
	}
	all, ok := batch.AsFloat32()
	alone, fine := one.AsFloat32()
	if !ok || !fine {
		return fmt.Errorf("%s values cannot be held against each other", batch.DType)
	}
	greatest, most := 0.0, 0.0
	for _, v := range all {
		if a := math.Abs(float64(v)); !math.IsInf(a, 0) {
			greatest = max(greatest, a)
		}
	}
	for i, v := range alone {
		w := all[k*len(alone)+i]
		if d := math.Abs(float64(v) - float64(w)); v != w && (v == v || w == w) {
			most = max(most, d)
			if math.IsNaN(d) {
				most = math.Inf(1)
			}
		}
	}
	if most > likeness*greatest {
		return fmt.Errorf("the network mixes the samples of a batch: what it gives for a sample differs by %.2g of the output's greatest magnitude when it is run alone", most/greatest)
	}
	return nil
}
