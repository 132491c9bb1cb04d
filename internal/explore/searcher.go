package explore

import (
	"context"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/search"
	"quantcheck/internal/variant"
)

// scorer says how good candidates are; trials is the one that runs them.
type scorer interface {
	// onSearch scores a candidate on the pictures of the search. One that is going to miss the floor, a share of float's score, by far may
	// be given up.
	onSearch(ctx context.Context, c candidate, floor float64) (*trial, error)
	// onAll scores a candidate on all pictures.
	onAll(ctx context.Context, c candidate) (*trial, error)
	// apartOn gives the SQNR of a candidate's outputs on the first pictures of the search.
	apartOn(ctx context.Context, c candidate, pictures int) (*trial, error)
}

// pricer says what candidates cost; candidatePricer is the one that asks the HTP's compiler.
type pricer interface {
	price(ctx context.Context, c candidate) (*priced, error)
	// estimates says whether prices are the compiler's: each takes time then, and tells more than the tensors' sizes do.
	estimates() bool
}

// searcher looks for the least set of changes with which a recipe reaches the target. It knows candidates by their scores and prices.
type searcher struct {
	policy   policy
	budget   budget
	progress progress.Reporter
	warn     func(format string, args ...any)
	scores   scorer
	prices   pricer

	engine variant.Engine // that decides
	target float64        // a share of float's score
	higher bool           // more of the score is better
	recipe variant.Spec   // that the search starts from

	// Of each quantizer: the tensors that have it, their elements, whether it belongs to the output head, the SQNR of the outputs with it
	// alone, and what is told of it.
	groups     [][]string
	elements   []float64
	inHead     []bool
	sqnr       []metric.Value
	quantizers []result.Sensitivity

	known     []search.Change // of each quantizer and kind; nil: not asked for yet
	byHarm    []int
	simulated search.Set     // the least set that the search in the simulation found
	points    []search.Point // that the engine that decides scored
	phase     time.Time      // when the present one began
}

// of is a candidate: a recipe with choices.
func (x *searcher) of(recipe variant.Spec, choices variant.Choices) candidate {
	recipe.Choices = choices
	return candidate{spec: recipe}
}

// searchShare is how much of float's score a candidate keeps on the pictures of the search, wherever it was scored besides: what was
// held out takes no part in any choice.
func (x *searcher) searchShare(t *trial) metric.Value {
	return pair{t.Float.Search, t.Scored.Search}.share(x.higher)
}
