package rewrite_test

import (
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/rewrite"
)

// Products of one weight take one kernel; where only what never costs is wanted they stay.
func TestProductsShareTheirKernel(t *testing.T) {
	r := fixture.Runtime(t)
	p, err := rewrite.Find("matmul-to-conv")
	if err != nil {
		t.Fatal(err)
	}
	g := picture("y").ints("s", 1, 24, 10).c("w", []int64{10, 10}).n("Reshape", "x s", "f").n("MatMul", "f w", "a").n("MatMul", "a w", "b").n("MatMul", "b w", "y")
	m := g.model()
	after, changes := apply(t, p, m)
	kernels := 0
	for _, c := range after.Graph().GetInitializer() {
		if len(c.GetDims()) == 4 {
			kernels++
		}
	}
	if len(changes) != 3 || kernels != 1 {
		t.Errorf("%v, %d kernels", changes, kernels)
	}
	near(t, outputs(t, r, m), outputs(t, r, after), p.Tolerance)
	table := picture("y", "z").ints("s", 1, 24, 10).ints("i", 0, 1).c("w", []int64{10, 5}).n("Reshape", "x s", "f").n("MatMul", "f w", "y").n("Gather", "w i", "z").model()
	around := env(t, table)
	around.Asked = false
	if done, err := p.Run(table, around); err != nil || len(done.Changes) > 0 || len(done.Left) != 1 {
		t.Errorf("a table's weights were copied: %v %v %v", err, done.Changes, done.Left)
	}
	for _, name := range []string{"matmul-to-conv", "uniform-stride", "div-to-mul"} {
		p, err := rewrite.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		m := m
		if name == "uniform-stride" {
			m = picture("y").c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "y", ints("strides", 1, 2)).model()
		}
		if name == "div-to-mul" { // HardSwish
			m = picture("y").c("three", []int64{1}, 3).c("six", []int64{1}, 6).c("lo", nil, 0).c("hi", nil, 6).n("Add", "x three", "a").n("Clip", "a lo hi", "c").n("Mul", "x c", "m").n("Div", "m six", "y").model()
		}
		env := env(t, m)
		env.Asked = false
		for _, sure := range []bool{true, false} {
			env.Sure = sure
			if done, err := p.Run(m, env); err != nil || (len(done.Changes) > 0) == sure || sure && len(done.Left) == 0 {
				t.Errorf("%s, sure %v: %v %v %v", name, sure, err, done.Changes, done.Left)
			}
		}
		env.Sure, env.Asked = true, true
		if done, err := p.Run(m, env); err != nil || len(done.Changes) == 0 {
			t.Errorf("%s, asked for: %v %v", name, err, done.Left)
		}
	}
}
