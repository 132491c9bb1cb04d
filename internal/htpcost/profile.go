package htpcost

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrProfile means that a profile holds an estimate that is not whole.
var ErrProfile = errors.New("no whole estimate")

// Figures are the estimate's numbers as the compiler gives them.
type Figures struct {
	Cycles                 int64    `json:"cycles"`
	Lower                  int64    `json:"lower"` // cycles, the compiler's lower estimate
	Upper                  int64    `json:"upper"`
	Microseconds           int64    `json:"us"`
	LowerMicroseconds      int64    `json:"us_lower"`
	UpperMicroseconds      int64    `json:"us_upper"`
	InputFillBytes         int64    `json:"input_fill_bytes"`   // from DDR: inputs and weights
	OutputSpillBytes       int64    `json:"output_spill_bytes"` // to DDR
	IntermediateFillBytes  int64    `json:"intermediate_fill_bytes"`
	IntermediateSpillBytes int64    `json:"intermediate_spill_bytes"` // what does not fit into the fast memory
	Missing                int64    `json:"missing"`                  // operators without costs in the model
	Repeated               []string `json:"-"`                        // rows that the profile has more than once
}

// row is one of the compiler's rows.
type row struct {
	name string
	to   *int64
}

// rows are all that an estimate has, by the compiler's names.
func (f *Figures) rows() []row {
	return []row{
		{"Simulated (Accelerator exec cycles)", &f.Cycles},
		{"Simulated (Accelerator exec cycles (lower estimate))", &f.Lower},
		{"Simulated (Accelerator exec cycles (upper estimate))", &f.Upper},
		{"Simulated (Accelerator exec time us)", &f.Microseconds},
		{"Simulated (Accelerator exec time us (lower estimate))", &f.LowerMicroseconds},
		{"Simulated (Accelerator exec time us (upper estimate))", &f.UpperMicroseconds},
		{"Input Fill", &f.InputFillBytes},
		{"Output Spill", &f.OutputSpillBytes},
		{"Intermediate Fill", &f.IntermediateFillBytes},
		{"Intermediate Spill", &f.IntermediateSpillBytes},
		{"Missing Ops (Number of Ops with no Costs associated)", &f.Missing},
	}
}

// FiguresOf takes an estimate from events by the compiler's names. The error is ErrNoEstimate if there is none and ErrProfile
// if it is not whole.
func FiguresOf(events map[string]uint64) (Figures, error) {
	var f Figures
	var missing []string
	rows := f.rows()
	for _, r := range rows {
		v, ok := events[r.name]
		switch {
		case !ok:
			missing = append(missing, r.name)
		case v > mostBytes:
			return f, fmt.Errorf("%w: %s is %d", ErrProfile, r.name, v)
		}
		*r.to = int64(v)
	}
	switch {
	case len(missing) == len(rows):
		return f, ErrNoEstimate
	case len(missing) > 0:
		return f, fmt.Errorf("%w: there is no row %s", ErrProfile, strings.Join(missing, ", no row "))
	}
	return f, nil
}

// The places of a row's fields: "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier".
const (
	valueField = 2
	nameField  = 6
)

// ReadProfile reads a profile that ONNX Runtime's provider wrote, a CSV file. Rows of other kinds, and those that are too
// short, are passed over: names of operators, which are not quoted, stand there too. Of rows that come more than once, since
// the provider appends to a file, the last one counts and Repeated says so. The errors are those of FiguresOf.
func ReadProfile(csv []byte) (Figures, error) {
	events, repeated := map[string]uint64{}, []string(nil)
	err := eachRow(csv, func(name string, value uint64) error {
		if _, twice := events[name]; twice && !slices.Contains(repeated, name) {
			repeated = append(repeated, name)
		}
		events[name] = value
		return nil
	})
	if err != nil {
		return Figures{}, err
	}
	f, err := FiguresOf(events)
	f.Repeated = repeated
	return f, err
}

// ReadProfiles reads a profile that holds several estimates, in the order of the file. A row that is there already begins the
// next one. Without any the list is empty.
func ReadProfiles(csv []byte) ([]Figures, error) {
	var list []Figures
	events := map[string]uint64{}
	done := func() error {
		if len(events) == 0 {
			return nil
		}
		f, err := FiguresOf(events)
		list = append(list, f)
		clear(events)
		return err
	}
	err := eachRow(csv, func(name string, value uint64) (err error) {
		if _, next := events[name]; next {
			err = done()
		}
		events[name] = value
		return err
	})
	if err == nil {
		err = done()
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// eachRow goes over the rows of estimates.
func eachRow(csv []byte, each func(name string, value uint64) error) error {
	var known Figures
	rows := known.rows()
	for line := range strings.Lines(string(csv)) {
		fields := strings.SplitN(strings.TrimRight(line, "\r\n"), ",", nameField+1)
		if len(fields) <= nameField {
			continue
		}
		name := strings.Trim(strings.TrimSpace(fields[nameField]), `"`)
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(fields[valueField]), 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %s is %.40q", ErrProfile, name, fields[valueField])
		}
		if err := each(name, v); err != nil {
			return err
		}
	}
	return nil
}
