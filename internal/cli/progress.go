package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress draws one line on a terminal: the phase, how far it is, and how long it will take. On anything else it draws
// nothing.
type progress struct {
	w       io.Writer
	on      bool
	title   string
	steps   int
	started time.Time
	drawn   time.Time
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, on: ok && term.IsTerminal(int(f.Fd()))}
}

// Phase implements flow.Progress.
func (p *progress) Phase(title string, steps int) {
	p.title, p.steps, p.started, p.drawn = title, steps, time.Now(), time.Time{}
	p.Step(0)
}

// Step implements flow.Progress.
func (p *progress) Step(done int) {
	now := time.Now()
	if !p.on || (now.Sub(p.drawn) < 100*time.Millisecond && done < p.steps) {
		return
	}
	p.drawn = now
	const width = 24
	filled := width * done / max(p.steps, 1)
	line := fmt.Sprintf("%-22s %s%s %d/%d", p.title, strings.Repeat("━", filled), strings.Repeat("╌", width-filled), done, p.steps)
	if spent := now.Sub(p.started); done > 0 && done < p.steps {
		left := spent * time.Duration(p.steps-done) / time.Duration(done)
		line += fmt.Sprintf("  about %s left", max(left.Round(time.Second), time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
}

// clear removes the line.
func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
