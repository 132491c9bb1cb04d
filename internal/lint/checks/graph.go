package checks

import (
	"slices"
	"strings"

	"quantcheck/internal/rewrite"
)

// try runs a pass on the model, for what it would change and what it leaves; an error is said when the pass is asked for.
func try(s *Subject, name string) rewrite.Result {
	if s.Model == nil {
		return rewrite.Result{}
	}
	p, err := rewrite.Find(name)
	if err != nil {
		return rewrite.Result{}
	}
	r, err := p.Run(s.Model, s.Env)
	if err != nil {
		return rewrite.Result{}
	}
	return *r
}

// fits looks for the places where a pass would change something.
func fits(name, evidence string) func(*Subject, report) {
	return func(s *Subject, say report) {
		for _, place := range try(s, name).Changes {
			say(place, "", "%s", evidence)
		}
	}
}

// unlikeStrides reports what uniform-stride would change, but for strides that are free.
func unlikeStrides(s *Subject, say report) {
	for _, place := range try(s, "uniform-stride").Changes {
		if !strings.HasSuffix(place, rewrite.FreeStride) {
			say(place, "", "its strides differ")
		}
	}
}

var graphChecks = []Check{
	{
		ID: "QC1001", Title: "division by a constant", Severity: Warning, Pass: "div-to-mul",
		What: "Div whose second operand is constant.",
		Why:  "Division is slow on the DSP and its quantized form coarse (finding 3 of the seed tool, measured on RVC4).",
		Fix:  "multiply by the reciprocal", look: fits("div-to-mul", "a Mul by the reciprocal does the same"),
	},
	{
		ID: "QC1002", Title: "constant arithmetic in front of a Conv", Severity: Warning, Pass: "fuse-mul-add-before-conv",
		What: "Mul, Div, Add or Sub by scalars or one value per channel, read only by a Conv.",
		Why:  "An element-wise operator reads and writes the whole tensor; in the weights it costs nothing (findings 4 and 7).",
		Fix:  "fuse it into the Conv's weights and bias", look: fits("fuse-mul-add-before-conv", "it goes into the Conv's weights exactly"),
	},
	{
		ID: "QC1003", Title: "constant arithmetic behind a Conv", Severity: Warning, Pass: "fuse-mul-add-after-conv",
		What: "Mul, Div, Add or Sub by scalars or one value per output channel, the only reader of a Conv, ConvTranspose or Gemm.",
		Why:  "As QC1002 (findings 4 and 7).",
		Fix:  "fuse it into the weights and bias", look: fits("fuse-mul-add-after-conv", "it goes into the weights exactly"),
	},
	{
		ID: "QC1004", Title: "constant arithmetic in front of a padded Conv", Severity: Note,
		What: "An addition that only the padding keeps from being fused into the Conv behind it.",
		Why:  "The Conv pads with zeros, which are other values before the addition: fusing would be wrong at the border.",
		Fix:  "train or export without padding there, or subtract the mean outside of the model (input description)",
		look: func(s *Subject, say report) {
			for _, l := range try(s, "fuse-mul-add-before-conv").Left {
				say(l, "", "left by the pass fuse-mul-add-before-conv")
			}
		},
	},
	{
		ID: "QC1005", Title: "batch normalization that is not folded", Severity: Note, Pass: "fold-batchnorm",
		What: "BatchNormalization as the only reader of a Conv, ConvTranspose or Gemm with constant weights.",
		Why:  "Converters fold it; done before, layers have the same names and ranges in every tool.",
		Fix:  "fold it into the weights", look: fits("fold-batchnorm", "it goes into the weights"),
	},
	{
		ID: "QC1006", Title: "operator that changes nothing", Severity: Note, Pass: "remove-identity",
		What: "Identity, Dropout, Reshape to the same shape, transposes that cancel, and the like.",
		Why:  "It hides operators from each other that would be fused, and may be copied on the DSP.",
		Fix:  "remove it", look: fits("remove-identity", "its output equals its input"),
	},
	{
		ID: "QC1007", Title: "operator that no output depends on", Severity: Note, Pass: "drop-unused",
		What: "Operators and initializers without a way to an output.",
		Why:  "They take space, and converters may trip over them.",
		Fix:  "remove it", look: fits("drop-unused", "nothing uses it"),
	},
	{
		ID: "QC1008", Title: "strides that differ", Severity: Warning, Pass: "uniform-stride",
		What: "Conv whose strides are not equal.",
		Why:  "Such convolutions may be slower on the DSP (finding 6). Not so where the output has one place along an axis, as in one-dimensional ones.",
		Fix:  "a common stride and a Slice behind it, if lint --estimate says that it is faster", look: unlikeStrides,
	},
	{
		ID: "QC1009", Title: "pixels are moved to channels in front of a Conv", Severity: Warning, Pass: "focus-to-conv",
		What: "The \"Focus\" stem of YOLOv5 and YOLOX: strided Slices and a Concat, SpaceToDepth, or Reshape and Transpose, read only by a Conv.",
		Why:  "The vector threads copy the whole picture several times: 18 % of yolox_nano's cycles by the HTP compiler's estimate as it is deployed, 72 % with float inputs.",
		Fix:  "one Conv with a larger, strided kernel", look: fits("focus-to-conv", "it goes into the Conv's kernel exactly"),
	},
	{
		ID: "QC3001", Title: "channels are reordered in front of a Conv", Severity: Warning, Pass: "swap-input-channels",
		What: "Split and Concat, or Gather, that only reorder channels, as converters insert them to turn RGB into BGR.",
		Why:  "Concat copies every value: 20 % of the inference time and more (finding 2).",
		Fix:  "put the order into the Conv's kernel, or ask the camera for the other order", look: fits("swap-input-channels", "the order goes into the kernel exactly"),
	},
	{
		ID: "QC3002", Title: "the model gets another picture than the sample", Severity: Warning,
		What: "A variant of a run whose first operator gets something else than the float model, or the same with red and blue swapped.",
		Why:  "A swap costs a couple of percent and is hard to see in the outputs.",
		Fix:  "correct the input description (--input-color, --mean, --scale), or reorder_channels in the converter's configuration",
		look: func(s *Subject, say report) {
			if s.Run == nil {
				return
			}
			for _, v := range s.Run.Variants {
				for _, c := range v.InputChecks {
					switch {
					case c.ChannelsSwapped():
						say(v.Spec.Name, c.Input, "%.1f dB as it is, %.1f dB with the channels swapped", c.SQNR.V, c.Swapped.V)
					case c.Differs(s.Run.Spec.DivergeUnder):
						say(v.Spec.Name, c.Input, "%.1f dB of SQNR against the sample", c.SQNR.V)
					}
				}
			}
		},
	},
	{
		ID: "QC4001", Title: "matrix products", Severity: Warning, Pass: "matmul-to-conv",
		What: "MatMul and Gemm with a large share of the model's multiply-adds.",
		Why:  "The DSP is slow at them: 7 FPS where the GPU had 600 (finding 8).",
		Fix:  "1×1 convolutions where shapes allow, or a model without them",
		look: func(s *Subject, say report) {
			if s.Model == nil || s.Env.Shapes == nil {
				return
			}
			total, products := int64(0), int64(0)
			for _, n := range s.Model.Graph().GetNode() {
				macs := max(rewrite.MACs(n, s.Env.Shapes), 0)
				total += macs
				if slices.Contains([]string{"MatMul", "Gemm"}, n.GetOpType()) {
					products += macs
				}
			}
			if total > 0 && products*5 > total {
				say("", "", "%.0f %% of %.1f M multiply-adds are MatMul or Gemm", 100*float64(products)/float64(total), float64(total)/1e6)
			}
		},
	},
}
