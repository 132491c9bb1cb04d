package cli

import (
	"fmt"
	"strings"
	"time"

	"quantcheck/internal/terminal"
)

// progress draws one line on a terminal: the phase, how far it is, and how long it will take. On anything else it draws
// nothing.
type progress struct {
	w       *terminal.Writer
	title   string
	steps   int
	started time.Time
	drawn   time.Time
	from    int // step at which the work began: an interrupted run goes on behind what is done
}

func newProgress(w *terminal.Writer) *progress { return &progress{w: w} }

// Phase implements progress.Reporter.
func (p *progress) Phase(title string, steps int) {
	p.title, p.steps, p.from, p.started, p.drawn = title, steps, 0, time.Now(), time.Time{}
	p.Step(0)
}

// Step implements progress.Reporter.
func (p *progress) Step(done int) {
	now := time.Now()
	if now.Sub(p.started) < time.Millisecond { // no work takes less
		p.from = done
	}
	if !p.w.IsTerminal() || (now.Sub(p.drawn) < 100*time.Millisecond && done < p.steps) {
		return
	}
	p.drawn = now
	const width = 24
	filled := width * done / max(p.steps, 1)
	line := fmt.Sprintf("%-22s %s%s %d/%d", p.title, strings.Repeat("━", filled), strings.Repeat("╌", width-filled), done, p.steps)
	if spent := now.Sub(p.started); done > p.from && done < p.steps {
		left := spent * time.Duration(p.steps-done) / time.Duration(done-p.from)
		line += fmt.Sprintf("  about %s left", max(left.Round(time.Second), time.Second))
	}
	_ = p.w.DrawLine(line) // It is not what the command is for.
}

// say prints a sentence above the line, on anything.
func (p *progress) say(sentence string) {
	p.clear()
	fmt.Fprintf(p.w, "quantcheck: %s\n", terminal.Message(sentence))
}

// clear removes the line.
func (p *progress) clear() { _ = p.w.ClearLine() } // It is not what the command is for.
