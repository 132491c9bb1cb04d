package cpu

import "slices"

// piece is a part of a memory: its bytes from `from` up to `to`.
type piece struct{ from, to int }

// pieces are parts of a memory by place; no two touch.
type pieces []piece

// find gives the place of the first piece with room for so many bytes.
func (l pieces) find(size int) (from int, ok bool) {
	i := slices.IndexFunc(l, func(x piece) bool { return x.to-x.from >= size })
	if i < 0 {
		return 0, false
	}
	return l[i].from, true
}

func (l pieces) bytes() int {
	sum := 0
	for _, x := range l {
		sum += x.to - x.from
	}
	return sum
}

// with adds a piece, of which nothing is in the list yet.
func (l pieces) with(p piece) pieces {
	i, _ := slices.BinarySearchFunc(l, p.from, func(x piece, at int) int { return x.from - at })
	from, to := i, i
	if i > 0 && l[i-1].to == p.from {
		from, p.from = i-1, l[i-1].from
	}
	if i < len(l) && l[i].from == p.to {
		to, p.to = i+1, l[i].to
	}
	return slices.Replace(l, from, to, p)
}

// without takes out what the list has of a piece.
func (l pieces) without(p piece) pieces {
	from := slices.IndexFunc(l, func(x piece) bool { return x.to > p.from })
	if from < 0 {
		return l
	}
	var rest []piece
	to := from
	for ; to < len(l) && l[to].from < p.to; to++ {
		if x := l[to]; x.from < p.from {
			rest = append(rest, piece{x.from, p.from})
		}
		if x := l[to]; x.to > p.to {
			rest = append(rest, piece{p.to, x.to})
		}
	}
	return slices.Replace(l, from, to, rest...)
}
