package optimize

import (
	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"slices"
)

// Spec says what is rewritten, and on what it is proved.
type Spec struct {
	Model  string
	Passes []string // only these; none: all that are not off
	Also   []string // passes that are off, besides the others
	Skip   []string
	Keep   []string // outputs that are wanted; none: all. What only the others need goes
	Images string   // samples of the proof; "": seeded random input
	// Samples take the place of Images; nil: there are none.
	Samples *dataset.Set
	Limit   int // samples of the proof, 0: 2
	Input   dataset.Description
	// Color is the colour order that the model takes afterwards, "" as before. Which it takes now is in Input.
	Color string
	// Estimate has the HTP compiler estimate the model before the passes and after each one that applied.
	Estimate bool
	Variant  string // which form of it, "": w8a8
	SoC      string // "": the default
	// OnlyIfFaster drops passes that make the estimate slower, and tries those that do not always pay too.
	OnlyIfFaster bool
	// Guard has the compiler, where it is there, see that all passes together do not make the model slower.
	Guard   bool
	guarded bool // OnlyIfFaster holds since they did: nothing is tried that was not asked for
}

// Result is a rewritten model and what was done to it.
type Result struct {
	Model  *onnx.Model
	Passes []PassResult
	Before Size
	After  Size
	// Slow and Fast are the estimates before and after; nil if nobody asked.
	Slow, Fast *result.Estimated
	Proof      string // what the passes were proved on
	// Joins are the outputs that were cut into parts.
	Joins   []rewrite.Join
	Notes   []string
	Seconds float64
	Proving float64 // seconds of the proof runs in it
}

// PassResult is what one pass did.
type PassResult struct {
	Name       string   `json:"name"`
	Changes    []string `json:"changes"`
	Left       []string `json:"left,omitempty"` // places that fit but for a condition
	Difference float64  `json:"difference"`     // greatest of any output, against its greatest magnitude
	Undone     string   `json:"undone,omitempty"`
	Effect     string   `json:"effect,omitempty"` // of equalize, on the local error
	// Before and Cycles are the estimates in front of it and behind it; nil if nobody asked or nothing was changed. Of a pass
	// that was undone because it does not pay, Cycles are what it would have made.
	Before *int64 `json:"cycles_before,omitempty"`
	Cycles *int64 `json:"cycles,omitempty"`
}

// Size counts what a model costs.
type Size struct {
	Nodes      int   `json:"nodes"`
	Parameters int64 `json:"parameters"`
	MACs       int64 `json:"macs"` // multiply-adds, −1 if shapes are open
}

// Applied says whether a pass changed something for good.
func (o *Result) Applied(pass string) bool {
	return slices.ContainsFunc(o.Passes, func(p PassResult) bool { return p.Name == pass && len(p.Changes) > 0 && p.Undone == "" })
}
