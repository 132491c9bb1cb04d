package cure

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

func TestTheKernelsEqualTheOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ rows, na, nb int }{{0, 3, 3}, {1, 1, 1}, {3, 9, 9}, {256, 8, 16}, {257, 5, 17}, {700, 33, 47}, {513, 64, 64}} {
		a, b := make([]float32, c.rows*c.na), make([]float32, c.rows*c.nb)
		for i := range a {
			a[i] = float32(rng.NormFloat64())
		}
		for i := range b {
			b[i] = float32(rng.NormFloat64())
		}
		got, want := make([]float64, c.na*c.nb), make([]float64, c.na*c.nb)
		for i := range got {
			got[i] = float64(i)
			want[i] = float64(i)
		}
		addProduct(got, a, c.na, b, c.nb)
		addProductExact(want, a, c.na, b, c.nb)
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-4*math.Sqrt(float64(c.rows+1)) {
				t.Errorf("%+v: element %d is %g, want %g", c, i, got[i], want[i])
				break
			}
		}
	}
	for _, c := range []struct{ rows, n int }{{0, 4}, {5, 1}, {9, 9}, {300, 17}, {513, 70}} {
		a := make([]float32, c.rows*c.n)
		for i := range a {
			a[i] = float32(rng.NormFloat64())
		}
		got, want := make([]float64, c.n*c.n), make([]float64, c.n*c.n)
		addSquare(got, a, c.n)
		addSquareExact(want, a, c.n)
		for i := range c.n {
			for j := i; j < c.n; j++ {
				if math.Abs(got[i*c.n+j]-want[i*c.n+j]) > 1e-4*math.Sqrt(float64(c.rows+1)) {
					t.Fatalf("square %+v: %d, %d is %g, want %g", c, i, j, got[i*c.n+j], want[i*c.n+j])
				}
			}
		}
	}
	for n := range 70 {
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = rng.NormFloat64(), rng.NormFloat64()
		}
		if got, want := dot(x, y), dotExact(x, y); math.Abs(got-want) > 1e-12*float64(n+1) {
			t.Errorf("a dot of %d is %g, want %g", n, got, want)
		}
		want := append([]float64{}, y...)
		addScaledExact(want, 0.3, x)
		addScaled(y, 0.3, x)
		for i := range y {
			if math.Abs(y[i]-want[i]) > 1e-14 {
				t.Errorf("of %d, element %d is %g, want %g", n, i, y[i], want[i])
			}
		}
	}
}

func TestAFactoredMatrixSolves(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 17, 40} {
		a := make([]float64, n*n)
		for i := range a {
			a[i] = rng.NormFloat64()
		}
		s, x, b := make([]float64, n*n), make([]float64, n), make([]float64, n)
		for i := range n {
			x[i] = rng.NormFloat64()
			for j := range n {
				s[i*n+j] = dot(a[i*n:(i+1)*n], a[j*n:(j+1)*n])
			}
		}
		for i := range n {
			b[i] = dot(s[i*n:(i+1)*n], x) + 0.5*x[i]
		}
		f, ok := cholesky(context.Background(), s, n, 0.5)
		if !ok {
			t.Fatalf("%d rows are not positive definite", n)
		}
		f.solve(b)
		for i := range x {
			if math.Abs(b[i]-x[i]) > 1e-8 {
				t.Errorf("of %d, x[%d] is %g, want %g", n, i, b[i], x[i])
			}
		}
	}
	if _, ok := cholesky(context.Background(), []float64{1, 2, 2, 1}, 2, 0); ok {
		t.Error("an indefinite matrix was factored")
	}
	if _, ok := cholesky(context.Background(), []float64{math.NaN()}, 1, 0); ok {
		t.Error("NaN was factored")
	}
}

func TestPositionsThatAreNotFiniteAreLeftOut(t *testing.T) {
	m := NewMoments(2, 1, 1)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	m.Add(0, []float32{1, 2, nan, 1, 3, 4, 1, inf, 5, 6}, []float32{1, 2, 3, 4, nan})
	if st := m.but(-1, false); st.n != 2 || st.mx[0] != 2 || st.mx[1] != 3 || st.my[0] != 2 {
		t.Errorf("%+v", st)
	}
}

func BenchmarkAddProduct(b *testing.B) {
	const rows, k = 256, 256
	x := make([]float32, rows*k)
	for i := range x {
		x[i] = float32(i%17) - 8
	}
	sum := make([]float64, k*k)
	for _, f := range []struct {
		name string
		f    func([]float64, []float32, int, []float32, int)
	}{{"kernel", addProduct}, {"oracle", addProductExact}} {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(rows * k * k) // multiply-adds
			for b.Loop() {
				f.f(sum, x, k, x, k)
			}
		})
	}
}
