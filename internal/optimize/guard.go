package optimize

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quantcheck/internal/model"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
)

// guardTime bounds the estimates before and behind all passes: a compiler that takes longer is not waited for.
const guardTime = 45 * time.Second

// errSlowCompiler ends them.
var errSlowCompiler = errors.New("the compiler takes long")

// guarded sees that the passes together do not make the model slower: where the HTP's compiler is there, it estimates the model before and
// behind them. If it is slower, they run once more, each held against the estimate. Elsewhere the passes do only what has never cost
// (rewrite.Env.Sure).
func guarded(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter, done *Result) (*Result, error) {
	if done.Unchanged() {
		return done, nil
	}
	note := func(r *Result, format string, args ...any) *Result {
		r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
		return r
	}
	limited, cancel := context.WithTimeoutCause(ctx, guardTime, errSlowCompiler)
	defer cancel()
	o := &optimizer{ctx: limited, engines: engines, result: &Result{}}
	m, _, err := o.open(spec)
	if err != nil {
		return nil, err
	}
	types, err := ort.Types(engines.ORT, m)
	if err != nil {
		return nil, err
	}
	p, err := newPricer(engines, spec, o.inputs)
	if err != nil { // there is no compiler here
		return note(done, "nothing estimates here whether the model is faster: quantcheck doctor --install htp fetches what does"), nil
	}
	progress.Phase("estimating", 2)
	before, err := p.of(limited, model.WithOutputTypes(m, types))
	var after *result.Estimated
	if err == nil {
		progress.Step(1)
		after, err = p.of(limited, done.Model)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(context.Cause(limited), errSlowCompiler):
		return note(done, "the compiler takes more than %v for an estimate: whether the model is faster is not known; --keep-faster waits for it", guardTime), nil
	case err != nil:
		return note(done, "whether the model is faster is not known: %v", err), nil
	}
	done.Slow, done.Fast = before, after
	if len(after.Refused) < len(before.Refused) || len(after.Refused) == len(before.Refused) && float64(after.Cycles) <= slower*float64(before.Cycles) {
		return done, nil
	}
	spec.OnlyIfFaster, spec.guarded = true, true
	second, err := optimize(ctx, engines, spec, progress)
	if err != nil {
		return nil, err
	}
	second.Seconds, second.Proving = second.Seconds+done.Seconds, second.Proving+done.Proving
	return note(second, "all passes together made it slower by the estimate (%d cycles, %d before): those that do were undone, but for what was asked for by name", after.Cycles, before.Cycles), nil
}

// Unchanged says whether no pass changed something for good.
func (o *Result) Unchanged() bool {
	for _, p := range o.Passes {
		if len(p.Changes) > 0 && p.Undone == "" {
			return false
		}
	}
	return true
}
