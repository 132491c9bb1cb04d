package align

import "strings"

// Clean names a layer as the seed's files do: '.' and '/' become '_', outer '_' go, and so does "_output_0".
func Clean(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '.' || r == '/' || r == '\\' || r < ' ' {
			return '_'
		}
		return r
	}, name)
	clean = strings.ReplaceAll(strings.Trim(clean, "_"), "_output_0", "")
	if clean == "" {
		return "_"
	}
	return clean
}

// endings are what Qualcomm's writer of DLC files puts behind a tensor's ONNX name, longest first.
var endings = []string{"_QuantizeLinear_Output", "_DequantizeLinear_Output", "_QuantizeLinear", "_DequantizeLinear", "_quantized"}

// Bare takes such an ending away; ok says whether there was one.
func Bare(name string) (bare string, ok bool) {
	for _, e := range endings {
		if base, found := strings.CutSuffix(name, e); found && base != "" {
			return base, true
		}
	}
	return name, false
}
