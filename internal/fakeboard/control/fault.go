package control

import "time"

// Kind is what goes wrong.
type Kind string

// Kinds that every tool shows.
const (
	Missing Kind = "missing"    // status 127; with Call 0 the program is not there at all
	Killed  Kind = "killed"     // status 137, nothing is said; After inferences are whole
	Signal  Kind = "signal"     // the process kills itself with SIGKILL; After as above
	Error   Kind = "error"      // a line of SNPE's, "error_code=…; …", and status 1
	Silent  Kind = "silent"     // status 0, nothing is done and nothing said
	Hung    Kind = "hung"       // nothing happens any more; After inferences are whole
	Full    Kind = "full"       // the disk is full: files cannot be written; After inferences are whole; status 1
	Slow    Kind = "slow"       // before each line of the output passes Pause
	BadExit Kind = "bad status" // everything is done and said, and the status is 1
)

// Kinds of snpe-net-run.
const (
	Truncated Kind = "truncated"       // the file of Layer has only half of its bytes
	Resized   Kind = "resized"         // the file of Layer has four bytes more
	Lost      Kind = "lost"            // the file of Layer is not there
	Unwritten Kind = "unwritten"       // folders for names with '/' are not made: "Failed to write data to: …", status 1
	NoSuccess Kind = "no success line" // status 0 without the line that says so
	EmptyLog  Kind = "empty log"       // SNPEDiag.log is empty
	// The numbers themselves are wrong, from the layer on to the end:
	Clipped  Kind = "clipped"  // the range of the tensor Layer is Factor of what it was
	Zeroed   Kind = "zeroed"   // the weights that make the channel Channel of the tensor Layer are 0
	Swapped  Kind = "swapped"  // the first and the last of an input's three channels are exchanged
	Disorder Kind = "disorder" // results come back one line late: Result_<i> holds what belongs to the line before
)

// Kinds of other tools.
const (
	OnCPU       Kind = "on cpu"      // snpe-throughput-net-run: the runtime's label is that of the CPU, and so is the rate
	Integer     Kind = "integer"     // snpe-throughput-net-run: the rate is written as an integer
	Exponent    Kind = "exponent"    // snpe-throughput-net-run: the rate is written as 1e+06
	Unsupported Kind = "unsupported" // snpe-platform-validator: the DSP is not there
)

// Fault is something that goes wrong.
type Fault struct {
	Kind Kind
	Tool string `json:",omitempty"` // "": every tool
	Call int    `json:",omitempty"` // which call of the tool, from 1; 0: every one

	After   int           `json:",omitempty"` // inferences of snpe-net-run that are whole before it happens
	Result  int           `json:",omitempty"` // of faults of files: the number of the result
	Layer   string        `json:",omitempty"` // a tensor's name as the DLC has it; "": the last file in order
	Channel int           `json:",omitempty"`
	Factor  float64       `json:",omitempty"` // 0: a quarter
	Pause   time.Duration `json:",omitempty"`
	Text    string        `json:",omitempty"` // the error's message
}

// meets says whether a call shows the fault.
func (f Fault) meets(tool string, number int) bool {
	return (f.Tool == "" || f.Tool == tool) && (f.Call == 0 || f.Call == number)
}

// Fault finds the call's first fault of some kinds, nil if it has none.
func (c *Call) Fault(kinds ...Kind) *Fault {
	for i, f := range c.Faults {
		for _, k := range kinds {
			if f.Kind == k {
				return &c.Faults[i]
			}
		}
	}
	return nil
}
