package optimize

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// slower is by which factor an estimate has to grow for a pass not to pay; less is the compiler's whim.
const slower = 1.001

// former estimates one variant of a float model that is calibrated on a set; estimator.Estimator is the one that asks the compiler.
type former interface {
	Form(ctx context.Context, m *onnx.Model, v variant.Spec, set *dataset.Set, input dataset.Description) (*result.Estimated, error)
}

// pricer says what a model costs in one form.
type pricer struct {
	compiler former
	variant  variant.Spec
	set      *dataset.Set
	input    dataset.Description
	only     bool     // passes that do not pay are undone
	kept     []string // passes that are kept even so: they were asked for by name

	first, last *result.Estimated // nil: the compiler could not say
}

func newPricer(engines session.Engines, spec Spec, inputs []map[string]tensor.Tensor) (*pricer, error) {
	p := &pricer{variant: variant.Usual(), input: spec.Input, only: spec.OnlyIfFaster, set: &dataset.Set{}}
	if spec.guarded {
		p.kept = slices.Concat(spec.Passes, spec.Also)
	}
	var err error
	if spec.Variant != "" {
		if p.variant, err = variant.Parse(spec.Variant); err != nil {
			return nil, usage.Mark(err)
		}
		if p.variant.Kind != variant.Recipe && p.variant.Kind != variant.Half {
			return nil, usage.Mark(fmt.Errorf("what passes bring is estimated on a recipe, such as w8a8, or on fp16; %s is none", spec.Variant))
		}
	}
	if p.compiler, err = estimator.Open(engines, spec.SoC); err != nil {
		return nil, err
	}
	for i, values := range inputs {
		p.set.Sources = append(p.set.Sources, dataset.Source{Name: fmt.Sprintf("sample %d", i+1), Inputs: values})
	}
	return p, nil
}

// of is what a model costs.
func (p *pricer) of(ctx context.Context, m *onnx.Model) (*result.Estimated, error) {
	x, err := p.compiler.Form(ctx, m, p.variant, p.set, p.input)
	if err != nil {
		return nil, err
	}
	x.Variant = p.variant.Name
	return x, nil
}

// firstPrice estimates the model as it was given; a model that the HTP refuses whole has no price, which a note says.
func (o *optimizer) firstPrice() error {
	if o.pricer == nil {
		return nil
	}
	x, err := o.pricer.of(o.ctx, model.WithOutputTypes(o.model, o.types))
	switch {
	case o.ctx.Err() != nil:
		return o.ctx.Err()
	case estimator.NoAnswer(err): // the float model has run
		o.result.Notes = append(o.result.Notes, "there is no estimate of the model as it is: "+err.Error())
	case err != nil:
		return err
	default:
		o.pricer.first, o.pricer.last = x, x
	}
	return nil
}

// pay estimates the model behind a pass that was proved, and undoes the pass if it does not pay and only those that do are wanted.
// One that was forced has to pay.
func (o *optimizer) pay(done *PassResult, forced bool) error {
	if o.pricer == nil {
		return nil
	}
	x, err := o.pricer.of(o.ctx, model.WithOutputTypes(o.model, o.types))
	if o.ctx.Err() != nil {
		return o.ctx.Err()
	}
	if err != nil {
		if o.pricer.only {
			done.Undone = fmt.Sprintf("there is no estimate afterwards: %v", err)
			return nil
		}
		o.result.Notes = append(o.result.Notes, fmt.Sprintf("there is no estimate behind %s: %v", done.Name, err))
		o.pricer.last = nil
		return nil
	}
	cycles := x.Cycles
	done.Cycles = &cycles
	if before := o.pricer.last; before != nil {
		was := before.Cycles
		done.Before = &was
		worse := float64(cycles) > slower*float64(was) || forced && cycles >= was
		if fewer := len(x.Refused) - len(before.Refused); fewer != 0 { // what the HTP takes counts more than what the rest costs
			worse = fewer > 0
		}
		if o.pricer.only && worse && !slices.Contains(o.pricer.kept, done.Name) {
			done.Undone = fmt.Sprintf("it does not pay: by the estimate %d cycles become %d", was, cycles)
			return nil
		}
	}
	o.pricer.last = x
	if o.pricer.first == nil {
		o.pricer.first = x
	}
	return nil
}
