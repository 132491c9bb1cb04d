package eval

import (
	"encoding/json"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/verdict"
)

// needOutput refuses a state that reads another model: one of an output that the model does not have.
func needOutput(c *resume.Coder, output, outputs int) {
	c.Need(output >= 0 && output < max(outputs, 1), "an output that the model does not have")
}

// Code implements Scorer.
func (d *Distance) Code(c *resume.Coder, outputs int) {
	resume.Slice(c, &d.names, c.String)
	c.Need(d.names == nil || len(d.names) == outputs, "distances of other outputs")
	resume.Each(c, d.sums, func(s *sums) {
		resume.Slice(c, &s.sqnr, c.Float64)
		resume.Slice(c, &s.cos, c.Float64)
		resume.Slice(c, &s.count, c.Int)
		resume.Slice(c, &s.infinite, c.Int)
		resume.Slice(c, &s.parts, func(p *verdict.Sums) { p.Code(c) })
		n := len(d.names)
		c.Need(len(s.sqnr) == n && len(s.cos) == n && len(s.count) == n && len(s.infinite) == n && len(s.parts) == n, "sums of other outputs")
	})
	codePictures(c, &d.shown, len(d.sums))
	resume.Each(c, d.lost, c.Int)
}

// Code implements Scorer.
func (b *Boxes) Code(c *resume.Coder, _ int) {
	decoder := ""
	if b.decoder != nil {
		decoder = b.decoder.Name
	}
	c.String(&decoder)
	if c.Reading() && decoder != "" && c.Err() == nil {
		d, err := decode.Lookup(decoder)
		if err != nil {
			c.Fail("%w", err)
			return
		}
		b.decoder = &d
	}
	c.String(&b.why)
	codeSettings(c, &b.settled)
	if c.Reading() && b.decoder != nil && c.Err() == nil {
		if err := b.settled.Check(); err != nil {
			c.Fail("settings of the decoder: %w", err)
		}
	}
	if c.Reading() && b.decoder != nil && c.Err() == nil {
		a, err := b.assign(b.settled.Classes) // its problems are among those of the state
		if err != nil {
			c.Fail("categories: %w", err)
			return
		}
		b.assigned = a
	}
	ids := map[int64]bool{}
	for _, one := range b.data.Set.Categories {
		ids[one.ID] = true
	}
	resume.Each(c, b.models, func(m *boxesOf) {
		resume.Slice(c, &m.found, func(a *coco.Annotation) {
			codeFound(c, a)
			c.Need(ids[a.CategoryID] || b.assigned.choices != nil && a.CategoryID >= 0, "a category that the data set does not have")
		})
		for _, n := range []*int{&m.agree.Kept, &m.agree.Moved, &m.agree.Other, &m.agree.Lost, &m.agree.New} {
			c.Int(n)
		}
	})
	resume.Slice(c, &b.scored, c.Int64)
	codePictures(c, &b.shown, len(b.models))
	b.problems.Code(c)
}

// Code implements Scorer.
func (m *Masks) Code(c *resume.Coder, outputs int) {
	c.Int(&m.classes)
	c.Int(&m.output)
	c.Bool(&m.settled)
	c.String(&m.reading)
	c.Need(m.classes >= 0 && m.classes <= mostClasses && (m.settled || m.classes == 0), "masks without classes")
	needOutput(c, m.output, outputs)
	resume.Each(c, m.models, func(f *confusion) {
		resume.Slice(c, &f.counts, c.Int64)
		c.Need(len(f.counts) == m.classes*m.classes || f.counts == nil && !m.settled, "counts of other classes")
	})
	resume.Each(c, m.same, c.Int64)
	c.Int64(&m.pixels)
	codePictures(c, &m.shown, len(m.models))
	m.problems.Code(c)
}

// Code implements Scorer.
func (d *Depths) Code(c *resume.Coder, outputs int) {
	c.Int(&d.output)
	c.Bool(&d.settled)
	c.String(&d.reading)
	needOutput(c, d.output, outputs)
	resume.Each(c, d.models, func(s *depthSums) {
		c.Float64(&s.rmse)
		c.Float64(&s.rel)
		c.Float64(&s.within)
		c.Int(&s.pictures)
	})
	codePictures(c, &d.shown, len(d.models))
	d.problems.Code(c)
}

// Code implements Scorer.
func (l *Labels) Code(c *resume.Coder, outputs int) {
	c.Int(&l.output)
	c.Int(&l.classes)
	c.Bool(&l.settled)
	c.String(&l.reading)
	if c.Reading() && l.settled && l.classes > 0 && c.Err() == nil {
		l.match()
	}
	c.Need(l.classes >= 0 && (l.settled || l.classes == 0), "classes without a number")
	c.Need(!l.settled || l.greatest() < l.classes, "fewer classes than the data set has")
	needOutput(c, l.output, outputs)
	resume.Each(c, l.models, func(s *labelSums) {
		c.Int(&s.first)
		c.Int(&s.five)
		resume.Slice(c, &s.right, c.Int)
		resume.Slice(c, &s.all, c.Int)
		n := l.classes
		c.Need(len(s.right) == n && len(s.all) == n || !l.settled && s.right == nil && s.all == nil, "sums of other classes")
	})
	resume.Each(c, l.same, c.Int)
	c.Int(&l.pictures)
	codePictures(c, &l.shown, len(l.models))
	l.problems.Code(c)
}

// codeSettings writes or reads the settings of a decoder as JSON, which keeps its numbers exactly.
func codeSettings(c *resume.Coder, s *decode.Settings) {
	var text []byte
	if !c.Reading() {
		var err error
		if text, err = json.Marshal(s); err != nil {
			c.Fail("settings of the decoder: %w", err)
		}
	}
	if c.Blob(&text); c.Reading() && c.Err() == nil {
		*s = decode.Settings{}
		if err := json.Unmarshal(text, s); err != nil {
			c.Fail("settings of the decoder: %w", err)
		}
	}
}

// codeFound is a box that a model found: the fields that read gives it.
func codeFound(c *resume.Coder, a *coco.Annotation) {
	c.Int64(&a.ID)
	c.Int64(&a.ImageID)
	c.Int64(&a.CategoryID)
	for i := range a.Box {
		c.Float64(&a.Box[i])
	}
	c.Float64(&a.Area)
	c.Float64(&a.Score)
}

// codePictures are the pictures that are kept for people, of so many models.
func codePictures(c *resume.Coder, list *[]result.EvalPicture, models int) {
	resume.Slice(c, list, func(p *result.EvalPicture) {
		c.String(&p.Name)
		c.String(&p.Path)
		c.Int(&p.Width)
		c.Int(&p.Height)
		boxes := func(b *[]result.Box) { resume.Slice(c, b, func(b *result.Box) { codeBox(c, b) }) }
		boxes(&p.Truth)
		resume.Slice(c, &p.Found, boxes)
		c.String(&p.TruthMask)
		resume.Slice(c, &p.Masks, c.String)
		resume.Slice(c, &p.Differs, c.Float64)
		c.Need(len(p.Differs) == models && len(p.Found) <= models && len(p.Masks) <= models, "pictures of other models")
	})
}

func codeBox(c *resume.Coder, b *result.Box) {
	for _, v := range []*float32{&b.X, &b.Y, &b.W, &b.H, &b.Score} {
		c.Float32(v)
	}
	c.Int(&b.Class)
	change := string(b.Change)
	c.String(&change)
	b.Change = result.Change(change)
	c.Bool(&b.Crowd)
}
