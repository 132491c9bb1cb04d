package encodings

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"quantcheck/internal/quant"
)

// one is a file of version 0.6.1 with one encoding of the tensor t.
func one(entry string) string { return `{"activation_encodings":{"t":[` + entry + `]}}` }

func listed(entry string) string { return `{"param_encodings":[` + entry + `]}` }

func onnxWords(entry string) string { return `{"version":"2.0.0","encodings":[` + entry + `]}` }

func TestWhatEntriesAskFor(t *testing.T) {
	t.Parallel()
	eight := quant.FromScale(8, false, 0.5, -3)
	zero := 0
	for text, want := range map[string]Asked{
		one(`{"bitwidth":8,"dtype":"int","is_symmetric":"False","min":-1.5,"max":126,"scale":0.5,"offset":-3}`):                         {Bits: 8, Encodings: []quant.Encoding{eight}, Section: Activations},
		one(`{"bitwidth":8,"min":-1.5,"max":126}`):                                                                                      {Bits: 8, Encodings: []quant.Encoding{eight}, Section: Activations},
		one(`{"bitwidth":8,"scale":0.5,"offset":-3.0}`):                                                                                 {Bits: 8, Encodings: []quant.Encoding{eight}, Section: Activations}, // as AIMET 2.42 writes them
		one(`{"bitwidth":16,"dtype":"float"}`):                                                                                          {Bits: 16, Float: true, Section: Activations},
		listed(`{"name":"t","enc_type":"PER_TENSOR","dtype":"INT","bw":8,"is_sym":false,"scale":[0.5],"offset":[-3]}`):                  {Bits: 8, Encodings: []quant.Encoding{eight}, Section: Params},
		listed(`{"name":"t","enc_type":"PER_CHANNEL","dtype":"INT","bw":4,"is_sym":true,"scale":[0.5,1],"offset":[-8,-8]}`):             {Bits: 4, Encodings: []quant.Encoding{quant.FromScale(4, true, 0.5, -8), quant.FromScale(4, true, 1, -8)}, Section: Params, Listed: true},
		listed(`{"name":"t","enc_type":"PER_CHANNEL","dtype":"INT","bw":8,"is_sym":true,"scale":[0.5],"offset":[-128]}`):                {Bits: 8, Encodings: []quant.Encoding{quant.FromScale(8, true, 0.5, -128)}, Section: Params, Listed: true},
		listed(`{"name":"t","enc_type":"PER_TENSOR","dtype":"FLOAT","bw":16}`):                                                          {Bits: 16, Float: true, Section: Params},
		listed(`{"name":"t","enc_type":"PER_BLOCK","dtype":"INT","bw":4,"is_sym":true,"scale":[1,2],"offset":[-8,-8],"block_size":64}`): {Bits: 4, Encodings: []quant.Encoding{quant.FromScale(4, true, 1, -8), quant.FromScale(4, true, 2, -8)}, Section: Params, Listed: true, Block: 64},
		listed(`{"name":"t","enc_type":"LPBQ","dtype":"INT","bw":8,"compressed_bw":4,"is_sym":true,"scale":[0.25,1],"per_block_int_scale":[1,2,3,4],"offset":[-128,-128],"block_size":64}`): {Bits: 4,
			Encodings: []quant.Encoding{quant.FromScale(4, true, 0.25, -8), quant.FromScale(4, true, 0.5, -8), quant.FromScale(4, true, 3, -8), quant.FromScale(4, true, 4, -8)}, Section: Params, Listed: true, Block: 64},
		onnxWords(`{"name":"t","output_dtype":"uint8","y_scale":0.5,"y_zero_point":3}`):    {Bits: 8, Encodings: []quant.Encoding{eight}},
		onnxWords(`{"name":"t","output_dtype":"int8","y_scale":0.5,"y_zero_point":-125}`):  {Bits: 8, Encodings: []quant.Encoding{eight}},
		onnxWords(`{"name":"t","output_dtype":"int16","y_scale":[[0.5],[0.25]],"axis":0}`): {Bits: 16, Encodings: []quant.Encoding{quant.FromScale(16, true, 0.5, -32768), quant.FromScale(16, true, 0.25, -32768)}, Listed: true, Axis: &zero},
		onnxWords(`{"name":"t","output_dtype":"int4","per_channel_float_scale":[[1,10]],"per_block_int_scale":[[1,2],[3,4]],"axis":0,"block_size":8}`): {Bits: 4,
			Encodings: []quant.Encoding{quant.FromScale(4, true, 1, -8), quant.FromScale(4, true, 20, -8), quant.FromScale(4, true, 3, -8), quant.FromScale(4, true, 40, -8)}, Listed: true, Axis: &zero, Block: 8},
	} {
		f, err := Parse([]byte(text))
		if err != nil || len(f.Problems) > 0 {
			t.Errorf("%s: %v %+v", text, err, f)
			continue
		}
		got := f.Tensors["t"]
		if (got.Axis == nil) != (want.Axis == nil) || got.Axis != nil && *got.Axis != *want.Axis || got.Line != 1 {
			t.Errorf("%s: axis %v, line %d", text, got.Axis, got.Line)
		}
		got.Axis, got.Line, want.Axis = nil, 0, nil
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n%+v, want\n%+v", text, got, want)
		}
	}
}

func TestWhatIsWrongWithAnEntry(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		one(`{"bitwidth":8,"scale":0,"offset":0}`):                   "!a scale of 0",
		one(`{"bitwidth":8,"scale":-1,"offset":0}`):                  "!a scale of -1",
		one(`{"bitwidth":8,"scale":1e-60,"offset":0}`):               "!single precision",
		one(`{"bitwidth":8,"scale":1e400,"offset":0}`):               "!no finite number",
		one(`{"bitwidth":8,"scale":1,"offset":-256}`):                "!outside of -255 to 0",
		one(`{"bitwidth":8,"scale":1,"offset":1}`):                   "!outside",
		one(`{"bitwidth":8,"scale":1,"offset":-1.5}`):                "!no whole number",
		one(`{"bitwidth":8,"min":2,"max":1}`):                        "!min 2 is more than max 1",
		one(`{"bitwidth":8,"min":0,"max":0}`):                        "!the range is empty",
		one(`{"bitwidth":8,"min":1,"max":2}`):                        "!does not hold zero",
		one(`{"bitwidth":8}`):                                        "!neither min and max",
		one(`{"bitwidth":7,"min":0,"max":1}`):                        "!a bitwidth of 7",
		one(`{"bitwidth":"8","min":0,"max":1}`):                      "!bitwidth is text",
		one(`{"bitwidth":8,"dtype":"fixed","min":0,"max":1}`):        `!dtype is "fixed"`,
		one(`{"bitwidth":8,"dtype":"float"}`):                        "!there are 16 and 32",
		one(`{"bitwidth":8,"min":0,"max":1,"is_symmetric":"maybe"}`): "!is_symmetric",
		one(`7`): "!a number where an encoding",
		one(``):  "!is empty",
		one(`{"bitwidth":8,"min":0,"max":1},{"bitwidth":4,"min":0,"max":1}`):                                                                  "!differ in type or width",
		one(`{"bitwidth":8,"min":0,"max":255,"scale":2,"offset":0}`):                                                                          "converters take min and max",
		one(`{"bitwidth":8,"is_symmetric":"True","scale":1,"offset":-127}`):                                                                   "SNPE takes -128 only",
		one(`{"bitwidth":8,"bitwidth":8,"min":0,"max":255}`):                                                                                  "bitwidth stands there twice",
		`{"activation_encodings":{"t":[{"bitwidth":8,"min":0,"max":1}],"t":[{"bitwidth":8,"min":0,"max":1}]}}`:                                "has an entry in line 1 already",
		`{"version":"1.0.0","activation_encodings":{"t":[{"bitwidth":8,"min":0,"max":1}]}}`:                                                   `calls itself version "1.0.0"`,
		listed(`{"name":"t","bw":8,"enc_type":"PER_ROW","scale":[1],"offset":[0]}`):                                                           "!enc_type",
		listed(`{"name":"t","bw":8,"scale":[1],"offset":[]}`):                                                                                 "!1 and 0 values",
		listed(`{"name":"t","bw":8,"enc_type":"PER_TENSOR","scale":[1,2],"offset":[0,0]}`):                                                    "!PER_TENSOR and has 2 scales",
		listed(`{"name":"t","bw":8,"enc_type":"PER_BLOCK","scale":[1],"offset":[0]}`):                                                         "!block_size is missing",
		listed(`{"name":"t","bw":8,"scale":["a"],"offset":[0]}`):                                                                              "!a list where numbers",
		listed(`{"bw":8,"scale":[1],"offset":[0]}`):                                                                                           "!has no name",
		onnxWords(`{"name":"t","output_dtype":"complex64","y_scale":1}`):                                                                      "!no type that is known",
		onnxWords(`{"name":"t","output_dtype":"uint8","y_scale":1,"y_zero_point":300}`):                                                       "!outside",
		onnxWords(`{"name":"t","output_dtype":"uint8","y_scale":[1,2],"y_zero_point":[0],"axis":0}`):                                          "!2 and 1 values",
		onnxWords(`{"name":"t","output_dtype":"int4","per_channel_float_scale":[1,2],"per_block_int_scale":[1,2,3],"axis":0,"block_size":8}`): "!do not divide",
	} {
		f, err := Parse([]byte(text))
		if err != nil || len(f.Problems) == 0 {
			t.Errorf("%s: %v %+v", text, err, f)
			continue
		}
		unusable := strings.HasPrefix(says, "!")
		p := f.Problems[0]
		if !strings.Contains(p.Text, strings.TrimPrefix(says, "!")) || p.Unusable != unusable || (f.Usable() != nil) != unusable || p.Line != 1 {
			t.Errorf("%s: %+v, want %q", text, p, says)
		}
		if a, ok := f.Tensors["t"]; ok && a.Unusable != unusable {
			t.Errorf("%s: %+v", text, a)
		}
	}
}

func TestWhatIsNoFileOfEncodings(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 100_000)
	for text, says := range map[string]string{
		"":                                 "line 1: this is no file of encodings, because it is empty",
		"{":                                "ends in the middle",
		"{}":                               "neither activation_encodings",
		"[]":                               "does not begin with an object",
		"hello":                            `not JSON from "hello" on`,
		`{"encodings":[]} {}`:              "stands behind its end",
		"{\n\"activation_encodings\": 7}":  "line 2: this is no file of encodings, because activation_encodings is neither",
		`{"activation_encodings":{"t":7}}`: `"t" is a number where a list`,
		`{"encodings":{}}`:                 "encodings is not a list",
		`{"encodings":[7]}`:                "a number where an encoding",
		"{\"encodings\":[\n\n{\"name\":\"t\",\"y_scale\":NaN}]}": "line 3: this is no file of encodings, because NaN stands in it",
		`{"x":` + deep:                  "more than 16 deep",
		`{"encodings":[{"name":` + deep: "more than 16 deep",
		`{"param_encodings":{"name":"w","enc_type":"PER_TENSOR","bw":8,"scale":[1],"offset":[0]}}`: "a single encoding of version 1.0.0",
	} {
		f, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v %+v, want %q", text, err, f, says)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"version":"0.6.1","activation_encodings":{"a":[{"bitwidth":8,"dtype":"int","is_symmetric":"False","min":0.0,"max":5.1,"scale":0.02,"offset":0}],"b":[{"bitwidth":16,"dtype":"float"}]},"param_encodings":{}}`,
		`{"version":"1.0.0","activation_encodings":[{"name":"a","enc_type":"PER_TENSOR","dtype":"INT","bw":8,"is_sym":false,"scale":[0.02],"offset":[0]}],"param_encodings":[]}`,
		`{"version":"2.0.0","encodings":[{"name":"a","output_dtype":"int8","y_scale":[[0.01],[0.005]],"axis":0}]}`,
		`{"param_encodings":[{"name":"t","enc_type":"LPBQ","dtype":"INT","bw":8,"compressed_bw":4,"is_sym":true,"scale":[0.25,1],"per_block_int_scale":[1,2,3,4],"offset":[-128],"block_size":64}]}`,
		`{"encodings":[{"name":"t","output_dtype":"int4","per_channel_float_scale":[[1,10]],"per_block_int_scale":[[1,2],[3,4]],"axis":-9e99,"block_size":8}]}`,
		`{"activation_encodings":{"a":[{"bitwidth":1e999,"min":-1e308,"max":1e308}],"a":[]},"encodings":[{"name":"a","output_dtype":"uint32","y_scale":[[],[[[1]]]]}]}`,
		`{"activation_encodings":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]],"version":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if !strings.Contains(err.Error(), "this is no file of encodings, because") {
				t.Errorf("in other words: %v", err)
			}
			return
		}
		for name, a := range file.Tensors {
			if a.Unusable && len(a.Encodings) > 0 || !a.Unusable && !a.Float && len(a.Encodings) == 0 {
				t.Errorf("%q: %+v", name, a)
			}
			for _, e := range a.Encodings {
				if s := float32(e.Scale); !(s > 0) || math.IsInf(float64(s), 0) || e.Offset > 0 || e.Offset < -quant.Levels(e.Bits) || e.Bits != a.Bits {
					t.Errorf("%q: %+v was let through", name, e)
				}
			}
		}
		for _, p := range file.Problems {
			if p.Line < 1 || p.Text == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
