package cause

import "quantcheck/internal/rewrite"

// Means is something that quantcheck has and that may help against an error: a width or an option of a recipe, a pass, a command.
type Means struct {
	Name  string
	By    []string // kinds of the causes that propose it
	Never string   // why no cause does; "" if one does
}

// Options are the widths and options of a recipe, by the words that variant.Parse reads.
var Options = []Means{
	{Name: "w4", Never: "fewer bits cure nothing"},
	{Name: "w8", By: []string{"few-bits"}},
	{Name: "w16", By: []string{"few-bits"}},
	{Name: "a8", Never: "fewer bits cure nothing"},
	{Name: "a16", By: []string{"clipped-constant", "few-bits", "half-overflow", "outlier-values", "steep-activation", "unlike-ranges"}},
	{Name: "fp16", Never: "it is another engine's precision: what it costs is known from an estimate only"},
	{Name: "per-channel", By: []string{"few-bits", "unlike-channels"}},
	{Name: "per-tensor", Never: "it is never better than per-channel"},
	{Name: "tf", Never: "it is the default; explore tries it where another calibrator clips too much"},
	{Name: "enhanced", Never: "mse and mse-out are better on the networks of the bench; explore tries it"},
	{Name: "symmetric", Never: "it has half the steps where values have one sign; explore tries it"},
	{Name: "percentile", Never: "how much may be cut off is known from decisions only; explore tries 99.9 and 99.99"},
	{Name: "mse", By: []string{"few-bits"}},
	{Name: "mse-out", By: []string{"steep-activation"}},
	{Name: "bias8", Never: "fewer bits cure nothing"},
	{Name: "bias32", By: []string{"few-bits"}},
	{Name: "heal", By: []string{"few-bits"}},
	{Name: "small8", Never: "it is for recipes of 4 bits, which few-bits widens"},
}

// Why a pass is no cause's.
const (
	costsTime = "what it mends costs time, not accuracy: lint and estimate propose it"
	fewerOps  = "it makes one operator of many, which costs less time: optimize does it by itself"
	tidies    = "it tidies the graph, and changes no value"
)

// Passes are those of rewrite.All.
var Passes = []Means{
	{Name: "constants-to-initializers", Never: tidies},
	{Name: "constant-fold", Never: tidies},
	{Name: rewrite.ClampMasks, By: []string{"huge-constant"}},
	{Name: "remove-identity", Never: tidies},
	{Name: "fuse-gelu", Never: "it is for an operator that the DSP refuses: lint and the refusal itself propose it"},
	{Name: "fuse-activations", Never: fewerOps},
	{Name: "fuse-mish", Never: fewerOps},
	{Name: "fuse-layernorm", Never: fewerOps},
	{Name: "fuse-rmsnorm", Never: fewerOps},
	{Name: "fuse-instancenorm", Never: fewerOps},
	{Name: "fold-batchnorm", Never: "variants are made of the folded model anyway"},
	{Name: "focus-to-conv", Never: costsTime},
	{Name: "swap-input-channels", Never: costsTime},
	{Name: "depth-to-space-order", Never: costsTime},
	{Name: "einsum-to-matmul", Never: "it is for an operator that the DSP refuses: optimize does it by itself"},
	{Name: "split-qkv", Never: costsTime},
	{Name: "split-concat-to-conv", Never: costsTime},
	{Name: "four-axes", Never: costsTime},
	{Name: "slice-to-conv", Never: costsTime},
	{Name: "div-to-mul", Never: costsTime},
	{Name: "fuse-mul-add-after-conv", Never: costsTime},
	{Name: "fuse-mul-add-before-conv", Never: costsTime},
	{Name: "uniform-stride", Never: costsTime},
	{Name: "matmul-to-conv", Never: costsTime},
	{Name: "split-gates", Never: costsTime},
	{Name: "equalize", Never: "an encoding per channel does as much and changes no weight; lint proposes it where there is none to be had"},
	{Name: rewrite.SplitOutput, By: []string{"unlike-ranges"}},
	{Name: "scale-boxes", Never: "split-output gives as much, without a factor that the decoder must know"},
	{Name: "drop-unused", Never: tidies},
}

// Commands are those of the program.
var Commands = []Means{
	{Name: "check", By: []string{"narrow-calibration"}},
	{Name: "optimize", By: []string{"huge-constant", "unlike-ranges"}},
	{Name: "eval", By: []string{"input-denied"}},
	{Name: "explore", By: []string{"few-bits", "outlier-values"}},
	{Name: "strip", By: []string{"already-quantized"}},
	{Name: "quantize", Never: "it writes what is good already"},
	{Name: "lint", Never: "it reads the same results, and finds what costs time too"},
	{Name: "layers", Never: showsMore},
	{Name: "report", Never: showsMore},
	{Name: "stats", Never: showsMore},
	{Name: "info", Never: showsMore},
	{Name: "diff", Never: "it holds a DLC against what was asked of a converter; check has no such request"},
	{Name: "estimate", Never: ofTime},
	{Name: "benchmark", Never: ofTime},
	{Name: "net-run", Never: "check runs a DLC itself"},
	{Name: "raw", Never: "it writes samples for a device"},
	{Name: "device", Never: ofTime},
	{Name: "doctor", Never: "what is missing is said before a check begins"},
	{Name: "version", Never: showsMore},
}

const (
	showsMore = "it shows what is there, and changes nothing"
	ofTime    = "it is about time on a device"
)
