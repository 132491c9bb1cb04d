package result

import "quantcheck/internal/metric"

// Grade says in a word how much of the float model's meaning a variant keeps.
type Grade string

// The grades, best first. Unknown: no output could be compared.
const (
	Good    Grade = "good"
	Fair    Grade = "fair"
	Poor    Grade = "poor"
	Bad     Grade = "bad"
	Unknown Grade = "unknown"
)

// Basis says what a verdict was drawn from.
type Basis string

// A verdict comes from decisions where an output is recognised, else from the signal, else from nothing.
const (
	ByDecisions Basis = "decisions"
	BySignal    Basis = "signal"
	ByNothing   Basis = "nothing"
)

// Verdict answers in order: how much of the model is quantized, whether its outputs still mean the same, and which part of which
// output is worst.
type Verdict struct {
	Grade     Grade        `json:"grade"`
	Basis     Basis        `json:"basis"`
	Coverage  *Coverage    `json:"coverage,omitempty"` // nil: the variant has no encodings to count, as half precision
	Decisions []Decision   `json:"decisions,omitempty"`
	Parts     []OutputPart `json:"output_parts,omitempty"` // the worst first
	Causes    []Cause      `json:"causes,omitempty"`       // the surest first
	Scored    *EvalScore   `json:"scored,omitempty"`       // the latest evaluation of the same variant in the workspace; nil: there is none
	Undecided []string     `json:"undecided,omitempty"`    // kinds of decisions that are recognised and of which the float model makes none
}

// Coverage is the part of the float model that has encodings.
type Coverage struct {
	Operators     int   `json:"operators"`       // whose output has an encoding, or that are fused into one that has
	OperatorsOf   int   `json:"operators_of"`    // all that compute real numbers from the inputs, those in the bodies of If, Loop and Scan too
	MultiplyAdds  int64 `json:"multiply_adds"`   // of the operators that have one
	MultiplyAddOf int64 `json:"multiply_add_of"` // of all; 0: the model has none, or a shape that decides is not known
}

// Share is the smaller one of the two shares, 0 to 1.
func (c *Coverage) Share() float64 {
	share := 1.0
	if c.OperatorsOf > 0 {
		share = float64(c.Operators) / float64(c.OperatorsOf)
	}
	if c.MultiplyAddOf > 0 {
		share = min(share, float64(c.MultiplyAdds)/float64(c.MultiplyAddOf))
	}
	return share
}

// Decision is what people do with an output, counted in the float model and in the variant.
type Decision struct {
	Kind    string `json:"kind"`   // of verdict.Kinds
	Layers  []int  `json:"layers"` // output layers that it is read from
	Reading string `json:"reading,omitempty"`
	// Kept of Of decisions are the float model's. Boxes count by the square of their scores; how many there are in either model, and what
	// became of them, is counted beside: in another place, not there any more, not there in float, of another class.
	Kept  float64 `json:"kept"`
	Of    float64 `json:"of"`
	Boxes int     `json:"boxes,omitempty"`
	Moved int     `json:"moved,omitempty"`
	Lost  int     `json:"lost,omitempty"`
	New   int     `json:"new,omitempty"`
	Other int     `json:"other_class,omitempty"`
	// Worst is the sample that keeps the smallest part, −1 if all are kept.
	Worst int `json:"worst"`
	// Number is how many decisions there are; of boxes, which count by their scores, how many of equal weight would tell as much. It is 0 for
	// maps, of which every pixel decides. The share lies between Low and High with 95 % confidence. Few says that these are more than two
	// grades apart, so that the grade looks at the signal too; Wanted is then how many decisions tell good from poor.
	Number float64 `json:"number,omitempty"`
	Low    float64 `json:"low,omitempty"`
	High   float64 `json:"high,omitempty"`
	Few    bool    `json:"few,omitempty"`
	Wanted int     `json:"wanted,omitempty"`
}

// Share is the part of the decisions that is kept, 0 to 1; no value where the float model decides nothing.
func (d *Decision) Share() metric.Value {
	if d.Of <= 0 {
		return metric.Value{}
	}
	return metric.Defined(d.Kept / d.Of)
}

// OutputPart is a part of an output: what one input of the Concats that make it brings, or channels of like range.
type OutputPart struct {
	Layer    int    `json:"layer"`
	Source   string `json:"source,omitempty"`   // the Concat's input; "": the output is not joined
	Channels []int  `json:"channels,omitempty"` // nil: all
	Elements int    `json:"elements"`           // per sample
	// Min and Max are the float range over all samples.
	Min  float64       `json:"min"`
	Max  float64       `json:"max"`
	SQNR metric.Spread `json:"sqnr"`
	// Average is the SQNR over the samples, averaged as power (metric.PowerAverage); no value in runs of before.
	Average metric.Value  `json:"average"`
	Cos     metric.Spread `json:"cos"`
	Steps   metric.Value  `json:"steps"` // of the output's encoding over the float range; no value without an encoding
	// Rounding is the noise that the output's encoding alone would make, as a part of the noise that there is; no value without an encoding.
	Rounding metric.Value `json:"rounding"`
	// Dead is the share of the elements in channels that are constant where float is not, Clipped the share of the float values that lie
	// outside of the output's encoding (no value without one).
	Dead    float64      `json:"dead"`
	Clipped metric.Value `json:"clipped"`
}

// Over is the part's SQNR over the samples, averaged as power; of a stored run that lacks it, the mean of the decibels.
func (p *OutputPart) Over() metric.Value {
	if p.Average.OK {
		return p.Average
	}
	return p.SQNR.Mean
}

// EvalScore is what quantcheck eval found of a variant.
type EvalScore struct {
	Evaluation  int64   `json:"evaluation"` // in the workspace's database
	Metric      string  `json:"metric"`
	Kept        float64 `json:"kept"` // share of float's score
	Grade       Grade   `json:"grade"`
	Calibration string  `json:"calibration,omitempty"` // of the evaluation; "": its own pictures
}

// Cause is why a variant is not float.
type Cause struct {
	Kind       string   `json:"kind"`              // of cause.All
	Layers     []int    `json:"layers,omitempty"`  // where it shows, the most important first
	Tensors    []string `json:"tensors,omitempty"` // constants and inputs that are no layer
	Evidence   string   `json:"evidence"`          // with the figures that it is drawn from
	Confidence float64  `json:"confidence"`        // 0 to 1
	Fix        Fix      `json:"fix"`
}

// Fix is what to do about a cause.
type Fix struct {
	Text string `json:"text"` // "": there is none that quantcheck makes
	// Variant and Passes are what a try applies: another recipe, or passes of optimize. Command does it.
	Variant string   `json:"variant,omitempty"`
	Passes  []string `json:"passes,omitempty"`
	Command string   `json:"command,omitempty"`
	Tried   *Try     `json:"tried,omitempty"` // nil: it was not tried
}

// Try is a fix that was applied to a copy and measured on a few samples, beside the variant as it is on the same samples.
type Try struct {
	Samples int          `json:"samples"`
	What    string       `json:"what"` // that is measured: a kind of decision, or SQNR of the worst part in dB
	Before  metric.Value `json:"before"`
	After   metric.Value `json:"after"`
	Helps   bool         `json:"helps"`
	Seconds float64      `json:"seconds"`
	Failed  string       `json:"failed,omitempty"` // why there is no figure
}
