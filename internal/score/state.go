package score

import (
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
	return mark{pictures, e.passed, len(e.session.Run.Warnings), len(e.session.Skipped), e.inference}
}

// goOn takes up the state of an interrupted evaluation; the mark is zero if there is none.
func (e *evaluation) goOn() mark {
	k := e.session.Keeper
	if k == nil {
		return mark{}
	}
	m := e.mark(0)
	if !k.Restore(&k.Work, func(x *resume.Coder) { e.code(x, &m) }) {
		e.empty()
		return mark{}
	}
	k.What = e.kept(m)
	k.GoesOn("picture", m.pictures+1, len(e.set.Images))
	return m
}

func (e *evaluation) kept(m mark) string {
	return fmt.Sprintf("the results of %d of %d pictures", m.pictures, len(e.set.Images))
}

func (e *evaluation) put(m mark) {
	if k := e.session.Keeper; k != nil {
		k.Put(&k.Work, e.kept(m), func(x *resume.Coder) { e.code(x, &m) })
	}
}

// code writes what was scored up to a mark, or reads it into an evaluation that has not begun. The scorers hold just what m says.
func (e *evaluation) code(x *resume.Coder, m *mark) {
	b := e.session
	x.Int(&m.pictures)
	x.Int(&m.passed)
	x.Int64((*int64)(&m.inference))
	x.Need(m.pictures > 0 && m.pictures <= len(e.set.Images) && m.passed >= 0 && m.passed <= m.pictures, "it has other pictures")
	var warnings, skipped []string
	if !x.Reading() {
		warnings, skipped = b.Run.Warnings[e.before:m.warnings], b.Skipped[:m.skipped]
	}
	resume.Slice(x, &warnings, x.String)
	resume.Slice(x, &skipped, x.String)
	e.distance.Code(x, len(e.models.Outputs.Names))
	if e.scorer != nil {
		e.scorer.Code(x, len(e.models.Outputs.Names))
	}
	if x.Reading() && x.Err() == nil {
		b.Run.Warnings, b.Skipped = append(b.Run.Warnings, warnings...), append(b.Skipped, skipped...)
		e.passed, e.inference = m.passed, m.inference
		m.warnings, m.skipped = len(b.Run.Warnings), len(b.Skipped)
	}
}
