package result

import (
	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
)

// Tried is what the float model scores under one description of its input.
type Tried struct {
	Input  dataset.Description `json:"input"`
	Flags  string              `json:"flags"` // that say it
	Score  metric.Value        `json:"score"`
	Asked  bool                `json:"asked"` // it is what the flags and the file beside the model say
	Failed string              `json:"failed,omitempty"`
}

// TriedInputs lists them, best first.
type TriedInputs struct {
	Column   Column  `json:"column"`
	Pictures int     `json:"pictures"`
	Tried    []Tried `json:"tried"`
}
