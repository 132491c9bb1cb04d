package coco

import (
	"cmp"
	"math"
	"slices"
)

// sorter sorts detections by falling score, ties by image and then as they were: in passes over eight bits of the score each,
// least first, those left out that all scores share. Its slices are used again.
type sorter struct {
	keys, spare []sortKey
	list        []ranked
}

type sortKey struct {
	key uint64
	at  int32 // in the list that is sorted
}

const fewToSort = 200 // that a comparing sort is faster for

// falling maps scores to integers that ascend while scores fall. Both zeros are one.
func falling(score float64) uint64 {
	b := math.Float64bits(score + 0)
	if b>>63 != 0 {
		return b
	}
	return ^b &^ (1 << 63)
}

// sort gives the list in order and takes the old one for itself. It uses the ranks for its own purpose.
func (s *sorter) sort(list []ranked) []ranked {
	for i := range list {
		list[i].rank = int32(i)
	}
	byImage := func(a, b ranked) int { return cmp.Or(int(a.image-b.image), int(a.rank-b.rank)) }
	if len(list) < fewToSort {
		slices.SortFunc(list, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), byImage(a, b)) })
		return list
	}
	if !slices.IsSortedFunc(list, byImage) {
		slices.SortFunc(list, byImage)
	}
	n := len(list)
	s.keys, s.spare = slices.Grow(s.keys[:0], n)[:n], slices.Grow(s.spare[:0], n)[:n]
	var counts [8][256]int32
	for i := range list {
		k := falling(list[i].score)
		s.keys[i] = sortKey{k, int32(i)}
		for d := range counts {
			counts[d][byte(k>>(8*d))]++
		}
	}
	for d := range counts {
		count := &counts[d]
		if count[byte(s.keys[0].key>>(8*d))] == int32(n) {
			continue
		}
		sum := int32(0)
		for b, c := range count {
			count[b], sum = sum, sum+c
		}
		for _, k := range s.keys {
			at := &count[byte(k.key>>(8*d))]
			s.spare[*at] = k
			*at++
		}
		s.keys, s.spare = s.spare, s.keys
	}
	sorted := slices.Grow(s.list[:0], n)[:n]
	for i, k := range s.keys {
		sorted[i] = list[k.at]
	}
	s.list = list
	return sorted
}
