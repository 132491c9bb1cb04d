//go:build slow

package rewrite_test

import (
	"testing"

	"quantcheck/internal/fixture"
)

func TestSlowLargeModelsGoThroughAllPasses(t *testing.T) {
	models := map[string]string{
		"models/yolox_nano.onnx":                "",
		"models/onnx_light/light_resnet50.onnx": "models/onnx_light/light_resnet50_output_0.pb",
	}
	if _, ok := fixture.Also(t, "models", "fns-candy_tensor.onnx"); ok {
		models["models/fns-candy_tensor.onnx"] = ""
	}
	throughAllPasses(t, models)
}
