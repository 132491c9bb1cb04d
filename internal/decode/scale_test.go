package decode_test

import (
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/tensor"
)

func TestBoxesAreMultipliedByTheirScale(t *testing.T) {
	t.Parallel()
	const cells = 21 // of strides 8, 16 and 32 in 32×32 pixels
	values := make([]float32, 6*cells)
	for row, v := range []float32{0.5, 0.25, 0.25, 0.125, 0, 0.75} {
		values[row*cells+3] = v
	}
	s := decode.ScoringSettings()
	s.Width, s.Height, s.BoxScale = 32, 32, 32
	got, err := decode.Decode(lookup(t, "yolov8"), []decode.Output{{Name: "y", Tensor: tensor.Floats(values, 1, 6, cells)}}, s)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Detections, []decode.Detection{{Box: [4]float32{12, 6, 20, 10}, Score: 0.75, Class: 1}})
	s.BoxScale = -1
	if s.Check() == nil {
		t.Error("a negative scale")
	}
}
