package cpu

import (
	"math/rand/v2"
	"slices"
	"testing"

	"quantcheck/internal/onnxruntime"
)

// marked is a list of pieces as one mark for each place, the plainest form of it.
func marked(l pieces, n int) []bool {
	marks := make([]bool, n)
	for _, x := range l {
		for i := x.from; i < x.to; i++ {
			marks[i] = true
		}
	}
	return marks
}

func TestPiecesAreThosePlacesThatWereAdded(t *testing.T) {
	t.Parallel()
	const n = 40
	rng := rand.New(rand.NewPCG(1, 0))
	var list pieces
	want := make([]bool, n)
	for step := range 20000 {
		from := rng.IntN(n)
		p := piece{from, from + 1 + rng.IntN(n-from)}
		if add := rng.IntN(2) == 0; !add {
			list = list.without(p)
			for i := p.from; i < p.to; i++ {
				want[i] = false
			}
		} else if !slices.Contains(want[p.from:p.to], true) {
			list = list.with(p)
			for i := p.from; i < p.to; i++ {
				want[i] = true
			}
		}
		if !slices.Equal(marked(list, n), want) {
			t.Fatalf("step %d: %v, want %v", step, list, want)
		}
		for i := 1; i < len(list); i++ {
			if list[i-1].to >= list[i].from {
				t.Fatalf("step %d: %v touch", step, list)
			}
		}
	}
}

func TestAPoolLendsWarmPagesFirstAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	var freed pieces
	p := newPool(make([]byte, 16*page), 4*page, func(from, n int) { freed = freed.with(piece{from, from + n}) })
	place := func(memory []byte) int {
		at, _ := onnxruntime.Offset(p.memory, memory)
		return at
	}
	a, b, c := p.Take(3*page), p.Take(2*page), p.Take(page)
	if place(a) != 0 || place(b) != 3*page || place(c) != 5*page || p.Held() != 6*page {
		t.Fatalf("taken at %d, %d, %d, %d held", place(a), place(b), place(c), p.Held())
	}
	p.Drop(b)
	if len(freed) > 0 {
		t.Errorf("%v is given back although the pool may keep it", freed)
	}
	if d := p.Take(page); place(d) != 3*page {
		t.Errorf("a page is taken at %d where pages are idle at %d", place(d), 3*page)
	}
	p.Drop(a) // four idle pages: 0, 1, 2, 4
	if len(freed) > 0 {
		t.Errorf("%v is given back although the pool may keep it", freed)
	}
	p.Drop(c) // a fifth one: two stay, the lowest
	if freed.bytes() != 3*page || !slices.Equal(p.warm, pieces{{0, 2 * page}}) {
		t.Errorf("%v is given back, %v stays", freed, p.warm)
	}
	p.Trim()
	if freed.bytes() != 5*page || len(p.warm) > 0 || p.Held() != page {
		t.Errorf("%v is given back, %v stays, %d held", freed, p.warm, p.Held())
	}
	if p.Take(13*page) != nil || p.Take(12*page) == nil {
		t.Error("of 16 pages, of which one is taken, those in one piece can be taken")
	}
}
