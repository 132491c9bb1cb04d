package qdq

import (
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/variant"
)

// Head gives the tensor behind whose quantizer an activation stands: itself, the tensor whose data it carries, or the
// one that its operator is fused into. ok is false for tensors that have no quantizer.
func (p *Placement) Head(name string) (head string, ok bool) {
	for range len(p.Tensors) + 1 {
		place, known := p.Tensors[name]
		switch {
		case !known || place.Role == None:
			return "", false
		case place.Role == Own || place.Role == Union:
			return name, true
		}
		name = place.Of
	}
	return "", false
}

// Groups lists the activations by quantizer, in the graph's order: the tensor that carries it first, then those that
// are fused into it or share it. What is chosen for one of a group holds for all.
func (p *Placement) Groups() [][]string {
	var groups [][]string
	number := map[string]int{}
	for _, name := range p.Order {
		if head, ok := p.Head(name); ok && head == name {
			number[name] = len(groups)
			groups = append(groups, []string{name})
		}
	}
	for _, name := range p.Order {
		if head, ok := p.Head(name); ok && head != name {
			groups[number[head]] = append(groups[number[head]], name)
		}
	}
	return groups
}

// Spread gives every tensor of a group what was chosen for one of it. It fails where a choice names a tensor without a
// quantizer, and where choices contradict each other.
func (p *Placement) Spread(choices variant.Choices) (variant.Choices, error) {
	if len(choices) == 0 {
		return nil, nil
	}
	byHead := map[string]variant.Choice{}
	from := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		c := choices[name]
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		head, ok := p.Head(name)
		if !ok {
			if place, known := p.Tensors[name]; known {
				return nil, fmt.Errorf("tensor %q has no quantizer to choose for: %s", name, place.Reason)
			}
			return nil, fmt.Errorf("the model has no quantized tensor %q to choose for", name)
		}
		if before, twice := byHead[head]; twice && before != c {
			return nil, fmt.Errorf("tensors %q and %q have one quantizer; different things were chosen for them", from[head], name)
		}
		byHead[head], from[head] = c, name
	}
	spread := variant.Choices{}
	for _, name := range p.Order {
		if head, ok := p.Head(name); ok {
			if c, chosen := byHead[head]; chosen {
				spread[name] = c
			}
		}
	}
	return spread, nil
}
