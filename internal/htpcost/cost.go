// Package htpcost reads what the HTP compiler's cost model expects of a graph on the DSP: how long it takes, and where the time
// goes. Everything here is a pure function of bytes that the compiler wrote; nothing runs, and no number is a measurement.
//
//  1. ReadProfile (or FiguresOf) gives the whole: cycles with their bounds, microseconds, bytes to and from DDR.
//  2. ReadTrace gives the simulated timeline: what each unit of the DSP does at each cycle, and for which operator.
//  3. ReadSchematic gives the operators' names.
//  4. Layers divides the timeline among the operators, so that their cycles add up to the whole.
//
// New puts the four together. Chrome writes the timeline for trace viewers, Groups sums layers up.
package htpcost

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoEstimate means that the compiler has no cost model of the chip, or said nothing of it.
var ErrNoEstimate = errors.New("the compiler has no cost model of this chip; it has one of the SoC models 77 and 52 (HTP architecture 73), 72 (81) and 62 (68)")

// SoC is a chip that can be asked for.
type SoC struct {
	Name  string `json:"name"`
	Model int    `json:"model"` // as the libraries number chips: whose cost model it is
	Note  string `json:"note,omitempty"`
}

// SoCs are the chips for which there is an estimate, the default first.
var SoCs = []SoC{
	{"rvc4", 77, "the compiler has no cost model of the RVC4's QCS8550; this is QCS9100's, whose DSP it models on the same SM8550 (HTP architecture 73)"},
	{"qcs9100", 77, ""},
	{"sa8255", 52, ""},
	{"sa8540", 62, ""},
	{"sa8797", 72, ""},
}

// UnknownSoCError means that a chip was asked for of which there is no estimate.
type UnknownSoCError struct{ Name string }

func (e *UnknownSoCError) Error() string {
	var names []string
	for _, s := range SoCs {
		names = append(names, s.Name)
	}
	return fmt.Sprintf("there is no estimate for %q; there is one for %s", e.Name, strings.Join(names, ", "))
}

// Find gives a chip by its name, however its letters are written; "" is the default. The error is an *UnknownSoCError.
func Find(name string) (SoC, error) {
	if name == "" {
		return SoCs[0], nil
	}
	for _, s := range SoCs {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return SoC{}, &UnknownSoCError{name}
}

// Estimate is what the compiler expects of a graph. Its JSON leaves the timeline away.
type Estimate struct {
	SoC  SoC    `json:"soc"`
	Base string `json:"base"` // the chip that was simulated, by the compiler's code name; "" if it did not say
	Figures
	Layers   []Layer   `json:"layers"`
	Timeline *Timeline `json:"-"`
	Notes    []string  `json:"notes,omitempty"` // what is missing, or does not fit itself
}

// New makes an estimate. Without a schematic, or with a damaged one, layers have numbers instead of names, and a note says so.
func New(soc SoC, f Figures, t *Timeline, schematic []byte) *Estimate {
	e := &Estimate{SoC: soc, Figures: f, Timeline: t}
	e.Base, _ = t.Setting("sim_base_soc")
	s, err := ReadSchematic(schematic)
	if err != nil {
		e.Notes = append(e.Notes, fmt.Sprintf("operators have no names: %s", err))
	}
	e.Layers = Layers(t, s.Names)
	for i := range e.Layers {
		if l := &e.Layers[i]; l.Kind == Operator {
			l.Op = s.Ops[l.Node]
		}
	}
	if t.Cycles != f.Cycles {
		e.Notes = append(e.Notes, fmt.Sprintf("the timeline ends after %d cycles, the estimate is %d", t.Cycles, f.Cycles))
	}
	if f.Missing > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%d operators have no costs in the model and are not in the estimate", f.Missing))
	}
	if len(f.Repeated) > 0 {
		e.Notes = append(e.Notes, "the profile has rows more than once, the last ones were taken: "+strings.Join(f.Repeated, ", "))
	}
	return e
}
