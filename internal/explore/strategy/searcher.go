package strategy

import (
	"time"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/search"
	"quantcheck/internal/variant"
)

// searcher looks for the least set of changes with which a recipe reaches the target. It knows candidates by their scores and prices.
type searcher struct {
	policy   policy.Policy
	budget   policy.Budget
	progress progress.Reporter
	warn     func(format string, args ...any)
	scores   Scorer
	prices   Pricer

	engine variant.Engine // that decides
	target float64        // a share of float's score
	higher bool           // more of the score is better
	recipe variant.Spec   // that the search starts from

	quantizers []candidate.Quantizer
	// Of each quantizer: the SQNR of the outputs with it alone, and what is told of it.
	sqnr      []metric.Value
	described []result.Sensitivity

	known     []search.Change // of each quantizer and kind; nil: not asked for yet
	byHarm    []int
	simulated search.Set     // the least set that the search in the simulation found
	points    []search.Point // that the engine that decides scored
	phase     time.Time      // when the present one began
}
