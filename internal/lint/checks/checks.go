// Package checks holds the checks of quantcheck lint.
//
//  1. A Subject is what is known: a float model, a DLC, or a run of a workspace.
//  2. All lists the checks; each carries its documentation and looks at the subject.
//  3. A Finding names node and tensor, evidence in numbers, and its fix: a pass of optimize, an override, a flag.
package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/suggest"
)

// Severity says how much a finding matters.
type Severity string

// The severities: a warning costs accuracy or speed, a note may.
const (
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Subject is what checks look at; what is nil is not known.
type Subject struct {
	Model *onnx.Model // constants folded
	Env   rewrite.Env // its shapes
	DLC   *dlc.File
	Run   *result.Run
	// Refused lists operators that the HTP refuses; nil if nobody asked.
	Refused []Refusal
	// Estimate is what the HTP compiler expects of it; Prices are what passes make of that. Both are nil if nobody asked.
	Estimate *htpcost.Estimate
	Prices   map[string]Price
	// Int8Saturates says that this CPU's int8 products saturate.
	Int8Saturates bool
}

// Refusal is an operator that the HTP does not take, in its library's words.
type Refusal struct {
	Node, Op, Reason string
	Forms            []string // of the model in which it is refused: "w8a8", "float"
}

// Check is one thing to look for, with its documentation.
type Check struct {
	ID       string // QC1xxx graph, QC2xxx quantization, QC3xxx layout and preprocessing, QC4xxx device and speed
	Title    string
	Severity Severity
	What     string // what is looked for
	Why      string // what it costs, and who found that out
	Fix      string
	// Pass is the pass of optimize that mends it without a change of what the model computes; "" if none does.
	Pass string

	look func(*Subject, report)
	// passFor is the pass for the finding at a node, where that depends on the place; nil: it is Pass everywhere.
	passFor func(s *Subject, node string) string
}

// report takes a finding: where, and the evidence.
type report func(node, tensor, evidence string, args ...any)

// Finding is a place where a check fits.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Node     string   `json:"node,omitempty"`
	Tensor   string   `json:"tensor,omitempty"`
	Evidence string   `json:"evidence"`
	Fix      string   `json:"fix"`
	Pass     string   `json:"pass,omitempty"`
	// Price is what the pass makes of the model's estimate, in all places together; nil if it was not estimated.
	Price *Price `json:"price,omitempty"`
}

// Look runs all checks: what costs most by the estimate comes first, then warnings, then notes.
func Look(s *Subject) []Finding {
	var list []Finding
	for _, c := range All {
		c.look(s, func(node, tensor, evidence string, args ...any) {
			f := Finding{c.ID, c.Severity, c.Title, node, tensor, fmt.Sprintf(evidence, args...), c.Fix, c.Pass, nil}
			if c.passFor != nil {
				f.Pass = c.passFor(s, node)
			}
			if p, known := s.Prices[f.Pass]; known && f.Pass != "" {
				f.Price = &p
			}
			list = append(list, f.advised())
		})
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(saved(b), saved(a)), cmp.Compare(weight(a), weight(b)))
	})
	return list
}

// Passes are those of all findings, whatever they bring.
func Passes(s *Subject) []string {
	var list []string
	for _, c := range All {
		c.look(s, func(node, _, _ string, _ ...any) {
			pass := c.Pass
			if c.passFor != nil {
				pass = c.passFor(s, node)
			}
			if pass != "" && !slices.Contains(list, pass) {
				list = append(list, pass)
			}
		})
	}
	return list
}

// advised is the finding without a pass that optimize does not do by itself, unless the estimate says that it pays: advice and default agree.
func (f Finding) advised() Finding {
	if !slices.Contains(rewrite.Doubtful(), f.Pass) || f.Price != nil && f.Price.After < f.Price.Before {
		return f
	}
	if f.Price == nil {
		f.Fix += fmt.Sprintf("; quantcheck optimize --keep-faster has %s do it where the estimate says that it pays", f.Pass)
	} else {
		f.Fix += fmt.Sprintf("; by the estimate %s does not pay here (%d cycles, %d behind it)", f.Pass, f.Price.Before, f.Price.After)
	}
	f.Pass, f.Price = "", nil
	return f
}

// saved is what decides the order first: what a pass would bring, in whole percents; what costs nothing counts as nothing.
func saved(f Finding) int {
	if f.Price == nil {
		return 0
	}
	return max(int(100*f.Price.Saves()), 0)
}

func weight(f Finding) int {
	if f.Severity == Warning {
		return 0
	}
	return 1
}

// Find gives a check by its id; the error names the nearest.
func Find(id string) (*Check, error) {
	var ids []string
	for i := range All {
		if strings.EqualFold(All[i].ID, id) {
			return &All[i], nil
		}
		ids = append(ids, All[i].ID)
	}
	return nil, fmt.Errorf("there is no check %q; did you mean %s? There are %s", id, suggest.Nearest(strings.ToUpper(id), ids)[0], strings.Join(ids, ", "))
}

// Explain is a check's documentation.
func (c *Check) Explain() string {
	text := fmt.Sprintf("%s (%s): %s\n\nWhat  %s\nWhy   %s\nFix   %s\n", c.ID, c.Severity, c.Title, c.What, c.Why, c.Fix)
	switch {
	case slices.Contains(rewrite.Doubtful(), c.Pass):
		text += fmt.Sprintf("      quantcheck optimize --keep-faster, which has %s do it where the estimate says that it pays\n", c.Pass)
	case c.Pass != "":
		text += fmt.Sprintf("      quantcheck optimize --pass %s, or quantcheck lint --fix\n", c.Pass)
	}
	return text
}

// All are the checks.
var All = slices.Concat(graphChecks, quantChecks, deviceChecks, timeChecks)
