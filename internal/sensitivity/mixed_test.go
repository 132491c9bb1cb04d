package sensitivity_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

func TestMain(m *testing.M) {
	if htp.IsWorker() {
		os.Exit(htp.Work())
	}
	os.Exit(m.Run())
}

func emulator(t *testing.T) htp.Engine {
	t.Helper()
	kit := fixture.Emulator(t)
	library := fixture.Library(t)
	return htp.Engine{Kit: kit, Library: library, SoC: htp.DefaultSoC, Arch: htp.DefaultArch}
}

func TestAMixedModelBecomesADLCOfItsWidths(t *testing.T) {
	t.Parallel()
	e := emulator(t)
	m, samples := toy(t)
	b := prepare(t, m, samples)
	v, _ := variant.Parse("w8a8")
	v.Engine, v.Choices = variant.HTP, variant.Choices{"y3": {Bits: 16}, "s4": {Bits: 16}, "y7": {Float: true}}
	built, err := qdq.Build(b.m, b.p, v, b.stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	data, err := e.WriteDLC(t.Context(), built.Model)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mixed.dlc")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := dlc.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	widths := map[string]int{}
	for _, x := range f.Graphs[0].Tensors {
		if x.Location != dlc.Static {
			widths[x.DType.String()]++
		}
	}
	for _, name := range []string{"uFxp_8", "uFxp_16", "Float_16"} {
		if widths[name] == 0 {
			t.Errorf("no activation of type %s: %v", name, widths)
		}
	}
}

func TestEveryTensorOfAMixedModelCanBeRead(t *testing.T) {
	t.Parallel()
	e := emulator(t)
	m, samples := toy(t)
	b := prepare(t, m, samples)
	v, _ := variant.Parse("w8a8")
	v.Engine, v.Choices = variant.HTP, variant.Choices{"c1": {Bits: 16}, "y3": {Bits: 16}, "s4": {Bits: 16}, "y7": {Float: true}}
	built, err := qdq.Build(b.m, b.p, v, b.stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	r, err := htp.New(t.Context(), e, built.Model, htp.Options{Groups: [][]string{slices.Sorted(maps.Values(built.Taps))}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: samples[0]})
	defer f.Close()
	batch, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	for _, tap := range batch.Taps {
		x := b.run(t, built.Model, samples[0], tap.Name)[tap.Name]
		simulated, _ := x.AsFloat32()
		emulated, ok := tap.Tensor.AsFloat32()
		if pair, err := metric.Measure(simulated, emulated); !ok || err != nil || pair.Values(0)[metric.SQNR].V < 15 {
			t.Errorf("%s: %v dB against the simulation, %v", tap.Name, pair.Values(0)[metric.SQNR], err)
		}
	}
	if len(batch.Taps) < 25 {
		t.Errorf("%d tensors", len(batch.Taps))
	}
}
