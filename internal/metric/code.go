package metric

import "quantcheck/internal/resume"

// Code writes or reads the value, every bit of it.
func (v *Value) Code(c *resume.Coder) {
	c.Bool(&v.OK)
	if v.OK {
		c.Float64(&v.V)
	}
}

// Code writes or reads the values, every bit of them.
func (v *Values) Code(c *resume.Coder) {
	var there uint16
	for i := range v {
		if v[i].OK {
			there |= 1 << i
		}
	}
	c.Uint16(&there)
	c.Need(there < 1<<Count, "a metric that does not exist")
	for i := range v {
		if v[i].OK = there>>i&1 == 1; v[i].OK {
			c.Float64(&v[i].V)
		}
	}
}
