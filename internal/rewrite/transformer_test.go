package rewrite_test

import (
	"strings"

	"quantcheck/internal/onnx"
)

// line begins a graph that reads x [2,6,5].
func line(outputs ...string) *graph { return &graph{input: []int64{2, 6, 5}, output: outputs} }

// scalar adds an integer without axes.
func (g *graph) scalar(name string, v int64) *graph {
	g.ints(name, v)
	g.inits[len(g.inits)-1].Dims = nil
	return g
}

// parts takes the parts of t along an axis, by Gather or by Split and Squeeze, and puts a Relu behind each.
func (g *graph) parts(by string, axis int64, names ...string) *graph {
	if by == "Gather" {
		for k, name := range names {
			g.scalar("i"+name, int64(k)).n("Gather", "t i"+name, name+"p", onnx.IntAttr("axis", axis)).n("Relu", name+"p", name)
		}
		return g
	}
	g.n("Split", "t", strings.Join(names, "s ")+"s", onnx.IntAttr("axis", axis)).ints("ax", axis)
	for _, name := range names {
		g.n("Squeeze", name+"s ax", name+"p").n("Relu", name+"p", name)
	}
	return g
}

func transformerCases() []passCase {
	// qkv multiplies x by w with 3·2·2 columns and moves the axis of the parts, which stands at a place of the Reshape, to the front.
	qkv := func(g *graph, place int, bias string) *graph {
		g.c("w", []int64{5, 12})
		switch bias {
		case "":
			g.n("MatMul", "x w", "u")
		case "first":
			g.c("b", []int64{12}).n("MatMul", "x w", "m").n("Add", "b m", "u")
		default:
			g.c("b", []int64{1, 1, 12}).n("MatMul", "x w", "m").n("Add", "m b", "u")
		}
		shape, perm := []int64{2, 6, 2, 2}, []int64{0, 2, 1, 3}
		shape = append(shape[:place:place], append([]int64{3}, shape[place:]...)...)
		order := []int64{int64(place)}
		for _, d := range perm {
			if d >= int64(place) {
				d++
			}
			order = append(order, d)
		}
		return g.ints("s", shape...).n("Reshape", "u s", "r").n("Transpose", "r", "t", ints("perm", order...))
	}
	three := func(first string) string {
		return strings.Repeat(first+" Reshape Transpose Relu ", 2) + first + " Reshape Transpose Relu"
	}
	list := []passCase{
		{"split-qkv", "Gather", qkv(line("q", "k", "v"), 2, "").parts("Gather", 0, "q", "k", "v"), three("MatMul")},
		{"split-qkv", "Gather, a bias, the parts within the heads", qkv(line("q", "k", "v"), 3, "last").parts("Gather", 0, "q", "k", "v"), three("MatMul Add")},
		{"split-qkv", "Gather, the parts are the last axis", qkv(line("q", "k", "v"), 4, "first").parts("Gather", 0, "q", "k", "v"), three("MatMul Add")},
		{"split-qkv", "some of the parts", qkv(line("q", "k"), 2, "").parts("Gather", 0, "q", "k"), "MatMul Reshape Transpose Relu MatMul Reshape Transpose Relu"},
		{"split-qkv", "Gemm, no Transpose", line("q", "k", "v").c("w", []int64{12, 5}).c("b", []int64{12}).ints("f", 12, 5).ints("s", 2, 6, 3, 4).
			n("Reshape", "x f", "y").n("Gemm", "y w b", "u", onnx.IntAttr("transB", 1)).n("Reshape", "u s", "t").parts("Gather", 2, "q", "k", "v"), "Reshape Gemm Reshape Relu Gemm Reshape Relu Gemm Reshape Relu"},
		{"split-qkv", "a part is taken with an axis", qkv(line("q"), 2, "").ints("i", 0).n("Gather", "t i", "g", onnx.IntAttr("axis", 0)).n("Relu", "g", "q"), "MatMul Reshape Transpose Gather Relu"},
		{"split-qkv", "the whole is taken too", qkv(line("q", "all"), 2, "").parts("Gather", 0, "q").n("Relu", "t", "all"), "MatMul Reshape Transpose Gather Relu Relu"},
		{"split-qkv", "the whole is an output", qkv(line("q", "t"), 2, "").parts("Gather", 0, "q"), "MatMul Reshape Transpose Gather Relu"},
		{"split-qkv", "the weight is shared", qkv(line("q", "z"), 2, "").parts("Gather", 0, "q").n("MatMul", "x w", "z"), "MatMul Reshape Transpose Gather Relu MatMul"},
		{"split-qkv", "the product is read twice", qkv(line("q", "z"), 2, "").parts("Gather", 0, "q").n("Relu", "u", "z"), "MatMul Reshape Transpose Gather Relu Relu"},
		{"split-qkv", "an axis of tokens is taken apart", line("q", "k").c("w", []int64{5, 4}).ints("s", 2, 2, 3, 4).n("MatMul", "x w", "u").n("Reshape", "u s", "t").parts("Gather", 1, "q", "k"), "MatMul Reshape Gather Relu Gather Relu"},
	}
	for _, c := range []struct {
		what  string
		model *graph
		after string
	}{
		{"Split and Squeeze", qkv(line("q", "k", "v"), 2, "first").parts("Split", 0, "q", "k", "v"), three("MatMul Add")},
		{"Split in parts of two", qkv(line("q"), 2, "").ints("two", 1, 2).n("Split", "t two", "a b", onnx.IntAttr("axis", 0)).ints("ax", 0).n("Squeeze", "a ax", "p").n("Relu", "p", "q"), "MatMul Reshape Transpose Split Squeeze Relu"},
	} {
		list = append(list, passCase{"split-qkv", c.what, c.model, c.after})
	}
	return list
}
