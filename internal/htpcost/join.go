package htpcost

import (
	"cmp"
	"fmt"
	"slices"
)

// partBit is where the number of the part stands in the operators' numbers of a joined estimate.
const partBit = 24

// Join puts the estimates of graphs that run one after the other together. What lies between them is in none of it; a note
// says so. Of one estimate it is that estimate.
func Join(parts []*Estimate) *Estimate {
	if len(parts) == 1 {
		return parts[0]
	}
	all := &Estimate{Timeline: &Timeline{}}
	at, step := int64(0), 0
	for i, p := range parts {
		if i == 0 {
			all.SoC, all.Base, all.Timeline.Threads, all.Timeline.Settings = p.SoC, p.Base, p.Timeline.Threads, p.Timeline.Settings
		}
		rows, sums := p.rows(), all.rows()
		for k := range rows {
			*sums[k].to += *rows[k].to
		}
		number := func(node uint32) uint32 {
			if node == inputNode || node == outputNode || node == 0 {
				return node
			}
			return node + uint32(i)<<partBit
		}
		for _, l := range p.Layers {
			l.Node = number(l.Node)
			k := slices.IndexFunc(all.Layers, func(o Layer) bool { return o.Kind == l.Kind && l.Kind != Operator })
			if k < 0 {
				all.Layers = append(all.Layers, l)
				continue
			}
			all.Layers[k].Events += l.Events
			all.Layers[k].add(l.Work)
		}
		most := step
		for _, e := range p.Timeline.Events {
			e.ID = e.ID&^0xffffffff | uint64(number(e.Node()))
			e.Start += at
			e.Step += step
			most = max(most, e.Step)
			all.Timeline.Events = append(all.Timeline.Events, e)
		}
		step = most + 1
		for _, l := range p.Timeline.VTCM {
			all.Timeline.VTCM = append(all.Timeline.VTCM, Level{l.At + at, l.Bytes})
		}
		at += p.Timeline.Cycles
		for _, n := range p.Notes {
			all.Notes = append(all.Notes, fmt.Sprintf("part %d: %s", i+1, n))
		}
	}
	all.Timeline.Cycles = at
	for i := range all.Layers {
		all.Layers[i].Share = all.Layers[i].Cycles / float64(max(at, 1))
	}
	slices.SortStableFunc(all.Layers, func(a, b Layer) int { return cmp.Compare(place(a.Kind), place(b.Kind)) })
	all.Notes = append(all.Notes, fmt.Sprintf("%d graphs were estimated, each alone; what runs between them is not in it", len(parts)))
	return all
}

// place is where layers of a kind stand in a list.
func place(k Kind) int { return slices.Index([]Kind{Input, Operator, Output, Idle}, k) }

// add sums work up, but for the share.
func (w *Work) add(o Work) {
	w.Cycles += o.Cycles
	w.HMX += o.HMX
	w.HVX += o.HVX
	w.DMA += o.DMA
	w.Scalar += o.Scalar
	w.DRAMBytes += o.DRAMBytes
}

// Names gives the layers' names by the operators' numbers, as Chrome takes them.
func (e *Estimate) Names() map[uint32]string {
	names := map[uint32]string{}
	for _, l := range e.Layers {
		if l.Kind == Operator && l.Name != "" {
			names[l.Node] = l.Name
		}
	}
	return names
}

// Peak is how many 8-bit multiply-adds the chip's HMX can do in a cycle. Of the HTP architecture 73 it is 2^14, from the 48 TOPS
// that are published of the RVC4's DSP (two operations each, at 1,497.6 MHz: 16,026). ok is false where it is not known.
func (s SoC) Peak() (macs int64, ok bool) {
	if s.Model == 77 || s.Model == 52 {
		return 1 << 14, true
	}
	return 0, false
}
