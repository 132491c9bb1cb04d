package rewrite_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
)

// tokens begins a graph with a MatMul t of 12 channels; end has another one make y of b.
func tokens(outputs ...string) *graph {
	g := &graph{input: []int64{1, 6, 8}, output: outputs, opset: 13}
	return g.c("w0", []int64{8, 12}).c("half", nil, 0.5).c("one", nil, 1).c("two", nil, 2).c("three", nil, 3).n("MatMul", "x w0", "t")
}

func (g *graph) end() *graph { return g.c("w1", []int64{12, 4}).n("MatMul", "b w1", "y") }

// erf and tanh add what an anchor takes, in the usual way.
func (g *graph) erf() *graph {
	return g.c("r2", nil, math.Sqrt2).n("Div", "t r2", "d").n("Erf", "d", "e")
}

func (g *graph) tanh() *graph {
	return g.c("k", nil, 0.044715).c("s", nil, 0.7978845608).n("Mul", "t t", "t2").n("Mul", "t2 t", "t3").n("Mul", "t3 k", "kq").n("Add", "t kq", "r").n("Mul", "s r", "d").n("Tanh", "d", "e")
}

func (g *graph) at(opset int64) *graph {
	g.opset = opset
	return g
}

// layerNorm adds one that was taken apart. parts are how the square, the root and the quotient are written.
func (g *graph) layerNorm(out string, axes []int64, square, root string) *graph {
	const in = "t"
	g.c(out+"eps", nil, 1e-5).c(out+"p2", nil, 2).c(out+"p.5", nil, 0.5).c(out+"1", nil, 1)
	g.n("ReduceMean", in, out+"m", ints("axes", axes...)).n("Sub", in+" "+out+"m", out+"d")
	d := out + "d"
	switch square {
	case "Pow":
		g.n("Pow", out+"d "+out+"p2", out+"q")
	case "twice": // older exporters subtract for the quotient again
		g.n("Mul", out+"d "+out+"d", out+"q").n("Sub", in+" "+out+"m", out+"dd")
		d = out + "dd"
	default:
		g.n("Mul", out+"d "+out+"d", out+"q")
	}
	g.n("ReduceMean", out+"q", out+"v", ints("axes", axes...)).n("Add", out+"eps "+out+"v", out+"a")
	switch root {
	case "Pow":
		g.n("Pow", out+"a "+out+"p.5", out+"s").n("Div", d+" "+out+"s", out)
	case "Reciprocal":
		g.n("Sqrt", out+"a", out+"s").n("Reciprocal", out+"s", out+"i").n("Mul", out+"i "+d, out)
	case "1/s":
		g.n("Sqrt", out+"a", out+"s").n("Div", out+"1 "+out+"s", out+"i").n("Mul", d+" "+out+"i", out)
	default:
		g.n("Sqrt", out+"a", out+"s").n("Div", d+" "+out+"s", out)
	}
	return g
}

func tall4(outputs ...string) *graph { return &graph{input: []int64{1, 8, 12, 2}, output: outputs} }

func TestTransposesOfManyAxesAreMadeOfFour(t *testing.T) {
	p, _ := rewrite.Find("four-axes")
	r := fixture.Runtime(t)
	rapid.Check(t, func(rt *rapid.T) {
		shape := rapid.SliceOfN(rapid.Int64Range(1, 3), 5, 6).Draw(rt, "shape")
		axes := []int64{0, 1, 2, 3, 4, 5}[:len(shape)]
		perm := rapid.Permutation(axes).Draw(rt, "perm")
		size := int64(1)
		for _, d := range shape {
			size *= d
		}
		m := (&graph{input: []int64{1, size}, output: []string{"y"}}).unshuffle("x", "y", shape, perm, []int64{size}).model()
		got, changes := apply(t, p, m)
		near(t, outputs(t, r, m), outputs(t, r, got), 0)
		if n := len(onnx.Attr(got.Graph().GetNode()[1], "perm").GetInts()); len(changes) > 0 && n > 4 {
			rt.Errorf("%d axes are left", n)
		}
	})
}

func channelsOf(outputs ...string) *graph {
	return picture(outputs...).c("w0", []int64{4, 3, 1, 1}).n("Conv", "x w0", "t")
}

const (
	geluOps = "MatMul Gelu MatMul"
	normOps = "MatMul LayerNormalization MatMul"
	hardOps = "MatMul HardSwish MatMul"
)

func fuseCases() []passCase {
	return []passCase{
		{"four-axes", "windows", tall4("y").unshuffle("x", "y", []int64{1, 2, 4, 3, 4, 2}, []int64{0, 1, 3, 2, 4, 5}, []int64{6, 16, 2}), "Reshape Transpose Reshape"},
		{"four-axes", "five axes, one of them moved", tall4("y").unshuffle("x", "y", []int64{2, 2, 4, 3, 4}, []int64{0, 2, 1, 3, 4}, []int64{2, 4, 24}), "Reshape Transpose Reshape"},
		{"four-axes", "they do not merge", tall4("y").unshuffle("x", "y", []int64{2, 4, 3, 4, 2}, []int64{4, 3, 2, 1, 0}, []int64{2, 96}), "Reshape Transpose Reshape"},
		{"four-axes", "four already", tall4("y").unshuffle("x", "y", []int64{8, 3, 4, 2}, []int64{0, 2, 1, 3}, []int64{8, 24}), "Reshape Transpose Reshape"},
		{"four-axes", "the tensor between is an output", tall4("y", "yt").unshuffle("x", "y", []int64{1, 2, 4, 3, 4, 2}, []int64{0, 1, 3, 2, 4, 5}, []int64{6, 16, 2}), "Reshape Transpose Reshape"},

		{"fuse-gelu", "x·(1 + erf)·½", tokens("y").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), geluOps},
		{"fuse-gelu", "½ in front", tokens("y").erf().n("Add", "one e", "p").n("Mul", "half t", "h").n("Mul", "h p", "b").end(), geluOps},
		{"fuse-gelu", "½ at the sum, Mul by the reciprocal", tokens("y").c("r", nil, 0.70710677).n("Mul", "r t", "d").n("Erf", "d", "e").n("Add", "e one", "p").n("Mul", "p half", "q").n("Mul", "q t", "b").end(), geluOps},
		{"fuse-gelu", "halved by Div", tokens("y").erf().n("Add", "e one", "p").n("Mul", "p t", "q").n("Div", "q two", "b").end(), geluOps},
		{"fuse-gelu", "the product is spread", tokens("y").erf().n("Mul", "e half", "q").n("Add", "q half", "p").n("Mul", "t p", "b").end(), geluOps},
		{"fuse-gelu", "two additions", tokens("y").erf().n("Mul", "t half", "h").n("Mul", "h e", "q").n("Add", "h q", "b").end(), geluOps},
		{"fuse-gelu", "of one value with an axis", tokens("y").c("r2", []int64{1}, math.Sqrt2).c("o", []int64{1}, 1).n("Div", "t r2", "d").n("Erf", "d", "e").n("Add", "e o", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), geluOps},
		{"fuse-gelu", "set 20 already", tokens("y").at(20).erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), geluOps},
		{"fuse-gelu", "it is the output", tokens("b").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b"), "MatMul Gelu"},
		{"fuse-gelu", "x is used elsewhere", tokens("y", "z").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end().n("Relu", "t", "z"), geluOps + " Relu"},
		{"fuse-gelu", "behind a bias", tokens("y").c("c", []int64{12}).n("Add", "t c", "u").c("r2", nil, math.Sqrt2).n("Div", "u r2", "d").n("Erf", "d", "e").n("Add", "e one", "p").n("Mul", "u p", "q").n("Mul", "q half", "b").end(), "MatMul Add Gelu MatMul"},
		{"fuse-gelu", "the scaled x is used elsewhere", tokens("y", "z").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end().n("Relu", "d", "z"), "MatMul Div Gelu MatMul Relu"},
		{"fuse-gelu", "tanh", tokens("y").tanh().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), geluOps},
		{"fuse-gelu", "tanh, factored", tokens("y").c("k", nil, 0.044715).c("s", nil, 0.7978846).n("Mul", "t t", "t2").n("Mul", "k t2", "q").n("Add", "q one", "r").n("Mul", "t r", "v").n("Mul", "v s", "d").n("Tanh", "d", "e").n("Add", "one e", "p").n("Mul", "half t", "h").n("Mul", "h p", "b").end(), geluOps},
		{"fuse-gelu", "tanh, by Pow", tokens("y").c("k", nil, 0.044715).c("s", nil, 0.7978846).n("Pow", "t three", "t3").n("Mul", "k t3", "q").n("Add", "q t", "r").n("Mul", "r s", "d").n("Tanh", "d", "e").n("Add", "one e", "p").n("Mul", "p half", "h").n("Mul", "h t", "b").end(), geluOps},

		{"fuse-gelu", "another root", tokens("y").c("r2", nil, 1.5).n("Div", "t r2", "d").n("Erf", "d", "e").n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), "MatMul Div Erf Add Mul Mul MatMul"},
		{"fuse-gelu", "another sum", tokens("y").erf().n("Add", "e two", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), "MatMul Div Erf Add Mul Mul MatMul"},
		{"fuse-gelu", "not halved", tokens("y").erf().n("Add", "e one", "p").n("Mul", "t p", "b").end(), "MatMul Div Erf Add Mul MatMul"},
		{"fuse-gelu", "of another tensor", tokens("y").erf().n("Relu", "t", "u").n("Add", "e one", "p").n("Mul", "u p", "q").n("Mul", "q half", "b").end(), "MatMul Div Erf Relu Add Mul Mul MatMul"},
		{"fuse-gelu", "the Erf is used elsewhere", tokens("y", "z").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end().n("Relu", "e", "z"), "MatMul Div Erf Add Mul Mul MatMul Relu"},
		{"fuse-gelu", "the sum is an output", tokens("y", "p").erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end(), "MatMul Div Erf Add Mul Mul MatMul"},
		{"fuse-gelu", "the constant widens it", tokens("y").erf().c("o", []int64{1, 1, 1, 1, 1}, 1).n("Add", "e o", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").n("Relu", "b", "y"), "MatMul Div Erf Add Mul Mul Relu"},
		{"fuse-gelu", "a constant for each channel", tokens("y").c("h", []int64{12}, 0.5, 0.25).erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q h", "b").end(), "MatMul Div Erf Add Mul Mul MatMul"},
		{"fuse-gelu", "tanh with another cube", tokens("y").c("k", nil, 0.05).c("s", nil, 0.7978846).n("Pow", "t three", "t3").n("Mul", "k t3", "q").n("Add", "q t", "r").n("Mul", "r s", "d").n("Tanh", "d", "e").n("Add", "one e", "p").n("Mul", "p half", "h").n("Mul", "h t", "b").end(), "MatMul Pow Mul Add Mul Tanh Add Mul Mul MatMul"},

		{"fuse-activations", "relu6(x + 3)/6", tokens("y").c("z", nil, 0).c("six", nil, 6).n("Add", "t three", "p").n("Clip", "p z six", "e").n("Mul", "t e", "q").n("Div", "q six", "b").end(), hardOps},
		{"fuse-activations", "x/6 in front", tokens("y").c("z", nil, 0).c("six", nil, 6).n("Add", "three t", "p").n("Clip", "p z six", "e").n("Div", "e six", "g").n("Mul", "t g", "b").end(), hardOps},
		{"fuse-activations", "clip(x/6 + ½)", tokens("y").c("z", nil, 0).c("k", nil, 1./6).n("Mul", "t k", "v").n("Add", "v half", "p").n("Clip", "p z one", "e").n("Mul", "e t", "b").end(), hardOps},
		{"fuse-activations", "by HardSigmoid", tokens("y").n("HardSigmoid", "t", "e", onnx.FloatAttr("alpha", 1./6)).n("Mul", "e t", "b").end(), hardOps},
		{"fuse-activations", "HardSigmoid alone", tokens("y").c("z", nil, 0).c("six", nil, 6).n("Add", "t three", "p").n("Clip", "p z six", "e").n("Div", "e six", "b").end(), "MatMul HardSigmoid MatMul"},
		{"fuse-activations", "HardSigmoid of another slope", tokens("y").n("HardSigmoid", "t", "e").n("Mul", "e t", "b").end(), "MatMul HardSigmoid Mul MatMul"},
		{"fuse-activations", "another bound", tokens("y").c("z", nil, 0).c("five", nil, 5).n("Add", "t three", "p").n("Clip", "p z five", "e").n("Mul", "t e", "q").n("Div", "q five", "b").end(), "MatMul Add Clip Mul Div MatMul"},
		{"fuse-mish", "Mish", tokens("y").n("Softplus", "t", "s").n("Tanh", "s", "e").n("Mul", "t e", "b").end(), "MatMul Mish MatMul"},
		{"fuse-mish", "of another tensor", tokens("y").n("Softplus", "t", "s").n("Tanh", "s", "e").n("Mul", "s e", "b").end(), "MatMul Softplus Tanh Mul MatMul"},

		{"fuse-layernorm", "with γ and β", tokens("y").layerNorm("n", []int64{-1}, "Pow", "Sqrt").c("g", []int64{12}).c("o", []int64{12}).n("Mul", "n g", "m").n("Add", "m o", "b").end(), normOps},
		{"fuse-layernorm", "set 18, axes are an input", tokens("y").at(18).ints("ax", -1).c("eps", nil, 1e-5).n("ReduceMean", "t ax", "m").n("Sub", "t m", "d").n("Mul", "d d", "q").n("ReduceMean", "q ax", "v").n("Add", "v eps", "a").n("Sqrt", "a", "s").n("Div", "d s", "b").end(), normOps},
		{"fuse-layernorm", "subtracted twice, γ of one value", tokens("y").layerNorm("n", []int64{2}, "twice", "Reciprocal").n("Mul", "half n", "b").end(), normOps},
		{"fuse-layernorm", "1/s, β alone", tokens("y").layerNorm("n", []int64{-1}, "Mul", "1/s").c("o", []int64{1, 1, 12}).n("Add", "o n", "b").end(), normOps},
		{"fuse-layernorm", "two axes, Pow as the root", tokens("y").layerNorm("n", []int64{1, -1}, "Mul", "Pow").c("g", []int64{6, 12}).n("Mul", "n g", "b").end(), normOps},
		{"fuse-layernorm", "γ is not constant", tokens("y").layerNorm("n", []int64{-1}, "Pow", "Sqrt").n("Relu", "t", "g").n("Mul", "n g", "b").end(), "MatMul LayerNormalization Relu Mul MatMul"},
		{"fuse-layernorm", "γ is along another axis", tokens("y").layerNorm("n", []int64{-1}, "Pow", "Sqrt").c("g", []int64{6, 1}).n("Mul", "n g", "b").end(), "MatMul LayerNormalization Mul MatMul"},
		{"fuse-layernorm", "not the last axis", tokens("y").layerNorm("b", []int64{1}, "Mul", "Sqrt").end(), "MatMul ReduceMean Sub Mul ReduceMean Add Sqrt Div MatMul"},
		{"fuse-layernorm", "the variance is an output", tokens("y", "bv").layerNorm("b", []int64{-1}, "Mul", "Sqrt").end(), "MatMul ReduceMean Sub Mul ReduceMean Add Sqrt Div MatMul"},
		{"fuse-layernorm", "the root is used elsewhere", tokens("y", "z").layerNorm("b", []int64{-1}, "Mul", "Sqrt").end().n("Relu", "bs", "z"), "MatMul ReduceMean Sub Mul ReduceMean Add Sqrt Div MatMul Relu"},
		{"fuse-layernorm", "the mean is used elsewhere", tokens("y", "z").layerNorm("b", []int64{-1}, "Mul", "Sqrt").end().n("Relu", "bm", "z"), "MatMul ReduceMean LayerNormalization MatMul Relu"},
		{"fuse-layernorm", "two means over other axes", tokens("y").c("eps", nil, 1e-5).n("ReduceMean", "t", "m", ints("axes", 1, 2)).n("Sub", "t m", "d").n("Mul", "d d", "q").n("ReduceMean", "q", "v", ints("axes", 2)).n("Add", "v eps", "a").n("Sqrt", "a", "s").n("Div", "d s", "b").end(), "MatMul ReduceMean Sub Mul ReduceMean Add Sqrt Div MatMul"},
		{"fuse-rmsnorm", "with γ", tokens("y").c("eps", nil, 1e-6).n("Pow", "t two", "q").n("ReduceMean", "q", "v", ints("axes", -1)).n("Add", "v eps", "a").n("Sqrt", "a", "s").n("Div", "t s", "n").c("g", []int64{12}).n("Mul", "g n", "b").end(), "MatMul RMSNormalization MatMul"},
		{"fuse-rmsnorm", "by the reciprocal", tokens("y").c("eps", nil, 1e-6).n("Mul", "t t", "q").n("ReduceMean", "q", "v", ints("axes", -1)).n("Add", "v eps", "a").n("Sqrt", "a", "s").n("Reciprocal", "s", "i").n("Mul", "t i", "b").end(), "MatMul RMSNormalization MatMul"},
		{"fuse-rmsnorm", "of a difference", tokens("y").layerNorm("b", []int64{-1}, "Mul", "Sqrt").end(), "MatMul ReduceMean Sub Mul ReduceMean Add Sqrt Div MatMul"},
		{"fuse-rmsnorm", "of another tensor", tokens("y").c("eps", nil, 1e-6).n("Mul", "t t", "q").n("ReduceMean", "q", "v", ints("axes", -1)).n("Add", "v eps", "a").n("Sqrt", "a", "s").n("Relu", "t", "u").n("Div", "u s", "b").end(), "MatMul Mul ReduceMean Add Sqrt Relu Div MatMul"},
		{"fuse-instancenorm", "with γ and β", channelsOf("y").layerNorm("n", []int64{2, 3}, "Pow", "Sqrt").c("g", []int64{4, 1, 1}).c("o", []int64{1, 4, 1, 1}).n("Mul", "n g", "m").n("Add", "m o", "y"), "Conv InstanceNormalization"},
		{"fuse-instancenorm", "plain", channelsOf("y").layerNorm("n", []int64{-1, -2}, "Mul", "Sqrt").n("Relu", "n", "y"), "Conv InstanceNormalization Relu"},
		{"fuse-instancenorm", "one axis of two", channelsOf("y").layerNorm("n", []int64{3}, "Mul", "Sqrt").n("Relu", "n", "y"), "Conv ReduceMean Sub Mul ReduceMean Add Sqrt Div Relu"},
	}
}

// TestRaisingASetKeepsWhatIsComputed has operators of old sets beside a Gelu that needs a new one.
func TestRaisingASetKeepsWhatIsComputed(t *testing.T) {
	p, _ := rewrite.Find("fuse-gelu")
	r := fixture.Runtime(t)
	gelu := func(g *graph) *graph {
		return g.erf().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").end()
	}
	attr := onnx.IntAttr
	for _, c := range []struct {
		what   string
		g      *graph
		opset  int64
		domain string // of the Gelu
	}{
		{"axes as attributes", gelu(tokens("z").at(11)).n("Unsqueeze", "y", "u", ints("axes", 0)).n("Squeeze", "u", "v", ints("axes", 0)).n("ReduceSum", "v", "s", ints("axes", 1)).n("ReduceMax", "s", "z", ints("axes", -1)), 20, ""},
		{"Split, given and even", gelu(tokens("z").at(11)).n("Split", "y", "a1 a2", attr("axis", 2), ints("split", 1, 3)).n("Split", "a2", "c1 c2 c3", attr("axis", 2)).n("Sum", "a1 c1 c2 c3", "z"), 20, ""},
		{"Split of set 13", gelu(tokens("z").at(13)).n("Split", "y", "a1 a2", attr("axis", 2)).n("Sub", "a1 a2", "z"), 20, ""},
		{"Softmax over the last axis, Dropout", gelu(tokens("z").at(11)).n("Softmax", "y", "s", attr("axis", 2)).n("Dropout", "s", "z", onnx.FloatAttr("ratio", 0.3)), 20, ""},
		{"Softmax over several axes", gelu(tokens("z").at(11)).n("Softmax", "y", "z"), 11, "com.microsoft"},
		{"ReduceMean without axes", gelu(tokens("z").at(17)).n("ReduceMean", "y", "z"), 20, ""},
		{"an operator that is not known", gelu(tokens("z").at(17)).n("Celu", "y", "z"), 17, "com.microsoft"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := c.g.model()
			got, changes := apply(t, p, m)
			if len(changes) != 1 || got.Opset() != c.opset {
				t.Fatalf("set %d, %v", got.Opset(), changes)
			}
			for _, n := range got.Graph().GetNode() {
				if n.GetOpType() == "Gelu" && n.GetDomain() != c.domain {
					t.Errorf("domain %q", n.GetDomain())
				}
			}
			near(t, outputs(t, r, m), outputs(t, r, got), 1e-5)
		})
	}
	m := tokens("y").at(13).tanh().n("Add", "e one", "p").n("Mul", "t p", "q").n("Mul", "q half", "b").n("Celu", "b", "y").model()
	got, err := p.Run(m, env(t, m))
	if err != nil || len(got.Changes) != 0 || len(got.Left) != 1 || !strings.Contains(got.Left[0], "Celu") {
		t.Errorf("tanh has no other form: %v, %v, %v", got, err, got.Left)
	}
}

// TestAnySpellingOfAGeluIsFound writes x·½·(1 + erf(x/√2)) in random orders.
func TestAnySpellingOfAGeluIsFound(t *testing.T) {
	p, _ := rewrite.Find("fuse-gelu")
	r := fixture.Runtime(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := tokens("y").c("r2", nil, math.Sqrt2).c("r", nil, math.Sqrt2/2)
		names := 0
		node := func(op, a, b string) string {
			if (op == "Mul" || op == "Add") && rapid.Bool().Draw(rt, "swap") {
				a, b = b, a
			}
			names++
			out := fmt.Sprintf("n%d", names)
			g.n(op, a+" "+b, out)
			return out
		}
		halve := func(a string) string {
			if rapid.Bool().Draw(rt, "div") {
				return node("Div", a, "two")
			}
			return node("Mul", a, "half")
		}
		var u string
		if rapid.Bool().Draw(rt, "root") {
			u = node("Div", "t", "r2")
		} else {
			u = node("Mul", "t", "r")
		}
		g.n("Erf", u, "e")
		x, one, e := "t", "one", "e"
		place := rapid.IntRange(0, 4).Draw(rt, "half")
		switch place {
		case 0:
			x = halve(x)
		case 1:
			one, e = "half", halve(e)
		}
		out := node("Add", e, one)
		if place == 2 {
			out = halve(out)
		}
		out = node("Mul", out, x)
		if place >= 3 {
			out = halve(out)
		}
		g.n("Relu", out, "y")
		m := g.model()
		got, changes := apply(t, p, m)
		if len(changes) != 1 || ops(got) != "MatMul Gelu Relu" {
			rt.Fatalf("%v: %s", changes, ops(got))
		}
		near(t, outputs(t, r, m), outputs(t, r, got), 1e-5)
	})
}

func TestWhatTheHTPRefusesNamesThePassThatHelps(t *testing.T) {
	for op, want := range map[string]string{"Erf": "fuse-gelu", "Conv": ""} {
		if got := rewrite.Helps(op); got != want {
			t.Errorf("%s: %q, want %q", op, got, want)
		}
	}
	for _, op := range rewrite.Helped() {
		if _, err := rewrite.Find(rewrite.Helps(op)); err != nil {
			t.Error(err)
		}
	}
}
