package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
)

// SeedInfo is the seed tool's info.json: its keys, in its order, with its types of values.
type SeedInfo struct {
	ModelH           int                       `json:"model_h"`
	ModelW           int                       `json:"model_w"`
	OutputNames      []string                  `json:"output_names"`
	DequantizeInfo   map[string]SeedDequantize `json:"dequantize_info"`
	RawOutputsDir    string                    `json:"raw_outputs_dir"`
	ModelName        string                    `json:"model_name"`
	PerLayerAnalysis string                    `json:"per_layer_analysis"`
	GraphLayout      string                    `json:"graph_layout"`
	ONNXLayers       string                    `json:"onnx_model_layer_config"`
	FPS              SeedFloat                 `json:"FPS"`
}

// SeedDequantize says how an output's integers become real numbers: scale · q + min.
type SeedDequantize struct {
	Shape    []int     `json:"shape"`
	Type     string    `json:"type"`
	BitWidth int       `json:"bit_width"`
	Scale    SeedFloat `json:"scale"`
	Min      SeedFloat `json:"min"`
	Max      SeedFloat `json:"max"`
	Offset   SeedFloat `json:"offset"`
}

// SeedFloat is written with a decimal point, as Python does, so that a reader of the seed's files gets a float.
type SeedFloat float64

// MarshalJSON implements json.Marshaler.
func (f SeedFloat) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	text := strconv.FormatFloat(float64(f), 'g', -1, 64)
	if float64(f) == math.Trunc(float64(f)) && math.Abs(float64(f)) < 1e15 {
		text = strconv.FormatFloat(float64(f), 'f', 1, 64)
	}
	return []byte(text), nil
}

// Seed makes info.json of a DLC's first graph. fps is −1 if it is not known; the paths are those of the seed's layout. An
// output without an encoding is read as it stands: scale 1, everything else 0.
func Seed(f *dlc.File, name string, fps float64) SeedInfo {
	g := &f.Graphs[0]
	info := SeedInfo{
		OutputNames: []string{}, DequantizeInfo: map[string]SeedDequantize{}, RawOutputsDir: ".", ModelName: name, FPS: SeedFloat(math.Round(fps*100) / 100),
		PerLayerAnalysis: fmt.Sprintf("models_dlc/%s/layer_stats.csv", name), GraphLayout: fmt.Sprintf("models_dlc/%s/graph_config.json", name),
		ONNXLayers: fmt.Sprintf("models_onnx/%s/config.json", name),
	}
	if in := g.At(dlc.Input); len(in) > 0 {
		info.ModelH, info.ModelW = pictureSize(in[0].Shape)
	}
	for _, t := range g.At(dlc.Output) {
		info.OutputNames = append(info.OutputNames, t.Name)
		d := SeedDequantize{Shape: append([]int{}, t.Shape...), Type: t.DType.String(), BitWidth: t.DType.Bits(), Scale: 1}
		if e := t.Encoding; e != nil {
			d.BitWidth, d.Scale, d.Offset = e.Bits, SeedFloat(e.Scale[0]), SeedFloat(e.Offset[0])
			d.Min, d.Max = SeedFloat(e.Min[0]), SeedFloat(e.Max[0])
		}
		info.DequantizeInfo[t.Name] = d
	}
	slices.Sort(info.OutputNames)
	return info
}

// pictureSize finds height and width in an input's shape: what is left without the batch and the channels, which are the
// last axis of 1, 3 or 4, else the second, else the third.
func pictureSize(shape []int) (h, w int) {
	if len(shape) != 4 {
		if len(shape) >= 3 {
			return shape[1], shape[2]
		}
		return 0, 0
	}
	channels := 3
	for _, axis := range []int{3, 1, 2} {
		if shape[axis] == 1 || shape[axis] == 3 || shape[axis] == 4 {
			channels = axis
			break
		}
	}
	var left []int
	for axis := 1; axis < 4; axis++ {
		if axis != channels {
			left = append(left, shape[axis])
		}
	}
	return left[0], left[1]
}

// GraphConfig is the seed's graph_config.json: the shape of every layer's output by its cleaned name. The error names two
// tensors that get one name.
func GraphConfig(g *dlc.Graph) (map[string][]int, error) {
	shapes, from := map[string][]int{}, map[string]string{}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			t := g.Tensor(out)
			if t == nil {
				continue
			}
			name := align.Clean(out)
			if other, twice := from[name]; twice && other != out {
				return nil, fmt.Errorf("the tensors %q and %q both become %q in graph_config.json", other, out, name)
			}
			from[name], shapes[name] = out, append([]int{}, t.Shape...)
		}
	}
	return shapes, nil
}
