package dlc

import (
	"bytes"
	"encoding/binary"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// The DLC that was written from a QDQ model gives the bits that the model gives through ONNX Runtime's provider.
func TestTheDLCAndTheModelItWasWrittenFromGiveTheSameBits(t *testing.T) {
	e := engine(t)
	library, err := onnxruntime.Find("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zoo_w8a8_per_tensor", "zoo_w8a8_per_channel", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor"} {
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
			r := start(t, fixture.Path(t, "qnn", name+".dlc"), Options{})
			integers := sample(r)
			floats := map[string]tensor.Tensor{}
			for _, in := range r.Inputs() {
				raw := integers[in.Called()]
				values := make([]float32, in.Elements())
				for i := range values {
					q := float64(raw[i])
					if in.DType.Bits() == 16 {
						q = float64(binary.LittleEndian.Uint16(raw[2*i:]))
					}
					values[i] = float32(float64(in.Encoding.Scale[0]) * (q + float64(in.Encoding.Offset[0])))
				}
				shape := make([]int64, len(in.Shape))
				for i, d := range in.Shape {
					shape[i] = int64(d)
				}
				floats[in.Called()] = tensor.Floats(values, shape...)
			}
			got, err := r.Run(t.Context(), integers)
			if err != nil {
				t.Fatal(err)
			}
			p, err := htp.New(t.Context(), htp.Engine{Kit: e.Kit, Library: library, SoC: htp.DefaultSoC, Arch: htp.DefaultArch}, m, htp.Options{Groups: [][]string{m.Outputs()}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			f := p.Start(floats)
			defer f.Close()
			b, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
			for _, x := range r.Outputs() {
				want, ok := p.Raw(x.Called())
				if !ok || !bytes.Equal(got[x.Name], want) {
					t.Errorf("%s: %d and %d bytes, not the same", x.Called(), len(got[x.Name]), len(want))
				}
			}
		})
	}
}
