package labels

import "quantcheck/internal/resume"

// Code writes or reads the problems, in their order.
func (p *Problems) Code(c *resume.Coder) {
	resume.Slice(c, &p.order, func(kind *string) {
		c.String(kind)
		n, first := p.counts[*kind], p.first[*kind]
		c.Int(&n)
		resume.Slice(c, &first, c.String)
		if !c.Reading() {
			return
		}
		if p.counts == nil {
			p.counts, p.first = map[string]int{}, map[string][]string{}
		}
		p.counts[*kind], p.first[*kind] = n, first
	})
}
