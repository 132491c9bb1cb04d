package encodings

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestMixedWidthsAreListedTensorByTensor(t *testing.T) {
	t.Parallel()
	narrow, wide := quant.FromScale(8, false, 0.02, -10), quant.FromScale(16, false, 0.001, -300)
	v := &result.Variant{
		Spec: variant.Spec{Kind: variant.Recipe, WeightBits: 8, ActBits: 8, Choices: variant.Choices{"b": {Bits: 16}, "c": {Float: true}, "fused": {Float: true}}},
		Layers: []result.LayerResult{
			{Status: result.Compared, Encoding: &narrow}, {Status: result.Compared, Encoding: &wide},
			{Status: result.NotQuantized}, {Status: result.Fused}, {Status: result.NotQuantized},
		},
	}
	layers := []result.Layer{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "fused"}, {Name: "float anyway"}}
	for version, want := range map[string][]string{
		"0.6.1": {`"a":[{"bitwidth":8,`, `"b":[{"bitwidth":16,"dtype":"int"`, `"c":[{"bitwidth":16,"dtype":"float"}]`},
		"1.0.0": {`"name":"a","enc_type":"PER_TENSOR","dtype":"INT","bw":8`, `"name":"b","enc_type":"PER_TENSOR","dtype":"INT","bw":16`, `"name":"c","enc_type":"PER_TENSOR","dtype":"FLOAT","bw":16`},
		"2.0.0": {`"name":"a","output_dtype":"uint8"`, `"name":"b","output_dtype":"uint16"`},
	} {
		data, err := Write(version, layers, v)
		if err != nil {
			t.Fatal(err)
		}
		var compact strings.Builder
		var whole json.RawMessage
		if err := json.Unmarshal(data, &whole); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			compact.WriteString(strings.TrimSpace(line))
		}
		text := strings.ReplaceAll(compact.String(), `": `, `":`)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %s:\n%s", version, w, text)
			}
		}
		if slices.ContainsFunc([]string{`"fused"`, `"float anyway"`}, func(name string) bool { return strings.Contains(text, name) }) {
			t.Errorf("%s lists a tensor without an encoding:\n%s", version, text)
		}
	}
}
