// Package candidate says what an exploration tries, and what is known of it: the words that its parts speak with each other.
package candidate

import (
	"fmt"
	"math"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// Part is what of a candidate is quantized.
type Part string

// A candidate is quantized whole, or only half of it to see where its loss comes from.
const (
	Whole       Part = ""
	Weights     Part = "weights only"
	Activations Part = "activations only"
)

// Quantizer is one of the float model's quantizers.
type Quantizer struct {
	Tensors  []string // that have it; it goes by the first one's name
	Elements float64  // of these tensors
	Head     bool     // it belongs to the output head: no operator with weights follows
	Layer    int      // that makes the first tensor; -1: it is an input
	Op, Node string   // of that layer
}

// Candidate is one way to quantize the model of an exploration.
type Candidate struct {
	Spec variant.Spec // a recipe with its choices; the engine says what runs it
	Part Part
}

// Of is a recipe with choices, quantized whole.
func Of(recipe variant.Spec, choices variant.Choices) Candidate {
	recipe.Choices = choices
	return Candidate{Spec: recipe}
}

// On gives a candidate another engine.
func (c Candidate) On(e variant.Engine) Candidate {
	c.Spec.Engine = e
	return c
}

// Words name a candidate of a model with so many quantizers.
func (c Candidate) Words(quantizers int) string {
	what := c.Spec.Name
	if n := len(c.Spec.Choices); n > 0 {
		what += fmt.Sprintf(" with %d of %d quantizers changed", n, quantizers)
	}
	if c.Spec.Engine == variant.HTP {
		what += " on the emulator"
	}
	return what
}

// Trial is what is known of one candidate on one engine.
type Trial struct {
	Scored  result.Scored `json:"scored"`
	Float   result.Scored `json:"float"`
	Failed  string        `json:"-"`                 // why it cannot be run; "": it can
	Partial bool          `json:"partial,omitempty"` // given up: it is under Floor
	Floor   float64       `json:"floor,omitempty"`
	Whole   bool          `json:"whole,omitempty"` // the held-out pictures are in it
	Column  result.Column `json:"column"`
	Reading string        `json:"reading"`
	Classes []string      `json:"classes"`
}

// SearchShare is how much of float's score a candidate keeps on the pictures of the search, wherever it was scored besides: what was held out takes no
// part in any choice.
func (t *Trial) SearchShare(higher bool) metric.Value {
	return Pair{t.Float.Search, t.Scored.Search}.Share(higher)
}

// Origin is what a trial in the simulation says of where the loss comes from.
func (t *Trial) Origin(kind, name string, higher bool) result.Origin {
	return result.Origin{Kind: kind, Name: name, Engine: "cpu", Score: t.Scored.Search, Share: t.SearchShare(higher)}
}

// Price is what a candidate costs as a whole: in cycles, or in bit-operations.
type Price struct {
	Price     metric.Value           `json:"price"`
	Estimated *result.EstimatedPrice `json:"estimated,omitempty"`
	Layers    map[string]float64     `json:"layers,omitempty"` // cycles by operator
	Refused   int                    `json:"refused,omitempty"`
}

// Pair is the float model's and the candidate's score on the same pictures.
type Pair struct{ Float, Got metric.Value }

// Share is how much of float's score is kept: 1 is all of it, and more is better whatever the score is. higher says that more of the score is
// better. There is no value if one of both is not defined, or what it is divided by is 0.
func (p Pair) Share(higher bool) metric.Value {
	a, b := p.Got, p.Float
	if !higher {
		a, b = b, a
	}
	if !a.OK || !b.OK || b.V == 0 || math.IsInf(b.V, 0) {
		return metric.Value{}
	}
	return metric.Defined(a.V / b.V)
}

// FailedError means that a candidate, not the float model, ended the process of its engine, or took too much memory or time.
type FailedError struct{ Err error }

func (e *FailedError) Error() string { return e.Err.Error() }

func (e *FailedError) Unwrap() error { return e.Err }

// RefusedError means that the engine does not take operators of a candidate.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }
