package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"quantcheck/internal/resume"
)

// mark says how far an evaluation was when a picture had gone through all models: what the models gave may be scored later.
type mark struct {
	pictures  int // that are done, those that could not be read included
	passed    int
	warnings  int // of the run
	skipped   int
	inference time.Duration
}

func (e *evaluation) mark(pictures int) mark {
	return mark{pictures, e.passed, len(e.b.run.Warnings), len(e.b.skipped), e.inference}
}

// goOn takes up the state of an interrupted evaluation; the mark is zero if there is none.
func (e *evaluation) goOn() mark {
	k := e.b.keep
	if k == nil {
		return mark{}
	}
	m := e.mark(0)
	if !k.restore(&k.work, func(x *resume.Coder) { e.code(x, &m) }) {
		e.empty()
		return mark{}
	}
	k.what = e.kept(m)
	k.goesOn("picture", m.pictures+1, len(e.set.images))
	return m
}

func (e *evaluation) kept(m mark) string {
	return fmt.Sprintf("the results of %d of %d pictures", m.pictures, len(e.set.images))
}

func (e *evaluation) put(m mark) {
	if k := e.b.keep; k != nil {
		k.put(&k.work, e.kept(m), func(x *resume.Coder) { e.code(x, &m) })
	}
}

// code writes what was scored up to a mark, or reads it into an evaluation that has not begun. The scorers hold just what m says.
func (e *evaluation) code(x *resume.Coder, m *mark) {
	b := e.b
	x.Int(&m.pictures)
	x.Int(&m.passed)
	x.Int64((*int64)(&m.inference))
	x.Need(m.pictures > 0 && m.pictures <= len(e.set.images) && m.passed >= 0 && m.passed <= m.pictures, "it has other pictures")
	var warnings, skipped []string
	if !x.Reading() {
		warnings, skipped = b.run.Warnings[e.before:m.warnings], b.skipped[:m.skipped]
	}
	resume.Slice(x, &warnings, x.String)
	resume.Slice(x, &skipped, x.String)
	e.distance.Code(x, len(e.outputs))
	if e.scorer != nil {
		e.scorer.Code(x, len(e.outputs))
	}
	if x.Reading() && x.Err() == nil {
		b.run.Warnings, b.skipped = append(b.run.Warnings, warnings...), append(b.skipped, skipped...)
		e.passed, e.inference = m.passed, m.inference
		m.warnings, m.skipped = len(b.run.Warnings), len(b.skipped)
	}
}

// identity is all that the truth says, and the files that it lies in besides those that were read already.
func (s *truthSet) identity() (truth any, files []string) {
	h := sha256.New()
	for _, i := range s.images {
		fmt.Fprintf(h, "%q %d %q %d\n", i.Name, i.ID, i.Truth, i.Class)
		if i.Truth != "" {
			files = append(files, i.Truth)
		}
	}
	if s.detections != nil {
		for _, c := range s.detections.Set.Categories {
			fmt.Fprintf(h, "%d %q\n", c.ID, c.Name)
		}
		for _, a := range s.detections.Set.Annotations {
			fmt.Fprintln(h, a.ID, a.ImageID, a.CategoryID, a.Box, a.Area, a.Crowd, a.Ignore, a.Missing)
		}
	}
	if s.classes != nil {
		fmt.Fprintf(h, "%q\n", s.classes.Names)
	}
	return []string{s.text, hex.EncodeToString(h.Sum(nil))}, files
}
