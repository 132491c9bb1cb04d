package encodings

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

func TestBlocksAreWrittenAndReadAgain(t *testing.T) {
	t.Parallel()
	grid := func(symmetric bool, n int) []quant.Encoding {
		var list []quant.Encoding
		for i := range n {
			offset := -8
			if !symmetric {
				offset = -i % 16
			}
			list = append(list, quant.FromScale(4, symmetric, 0.5+float64(i), offset))
		}
		return list
	}
	scales := func(list []quant.Encoding) []float64 {
		var s []float64
		for _, e := range list {
			s = append(s, e.Scale)
		}
		return s
	}
	perKernel := grid(true, 12)
	for what, c := range map[string]struct {
		p       result.Param
		channel []float64 // scales in the order of the channels; nil: version 1.0.0 has no words for it
	}{
		"channels first": {result.Param{Tensor: "w", Axis: 1, Encodings: grid(true, 6), Blocks: &quant.Blocks{Axis: 1, Size: 16, Grid: []int64{2, 3, 1, 1}}}, []float64{0.5, 1.5, 2.5, 3.5, 4.5, 5.5}},
		"channels last":  {result.Param{Tensor: "w", Axis: 0, Encodings: grid(false, 6), Blocks: &quant.Blocks{Axis: 0, Size: 4, Grid: []int64{3, 2}}}, []float64{0.5, 2.5, 4.5, 1.5, 3.5, 5.5}},
		"kernel":         {result.Param{Tensor: "w", Axis: 1, Encodings: perKernel, Blocks: &quant.Blocks{Axis: 1, Size: 4, Grid: []int64{2, 3, 2}}}, nil},
	} {
		v := &result.Variant{Params: []result.Param{c.p}}
		if _, err := Write("0.6.1", nil, v); err == nil || !strings.Contains(err.Error(), "1.0.0 or 2.0.0") {
			t.Errorf("%s: 0.6.1: %v", what, err)
		}
		data, err := Write("1.0.0", nil, v)
		switch {
		case c.channel == nil:
			if err == nil {
				t.Errorf("%s: 1.0.0 is written", what)
			}
		case err != nil:
			t.Errorf("%s: %v", what, err)
		default:
			read, err := Read(data)
			if err != nil {
				t.Fatal(err)
			}
			if a := read["w"]; a.Block != c.p.Blocks.Size || !slices.Equal(scales(a.Encodings), c.channel) || a.Bits != 4 {
				t.Errorf("%s: 1.0.0 %+v", what, a)
			}
		}
		if data, err = Write("2.0.0", nil, v); err != nil {
			t.Fatal(err)
		}
		read, err := Read(data)
		if err != nil {
			t.Fatal(err)
		}
		if a := read["w"]; a.Block != c.p.Blocks.Size || a.Axis == nil || *a.Axis != c.p.Axis || !reflect.DeepEqual(a.Encodings, c.p.Encodings) {
			t.Errorf("%s: 2.0.0 %+v, want %+v", what, a, c.p.Encodings)
		}
	}
}
