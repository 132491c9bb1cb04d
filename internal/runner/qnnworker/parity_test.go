package qnnworker

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// The DLC that was written from a QDQ model gives the bits that the model gives through ONNX Runtime's provider, at every
// layer that both have. make slow does the same on a detector.
func TestTheDLCAndTheModelItWasWrittenFromGiveTheSameBits(t *testing.T) {
	sameBits(t, map[string]int{"zoo_w8a8_per_tensor": 19, "zoo_w8a8_per_channel": 19, "zoo_w8a16_per_channel": 19, "zoo_w16a16_per_tensor": 19})
}

// sameBits compares models with the DLCs that were written from them, in so many layers at least.
func sameBits(t *testing.T, models map[string]int) {
	t.Helper()
	e := engine(t)
	library := fixture.Library(t)
	for name, least := range models {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Load(fixture.Path(t, "qnn", name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			if m, _, err = onnx.FixInputs(m, nil); err != nil {
				t.Fatal(err)
			}
			if m, _, err = ort.FoldConstants(t.Context(), fixture.Runtime(t), m); err != nil {
				t.Fatal(err)
			}
			r := start(t, fixture.Path(t, "qnn", name+".dlc"), Options{All: true})
			taps := tapsOf(m, r)
			raw, floats := bothForms(t, r)
			got, err := r.Run(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for tap := range taps {
				names = append(names, tap)
			}
			p, err := htp.New(t.Context(), htp.Engine{Kit: e.Kit, Library: library, SoC: htp.DefaultSoC, Arch: htp.DefaultArch}, m, htp.Options{Groups: [][]string{names}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			f := p.Start(runner.Sample{Inputs: floats})
			defer f.Close()
			b, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer b.Release()
			same := 0
			for _, tap := range b.Taps {
				x := taps[tap.Name]
				want, ok := p.Raw(tap.Name)
				if !ok || len(want) != len(got[x.Name]) {
					t.Errorf("%s: %d bytes, %s has %d", tap.Name, len(want), x.Name, len(got[x.Name]))
					continue
				}
				if !bytes.Equal(want, got[x.Name]) && !bytes.Equal(channelsLast(want, tap.Tensor.Shape, x.DType.Bits()/8), got[x.Name]) {
					t.Errorf("%s and %s are not the same", tap.Name, x.Name)
				}
				same++
			}
			if same < least {
				t.Errorf("%d layers were compared", same)
			}
		})
	}
}

// tapsOf finds the DLC's tensor of each dequantized tensor of a QDQ model: that which carries its quantizer's name.
func tapsOf(m *onnx.Model, r *Runner) map[string]Tensor {
	own := map[string]Tensor{}
	for _, x := range r.Outputs() {
		own[x.Own] = x
	}
	taps := map[string]Tensor{}
	index := onnx.NewIndex(m)
	for _, n := range index.Nodes {
		if n.GetOpType() != "DequantizeLinear" || index.Initializer[n.GetInput()[0]] != nil {
			continue
		}
		q := n.GetInput()[0]
		for _, name := range []string{q, strings.TrimSuffix(q, "_Output"), strings.TrimSuffix(q, "_QuantizeLinear_Output")} {
			if x, ok := own[name]; ok && x.DType.Quantized() {
				taps[n.GetOutput()[0]] = x
				break
			}
		}
	}
	return taps
}

// bothForms is the fixtures' input as the DLC takes it, and as real numbers.
func bothForms(t *testing.T, r *Runner) (raw map[string][]byte, floats map[string]tensor.Tensor) {
	t.Helper()
	raw, floats = sample(r), map[string]tensor.Tensor{}
	for _, in := range r.Inputs() {
		shape := make([]int64, len(in.Shape))
		for i, d := range in.Shape {
			shape[i] = int64(d)
		}
		if !in.DType.Quantized() { // pixels
			b := make([]byte, in.Bytes())
			for i := range in.Elements() {
				binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(byte(37*i+11*(i>>8)))))
			}
			raw[in.Called()] = b
		}
		x, err := Decode(&in.Tensor, raw[in.Called()])
		if err != nil {
			t.Fatal(err)
		}
		floats[in.Called()] = tensor.Floats(x.F32, shape...)
	}
	return raw, floats
}

// channelsLast puts NCHW values of so many bytes each into NHWC; of other ranks it gives nil.
func channelsLast(raw []byte, shape []int64, width int) []byte {
	if len(shape) < 3 {
		return nil
	}
	c, pixels := int(shape[1]), 1
	for _, d := range shape[2:] {
		pixels *= int(d)
	}
	if shape[0] != 1 || c*pixels*width != len(raw) {
		return nil
	}
	out := make([]byte, len(raw))
	for i := range c {
		for p := range pixels {
			copy(out[(p*c+i)*width:(p*c+i+1)*width], raw[(i*pixels+p)*width:])
		}
	}
	return out
}
