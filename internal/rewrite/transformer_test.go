package rewrite_test

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
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
	// einsum multiplies two tensors of known shapes, the second a constant if it is called w.
	einsum := func(equation string, a, b []int64, second string) *graph {
		g := &graph{input: []int64{1 << 7}, output: []string{"y"}}
		total := func(shape []int64) int64 { n, _ := tensor.Count(shape); return int64(n) }
		g.ints("sa", a...).ints("sb", b...).ints("zero", 0).ints("na", total(a)).ints("nb", total(b))
		g.n("Slice", "x zero na", "xa").n("Reshape", "xa sa", "a")
		switch second {
		case "w":
			g.c("w", b)
		case "b":
			g.n("Slice", "x zero nb", "xb").n("Reshape", "xb sb", "b")
		}
		return g.n("Einsum", "a "+second, "y", &onnxpb.AttributeProto{Name: proto.String("equation"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(equation)})
	}
	for _, c := range []struct {
		equation string
		a, b     []int64
		second   string
		after    string // behind the operands
	}{
		{"ij,jk->ik", []int64{3, 4}, []int64{4, 5}, "b", "MatMul"},
		{"bhqd,bhkd->bhqk", []int64{2, 2, 3, 4}, []int64{2, 2, 5, 4}, "b", "Transpose MatMul"},
		{"bqhd,bkhd->bhqk", []int64{2, 3, 2, 4}, []int64{2, 5, 2, 4}, "b", "Transpose Transpose MatMul"},
		{"bhqk,bkhd->bqhd", []int64{2, 2, 3, 4}, []int64{2, 4, 2, 5}, "b", "Transpose MatMul Transpose"},
		{"bchq,bkhc->bkhq", []int64{2, 3, 2, 4}, []int64{2, 5, 2, 3}, "b", "Transpose Transpose MatMul Transpose"},
		{"bchw,bkc->bkhw", []int64{2, 3, 2, 4}, []int64{2, 5, 3}, "b", "Reshape MatMul Reshape"},
		{"bthd,hde->bte", []int64{2, 3, 2, 4}, []int64{2, 4, 5}, "w", "Reshape MatMul"},
		{"btk,khd->bthd", []int64{2, 3, 4}, []int64{4, 2, 5}, "w", "MatMul Reshape"},
		{"bchw,kc->bkhw", []int64{2, 3, 2, 4}, []int64{5, 3}, "w", "Transpose MatMul Transpose"},
		{"i , j i -> j", []int64{4}, []int64{3, 4}, "b", "Reshape MatMul Reshape"},
		{"i,i->", []int64{4}, []int64{4}, "b", "Reshape Reshape MatMul Reshape"},
		{"ij,jk", []int64{3, 4}, []int64{4, 5}, "b", "MatMul"},
		{"ba,cb", []int64{3, 4}, []int64{5, 3}, "b", "Transpose Transpose MatMul"},
		{"...ij,...jk->...ik", []int64{2, 2, 3, 4}, []int64{2, 2, 4, 5}, "b", "MatMul"},
		{"...ij,jk->...ik", []int64{2, 3, 4}, []int64{4, 5}, "w", "MatMul"},
		{"abcdij,abcdjk->abcdik", []int64{2, 1, 2, 2, 2, 3}, []int64{2, 1, 2, 2, 3, 2}, "b", "Reshape Reshape MatMul Reshape"},
		{"ij->ji", []int64{3, 4}, []int64{1}, "", "Transpose"},
		{"ij,ij->ij", []int64{3, 4}, []int64{3, 4}, "b", "Einsum"},
		{"ij,jk->i", []int64{3, 4}, []int64{4, 5}, "b", "Einsum"},
		{"ii,ij->j", []int64{3, 3}, []int64{3, 5}, "b", "Einsum"},
		{"ij->i", []int64{3, 4}, []int64{1}, "", "Einsum"},
		{"ij,jk->ik", []int64{3, 1}, []int64{4, 5}, "b", "Einsum"},
	} {
		operands := "Slice Reshape "
		if c.second == "b" {
			operands += operands
		}
		list = append(list, passCase{"einsum-to-matmul", c.equation + " " + c.second, einsum(c.equation, c.a, c.b, c.second), operands + c.after})
	}
	norm := func(beta ...float32) *graph {
		return picture("y").c("w", []int64{4, 3, 3, 3}).c("b", []int64{4}).c("g", []int64{3}).c("bt", []int64{3}, beta...).c("m", []int64{3}, 0.5, -1, 2).c("v", []int64{3}, 0.5, 2).n("BatchNormalization", "x g bt m v", "t")
	}
	list = append(list,
		passCase{"fuse-mul-add-before-conv", "BatchNormalization, not padded", norm(1, 2, 3).n("Conv", "t w b", "y"), "Conv"},
		passCase{"fuse-mul-add-before-conv", "BatchNormalization and Mul, strided", norm().c("k", []int64{1}, 3).n("Mul", "t k", "u").n("Conv", "u w", "y", ints("strides", 2, 2)), "Conv"},
		passCase{"fuse-mul-add-before-conv", "BatchNormalization, padded", norm(1, 2, 3).n("Conv", "t w", "y", ints("pads", 1, 1, 1, 1)), "BatchNormalization Conv"},
		passCase{"fuse-mul-add-before-conv", "BatchNormalization without a shift, padded", picture("y").c("w", []int64{4, 3, 3, 3}).c("g", []int64{3}).c("z", []int64{3}, 0).c("v", []int64{3}, 0.5, 2).n("BatchNormalization", "x g z z v", "t").n("Conv", "t w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
		passCase{"fuse-mul-add-before-conv", "BatchNormalization with a second consumer", norm().n("Conv", "t w", "u").n("ReduceMean", "t", "r", ints("axes", 2, 3)).n("Conv", "r o", "q").c("o", []int64{4, 3, 1, 1}).n("Mul", "u q", "y"), "BatchNormalization Conv ReduceMean Conv Mul"},
	)
	crd := func(g *graph, in string, size int64) *graph {
		return g.n("DepthToSpace", in, "y", onnx.IntAttr("blocksize", size), &onnxpb.AttributeProto{Name: proto.String("mode"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte("CRD")})
	}
	shuffle := func(outputs ...string) *graph {
		return picture(outputs...).c("w", []int64{18, 3, 3, 3}).c("b", []int64{18}).n("Conv", "x w b", "t")
	}
	list = append(list,
		passCase{"depth-to-space-order", "Conv, Relu, Clip", crd(shuffle("y").c("lo", []int64{}, -1).n("Relu", "t", "r").n("Clip", "r lo", "q"), "q", 3), "Conv Relu Clip DepthToSpace"},
		passCase{"depth-to-space-order", "two Convs and a shared weight", crd(shuffle("y").n("Conv", "x w", "u").c("k", []int64{1}, 3).n("Mul", "u k", "v").n("Add", "t v", "q"), "q", 3), "Conv Conv Mul Add DepthToSpace"},
		passCase{"depth-to-space-order", "a block size of 2", crd(picture("y").c("w", []int64{8, 3, 3, 3}).n("Conv", "x w", "t"), "t", 2), "Conv DepthToSpace"},
		passCase{"depth-to-space-order", "a second consumer", crd(shuffle("y", "z").n("Relu", "t", "z"), "t", 3), "Conv Relu DepthToSpace"},
		passCase{"depth-to-space-order", "an output between", crd(shuffle("y", "t"), "t", 3), "Conv DepthToSpace"},
		passCase{"depth-to-space-order", "groups", crd(picture("y").c("w", []int64{18, 1, 3, 3}).n("Conv", "x w", "t", onnx.IntAttr("group", 3)), "t", 3), "Conv DepthToSpace"},
		passCase{"depth-to-space-order", "a Softmax between", crd(shuffle("y").n("Softmax", "t", "q", onnx.IntAttr("axis", 1)), "q", 3), "Conv Softmax DepthToSpace"},
		passCase{"depth-to-space-order", "a constant per channel", crd(shuffle("y").c("k", []int64{18, 1, 1}).n("Mul", "t k", "q"), "q", 3), "Conv Mul DepthToSpace"},
	)
	return list
}
